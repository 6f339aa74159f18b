"""The whole service on virtual time: many short histories, each drawn from its seed, each repeatable.

`TIERSYNC_SIMULATION=20000` plays so many; `TIERSYNC_SIMULATION_SEED` is the first.
"""

import logging
import os
from collections.abc import Iterator

import pytest
import structlog
from sqlalchemy import Engine

from tests.simulation.history import Happening, History, Play, check, draw, smallest
from tests.simulation.plant import tables

FIRST = int(os.environ.get("TIERSYNC_SIMULATION_SEED", "1"))
COUNT = int(os.environ.get("TIERSYNC_SIMULATION", "400"))
PART = 1000
PARTS = [range(begin, min(begin + PART, FIRST + COUNT)) for begin in range(FIRST, FIRST + COUNT, PART)]
"""A test for each thousand, so that they are shared out to several processes, and one sees how far it is."""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Tables in memory, emptied before each history."""
    found = tables()
    yield found
    found.dispose()


@pytest.fixture(autouse=True)
def _without_words() -> Iterator[None]:
    """Thousands of histories have nothing to say; the failing one is printed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seeds", PARTS, ids=lambda part: f"{part[0]}-{part[-1]}")
def test_every_history_ends_well(engine: Engine, seeds: range) -> None:
    """Whatever dies, freezes, fails, repeats or overtakes: nothing is lost, all converge, nobody else is touched."""
    failing = check(seeds, engine)

    assert failing is None, failing


@pytest.mark.parametrize("seed", [3, 5, 220])
def test_a_history_repeats_itself(engine: Engine, seed: int) -> None:
    """The same history takes the same way: as many tasks, as many calls, over at the same virtual instant."""
    traces = []
    for _ in range(2):
        play = Play(draw(seed), engine)
        play.run()
        traces.append((len(play.loop.tasks), play.world.called_at, play.loop.time(), play.world.tiers))

    assert traces[0] == traces[1]


def test_what_is_wrong_is_found(engine: Engine) -> None:
    """A secondary that is not in its primary's tier at the end is reported: the judge is awake."""
    play = Play(History(1, 1, (Happening(0.0, "faults"),)), engine)
    play.world.tiers[101] = 3

    assert ["101 is in tier 3, its primary 100 in 1"] == play.run()


def test_a_failing_history_is_made_small() -> None:
    """Only the happenings that the failure needs are left, in their order."""
    long = draw(220)
    needed = {long.happenings[1], long.happenings[-1]}

    found = smallest(long, lambda shorter: needed <= set(shorter.happenings))

    assert tuple(one for one in long.happenings if one in needed) == found.happenings
