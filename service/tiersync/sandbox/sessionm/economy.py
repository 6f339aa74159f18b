"""Pure. A point economy as it is published: sources, point accounts, behaviours, tier systems.

Sections A3 to A12 of `contracts/loyalty-systems.md`. Points are whole numbers; rates may have decimals.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tiersync.loyalty.periods import Span
from tiersync.sandbox.faces import Body, Id, Moment, Money, Text

Points = Annotated[int, Field(gt=0, le=10**9)]
Threshold = Annotated[int, Field(ge=0, le=10**9)]
Rate = Annotated[Decimal, Field(gt=0, le=10**6, decimal_places=6, allow_inf_nan=False)]
Scalar = str | bool | int


class Stock(Body):
    """At most so many points per calendar window into each account of the source, to all customers together (A3)."""

    points: Points
    per: Span = Span.FOREVER


class Source(Body):
    """Where points come from, and the accounts it feeds (A3)."""

    id: Id
    accounts: Annotated[tuple[Id, ...], Field(min_length=1, max_length=20)]
    stock: Stock | None = None


class NoExpiry(Body):
    """Points that do not expire."""

    policy: Literal["none"] = "none"


class Rolling(Body):
    """Each lot expires so many days after its own issue; with `into` it moves there instead (escrow)."""

    policy: Literal["rolling"]
    days: Annotated[int, Field(ge=1, le=36_500)]
    into: Id | None = None


class FixedDate(Body):
    """Everything expires when this day of the week (1 is Monday), month or year begins."""

    policy: Literal["fixed_date"]
    every: Literal["week", "month", "year"]
    day: Annotated[int, Field(ge=1, le=31)]
    month: Annotated[int, Field(ge=1, le=12)] = 1


class Inactivity(Body):
    """On this day of each month so many percent expire if there was no event within `days`."""

    policy: Literal["inactivity"]
    days: Annotated[int, Field(ge=1, le=36_500)]
    percent: Annotated[int, Field(ge=1, le=100)]
    day: Annotated[int, Field(ge=1, le=31)] = 1


class PointAccount(Body):
    """A point account (A4); `default` ones are drawn on by a spend that names none."""

    id: Id
    grouping_label: str = Field(default="", max_length=200)
    default: bool = True
    allow_negative: bool = True
    maximum_balance: Threshold | None = None
    expiry: Annotated[NoExpiry | Rolling | FixedDate | Inactivity, Field(discriminator="policy")] = NoExpiry()


class Constraint(Body):
    """What one rule asks of the event; everything that is set must hold."""

    min_spend: Money | None = None
    items: tuple[Text, ...] = Field(default=(), max_length=100)
    context: dict[str, Scalar] = Field(default_factory=dict, max_length=50)


class PointsPer(Body):
    """`rate` points per unit of spend, or per item; from the hurdle on the whole measure earns (A8)."""

    measure: Literal["spend", "items"] = "spend"
    rate: Rate
    items: tuple[Text, ...] = Field(default=(), max_length=100, description="only these are measured")
    free_items: bool = Field(default=False, description="whether pieces that cost nothing count")
    hurdle: Money = Decimal(0)
    precision: Annotated[int, Field(ge=0, le=6)] | None = None


class Frequency(Body):
    """At most so many awards per calendar window (A9)."""

    count: Annotated[int, Field(ge=1, le=10**6)]
    per: Span


class TierChange(Body):
    """Onto this level of a tier system."""

    tier_system: Id
    level: Id


class Outcome(Body):
    """What a behaviour gives; of several outcomes the lower ranks are written first.

    Points from a source, an account's expiry, another level, or a tag.
    """

    source: Id | None = None
    accounts: tuple[Id, ...] | None = Field(default=None, description="all accounts of the source unless named")
    points: Points | None = None
    points_per: PointsPer | None = None
    expire_account: Id | None = None
    change_tier: TierChange | None = None
    tag: Text | None = None
    limit: Frequency | None = None
    rank: Annotated[int, Field(ge=-1000, le=1000)] = 0

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        given = [self.points, self.points_per, self.expire_account, self.change_tier, self.tag]
        if sum(each is not None for each in given) != 1:
            raise ValueError("an outcome is one of points, points_per, expire_account, change_tier and tag")
        if (self.source is None) == (self.points is not None or self.points_per is not None):
            raise ValueError("an outcome that gives points names its source, and no other does")
        return self


class Behavior(Body):
    """A named set of rules and what it gives (A7); `event` is a custom event's name or a system event's."""

    id: Id
    event: Text = "COMPLETE_TRANSACTION"
    state: Literal["active", "paused", "draft"] = "active"
    starts: Moment | None = None
    ends: Moment | None = None
    join: Literal["and", "or"] = "and"
    rules: tuple[Constraint, ...] = Field(default=(), max_length=20)
    outcomes: tuple[Outcome, ...] = Field(default=(), max_length=20)


class Entrance(Body):
    """What gets one in: points earned in the system's account; and what that gives, once per entering."""

    points: Threshold = 0
    outcomes: tuple[Outcome, ...] = Field(default=(), max_length=20)


class Interval(Body):
    """Every so many months, counted from joining, or from `starts` for everybody."""

    months: Annotated[int, Field(ge=1, le=1200)] = 12
    starts: date | None = Field(default=None, description="counted from each customer's joining unless given")


class Maintenance(Body):
    """What keeps one in: so many points earned since the last review; at the system's interval unless given its own."""

    points: Threshold
    interval: Interval | None = None


class TierLevel(Body):
    """One level with its four behaviours (A10); without `maintenance` it is permanent."""

    name: Id
    entrance: Entrance = Entrance()
    purchase: tuple[Behavior, ...] = Field(default=(), max_length=50)
    event: tuple[Behavior, ...] = Field(default=(), max_length=50)
    maintenance: Maintenance | None = None


class TierSystem(Body):
    """An ordered list of levels over points earned in one account, the lowest first (A10, A11)."""

    id: Id
    account: Id
    maintenance: Interval = Interval()
    fall: Literal["one_down", "to_qualified"] = "one_down"
    levels: Annotated[tuple[TierLevel, ...], Field(min_length=1, max_length=20)]


class Economy(Body):
    """A point economy (A5)."""

    name: Text
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    point_value: Annotated[Decimal, Field(ge=0, le=10**6, decimal_places=6, allow_inf_nan=False)] = Decimal("0.01")
    sources: Annotated[tuple[Source, ...], Field(min_length=1, max_length=50)]
    accounts: Annotated[tuple[PointAccount, ...], Field(min_length=1, max_length=50)]
    behaviors: tuple[Behavior, ...] = Field(default=(), max_length=100)
    tier_systems: tuple[TierSystem, ...] = Field(default=(), max_length=5)

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        accounts = {account.id for account in self.accounts}
        fed = {source.id: set(source.accounts) for source in self.sources}
        levels = {system.id: {level.name for level in system.levels} for system in self.tier_systems}
        for source in self.sources:
            _known(f"source {source.id}", source.accounts, accounts)
        for outcome in self._outcomes():
            if outcome.source is not None:
                _known("an outcome's source", (outcome.source,), fed)
                _known(f"an outcome from source {outcome.source}", outcome.accounts or (), fed[outcome.source])
            if outcome.expire_account is not None:
                _known("an outcome that expires", (outcome.expire_account,), accounts)
            if outcome.change_tier is not None:
                system = outcome.change_tier.tier_system
                _known("an outcome that changes the tier", (system,), levels)
                _known(f"an outcome that changes the tier in {system}", (outcome.change_tier.level,), levels[system])
        return self

    def _outcomes(self) -> list[Outcome]:
        behaviors = list(self.behaviors)
        outcomes: list[Outcome] = []
        for level in (level for system in self.tier_systems for level in system.levels):
            behaviors += [*level.purchase, *level.event]
            outcomes += level.entrance.outcomes
        return [*outcomes, *(outcome for behavior in behaviors for outcome in behavior.outcomes)]


def _known(who: str, names: tuple[str, ...], known: object) -> None:
    for name in names:
        if name not in known:  # type: ignore[operator]  # a set or a dictionary
            raise ValueError(f"{who} names {name!r}, which is not defined there")
