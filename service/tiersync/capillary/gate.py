"""How many calls an org's API gets: so many at once, so many a minute, and none while it said "later"."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from pyrate_limiter import Duration, Limiter, Rate

_POLL_S: Final = 0.05
_PAUSE_S_MAX: Final = 60.0


class Gate:
    """Let calls through one org's limits, first come first served. `now` is a monotonic clock in seconds."""

    def __init__(
        self,
        *,
        concurrent_max: int,
        per_minute_max: int,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """`per_minute_max` 0 sets no limit per minute."""
        self._slots = asyncio.Semaphore(concurrent_max)
        self._limiter = Limiter(Rate(per_minute_max, Duration.MINUTE)) if per_minute_max else None
        self._queue = asyncio.Lock()
        self._now, self._sleep = now, sleep
        self._closed_until = 0.0
        self._refusals = 0

    @property
    def closed_s(self) -> float:
        """For how many more seconds the gate is closed."""
        return max(0.0, self._closed_until - self._now())

    def close_for(self, seconds: float | None) -> None:
        """Capillary said "too many": let nobody through for so long, or for ever longer if it did not say how long."""
        self._refusals += 1
        pause = seconds if seconds is not None else min(2.0 ** (self._refusals - 1), _PAUSE_S_MAX)
        self._closed_until = max(self._closed_until, self._now() + pause)

    def went_through(self) -> None:
        """Capillary took a call."""
        self._refusals = 0

    async def enter(self, until: float) -> bool:
        """Wait for a place; False if there is none before `until`. Whoever entered must `leave`."""
        try:
            async with asyncio.timeout(max(0.0, until - self._now())):
                await self._slots.acquire()
        except TimeoutError:
            return False
        try:
            entered = await self._allowed(until)
        except BaseException:
            self._slots.release()
            raise
        if not entered:
            self._slots.release()
        return entered

    def leave(self) -> None:
        """Give the place back."""
        self._slots.release()

    async def _allowed(self, until: float) -> bool:
        if self._limiter is None and self.closed_s == 0:
            return True
        # One waiter at a time asks the limiter, in the order of arrival.
        async with self._queue:
            while self._now() < until:
                if self.closed_s == 0 and (self._limiter is None or self._limiter.try_acquire("call", blocking=False)):
                    return True
                await self._sleep(min(_POLL_S, max(0.0, until - self._now())))
        return False
