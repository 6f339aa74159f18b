"""The verb `replay`: stored work made due again, and what it never does: roll a group back unasked."""

import asyncio

import pytest

from tests.contract.store_kit import (
    ANN,
    BOB,
    DIAMOND,
    EVE,
    FAR,
    GOLD,
    NOW,
    SILVER,
    Hand,
    join,
    leave,
    outcome,
    owed,
    tier_change,
    without_key,
)
from tiersync.fanout import AdjustmentStatus
from tiersync.intake import Arrival, EventStatus
from tiersync.store import Replay, Replayed

DATABASES = ("sqlite", "postgresql")

DUE, DEAD = AdjustmentStatus.DUE, AdjustmentStatus.DEAD
LATER = NOW + 60_000


async def replayed(hand: Hand, arrival: Arrival, *, force: bool = False, now: int = LATER) -> Replayed:
    """Replay a stored event, read as `arrival`."""
    event = await hand.event(arrival.event_id)
    return await hand.replayed(Replay(event["id"], arrival, force, now))


async def test_of_a_dead_event_only_what_is_dead_is_owed_again(hand: Hand) -> None:
    """Replaying a dead event makes its dead adjustments due, each to begin with a reading; what is done stays done."""
    key = await hand.due(tier_change("e1"))
    claim = await hand.claimed(key)
    await hand.planned(claim, owed(ANN, BOB))
    ann, bob = await hand.store.owed(claim, NOW, 10)
    await hand.store.settle(outcome(claim, ann))
    await hand.store.settle(outcome(claim, bob, DEAD, reason="refused"))
    await hand.released(claim)

    assert Replayed.DUE == await replayed(hand, tier_change("e1"))

    again = await hand.claimed(key, LATER)
    assert [(BOB, True, 0)] == [
        (due.member, due.verify, due.attempts) for due in await hand.store.owed(again, LATER, 10)
    ]
    assert ("pending", None) == await hand.status("e1")
    await hand.planned(again, owed(ANN, BOB), LATER)
    await hand.settled(again, LATER)
    assert await hand.released(again, LATER) is None
    assert ("done", None) == await hand.status("e1")


@pytest.mark.parametrize("planned", [[], [ANN, BOB]], ids=["before planning", "after planning"])
async def test_what_was_given_up_is_taken_up_whole(hand: Hand, planned: list[int]) -> None:
    """Replaying an event that was closed as dead, planned or not, ends with every member adjusted."""
    key = await hand.due(tier_change("e1"))
    claim = await hand.claimed(key)
    await hand.planned(claim, owed(*planned), last=False)
    await hand.released(claim, close=EventStatus.DEAD, reason="timeout_attempts_spent")

    await replayed(hand, tier_change("e1"))
    await hand.finished(key, [ANN, BOB], LATER)

    assert ("done", None) == await hand.status("e1")
    assert {ANN: "done", BOB: "done"} == await hand.adjustments("e1")


async def test_of_a_finished_event_everybody_is_looked_at_again(hand: Hand) -> None:
    """Replaying a done event owes every adjustment again, but what policy skips is skipped again."""
    key = await hand.due(tier_change("e1"))
    claim = await hand.claimed(key)
    plan = [*owed(ANN), *owed(BOB, skip="not_default_group")]
    await hand.planned(claim, plan)
    await hand.settled(claim)
    await hand.released(claim)

    assert Replayed.DUE == await replayed(hand, tier_change("e1"))

    again = await hand.claimed(key, LATER)
    assert again.inherits
    await hand.planned(again, plan, LATER)
    assert [(ANN, True)] == [(due.member, due.verify) for due in await hand.store.owed(again, LATER, 10)]
    assert {ANN: "due", BOB: "skipped"} == await hand.adjustments("e1")


@pytest.mark.parametrize(
    "before",
    [
        without_key("e1", EventStatus.QUARANTINED, "field_invalid"),
        without_key("e1", EventStatus.IGNORED, "org_unknown"),
        without_key("e1", EventStatus.DEAD, "program_unknown"),
    ],
    ids=lambda arrival: str(arrival.status),
)
async def test_what_is_understood_now_is_acted_on(hand: Hand, before: Arrival) -> None:
    """An event that could not be acted on when it came is due once its bytes read as a tier change."""
    await hand.received(before)

    assert Replayed.DUE == await replayed(hand, tier_change("e1", tier=DIAMOND))

    assert ("pending", None) == await hand.status("e1")
    claim = await hand.claimed((await hand.due_keys(LATER))[0], LATER)
    assert ("Diamond", 1) == (claim.tier_name, claim.generation)


async def test_what_is_still_not_understood_stays(hand: Hand) -> None:
    """An event that still cannot be acted on is unchanged but for the reason, which is that of the last reading."""
    await hand.received(without_key("e1", EventStatus.QUARANTINED, "not_json"))

    result = await replayed(hand, without_key("e1", EventStatus.QUARANTINED, "field_invalid"))

    assert Replayed.UNCHANGED == result
    assert ("quarantined", "field_invalid") == await hand.status("e1")
    assert [] == await hand.due_keys(FAR)


async def test_what_is_being_worked_on_is_not_taken_back(hand: Hand) -> None:
    """A pending event that settings would ignore by now stays pending: what it owes is not orphaned."""
    key = await hand.due(join("j1", EVE))

    result = await replayed(hand, without_key("j1", EventStatus.IGNORED, "join_off"))

    assert Replayed.UNCHANGED == result
    assert ("pending", None) == await hand.status("j1")
    await hand.finished(key, [], LATER)
    assert ("done", None) == await hand.status("j1")


async def test_a_superseded_event_converges_to_the_newest(hand: Hand) -> None:
    """Replaying an overtaken event makes the newest tier change due instead, whole, and leaves itself superseded."""
    key = await hand.due(tier_change("e1", tier=SILVER))
    claim = await hand.claimed(key)
    await hand.planned(claim, owed(ANN, tier=SILVER))
    await hand.settled(claim, status=DEAD)
    await hand.received(tier_change("e2", NOW + 1, DIAMOND))
    await hand.released(claim)
    await hand.finished(key, [ANN])

    assert Replayed.CONVERGES == await replayed(hand, tier_change("e1", tier=SILVER))

    assert [("superseded", "stale"), ("pending", None)] == [await hand.status(e) for e in ("e1", "e2")]
    assert {ANN: "superseded"} == await hand.adjustments("e1")
    again = await hand.claimed(key, LATER)
    assert ("Diamond", True) == (again.tier_name, again.inherits)
    await hand.planned(again, owed(ANN, tier=DIAMOND), LATER)
    assert [("e2", ANN, DIAMOND, True)] == [
        (due.event_id, due.member, due.tier, due.verify) for due in await hand.store.owed(again, LATER, 10)
    ]


async def test_force_goes_back_and_what_is_truly_newer_still_wins(hand: Hand) -> None:
    """A forced replay makes the older tier due; afterwards only what is newer than all that was known counts."""
    key = await hand.due(tier_change("e1", NOW, SILVER))
    await hand.received(tier_change("e2", NOW + 10, DIAMOND))
    await hand.finished(key, [ANN])

    assert Replayed.DUE == await replayed(hand, tier_change("e1", NOW, SILVER), force=True)

    assert "Silver" == (await hand.claimed(key, LATER)).tier_name
    assert ("pending", None) == await hand.status("e1")
    between = await hand.store.receive(tier_change("e3", NOW + 5, GOLD))
    newer = await hand.store.receive(tier_change("e4", NOW + 11, GOLD))
    assert ("stale", None) == (between.reason, newer.reason)
    assert "Gold" == (await hand.claimed(key, FAR)).tier_name


async def test_after_force_the_newest_can_be_replayed(hand: Hand) -> None:
    """A forced step back is undone by replaying the newest event, without force."""
    key = await hand.due(tier_change("e1", NOW, SILVER))
    await hand.received(tier_change("e2", NOW + 10, DIAMOND))
    await hand.finished(key, [ANN])
    await replayed(hand, tier_change("e1", NOW, SILVER), force=True)

    assert Replayed.DUE == await replayed(hand, tier_change("e2", NOW + 10, DIAMOND))

    await hand.finished(key, [ANN], LATER)
    assert [("superseded", "overtaken"), ("done", None)] == [await hand.status(e) for e in ("e1", "e2")]
    assert {ANN: "done"} == await hand.adjustments("e2")


async def test_a_join_is_owed_again(hand: Hand) -> None:
    """Replaying a join makes its one adjustment due again, with a reading first."""
    key = await hand.due(join("j1", EVE))
    await hand.settled(claim := await hand.claimed(key), status=DEAD)
    await hand.released(claim)

    assert Replayed.DUE == await replayed(hand, join("j1", EVE))

    again = await hand.claimed(key, LATER)
    assert [(EVE, None, 0)] == [(due.member, due.tier, due.attempts) for due in await hand.store.owed(again, LATER, 10)]
    assert ("pending", None) == await hand.status("j1")


async def test_a_join_that_was_ignored_is_owed_for_the_first_time(hand: Hand) -> None:
    """A join that came while joins were off is owed once the org wants them and it is replayed."""
    await hand.received(without_key("j1", EventStatus.IGNORED, "join_off"))

    assert Replayed.DUE == await replayed(hand, join("j1", EVE))

    assert {EVE: "due"} == await hand.adjustments("j1")
    assert 1 == len(await hand.due_keys(LATER))


async def test_a_leave_wakes_again(hand: Hand) -> None:
    """Replaying a leave makes what its primary still owes due, as its arrival did."""
    key = await hand.due(tier_change("e1"))
    claim = await hand.claimed(key)
    await hand.planned(claim, owed(ANN))
    await hand.settled(claim, status=DUE, due_at=FAR)
    await hand.released(claim)
    await hand.received(without_key("l1", EventStatus.IGNORED, "org_unknown"))

    assert Replayed.UNCHANGED == await replayed(hand, leave("l1", ANN))

    assert [key] == await hand.due_keys(LATER)


async def test_a_replay_while_the_key_is_held(hand: Hand) -> None:
    """The worker that holds the key is told to stop, and the release makes the key due for the replay."""
    key = await hand.due(tier_change("e1"))
    claim = await hand.claimed(key)
    await hand.planned(claim, owed(ANN, BOB))
    ann, bob = await hand.store.owed(claim, NOW, 10)
    await hand.store.settle(outcome(claim, ann, DEAD))

    await replayed(hand, tier_change("e1"), now=NOW + 1)
    goes_on = await hand.store.settle(outcome(claim, bob))
    due_at = await hand.released(claim, NOW + 2)

    assert (False, NOW + 2) == (goes_on, due_at)
    assert {ANN: "due", BOB: "done"} == await hand.adjustments("e1")
    await hand.finished(key, [ANN, BOB], LATER)
    assert ("done", None) == await hand.status("e1")


async def test_replays_of_one_key_in_one_commit(hand: Hand) -> None:
    """Replaying every event of a key at once, a row among them that is not there, ends with the newest tier alone."""
    for n in range(3):
        await hand.finished(await hand.due(tier_change(f"e{n}", NOW + n, GOLD if n < 2 else DIAMOND)), [ANN])
    arrivals = [tier_change(f"e{n}", NOW + n, GOLD if n < 2 else DIAMOND) for n in range(3)]
    rows = [(await hand.event(arrival.event_id))["id"] for arrival in arrivals]

    answers = await asyncio.gather(
        *(
            hand.replayed(Replay(row, arrival, force=False, now=LATER))
            for row, arrival in zip(rows, arrivals, strict=True)
        ),
        hand.replayed(Replay(999, arrivals[0], force=False, now=LATER)),
    )

    assert [Replayed.CONVERGES, Replayed.CONVERGES, Replayed.DUE, Replayed.UNCHANGED] == answers
    (key,) = await hand.due_keys(LATER)
    await hand.finished(key, [ANN], LATER)
    assert ["superseded", "superseded", "done"] == [(await hand.status(f"e{n}"))[0] for n in range(3)]
