"""Work stays in proportion to the events: no verb looks through history."""

from datetime import timedelta
from decimal import Decimal

from tests.unit.loyalty.building import ANN, HOUSE, account, at, register
from tests.unit.loyalty.counting import lines_run
from tests.unit.loyalty.world import fold
from tiersync.loyalty.accounts import Account, AfterDays, Policy
from tiersync.loyalty.conditions import measure
from tiersync.loyalty.engine import Engine
from tiersync.loyalty.events import PURCHASE, Event, EventId, HolderId
from tiersync.loyalty.ladders import Anchor, Ladder, Level, Purchases, Review
from tiersync.loyalty.periods import Span
from tiersync.loyalty.programmes import Programme
from tiersync.loyalty.records import LadderId, RuleId
from tiersync.loyalty.rules import Limit, Rule, flat, per
from tiersync.loyalty.setup import Setup

EVENTS = 20_000
WINDOW = 250
POINTS = account("points")


def build() -> Engine:
    """An engine with expiry, a limit and a reviewed ladder, and a few very busy members."""
    earn = Rule(RuleId("earn"), HOUSE, PURCHASE, per(measure(), 1, POINTS))
    daily = Rule(RuleId("daily"), HOUSE, PURCHASE, flat(POINTS, 1), limit=Limit(1, Span.DAY))
    levels = (Level("Silver", Decimal(0)), Level("Gold", Decimal(500), stay=Decimal(100)))
    ladder = Ladder(LadderId("l"), levels, Purchases(), review=Review(12, Anchor.JOIN))
    account_policy = Policy(expiry=AfterDays(365))
    engine = Engine(Setup((Account(POINTS, policy=account_policy),), (Programme(HOUSE),), (earn, daily), (ladder,)))
    for number in range(3):
        register(engine, f"m{number}")
    register(engine, ANN)
    return engine


def test_twenty_thousand_events_cost_what_each_costs() -> None:
    """The last of 20,000 events costs no more than an early one, also when it pays with points and lots are many."""
    engine = build()
    start = at("2024-01-02")

    def submit(first: int, last: int) -> None:
        for number in range(first, last):
            spend = Decimal(2 if number % 5 == 0 and number > 100 else 0)
            when = start + timedelta(minutes=5 * number)
            holder = HolderId(f"m{number % 3}")
            engine.submit(Event(EventId(f"e{number}"), PURCHASE, holder, when, Decimal(7), spend=spend))

    submit(0, 500)
    early = lines_run(lambda: submit(500, 500 + WINDOW))
    submit(500 + WINDOW, EVENTS - WINDOW)
    late = lines_run(lambda: submit(EVENTS - WINDOW, EVENTS))

    assert late < early * 1.1
    assert engine.posted(HolderId("m0"), POINTS) == fold(engine, HolderId("m0"), POINTS)
