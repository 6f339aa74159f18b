"""SIGTERM: what is in flight is finished, what is not begun is left due, and the next life goes on from there."""

import asyncio
from typing import Any

import pytest

from tests.chaos.kit import City
from tests.journey.kit import Town

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def policies() -> dict[str, Any]:
    """Few calls at once, so that a stop comes in the midst of them."""
    return {"key_calls_concurrent_max": 2}


async def some_done(town: Town) -> bool:
    """Say whether a few adjustments have been made."""
    return len([call for call in await town.calls("adjust") if call["finished"]]) > 3


async def test_a_stop_finishes_what_it_began_and_loses_nothing(here: City) -> None:
    """It exits with 0 and holds no key any more; the next life makes the other calls, and none is made twice."""
    families = [here.town.newcomers(secondaries=10) for _ in range(3)]
    await here.town.seed(*(people.seed("Silver") for people in families))
    await here.town.switch(adjust={"latency": {"ms": 100}})
    await here.begin()
    for people in families:
        await here.town.decide(people.primary, "Gold")
    await here.town.until(lambda: some_done(here.town))

    status = await here.end()
    left = await here.unfinished()
    held = await here.rows("SELECT count(*) FROM syncs WHERE owner IS NOT NULL")
    await here.begin()
    await here.quiet_or_dead()

    assert 0 == status
    assert left["due adjustments"] > 0, "it stopped too late to show anything"
    assert [(0,)] == held
    assert 30 == len(await here.town.calls("adjust"))
    assert [] == await here.differing()
    assert set() == await here.lost()


async def test_deliveries_during_a_stop_are_answered_or_come_again(here: City) -> None:
    """Whatever arrives while it stops is either stored or not answered 200, so that Capillary sends it again."""
    families = [here.town.newcomers(secondaries=1) for _ in range(60)]
    await here.town.seed(*(people.seed("Silver") for people in families))
    await here.begin()
    for people in families[:30]:
        await here.town.decide(people.primary, "Gold")
    stopping = asyncio.create_task(here.end())
    for people in families[30:]:
        await here.town.decide(people.primary, "Gold")

    status = await stopping
    lost = await here.lost()
    await here.begin()
    await here.quiet_or_dead()

    assert 0 == status
    assert set() == lost
    assert [] == await here.differing()
