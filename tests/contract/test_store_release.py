"""The verb `release`: what becomes of a key and its events when a claim ends, and that nothing is lost meanwhile."""

import asyncio
from typing import Any

import pytest

from tests.contract.store_kit import ANN, BOB, EVE, FAR, NOW, Hand, join, outcome, owed, tier_change
from tiersync.fanout import AdjustmentStatus
from tiersync.intake import EventStatus
from tiersync.webhook import Action

DATABASES = ("sqlite", "postgresql")

DUE, DEAD, SKIPPED = AdjustmentStatus.DUE, AdjustmentStatus.DEAD, AdjustmentStatus.SKIPPED
LATER, LATEST = NOW + 60_000, NOW + 120_000


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([AdjustmentStatus.DONE, AdjustmentStatus.DONE], ("done", None)),
        ([AdjustmentStatus.DONE, SKIPPED], ("done", None)),
        ([AdjustmentStatus.DONE, DEAD], ("dead", "refused")),
        ([], ("done", None)),
    ],
    ids=["all done", "one skipped", "one dead", "nobody to adjust"],
)
async def test_an_event_ends_as_its_adjustments_did(
    hand: Hand, statuses: list[AdjustmentStatus], expected: tuple[str, str | None]
) -> None:
    """When nothing of an event is due any more it is finished: dead if one of its adjustments is, else done."""
    claim = await hand.claimed(await hand.due(tier_change("e1")))
    await hand.planned(claim, owed(*(ANN, BOB)[: len(statuses)]))
    for due, status in zip(await hand.store.owed(claim, NOW, 10), statuses, strict=True):
        await hand.store.settle(outcome(claim, due, status, reason="refused" if status is DEAD else None))

    assert await hand.released(claim, LATER) is None

    assert expected == await hand.status("e1")
    assert LATER == (await hand.event("e1"))["finished_at"]
    assert [] == await hand.due_keys(FAR)


async def test_a_key_is_due_when_its_next_adjustment_is(hand: Hand) -> None:
    """What is to be tried again keeps its event open and makes the key due at the earliest of these instants."""
    claim = await hand.claimed(await hand.due(tier_change("e1")))
    await hand.planned(claim, owed(ANN, BOB, EVE))
    ann, bob, eve = await hand.store.owed(claim, NOW, 10)
    await hand.store.settle(outcome(claim, ann, DUE, due_at=LATEST))
    await hand.store.settle(outcome(claim, bob, DUE, due_at=LATER))
    await hand.store.settle(outcome(claim, eve, DEAD))

    assert LATER == await hand.released(claim)

    assert ("pending", None) == await hand.status("e1")
    assert ([], [claim.sync]) == (await hand.due_keys(LATER - 1), await hand.due_keys(LATER))


async def test_a_key_that_was_not_planned_is_due_at_once(hand: Hand) -> None:
    """A claim given back before its plan was complete leaves the key due, so that the next one plans."""
    key = await hand.due(tier_change("e1"))
    claim = await hand.claimed(key)
    await hand.planned(claim, owed(ANN), last=False)
    await hand.settled(claim)

    assert NOW == await hand.released(claim)

    again = await hand.claimed(key)
    assert again.planned != again.generation
    assert ("pending", None) == await hand.status("e1")


MEANWHILE: dict[str, dict[str, Any]] = {
    "given back": {},
    "put off": {"retry_at": LATER},
    "closed": {"close": EventStatus.IGNORED, "reason": "not_primary"},
}


@pytest.mark.parametrize("ending", MEANWHILE.values(), ids=MEANWHILE)
async def test_a_tier_change_that_comes_meanwhile_is_not_lost(hand: Hand, ending: dict[str, Any]) -> None:
    """A newer event that arrives while the key is held makes it due at the release, however that one ends."""
    key = await hand.due(tier_change("e1"))
    claim = await hand.claimed(key)
    await hand.planned(claim, owed(ANN))
    await hand.settled(claim)

    await hand.due(tier_change("e2", NOW + 1))
    held = await hand.due_keys()
    due_at = await hand.released(claim, **ending)

    assert ([], NOW) == (held, due_at)
    assert [("superseded", "overtaken"), ("pending", None)] == [await hand.status(e) for e in ("e1", "e2")]
    new = await hand.claimed(key)
    assert (2, 0, True) == (new.generation, new.attempt, new.inherits)


@pytest.mark.parametrize("ending", MEANWHILE.values(), ids=MEANWHILE)
async def test_a_join_that_comes_meanwhile_is_not_lost(hand: Hand, ending: dict[str, Any]) -> None:
    """A join that arrives while the key is held stays owed, even if the claim is closed for what it saw before."""
    key = await hand.due(tier_change("e1"))
    claim = await hand.claimed(key)
    await hand.planned(claim, owed(ANN))
    await hand.settled(claim)

    await hand.due(join("j1", EVE))
    due_at = await hand.released(claim, **ending)

    assert due_at == ending.get("retry_at", NOW)
    assert ("pending", None) == await hand.status("j1")
    assert [EVE] == [due.member for due in await hand.store.owed(await hand.claimed(key, LATER), LATER, 10)]


@pytest.mark.parametrize(
    ("close", "left"), [(EventStatus.IGNORED, "skipped"), (EventStatus.DEAD, "dead")], ids=["ignored", "dead"]
)
async def test_closing_ends_everything_that_was_known(hand: Hand, close: EventStatus, left: str) -> None:
    """A closed claim finishes its events, joins too, with the reason, and nothing of them is due."""
    key = (await hand.received(join("j1", EVE), tier_change("e1"))).sync or 0
    claim = await hand.claimed(key)
    await hand.planned(claim, owed(ANN), last=False)

    assert await hand.released(claim, close=close, reason="because", detail="the details") is None

    for event_id, member in (("e1", ANN), ("j1", EVE)):
        event = await hand.event(event_id)
        assert (close, "because", "the details") == (event["status"], event["reason"], event["detail"])
        assert {member: left} == await hand.adjustments(event_id)
    assert [] == await hand.due_keys(FAR)


async def test_a_closed_tier_change_is_not_planned_by_what_comes_later(hand: Hand) -> None:
    """A join after a closed tier change owes the joiner alone: what was given up is not taken up again."""
    key = await hand.due(tier_change("e1"))
    await hand.released(await hand.claimed(key), close=EventStatus.IGNORED, reason="not_primary")

    claim = await hand.claimed(await hand.due(join("j1", EVE)))

    assert claim.planned == claim.generation
    assert [EVE] == [due.member for due in await hand.store.owed(claim, NOW, 10)]


async def test_only_an_overtaken_downgrade_is_inherited_as_one(hand: Hand) -> None:
    """What overtakes an unfinished downgrade lowers in its stead; what overtakes anything else does not."""
    down = {"action": Action.DOWNGRADE}
    key = await hand.due(tier_change("e1"))
    await hand.received(tier_change("e2", NOW + 1))
    after_a_rise = await hand.claimed(key)
    await hand.received(tier_change("e3", NOW + 2, **down), tier_change("e4", NOW + 3), tier_change("e5", NOW + 4))
    await hand.released(after_a_rise)
    after_a_fall = await hand.claimed(key)
    await hand.planned(after_a_fall, owed(ANN))
    await hand.settled(after_a_fall)
    await hand.released(after_a_fall)
    await hand.received(tier_change("e6", NOW + 5))
    after_all = await hand.claimed(key)

    assert [(True, False), (True, True), (False, False)] == [
        (claim.inherits, claim.lowers) for claim in (after_a_rise, after_a_fall, after_all)
    ]


@pytest.mark.parametrize("settled", [True, False], ids=["after a finished one", "after a dead one"])
async def test_what_a_newer_tier_change_inherits(hand: Hand, *, settled: bool) -> None:
    """A newer tier change inherits from a dead one, whose members stand anywhere, and not from a finished one."""
    key = await hand.due(tier_change("e1"))
    claim = await hand.claimed(key)
    await hand.planned(claim, owed(ANN))
    await hand.settled(claim, status=AdjustmentStatus.DONE if settled else DEAD)
    await hand.released(claim)

    await hand.due(tier_change("e2", NOW + 1))

    assert (not settled) == (await hand.claimed(key)).inherits
    assert ("done" if settled else "dead") == (await hand.status("e1"))[0]


async def test_failed_attempts_to_plan_are_counted(hand: Hand) -> None:
    """A claim that is put off is due then, with one attempt more."""
    key = await hand.due(tier_change("e1"))

    instants = [await hand.released(await hand.claimed(key, FAR), FAR, retry_at=LATER + n) for n in range(2)]

    assert [LATER, LATER + 1] == instants
    assert 2 == (await hand.claimed(key, FAR)).attempt


@pytest.mark.parametrize("held", [True, False])
async def test_a_newer_event_ends_the_count(hand: Hand, *, held: bool) -> None:
    """A newer tier change, be the key held or waiting, is tried as often as any other."""
    key = await hand.due(tier_change("e1"))
    await hand.released(await hand.claimed(key), retry_at=NOW)
    second = await hand.claimed(key)
    if held:
        await hand.due(tier_change("e2", NOW + 1))
    await hand.released(second, retry_at=LATER)
    if not held:
        await hand.due(tier_change("e2", NOW + 1))

    third = await hand.claimed(key)

    assert (1, 0) == (second.attempt, third.attempt)


async def test_a_complete_plan_ends_the_count(hand: Hand) -> None:
    """Once the plan is written, even if the worker dies then, failures to read the group later count anew."""
    key = await hand.due(tier_change("e1"))
    await hand.released(await hand.claimed(key), retry_at=NOW)
    claim = await hand.claimed(key)
    await hand.planned(claim, owed(ANN))

    again = await hand.claimed(key, claim.until)

    assert (1, 0) == (claim.attempt, again.attempt)


async def test_many_release_in_one_commit(hand: Hand) -> None:
    """Claims that end together are told apart: one finished, one to be tried again, one closed, one overtaken."""
    keys = [await hand.due(tier_change(f"e{n}", customer=n)) for n in range(1, 5)]
    claims = [await hand.claimed(key) for key in keys]
    for claim in claims[:2]:
        await hand.planned(claim, owed(ANN))
    await hand.settled(claims[0])
    await hand.settled(claims[1], status=DUE, due_at=LATER)
    overtaking = await hand.claimed(keys[3], claims[3].until)

    closing: dict[str, Any] = {"close": EventStatus.IGNORED, "reason": "not_primary"}
    endings: list[dict[str, Any]] = [{}, {}, closing, closing]
    answers = await asyncio.gather(*(hand.released(claims[n], **endings[n]) for n in range(4)))

    assert [None, LATER, None, None] == answers
    assert ["done", "pending", "ignored", "pending"] == [(await hand.status(f"e{n}"))[0] for n in range(1, 5)]
    assert keys[3] in await hand.due_keys(overtaking.until)


@pytest.mark.slow
async def test_a_key_may_have_more_joins_than_a_statement_has_parameters(hand: Hand) -> None:
    """A group of 33,000 whose members all joined at once is released like any other."""
    joins = [join(f"j{member}", member) for member in range(1, 33_001)]
    key = (await asyncio.gather(*(hand.store.receive(arrival) for arrival in joins)))[0].sync or 0
    claim = await hand.claimed(key)
    await hand.settled(claim)

    assert NOW == await hand.released(claim)

    assert {"done": 100, "pending": 32_900} == (await hand.store.counts())["events"]
