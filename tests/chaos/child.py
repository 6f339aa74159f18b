"""A service that ends or stops itself at a named point: a nursery that forks a fresh one for each order, in no time.

Reads one order a line, answers with the pid and, once it is over, with the exit status (negative: a signal). With an
address it listens there, a socket in the file system, and whoever comes has a nursery of their own; else it is stdin. A
failure is repeated by hand with the order that it printed: `echo ORDER | python -m tests.chaos.child`.
"""

import ctypes
import functools
import gc
import hashlib
import json
import os
import signal
import socket
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

import structlog
import time_machine
import uvloop

from tiersync import app, importing, jobs, settings, telemetry
from tiersync.capillary import gate
from tiersync.console.session import Sessions
from tiersync.importing import take_in
from tiersync.store import JobKind, Keys, Selection, Store

COMMIT: Final = " commit: "
PR_SET_PDEATHSIG: Final = 1
HANDED_OVER_S: Final = 0.1
"""What the network's own thread was handed before a stop is sent by then: no fence can call that back."""


def points_of(name: str) -> Iterator[str]:
    """Name each point that a step passes: a commit that groups several verbs is a boundary of each of them."""
    when, commit, verbs = name.partition(COMMIT)
    yield from (f"{when}{commit}{verb}" for verb in verbs.split("+"))


class Steps:
    """Hears the steps, counts them, and does at one of them what the order says."""

    def __init__(self, order: dict[str, Any]) -> None:
        """`kill` and `stop` are a point and which passing of it; `shift` the same and seconds for the clock.

        Of all that are told to die `once`, a file that is not there yet, the first to come to its point does.
        """
        self.passed: Counter[str] = Counter()
        self._once = order.get("once")
        self._kill, self._stop, self._shift = order.get("kill"), order.get("stop"), order.get("shift")
        self._clock = time_machine.travel(datetime.now(UTC), tick=True).start() if self._shift else None

    def __call__(self, name: str) -> None:
        """Pass a step."""
        for point in points_of(name):
            self.passed[point] += 1
            here = [point, self.passed[point]]
            if here == self._kill and self._is_first():
                os.kill(os.getpid(), signal.SIGKILL)
            if here == self._stop:
                time.sleep(HANDED_OVER_S)
                os.kill(os.getpid(), signal.SIGSTOP)
            if self._clock is not None and self._shift is not None and here == self._shift[:2]:
                self._clock.shift(self._shift[2])
                structlog.get_logger("tests.chaos").info("clock.shifted", point=point, seconds=self._shift[2])

    def _is_first(self) -> bool:
        if self._once is None:
            return True
        try:
            Path(self._once).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def live(order: dict[str, Any]) -> None:
    """Be the service until it is over, or a command beside it."""
    with Path(order["log"]).open("ab") as log, Path(os.devnull).open("rb") as nothing:
        os.dup2(log.fileno(), sys.stderr.fileno())
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    telemetry.configure_logging("info", "json")
    if minute_s := order.get("minute_s"):  # a short one, and slices that are short beside it
        gate.MINUTE_S, gate.SLICE_S = minute_s, minute_s / 4
    if step_max := order.get("step_max"):  # so few at a time that there are several steps
        jobs.STEP_MAX = importing.TOGETHER = step_max
    steps = Steps(order)
    loaded = settings.load(**order["settings"])
    command = order.get("command")
    uvloop.run(carry_out(loaded, steps, **command) if command else app.serve(loaded, step=steps))
    if order.get("points"):
        Path(order["points"]).write_text(json.dumps(steps.passed))


async def carry_out(
    loaded: settings.Settings, steps: Steps, *, verb: str, background: bool = False, **asked: Any
) -> None:
    """Be the command of that name, as `tiersync replay --status dead` is; `asked` are its conditions."""
    async with app.store(loaded, step=steps) as store:
        match verb:
            case "import":
                lines, orgs = Path(asked["file"]).read_bytes().splitlines(), app.policies(loaded)
                taken = take_in(store, lines, orgs, bytes_max=loaded.body_bytes_max, now=app.now)
                counts = Counter([line.result async for line in taken])
                Path(asked["file"]).with_suffix(".counts").write_text(json.dumps(counts))
            case "reconcile":
                rate = asked.pop("rate")
                await compare(loaded, store, steps, Keys(**asked), rate, background=background)
            case kind:
                clerk = app.clerk(loaded, store, app.now, step=steps)
                held = {} if background else {"owner": clerk.owner, "until": clerk.until}
                job = await store.begin_job(JobKind(kind), Selection(**asked), by="chaos", now=app.now(), **held)
                if not background:
                    await clerk.work_off(job)


async def compare(
    loaded: settings.Settings, store: Store, steps: Steps, keys: Keys, rate: int, *, background: bool
) -> None:
    """Reconcile, as the command does."""
    async with AsyncExitStack() as stack:
        apis = {}
        for org, values in loaded.by_org().items():
            budget = store.budget(org, values.calls_per_minute_max, app.now)
            apis[org] = app.capillary(values, budget=budget)
            stack.push_async_callback(apis[org].close)
        comparing = app.reconciler(loaded, store, apis, app.now, step=steps)
        held = {} if background else {"owner": comparing.owner, "until": comparing.until}
        job = await store.begin_reconcile(keys, by="chaos", now=app.now(), rate=rate, **held)
        if not background:
            await comparing.work_off(job)


def die_with_the_parent() -> None:
    """Leave nobody behind when the tests are ended by force: Linux kills whoever asked for it with its parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def grow_up(token: str | None) -> None:
    """Do once what would take three quarters of the time of each start."""
    hashlib.scrypt = functools.cache(hashlib.scrypt)
    Sessions(token, 1)  # its key is slow to make on purpose, and every life has the same token
    gc.collect()
    gc.freeze()  # the forks do not look again through what was made before them


def care(orders: Iterable[str], answers: TextIO) -> None:
    """Serve orders, one at a time."""

    def say(number: int) -> None:
        answers.write(f"{number}\n")
        answers.flush()

    for line in orders:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                die_with_the_parent()
                live(order)
                status = 0
            except BaseException:  # noqa: BLE001 - what ends a fork must not go on as the nursery
                traceback.print_exc()
            finally:
                os._exit(status)
        say(pid)
        _, ended = os.waitpid(pid, 0)
        say(os.waitstatus_to_exitcode(ended))


def listen(address: str) -> None:
    """Fork a nursery for each who comes."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(address)
        door.listen()
        while True:
            line, _ = door.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                die_with_the_parent()
                try:
                    care(line.makefile("r"), line.makefile("w"))
                finally:
                    os._exit(0)
            line.close()


def main(address: str | None = None, token: str | None = None) -> None:
    """Listen at the address, or serve stdin."""
    die_with_the_parent()
    grow_up(token)
    if address is None:
        care(sys.stdin, sys.stdout)
    else:
        listen(address)


if __name__ == "__main__":
    main(*sys.argv[1:])
