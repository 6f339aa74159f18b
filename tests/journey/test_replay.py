"""Dead work and the operator: `tiersync replay` brings it right, while the server runs and while it does not."""

from pathlib import Path
from typing import Any

import pytest

from tests.journey.kit import SECRET, TOKEN, Family, Town, town

pytestmark = pytest.mark.asyncio(loop_scope="module")
BARRED = 3045


async def refused(here: Town, **seeding: Any) -> tuple[Family, str]:
    """Let the primary of a new family rise to Gold while Capillary refuses one of its secondaries."""
    people = here.newcomers(**seeding)
    await here.seed(people.seed("Silver"))
    await here.switch(adjust={"refuse": {str(people.secondaries[0]): BARRED}})
    [event_id] = await here.decide(people.primary, "Gold")
    await here.quiet()
    return people, event_id


async def test_a_refused_secondary_is_dead_and_the_others_are_done(here: Town) -> None:
    """A refusal is final for one secondary, is kept with code and message, and costs one call; the others follow."""
    people, event_id = await refused(here)

    event = await here.event(event_id)

    dead, *done = event["adjustments"]
    assert ("dead", "customer_barred") == (event["status"], event["reason"])
    assert ("dead", BARRED, 1) == (dead["status"], dead["code"], dead["attempts"])
    assert "not allowed for the customer" in dead["message"]
    assert {("done", "applied")} == {(row["status"], row["outcome"]) for row in done}
    assert 1 == sum(call["customer"] == people.secondaries[0] for call in await here.calls("adjust"))


@pytest.mark.parametrize("stopped", [False, True], ids=["beside the server", "without a server"])
async def test_a_replay_brings_a_dead_secondary_right(here: Town, stopped: bool) -> None:  # noqa: FBT001
    """Once Capillary allows it, a replay adjusts who was dead, and sends nothing for who was done."""
    people, event_id = await refused(here)
    await here.switch(adjust={"refuse": {}})
    before = len(await here.calls("adjust"))
    if stopped:
        await here.stop()

    report = await here.replay("--status", "dead", "--customer", str(people.primary))
    if stopped:
        await here.start()
    await here.quiet()

    job = report.pop("job")
    assert {"status": "done", "matched": 1, "done": 1, "due": 1, "converges": 0, "unchanged": 0} == report
    assert job in [found["id"] for found in await here.json("jobs")]
    assert {"Gold"} == await here.followers(people)
    assert "done" == (await here.event(event_id))["status"]
    assert [people.secondaries[0]] == [call["customer"] for call in (await here.calls("adjust"))[before:]]


async def test_a_dry_run_changes_nothing(here: Town) -> None:
    """`--dry-run` says how many events it would replay, and leaves them as they are."""
    people, event_id = await refused(here)
    await here.switch(adjust={"refuse": {}})
    before = await here.event(event_id)

    report = await here.replay("--dry-run", "--customer", str(people.primary))
    await here.quiet()

    assert {"dry_run": True, "matched": 1} == report
    assert before == await here.event(event_id)


async def test_an_overtaken_event_leads_to_the_newest_tier_unless_forced(here: Town) -> None:
    """Replaying what was overtaken repairs the group at its newest tier; only `--force` goes back to its own."""
    people = here.newcomers()
    await here.seed(people.seed("Silver", "Diamond"))
    old, new = here.tier_event(people.primary, 2), here.tier_event(people.primary, 3)
    for event in (old, new):
        await here.deliver(event)
        await here.quiet()
    await here.decide(people.secondaries[0], "Silver")
    await here.quiet()

    report = await here.replay(old["eventId"])
    await here.quiet()
    newest = await here.followers(people)
    forced = await here.replay("--force", old["eventId"])
    await here.quiet()

    assert 1 == report["converges"]
    assert {"Diamond"} == newest
    assert 1 == forced["due"]
    assert {"Gold"} == await here.followers(people)


async def test_what_is_newer_wins_after_a_forced_step_back(here: Town) -> None:
    """A forced replay does not make the next change of the primary look old."""
    people = here.newcomers()
    await here.seed(people.seed("Silver"))
    old, new, newer = (here.tier_event(people.primary, tier) for tier in (2, 3, 1))
    await here.deliver(old)
    await here.deliver(new)
    await here.quiet()
    await here.replay("--force", old["eventId"])
    await here.quiet()

    await here.deliver(newer)
    await here.quiet()

    assert {"Silver"} == await here.followers(people)


async def test_a_quarantined_body_can_be_read_again(here: Town) -> None:
    """What is still unreadable stays quarantined after a replay: nothing is called and nothing is lost."""
    event = here.tier_event(here.newcomers().primary, 2)
    event["data"]["customerIdentifiers"]["customerId"] = 1.5
    stored = (await here.deliver(event)).json()["event_id"]

    report = await here.replay(stored)
    await here.quiet()

    assert 1 == report["unchanged"]
    assert "quarantined" == (await here.event(stored))["status"]


async def test_many_events_at_a_rate(tmp_path: Path) -> None:
    """A range is replayed whole, more than one page of it, and each group is repaired once."""
    async with town(tmp_path) as here:
        families = [here.newcomers(secondaries=1, exited=0) for _ in range(120)]
        await here.seed(*(people.seed("Silver") for people in families))
        await here.switch(adjust={"refuse": {str(people.secondaries[0]): BARRED for people in families}})
        for people in families:
            await here.deliver(here.tier_event(people.primary, 2))
        await here.quiet()
        await here.switch(adjust={"refuse": {}})

        report = await here.replay("--reason", "customer_barred", "--rate", "1000")
        await here.quiet()

        assert (120, 120) == (report["matched"], report["due"])
        assert {"Gold"} == set().union(*[await here.followers(people) for people in families])


async def test_the_store_can_be_looked_at_from_the_command_line(here: Town) -> None:
    """`events list` and `events show` tell in JSON what the operator API tells, beside the server and without it."""
    people, event_id = await refused(here)

    listed = await here.json("events", "list", "--customer", str(people.primary))
    shown = await here.json("events", "show", event_id)

    assert [(event_id, "dead", "customer_barred")] == [
        (row["event_id"], row["status"], row["reason"]) for row in listed
    ]
    assert {"dead": 1, "done": 2} == shown["adjustment_counts"]
    assert "body" not in shown
    assert SECRET not in str(shown)
    assert TOKEN not in str(shown)
