"""The wall clock steps, as clocks do: backwards or forwards, within a life or between two, work goes on."""

import pytest

from tests.chaos.kit import City

pytestmark = pytest.mark.asyncio(loop_scope="module")
HOUR = 3600
POINTS = ["after commit: receive", "after commit: claim", "after commit: plan", "before settle", "before release"]


@pytest.mark.parametrize("seconds", [-HOUR, HOUR], ids=["backwards", "forwards"])
@pytest.mark.parametrize("point", POINTS)
async def test_a_step_of_the_clock_during_the_work(here: City, point: str, seconds: int) -> None:
    """When the clock steps by an hour in the midst of a retried change, the group is in step long before that hour."""
    people = here.town.newcomers()
    await here.town.seed(people.seed("Silver"))
    await here.town.switch(adjust={"server_error": {"first": 4}})
    await here.begin(shift=[point, 1, seconds])

    await here.town.decide(people.primary, "Gold")
    dead = await here.quiet_or_dead()

    assert not dead, here.tail()
    assert here.logged("clock.shifted")
    assert [] == await here.differing()


async def test_a_clock_that_was_behind_in_the_life_before(here: City) -> None:
    """What a life with a clock an hour behind left unfinished is taken up by the next one at once."""
    people = here.town.newcomers()
    await here.town.seed(people.seed("Silver"))
    await here.town.switch(adjust={"server_error": {"first": 6}})
    await here.begin(shift=["after commit: reclaim", 1, -HOUR], kill=["before settle", 1])
    await here.town.decide(people.primary, "Gold")
    assert await here.quiet_or_dead()

    await here.begin()
    dead = await here.quiet_or_dead()

    assert not dead, here.tail()
    assert [] == await here.differing()


async def test_the_newest_event_wins_whatever_our_clock_says(here: City) -> None:
    """Capillary's createdAt orders the changes of a primary: a step of our clock between two arrivals does not."""
    people = here.town.newcomers()
    await here.town.seed(people.seed("Silver"))
    await here.begin(shift=["after commit: receive", 1, -HOUR])

    await here.town.deliver(here.town.tier_event(people.primary, 2))
    await here.town.deliver(here.town.tier_event(people.primary, 3))
    dead = await here.quiet_or_dead()

    assert not dead, here.tail()
    assert here.logged("clock.shifted")
    assert {"Diamond"} == await here.town.followers(people)
