"""What the tests of the Capillary client stand on: a clock that jumps, and a client whose far end is a respx router."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import respx

from tiersync import capillary
from tiersync.capillary import Basic, Breaks, Budget, Capillary, Gate, HttpxTransport, Limits
from tiersync.capillary.auth import Auth
from tiersync.retry import TryAgain

URL = "https://eu.api.example"
ADJUST = f"{URL}/v2/slab/manualSlabAdjustment"
GROUP = f"{URL}/v2/userGroup2"
NEVER = Breaks(failures_max=0, pause_s=5, pause_s_max=60, probe_s_max=10)
APPLIED = {
    "programId": 973,
    "entityId": 424134447,
    "sideEffects": [
        {
            "entityType": "USER",
            "previousSlabName": "Ruby",
            "previousSlabNumber": 2,
            "upgradedSlabName": "Gold",
            "upgradedSlabNumber": 3,
            "slabExpiryDate": "30th Nov, 2025",
            "type": "slab",
        }
    ],
    "warnings": [],
}


@dataclass
class Clock:
    """A monotonic clock that moves when somebody sleeps."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        """Tell the seconds."""
        return self.now

    def ms(self) -> int:
        """Tell the milliseconds."""
        return int(1000 * self.now)

    async def sleep(self, seconds: float) -> None:
        """Pass the time at once, letting others have their turn."""
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@dataclass
class Line:
    """A client, its far end and what was observed between them."""

    capillary: Capillary
    router: respx.MockRouter
    clock: Clock
    observed: list[tuple[str, str]]

    @property
    def until(self) -> float:
        """A deadline that is far enough away."""
        return self.clock.now + 600

    def answer(self, status: int = 200, **content: Any) -> respx.Route:
        """Let every call be answered like this."""
        return self.router.route().respond(status, **content)


@asynccontextmanager
async def line(  # noqa: PLR0913 - a test names only what it is about
    *,
    url: str = URL,
    source: str = "INSTORE",
    auth: Auth | None = None,
    limits: Limits = Limits(call_s_max=5, attempt_s_max=10, burst_tries_max=3, breaks=NEVER),  # noqa: B008 - frozen
    router: respx.MockRouter | None = None,
    clock: Clock | None = None,
    per_minute_max: int = 0,
    budget: Budget | None = None,
) -> AsyncIterator[Line]:
    """Open a client to a router. Times are the clock's, so that no test waits."""
    router, clock = router or respx.MockRouter(assert_all_called=False), clock or Clock()
    observed: list[tuple[str, str]] = []
    api = Capillary(
        url=url,
        source=source,
        transport=transport(router),
        auth=auth or Basic("till.user", "password"),
        gate=Gate(concurrent_max=64, per_minute_max=per_minute_max, now=clock, sleep=clock.sleep, budget=budget),
        limits=limits,
        now=clock,
        sleep=clock.sleep,
        observe=lambda name, _seconds, label: observed.append((name, label)),
    )
    yield Line(api, router, clock, observed)
    await api.close()


def transport(router: respx.MockRouter, *, response_bytes_max: int = 100_000) -> HttpxTransport:
    """Build the product's transport with the router in the place of the network."""
    line = capillary.Line(connections_max=64, connect_s_max=1, response_bytes_max=response_bytes_max)
    return HttpxTransport(line, httpx.MockTransport(router.async_handler))


def again(result: object) -> TryAgain:
    """Expect a passing fault."""
    assert isinstance(result, TryAgain), result
    return result
