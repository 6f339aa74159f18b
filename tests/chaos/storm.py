"""Storms: troubles dealt from a shuffled deck, upon a busy city, and what makes everything good again.

A storm depends on its seed alone, as far as processes and sockets allow: the same troubles come at the same times.
"""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from tests.chaos.kit import QUIET_S_MAX, City
from tests.chaos.proxy import Proxy, Way
from tests.journey.kit import Family
from tests.postgres import Postgres

STORM_S: Final = 3.0
FAMILIES: Final = 6
SECONDARIES: Final = 3
HAND: Final = 13
TIERS: Final = ("Silver", "Gold", "Diamond")

Doing = Callable[[], Awaitable[object]]
DISTURB: Final[dict[str, Callable[[Proxy], None]]] = {
    "cut": Proxy.cut,
    "reset": Proxy.reset,
    "away": Proxy.leave,
    "frozen": Proxy.freeze,
    "frozen_there": lambda proxy: proxy.freeze(Way.THERE),
    "frozen_back": lambda proxy: proxy.freeze(Way.BACK),
    "slow": lambda proxy: proxy.slow_down(0.05),
    "cut_short": lambda proxy: proxy.cut_after(100),
}
WEATHER: Final[dict[str, dict[str, Any]]] = {
    "applied, then silent": {"adjust": {"applied_then_timeout": {"share": 0.2, "hold_ms": 50}}},
    "silent, not applied": {"adjust": {"timeout_before_applying": {"share": 0.2, "hold_ms": 50, "then": "reset"}}},
    "never an answer": {"adjust": {"applied_then_timeout": {"every": 9, "hold_ms": 10, "then": "never"}}},
    "slow pieces": {"groups": {"slow_body": {"share": 0.5, "ms": 20}}},
    "a proxy's error page": {"all": {"html_error": {"share": 0.2}}},
    "locked customers": {"adjust": {"locked": {"share": 0.3}}},
    "too many": {"adjust": {"rate_limited": {"every": 7, "retry_after_s": 1}}},
    "deliveries twice": {"events": {"duplicate": {"copies": 2}}},
    "deliveries shuffled": {"events": {"reorder": 5}},
    "deliveries late": {"events": {"stale": {"every": 3, "delay_ms": 700}}},
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens `at` so many seconds, to which replica, and for how long."""

    at: float
    kind: str
    whom: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Storm:
    """Everything that is drawn: the troubles, and who changes to which tier when."""

    seed: int
    troubles: tuple[Trouble, ...]
    changes: tuple[tuple[float, int, str], ...]

    def __str__(self) -> str:
        """Show it for a person who has to understand a failure."""
        return "\n".join([f"storm of seed {self.seed}", *map(str, self.troubles), *map(str, self.changes)])


def kinds(*, shared: bool) -> list[str]:
    """Name every trouble there is, with a database across a network or in a file."""
    lines = ("api", "sender", "database") if shared else ("api", "sender")
    found = [f"{line} {what}" for line in lines for what in DISTURB] + ["kill", "stop", *WEATHER]
    return [*found, "crash", "crash again"] if shared else found


def deal(seed: int, *, shared: bool, replicas: int) -> list[Storm]:
    """Deal every trouble once, in storms of a few each."""
    dice = random.Random(seed)  # noqa: S311 - to be repeated
    deck = kinds(shared=shared)
    dice.shuffle(deck)
    return [_draw(seed, dice, deck[begin : begin + HAND], replicas) for begin in range(0, len(deck), HAND)]


def _draw(seed: int, dice: random.Random, hand: Sequence[str], replicas: int) -> Storm:
    troubles = [
        Trouble(round(dice.uniform(0, STORM_S), 2), kind, dice.randrange(replicas), round(dice.uniform(0.2, 2), 2))
        for kind in hand
    ]
    changes = [(round(dice.uniform(0, STORM_S), 2), dice.randrange(FAMILIES), dice.choice(TIERS)) for _ in range(15)]
    return Storm(seed, tuple(sorted(troubles, key=lambda one: one.at)), tuple(sorted(changes)))


async def _nothing() -> None:
    """Do nothing."""


async def _soon(do: Callable[..., None], *with_: object) -> None:
    do(*with_)


class Weather:
    """Lets a storm loose on a city."""

    def __init__(self, here: City, postgres: Postgres | None, order: dict[str, Any]) -> None:
        """`order` is what every life of a service is told."""
        self._here, self._postgres, self._order = here, postgres, order

    async def over(self, storm: Storm) -> set[int]:
        """Have it rage over new families and pass; returns who may be adjusted."""
        town = self._here.town
        await town.clear()
        families = [town.newcomers(SECONDARIES) for _ in range(FAMILIES)]
        await town.seed(*(people.seed("Silver") for people in families))
        await town.switch(adjust={"latency": {"ms": 20, "jitter_ms": 40}})
        for replica in self._here.replicas:
            await replica.begin(**self._order)
        async with asyncio.TaskGroup() as going_on:
            going_on.create_task(self._change(storm, families))
            for trouble in storm.troubles:
                going_on.create_task(self._trouble(trouble))
        await self._calm()
        await town.quiet(QUIET_S_MAX)
        return {member for people in families for member in people.secondaries}

    async def _change(self, storm: Storm, families: Sequence[Family]) -> None:
        began = asyncio.get_running_loop().time()
        for at, family, tier in storm.changes:
            await asyncio.sleep(began + at - asyncio.get_running_loop().time())
            await self._here.town.decide(families[family].primary, tier)

    async def _trouble(self, trouble: Trouble) -> None:
        begin, end = self._doing(trouble)
        await asyncio.sleep(trouble.at)
        await begin()
        await asyncio.sleep(trouble.seconds)
        await end()

    def _doing(self, trouble: Trouble) -> tuple[Doing, Doing]:
        """Say how a trouble begins and how it ends."""
        replica, order = self._here.replicas[trouble.whom], self._order
        match trouble.kind.split():
            case ["kill"]:
                return partial(replica.end, signal.SIGKILL), partial(replica.begin_again, **order)
            case ["stop"]:
                return partial(_soon, replica.send, signal.SIGSTOP), partial(_soon, replica.send, signal.SIGCONT)
            case ["crash"]:
                return self._crash, _nothing
            case ["crash", "again"]:
                return self._crash, self._crash  # the second one amidst the recovery from the first, or soon after
            case [("api" | "sender" | "database") as which, what]:
                proxy = self._line(which, trouble.whom)
                return partial(_soon, DISTURB[what], proxy), partial(_soon, proxy.mend)
        return partial(self._here.town.switch, **WEATHER[trouble.kind]), _nothing

    def _line(self, which: str, whom: int) -> Proxy:
        if which == "sender":
            assert self._here.sender is not None
            return self._here.sender
        lines = self._here.lines[whom]
        proxy = lines.api if which == "api" else lines.database
        assert proxy is not None
        return proxy

    async def _crash(self) -> None:
        assert self._postgres is not None
        self._postgres.stop(signal.SIGKILL)
        self._postgres.start()

    async def _calm(self) -> None:
        """Mend every line, and see that everybody is there."""
        for proxy in self._lines():
            proxy.mend()
        for replica in self._here.replicas:
            replica.send(signal.SIGCONT)
            await replica.begin_again(**self._order)

    def _lines(self) -> Iterable[Proxy]:
        for lines in self._here.lines:
            yield from (proxy for proxy in (lines.api, lines.database) if proxy is not None)
        if self._here.sender is not None:
            yield self._here.sender
