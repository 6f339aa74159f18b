"""The embedded engine: an in-process work queue of keys.

A key waits at most once, however often it is woken, and is worked on by one task at a time. Each org has its own line
and its own places, so that a batch of one org never stands in another's way. The queue is bounded: what does not fit
is found again by the sweep.
"""

import asyncio
import heapq
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from tiersync.errors import StoreUnavailable

log: Final = structlog.get_logger("tiersync.engine")

Work = Callable[[int], Awaitable[int | None]]
"""Works on one key for one turn; answers when it is due again, epoch milliseconds, or None."""

Sweep = Callable[[int, int], Awaitable[Sequence[tuple[int, int]]]]
"""Finds (key, org) of what is due at an instant, so many at the most."""


class WorkQueue:
    """Runs `work` for each key that is woken. `now` gives epoch milliseconds."""

    def __init__(
        self,
        *,
        work: Work,
        sweep: Sweep,
        now: Callable[[], int],
        waiting_max: int,
        concurrent_max: int,
        sweep_s: float,
    ) -> None:
        """`waiting_max` keys of one org are held; `concurrent_max` of them are worked on at once."""
        self._work, self._sweep, self._now = work, sweep, now
        self._waiting_max, self._concurrent_max, self._sweep_s = waiting_max, concurrent_max, sweep_s
        self._lines: dict[int, deque[int]] = defaultdict(deque)
        self._waiting: set[int] = set()
        self._later: list[tuple[int, int, int]] = []
        self._running: dict[int, asyncio.Task[None]] = {}
        self._busy: dict[int, int] = defaultdict(int)
        self._again: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Keys that wait for a place."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Keys that are worked on."""
        return len(self._running)

    def start(self) -> None:
        """Begin to sweep and to work."""
        self._sweeper = asyncio.create_task(self._sweep_forever(), name="engine-sweep")
        for org in [*self._lines]:
            self._dispatch(org)

    async def stop(self, within_s: float) -> None:
        """Start nothing more, wait for the turns that run, then cancel what is left; its claims expire."""
        if (sweeper := self._sweeper) is not None:
            self._sweeper = None
            sweeper.cancel()
            await asyncio.wait([sweeper])
        if self._timer is not None:
            self._timer.cancel()
        self._lines.clear()
        self._waiting.clear()
        if self._running:
            _, unfinished = await asyncio.wait(self._running.values(), timeout=within_s)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    def wake(self, key: int, org: int, due_at: int = 0) -> None:
        """Have a key worked on, now or at `due_at` (epoch milliseconds)."""
        if due_at > self._now():
            if len(self._later) < self._waiting_max:
                heapq.heappush(self._later, (due_at, key, org))
                self._set_timer()
        elif key in self._running:
            self._again.add(key)
        elif key not in self._waiting and len(self._lines[org]) < self._waiting_max:
            self._waiting.add(key)
            self._lines[org].append(key)
            self._dispatch(org)

    def _dispatch(self, org: int) -> None:
        line = self._lines[org]
        while self._sweeper is not None and line and self._busy[org] < self._concurrent_max:
            key = line.popleft()
            self._waiting.discard(key)
            self._busy[org] += 1
            self._running[key] = asyncio.create_task(self._turn(key, org), name=f"key-{key}")

    async def _turn(self, key: int, org: int) -> None:
        due_at = None
        try:
            due_at = await self._work(key)
        except StoreUnavailable as error:
            log.warning("turn.store_unavailable", sync=key, error=str(error))
        except Exception:
            log.exception("turn.failed", sync=key)
        finally:
            del self._running[key]
            self._busy[org] -= 1
        if key in self._again:
            self._again.discard(key)
            self.wake(key, org)
        elif due_at is not None:
            self.wake(key, org, due_at)
        self._dispatch(org)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        delay_s = max(0.0, (self._later[0][0] - self._now()) / 1000)
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._wake_due)

    def _wake_due(self) -> None:
        while self._later and self._later[0][0] <= self._now():
            _, key, org = heapq.heappop(self._later)
            self.wake(key, org)
        if self._later:
            self._set_timer()

    async def _sweep_forever(self) -> None:
        while True:
            try:
                for key, org in await self._sweep(self._now(), self._waiting_max):
                    self.wake(key, org)
            except StoreUnavailable as error:
                log.warning("sweep.store_unavailable", error=str(error))
            except Exception:
                log.exception("sweep.failed")
            await asyncio.sleep(self._sweep_s)
