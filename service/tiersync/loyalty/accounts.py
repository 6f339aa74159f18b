"""Pure. Accounts: their unit, their policy, when their points die, and what a lot may be spent on."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import NewType, TypeAlias, assert_never

from tiersync.errors import LoyaltyError
from tiersync.loyalty.events import Event, HolderId, Line, ProgrammeId
from tiersync.loyalty.periods import MONTHS_PER_YEAR, Span, add_months, after_day, midnight, on_day

AccountName = NewType("AccountName", str)
AccountKey: TypeAlias = tuple[HolderId, AccountName]


class Order(StrEnum):
    """Which lot is spent first; every order ends with the oldest."""

    OLDEST = "oldest"
    SOONEST = "soonest"
    RESTRICTED = "restricted"


@dataclass(frozen=True, slots=True)
class Unit:
    """What an account counts, and how an award is rounded into it: once, at the end."""

    name: str
    places: int
    rounding: str

    def round(self, amount: Decimal) -> Decimal:
        """`amount` in whole steps of the unit."""
        return amount.quantize(Decimal(1).scaleb(-self.places), self.rounding)


POINTS = Unit("points", 0, ROUND_FLOOR)
MONEY = Unit("money", 2, ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class Never:
    """Points that do not expire."""


@dataclass(frozen=True, slots=True)
class AfterDays:
    """Each lot lives so many days from its own issue, to the second: usable while `now < issued + days`."""

    days: int


@dataclass(frozen=True, slots=True)
class AfterMonths:
    """Each lot lives so many months, clamped to the end of the month, through its whole last day."""

    months: int


@dataclass(frozen=True, slots=True)
class Through:
    """Usable to the end of this day."""

    day: date


@dataclass(frozen=True, slots=True)
class OnDate:
    """Everything dies when this day of the week (1 = Monday), month or year begins."""

    span: Span
    day: int
    month: int = 1


@dataclass(frozen=True, slots=True)
class Inactive:
    """On this day of every month a share of the balance dies if there was no event for so many days."""

    days: int
    share: Decimal
    day: int = 1

    def next_check(self, after: datetime, zone: tzinfo) -> datetime:
        """The first check later than `after`."""
        today = after.astimezone(zone).date()
        turn = midnight(on_day(today.year, today.month, self.day), zone)
        if turn > after:
            return turn
        later = add_months(today.replace(day=1), 1)
        return midnight(on_day(later.year, later.month, self.day), zone)


Expiry: TypeAlias = Never | AfterDays | AfterMonths | Through | OnDate | Inactive


def expires_at(expiry: Expiry, issued: datetime, zone: tzinfo) -> datetime | None:
    """The first instant at which a lot issued then is dead, or nothing if time alone does not kill it."""
    match expiry:
        case Never() | Inactive():
            return None
        case AfterDays(days):
            return issued + timedelta(days=days)
        case AfterMonths(months):
            return after_day(add_months(issued.astimezone(zone).date(), months), zone)
        case Through(day):
            return after_day(day, zone)
        case OnDate(span, day, month):
            return midnight(_next_date(span, day, month, issued.astimezone(zone).date()), zone)
        case _:
            assert_never(expiry)


def _next_date(span: Span, day: int, month: int, after: date) -> date:
    if span is Span.WEEK:
        return after + timedelta(days=(day - after.isoweekday() - 1) % 7 + 1)
    if span is Span.MONTH:
        turn, step = on_day(after.year, after.month, day), 1
    else:
        turn, step = on_day(after.year, month, day), MONTHS_PER_YEAR
    if turn > after:
        return turn
    later = add_months(turn.replace(day=1), step)
    return on_day(later.year, later.month, day)


@dataclass(frozen=True, slots=True)
class Condition:
    """What a lot may be spent on: every restriction that is set must hold, its listed values are alternatives.

    `days` are ISO weekdays, `hours` are `[from, to)` in the set-up's zone.
    """

    days: frozenset[int] = frozenset()
    hours: tuple[int, int] | None = None
    places: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()

    @property
    def restrictions(self) -> int:
        """How many restrictions are set."""
        return sum(1 for restriction in (self.days, self.hours, self.places, self.products) if restriction)

    def allows(self, event: Event, zone: tzinfo) -> bool:
        """Whether time and place of the event fit."""
        local = event.at.astimezone(zone)
        return (
            (not self.days or local.isoweekday() in self.days)
            and (self.hours is None or self.hours[0] <= local.hour < self.hours[1])
            and (not self.places or bool(self.places & event.places))
        )

    def covers(self, line: Line) -> bool:
        """Whether a lot may pay for this line."""
        return not self.products or bool(self.products & {line.item, *line.tags})


ANYWHERE = Condition()


@dataclass(frozen=True, slots=True)
class Policy:
    """The few values in which accounts differ.

    `negative`: a return or spend may push the balance below zero, and the holder owes it.
    `into`: where lots go at the end of their life instead of dying (escrow).
    `through`: the account by whose way a spend leaves (a reward becomes open money first, then pays).
    """

    order: Order = Order.SOONEST
    negative: bool = False
    maximum: Decimal | None = None
    expiry: Expiry = field(default_factory=Never)
    into: AccountName | None = None
    through: AccountName | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """An account every holder may have; it exists for a holder from its first entry on.

    A spend that names no account draws on the `default` ones, all of them together. `sources` are the point sources it
    may be fed from by a deposit; none means any. `label` groups accounts that are shown as one.
    """

    name: AccountName
    unit: Unit = POINTS
    policy: Policy = field(default_factory=Policy)
    programme: ProgrammeId | None = None
    default: bool = True
    label: str = ""
    sources: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.policy.maximum is not None and self.policy.maximum < 0:
            raise LoyaltyError(f"account {self.name}: the maximum must not be negative")
        if isinstance(self.policy.expiry, Inactive) and not 0 < self.policy.expiry.share <= 1:
            raise LoyaltyError(f"account {self.name}: the share that expires must be above 0 and at most 1")
