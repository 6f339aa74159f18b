"""The verb `receive`: what a delivery does to the tables, whatever came before and whatever comes with it."""

import asyncio
import itertools
from dataclasses import replace
from typing import Any

import pytest

from tests.contract.store_kit import (
    ANN,
    BOB,
    DIAMOND,
    EVE,
    FAR,
    GOLD,
    NOW,
    ORG,
    PRIMARY,
    SILVER,
    Hand,
    join,
    leave,
    outcome,
    owed,
    tier_change,
    without_key,
)
from tiersync.errors import StoreUnavailable
from tiersync.fanout import AdjustmentStatus, Policy
from tiersync.intake import Arrival, EventStatus
from tiersync.store import Receipt, Selection, Store, database, open_store
from tiersync.webhook import INT64_MAX, Action

DATABASES = ("sqlite", "postgresql")

SECOND = 1000


async def test_a_new_event_makes_its_key_due(hand: Hand) -> None:
    """A tier change is answered as accepted, and its key is due with exactly what the event said."""
    answer = await hand.store.receive(tier_change("e1", tier=DIAMOND))

    assert Receipt.ACCEPTED == answer.receipt
    assert [answer.sync] == await hand.due_keys()
    claim = await hand.claimed(await hand.due(tier_change("e2", NOW + 1, DIAMOND)))
    assert (PRIMARY, DIAMOND.number, DIAMOND.name, 2) == (
        claim.customer,
        claim.tier_number,
        claim.tier_name,
        claim.generation,
    )


async def test_answered_means_stored(database_url: str) -> None:
    """What was answered is there, whole and due, when the database is opened again."""
    url, arrival = database.address(database_url), tier_change("e1", body=b"\x00\xff raw bytes")
    async with open_store(url, migrate=True) as store:
        await store.receive(arrival)

    async with open_store(url) as store:
        stored = await store.stored(Selection(), 10)
        due = await store.sweep(NOW, 10)

    assert [b"\x00\xff raw bytes"] == [row.body for row in stored]
    assert [ORG] == [org for _, org in due]


async def test_a_duplicate_is_counted_and_changes_nothing(hand: Hand) -> None:
    """The same event again, whatever it says this time, is counted on the stored one and wakes nobody."""
    key = await hand.due(tier_change("e1"))
    await hand.finished(key, [ANN])

    answers = [await hand.store.receive(tier_change("e1", NOW + n, DIAMOND)) for n in range(2)]

    assert [Receipt.DUPLICATE] * 2 == [answer.receipt for answer in answers]
    stored = await hand.event("e1")
    assert (2, "Gold", "done") == (stored["duplicates"], stored["tier_name"], stored["status"])
    assert [] == await hand.due_keys(FAR)


async def test_duplicates_that_come_together_are_one_event(hand: Hand) -> None:
    """Of the same event three times in one commit, one is accepted and two are duplicates."""
    answers = await asyncio.gather(*(hand.store.receive(tier_change("e1")) for _ in range(3)))

    assert ["accepted", "duplicate", "duplicate"] == sorted(answer.receipt for answer in answers)
    assert 2 == (await hand.event("e1"))["duplicates"]


async def test_an_event_id_belongs_to_its_org(hand: Hand) -> None:
    """Two orgs may use the same event id: two events, two keys."""
    keys = [await hand.due(tier_change("e1", org=org)) for org in (1, 2)]

    assert 2 == len(set(keys))
    assert 0 == (await hand.event("e1", org=2))["duplicates"]


NEWER = {
    "by createdAt": (tier_change("old", 5), tier_change("new", 6)),
    "by createdAt, whatever the log ids": (
        tier_change("old", 5, event_log_id=9),
        tier_change("new", 6, event_log_id=1),
    ),
    "by event log id": (tier_change("old", 5, event_log_id=1), tier_change("new", 5, event_log_id=2)),
    "by having an event log id": (tier_change("old", 5), tier_change("new", 5, event_log_id=0)),
}


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one commit"])
@pytest.mark.parametrize(("old", "new"), NEWER.values(), ids=NEWER)
async def test_the_newest_wins_in_any_order(hand: Hand, old: Arrival, new: Arrival, *, together: bool) -> None:
    """Newer is greater createdAt, then greater event log id; who comes first does not matter."""
    for customer, arrivals in enumerate(itertools.permutations([old, replace(new, tier_name="Newest")]), start=1):
        renamed = [replace(item, event_id=f"{item.event_id}{customer}", customer=customer) for item in arrivals]
        if together:
            await asyncio.gather(*(hand.store.receive(item) for item in renamed))
        else:
            await hand.received(*renamed)

    claims = [await hand.claimed(key) for key in await hand.due_keys()]
    assert ["Newest", "Newest"] == [claim.tier_name for claim in claims]
    assert [("superseded", "overtaken"), ("superseded", "stale")] == [await hand.status(f"old{n}") for n in (1, 2)]
    assert [("pending", None)] * 2 == [await hand.status(f"new{n}") for n in (1, 2)]


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one commit"])
async def test_of_equals_the_last_to_come_wins(hand: Hand, *, together: bool) -> None:
    """Where createdAt and event log id are the same, the later arrival is the newer."""
    arrivals = [tier_change(f"e{n}", event_log_id=7, tier=tier) for n, tier in enumerate((SILVER, DIAMOND, GOLD))]

    if together:
        await asyncio.gather(*(hand.store.receive(arrival) for arrival in arrivals))
    else:
        await hand.received(*arrivals)

    claim = await hand.claimed((await hand.due_keys())[0])
    assert "Gold" == claim.tier_name


@pytest.mark.parametrize("seed", range(4))
async def test_a_mixed_batch_of_one_key_comes_to_the_newest(hand: Hand, seed: int) -> None:
    """Duplicates, stale and newer events of one key in one commit: one newest, the others superseded, none missing."""
    order = [*itertools.permutations(range(4))][seed * 5]
    arrivals = [tier_change(f"e{n}", NOW + n, tier=GOLD if n < 3 else DIAMOND) for n in order]

    answers = await asyncio.gather(*(hand.store.receive(arrival) for arrival in [*arrivals, *arrivals]))

    assert 4 == sum(answer.receipt is Receipt.DUPLICATE for answer in answers)
    assert ["superseded"] * 3 + ["pending"] == [(await hand.status(f"e{n}"))[0] for n in range(4)]
    claim = await hand.claimed((await hand.due_keys())[0])
    assert "Diamond" == claim.tier_name


async def test_a_newer_event_drops_what_the_older_still_owed(hand: Hand) -> None:
    """An overtaken event keeps what is done, its open adjustments are superseded, and the newer one inherits."""
    key = await hand.due(tier_change("e1"))
    claim = await hand.claimed(key)
    await hand.planned(claim, owed(ANN))
    await hand.settled(claim)
    await hand.planned(claim, owed(BOB))
    await hand.released(claim)

    await hand.due(tier_change("e2", NOW + 1))

    assert ("superseded", "overtaken") == await hand.status("e1")
    assert {ANN: "done", BOB: "superseded"} == await hand.adjustments("e1")
    assert (await hand.claimed(key)).inherits


async def test_a_newer_event_after_a_finished_one_inherits_nothing(hand: Hand) -> None:
    """An event that was done stays done when a newer one comes."""
    key = await hand.due(tier_change("e1"))
    await hand.finished(key, [ANN])

    await hand.due(tier_change("e2", NOW + 1))

    assert ("done", None) == await hand.status("e1")
    assert not (await hand.claimed(key)).inherits


async def test_a_stale_event_wakes_nobody(hand: Hand) -> None:
    """An older event that comes after the newer one was done is stored as superseded; nothing is due."""
    key = await hand.due(tier_change("e2"))
    await hand.finished(key, [ANN])

    answer = await hand.store.receive(tier_change("e1", NOW - 1))

    assert (Receipt.ACCEPTED, None, "stale") == (answer.receipt, answer.sync, answer.reason)
    assert ("superseded", "stale") == await hand.status("e1")
    assert [] == await hand.due_keys(FAR)


UNDATED: dict[str, list[Arrival]] = {
    "clock set back": [
        tier_change("a", NOW, dated=False),
        tier_change("b", NOW - 3600 * SECOND, DIAMOND, dated=False),
    ],
    "after one dated later": [
        tier_change("a", NOW + SECOND),
        tier_change("b", NOW, DIAMOND, dated=False),
    ],
    "after one dated at the end of time": [
        tier_change("a", INT64_MAX),
        tier_change("b", NOW, DIAMOND, dated=False),
    ],
}


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one commit"])
@pytest.mark.parametrize("arrivals", UNDATED.values(), ids=UNDATED)
async def test_of_undated_events_the_last_to_come_is_the_newest(
    hand: Hand, arrivals: list[Arrival], *, together: bool
) -> None:
    """An event that bears no date counts from its arrival, and is never older than what came before it."""
    if together:
        await asyncio.gather(*(hand.store.receive(arrival) for arrival in arrivals))
    else:
        await hand.received(*arrivals)

    claim = await hand.claimed((await hand.due_keys())[0])
    assert "Diamond" == claim.tier_name


ECHOES: dict[str, tuple[dict[str, Any], Receipt]] = {
    "same tier": ({}, Receipt.IGNORED),
    "at the end of the window": ({"received_at": NOW + 300 * SECOND}, Receipt.IGNORED),
    "after the window": ({"received_at": NOW + 301 * SECOND}, Receipt.ACCEPTED),
    "another change to it": ({"action": Action.RENEW}, Receipt.ACCEPTED),
    "another tier": ({"tier_number": 3}, Receipt.ACCEPTED),
    "another program": ({"program": 1}, Receipt.ACCEPTED),
    "another org": ({"org": 1}, Receipt.ACCEPTED),
    "another customer": ({"customer": BOB}, Receipt.ACCEPTED),
    "no window": ({"policy": Policy(echo_window_s=0)}, Receipt.ACCEPTED),
    "cascades allowed": ({"policy": Policy(cascade_depth_max=1)}, Receipt.ACCEPTED),
}


@pytest.mark.parametrize(("other", "expected"), ECHOES.values(), ids=ECHOES)
async def test_the_echo_of_our_own_adjustment_is_ignored(hand: Hand, other: dict[str, Any], expected: Receipt) -> None:
    """An event is an echo if we adjusted this customer to this tier in this program within the echo window."""
    await hand.finished(await hand.due(tier_change("e1")), [ANN])

    answer = await hand.store.receive(replace(tier_change("echo", customer=ANN), **other))

    assert expected == answer.receipt


async def test_what_is_owed_is_no_echo_before_it_is_sent(hand: Hand) -> None:
    """An adjustment that waits for its next try counts for the echo window after the last one, and no longer."""
    claim = await hand.claimed(await hand.due(tier_change("e1")))
    await hand.planned(claim, owed(ANN, BOB))
    ann, _ = await hand.store.owed(claim, NOW, 10)
    await hand.store.settle(outcome(claim, ann, AdjustmentStatus.DUE, outcome="again", due_at=NOW + 3600 * SECOND))
    await hand.released(claim)

    answers = [
        await hand.store.receive(
            tier_change(f"{customer}-{seconds}", received_at=NOW + seconds * SECOND, customer=customer)
        )
        for customer, seconds in ((BOB, 1), (ANN, 301), (ANN, 300))
    ]

    assert [Receipt.ACCEPTED, Receipt.ACCEPTED, Receipt.IGNORED] == [answer.receipt for answer in answers]


async def test_the_echo_may_overtake_the_answer(hand: Hand) -> None:
    """An echo that comes before our call is settled is ignored too, however late; one of a refused call is no echo."""
    claim = await hand.claimed(await hand.due(tier_change("e1")))
    await hand.planned(claim, owed(ANN))

    in_flight = await hand.store.receive(tier_change("echo1", customer=ANN, received_at=NOW + 3600 * SECOND))
    await hand.settled(claim, status=AdjustmentStatus.DEAD)
    refused = await hand.store.receive(tier_change("echo2", NOW + 1, customer=ANN))

    assert (Receipt.IGNORED, "echo") == (in_flight.receipt, in_flight.reason)
    assert Receipt.ACCEPTED == refused.receipt


async def test_a_cascade_ends_at_its_depth(hand: Hand) -> None:
    """With a depth of 1, the echo of an adjustment is acted on, and the echo of what that caused is not."""
    policy = Policy(cascade_depth_max=1)
    await hand.finished(await hand.due(tier_change("e1", policy=policy)), [ANN])
    await hand.finished(await hand.due(tier_change("e2", customer=ANN, policy=policy)), [BOB])

    answer = await hand.store.receive(tier_change("e3", customer=BOB, policy=policy))

    assert (Receipt.IGNORED, "echo") == (answer.receipt, answer.reason)
    assert [0, 1, 2] == [(await hand.event(event_id))["depth"] for event_id in ("e1", "e2", "e3")]


async def test_a_join_owes_the_joiner_whatever_the_primary_holds(hand: Hand) -> None:
    """Somebody who joins is owed an adjustment without a tier of its own, even before any tier change is known."""
    claim = await hand.claimed(await hand.due(join("j1", ANN)))

    found = await hand.store.owed(claim, NOW, 10)

    assert (None, 0, 0) == (claim.event, claim.generation, claim.planned)
    assert [("j1", ANN, None, True, True)] == [
        (item.event_id, item.member, item.tier, item.verify, item.may_lower) for item in found
    ]


async def test_a_join_wakes_a_finished_key_for_the_joiner_alone(hand: Hand) -> None:
    """A join makes a key due that was done; only the joiner is owed something, and nothing is to be planned."""
    key = await hand.due(tier_change("e1"))
    await hand.finished(key, [ANN])

    assert key == await hand.due(join("j1", EVE))

    claim = await hand.claimed(key)
    assert [EVE] == [item.member for item in await hand.store.owed(claim, NOW, 10)]
    assert claim.planned == claim.generation


async def test_joins_and_leaves_do_not_shorten_the_wait_after_a_failed_attempt(hand: Hand) -> None:
    """Many members who join during an outage must not spend the attempts of the tier change."""
    key = await hand.due(tier_change("e1"))
    await hand.released(await hand.claimed(key), retry_at=NOW + 60_000)

    await hand.received(join("j1", ANN))
    await hand.received(leave("l1", EVE))

    assert ([], [key]) == (await hand.due_keys(NOW + 59_999), await hand.due_keys(NOW + 60_000))


async def test_a_leave_frees_no_key_that_is_held(hand: Hand) -> None:
    """A leave that comes while somebody works on the key leaves him his lease."""
    claim = await hand.claimed(await hand.due(tier_change("e1")))
    await hand.planned(claim, owed(ANN))

    await hand.received(leave("l1", ANN))

    assert [] == await hand.due_keys(claim.until - 1)


async def test_a_leave_makes_what_is_still_owed_due(hand: Hand) -> None:
    """A leave wakes a key whose next try is later, so that the group is read again; it wakes no finished one."""
    waiting = await hand.claimed(await hand.due(tier_change("e1")))
    await hand.planned(waiting, owed(ANN))
    await hand.settled(waiting, status=AdjustmentStatus.DUE, due_at=NOW + 3600 * SECOND)
    await hand.released(waiting)
    await hand.finished(await hand.due(tier_change("e2", customer=BOB)), [EVE])

    answers = [await hand.store.receive(leave(f"l{customer}", ANN, customer=customer)) for customer in (PRIMARY, BOB)]

    assert [Receipt.ACCEPTED] * 2 == [answer.receipt for answer in answers]
    assert [waiting.sync] == await hand.due_keys()
    assert ("done", None) == await hand.status(f"l{PRIMARY}")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (EventStatus.IGNORED, Receipt.IGNORED),
        (EventStatus.QUARANTINED, Receipt.QUARANTINED),
        (EventStatus.DEAD, Receipt.ACCEPTED),
    ],
)
async def test_what_moves_no_key_is_kept_with_its_reason(hand: Hand, status: EventStatus, expected: Receipt) -> None:
    """A delivery that is not acted on is stored whole with its reason, and nothing is due."""
    answer = await hand.store.receive(without_key("e1", status, "because"))

    assert (expected, None, "because") == (answer.receipt, answer.sync, answer.reason)
    assert (status, "because") == await hand.status("e1")
    assert [] == await hand.due_keys(FAR)


async def test_a_poisoned_delivery_harms_no_neighbour(hand: Hand) -> None:
    """A delivery that the database cannot hold fails alone: those beside it and after it are stored."""
    poisoned = tier_change("poison", name="\ud800")
    arrivals = [tier_change("e1", customer=1), poisoned, tier_change("e2", customer=2)]

    answers = await asyncio.gather(*(hand.store.receive(item) for item in arrivals), return_exceptions=True)
    after = await hand.store.receive(tier_change("e3", customer=3))

    assert [False, True, False] == [isinstance(answer, Exception) for answer in answers]
    assert Receipt.ACCEPTED == after.receipt
    assert ["e3", "e2", "e1"] == [row["event_id"] for row in await hand.store.list_events(Selection(), 10)]


async def test_a_caller_who_goes_away_takes_nothing_along(hand: Hand) -> None:
    """A delivery whose caller is cancelled while the commit runs is stored all the same, and so are its neighbours."""
    gone = asyncio.create_task(hand.store.receive(tier_change("e1", customer=1)))
    await asyncio.sleep(0)

    gone.cancel()
    await hand.store.receive(tier_change("e2", customer=2))

    assert gone.cancelled()
    assert 2 == len(await hand.due_keys())


async def test_what_comes_together_shares_a_commit(database_url: str) -> None:
    """A hundred deliveries at once need a few commits, and nobody is answered before his commit is done."""
    steps: list[str] = []

    async with open_store(database.address(database_url), migrate=True, step=steps.append) as store:

        async def deliver(number: int) -> None:
            await store.receive(tier_change(f"e{number}", customer=number))
            assert "after commit: receive" in steps

        await asyncio.gather(*(deliver(number) for number in range(1, 101)))

    assert steps.count("after commit: receive") <= 3


async def test_a_closed_store_accepts_nothing(database_url: str) -> None:
    """After closing, a delivery is refused as unavailable instead of being kept in memory."""
    async with open_store(database.address(database_url), migrate=True) as store:
        closed: Store = store

    with pytest.raises(StoreUnavailable):
        await closed.receive(tier_change("e1"))
