"""A world with a bit of everything, and random lives in it, for the properties of the loyalty core."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from tests.unit.loyalty.building import ANN, BOB, HOUSE, account, at, by_level, event, register
from tiersync.errors import LoyaltyError
from tiersync.loyalty.accounts import MONEY, Account, AccountName, AfterDays, AfterMonths, Inactive, Order, Policy
from tiersync.loyalty.conditions import entering, measure
from tiersync.loyalty.engine import Engine
from tiersync.loyalty.events import (
    ADJUST_LEVEL,
    IMPORT_CODES,
    JOIN,
    LEAVE,
    LEVEL_UP,
    PURCHASE,
    REVERSE,
    SPEND,
    SWITCH,
    VERIFY,
    Event,
    EventId,
    HolderId,
    Json,
    Line,
    ProgrammeId,
)
from tiersync.loyalty.ladders import Anchor, Climb, Earned, Fall, Ladder, Level, Purchases, Review, pooled
from tiersync.loyalty.periods import Span
from tiersync.loyalty.programmes import Codes, EmailDomain, OpenSelf, Programme
from tiersync.loyalty.records import Entry, LadderId, Lot, RuleId, Share
from tiersync.loyalty.rules import Context, Give, Limit, Rule, When, always, flat, off, per, share, to_group
from tiersync.loyalty.setup import Setup
from tiersync.loyalty.state import Receipt

POINTS, STATUS, ESCROW, CAPPED, BONUS, OPEN, REWARD, IDLE = (
    account(name) for name in ("points", "status", "escrow", "capped", "bonus", "open", "reward", "idle")
)
FAMILY = HolderId("family")
HOLDERS = (ANN, BOB, FAMILY)
PEOPLE = (ANN, BOB)
CLUB, CODED, INVITED = (ProgrammeId(name) for name in ("club", "coded", "invited"))
PROGRAMMES = (
    Programme(HOUSE),
    Programme(CLUB, OpenSelf()),
    Programme(CODED, Codes()),
    Programme(INVITED, EmailDomain(frozenset({"uni.example"}))),
)
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
            counts_for=pooled,
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
        rule("family", to_group(per(measure(), 1, POINTS))),
        replace(rule("club", flat(POINTS, 2)), programme=CLUB),
        replace(rule("coded", flat(CAPPED, 1)), programme=CODED),
        replace(rule("invited", flat(REWARD, 1)), programme=INVITED),
    )


def world(*, negative: bool = True) -> Setup:
    """The set-up."""
    return Setup(accounts(negative=negative), PROGRAMMES, rules(), ladders())


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a life: so much later, somebody does something."""

    hours: int
    what: str
    holder: HolderId
    amounts: tuple[int, ...]


KINDS = (
    *("buy", "buy", "buy", "family", "pay", "return", "cancel", "redeem", "reward", "deposit", "transfer", "adjust"),
    *("join", "enter", "invite", "verify", "leave", "level", "switch", "run", "run"),
)

amounts = st.lists(st.integers(1, 60), min_size=1, max_size=3).map(tuple)
steps = st.builds(
    Step,
    st.integers(0, 400),
    st.sampled_from(KINDS),
    st.sampled_from(PEOPLE),
    amounts,
)
lives = st.lists(steps, max_size=18)


def membership(what: str, number: int) -> tuple[str, dict[str, Json]]:
    """The type and the attributes of a step into or out of a programme, or of the switching of a rule."""
    match what:
        case "join":
            return JOIN, {"programme": CLUB}
        case "enter":
            return JOIN, {"programme": CODED, "code": f"K{number % 12}"}
        case "invite":
            return JOIN, {"programme": INVITED, "email": "a@uni.example", "token": f"T{number % 5}"}
        case "verify":
            return VERIFY, {"programme": INVITED, "token": f"T{number % 5}"}
        case "leave":
            return LEAVE, {"programme": PROGRAMMES[number % 4].id}
        case _:
            return SWITCH, {"what": "rule", "name": "club", "on": number % 2 == 0}


class Life:
    """An engine, the time it is, and what was bought so far."""

    def __init__(self, setup: Setup | None = None) -> None:
        """Begin, with everybody registered."""
        self.engine = Engine(setup or world())
        self.now = BEGINNING
        self.bought: list[EventId] = []
        for holder in HOLDERS:
            register(self.engine, holder, "2025-01-01")
        codes = [f"K{number}" for number in range(10)]
        self.engine.submit(event("codes", IMPORT_CODES, "2025-01-01", "", programme=CODED, codes=codes))

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
        if step.what == "run":
            return self.engine.run(self.now)
        receipt = self.engine.submit(self.happening(step, name))
        if receipt.event.type == PURCHASE:
            self.bought.append(name)
        return receipt

    def happening(self, step: Step, name: EventId) -> Event:
        """What this step submits, now; it may well be refused."""
        number, attrs, lines = step.amounts[0], dict[str, Json](), tuple[Line, ...]()
        kind, amount, spend, ref = step.what, Decimal(0), Decimal(0), None
        match step.what:
            case "redeem" | "reward":
                kind, spend = SPEND, Decimal(number) / (1 if step.what == "redeem" else 10)
                attrs = {} if step.what == "redeem" else {"accounts": [REWARD]}
            case "return" | "cancel":
                kind, ref = REVERSE, self.bought[step.hours % len(self.bought)] if self.bought else None
                lines = self.engine.event(ref).lines[:1] if ref and step.what == "return" else ()
            case "deposit":
                lines = (Line("1", Decimal(number), item=STATUS),)
            case "transfer":
                attrs, amount = {"to": HOLDERS[number % 3], "into": POINTS}, Decimal(number % 20)
            case "adjust":
                amount = Decimal(number % 10)
            case "level":
                kind, attrs = ADJUST_LEVEL, {"ladder": TIERS, "level": ("Bronze", "Silver", "Gold")[number % 3]}
            case "join" | "enter" | "invite" | "verify" | "leave" | "switch":
                kind, attrs = membership(step.what, number)
            case _:
                return self.basket(step, name)
        return Event(name, kind, step.holder, self.now, amount, lines, attrs, ref, spend)

    def basket(self, step: Step, name: EventId) -> Event:
        """A purchase of this step's lines; `pay` pays a part of it in points, `family` is bought for the group."""
        lines = tuple(Line(str(number), Decimal(amount)) for number, amount in enumerate(step.amounts))
        attrs: dict[str, Json] = {"acceptor": "shop"} | ({"group": FAMILY} if step.what == "family" else {})
        spend = Decimal(step.amounts[0] // 2) if step.what == "pay" else Decimal(0)
        return Event(name, PURCHASE, step.holder, self.now, lines=lines, spend=spend, attrs=attrs)

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
    check_lots(engine)
    for holder in HOLDERS:
        for row in engine.setup.accounts:
            lots = engine.lots(holder, row.name)
            left = sum((lot.left for lot in lots), Decimal(0))
            assert engine.posted(holder, row.name) == fold(engine, holder, row.name)
            assert engine.posted(holder, row.name) == left - engine.debt(holder, row.name)
            assert all(0 < lot.left <= lot.amount and lot.lost >= 0 for lot in lots)
            assert engine.debt(holder, row.name) >= 0
            alive = sum((lot.left for lot in lots if not lot.dead(now)), Decimal(0))
            assert engine.balance(holder, row.name, now) == alive - engine.debt(holder, row.name)


def fold(engine: Engine, holder: HolderId, name: AccountName) -> Decimal:
    """A balance as the definition has it: the sum of the account's entries."""
    entries = (record for record in engine.records if isinstance(record, Entry))
    return sum((entry.amount for entry in entries if entry.key == (holder, name)), Decimal(0))


def check_lots(engine: Engine) -> None:
    """What is left of every lot there ever was is the fold of the entries that touched it, and stays in its bounds."""
    opened: dict[int, Decimal] = {}
    left: dict[int, Decimal] = {}
    for entry in (record for record in engine.records if isinstance(record, Entry)):
        if entry.lot is not None:
            opened[entry.lot], left[entry.lot] = entry.amount, entry.amount + entry.owed
        for part in entry.parts:
            left[part.lot] += part.amount if entry.amount > 0 else -part.amount
            assert 0 <= left[part.lot] <= opened[part.lot]
    assert {lot.id: lot.left for lot in live_lots(engine)} == {lot: rest for lot, rest in left.items() if rest}


def live_lots(engine: Engine) -> list[Lot]:
    """Every lot that still holds something."""
    return [lot for holder in HOLDERS for row in engine.setup.accounts for lot in engine.lots(holder, row.name)]


def attempt(verb: Callable[[Event], Receipt], event: Event) -> Receipt | str:
    """What a verb does with an event: its receipt, or why it refuses."""
    try:
        return verb(event)
    except LoyaltyError as refused:
        return str(refused)
