"""The verbs of the work: `claim`, `plan`, `settle`, and who may still change what after having been overtaken."""

import asyncio
from dataclasses import replace

from tests.contract.store_kit import (
    ANN,
    BOB,
    DIAMOND,
    EVE,
    FAR,
    GOLD,
    GROUP,
    LEASE_MS,
    NOW,
    Hand,
    join,
    outcome,
    owed,
    tier_change,
)
from tiersync.fanout import AdjustmentStatus
from tiersync.store import Plan, Release, Want

DATABASES = ("sqlite", "postgresql")

DUE, DONE, DEAD = AdjustmentStatus.DUE, AdjustmentStatus.DONE, AdjustmentStatus.DEAD
LATER = NOW + 60_000


async def test_a_key_is_claimed_by_one(hand: Hand) -> None:
    """Of several who want a due key at once, one gets it, and the others nothing until its lease ends."""
    key = await hand.due(tier_change("e1"))
    wants = [Want(key, f"hand {n}", NOW, NOW + LEASE_MS) for n in range(3)]

    claims = await asyncio.gather(*(hand.store.claim(want) for want in wants))
    late = await hand.store.claim(Want(key, "late", NOW + LEASE_MS - 1, NOW + 2 * LEASE_MS))

    assert [False, True, True] == [claim is None for claim in claims]
    assert late is None


async def test_only_due_keys_are_claimed(hand: Hand) -> None:
    """A key that is finished, one whose time has not come, and one that does not exist are not given out."""
    finished = await hand.due(tier_change("e1", customer=1))
    await hand.finished(finished, [ANN])
    waiting = await hand.due(tier_change("e2", customer=2))
    await hand.released(await hand.claimed(waiting), retry_at=LATER)

    claims = [await hand.store.claim(Want(key, "hand", LATER - 1, FAR)) for key in (finished, waiting, 999)]

    assert [None, None, None] == claims
    assert 2 == (await hand.claimed(waiting, LATER)).customer


async def test_a_plan_hands_back_no_more_than_was_asked_for(hand: Hand) -> None:
    """The first of those that are due, in the order in which they would be read; who is skipped is not among them."""
    claim = await hand.claimed(await hand.due(tier_change("e1")))
    items = [*owed(EVE, BOB), *owed(ANN, skip="not_default_group")]

    due = await hand.store.plan(Plan(claim, GOLD, GROUP, items, first=True, last=True, now=NOW, due_max=1))

    assert [BOB] == [item.member for item in due or ()]
    assert due == await hand.store.owed(claim, NOW, 1)


async def test_a_plan_in_parts_hands_back_all_of_them(hand: Hand) -> None:
    """With its last part comes what is due of all parts; with the others nothing."""
    claim = await hand.claimed(await hand.due(tier_change("e1")))
    first = Plan(claim, GOLD, GROUP, owed(ANN), first=True, last=False, now=NOW, due_max=10)
    last = Plan(claim, GOLD, GROUP, owed(BOB), first=False, last=True, now=NOW, due_max=10)

    begun, ended = await hand.store.plan(first), await hand.store.plan(last)

    assert [] == begun
    assert [ANN, BOB] == [item.member for item in ended or ()]


async def test_the_last_outcomes_go_with_the_release(hand: Hand) -> None:
    """Outcomes and release are one step: the event is done, whatever was still due a moment before."""
    key = await hand.due(tier_change("e1"))
    claim = await hand.claimed(key)
    await hand.planned(claim, owed(ANN, BOB, EVE))
    ann, bob, eve = await hand.store.owed(claim, NOW, 10)
    went_on = await hand.store.settle(outcome(claim, ann), outcome(claim, bob))

    due_at = await hand.store.release(Release(claim, NOW, settlements=[outcome(claim, eve, DUE, due_at=LATER)]))

    assert went_on
    assert due_at == LATER
    assert {ANN: "done", BOB: "done", EVE: "due"} == await hand.adjustments("e1")


async def test_an_expired_lease_is_simply_due(hand: Hand) -> None:
    """When the lease ends the key is due again, and whoever claims it then works on the same tier change."""
    key = await hand.due(tier_change("e1"))
    first = await hand.claimed(key)

    due_before, due_after = await hand.due_keys(first.until - 1), await hand.due_keys(first.until)
    second = await hand.claimed(key, first.until)

    assert ([], [key]) == (due_before, due_after)
    assert second.fence > first.fence
    assert (first.event, first.generation) == (second.event, second.generation)


async def test_whoever_was_overtaken_changes_nothing(hand: Hand) -> None:
    """After another claim of the key, plan, settle and release of the older one are refused without effect."""
    key = await hand.due(tier_change("e1"))
    old = await hand.claimed(key)
    await hand.planned(old, owed(ANN))
    (due,) = await hand.store.owed(old, NOW, 10)
    new = await hand.claimed(key, old.until)

    planned = await hand.planned(old, owed(BOB))
    settled = await hand.store.settle(outcome(old, due))
    released = await hand.released(old, retry_at=LATER)

    assert (False, False, None) == (planned, settled, released)
    assert {ANN: "due"} == await hand.adjustments("e1")
    assert [] == await hand.due_keys(new.until - 1)
    assert await hand.store.settle(outcome(new, due))


async def test_a_plan_is_what_is_owed(hand: Hand) -> None:
    """Each planned adjustment is due at once with what it needs, in the order in which it waits; a skip never is."""
    claim = await hand.claimed(await hand.due(tier_change("e1")))

    await hand.planned(claim, [*owed(BOB, ANN, verify=True), *owed(EVE, skip="not_default_group")])

    found = await hand.store.owed(claim, NOW, 10)
    assert [("e1", ANN, GOLD, True, True, 0), ("e1", BOB, GOLD, True, True, 0)] == [
        (due.event_id, due.member, due.tier, due.verify, due.may_lower, due.attempts) for due in found
    ]
    assert [ANN] == [due.member for due in await hand.store.owed(claim, NOW, 1)]
    shown = (await hand.event("e1"))["adjustments"]
    assert [(ANN, "due", None), (BOB, "due", None), (EVE, "skipped", "not_default_group")] == [
        (row["member"], row["status"], row["reason"]) for row in shown
    ]
    assert {GROUP} == {row["group_id"] for row in shown}


async def test_a_plan_can_be_made_again(hand: Hand) -> None:
    """A plan that was cut off is completed by the next claim: nobody twice, and what is done stays done."""
    key = await hand.due(tier_change("e1"))
    cut_off = await hand.claimed(key)
    await hand.planned(cut_off, owed(ANN, BOB), last=False)
    (ann, _) = await hand.store.owed(cut_off, NOW, 10)
    await hand.store.settle(outcome(cut_off, ann))

    again = await hand.claimed(key, cut_off.until)
    await hand.planned(again, owed(ANN, BOB, EVE), cut_off.until)

    assert again.planned != again.generation
    assert {ANN: "done", BOB: "due", EVE: "due"} == await hand.adjustments("e1")
    await hand.released(again, cut_off.until)
    third = await hand.claimed(key, cut_off.until)
    assert third.planned == third.generation


async def test_a_plan_made_again_corrects_what_is_due(hand: Hand) -> None:
    """What is still due takes tier and skip of the newer plan and keeps its next try; what is done stays."""
    claim = await hand.claimed(await hand.due(tier_change("e1")))
    await hand.planned(claim, owed(ANN, BOB), last=False)
    (ann, bob) = await hand.store.owed(claim, NOW, 10)
    await hand.store.settle(outcome(claim, ann))
    await hand.store.settle(outcome(claim, bob, DUE, due_at=LATER, reason="busy"))

    await hand.planned(claim, [*owed(ANN, EVE, tier=DIAMOND), *owed(BOB, tier=DIAMOND)], last=False)
    before = {row["member"]: row for row in (await hand.event("e1"))["adjustments"]}
    await hand.planned(claim, owed(BOB, EVE, skip="not_default_group"))

    assert {ANN: ("Gold", None), BOB: ("Diamond", LATER), EVE: ("Diamond", NOW)} == {
        member: (row["tier_name"], row["due_at"]) for member, row in before.items()
    }
    assert {ANN: "done", BOB: "skipped", EVE: "skipped"} == await hand.adjustments("e1")
    assert [] == await hand.store.owed(claim, FAR, 10)


async def test_a_plan_for_an_overtaken_tier_change_is_refused(hand: Hand) -> None:
    """When a newer event came since the claim, nothing of the older plan is written."""
    claim = await hand.claimed(await hand.due(tier_change("e1")))
    await hand.due(tier_change("e2", NOW + 1, DIAMOND))

    assert not await hand.planned(claim, owed(ANN))

    assert {} == await hand.adjustments("e1")
    assert {} == await hand.adjustments("e2")


async def test_an_outcome_is_kept_with_its_circumstances(hand: Hand) -> None:
    """An adjustment shows what its last attempt came to, how many there were, and when the first and the last was."""
    claim = await hand.claimed(await hand.due(tier_change("e1")))
    await hand.planned(claim, owed(ANN))
    (due,) = await hand.store.owed(claim, NOW, 10)
    busy = outcome(claim, due, DUE, NOW, outcome="again", reason="busy", code=521, message="later", due_at=LATER)
    dead = outcome(claim, replace(due, attempts=1), DEAD, LATER, outcome="refused", reason="refused", code=1101)

    await hand.store.settle(busy)
    (first,) = (await hand.event("e1"))["adjustments"]
    waiting, then = await hand.store.owed(claim, LATER - 1, 10), await hand.store.owed(claim, LATER, 10)
    await hand.store.settle(dead)
    (last,) = (await hand.event("e1"))["adjustments"]

    names = ("status", "outcome", "reason", "code", "message", "attempts", "due_at", "first_at", "last_at")
    assert ("due", "again", "busy", 521, "later", 1, LATER, NOW, NOW) == tuple(first[name] for name in names)
    assert ([], [1]) == (waiting, [item.attempts for item in then])
    assert ("dead", "refused", "refused", 1101, None, 2, None, NOW, LATER) == tuple(last[name] for name in names)


async def test_settle_says_stop_when_a_newer_event_came(hand: Hand) -> None:
    """The worker of an overtaken tier change is told to stop, and what was superseded stays superseded."""
    claim = await hand.claimed(await hand.due(tier_change("e1")))
    await hand.planned(claim, owed(ANN))
    (due,) = await hand.store.owed(claim, NOW, 10)
    await hand.due(tier_change("e2", NOW + 1))

    assert not await hand.store.settle(outcome(claim, due))

    assert {ANN: "superseded"} == await hand.adjustments("e1")
    assert [] == await hand.store.owed(claim, FAR, 10)


async def test_a_settled_adjustment_is_not_settled_again(hand: Hand) -> None:
    """An outcome that comes late, after the adjustment was finished otherwise, changes nothing."""
    claim = await hand.claimed(await hand.due(tier_change("e1")))
    await hand.planned(claim, owed(ANN))
    (due,) = await hand.store.owed(claim, NOW, 10)
    await hand.store.settle(outcome(claim, due))

    await hand.store.settle(outcome(claim, due, DEAD))

    assert {ANN: "done"} == await hand.adjustments("e1")


async def test_many_settle_in_one_commit(hand: Hand) -> None:
    """Outcomes of several keys that come together, one of them overtaken, each find their own adjustment."""
    claims = [await hand.claimed(await hand.due(tier_change(f"e{n}", customer=n))) for n in (1, 2, 3)]
    for claim in claims:
        await hand.planned(claim, owed(ANN))
    dues = [(claim, due) for claim in claims for due in await hand.store.owed(claim, NOW, 10)]
    await hand.due(tier_change("newer", NOW + 1, customer=2))

    answers = await asyncio.gather(*(hand.store.settle(outcome(claim, due)) for claim, due in dues))

    assert [True, False, True] == answers
    assert ["done", "superseded", "done"] == [(await hand.adjustments(f"e{n}"))[ANN] for n in (1, 2, 3)]


async def test_a_poisoned_outcome_harms_no_neighbour(hand: Hand) -> None:
    """An outcome that the database cannot hold fails alone; the one beside it is written down."""
    claim = await hand.claimed(await hand.due(tier_change("e1")))
    await hand.planned(claim, owed(ANN, BOB))
    ann, bob = await hand.store.owed(claim, NOW, 10)

    answers = await asyncio.gather(
        hand.store.settle(outcome(claim, ann, message="\ud800")),
        hand.store.settle(outcome(claim, bob)),
        return_exceptions=True,
    )

    assert [True, False] == [isinstance(answer, Exception) for answer in answers]
    assert {ANN: "due", BOB: "done"} == await hand.adjustments("e1")


async def test_reclaim_frees_what_a_dead_process_held(hand: Hand) -> None:
    """After a crash every claimed key is due at once; a key that waits for its next try goes on waiting."""
    waiting = await hand.due(tier_change("e1", customer=1))
    await hand.released(await hand.claimed(waiting), retry_at=LATER)
    held = await hand.due(tier_change("e2", customer=2))
    before = await hand.claimed(held)

    await hand.store.reclaim(NOW + 1)

    assert [held] == await hand.due_keys(NOW + 1)
    assert (await hand.claimed(held, NOW + 1)).fence > before.fence
    assert waiting in await hand.due_keys(LATER)


async def test_a_joiner_is_owed_beside_the_others(hand: Hand) -> None:
    """What a join owes is due beside what the tier change owes, for the same claim, and names no tier."""
    claim = await hand.claimed((await hand.received(tier_change("e1"), join("j1", EVE))).sync or 0)
    await hand.planned(claim, owed(ANN))

    found = await hand.store.owed(claim, NOW, 10)

    assert {ANN: GOLD, EVE: None} == {due.member: due.tier for due in found}
