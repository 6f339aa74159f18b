"""A world with a bit of everything, and random lives in it, for the properties of the loyalty core."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from tests.unit.loyalty.building import ANN, BOB, HOUSE, account, at, register
from tiersync.errors import LoyaltyError
from tiersync.loyalty.accounts import MONEY, Account, AfterDays, AfterMonths, Inactive, Order, Policy
from tiersync.loyalty.conditions import by_level, entering, measure
from tiersync.loyalty.engine import Engine, Occasion
from tiersync.loyalty.events import ADJUST_LEVEL, DEPOSIT, LEVEL_UP, PURCHASE, Event, EventId, HolderId, Line
from tiersync.loyalty.ladders import Anchor, Climb, Earned, Fall, Ladder, Level, Purchases, Review
from tiersync.loyalty.periods import Span
from tiersync.loyalty.programmes import Programme
from tiersync.loyalty.records import LadderId, RuleId, Share
from tiersync.loyalty.rules import Context, Give, Limit, Rule, When, always, flat, off, per, share
from tiersync.loyalty.setup import Setup
from tiersync.loyalty.state import Receipt

POINTS, STATUS, ESCROW, CAPPED, BONUS, OPEN, REWARD, IDLE = (
    account(name) for name in ("points", "status", "escrow", "capped", "bonus", "open", "reward", "idle")
)
HOLDERS = (ANN, BOB)
BEGINNING = at("2025-01-01")
TIERS, UNITS = LadderId("tiers"), LadderId("units")


def ladders() -> tuple[Ladder, ...]:
    """A ladder as SessionM has it, and one as CRM.COM has it."""
    levels = (
        Level("Bronze", Decimal(0)),
        Level("Silver", Decimal(30), stay=Decimal(20)),
        Level("Gold", Decimal(100), stay=Decimal(60)),
    )
    units = replace(levels[1], stay=Decimal(30)), replace(levels[2], stay=Decimal(100))
    return (
        Ladder(TIERS, levels, Earned(STATUS), review=Review(2, Anchor.JOIN)),
        Ladder(
            id=UNITS,
            levels=(levels[0], *units),
            metric=Purchases(Decimal(3)),
            climb=Climb.REVIEW,
            review=Review(1, Anchor.FIXED, date(2024, 12, 31)),
            fall=Fall.TO_QUALIFIED,
            reset=True,
        ),
    )


def accounts(*, negative: bool) -> tuple[Account, ...]:
    """Accounts with every kind of policy."""
    return (
        Account(POINTS, policy=Policy(negative=negative, expiry=AfterDays(40))),
        Account(CAPPED, policy=Policy(negative=negative, maximum=Decimal(50), expiry=AfterMonths(2))),
        Account(STATUS, policy=Policy(Order.OLDEST, negative), default=False),
        Account(ESCROW, policy=Policy(negative=negative, expiry=AfterDays(14), into=POINTS), default=False),
        Account(BONUS, policy=Policy(negative=negative), default=False),
        Account(OPEN, MONEY, Policy(negative=negative), default=False),
        Account(REWARD, MONEY, Policy(Order.RESTRICTED, negative, expiry=AfterDays(20), through=OPEN), default=False),
        Account(IDLE, policy=Policy(negative=negative, expiry=Inactive(20, Decimal("0.5"))), default=False),
    )


def rule(name: str, give: Give, when: When = always, limit: Limit | None = None, trigger: str = PURCHASE) -> Rule:
    """A rule of the one programme."""
    return Rule(RuleId(name), HOUSE, trigger, give, when, limit, rank=len(name) % 3)


def two_lines(context: Context) -> bool:
    """The basket has at least two lines."""
    return len(context.event.lines) > 1


def rules() -> tuple[Rule, ...]:
    """Rules of every kind, writing to every account."""
    halves = (Share("house", Decimal("0.6")), Share("shop", Decimal("0.4")))
    rates: dict[str, Decimal | int] = {"Bronze": 1, "Silver": 2, "Gold": 3}
    return (
        rule("base", per(by_level(TIERS, rates), 1, POINTS)),
        rule("status", per(measure(), 1, STATUS)),
        rule("pair", flat(ESCROW, 15), two_lines, Limit(2, Span.WEEK)),
        rule("capped", per(measure(hurdle=10), Decimal("0.7"), CAPPED)),
        rule("cashback", share(REWARD, Decimal("0.05"), funders=halves)),
        rule("discount", off(Decimal("0.1")), two_lines),
        rule("idle", flat(IDLE, 3)),
        rule("silver", flat(BONUS, 25), entering(TIERS, "Silver"), Limit(1), LEVEL_UP),
        rule("gold", flat(STATUS, 5), entering(TIERS, "Gold"), trigger=LEVEL_UP),
    )


def world(*, negative: bool = True) -> Setup:
    """The set-up."""
    return Setup(accounts(negative=negative), (Programme(HOUSE),), rules(), ladders())


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a life: so much later, somebody does something."""

    hours: int
    what: str
    holder: HolderId
    amounts: tuple[int, ...]


amounts = st.lists(st.integers(1, 60), min_size=1, max_size=3).map(tuple)
steps = st.builds(
    Step,
    st.integers(0, 400),
    st.sampled_from(["buy", "buy", "buy", "return", "cancel", "redeem", "reward", "deposit", "run", "level", "pay"]),
    st.sampled_from(HOLDERS),
    amounts,
)
lives = st.lists(steps, max_size=14)


class Life:
    """An engine, the time it is, and what was bought so far."""

    def __init__(self, setup: Setup | None = None) -> None:
        """Begin, with everybody registered."""
        self.engine = Engine(setup or world())
        self.now = BEGINNING
        self.bought: list[EventId] = []
        for holder in HOLDERS:
            register(self.engine, holder, "2025-01-01")

    def live(self, life: list[Step]) -> "Life":
        """Take every step; what the core refuses is left out."""
        for number, step in enumerate(life):
            self.take(step, f"e{number}")
        return self

    def take(self, step: Step, name: str) -> Receipt | None:
        """Take one step; nothing if it was refused."""
        self.now += timedelta(hours=step.hours)
        try:
            return self._take(step, EventId(name))
        except LoyaltyError:
            return None

    def _take(self, step: Step, name: EventId) -> Receipt:
        amount = Decimal(step.amounts[0])
        match step.what:
            case "run":
                return self.engine.run(self.now)
            case "redeem":
                return self.engine.spend(step.holder, amount, Occasion(name, self.now))
            case "reward":
                return self.engine.spend(
                    step.holder, amount / 10, Occasion(name, self.now, attrs={"accounts": [REWARD]})
                )
            case "return" | "cancel" if self.bought:
                purchase = self.engine.event(self.bought[step.hours % len(self.bought)])
                whole = step.what == "cancel" or not purchase.lines
                return self.engine.reverse(purchase.id, self.now, None if whole else purchase.lines[:1], reversal=name)
            case "deposit":
                line = Line("1", amount, item=STATUS)
                return self.engine.submit(Event(name, DEPOSIT, step.holder, self.now, lines=(line,)))
            case "level":
                level = ("Bronze", "Silver", "Gold")[step.amounts[0] % 3]
                attrs = {"ladder": str(TIERS), "level": level}
                return self.engine.submit(Event(name, ADJUST_LEVEL, step.holder, self.now, attrs=attrs))
            case _:
                return self.engine.submit(self.basket(step, name))

    def basket(self, step: Step, name: EventId) -> Event:
        """A purchase of this step's lines; the step `pay` pays a part of it in points."""
        lines = tuple(Line(str(number), Decimal(amount)) for number, amount in enumerate(step.amounts))
        self.bought.append(name)
        spend = Decimal(step.amounts[0] // 2) if step.what == "pay" else Decimal(0)
        return Event(name, PURCHASE, step.holder, self.now, lines=lines, spend=spend, attrs={"acceptor": "shop"})

    def copy(self) -> "Life":
        """The same life again, by replaying its log."""
        twin = Life(self.engine.setup)
        twin.engine = Engine.replay(self.engine.setup, self.engine.log())
        twin.now, twin.bought = self.now, list(self.bought)
        return twin

    def sums(self) -> dict[tuple[str, str], Decimal]:
        """Every balance now, but those of the account that only entrance outcomes feed."""
        return {
            (holder, row.name): self.engine.balance(holder, row.name, self.now)
            for holder in HOLDERS
            for row in self.engine.setup.accounts
            if row.name != BONUS
        }


def check_ledger(engine: Engine, now: datetime) -> None:
    """Balances are folds, lots are within bounds, and nothing dead counts."""
    for holder in HOLDERS:
        for row in engine.setup.accounts:
            lots = engine.lots(holder, row.name)
            left = sum((lot.left for lot in lots), Decimal(0))
            assert engine.posted(holder, row.name) == engine.fold(holder, row.name)
            assert engine.posted(holder, row.name) == left - engine.debt(holder, row.name)
            assert all(0 < lot.left <= lot.amount and lot.lost >= 0 for lot in lots)
            assert engine.debt(holder, row.name) >= 0
            alive = sum((lot.left for lot in lots if not lot.dead(now)), Decimal(0))
            assert engine.balance(holder, row.name, now) == alive - engine.debt(holder, row.name)
