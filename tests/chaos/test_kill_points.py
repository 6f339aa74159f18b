"""SIGKILL at every commit boundary and at every named point of the work: nothing answered is lost, everybody converges.

A reference life tells which points there are and how often each is passed. The short form kills at the first and the
last passing of every point and at a seeded sample of the others; `TIERSYNC_CHAOS=long` kills at every passing.
"""

import os
import random
import signal
from pathlib import Path
from typing import Final

import pytest

from tests.chaos.kit import City, city
from tests.journey.kit import PROGRAM

SEED: Final = int(os.environ.get("TIERSYNC_CHAOS_SEED", "20261122"))
LONG: Final = os.environ.get("TIERSYNC_CHAOS") == "long"
SAMPLE: Final = 5
VERBS: Final = {"reclaim", "receive", "claim", "plan", "settle", "release"}
NAMED: Final = {"before plan", "before call", "after call", "before settle", "before release"}
TROUBLES: Final = {
    "adjust": {"applied_then_timeout": {"share": 0.15, "seed": 1, "hold_ms": 5}, "locked": {"share": 0.15, "seed": 2}},
    "tiers": {"server_error": {"share": 0.15, "seed": 3}},
}


async def rise_and_fall(here: City) -> set[int]:
    """Let two families and a newcomer go through every kind of event; returns who may be adjusted."""
    town = here.town
    await town.clear()
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
    await here.begin(points=str(points))
    await rise_and_fall(here)
    assert not await here.quiet_or_dead()
    assert 0 == await here.end()
    return here.passed(points)


def killings(passed: dict[str, int]) -> list[tuple[str, int]]:
    """Choose where to kill: (point, passing)."""
    every = [(point, passing) for point, count in sorted(passed.items()) for passing in range(1, count + 1)]
    if LONG:
        return every
    ends = {(point, passing) for point, count in passed.items() for passing in (1, count)}
    between = sorted(set(every) - ends)
    return sorted(ends) + random.Random(SEED).sample(between, min(SAMPLE, len(between)))  # noqa: S311 - repeatable


async def dies_and_lives(here: City, point: str, passing: int) -> bool:
    """Kill at a point, start again, and see that all is well; say whether the point was reached."""
    await here.begin(kill=[point, passing])
    may_be_touched = await rise_and_fall(here)
    killed = await here.quiet_or_dead()
    if killed:
        assert -9 == await here.end(), "it ended by something else than its own SIGKILL"
        await here.begin()
        assert not await here.quiet_or_dead()
    await here.end(signal.SIGKILL)
    assert set() == await here.lost()
    assert [] == await here.differing()
    assert dict.fromkeys(here.unfinished(), 0) == here.unfinished()
    assert await here.town.touched() <= may_be_touched
    return killed


@pytest.mark.slow
@pytest.mark.timeout(3600 if LONG else 300)
async def test_killed_at_every_point_it_loses_nothing(tmp_path: Path) -> None:
    """Wherever it is killed, a restart brings every active secondary in step, and touches nobody else."""
    async with city(tmp_path, default_program=PROGRAM, burst_tries_max=1) as here:
        passed = await reference(here, tmp_path / "points.json")
        boundaries = {f"{when} commit: {verb}" for when in ("before", "after") for verb in VERBS}
        assert boundaries | NAMED <= passed.keys()

        reached = set()
        for point, passing in killings(passed):
            try:
                if await dies_and_lives(here, point, passing):
                    reached.add(point)
            except BaseException as error:
                error.add_note(f"seed {SEED}, killed at {point!r}, passing {passing}\n{here.tail()}")
                raise

        assert passed.keys() == reached
