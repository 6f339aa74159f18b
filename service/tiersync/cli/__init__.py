"""The command `tiersync`. What a verb needs is imported once Ctrl-C is heeded, so that it always ends tidily."""

import errno
import io
import os
import sys
from typing import NoReturn

__all__ = ["main"]

_FAILED, _MISUSED, _INTERRUPTED = 1, 2, 130


def main() -> NoReturn:
    """Run a verb. What went wrong is said in plain words on stderr: exit 2 for settings, 1 for the rest."""
    os.umask(0o077)  # what is stored holds personal data: it is nobody else's to read
    _see_to_the_streams()
    try:
        code = _run()
        sys.stdout.flush()
    except OSError as error:  # of the output, if it is not said elsewhere: a full disk, a reader that has left
        code = _FAILED
        if error.errno != errno.EPIPE:
            _complain(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error))
        # What is left of the output must not fail again at the very end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _run() -> int:
    try:
        from tiersync.cli.verbs import app
        from tiersync.errors import SettingsError, TiersyncError

        try:
            app()
        except TiersyncError as error:
            _complain(str(error))
            return _MISUSED if isinstance(error, SettingsError) else _FAILED
    except KeyboardInterrupt:
        return _INTERRUPTED
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else _FAILED if ended.code else 0
    return 0


def _complain(text: str) -> None:
    from tiersync.cli.screen import complain

    complain(text)


def _see_to_the_streams() -> None:
    """Whoever closed stdout or stderr wants to hear nothing; what an encoding cannot say is written as its escape."""
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - open to the end
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
