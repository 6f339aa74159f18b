"""An event loop without sockets, threads or waiting: time jumps to whatever is next.

Each simulated process runs in a context of its own, so that the loop can end it (nothing of it runs any more, not even
a `finally`) or freeze it (nothing of it runs until it thaws, and then it finds that time has passed).
"""

import asyncio
import contextvars
import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

PROCESS: Final = contextvars.ContextVar["Process | None"]("process", default=None)


class DeadlockError(AssertionError):
    """Nothing will ever happen again, and the history is not over."""


@dataclass(slots=True, eq=False)
class Process:
    """What runs in its context lives and dies with it."""

    name: str
    alive: bool = True
    frozen: bool = False
    parked: list[asyncio.Handle] = field(default_factory=list)

    @property
    def context(self) -> contextvars.Context:
        """A context in which what is begun belongs to this process."""
        context = contextvars.Context()
        context.run(PROCESS.set, self)
        return context


class SimulatedLoop(asyncio.BaseEventLoop):
    """Virtual seconds since the beginning; what is ready runs in the order in which it became so."""

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self.tasks: list[asyncio.Task[Any]] = []  # kept: what a dead process leaves must not be collected midway
        self.set_task_factory(self._keep)

    def time(self) -> float:
        """Say how many virtual seconds have passed."""
        return self._now

    def _keep(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **named: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=loop, **named)
        self.tasks.append(task)
        return task

    def thaw(self, process: Process) -> None:
        """Let a frozen process go on with what waited for it."""
        process.frozen = False
        self._ready.extend(process.parked)
        process.parked.clear()

    def _run_once(self) -> None:
        while self._scheduled and (not self._ready or self._scheduled[0].when() <= self._now):
            timer = heapq.heappop(self._scheduled)
            if not timer.cancelled():
                self._now = max(self._now, timer.when())
                self._ready.append(timer)
        if not self._ready:
            raise DeadlockError("nothing is ready and nothing is planned")
        handle = self._ready.popleft()
        if handle.cancelled():
            return
        process = _process_of(handle)
        if process is None or (process.alive and not process.frozen):
            handle._run()  # noqa: SLF001 - this is the loop that runs it
        else:
            process.parked.append(handle)  # of a dead one it is only kept from being collected


def _process_of(handle: Any) -> Process | None:
    context: contextvars.Context = handle._context  # noqa: SLF001
    return context.get(PROCESS)
