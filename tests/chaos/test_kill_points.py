"""SIGKILL at every commit boundary and at every named point of the work: nothing answered is lost, everybody converges.

A reference life tells which points there are and how often each is passed. The short form kills at the first and the
last passing of every point and at a seeded sample of the others, on PostgreSQL at a sample of all; there every second
death happens beside another replica. `TIERSYNC_CHAOS=long` goes through every passing, again and again until so
many have died, `TIERSYNC_CHAOS_RUNS` in all: three of four on SQLite, where a death is quicker got over. Each city has
one death at a time, and its own store.
"""

import os
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from itertools import count, islice
from pathlib import Path
from typing import Any, Final

import pytest

from tests.chaos.judge import wrongs
from tests.chaos.kit import LONG, QUIET_S_MAX, SEED, City, city, city_with_lines, side_by_side
from tests.chaos.progress import Progress
from tests.journey.kit import PROGRAM
from tests.postgres import Postgres

RUNS: Final = int(os.environ.get("TIERSYNC_CHAOS_RUNS", "1000"))
SAMPLE: Final = 5
SAMPLE_ON_POSTGRESQL: Final = 8
# A death is mostly waiting: for a retry, and on PostgreSQL for a lease to end. Several at once keep two cores busy.
CITIES: Final = 2
CITIES_ON_POSTGRESQL: Final = 4 if LONG else 2
CALLS_MAX: Final = 150
MINUTE_S: Final = 2.0
VERBS: Final = {"reclaim", "receive", "claim", "plan", "settle", "release", "lease"}
NAMED: Final = {"before plan", "before call", "after call", "before settle", "before release"}
TROUBLES: Final = {
    "adjust": {"applied_then_timeout": {"share": 0.15, "seed": 1, "hold_ms": 5}, "locked": {"share": 0.15, "seed": 2}},
    "tiers": {"server_error": {"share": 0.15, "seed": 3}},
}
SETTINGS: Final[dict[str, Any]] = {
    "default_program": PROGRAM, "burst_tries_max": 1, "calls_per_minute_max": CALLS_MAX,
    "settle_batch_max": 2,  # of three outcomes two are written by themselves, and one with the release
}  # fmt: skip
# Who died in a shared database is replaced when its lease has ended: a short one makes for many deaths in an hour.
SHORT_LEASE: Final = {"call_s_max": 0.75, "connect_s_max": 0.75, "attempt_s_max": 1, "lease_s": 3}


async def rise_and_fall(here: City) -> set[int]:
    """Let two families and a newcomer go through every kind of event; returns who may be adjusted."""
    town = here.town
    first, second = town.newcomers(secondaries=3), town.newcomers(secondaries=3)
    joining = town.newcomers(secondaries=0).primary
    leaving = second.secondaries[0]
    customers = [{"id": joining}, {"id": leaving, "externalId": f"leaver-{leaving}"}]
    await town.seed(first.seed("Silver"), second.seed("Silver"), customers=customers)
    await town.switch(**TROUBLES)
    await town.decide(first.primary, "Gold")
    await town.decide(second.primary, "Diamond")
    await town.join(first, joining)
    await town.decide(first.primary, "Silver")
    await town.decide(second.primary, "Diamond")
    await town.leave(second, f"leaver-{leaving}")
    await town.decide(first.primary, "Diamond")
    return {*first.secondaries, *second.secondaries, joining}


async def reference(here: City, points: Path) -> dict[str, int]:
    """Live once undisturbed; returns how often each point was passed."""
    await here.clear()
    await here.begin(points=str(points), minute_s=MINUTE_S)
    await rise_and_fall(here)
    assert not await here.quiet_or_dead()
    assert 0 == await here.end()
    return here.passed(points)


def killings(passed: dict[str, int], *, shared: bool) -> Iterator[tuple[str, int]]:
    """Choose where to kill: (point, passing), the first and the last passing of each point before all others."""
    dice = random.Random(SEED)  # noqa: S311 - repeatable
    ends = sorted({(point, passing) for point, count in passed.items() for passing in (1, count)})
    every = {(point, passing) for point, count in passed.items() for passing in range(1, count + 1)}
    between = sorted(every.difference(ends))
    if LONG:
        for _ in count():
            dice.shuffle(between)
            yield from (*ends, *between)
    elif shared:
        yield from dice.sample(ends, SAMPLE_ON_POSTGRESQL)
    else:
        yield from (*ends, *dice.sample(between, min(SAMPLE, len(between))))


async def dies_and_lives(here: City, point: str, passing: int, *, beside: bool) -> bool:
    """Kill at a point, start again if nobody is beside it, and see that all is well; say whether it was reached."""
    first, last = here.replicas[0], here.replicas[-1]
    await here.clear()
    if beside:
        await last.begin(minute_s=MINUTE_S)
    await first.begin(kill=[point, passing], minute_s=MINUTE_S)
    may_be_touched = await rise_and_fall(here)
    killed = await here.quiet_or_dead()
    if killed:
        assert -9 == await first.end(), "it ended by something else than its own SIGKILL"
        if not beside:
            await last.begin(minute_s=MINUTE_S)
        await here.town.quiet(QUIET_S_MAX)
    wrong = await wrongs(here, may_be_touched, CALLS_MAX, MINUTE_S)
    await here.end(signal.SIGKILL)
    assert [] == wrong
    return killed


async def killed_everywhere(cities: Sequence[City], points: Path, needed: set[str], *, shared: bool) -> None:
    """Die at all the chosen points, in several cities at once."""
    passed = await reference(cities[0], points)
    assert needed <= passed.keys()

    reached = set()
    runs = RUNS // 4 if shared else RUNS - RUNS // 4
    chosen = list(islice(killings(passed, shared=shared), runs))
    deaths = Progress(f"deaths on {'PostgreSQL' if shared else 'SQLite'}", len(chosen))

    async def die(here: City, death: tuple[int, tuple[str, int]]) -> None:
        number, (point, passing) = death
        beside = shared and number % 2 == 0
        try:
            if await dies_and_lives(here, point, passing, beside=beside):
                reached.add(point)
        except BaseException as error:
            error.add_note(f"seed {SEED}, killed at {point!r}, passing {passing}, beside {beside}\n{here.tail()}")
            raise
        deaths.one_more()

    await side_by_side(cities, enumerate(chosen, start=1), die)

    assert reached
    assert needed <= reached or (shared and not LONG), f"never reached: {needed - reached}"


@pytest.mark.slow
@pytest.mark.timeout(3600 if LONG else 300)
async def test_killed_at_every_point_it_loses_nothing(tmp_path: Path) -> None:
    """Wherever it is killed, a restart brings every active secondary in step, and touches nobody else."""
    needed = {f"{when} commit: {verb}" for when in ("before", "after") for verb in VERBS} | NAMED
    async with AsyncExitStack() as stack:
        founding = (city(tmp_path / f"city-{number}", **SETTINGS) for number in range(CITIES))
        cities = [await stack.enter_async_context(each) for each in founding]
        await killed_everywhere(cities, tmp_path / "points.json", needed, shared=False)


@pytest.mark.slow
@pytest.mark.timeout(3600 if LONG else 300)
async def test_killed_at_every_point_another_replica_takes_over(tmp_path: Path, own_postgres: Postgres) -> None:
    """Wherever a replica is killed, one beside it or the next one brings every active secondary in step, fenced."""
    verbs = VERBS - {"reclaim"}  # nobody is alone there
    needed = {f"{when} commit: {verb}" for when in ("before", "after") for verb in verbs} | NAMED
    async with AsyncExitStack() as stack:
        founding = (
            city_with_lines(tmp_path / f"city-{number}", own_postgres, replicas=2, **SETTINGS, **SHORT_LEASE)
            for number in range(CITIES_ON_POSTGRESQL)
        )
        cities = [await stack.enter_async_context(each) for each in founding]
        await killed_everywhere(cities, tmp_path / "points.json", needed, shared=True)
        assert any(here.fence is not None and here.fence.seen for here in cities)
