"""Stored jobs: one hand at a time, carried on behind the last step, cancelled, on record; and what a purge spares."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.contract.store_kit import (
    ANN,
    BOB,
    LEASE_MS,
    NOW,
    ORG,
    Hand,
    join,
    outcome,
    owed,
    tier_change,
    without_key,
)
from tiersync.fanout import AdjustmentStatus, Policy
from tiersync.intake import EventStatus
from tiersync.jobs import Clerk, Limits
from tiersync.retention import forget
from tiersync.store import (
    Advance,
    Horizon,
    Job,
    JobKind,
    JobStatus,
    Removal,
    Replay,
    Selection,
    Store,
    WantJob,
    reading,
)

DATABASES = ("sqlite", "postgresql")
DAY = 86_400_000
LATER = NOW + 100 * DAY
ALL = Horizon(received=LATER, tried=LATER)
DEAD = Selection(status=EventStatus.DEAD)
BODY = (
    b'{"eventName": "tierUpgraded", "eventId": "%s", "orgId": 50614, "data": {"loyaltyProgramId": 973, '
    b'"customerIdentifiers": {"customerId": %d}, "upgradedTierNumber": 2}}'
)


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.slept = LATER, list[float]()

    def __call__(self) -> int:
        """Tell the milliseconds."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Pass the time at once."""
        self.slept.append(seconds)
        self.now += int(1000 * seconds)


def clerk(store: Store, time: Time, owner: str = "one", **limits: Any) -> Clerk:
    """Somebody who works on jobs; a purge of theirs spares nothing for its age."""
    chosen = replace(Limits(lease_s=30, duplicates_days=0, echo_s=0, purge_batch_max=1000), **limits)
    return Clerk(store, {ORG: Policy()}, chosen, owner=owner, now=time, sleep=time.sleep)


async def dead_events(hand: Hand, count: int) -> None:
    """Leave dead events of as many primaries, each of which reads as a tier change now."""
    for n in range(1, count + 1):
        body = BODY % (f"e{n}".encode(), n)
        await hand.received(replace(without_key(f"e{n}", EventStatus.DEAD, "program_unknown"), body=body, customer=n))


async def begun(store: Store, kind: JobKind = JobKind.REPLAY, selection: Selection = DEAD, **other: Any) -> Job:
    """Ask for a job."""
    return await store.begin_job(kind, selection, by="ops", now=LATER, **other)


async def taken(store: Store, time: Time, owner: str = "one") -> Job | None:
    """Take a job up."""
    return await store.claim_job(WantJob(owner, time.now, time.now + LEASE_MS))


async def statuses(hand: Hand) -> list[str]:
    """Where every event stands, the oldest first."""
    return [row["status"] for row in reversed(await hand.store.list_events(Selection(), 1000))]


async def test_a_job_makes_every_selected_event_due_and_says_so(hand: Hand) -> None:
    """It ends as done with the counts, who asked, when and for what; what came later is not meant."""
    await dead_events(hand, 3)
    await hand.received(without_key("other", EventStatus.IGNORED, "event_not_used"))
    job = await begun(hand.store)
    await hand.received(without_key("late", EventStatus.DEAD, "program_unknown"))
    time = Time()

    ended = await clerk(hand.store, time).work_off(await taken(hand.store, time) or job)

    assert ["pending"] * 3 + ["ignored", "dead"] == await statuses(hand)
    assert ended is not None
    assert (JobStatus.DONE, "ops", {"status": "dead"}, 3, 3, {"due": 3}, LATER) == (
        ended.status,
        ended.by,
        ended.selection,
        ended.matched,
        ended.done,
        ended.counts,
        ended.finished_at,
    )
    assert [ended] == await hand.store.jobs(10)


async def test_a_job_is_carried_on_behind_the_last_step(hand: Hand) -> None:
    """Whoever takes it over goes on where the last committed step ended: nothing is done or counted twice."""
    await dead_events(hand, 4)
    job = await begun(hand.store, owner="first", until=LATER + LEASE_MS)
    first, second = [row.event for row in await hand.store.stored(DEAD, 2)]
    replays = [Replay(row, tier_change(f"e{row}", customer=row), force=False, now=LATER) for row in (first, second)]
    await hand.store.advance_job(Advance(job.id, "first", second, replays, LATER, LATER + LEASE_MS))
    time = Time()

    busy = await taken(hand.store, time)
    time.now += LEASE_MS
    left = await taken(hand.store, time)
    assert left is not None
    ended = await clerk(hand.store, time).work_off(left)

    assert (None, 2, second) == (busy, left.done, left.position)
    assert ended is not None
    assert (4, {"due": 4}) == (ended.done, ended.counts)


async def test_who_lost_a_job_does_nothing_more(hand: Hand) -> None:
    """After a take-over or a cancellation a late step changes neither the events nor the job."""
    await dead_events(hand, 2)
    job = await begun(hand.store, owner="slow", until=LATER)
    step = Advance(job.id, "slow", 1, [Replay(1, tier_change("e1"), force=False, now=LATER)], LATER, LATER)
    time = Time()

    await taken(hand.store, time, "quick")
    late = await hand.store.advance_job(step)
    cancelled = await hand.store.cancel_job(job.id, by="boss", now=LATER)
    after = await clerk(hand.store, time, "quick").work_off(job)
    again = await hand.store.cancel_job(job.id, by="boss", now=LATER)

    assert late is None
    assert cancelled is not None
    assert (JobStatus.CANCELLED, "by boss", 0) == (cancelled.status, cancelled.detail, cancelled.done)
    assert (None, None, None) == (after, again, await taken(hand.store, time))
    assert ["dead", "dead"] == await statuses(hand)


async def test_a_rate_is_kept(hand: Hand) -> None:
    """A job of 2 events a second takes half a second for each."""
    await dead_events(hand, 5)
    time = Time()

    await clerk(hand.store, time).work_off(await begun(hand.store, rate=2, owner="one", until=LATER + LEASE_MS))

    assert 2.5 == pytest.approx(sum(time.slept))


async def test_a_bug_ends_the_job_and_not_the_clerk(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that cannot be carried out is failed, with a word why, and is not taken up for ever."""
    await dead_events(hand, 1)
    time = Time()
    job = await begun(hand.store, owner="one", until=LATER + LEASE_MS)
    monkeypatch.setattr(reading, "stored", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        await clerk(hand.store, time).work_off(job)

    failed = await hand.store.job(job.id)
    assert failed is not None
    assert (JobStatus.FAILED, "a bug: ZeroDivisionError") == (failed.status, failed.detail)


async def purged(hand: Hand, horizon: Horizon = ALL, rows_max: int = 1000) -> set[str]:
    """Remove whatever may go; return what is left."""
    found = await hand.store.candidates(Selection(), horizon, 1000)
    going = [row.event for row in found if row.may_go]
    while await hand.store.purge(Removal(going, len(found), horizon, rows_max)) is None:
        pass
    return {row["event_id"] for row in await hand.store.list_events(Selection(), 1000)}


async def a_history(hand: Hand) -> None:
    """Leave one event of each sort: overtaken, the newest of its key, dead, still owed, ignored."""
    await hand.finished(await hand.due(tier_change("old")), [ANN, BOB])
    await hand.finished(await hand.due(tier_change("newest", NOW + 1)), [ANN])
    await hand.received(without_key("ignored", EventStatus.IGNORED, "event_not_used"))
    await hand.due(join("pending", BOB))
    claim = await hand.claimed(await hand.due(tier_change("retrying", customer=77)))
    await hand.planned(claim, owed(ANN))
    await hand.released(claim)


async def test_a_purge_spares_what_is_needed(hand: Hand) -> None:
    """Unfinished work and the newest tier change of each key stay, with their adjustments; the rest goes."""
    await a_history(hand)

    left = await purged(hand)

    assert {"newest", "pending", "retrying"} == left
    assert {ANN: "done"} == await hand.adjustments("newest")
    assert 0 == await hand.store.purgeable(Selection(), ALL)


async def test_after_a_purge_the_key_knows_what_is_newest(hand: Hand) -> None:
    """An old event that comes again is stale still, and the newest one a duplicate."""
    await a_history(hand)
    await purged(hand)

    answers = [await hand.store.receive(tier_change("old")), await hand.store.receive(tier_change("newest", NOW + 1))]

    assert [("accepted", "stale"), ("duplicate", None)] == [(answer.receipt, answer.reason) for answer in answers]


HORIZONS: Mapping[str, Horizon] = {
    "a duplicate may come": Horizon(received=NOW, tried=LATER),
    "an echo may come": Horizon(received=LATER, tried=NOW),
}


@pytest.mark.parametrize("horizon", HORIZONS.values(), ids=HORIZONS)
async def test_what_is_too_young_stays(hand: Hand, horizon: Horizon) -> None:
    """Within the horizons of duplicates and echoes an event stays, finished or not."""
    await a_history(hand)

    assert "old" in await purged(hand, horizon)


async def test_a_large_group_goes_in_small_steps(hand: Hand) -> None:
    """No commit removes more adjustments than allowed, and in the end event and adjustments are gone."""
    key = await hand.due(tier_change("large"))
    await hand.finished(key, range(1, 101))
    await hand.finished(await hand.due(tier_change("newest", NOW + 1)), [ANN])
    (row, _) = await hand.store.stored(Selection(), 2)
    removal, steps = Removal([row.event], 1, ALL, rows_max=30), list[int | None]()

    while not steps or steps[-1] is None:
        steps.append(await hand.store.purge(removal))

    assert [None, None, None, 1] == steps
    assert 0 == await hand.store.count_events(Selection(ids=("large",)))
    assert [ANN] == [row["member"] for row in await hand.store.export_adjustments(Selection(), 1000)]


async def test_a_purge_job_counts_what_it_removed_and_kept(hand: Hand) -> None:
    """A purge is a job as a replay is, and what it had to keep is told."""
    await a_history(hand)
    time = Time()
    job = await begun(hand.store, JobKind.PURGE, Selection(), owner="one", until=LATER + LEASE_MS)

    ended = await clerk(hand.store, time, purge_batch_max=1).work_off(job)

    assert ended is not None
    assert (JobStatus.DONE, 5, {"removed": 2, "kept": 3}) == (ended.status, ended.done, ended.counts)


async def test_each_status_is_kept_for_its_days(hand: Hand) -> None:
    """What is older than its status is kept goes, the rest stays; 0 days are for ever."""
    for n, (age, status) in enumerate(
        [(91, EventStatus.IGNORED), (89, EventStatus.IGNORED), (91, EventStatus.DEAD), (91, EventStatus.QUARANTINED)]
    ):
        await hand.received(replace(without_key(f"{status}-{age}", status, "why"), received_at=LATER - age * DAY + n))
    time = Time()
    kept = {EventStatus.IGNORED: 90.0, EventStatus.DEAD: 0.0, EventStatus.QUARANTINED: 30.0}

    removed = await forget(hand.store, kept, horizon=lambda _: ALL, rows_max=10, now=LATER, sleep=time.sleep)

    assert 2 == removed
    assert {"ignored-89", "dead-91"} == {row["event_id"] for row in await hand.store.list_events(Selection(), 10)}


async def test_an_outcome_that_comes_late_keeps_its_event(hand: Hand) -> None:
    """An event that was overtaken while a call was out stays until its echo can come no more."""
    claim = await hand.claimed(await hand.due(tier_change("old", received_at=NOW)))
    await hand.planned(claim, owed(ANN))
    (due,) = await hand.store.owed(claim, NOW, 10)
    await hand.store.settle(outcome(claim, due, AdjustmentStatus.DONE, LATER))
    await hand.released(claim, LATER)
    await hand.received(tier_change("newest", NOW + 1))

    assert "old" in await purged(hand, Horizon(received=LATER, tried=LATER - 1))
