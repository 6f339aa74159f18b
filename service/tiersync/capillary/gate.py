"""How many calls an org's API gets: so many at once, so many a minute, and none while it said "later"."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, Protocol
from weakref import WeakValueDictionary

from tiersync.errors import StoreUnavailable

MINUTE_S = 60.0
SLICE_S: Final = 1.0
ON_THE_WAY_S: Final = 1.0
"""What a call may take to arrive: two that began further apart than the limit allows may still arrive together."""

_POLL_S: Final = 0.05
_PAUSES_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)


class Slice(Protocol):
    """A part of a minute's calls: so many may begin within `SLICE_S`."""

    @property
    def id(self) -> int:
        """Its number, to give back what is left of it."""
        ...

    @property
    def calls(self) -> int:
        """How many; 0 if there is no room."""
        ...

    @property
    def closed_ms(self) -> int:
        """For how long the org wants no call, as another replica was told."""
        ...

    @property
    def room_ms(self) -> int:
        """When there may be room again, if there is none."""
        ...


class Budget(Protocol):
    """The calls that all replicas share."""

    async def lease(self, calls: int, window_s: float) -> Slice:
        """Lease up to so many calls of those that may begin within the window. Raises `StoreUnavailable`."""
        ...

    async def give_back(self, slice_: int, calls: int) -> None:
        """Return calls that did not begin."""
        ...

    async def close(self, seconds: float) -> None:
        """Let the other replicas know that no call is wanted for so long."""
        ...


class Gate:
    """Let calls through one org's limits, first come first served. `now` is a monotonic clock in seconds."""

    def __init__(
        self,
        *,
        concurrent_max: int,
        per_minute_max: int,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        budget: Budget | None = None,
        waited: Callable[[float], None] = lambda _: None,
    ) -> None:
        """`per_minute_max` 0 sets no limit per minute; any other is leased from the `budget`.

        `waited` hears how long each call waited, seconds.
        """
        self._slots = asyncio.Semaphore(concurrent_max)
        if per_minute_max and budget is None:
            raise ValueError("per_minute_max: a limit is leased from a budget, and there is none")
        self._minute = _Minute(budget, per_minute_max, now) if budget is not None and per_minute_max else None
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
        if self._minute is not None and pause > self.closed_s:
            self._minute.tell_closed(pause)
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
            await self._slots.acquire()  # nothing to wait for, and so no timer is needed
            self._entered += 1
            return True
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

    async def close(self) -> None:
        """Give back what was leased and not used."""
        if self._minute is not None:
            await self._minute.close()

    async def _allowed(self, until: float) -> bool:
        if self._minute is None and self.closed_s == 0:
            return True
        # One waiter at a time asks, in the order of arrival.
        async with self._queue:
            while self._now() < until:
                if self.closed_s == 0:
                    if self._minute is None or self._minute.take():
                        return True
                    closed_s = await self._minute.lease()
                    self._closed_until = max(self._closed_until, self._now() + closed_s)
                    if self._minute.left:
                        continue
                await self._sleep(min(_POLL_S, max(0.0, until - self._now())))
        return False


class _Minute:
    """The slice that is being used up, and how the next one is come by. A slice is a second's worth of the limit."""

    def __init__(self, budget: Budget, per_minute_max: int, now: Callable[[], float]) -> None:
        self._budget, self._now = budget, now
        self._worth = max(1, int(per_minute_max * SLICE_S / MINUTE_S))
        self._slice = self._calls = 0
        self._until = self._room_at = 0.0
        self._leasing: asyncio.Task[float] | None = None
        self._news: set[asyncio.Task[None]] = set()

    @property
    def left(self) -> int:
        """Calls that may begin now."""
        return self._calls if self._now() < self._until else 0

    def take(self) -> bool:
        """Let one call begin, if it may."""
        if not self.left:
            return False
        self._calls -= 1
        return True

    async def lease(self) -> float:
        """See to the next slice; returns for how many seconds the other replicas were told to make no call."""
        if self._now() < self._room_at:
            return 0.0
        if self._leasing is None:
            self._leasing = asyncio.create_task(self._lease(), name="gate-lease")
        leasing = self._leasing
        try:
            # Whoever gives up waiting must not lose the calls that the others wait for.
            return await asyncio.shield(leasing)
        except StoreUnavailable:
            return 0.0
        finally:
            if leasing.done():
                self._leasing = None

    async def _lease(self) -> float:
        await self._return(self._slice)
        asked = self._now()
        found = await self._budget.lease(self._worth, MINUTE_S + SLICE_S + ON_THE_WAY_S)
        self._slice, self._calls, self._until = found.id, found.calls, asked + SLICE_S
        if found.calls:
            asyncio.get_running_loop().call_later(SLICE_S, lambda: self._tell(self._return(found.id)))
        else:
            self._room_at = asked + min(found.room_ms / 1000, SLICE_S)  # others may give some back before
        return found.closed_ms / 1000

    async def _return(self, slice_: int) -> None:
        """Give back what is left of a slice, unless another one is in use already."""
        if slice_ == self._slice and (calls := self._calls):
            self._calls = 0
            await self._budget.give_back(slice_, calls)

    def tell_closed(self, seconds: float) -> None:
        """Let the other replicas know."""
        self._tell(self._budget.close(seconds))

    def _tell(self, news: Coroutine[Any, Any, None]) -> None:
        async def tell() -> None:
            with suppress(StoreUnavailable):  # it is a help; the limit holds without it
                await news

        task = asyncio.create_task(tell(), name="gate-news")
        self._news.add(task)
        task.add_done_callback(self._news.discard)

    async def close(self) -> None:
        """Give back what is left."""
        pending = [*self._news, *([self._leasing] if self._leasing is not None else [])]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        with suppress(StoreUnavailable):
            await self._return(self._slice)


class OneAtATime:
    """Capillary locks a customer for the time of a call: two of ours must not meet there."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[int, int], asyncio.Lock] = WeakValueDictionary()

    def lock(self, customer: tuple[int, int]) -> asyncio.Lock:
        """A customer's lock: the same for all who hold it or wait for it, and gone with the last of them."""
        return self._locks.setdefault(customer, asyncio.Lock())
