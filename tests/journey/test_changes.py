"""Upgrade, downgrade, renewal, membership: what a change of the primary does to the group by default."""

import pytest

from tests.journey.kit import Town

DATABASES = ("sqlite", "postgresql")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("before", "tier", "after", "actions"),
    [
        ("Silver", "Gold", "Gold", ["UPGRADE"]),
        ("Silver", "Diamond", "Diamond", ["UPGRADE"]),
        ("Diamond", "Silver", "Silver", ["DOWNGRADE"]),
        ("Gold", "Gold", "Gold", ["RENEWAL"]),
    ],
)
async def test_a_group_in_step_needs_one_call_for_each_secondary(
    here: Town, before: str, tier: str, after: str, actions: list[str]
) -> None:
    """Who stands where the primary stood is brought along by exactly one adjustment; primary and exited get none."""
    people = here.newcomers()
    await here.seed(people.seed(before))

    await here.decide(people.primary, tier)
    await here.quiet()

    calls = await here.calls("adjust")
    assert {after} == await here.followers(people)
    assert sorted(people.secondaries) == sorted(call["customer"] for call in calls)
    assert actions * len(people.secondaries) == [call["action"] for call in calls]


@pytest.mark.parametrize(
    ("name", "stray", "actions"),
    [
        ("tierUpgraded", "Silver", ["UPGRADE"]),
        ("tierUpgraded", "Gold", ["UPGRADE"]),
        ("tierUpgraded", "Diamond", ["UPGRADE", "DOWNGRADE"]),
        ("tierDowngraded", "Silver", ["DOWNGRADE", "UPGRADE"]),
        ("tierDowngraded", "Gold", ["DOWNGRADE"]),
        ("tierDowngraded", "Diamond", ["DOWNGRADE"]),
        ("tierRenewed", "Silver", ["UPGRADE"]),
        ("tierRenewed", "Gold", ["RENEWAL"]),
        ("tierRenewed", "Diamond", ["DOWNGRADE"]),
    ],
)
async def test_a_secondary_that_stood_elsewhere_is_brought_in_step(
    here: Town, name: str, stray: str, actions: list[str]
) -> None:
    """Whatever the event and wherever a secondary stood, it ends in the event's tier, by the fewest calls."""
    people = here.newcomers(secondaries=1)
    await here.seed(people.seed(stray))
    event = here.tier_event(people.primary, 2, name)

    await here.deliver(event)
    await here.quiet()

    assert {"Gold"} == await here.followers(people)
    assert actions == [call["action"] for call in await here.calls("adjust")]
    assert {"done"} == {status for status, _ in (await here.owed(event["eventId"])).values()}


@pytest.mark.parametrize("refusals", ["200", "400", "empty", "html"])
async def test_an_upgrade_of_who_is_already_there_is_no_failure(here: Town, refusals: str) -> None:
    """In whatever form Capillary refuses an upgrade to the tier that is held, the adjustment is done: already there."""
    people = here.newcomers()
    await here.seed(people.seed("Gold"))
    await here.switch(answers={"refusals": refusals})
    event = here.tier_event(people.primary, 2)

    await here.deliver(event)
    await here.quiet()

    assert dict.fromkeys(people.secondaries, ("done", "already")) == await here.owed(event["eventId"])


async def test_a_burst_of_changes_ends_in_the_newest_tier(here: Town) -> None:
    """Changes that come faster than they can be carried out end in the newest tier; those overtaken say so."""
    people = here.newcomers(secondaries=5)
    await here.seed(people.seed())
    await here.switch(adjust={"latency": {"ms": 30}})
    events = [here.tier_event(people.primary, tier) for tier in (2, 3, 1, 3, 2)]

    for event in events:
        await here.deliver(event)
    await here.quiet()

    statuses = [(await here.event(event["eventId"]))["status"] for event in events]
    assert {"Gold"} == await here.followers(people)
    assert "done" == statuses.pop()
    assert {"superseded"} >= set(statuses) - {"done"}
    assert set(people.secondaries) == await here.touched()


async def test_an_older_event_that_comes_late_changes_nothing(here: Town) -> None:
    """What comes late is stored as superseded: the group stays in the newest tier, and no call is made."""
    people = here.newcomers()
    await here.seed(people.seed())
    old, new = here.tier_event(people.primary, 2), here.tier_event(people.primary, 3)
    await here.deliver(new)
    await here.quiet()
    before = await here.calls()

    await here.deliver(old)
    await here.quiet()

    stored = await here.event(old["eventId"])
    assert ("superseded", "stale") == (stored["status"], stored["reason"])
    assert {"Diamond"} == await here.followers(people)
    assert before == await here.calls()


async def test_a_renewal_that_overtakes_an_upgrade_still_carries_it_out(here: Town) -> None:
    """A newer event inherits what the one that it overtook still owed."""
    people = here.newcomers()
    await here.seed(people.seed())
    await here.switch(groups={"server_error": {"first": 3}})

    await here.deliver(here.tier_event(people.primary, 2))
    await here.deliver(here.tier_event(people.primary, 2, "tierRenewed"))
    await here.quiet()

    assert {"Gold"} == await here.followers(people)
    assert set(people.secondaries) == await here.touched()


async def test_who_left_between_two_tries_is_not_adjusted(here: Town) -> None:
    """A secondary that leaves while its adjustment waits is dropped: its tier stays what leaving made it."""
    people = here.newcomers()
    stays, leaves = people.secondaries[0], people.secondaries[1]
    await here.seed(people.seed("Gold"), customers=[{"id": leaves, "externalId": "leaver"}])
    await here.switch(adjust={"server_error": {"customers": [leaves]}})
    [event_id] = await here.decide(people.primary, "Diamond")
    await here.until(lambda: here.settled(event_id, stays))

    await here.leave(people, "leaver")
    await here.until(lambda: here.settled(event_id, leaves))
    await here.switch(adjust={"server_error": None})
    await here.quiet()

    assert ("skipped", "left") == (await here.owed(event_id))[leaves]
    assert "Silver" == (await here.tiers(people))[leaves]
    assert "Diamond" == (await here.tiers(people))[stays]


async def test_a_group_without_primary_is_left_alone(here: Town) -> None:
    """Where Capillary shows no primary, the event is recorded as ignored and nobody is adjusted."""
    people = here.newcomers()
    await here.seed(people.seed())
    await here.switch(answers={"primary": "absent"})

    [event_id] = await here.decide(people.primary, "Gold")
    await here.quiet()

    stored = await here.event(event_id)
    assert ("ignored", "not_primary") == (stored["status"], stored["reason"])
    assert set() == await here.touched()


async def test_a_customer_who_leads_no_group_concerns_nobody(here: Town) -> None:
    """A tier event of somebody who is no primary is recorded as ignored, after one look at Capillary."""
    people = here.newcomers()
    await here.seed(people.seed())

    [event_id] = await here.decide(people.secondaries[0], "Gold")
    await here.quiet()

    stored = await here.event(event_id)
    assert ("ignored", "not_primary") == (stored["status"], stored["reason"])
    assert ["groups"] == [call["family"] for call in await here.calls()]


async def test_our_own_adjustments_coming_back_cost_nothing(here: Town) -> None:
    """The events that our adjustments set off are recorded as echoes and ask Capillary nothing."""
    people = here.newcomers()
    await here.seed(people.seed())

    await here.decide(people.primary, "Gold")
    await here.quiet()

    echoes = [event for event in await here.events() if event["customer"] in people.secondaries]
    assert [("ignored", "echo")] * 3 == [(event["status"], event["reason"]) for event in echoes]
    assert 1 == len(await here.calls("groups"))
