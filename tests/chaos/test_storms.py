"""Storms: lines cut, frozen and slow, processes and the database killed, answers wrong or missing, all at once.

Every kind of trouble there is comes once in a deck; the long form plays many decks.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.chaos.judge import wrongs
from tests.chaos.kit import LONG, SEED, City, city_with_lines
from tests.chaos.storm import Storm, Weather, deal, kinds
from tests.postgres import Postgres

DECKS: Final = int(os.environ.get("TIERSYNC_CHAOS_DECKS", "10" if LONG else "1"))
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


def storms(*, shared: bool, replicas: int) -> Iterator[tuple[int, Storm]]:
    """Deal all decks; each has a seed of its own."""
    for seed in range(SEED, SEED + DECKS):
        for storm in deal(seed, shared=shared, replicas=replicas):
            yield seed, storm


@pytest.mark.slow
@pytest.mark.timeout(7200 if LONG else 300)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_after_every_storm_all_is_well(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Nothing is lost, all converge, nobody else is touched, no call comes after its fence or above the limit."""
    postgres = request.getfixturevalue("own_postgres") if kind == "postgresql" else None
    replicas, began, passed = 2 if postgres else 1, time.monotonic(), 0
    async with city_with_lines(tmp_path, postgres, replicas=replicas, **SETTINGS) as here:
        for seed, storm in storms(shared=postgres is not None, replicas=replicas):
            await weathered(here, postgres, storm)
            passed += 1
            print(f"{kind}: {passed} storms, deck {seed}, {time.monotonic() - began:.0f} s", flush=True)
        watched = here.fence is None or here.fence.seen

    assert watched, "no call crossed a line"


@pytest.mark.parametrize("shared", [False, True])
def test_a_deck_has_every_trouble_once_and_is_dealt_alike(*, shared: bool) -> None:
    """A seed names its storms, and none of the troubles is left out."""
    dealt = deal(SEED, shared=shared, replicas=2)

    assert dealt == deal(SEED, shared=shared, replicas=2)
    assert sorted(kinds(shared=shared)) == sorted(trouble.kind for storm in dealt for trouble in storm.troubles)
