"""Which scenarios there are, and playing one by its name or its file, or all of them."""

import contextlib
import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tiersync.demo.processes import interruptible
from tiersync.demo.rehearsal import rehearse
from tiersync.demo.script import ScriptError, read

ALL: Final = "all"
FOLDER: Final = Path(__file__).parent / "scenarios"
FAILED, MISUSED, INTERRUPTED = 1, 2, 130

Staged = Callable[[str], int]
"""Plays a scenario that is no file, with its result object on stdout; returns its exit code."""


def names() -> list[str]:
    """Return the names of the scenario files that come with tiersync."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def run(name: str, staged: Sequence[str], *, as_json: bool) -> int:
    """Play a scenario file, by name or path; return the exit code: 0 well, 1 not, 2 unknown or malformed, 130."""
    path = Path(name) if name.endswith(".toml") or "/" in name else FOLDER / f"{name}.toml"
    if path.parent == FOLDER and path.stem not in names():
        known = ", ".join((*staged, *names(), ALL))
        _complain(f"there is no scenario {name!r}. Known: {known}; or give the path of a file of your own, FILE.toml")
        return MISUSED
    try:
        script = read(path)
    except ScriptError as error:
        _complain(str(error))
        return MISUSED
    try:
        with interruptible():
            result, wrong = rehearse(script, quiet=as_json)
    except KeyboardInterrupt:
        _complain("interrupted; what was started was ended")
        return INTERRUPTED
    if as_json:
        print(json.dumps(result, ensure_ascii=False))  # noqa: T201 - the result
        _complain(*wrong)
    return FAILED if wrong else 0


def run_all(staged: Sequence[str], play: Staged, *, as_json: bool) -> int:
    """Play everything, one after the other; return 0 if all went well. An interruption ends it."""
    results: list[dict[str, Any]] = []
    codes: list[int] = []
    for name in (*staged, *names()):
        if as_json:
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                code = play(name) if name in staged else run(name, staged, as_json=True)
            results.append(_result(name, printed.getvalue()))
        else:
            code = play(name) if name in staged else run(name, staged, as_json=False)
        codes.append(code)
        if code == INTERRUPTED:
            break
    if as_json:
        print(json.dumps(results, ensure_ascii=False))  # noqa: T201 - the result
    return INTERRUPTED if INTERRUPTED in codes else FAILED if any(codes) else 0


def _result(name: str, printed: str) -> dict[str, Any]:
    """Read the result object; a scenario that broke off before there was one has met nothing."""
    if not printed.strip():
        return {"scenario": name, "converged": False, "expectations_met": False}
    result: dict[str, Any] = json.loads(printed)
    return result


def _complain(*lines: str) -> None:
    for text in lines:
        print(f"tiersync: {text}", file=sys.stderr)  # noqa: T201 - stdout holds results only
