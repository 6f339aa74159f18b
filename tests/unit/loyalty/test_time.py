"""Dates: expiry policies, points held back, late runs, zones."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from tests.unit.loyalty.building import ANN, HOUSE, account, at, balances, deposit, event, occasion, purchase, register
from tiersync.errors import LoyaltyError
from tiersync.loyalty.accounts import (
    Account,
    AfterDays,
    AfterMonths,
    Expiry,
    Inactive,
    Never,
    OnDate,
    Policy,
    Through,
    expires_at,
)
from tiersync.loyalty.engine import Engine
from tiersync.loyalty.ladders import Anchor, Balance, Climb, Fall, Ladder, Level, Purchases, Review
from tiersync.loyalty.periods import Span, next_turn, window
from tiersync.loyalty.programmes import Programme
from tiersync.loyalty.records import LadderId, Move, RuleId
from tiersync.loyalty.rules import Rule, flat
from tiersync.loyalty.setup import Setup

POINTS = account("points")
TIERS = LadderId("tiers")
LEVELS = (Level("Silver", Decimal(0)), Level("Gold", Decimal(50), stay=Decimal(50)))
ATHENS = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("expiry", "issued", "dead"),
    [
        (Never(), "2025-01-31", None),
        (AfterMonths(1), "2025-01-31 12:00", "2025-03-01"),
        (Through(date(2025, 5, 31)), "2025-01-31", "2025-06-01"),
        (OnDate(Span.WEEK, 1), "2025-06-02", "2025-06-09"),
        (OnDate(Span.WEEK, 1), "2025-06-08", "2025-06-09"),
        (OnDate(Span.MONTH, 31), "2025-02-01", "2025-02-28"),
        (OnDate(Span.MONTH, 31), "2025-02-28", "2025-03-31"),
        (OnDate(Span.YEAR, 1, 4), "2025-03-31", "2025-04-01"),
        (OnDate(Span.YEAR, 1, 4), "2025-04-01", "2026-04-01"),
    ],
)
def test_when_a_lot_dies(expiry: Expiry, issued: str, dead: str | None) -> None:
    """Each policy names the first instant at which a lot is dead."""
    assert expires_at(expiry, at(issued), UTC) == (None if dead is None else at(dead))


@pytest.mark.parametrize(
    ("span", "name"),
    [(Span.DAY, "2025-06-08"), (Span.WEEK, "2025-06-02"), (Span.MONTH, "2025-06"), (Span.YEAR, "2025")],
)
def test_a_window_has_one_name(span: Span, name: str) -> None:
    """A week begins on Monday, and the zone decides what day it is."""
    late_on_saturday = at("2025-06-07 22:30")

    assert window(late_on_saturday, span, ATHENS) == name


def test_turns_do_not_drift() -> None:
    """Turns from 29 February fall on the 28th in common years and on the 29th in leap years."""
    turns = [next_turn(date(2024, 2, 29), 12, at(f"{year}-06-01"), UTC) for year in (2024, 2026, 2027)]

    assert turns == [at("2025-02-28"), at("2027-02-28"), at("2028-02-29")]


def build(*rules: Rule, policy: Policy | None = None, ladder: Ladder | None = None) -> Engine:
    """An engine with one account, and Ann since 2024."""
    ladders = () if ladder is None else (ladder,)
    engine = Engine(Setup((Account(POINTS, policy=policy or Policy()),), (Programme(HOUSE),), rules, ladders))
    register(engine)
    return engine


def test_points_held_back_cannot_be_spent_yet() -> None:
    """A lot with a first day is in the balance, but not spendable before that day."""
    engine = build(Rule(RuleId("r"), HOUSE, "visit", flat(POINTS, 9, usable_from=at("2025-01-15"))))
    engine.submit(event("e", "visit", "2025-01-01"))

    amounts = [engine.spendable(ANN, occasion("s", day)) for day in ("2025-01-14", "2025-01-15")]

    assert amounts == [0, 9]
    assert balances(engine, "2025-01-14") == {"points": 9}


def test_a_late_job_does_not_bring_dead_points_to_life() -> None:
    """Reads and spends ignore points past their date, also when no run has noticed."""
    engine = build(policy=Policy(expiry=AfterMonths(1)))
    engine.submit(deposit("d", "2025-01-01", "5", "points"))

    after = balances(engine, "2025-02-02")

    assert after == {}
    with pytest.raises(LoyaltyError, match="at most 0"):
        engine.spend(ANN, Decimal(1), occasion("s", "2025-02-02"))


def test_activity_protects_the_whole_balance() -> None:
    """Any event within the days protects, and what is only known later does not undo a check."""
    engine = build(policy=Policy(expiry=Inactive(60, Decimal(1))))
    engine.submit(deposit("d", "2024-01-05", "10", "points"))
    engine.submit(event("v", "visit", "2024-02-15"))
    engine.run(at("2024-04-01"))
    before = balances(engine, "2024-04-01")

    engine.run(at("2024-05-01"))

    assert before == {"points": 10}
    assert balances(engine, "2024-05-01") == {}


def test_a_late_review_sees_what_was_known_on_its_day() -> None:
    """What happened after the review's date, or came back after it, does not change its verdict."""
    ladder = Ladder(
        TIERS,
        LEVELS,
        Purchases(),
        review=Review(12, Anchor.FIXED, date(2024, 1, 1)),
        fall=Fall.TO_QUALIFIED,
        reset=True,
    )
    engine = build(ladder=ladder)
    engine.submit(purchase("p", "2024-06-01", "60"))
    engine.run(at("2025-01-01"))
    engine.submit(purchase("q", "2025-06-01", "55"))
    engine.reverse(purchase("q", "2025-06-01", "55").id, at("2026-01-03"))

    engine.run(at("2026-01-05"))
    kept = engine.level(ANN, TIERS)
    engine.run(at("2027-01-01"))

    assert kept == "Gold"
    assert engine.level(ANN, TIERS) == "Silver"


def test_a_late_run_does_not_judge_a_level_reached_since() -> None:
    """Who went up after the review was due, and before the run that holds it, keeps the new level."""
    review = Review(12, Anchor.FIXED, date(2024, 1, 1))
    engine = build(ladder=Ladder(TIERS, LEVELS, Purchases(), review=review, fall=Fall.TO_QUALIFIED))
    engine.submit(purchase("p", "2025-01-05", "60"))

    engine.run(at("2025-01-10"))

    assert engine.level(ANN, TIERS) == "Gold"
    assert engine.standing(ANN, TIERS).until == at("2026-01-01")


def test_what_is_released_at_an_instant_counts_in_the_review_of_that_instant() -> None:
    """Of what falls due together, held points are released first and levels are reviewed last."""
    held = account("held")
    accounts = (Account(POINTS), Account(held, policy=Policy(expiry=AfterDays(31), into=POINTS), default=False))
    ladder = Ladder(TIERS, LEVELS, Balance(POINTS), review=Review(1, Anchor.JOIN))
    engine = Engine(Setup(accounts, (Programme(HOUSE),), (), (ladder,)))
    register(engine)
    engine.submit(deposit("up", "2024-01-01", "50", "points"))
    engine.submit(deposit("later", "2024-01-01", "60", "held"))
    engine.spend(ANN, Decimal(50), occasion("s", "2024-01-02"))

    receipt = engine.run(at("2024-02-01"))

    assert [(Move.RENEW, "Gold")] == [(move.move, move.after) for move in receipt.moves]
    assert balances(engine, "2024-02-01") == {"points": 60}


def test_a_ladder_may_measure_a_balance() -> None:
    """Current points lead up when they reach the threshold, and a review looks at what is there then."""
    ladder = Ladder(TIERS, LEVELS, Balance(POINTS), review=Review(1, Anchor.JOIN))
    engine = build(ladder=ladder)
    engine.submit(deposit("d", "2024-01-05", "50", "points"))
    up = engine.level(ANN, TIERS)
    engine.spend(ANN, Decimal(10), occasion("s", "2024-01-06"))
    still = engine.level(ANN, TIERS)

    engine.run(at("2024-02-01"))

    assert (up, still) == ("Gold", "Gold")
    assert engine.level(ANN, TIERS) == "Silver"


@pytest.mark.parametrize("climb", Climb)
def test_three_thirds_of_a_unit_are_a_unit(climb: Climb) -> None:
    """Units are kept unrounded: what is bought in parts counts as much as what is bought at once."""
    levels = (Level("Silver", Decimal(0)), Level("Gold", Decimal(1), stay=Decimal(1)))
    ladder = Ladder(TIERS, levels, Purchases(Decimal(30)), climb, Review(1, Anchor.JOIN), Fall.TO_QUALIFIED)
    engine = build(ladder=ladder)

    for number in range(3):
        engine.submit(purchase(f"p{number}", "2024-01-10", "10"))
    engine.run(at("2024-02-01"))

    assert engine.level(ANN, TIERS) == "Gold"


def test_a_fixed_cycle_needs_its_first_day() -> None:
    """A review on a common cycle that does not say when the cycle starts is refused."""
    ladder = Ladder(TIERS, LEVELS, Purchases(), review=Review(12))

    with pytest.raises(LoyaltyError, match="starts"):
        build(ladder=ladder)


def test_instants_are_kept_in_utc() -> None:
    """An event keeps its instant, whatever zone it was written in."""
    local = replace(event("e", "visit", "2025-01-01"), at=datetime(2025, 1, 1, 1, tzinfo=ATHENS))

    assert local.at.isoformat() == "2024-12-31T23:00:00+00:00"
