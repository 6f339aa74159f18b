"""How many calls an org's API gets: so many at once, so many a minute, and none while it said "later"."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from pyrate_limiter import Duration, InMemoryBucket, Rate, RateItem

_POLL_S: Final = 0.05
_PAUSES_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)


class Gate:
    """Let calls through one org's limits, first come first served. `now` is a monotonic clock in seconds."""

    def __init__(
        self,
        *,
        concurrent_max: int,
        per_minute_max: int,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        waited: Callable[[float], None] = lambda _: None,
    ) -> None:
        """`per_minute_max` 0 sets no limit per minute; `waited` hears how long each call waited, seconds."""
        self._slots = asyncio.Semaphore(concurrent_max)
        self._minute = _Minute(per_minute_max, now) if per_minute_max else None
        self._queue = asyncio.Lock()
        self._now, self._sleep, self._waited = now, sleep, waited
        self._entered = 0
        self._closed_until = 0.0
        self._refusals = 0

    @property
    def closed_s(self) -> float:
        """For how many more seconds the gate is closed."""
        return max(0.0, self._closed_until - self._now())

    @property
    def entered(self) -> int:
        """Calls that are out."""
        return self._entered

    def close_for(self, seconds: float | None) -> None:
        """Capillary said "too many": let nobody through for so long, or for ever longer if it did not say how long."""
        if self.closed_s == 0:  # the calls that were on their way when the gate closed say nothing new
            self._refusals += 1
        pause = seconds if seconds is not None else _PAUSES_S[min(self._refusals, len(_PAUSES_S)) - 1]
        self._closed_until = max(self._closed_until, self._now() + pause)

    def went_through(self) -> None:
        """Capillary took a call."""
        self._refusals = 0

    async def enter(self, until: float) -> bool:
        """Wait for a place; False if there is none before `until`. Whoever entered must `leave`."""
        began = self._now()
        if began >= until:
            return False
        if self._minute is None and self.closed_s == 0 and not self._slots.locked():
            return await self._slots.acquire()  # nothing to wait for, and so no timer is needed
        try:
            async with asyncio.timeout(until - began):
                await self._slots.acquire()
                entered = False
                try:
                    entered = await self._allowed(until)
                finally:
                    if not entered:
                        self._slots.release()
        except TimeoutError:
            return False
        finally:
            self._waited(self._now() - began)
        self._entered += entered
        return entered

    def leave(self) -> None:
        """Give the place back."""
        self._entered -= 1
        self._slots.release()

    async def _allowed(self, until: float) -> bool:
        if self._minute is None and self.closed_s == 0:
            return True
        # One waiter at a time asks, in the order of arrival.
        async with self._queue:
            while self._now() < until:
                if self.closed_s == 0 and (self._minute is None or self._minute.take()):
                    return True
                await self._sleep(min(_POLL_S, max(0.0, until - self._now())))
        return False


class _Minute(InMemoryBucket):
    """The calls of the last minute, by the clock we are given; emptied as it is used, so that no thread has to."""

    def __init__(self, calls_max: int, now: Callable[[], float]) -> None:
        super().__init__([Rate(calls_max, Duration.MINUTE)])
        self._seconds = now

    def take(self) -> bool:
        moment = int(1000 * self._seconds())
        self.leak(moment)
        return self.put(RateItem("call", moment))
