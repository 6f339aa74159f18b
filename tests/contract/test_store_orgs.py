"""Pausing an org, and what a breaker says, as the tables keep it: nobody claims what is held back."""

import pytest

from tests.contract.store_kit import ANN, NOW, ORG, Hand, owed, tier_change
from tiersync.store import BreakerNews, OrgState, Release, Want, known_orgs

HERE, ELSEWHERE = tier_change("e1"), tier_change("e2", org=1)


async def paused(hand: Hand, org: int = ORG) -> bool:
    """Pause an org."""
    return await hand.store.pause(org, by="ops", reason="migration", now=NOW)


async def test_a_paused_org_is_received_for_and_not_worked_for(hand: Hand) -> None:
    """Events of a paused org are stored and stay due; its keys are neither found nor claimed until it is resumed."""
    await paused(hand)
    here, elsewhere = await hand.due(HERE), await hand.due(ELSEWHERE)

    found = await hand.due_keys()
    claim = await hand.store.claim(Want(here, "hand", NOW, NOW + 1000))
    resumed = await hand.store.resume(ORG)

    assert ([elsewhere], None, True) == (found, claim, resumed)
    assert {here, elsewhere} == {*await hand.due_keys()}
    assert 0 == (await hand.claimed(here)).attempt


async def test_org_0_holds_back_every_org(hand: Hand) -> None:
    """A pause of org 0 is a pause of all, named or not."""
    await paused(hand, 0)
    key = await hand.due(HERE)

    assert [] == await hand.due_keys()
    assert await hand.store.claim(Want(key, "hand", NOW, NOW + 1000)) is None


async def test_what_was_claimed_before_the_pause_is_released_as_usual(hand: Hand) -> None:
    """A pause takes no claim away: what was done is written down, what was not stays due."""
    key = await hand.due(HERE)
    claim = await hand.claimed(key)
    await hand.planned(claim, owed(ANN))
    await paused(hand)

    due_at = await hand.released(claim)

    assert NOW == due_at
    assert {ANN: "due"} == await hand.adjustments("e1")
    assert [] == await hand.due_keys()


async def test_who_paused_first_stays_on_record(hand: Hand) -> None:
    """A second pause changes nothing, and there is nothing to resume twice."""
    first, second = await paused(hand), await hand.store.pause(ORG, by="other", reason=None, now=NOW + 1)
    (state,) = await hand.store.orgs()
    ended = [await hand.store.resume(org) for org in (ORG, ORG, 77)]

    assert (True, False) == (first, second)
    assert OrgState(ORG, paused_at=NOW, paused_by="ops", pause_reason="migration") == state
    assert [True, False, False] == ended
    assert [OrgState(ORG)] == await hand.store.orgs()


async def test_an_open_breaker_holds_back_until_its_probe(hand: Hand) -> None:
    """Nobody claims a key of an org whose Capillary is away, until it is time for a probe or the breaker closes."""
    key = await hand.due(HERE)
    await hand.store.tell_breaker(BreakerNews(ORG, "open", "no_answer", NOW + 5000, NOW))
    (state,) = await hand.store.orgs()
    open_until = [await hand.due_keys(now) for now in (NOW + 4999, NOW + 5000)]
    await hand.store.tell_breaker(BreakerNews(ORG, "closed", None, None, NOW + 1))

    assert ("open", NOW, NOW + 5000, "no_answer") == (
        state.breaker,
        state.breaker_at,
        state.breaker_until,
        state.breaker_reason,
    )
    assert [[], [key]] == open_until
    assert [key] == await hand.due_keys(NOW + 1)


@pytest.mark.parametrize("planned", [False, True])
async def test_a_key_that_could_not_be_worked_on_is_due_at_the_probe(hand: Hand, *, planned: bool) -> None:
    """It comes back when a call may be made again, not at once, and has spent no attempt."""
    key = await hand.due(HERE)
    claim = await hand.claimed(key)
    if planned:
        await hand.planned(claim, owed(ANN))

    due_at = await hand.store.release(Release(claim, NOW, not_before=NOW + 5000))

    assert NOW + 5000 == due_at
    assert 0 == (await hand.claimed(key, NOW + 5000)).attempt


def test_orgs_of_the_settings_and_of_the_table_are_listed_once() -> None:
    """An org of which nothing is known works; one that is no longer configured is shown while it is on record."""
    paused_one = OrgState(2, paused_at=NOW)

    assert [OrgState(1), paused_one, OrgState(3)] == known_orgs([paused_one, OrgState(3)], [2, 1])
