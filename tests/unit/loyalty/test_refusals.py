"""Bad input is refused with a clear error and changes nothing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.unit.loyalty.building import (
    ANN,
    BOB,
    HOUSE,
    account,
    at,
    basket,
    deposit,
    event,
    everything,
    line,
    occasion,
    purchase,
    register,
)
from tiersync.errors import LoyaltyError
from tiersync.loyalty.accounts import Account, Order, Policy, Unit
from tiersync.loyalty.conditions import measure
from tiersync.loyalty.engine import Engine
from tiersync.loyalty.events import (
    ADJUST,
    ADJUST_LEVEL,
    IMPORT_CODES,
    JOIN,
    LEAVE,
    LEVEL_UP,
    POINTS_EARNED,
    PURCHASE,
    RECONCILE,
    REGISTER,
    REVERSE,
    SWITCH,
    TRANSFER,
    VERIFY,
    Event,
    EventId,
    HolderId,
    ProgrammeId,
    load,
)
from tiersync.loyalty.ladders import Earned, Ladder, Level
from tiersync.loyalty.programmes import Codes, EmailDomain, OpenAuto, OpenSelf, Programme, Redemption
from tiersync.loyalty.records import Kind, LadderId, RuleId
from tiersync.loyalty.rules import Drain, Give, Rule, SetLevel, flat, per
from tiersync.loyalty.setup import Setup

POINTS, OTHER = account("points"), account("other")
LEVELS = (Level("Bronze", Decimal(0)), Level("Gold", Decimal(100)))
LADDER = Ladder(LadderId("tiers"), LEVELS, Earned(POINTS))
SHUT, CODED, INVITED, ASKED = (ProgrammeId(name) for name in ("shut", "coded", "invited", "asked"))
PROGRAMMES = (
    Programme(HOUSE),
    Programme(SHUT, OpenSelf(), active=False),
    Programme(CODED, Codes()),
    Programme(INVITED, EmailDomain(frozenset({"uni.example"}))),
    Programme(ASKED, OpenSelf(), redemption=Redemption(least=Decimal(10))),
)


def rule(name: str, trigger: str, give: Give) -> Rule:
    """A rule of the house."""
    return Rule(RuleId(name), HOUSE, trigger, give)


def build(*rules: Rule) -> Engine:
    """An engine, Ann with 50 points from one purchase of two lines, and Bob."""
    accounts = (Account(POINTS), Account(OTHER, policy=Policy(Order.OLDEST), default=False))
    base = rule("base", PURCHASE, per(measure(), 1, POINTS))
    engine = Engine(Setup(accounts, PROGRAMMES, (base, *rules), (LADDER,)))
    register(engine)
    register(engine, BOB)
    until = at("2025-02-01").isoformat()
    engine.submit(event("codes", IMPORT_CODES, "2025-01-01", "", programme=CODED, codes=["K1"], until=until))
    engine.submit(basket("p", "2025-01-01", line("a", "30"), line("b", "20")))
    engine.reverse(EventId("p"), at("2025-01-02"), [line("b", "20")])
    return engine


def told(kind: str, /, **attrs: Any) -> Event:
    """An event of Ann's."""
    return event("bad", kind, "2025-02-01", **attrs)


def moved(amount: str, **attrs: Any) -> Event:
    """A transfer of Ann's."""
    return replace(told(TRANSFER, **attrs), amount=Decimal(amount))


CODES = {"spend too much": 818, "transfer more than there is": 818, "redeem below the least": 801}
"""The refusals for which Capillary documents a code."""

REFUSED: dict[str, tuple[Event, str]] = {
    "unknown holder": (purchase("bad", "2025-02-01", "10", "nobody"), "not a registered holder"),
    "unknown group": (purchase("bad", "2025-02-01", "10", group="nobody"), "not a registered holder"),
    "registered twice": (told(REGISTER), "registered already"),
    "spend too much": (replace(told("spend"), spend=Decimal(31)), "at most 30"),
    "spend nothing": (told("spend"), "above zero"),
    "pay more than the bill": (purchase("bad", "2025-02-01", "10", spend="11"), "pays 11 of 10"),
    "accounts of two orders": (
        replace(told("spend", accounts=["points", "other"]), spend=Decimal(1)),
        "share one order",
    ),
    "spend from nowhere": (replace(told("spend", accounts=["lost"]), spend=Decimal(1)), "no account 'lost'"),
    "accounts that are no list": (replace(told("spend", accounts="points"), spend=Decimal(1)), "list of names"),
    "spend in an unknown programme": (replace(told("spend", programme="x"), spend=Decimal(1)), "no programme 'x'"),
    "redeem below the least": (replace(told("spend", programme=ASKED), spend=Decimal(1)), "at least 10"),
    "deposit of nothing": (deposit("bad", "2025-02-01", "0", "points"), "above zero"),
    "deposit into nowhere": (deposit("bad", "2025-02-01", "5", "lost"), "no account 'lost'"),
    "returned twice": (
        Event(EventId("bad"), REVERSE, ANN, at("2025-02-01"), lines=(line("b", "20"),), ref=EventId("p")),
        "not left",
    ),
    "returned before it happened": (
        Event(EventId("bad"), REVERSE, ANN, at("2024-12-31"), ref=EventId("p")),
        "before it happened",
    ),
    "return of a return": (
        Event(EventId("bad"), REVERSE, ANN, at("2025-02-01"), ref=EventId("reverse:p:4")),
        "could be reversed",
    ),
    "return of nothing": (told(REVERSE), "could be reversed"),
    "join a closed scheme": (told(JOIN, programme=SHUT), "not active"),
    "join an unknown scheme": (told(JOIN, programme="x"), "no programme"),
    "join without saying which": (told(JOIN), "'programme' is missing"),
    "join by an unknown code": (told(JOIN, programme=CODED, code="K9"), "unknown, deleted or used"),
    "join by an expired code": (told(JOIN, programme=CODED, code="K1"), "has expired"),
    "join from another domain": (told(JOIN, programme=INVITED, email="a@b.example", token="t"), "not open"),
    "verify without invitation": (told(VERIFY, programme=INVITED, token="t"), "no open invitation"),
    "leave without being in": (told(LEAVE, programme=ASKED), "not a member"),
    "switch what there is not": (told(SWITCH, what="rule", name="x", on=True), "cannot switch"),
    "transfer to oneself": (moved("5", to=ANN, into="points"), "somebody else"),
    "transfer to nobody": (moved("5", to="nobody", into="points"), "not a registered holder"),
    "transfer more than there is": (moved("500", to=BOB, into="points"), "does not have 500"),
    "adjust by nothing": (told(ADJUST), "above zero"),
    "adjust to an unknown level": (told(ADJUST_LEVEL, ladder="tiers", level="Tin"), "no level 'Tin'"),
    "adjust on an unknown ladder": (told(ADJUST_LEVEL, ladder="x", level="Gold"), "no ladder 'x'"),
    "reconcile nothing": (replace(told(RECONCILE), ref=EventId("p")), "no refund"),
    "no quantity": (told("visit", qty=0), "qty must be"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_and_changes_nothing(name: str) -> None:
    """Submit and preview both refuse, say why, and leave everything as it was; the id is still free."""
    bad, why = REFUSED[name]
    engine = build()
    before = everything(engine)

    for verb in (engine.preview, engine.submit):
        with pytest.raises(LoyaltyError, match=why) as refused:
            verb(bad)
        assert CODES.get(name, 0) == refused.value.code

    assert before == everything(engine)
    assert engine.submit(purchase("bad", "2025-02-01", "1")).total(Kind.EARN) == 1


def test_a_whole_return_cannot_be_repeated() -> None:
    """The second cancellation of a purchase is refused, unless it is the same one sent again."""
    engine = build()
    engine.reverse(EventId("p"), at("2025-02-01"), reversal=EventId("cancel"))

    again = engine.reverse(EventId("p"), at("2025-02-01"), reversal=EventId("cancel"))

    assert again.repeated
    with pytest.raises(LoyaltyError, match="nothing of it is left"):
        engine.reverse(EventId("p"), at("2025-02-02"))
    with pytest.raises(LoyaltyError, match="no event 'x'"):
        engine.reverse(EventId("x"), at("2025-02-02"))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: purchase("e", "2025-01-01", "-1"), "amount must not be negative"),
        (lambda: purchase("e", "2025-01-01", "NaN"), "amount must not be negative"),
        (lambda: purchase("e", "2025-01-01", "1", spend="-1"), "spend must not be negative"),
        (lambda: line("a", "-1"), "finite and not negative"),
        (lambda: basket("e", "2025-01-01", line("a", "1"), line("a", "2")), "share one id"),
        (lambda: purchase("", "2025-01-01", "1"), "needs an id"),
        (lambda: event("e", "visit", "2025-01-01", ratio=[{"x": 0.5}]), "without floats"),
        (lambda: Event(EventId("e"), "visit", ANN, at("2025-01-01"), attrs={"x": Decimal(1)}), "no plain JSON"),  # type: ignore[dict-item]  # what is refused
        (lambda: Event(EventId("e"), "visit", ANN, datetime(2025, 1, 1)), "no time zone"),  # noqa: DTZ001
        (lambda: load({"id": "e"}), "not an event of the log"),
    ],
)
def test_an_impossible_event_cannot_be_made(make: Callable[[], object], why: str) -> None:
    """Negative amounts, floats, naive times and torn log rows do not even become events."""
    with pytest.raises(LoyaltyError, match=why):
        make()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"accounts": (Account(POINTS), Account(POINTS))}, "two accounts"),
        ({"accounts": (Account(POINTS, policy=Policy(into=POINTS)),)}, "not another account"),
        ({"accounts": (Account(POINTS, policy=Policy(through=OTHER)),)}, "not another account"),
        ({"accounts": (Account(POINTS, programme=ProgrammeId("x")),)}, "no programme 'x'"),
        ({"programmes": (Programme(HOUSE), Programme(HOUSE))}, "two programmes"),
        ({"rules": (Rule(RuleId("r"), ProgrammeId("x"), PURCHASE, flat(POINTS, 1)),)}, "no programme 'x'"),
        ({"rules": (Rule(RuleId("r"), None, PURCHASE, flat(POINTS, 1)),)}, "belongs to no programme"),
        ({"ladders": (replace(LADDER, metric=Earned(OTHER)),)}, "which is no account"),
        ({"ladders": (replace(LADDER, programme=ProgrammeId("x")),)}, "no programme 'x'"),
    ],
)
def test_a_set_up_that_does_not_hold_together_is_refused(change: dict[str, Any], why: str) -> None:
    """What names something that is not there is found before the first event."""
    sound: dict[str, Any] = {"accounts": (Account(POINTS),), "programmes": (Programme(HOUSE),)}

    with pytest.raises(LoyaltyError, match=why):
        Setup(**{**sound, **change})


@pytest.mark.parametrize(
    ("levels", "why"), [((), "rise"), (LEVELS[::-1], "rise"), ((LEVELS[0], Level("Bronze", Decimal(5))), "one name")]
)
def test_a_ladder_must_rise(levels: tuple[Level, ...], why: str) -> None:
    """Levels go from the lowest threshold up, each with its own name."""
    with pytest.raises(LoyaltyError, match=why):
        Ladder(LadderId("l"), levels, Earned(POINTS))


def test_rules_that_feed_on_one_another_are_stopped() -> None:
    """An award that leads to an award without end is refused as a whole."""
    start = rule("start", "visit", flat(OTHER, 1))
    echo = rule("echo", POINTS_EARNED, flat(OTHER, 1))
    engine = build(start, replace(echo, when=lambda context: context.event.option("account") == OTHER))
    before = everything(engine)

    with pytest.raises(LoyaltyError, match="feed on one another"):
        engine.submit(event("more", "visit", "2025-02-01"))

    assert everything(engine) == before


def test_a_rule_that_fails_changes_nothing() -> None:
    """Whatever a rule raises, the event has not happened."""

    def broken(_context: object) -> Any:
        raise ZeroDivisionError

    engine = build(rule("z broken", "visit", broken), rule("a good", "visit", flat(POINTS, 5)))
    before = everything(engine)

    with pytest.raises(ZeroDivisionError):
        engine.submit(event("v", "visit", "2025-02-01"))

    assert everything(engine) == before


def test_an_account_that_is_switched_off_takes_no_credits() -> None:
    """An award into it is dropped, a deposit is refused, and its balance stays."""
    engine = build()
    engine.submit(event("off", SWITCH, "2025-02-01", "", what="account", name="points", on=False))

    receipt = engine.submit(purchase("q", "2025-02-02", "10"))

    assert receipt.entries == ()
    assert engine.posted(ANN, POINTS) == 30
    with pytest.raises(LoyaltyError, match="not active"):
        engine.submit(deposit("d", "2025-02-03", "5", "points"))


def test_a_tier_change_can_carry_others_along_and_drain_an_account() -> None:
    """One rule on a level move puts another holder on the level, and another empties an account."""
    follow = rule("follow", LEVEL_UP, lambda _context: (SetLevel(LADDER.id, "Gold", BOB),))
    empty = rule("empty", LEVEL_UP, lambda context: (Drain(POINTS),) if context.event.holder == ANN else ())
    engine = build(follow, empty)

    engine.submit(purchase("q", "2025-02-01", "70"))

    assert engine.level(BOB, LADDER.id) == "Gold"
    assert engine.posted(ANN, POINTS) == 0


def test_only_members_are_awarded() -> None:
    """A programme's rule pays whoever is in it: not before joining, and not after leaving."""
    engine = build(replace(rule("club", "visit", flat(OTHER, 1)), programme=ASKED))

    paid = []
    for number, kind in enumerate(("visit", JOIN, "visit", LEAVE, "visit")):
        receipt = engine.submit(event(f"e{number}", kind, "2025-02-01", programme=ASKED))
        paid += [receipt.total(Kind.EARN)] if kind == "visit" else []

    assert paid == [0, 1, 0]


def test_joining_twice_is_no_news() -> None:
    """A second request to join changes nothing, and leaving keeps the balance."""
    engine = build()
    for name in ("j1", "j2"):
        engine.submit(event(name, JOIN, "2025-02-01", programme=ASKED))
    twice = engine.preview(event("j3", JOIN, "2025-02-01", programme=ASKED))

    engine.submit(event("l", LEAVE, "2025-02-02", programme=ASKED))

    assert twice.records == ()
    assert not engine.is_member(ANN, ASKED)
    assert engine.posted(ANN, POINTS) == 30


def test_taking_away_by_hand_can_be_undone() -> None:
    """A manual adjustment takes points, and its reversal gives back the very lots."""
    engine = build()
    lots = engine.lots(ANN, POINTS)
    engine.submit(replace(event("adj", ADJUST, "2025-02-01"), amount=Decimal(12)))
    taken = engine.posted(ANN, POINTS)

    engine.reverse(EventId("adj"), at("2025-02-02"))

    assert taken == 18
    assert engine.lots(ANN, POINTS) == lots


def test_a_transfer_can_be_undone() -> None:
    """The reversal of a transfer takes from the receiver what arrived and refills the sender's lots."""
    engine = build()
    transfer = Event(EventId("t"), TRANSFER, ANN, at("2025-02-01"), Decimal(12), attrs={"to": BOB, "into": str(POINTS)})
    engine.submit(transfer)
    moved_to_bob = engine.posted(BOB, POINTS)

    engine.reverse(EventId("t"), at("2025-02-02"))

    assert moved_to_bob == 12
    assert [engine.posted(holder, POINTS) for holder in (ANN, BOB)] == [Decimal(30), Decimal(0)]


def test_points_in_a_unit_with_decimals() -> None:
    """A unit may have decimals of its own, and a balance of a stranger is an error."""
    unit = Unit("miles", 1, "ROUND_HALF_EVEN")
    engine = Engine(
        Setup((Account(POINTS, unit),), (Programme(HOUSE, OpenAuto()),), (rule("r", "v", flat(POINTS, 1)),))
    )
    register(engine)

    engine.submit(event("e", "v", "2025-01-01", qty=3))

    assert engine.balance(ANN, POINTS, at("2025-01-01")) == Decimal("3.0")
    assert engine.spendable(ANN, occasion("s", "2025-01-01")) == 3
    with pytest.raises(LoyaltyError, match="not a registered"):
        engine.balance(HolderId("x"), POINTS, at("2025-01-01"))


def test_events_submitted_together_leave_nothing_if_one_is_refused() -> None:
    """The event before the refused one is in neither ledger nor log, may come again, and a repeat among them is one."""
    engine = build()
    before, log = engine.records, engine.log()
    good, bad = purchase("good", "2025-01-05", "10"), purchase("bad", "2025-01-05", "10", spend="11")

    with pytest.raises(LoyaltyError):
        engine.submit_all([good, bad])
    after = (engine.records, engine.log(), engine.has(EventId("good")))
    receipts = engine.submit_all([good, good])

    assert (before, log, False) == after
    assert [False, True] == [receipt.repeated for receipt in receipts]
    assert len(log) + 1 == len(engine.log())
