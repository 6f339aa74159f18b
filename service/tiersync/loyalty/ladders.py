"""Pure. Ladders: ordered levels, what they measure, when one goes up, when one is reviewed, how far one falls.

Everything here is definition and judgement; who stands where is kept in `standings`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from tiersync.errors import LoyaltyError
from tiersync.loyalty.accounts import AccountName
from tiersync.loyalty.events import PURCHASE, Event, HolderId, ProgrammeId
from tiersync.loyalty.periods import next_turn
from tiersync.loyalty.records import LadderId, Move


@dataclass(frozen=True, slots=True)
class Earned:
    """Points earned in an account, whether or not they were spent or have expired since."""

    account: AccountName


@dataclass(frozen=True, slots=True)
class Purchases:
    """The value of purchases in units of so much currency, unrounded."""

    per_unit: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class Visits:
    """The number of purchases."""


@dataclass(frozen=True, slots=True)
class Balance:
    """What is in an account now."""

    account: AccountName


Metric: TypeAlias = Earned | Purchases | Visits | Balance


def of_purchase(metric: Metric, amount: Decimal, visits: int) -> Decimal:
    """What a purchase (or its return, negative) adds to what the metric counts."""
    match metric:
        case Purchases():
            return amount
        case Visits():
            return Decimal(visits)
        case _:
            return Decimal(0)


def in_units(metric: Metric, counted: Decimal) -> Decimal:
    """What was counted, in the metric's units: divided once, after summing, so that three thirds are one."""
    return counted / metric.per_unit if isinstance(metric, Purchases) else counted


class Anchor(StrEnum):
    """Where a review's turns are counted from."""

    FIXED = "fixed"
    JOIN = "join"
    LEVEL = "level"


@dataclass(frozen=True, slots=True)
class Review:
    """Every so many months from an anchor, at the beginning of the day.

    `FIXED` is one common cycle from `start`; `JOIN` counts from the holder's own sign-up; `LEVEL` from when the level
    was reached, and the lowest level is then never reviewed.
    """

    months: int
    anchor: Anchor = Anchor.FIXED
    start: date | None = None

    def next_after(self, at: datetime, joined: datetime, since: datetime, zone: tzinfo) -> datetime:
        """The first review later than `at`."""
        match self.anchor:
            case Anchor.FIXED:
                if self.start is None:
                    raise LoyaltyError("a review on a fixed cycle needs the day the cycle starts")
                anchor = self.start
            case Anchor.JOIN:
                anchor = joined.astimezone(zone).date()
            case Anchor.LEVEL:
                anchor = since.astimezone(zone).date()
        return next_turn(anchor, self.months, at, zone)


class Climb(StrEnum):
    """When a holder who reached a higher threshold goes up."""

    NOW = "now"
    REVIEW = "review"


class Fall(StrEnum):
    """How far a holder falls who fails a review."""

    NONE = "none"
    ONE_DOWN = "one_down"
    TO_QUALIFIED = "to_qualified"
    TO_CONFIGURED = "to_configured"


@dataclass(frozen=True, slots=True)
class Level:
    """One level: `threshold` leads in, `stay` (at least so much per period) keeps in; without `stay` it is permanent.

    `falls_to` is where `TO_CONFIGURED` leads; the lowest level if it is not given. `review` is when this level is
    reviewed, if not when the others of its ladder are.
    """

    name: str
    threshold: Decimal
    stay: Decimal | None = None
    falls_to: str | None = None
    review: Review | None = None


def own(event: Event) -> tuple[HolderId, ...]:
    """Count a purchase for whoever made it."""
    return (event.holder,)


def pooled(event: Event) -> tuple[HolderId, ...]:
    """Count a purchase for whoever made it, for the group it was made for, and for that group's primary member."""
    named = (event.holder, HolderId(event.option("group")), HolderId(event.option("primary")))
    return tuple(dict.fromkeys(holder for holder in named if holder))


@dataclass(frozen=True, slots=True)
class Ladder:
    """Levels from the lowest up, and the policy that moves holders on them.

    `programme`: whose members stand on it; nothing means every holder. `metric` leads up, `stay_metric` (else the same)
    is what a review asks for. `reset`: the metric starts anew at every review; otherwise only when a holder falls, for
    else the next event would undo the fall. `recheck`: a return that leaves less than the threshold undoes the climb.
    """

    id: LadderId
    levels: tuple[Level, ...]
    metric: Metric
    climb: Climb = Climb.NOW
    review: Review | None = None
    fall: Fall = Fall.ONE_DOWN
    reset: bool = False
    programme: ProgrammeId | None = None
    stay_metric: Metric | None = None
    recheck: bool = False
    counts_for: Callable[[Event], tuple[HolderId, ...]] = own
    counted: frozenset[str] = frozenset({PURCHASE})

    def __post_init__(self) -> None:
        thresholds = [level.threshold for level in self.levels]
        if not thresholds or thresholds != sorted(set(thresholds)):
            raise LoyaltyError(f"ladder {self.id}: levels must rise from the lowest threshold to the highest")
        if len({level.name for level in self.levels}) != len(self.levels):
            raise LoyaltyError(f"ladder {self.id}: two levels share one name")
        for level in self.levels:
            if level.falls_to is not None:
                self.rank(level.falls_to)

    def rank(self, level: str) -> int:
        """The index of a level by its name, 0 for the lowest; an unknown name is refused."""
        for rank, known in enumerate(self.levels):
            if known.name == level:
                return rank
        names = ", ".join(known.name for known in self.levels)
        raise LoyaltyError(f"ladder {self.id} has no level {level!r}; there are {names}")

    def qualified(self, total: Decimal) -> int:
        """The highest level whose threshold is met; the lowest one always is."""
        return max((rank for rank, level in enumerate(self.levels) if level.threshold <= total), default=0)

    def verdict(self, rank: int, total: Decimal, stayed: Decimal) -> tuple[Move, int]:
        """What a review decides for a holder with `total` and `stayed` in the period."""
        qualified = self.qualified(total)
        if self.climb is Climb.REVIEW and qualified > rank:
            return (Move.UP, qualified)
        level = self.levels[rank]
        if rank == 0 or level.stay is None or stayed >= level.stay:
            return (Move.RENEW, rank)
        match self.fall:
            case Fall.NONE:
                return (Move.RENEW, rank)
            case Fall.ONE_DOWN:
                return (Move.DOWN, rank - 1)
            case Fall.TO_QUALIFIED:
                return (Move.DOWN, min(qualified, rank - 1))
            case Fall.TO_CONFIGURED:
                target = 0 if level.falls_to is None else self.rank(level.falls_to)
                return (Move.DOWN, min(target, rank - 1))

    def next_review(self, rank: int, at: datetime, joined: datetime, since: datetime, zone: tzinfo) -> datetime | None:
        """When a holder on this level is reviewed next; nothing if never."""
        review = self.review_of(rank)
        if review is None or (rank == 0 and review.anchor is Anchor.LEVEL):
            return None
        return review.next_after(at, joined, since, zone)

    def review_of(self, rank: int) -> Review | None:
        """The review of a level: its own, else the ladder's."""
        return self.levels[rank].review or self.review
