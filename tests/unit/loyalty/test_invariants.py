"""The ten invariants of section D7 of `contracts/loyalty-systems.md`, each over random lives."""

import json
import random
from datetime import timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.loyalty.building import ANN, HOUSE, at, everything, purchase
from tests.unit.loyalty.world import TIERS, Life, Step, attempt, check_ledger, lives, rules, steps, world
from tiersync.loyalty.accounts import AccountName
from tiersync.loyalty.engine import Engine
from tiersync.loyalty.events import PURCHASE, EventId, ProgrammeId
from tiersync.loyalty.records import LevelMove, Move, Reason, RuleId
from tiersync.loyalty.resolvers import all_matched, best, best_per, programme
from tiersync.loyalty.rules import Candidate, Credit, Rule
from tiersync.loyalty.settlement import settle
from tiersync.loyalty.setup import Setup

few = settings(max_examples=60, deadline=None)


@few
@given(life=lives, negative=st.booleans())
def test_1_balances_are_folds(life: list[Step], *, negative: bool) -> None:
    """The sum of an account's entries is what its lots hold less what is owed, and no lot leaves its bounds."""
    lived = Life(world(negative=negative)).live(life)

    check_ledger(lived.engine, lived.now)


@few
@given(lives, steps)
def test_2_repeating_changes_nothing(life: list[Step], step: Step) -> None:
    """An event sent twice counts once, a run repeated does nothing, and two runs do what the later one does."""
    lived = Life().live(life)
    first, second = lived.now + timedelta(days=25), lived.now + timedelta(days=400)

    receipt = lived.take(Step(0, "buy", step.holder, step.amounts), "again")
    before = lived.engine.records
    repeated = lived.engine.submit(lived.engine.event(EventId("again")))
    twin = lived.copy()
    lived.engine.run(first)
    lived.engine.run(second)
    twin.engine.run(second)

    assert receipt is not None
    assert repeated.records == receipt.records
    assert lived.engine.records[: len(before)] == before
    assert lived.engine.records == twin.engine.records
    assert lived.engine.run(second).records == ()


@few
@given(lives, steps)
def test_3_a_preview_is_what_submit_then_does(life: list[Step], step: Step) -> None:
    """The preview of an event is its receipt, and leaves nothing behind."""
    lived = Life().live(life)
    event = lived.basket(step, EventId("new"))
    before = everything(lived.engine)

    shown = attempt(lived.engine.preview, event)
    untouched = everything(lived.engine) == before
    done = attempt(lived.engine.submit, event)

    assert untouched
    assert done == shown
    check_ledger(lived.engine, lived.now)


@few
@given(life=lives, step=steps, negative=st.booleans())
def test_4_what_is_reversed_at_once_is_undone(life: list[Step], step: Step, *, negative: bool) -> None:
    """An event reversed at the same instant restores every balance that is not fed by entering a level."""
    plain = tuple(row for row in rules() if row.id != "gold")
    setup = world(negative=negative)
    lived = Life(Setup(setup.accounts, setup.programmes, plain, setup.ladders)).live(life)
    before = lived.sums()
    receipt = lived.take(Step(0, "pay", step.holder, step.amounts), "new")

    if receipt is not None:
        lived.engine.reverse(EventId("new"), lived.now)

    assert lived.sums() == before


@few
@given(lives, steps)
def test_5_line_by_line_is_all_at_once(life: list[Step], step: Step) -> None:
    """Returning the lines one after the other ends where returning all of them at once ends."""
    lived = Life().live(life)
    lived.take(Step(0, "buy", step.holder, step.amounts), "new")
    twin = lived.copy()
    lines = lived.engine.event(EventId("new")).lines

    lived.engine.reverse(EventId("new"), lived.now)
    for line in lines:
        twin.engine.reverse(EventId("new"), lived.now, [line])

    assert lived.sums() == twin.sums()


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 500))))
def test_6_choosing_less_never_gives_more(offers: list[tuple[str, int]]) -> None:
    """The best is worth at most the best of each scheme, and that at most all of them."""
    event = purchase("p", "2025-01-01", "10")
    candidates = [
        Candidate(
            Rule(RuleId(str(number)), ProgrammeId(scheme), PURCHASE, lambda _context: ()),
            event,
            (Credit(AccountName("a"), Decimal(value)),),
        )
        for number, (scheme, value) in enumerate(offers)
    ]

    totals = [sum(row.value for row in resolver(candidates)) for resolver in (best, best_per(programme), all_matched)]

    assert totals == sorted(totals)


@few
@given(lives)
def test_7_levels_fall_only_in_a_review_or_by_hand(life: list[Step]) -> None:
    """Neither spending nor returning nor expiry moves a level down."""
    lived = Life().live(life)

    falls = [row for row in lived.engine.records if isinstance(row, LevelMove) and row.move is Move.DOWN]

    assert {row.reason for row in falls} <= {Reason.REVIEW, Reason.MANUAL}


@few
@given(lives)
def test_8_the_log_replays_byte_for_byte(life: list[Step]) -> None:
    """The log survives JSON and leads to the same ledger and the same log."""
    lived = Life().live(life)
    written = json.dumps(lived.engine.log())

    again = Engine.replay(lived.engine.setup, json.loads(written))

    assert repr(again.records) == repr(lived.engine.records)
    assert json.dumps(again.log()) == written


@few
@given(lives, st.integers(0, 400))
def test_9_settlement_is_additive(life: list[Step], cut: int) -> None:
    """Settling two windows one after the other is settling both together."""
    records = Life().live(life).engine.records

    first = settle(records[:cut])
    second = settle(records, after=first.upto)
    whole = settle(records)

    parties = {*first.charged, *second.charged}
    summed = {party: first.charged.get(party, 0) + second.charged.get(party, 0) for party in parties}
    assert summed == whole.charged
    assert second.upto == whole.upto


@few
@given(lives, st.integers(0, 1000))
def test_10_the_order_rules_are_written_in_changes_nothing(life: list[Step], seed: int) -> None:
    """Rank and id decide, not the order of definition."""
    setup = world()
    shuffled = list(setup.rules)
    random.Random(seed).shuffle(shuffled)  # noqa: S311

    plain = Life(setup).live(life).engine.records
    other = Life(Setup(setup.accounts, setup.programmes, tuple(shuffled), setup.ladders)).live(life).engine.records

    assert plain == other


def test_the_world_is_worth_living_in() -> None:
    """The random world's rules do pay, so that the properties are not about nothing."""
    lived = Life()

    receipt = lived.take(Step(1, "buy", ANN, (60, 60)), "p")

    assert receipt is not None
    assert len(receipt.entries) >= 6
    assert lived.engine.level(ANN, TIERS) == "Gold"
    assert lived.engine.is_member(ANN, HOUSE)
    assert lived.now > at("2025-01-01")
