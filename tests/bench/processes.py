"""The processes of one run: started on a chosen core, watched in /proc, ended by their own id."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import psutil

READY_S_MAX: Final = 20
END_S_MAX: Final = 20
_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_CORES: Final = sorted(os.sched_getaffinity(0))
MEASURED_CORE: Final = _CORES[0]
OTHER_CORE: Final = _CORES[-1]
ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Running:
    """A running process, the loopback port on which it listens, and what else belongs to it (a database, say)."""

    pid: int
    port: int
    beside: tuple[int, ...] = ()

    def cpu_s(self) -> float:
        """CPU seconds so far, user and system, of all of them with their threads and children."""
        times = [process.cpu_times() for process in self._processes()]
        return sum(one.user + one.system + one.children_user + one.children_system for one in times)

    def rss_peak_mb(self) -> float:
        """The most memory that each ever held, added up, MB."""
        statuses = [Path(f"/proc/{process.pid}/status").read_text() for process in self._processes()]
        return sum(int(status.partition("VmHWM:")[2].split()[0]) for status in statuses) / 1000

    def _processes(self) -> Iterator[psutil.Process]:
        for pid in (self.pid, *self.beside):
            process = psutil.Process(pid)
            yield process
            yield from process.children(recursive=True)


def core_busy_s(core: int) -> float:
    """Seconds for which a core has been busy, whoever kept it so."""
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} "))
    user, nice, system, _idle, _waiting, *interrupts = map(int, line.split()[1:8])
    return (user + nice + system + sum(interrupts)) / _TICKS_A_SECOND


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started within the block runs on one core, with all its threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def running(core: int, arguments: Sequence[str], port: int, env: Mapping[str, str], log: Path) -> Iterator[Running]:
    """Run `python -m arguments` until the end of the block, and wait for its port first."""
    with program(core, [sys.executable, "-m", *arguments], port, env, log) as started:
        yield started


@contextmanager
def program(core: int, command: Sequence[str], port: int, env: Mapping[str, str], log: Path) -> Iterator[Running]:
    """Run a program until the end of the block, and wait for its port first."""
    with log.open("ab") as output, on_core(core):
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **env}, stdout=output, stderr=output)
    try:
        _wait_for(process, port, log)
        yield Running(process.pid, port)
    finally:
        process.terminate()
        try:
            process.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(END_S_MAX)


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + READY_S_MAX
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"it did not start:\n{log.read_text(errors='replace')[-2000:]}")


def ask(port: int, method: str, path: str) -> bytes:
    """Ask a process on loopback."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path)
        return connection.getresponse().read()
    finally:
        connection.close()


def output_of(core: int, arguments: Sequence[str], timeout_s: float) -> bytes:
    """Run `python -m arguments` to its end; return what it printed."""
    with on_core(core):
        process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {process.returncode}")
    return output
