"""The demo's child processes: started in sessions of their own, ended by their own process id."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx

READY_S_MAX: Final = 60
COMMAND_S_MAX: Final = 60
END_S_MAX: Final = 10
LINES_SHOWN: Final = 15
_FIRST_PORT: Final = 12_000
_PORTS: Final = 20_000


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


def free_ports(count: int) -> list[int]:
    """Find ports of loopback that nobody holds, all different.

    They lie below those that systems lend to outgoing connections: a lent one could be taken before it is used.
    """
    found: set[int] = set()
    while len(found) < count:
        port = _FIRST_PORT + secrets.randbelow(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.add(port)
    return list(found)


def environment(**variables: object) -> Mapping[str, str]:
    """This process's environment without its own TIERSYNC_ settings, with `variables` (TIERSYNC_ added)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIERSYNC_")}
    return kept | {f"TIERSYNC_{name.upper()}": str(value) for name, value in variables.items()}


class Child:
    """One `tiersync` command that runs beside us. Its output goes to `folder`/`verb`.log."""

    def __init__(self, folder: Path, verb: str, variables: Mapping[str, str], url: str, ready: str) -> None:
        """`ready` is the path under `url` that answers 200 as soon as the command is ready."""
        self._folder, self._verb, self._variables, self.url, self._ready = folder, verb, variables, url, ready
        self.log = folder / f"{verb}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> int:
        """Start it and return its process id."""
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C reaches us alone, and we end our children ourselves.
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "tiersync", self._verb],
                cwd=self._folder,
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self._process.pid

    def is_ready(self) -> bool:
        """Whether it answers. Raises `DemoError` if it has ended."""
        assert self._process is not None  # noqa: S101 - started before
        if (code := self._process.poll()) is not None:
            raise DemoError(f"`tiersync {self._verb}` ended by itself with exit code {code}")
        try:
            return httpx.get(self.url + self._ready, timeout=1, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def wait_until_ready(self) -> int:
        """Wait until it answers; return its process id. Raises `DemoError` if that takes too long."""
        assert self._process is not None  # noqa: S101 - started before
        deadline = time.monotonic() + READY_S_MAX
        while not self.is_ready():
            if time.monotonic() > deadline:
                raise DemoError(f"`tiersync {self._verb}` was not ready within {READY_S_MAX} s")
            time.sleep(0.05)
        return self._process.pid

    def kill(self) -> int:
        """End it with SIGKILL, as a crash does; return the process id that it had."""
        assert self._process is not None  # noqa: S101 - started before
        self._process.kill()
        self._process.wait(END_S_MAX)
        return self._process.pid

    def end(self) -> None:
        """End it: politely, then not."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()

    def last_lines(self) -> list[str]:
        """The end of its log."""
        if not self.log.exists():
            return []
        return self.log.read_text("utf-8", "replace").splitlines()[-LINES_SHOWN:]


def command(arguments: Sequence[str], folder: Path, variables: Mapping[str, str]) -> str:
    """Run a `tiersync` command to its end and return what it printed. Raises `DemoError` if it failed."""
    said = f"`tiersync {' '.join(arguments)}`"
    try:
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "tiersync", *arguments],
            cwd=folder,
            env=variables,
            capture_output=True,
            timeout=COMMAND_S_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DemoError(f"{said} was not done within {COMMAND_S_MAX} s") from None
    if done.returncode:
        raise DemoError(f"{said} failed: {done.stderr.decode('utf-8', 'replace').strip()}")
    return done.stdout.decode("utf-8", "replace")


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does, so that the children are ended then too."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    # What is ignored stays ignored: `nohup` means it.
    heard = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
