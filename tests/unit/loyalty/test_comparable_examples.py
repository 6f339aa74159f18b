"""The numbered examples of comparable engines, CO-1 to CO-4, of `contracts/loyalty-systems.md`."""

from datetime import date
from decimal import Decimal

import pytest

from tests.unit.loyalty.building import ANN, HOUSE, account, at, balances, basket, event, line, occasion, register
from tiersync.loyalty.accounts import Account, AfterMonths, Policy, Through
from tiersync.loyalty.conditions import measure
from tiersync.loyalty.engine import Engine
from tiersync.loyalty.events import PURCHASE, EventId
from tiersync.loyalty.programmes import Programme
from tiersync.loyalty.records import Kind, RuleId
from tiersync.loyalty.rules import Rule, flat, per
from tiersync.loyalty.setup import Setup

POINTS = account("points")


def build(*rules: Rule, policy: Policy | None = None) -> Engine:
    """An engine with one account and one programme, and Ann."""
    engine = Engine(Setup((Account(POINTS, policy=policy or Policy()),), (Programme(HOUSE),), rules))
    register(engine)
    return engine


def give(name: str, amount: int, through: str) -> Rule:
    """Points that are usable through a day, for an event of the rule's own name."""
    return Rule(RuleId(name), HOUSE, name, flat(POINTS, amount, expiry=Through(date.fromisoformat(through))))


def test_co_1_a_partial_return_is_rounded_on_what_is_kept() -> None:
    """Of 10.90 bought and 0.95 returned 9.95 stay, which are 9 points, so 1 is taken back."""
    engine = build(Rule(RuleId("r"), HOUSE, PURCHASE, per(measure(), 1, POINTS)))
    engine.submit(basket("p", "2025-01-01", line("a", "9.95"), line("b", "0.95")))
    before = balances(engine, "2025-01-01")

    receipt = engine.reverse(EventId("p"), at("2025-01-02"), [line("b", "0.95")])

    assert before == {"points": 10}
    assert receipt.total(Kind.REVERSE) == -1


def test_co_2_soonest_expiry_goes_first_then_the_oldest() -> None:
    """Of three lots the two that die first are spent first, the older one of them before the other."""
    rules = [give("june", 30, "2025-06-01"), give("may", 20, "2025-05-01"), give("may later", 20, "2025-05-01")]
    engine = build(*rules)
    for number, rule in enumerate(rules):
        engine.submit(event(rule.id, rule.id, f"2025-01-0{number + 1}"))

    engine.spend(ANN, Decimal(35), occasion("s", "2025-02-01"))

    assert {lot.cause: lot.left for lot in engine.lots(ANN, POINTS)} == {"june": 30, "may later": 5}


def test_co_3_undoing_a_spend_does_not_outwit_expiry() -> None:
    """What comes back to a lot past its date is credited and expires at once, in two entries."""
    engine = build(give("g", 20, "2025-04-30"))
    engine.submit(event("e", "g", "2025-01-01"))
    engine.spend(ANN, Decimal(20), occasion("s", "2025-04-20"))

    receipt = engine.reverse(EventId("s"), at("2025-05-05"))

    assert [entry.amount for entry in receipt.entries] == [20, -20]
    assert balances(engine, "2025-05-05") == {}


@pytest.mark.parametrize(
    ("issued", "last", "dead"),
    [("2025-01-31", "2025-02-28 23:59", "2025-03-01"), ("2024-01-31", "2024-02-29 23:59", "2024-03-01")],
)
def test_co_4_a_month_is_clamped_and_includes_its_last_day(issued: str, last: str, dead: str) -> None:
    """A month from 31 January ends with the last day of February."""
    rule = Rule(RuleId("r"), HOUSE, "visit", flat(POINTS, 5))
    engine = build(rule, policy=Policy(expiry=AfterMonths(1)))
    engine.submit(event("e", "visit", issued))

    assert balances(engine, last) == {"points": 5}
    assert balances(engine, dead) == {}
