"""SIGKILL at every commit boundary of a replay: what it had not come to is still dead, and a second one takes it up."""

import pytest

from tests.chaos.kit import City

pytestmark = pytest.mark.asyncio(loop_scope="module")
BARRED = 3045


@pytest.mark.parametrize("verb", ["begin_job", "advance_job", "end_job"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_replay_killed_halfway_is_taken_up_by_the_next(here: City, when: str, verb: str) -> None:
    """After a killed replay and a second one every group is in step: no event is stuck between dead and due."""
    families = [here.town.newcomers(secondaries=1) for _ in range(3)]
    await here.town.seed(*(people.seed("Silver") for people in families))
    await here.town.switch(adjust={"refuse": {str(people.secondaries[0]): BARRED for people in families}})
    await here.begin()
    for people in families:
        await here.town.decide(people.primary, "Gold")
    assert not await here.quiet_or_dead()
    await here.end()
    await here.town.switch(adjust={"refuse": {}})

    killed = await here.replay(kill=[f"{when} commit: {verb}", 1])
    again = await here.replay()
    await here.begin()
    dead = await here.quiet_or_dead()

    assert (-9, 0) == (killed, again)
    assert not dead, here.tail()
    assert [] == await here.differing()
    assert dict.fromkeys(here.unfinished(), 0) == here.unfinished()
