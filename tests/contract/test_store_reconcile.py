"""A reconcile on the store: what it orders, that it goes on where it was, at its rate, and never twice."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import httpx
import pytest
import respx

from tests.contract.capillary_kit import Clock, Line, line
from tests.contract.store_kit import (
    ANN,
    BOB,
    DIAMOND,
    FAR,
    GOLD,
    GROUP,
    LEASE_MS,
    NOW,
    ORG,
    PRIMARY,
    PROGRAM,
    Hand,
    outcome,
    tier_change,
)
from tiersync import drift, intake
from tiersync.drift import Leader
from tiersync.fanout import Policy, Tier
from tiersync.intake import Arrival
from tiersync.reconcile import Findings, Org, Reconciler
from tiersync.store import (
    Advance,
    Comparison,
    Job,
    JobKind,
    JobStatus,
    Keys,
    Replay,
    Replayed,
    Store,
    WantJob,
    database,
    open_store,
)
from tiersync.webhook import Action

DATABASES = ("sqlite", "postgresql")
KINDS = (JobKind.RECONCILE,)
LATER = NOW + 60_000


class Town:
    """Capillary as far as a reconcile reads it: groups, each of one primary with Ann and Bob, and everybody's tier."""

    def __init__(self) -> None:
        """Everybody is Gold."""
        self.tiers: dict[int, Tier] = {}
        self.asked: list[str] = []
        self.away = False
        self.router = respx.MockRouter(assert_all_called=False)
        self.router.get(path="/v2/userGroup2").mock(side_effect=self._group)
        self.router.get(path__regex=r"/v2/customers/(?P<customer>\d+)/tierDetails").mock(side_effect=self._tier)

    def _group(self, request: httpx.Request) -> httpx.Response:
        primary = int(request.url.params.get("primaryUserId", PRIMARY))
        self.asked.append(f"group {primary}")
        if self.away:
            return httpx.Response(500)
        users = [
            {"userId": user, "active": True, "primaryMember": user == primary, "defaultGroup": True}
            for user in (primary, ANN, BOB)
        ]
        return httpx.Response(200, json={"id": GROUP, "groupStatus": "ACTIVE", "fleetGroupUsers": users})

    def _tier(self, _request: httpx.Request, customer: str) -> httpx.Response:
        self.asked.append(f"tier {customer}")
        tier = self.tiers.get(int(customer), GOLD)
        held = {"programId": PROGRAM, "currentTierName": tier.name, "currentTierSerialNumber": tier.number}
        return httpx.Response(200, json={"programTiers": [held]})


@pytest.fixture
def there() -> Town:
    """Give a Capillary where everybody is Gold."""
    return Town()


@pytest.fixture
async def to(there: Town) -> AsyncIterator[Line]:
    """Open the line there."""
    async with line(router=there.router, clock=Clock()) as opened:
        yield opened


def reconciler(hand: Hand, to: Line, owner: str = "one", **other: Any) -> Reconciler:
    """Somebody who compares; the clock is the line's."""
    org = Org(to.capillary, Policy(), 10, 1000, calls_per_minute_max=60, every_h=0, keys_max=2)
    settings: dict[str, Any] = {"sleep": to.clock.sleep, **other}
    return Reconciler(
        hand.store,
        {ORG: org},
        owner=owner,
        lease_s=LEASE_MS / 1000,
        now=lambda: LATER + int(1000 * to.clock.now),
        monotonic=to.clock,
        **settings,
    )


async def in_step(hand: Hand, *primaries: int) -> None:
    """Leave groups of these primaries that an event brought to Gold."""
    for primary in primaries:
        await hand.finished(await hand.due(tier_change(f"e{primary}", customer=primary)), [ANN, BOB])


async def begun(hand: Hand, by: Reconciler, keys: Keys = Keys(org=ORG), **other: Any) -> Job:  # noqa: B008 - frozen
    """Ask for a reconcile and hold it."""
    return await hand.store.begin_reconcile(keys, by="ops", now=LATER, owner=by.owner, until=by.until, **other)


async def taken(hand: Hand, by: Reconciler, now: int) -> Job | None:
    """Take up what nobody works on."""
    return await hand.store.claim_job(WantJob(by.owner, now, now + LEASE_MS, KINDS))


async def test_one_that_died_is_carried_on_behind_the_last_group(hand: Hand, to: Line, there: Town) -> None:
    """What was compared is not read again, what was ordered not ordered again, and all of it is counted once."""
    await in_step(hand, 1, 2, 3)
    there.tiers = {1: DIAMOND}

    def die(_job: Job, found: Findings) -> None:
        if found.key.customer == 2:
            raise asyncio.CancelledError

    first = reconciler(hand, to, "first", told=die)
    job = await begun(hand, first)
    with pytest.raises(asyncio.CancelledError):
        await first.work_off(job)
    read = len(there.asked)
    second = reconciler(hand, to, "second")
    busy = await taken(hand, second, first.until - LEASE_MS)
    to.clock.now += LEASE_MS
    left = await taken(hand, second, second.until)
    assert left is not None
    ended = await second.work_off(left)

    assert (None, 2) == (busy, left.done)
    assert ["group 3", "tier 3", f"tier {ANN}", f"tier {BOB}"] == there.asked[read:]
    assert ended is not None
    assert (JobStatus.DONE, 3, {"drifted": 2, "in_step": 4}) == (ended.status, ended.done, ended.counts)
    assert {ANN: "due", BOB: "due"} == await hand.adjustments(f"reconcile:{LATER}:{job.id}:{PROGRAM}:1")


async def test_a_group_is_told_of_once_whoever_goes_on(hand: Hand, to: Line, there: Town) -> None:
    """Who takes it up when the group was compared already does not ask again who leads it, and counts nothing twice."""
    await in_step(hand, PRIMARY)
    there.tiers = {PRIMARY: DIAMOND}

    def die(_job: Job, _found: Findings) -> None:
        raise asyncio.CancelledError

    first = reconciler(hand, to, "first", told=die)
    with pytest.raises(asyncio.CancelledError):
        await first.work_off(await begun(hand, first, Keys(org=ORG, group=GROUP)))
    there.away, read = True, len(there.asked)
    to.clock.now += LEASE_MS
    second = reconciler(hand, to, "second")
    left = await taken(hand, second, second.until)
    assert left is not None
    ended = await second.work_off(left)

    assert [] == there.asked[read:]
    assert ended is not None
    assert (JobStatus.DONE, 1, {"drifted": 2}) == (ended.status, ended.done, ended.counts)


async def test_its_calls_keep_the_rate_and_it_keeps_its_lease(hand: Hand, to: Line) -> None:
    """Four calls at two a minute take two minutes, and nobody else may take the job up meanwhile."""
    await in_step(hand, PRIMARY)
    others = list[Job | None]()

    async def sleep(seconds: float) -> None:
        await to.clock.sleep(seconds)
        others.append(await taken(hand, reconciler(hand, to, "other"), slow.until - LEASE_MS))

    slow = reconciler(hand, to, sleep=sleep)
    began = to.clock.now

    ended = await slow.work_off(await begun(hand, slow, rate=2))

    assert 120 == pytest.approx(to.clock.now - began)
    assert {None} == set(others)
    assert ended is not None
    assert JobStatus.DONE == ended.status


async def test_work_that_is_under_way_is_left_to_itself(hand: Hand, to: Line, there: Town) -> None:
    """Drift in a group that is being worked on is counted and said, not ordered twice."""
    await hand.due(tier_change("e1", tier=DIAMOND))
    there.tiers = {PRIMARY: DIAMOND}
    found = list[Findings]()
    one = reconciler(hand, to, told=lambda _, findings: found.append(findings))

    ended = await one.work_off(await begun(hand, one))

    assert ended is not None
    assert {"drifted": 2, "under_way": 2} == ended.counts
    assert {ANN: True, BOB: True} == {drifted.member: drifted.under_way for drifted in found[0].drifted}
    assert 1 == len(await hand.store.sweep(LATER, 10))


async def test_a_key_is_compared_as_it_stands_when_its_turn_comes(hand: Hand, to: Line, there: Town) -> None:
    """What was under way when the job began, and is over by now, excuses no drift."""
    await in_step(hand, 1)
    key = await hand.due(tier_change("e2", customer=2))
    there.tiers = {2: DIAMOND}
    owing = [key]

    async def sleep(seconds: float) -> None:
        await to.clock.sleep(seconds)
        if owing:
            await hand.finished(owing.pop(), [ANN, BOB], LATER)

    one = reconciler(hand, to, sleep=sleep)

    ended = await one.work_off(await begun(hand, one))

    assert ended is not None
    assert {"in_step": 2, "drifted": 2} == ended.counts
    assert [key] == await hand.due_keys(FAR)


def repair(*members: int, changed_at: int = NOW, tier: Tier = DIAMOND, at: int = LATER) -> Arrival:
    """What the first reconcile of a store orders for these members."""
    leader = Leader(ORG, PROGRAM, PRIMARY, GROUP, tier, None, may_lower=True)
    body = drift.repair(leader, members, event_id=f"reconcile:{at}:1:{PROGRAM}:{PRIMARY}", changed_at=changed_at)
    return intake.admit(body, LATER, {ORG: Policy()})


async def ordered(hand: Hand, *repairs: Arrival) -> Job:
    """Order these as a step of a job."""
    job = await hand.store.begin_reconcile(Keys(), by="ops", now=LATER, owner="one", until=LATER + LEASE_MS)
    step = Comparison(1, {"drifted": len(repairs)}, repairs)
    advanced = await hand.store.advance_job(Advance(job.id, "one", 1, step, LATER, LATER + LEASE_MS))
    assert advanced is not None
    return advanced


async def test_after_a_repair_a_replay_leads_to_the_tier_that_was_found(hand: Hand) -> None:
    """The event that was last heard of does not roll the group back: the primary holds another tier since."""
    await in_step(hand, PRIMARY)
    job = await ordered(hand, repair(ANN))
    [key] = await hand.due_keys(LATER)
    claim = await hand.claimed(key, LATER)
    await hand.settled(claim, LATER, sent_tier=3)
    await hand.released(claim, LATER)

    again = await hand.replayed(Replay(1, tier_change(f"e{PRIMARY}", customer=PRIMARY), force=False, now=LATER))
    claim = await hand.claimed(key, LATER)

    assert (Replayed.DUE, "Diamond") == (again, claim.tier_name)
    shown = await hand.store.job(job.id)
    assert shown is not None
    assert {"drifted": 1, "repaired": 1} == shown.counts


async def test_a_change_that_came_since_it_was_compared_is_not_undone(hand: Hand) -> None:
    """An order that was overtaken while it was made says nothing about the key any more."""
    await in_step(hand, PRIMARY)
    key = await hand.due(tier_change("newer", NOW + 1, tier=Tier(1, "Silver")))

    await ordered(hand, repair(ANN))

    assert "Silver" == (await hand.claimed(key, LATER)).tier_name


Act = Callable[[Hand, int], Awaitable[None]]


async def on_its_way(hand: Hand, key: int) -> None:
    """Claim the key, and send."""
    await hand.claimed(key, LATER)


async def written_down(hand: Hand, key: int) -> None:
    """Send, and write the outcome down."""
    claim = await hand.claimed(key, LATER)
    for due in await hand.store.owed(claim, LATER, 10):
        await hand.store.settle(outcome(claim, due, now=LATER, sent=Action.UPGRADE, sent_tier=3))
    await hand.released(claim, LATER)


@pytest.mark.parametrize("act", [on_its_way, written_down])
async def test_its_own_adjustment_comes_back_as_an_echo(hand: Hand, act: Act) -> None:
    """The event of a repaired member is known as ours, before its outcome is written down and after."""
    await in_step(hand, PRIMARY)
    await ordered(hand, repair(ANN))
    [key] = await hand.due_keys(LATER)
    await act(hand, key)

    answer = await hand.received(tier_change("echo", LATER, tier=DIAMOND, customer=ANN, received_at=LATER))

    assert ("ignored", "echo") == (answer.receipt, answer.reason)


async def test_a_repair_is_replayed_like_any_other_event(hand: Hand) -> None:
    """Its members are owed again, each beginning with a look."""
    await in_step(hand, PRIMARY)
    await ordered(hand, repair(ANN, BOB))
    [key] = await hand.due_keys(LATER)
    await written_down(hand, key)
    item = Replay((await hand.event(repair().event_id))["id"], repair(ANN, BOB), force=False, now=LATER)

    result = await hand.replayed(item)
    claim = await hand.claimed(key, LATER)

    assert Replayed.DUE == result
    assert [(ANN, None, True), (BOB, None, True)] == [
        (due.member, due.tier, due.verify) for due in await hand.store.owed(claim, LATER, 10)
    ]


async def test_a_secondary_that_is_no_primary_is_not_asked_about(hand: Hand, to: Line, there: Town) -> None:
    """The echoes of its adjustments gave it a key, but nothing is owed to anybody by it: that call is spared."""
    await in_step(hand, PRIMARY)
    await hand.received(tier_change("echo", tier=GOLD, customer=ANN, received_at=NOW))
    one = reconciler(hand, to)

    ended = await one.work_off(await begun(hand, one))

    assert ended is not None
    assert (1, 1) == (ended.matched, ended.done)
    assert f"group {ANN}" not in there.asked


async def test_a_scheduled_pass_goes_on_behind_the_last(hand: Hand) -> None:
    """A few keys a pass, none before its time, and after the last key from the beginning."""
    await in_step(hand, 1, 2, 3)

    async def begin(hours: float) -> tuple[int, Sequence[int]] | None:
        now = LATER + int(3_600_000 * hours)
        job = await hand.store.begin_pass(Keys(org=ORG), by="schedule", keys_max=2, every_ms=3_600_000, now=now)
        if job is None:
            return None
        keys = await hand.store.keys(Keys(org=ORG), 10, job.position, job.upto)
        return job.matched, [key.customer for key in keys]

    assert [(2, [1, 2]), None, (1, [3]), (2, [1, 2])] == [await begin(hours) for hours in (0, 0.9, 1, 2)]


async def test_a_repair_that_was_imported_stands_in_nobodys_way(hand: Hand, to: Line, there: Town) -> None:
    """The first reconcile of a store into which events of another were imported orders what it finds all the same."""
    await in_step(hand, PRIMARY)
    await hand.finished(await hand.due(repair(ANN, at=NOW)), [], LATER)
    there.tiers = {PRIMARY: DIAMOND}
    one = reconciler(hand, to)

    job = await begun(hand, one)
    await one.work_off(job)

    assert {ANN: "due", BOB: "due"} == await hand.adjustments(repair().event_id)
    shown = await hand.store.job(job.id)
    assert shown is not None
    assert {"drifted": 2, "left": 2} == shown.counts


async def test_a_scheduled_pass_is_begun_by_one_replica(hand: Hand, database_url: str) -> None:
    """Two replicas see at the same time that it is time: one of them begins it, and the other finds it begun."""
    await in_step(hand, 1)

    async def begin(store: Store, now: int) -> bool:
        pass_ = await store.begin_pass(Keys(org=ORG), by="schedule", keys_max=2, every_ms=3_600_000, now=now)
        return pass_ is not None

    async with open_store(database.address(database_url)) as other:
        hours = [LATER + 3_600_000 * hour for hour in range(10)]
        begun = [sorted(await asyncio.gather(begin(hand.store, now), begin(other, now))) for now in hours]

    assert [[False, True]] * 10 == begun
