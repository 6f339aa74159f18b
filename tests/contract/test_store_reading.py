"""What is read of the store: the sweep, who else leads a member, and what the operator lists and counts."""

import asyncio
from typing import Any

import pytest

from tests.contract.store_kit import (
    ANN,
    BOB,
    DIAMOND,
    EVE,
    GOLD,
    GROUP,
    NOW,
    ORG,
    PRIMARY,
    PROGRAM,
    SILVER,
    Hand,
    join,
    outcome,
    owed,
    tier_change,
    without_key,
)
from tiersync import drift, intake
from tiersync.drift import Leader
from tiersync.fanout import AdjustmentStatus, Policy, Tier
from tiersync.intake import EventStatus
from tiersync.store import Advance, Claim, Comparison, JobStatus, Keys, Selection, looking
from tiersync.store.looking import Ahead, UnwellJob

DATABASES = ("sqlite", "postgresql")

LATER = NOW + 60_000


async def test_the_sweep_finds_the_longest_waiting_first(hand: Hand) -> None:
    """An org's due keys come in the order in which they became due, so many at the most."""
    keys = [
        await hand.due(tier_change(f"e{number}", received_at=received_at, customer=number))
        for number, received_at in enumerate((NOW - 1, NOW - 3, NOW - 2, NOW))
    ]

    found = await hand.store.sweep(NOW - 1, 2)
    later = await hand.store.sweep(NOW, 10)

    assert [(keys[1], ORG), (keys[2], ORG)] == found
    assert [keys[1], keys[2], keys[0], keys[3]] == [key for key, _ in later]
    for moment, expected in ((NOW - 1, (3, NOW - 3)), (NOW - 4, (0, None))):
        waiting = await hand.store.backlog(moment)
        assert expected == (waiting.keys_due, waiting.due_since)


async def test_a_busy_org_does_not_hide_another(hand: Hand) -> None:
    """Each org has a page of the sweep of its own, however many keys of another have waited longer."""
    for number in range(5):
        await hand.received(tier_change(f"e{number}", received_at=NOW - 9, customer=number + 1, org=1))
    late = await hand.due(tier_change("late", org=2))

    found = await hand.store.sweep(NOW, 2)

    assert [1, 1, 2] == [org for _, org in found]
    assert late in dict(found)


async def leading(hand: Hand, primary: int, tier: Tier, *, finish: bool = True, **other: Any) -> Claim:
    """Let a primary bring ANN to its tier; `finish` makes the call."""
    arrival = tier_change(f"of {primary} {other}", NOW, tier, customer=primary, **other)
    claim = await hand.claimed(await hand.due(arrival))
    await hand.planned(claim, owed(ANN, tier=tier))
    if finish:
        await hand.settled(claim)
    return claim


async def test_who_else_leads_a_member(hand: Hand) -> None:
    """The highest tier that other primaries of the same program gave to a member, or owe to it, is known."""
    mine = await leading(hand, PRIMARY, GOLD)
    await leading(hand, 1, SILVER)
    await leading(hand, 2, DIAMOND, finish=False)
    await leading(hand, 3, Tier(9, "Other program"), program=1)
    await leading(hand, 4, Tier(9, "Other org"), org=1)

    assert {ANN: DIAMOND} == await hand.store.led_elsewhere(mine, [ANN, BOB])


async def test_what_a_primary_gave_before_its_newest_change_does_not_lead(hand: Hand) -> None:
    """Only a primary's newest tier change leads, not that of the asker, nor one that was refused."""
    mine = await leading(hand, PRIMARY, Tier(9, "Mine"))
    for primary, tier, members in ((1, GOLD, [ANN]), (3, DIAMOND, [BOB])):
        await hand.released(await leading(hand, primary, DIAMOND))
        await hand.finished(await hand.due(tier_change(f"new {primary}", NOW + 1, tier, customer=primary)), members)
    refused = await leading(hand, 2, DIAMOND, finish=False)
    await hand.settled(refused, status=AdjustmentStatus.DEAD)

    assert {ANN: GOLD} == await hand.store.led_elsewhere(mine, [ANN])


async def some_events(hand: Hand) -> None:
    """Six events that differ in everything that can be asked for."""
    await hand.received(
        tier_change("a"),
        tier_change("b", NOW - 1),
        tier_change("c", customer=ANN),
        tier_change("d", program=1, received_at=LATER),
        tier_change("e", org=1),
        without_key("f", EventStatus.QUARANTINED, "not_json"),
    )


SELECTIONS: list[tuple[Selection, str]] = [
    (Selection(), "fedcba"),
    (Selection(status="pending"), "edca"),
    (Selection(status="superseded", reason="stale"), "b"),
    (Selection(reason="not_json"), "f"),
    (Selection(org=ORG), "fdcba"),
    (Selection(org=1), "e"),
    (Selection(program=PROGRAM), "ecba"),
    (Selection(customer=ANN), "c"),
    (Selection(since=LATER), "d"),
    (Selection(until=LATER), "fecba"),
    (Selection(since=NOW, until=NOW), ""),
    (Selection(ids=("a", "f", "x")), "fa"),
    (Selection(ids=("a", "b"), status="pending"), "a"),
]


@pytest.mark.parametrize(("selection", "expected"), SELECTIONS, ids=lambda value: str(value)[:60])
async def test_every_given_condition_must_hold(hand: Hand, selection: Selection, expected: str) -> None:
    """A selection lists, counts and hands out the same events: newest first to look at, oldest first to replay."""
    await some_events(hand)

    listed = await hand.store.list_events(selection, 10)
    stored = await hand.store.stored(selection, 10)

    assert expected == "".join(row["event_id"] for row in listed)
    assert [row["id"] for row in reversed(listed)] == [row.event for row in stored]
    assert len(expected) == await hand.store.count_events(selection)


async def test_pages_meet_without_gap_or_overlap(hand: Hand) -> None:
    """Walking by pages shows every event once, and what arrives meanwhile moves nothing."""
    await some_events(hand)

    first = await hand.store.list_events(Selection(), 2)
    await hand.received(tier_change("g", customer=1))
    second = await hand.store.list_events(Selection(), 3, before=first[-1]["id"])
    third = await hand.store.list_events(Selection(), 3, before=second[-1]["id"])
    oldest = await hand.store.stored(Selection(), 2)
    others = await hand.store.stored(Selection(), 10, after=oldest[-1].event)

    ids = {row["id"]: row["event_id"] for row in await hand.store.list_events(Selection(), 10)}
    assert ["fe", "dcb", "a"] == ["".join(row["event_id"] for row in page) for page in (first, second, third)]
    assert ["ab", "cdefg"] == ["".join(ids[row.event] for row in page) for page in (oldest, others)]


async def test_a_list_shows_no_bodies(hand: Hand) -> None:
    """A list never holds the raw bytes, which may hold personal data; the event itself does."""
    await hand.received(tier_change("a", body=b"secret"))

    (listed,) = await hand.store.list_events(Selection(), 10)

    assert "body" not in listed
    assert b"secret" == (await hand.event("a"))["body"]


async def test_an_event_shows_its_adjustments_by_pages(hand: Hand) -> None:
    """An event comes with a page of its adjustments in the order of members, and with the counts of all."""
    claim = await hand.claimed(await hand.due(tier_change("e1")))
    await hand.planned(claim, [*owed(EVE, ANN), *owed(BOB, skip="not_default_group")])
    (ann, _) = await hand.store.owed(claim, NOW, 10)
    await hand.store.settle(outcome(claim, ann))

    first = await hand.store.show_event(ORG, "e1", 2)
    second = await hand.store.show_event(ORG, "e1", 2, after=BOB)

    assert first is not None
    assert second is not None
    assert [[ANN, BOB], [EVE]] == [[row["member"] for row in page["adjustments"]] for page in (first, second)]
    assert {"done": 1, "skipped": 1, "due": 1} == first["adjustment_counts"] == second["adjustment_counts"]
    assert await hand.store.show_event(1, "e1", 2) is None


async def test_the_counts_tell_outcomes_apart(hand: Hand) -> None:
    """Events are counted by status; adjustments by status, and what is done by its outcome."""
    await some_events(hand)
    claim = await hand.claimed((await hand.received(join("j1", EVE, customer=1))).sync or 0)
    await hand.settled(claim, outcome="already")
    mine = await hand.claimed((await hand.received(tier_change("new", NOW + 1))).sync or 0)
    await hand.planned(mine, owed(ANN, BOB))

    counts = await hand.store.counts()

    assert {"pending": 5, "superseded": 2, "quarantined": 1} == counts["events"]
    assert {"already": 1, "due": 2} == counts["adjustments"]


async def test_reading_sees_what_is_committed_and_waits_for_nobody(hand: Hand) -> None:
    """Reads that run beside writes see whole deliveries only, however many run at once."""
    writes = [hand.store.receive(tier_change(f"e{n}", customer=n)) for n in range(1, 51)]
    reads = [hand.store.list_events(Selection(), 100) for _ in range(50)]

    _, pages = await asyncio.gather(asyncio.gather(*writes), asyncio.gather(*reads))

    assert all(row["status"] == "pending" for page in pages for row in page)
    assert 50 == await hand.store.count_events(Selection())


async def test_what_a_reconcile_would_read_is_said_before(hand: Hand) -> None:
    """Groups that match, the secondaries of their newest tier changes, and where work is under way."""
    await hand.finished(await hand.due(tier_change("e1", customer=1)), [ANN, BOB, EVE])
    await hand.finished(await hand.due(tier_change("e2", NOW + 1, customer=1)), [ANN, BOB])
    await hand.finished(await hand.due(tier_change("e3", customer=2, received_at=LATER)), [ANN], LATER)
    await hand.due(tier_change("e4", customer=3, org=7))

    found = {
        keys: await hand.store.look(looking.ahead, keys)
        for keys in (Keys(), Keys(org=ORG), Keys(primary=1), Keys(group=GROUP, org=ORG), Keys(since=LATER), Keys(org=8))
    }

    assert [
        Ahead(3, 3, more=False, under_way=1),
        Ahead(2, 3, more=False, under_way=0),
        Ahead(1, 2, more=False, under_way=0),
        Ahead(2, 3, more=False, under_way=0),
        Ahead(1, 1, more=False, under_way=0),
        Ahead(0, 0, more=False, under_way=0),
    ] == [*found.values()]


async def test_what_a_reconcile_left_stands_before_what_it_repaired(hand: Hand) -> None:
    """Its orders come with whose they are and where they belong, so many at the most; those of other jobs do not."""
    key = await hand.due(tier_change("e1"))
    await hand.finished(key, [ANN, BOB, EVE])
    job = await hand.store.begin_reconcile(Keys(), by="ops", now=NOW, owner="hand", until=LATER)
    leader = Leader(ORG, PROGRAM, PRIMARY, GROUP, GOLD, None, may_lower=True)
    body = drift.repair(leader, [ANN, BOB, EVE], event_id="reconcile", changed_at=NOW)
    step = Comparison(1, {}, [intake.admit(body, NOW, {ORG: Policy()})])
    await hand.store.advance_job(Advance(job.id, "hand", 1, step, NOW, LATER))
    claim = await hand.claimed(key)
    ann, bob, _ = await hand.store.owed(claim, NOW, 10)
    await hand.store.settle(outcome(claim, ann))
    await hand.store.settle(outcome(claim, bob, AdjustmentStatus.DEAD, reason="customer_barred"))

    first, all_of_them, others = [
        await hand.store.look(looking.repairs, number, limit) for number, limit in ((job.id, 1), (job.id, 9), (99, 9))
    ]

    assert [BOB] == [row["member"] for row in first]
    assert [(BOB, "dead"), (EVE, "due"), (ANN, "done")] == [(row["member"], row["status"]) for row in all_of_them]
    assert {(key, PRIMARY, "Gold")} == {(row["sync"], row["primary"], row["tier_name"]) for row in all_of_them}
    assert [] == others


async def test_the_last_reconcile_of_all_groups_is_known_by_org(hand: Hand) -> None:
    """When it ended, or began if none has ended; one of a single group, or that only compared, does not count."""

    async def asked(keys: Keys, at: int, ended: int | None, status: JobStatus = JobStatus.DONE) -> None:
        job = await hand.store.begin_reconcile(keys, by="ops", now=at)
        if ended is not None:
            await hand.store.end_job(job.id, status, now=ended)

    await asked(Keys(org=1), NOW, NOW + 5)
    await asked(Keys(org=1), NOW + 10, NOW + 15)
    await asked(Keys(org=1), NOW + 20, NOW + 25, JobStatus.FAILED)
    await asked(Keys(org=1), NOW + 30, None)
    await asked(Keys(org=1, primary=7), NOW + 40, NOW + 45)
    await asked(Keys(org=1, dry_run=True), NOW + 50, NOW + 55)
    await asked(Keys(org=2), NOW + 60, None)
    await asked(Keys(org=2), NOW + 70, NOW + 75, JobStatus.CANCELLED)
    await asked(Keys(), NOW + 80, NOW + 85)

    assert {0: NOW + 85, 1: NOW + 15, 2: NOW + 60} == await hand.store.look(looking.last_passes)


async def test_who_has_drifted_is_found_in_a_group_of_any_size(hand: Hand) -> None:
    """Whoever was given up since the newest tier change, unless a later order brought him back or waits."""
    key = await hand.due(tier_change("e1"))
    claim = await hand.claimed(key)
    await hand.planned(claim, owed(ANN, BOB, EVE))
    await hand.settled(claim, status=AdjustmentStatus.DEAD, reason="customer_barred")
    await hand.released(claim)
    given_up = await hand.store.look(looking.drifted, key, 1, 10)
    await hand.received(join("j1", BOB))
    waiting = await hand.store.look(looking.drifted, key, 1, 10)
    await hand.due(tier_change("e2", NOW + 1))
    newer = await hand.store.look(looking.key, key)
    assert newer is not None

    assert [ANN, BOB, EVE] == [row["member"] for row in given_up]
    assert [ANN, EVE] == [row["member"] for row in waiting]
    assert [ANN] == [row["member"] for row in await hand.store.look(looking.drifted, key, 1, 1)]
    assert [] == await hand.store.look(looking.drifted, key, newer["event"], 10)


async def test_jobs_that_ended_not_well_are_known_until_they_are_asked_for_again(hand: Hand) -> None:
    """One that failed, and a reconcile that could not read everybody; not of the day before, nor begun anew since."""

    async def asked(keys: Keys, unread: int = 0, status: JobStatus | None = JobStatus.DONE, ended: int = NOW) -> int:
        job = await hand.store.begin_reconcile(keys, by="ops", now=NOW, owner="hand", until=LATER)
        await hand.store.advance_job(Advance(job.id, "hand", 1, Comparison(1, {"unread": unread}), NOW, LATER))
        if status is not None:
            await hand.store.end_job(job.id, status, now=ended, owner="hand", detail="a bug: KeyError")
        return job.id

    failed = await asked(Keys(org=1), status=JobStatus.FAILED)
    unread = await asked(Keys(org=2), unread=3)
    await asked(Keys(org=3), unread=3, ended=NOW - 1)
    await asked(Keys(org=4), unread=3)
    await asked(Keys(org=4), status=None)
    await asked(Keys(org=5))

    assert [
        UnwellJob(unread, "reconcile", failed=False, detail="a bug: KeyError", unread=3),
        UnwellJob(failed, "reconcile", failed=True, detail="a bug: KeyError", unread=0),
    ] == await hand.store.look(looking.unwell_jobs, NOW, 50)
