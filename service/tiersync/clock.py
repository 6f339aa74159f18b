"""The clock of the work: epoch milliseconds that never go back.

What is due would otherwise wait until a clock that was set back comes there once more. Replicas share the database's
clock, since they compare each other's leases by it.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final

_STALE_S: Final = 0.25


def now() -> int:
    """Epoch milliseconds of this machine."""
    return time.time_ns() // 1_000_000


def unstoppable() -> Callable[[], int]:
    """Make a clock that follows this machine's, but goes on when that is set back."""
    ahead = time.time_ns() - time.monotonic_ns()

    def clock() -> int:
        nonlocal ahead
        ahead = max(ahead, time.time_ns() - time.monotonic_ns())
        return (time.monotonic_ns() + ahead) // 1_000_000

    return clock


class SharedClock:
    """A clock that follows the database's. `ask` reads that one, epoch milliseconds."""

    def __init__(self, ask: Callable[[], Awaitable[int]], monotonic: Callable[[], float] = time.monotonic) -> None:
        """It stands until `follow` was called once."""
        self._ask, self._monotonic = ask, monotonic
        self._ahead_ms: float | None = None
        self._last = 0

    async def follow(self) -> None:
        """Look at the database's clock once more; an answer that took long says little."""
        asked = self._monotonic()
        theirs = await self._ask()
        answered = self._monotonic()
        if self._ahead_ms is None or answered - asked <= _STALE_S:
            self._ahead_ms = theirs - 1000 * answered

    def __call__(self) -> int:
        """Epoch milliseconds, never before what was said last."""
        self._last = max(self._last, int(1000 * self._monotonic() + (self._ahead_ms or 0)))
        return self._last
