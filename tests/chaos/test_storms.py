"""Storms: lines cut, frozen and slow, processes and the database killed, answers wrong or missing, all at once.

Every kind of trouble there is comes once in a deck; the long form plays many decks.
"""

import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.chaos.judge import wrongs
from tests.chaos.kit import LONG, SEED, City, city_with_lines, side_by_side
from tests.chaos.progress import Progress
from tests.chaos.storm import Storm, Weather, deal, kinds
from tests.postgres import Postgres, server

DECKS: Final = int(os.environ.get("TIERSYNC_CHAOS_DECKS", "10" if LONG else "1"))
CITIES: Final = 2 if LONG else 1
CALLS_MAX: Final = 40
MINUTE_S: Final = 2.0
SETTINGS: Final = {"calls_per_minute_max": CALLS_MAX, "lease_s": 4, "database_statement_s_max": 2}


async def weathered(here: City, postgres: Postgres | None, storm: Storm) -> None:
    """Let a storm pass and see that every promise was kept."""
    try:
        may_be_touched = await Weather(here, postgres, {"minute_s": MINUTE_S}).over(storm)
        assert [] == await wrongs(here, may_be_touched, CALLS_MAX, MINUTE_S)
    except BaseException as error:
        error.add_note(f"{storm}\n{here.tail()}")
        raise
    finally:
        await here.end(signal.SIGKILL)


def storms(*, shared: bool, replicas: int) -> list[Storm]:
    """Deal all decks; each has a seed of its own."""
    decks = (deal(seed, shared=shared, replicas=replicas) for seed in range(SEED, SEED + DECKS))
    return [storm for deck in decks for storm in deck]


@pytest.mark.slow
@pytest.mark.timeout(3600 if LONG else 300)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_after_every_storm_all_is_well(kind: str, tmp_path: Path) -> None:
    """Nothing is lost, all converge, nobody else is touched, no call comes after its fence or above the limit."""
    shared, replicas = kind == "postgresql", 2 if kind == "postgresql" else 1
    coming = storms(shared=shared, replicas=replicas)
    passed = Progress(f"storms over {'PostgreSQL' if shared else 'SQLite'}", len(coming))
    async with AsyncExitStack() as stack:
        # Each has a server of its own: some storms kill it.
        servers = [stack.enter_context(server()) if shared else None for _ in range(CITIES)]
        founding = (
            city_with_lines(tmp_path / f"city-{number}", each, replicas=replicas, database_too=True, **SETTINGS)
            for number, each in enumerate(servers)
        )
        cities = [await stack.enter_async_context(each) for each in founding]
        of = {id(here): each for here, each in zip(cities, servers, strict=True)}

        async def rage(here: City, storm: Storm) -> None:
            await weathered(here, of[id(here)], storm)
            passed.one_more()

        await side_by_side(cities, coming, rage)

        assert all(here.fence is None or here.fence.seen for here in cities), "no call crossed a line"


@pytest.mark.parametrize("shared", [False, True])
def test_a_deck_has_every_trouble_once_and_is_dealt_alike(*, shared: bool) -> None:
    """A seed names its storms, and none of the troubles is left out."""
    dealt = deal(SEED, shared=shared, replicas=2)

    assert dealt == deal(SEED, shared=shared, replicas=2)
    assert sorted(kinds(shared=shared)) == sorted(trouble.kind for storm in dealt for trouble in storm.troubles)
