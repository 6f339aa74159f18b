"""Pure. Programmes, their ordered tiers, and where a customer stands.

Tier numbers start at 1, the lowest (`contracts/capillary.md` 2.4). A validity ends with its last day: 23:59:59 UTC.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Literal, NewType

from tiersync.loyalty.groups import CustomerId, GroupId

ProgramId = NewType("ProgramId", int)

#: Samples show tiers that never end as ending a hundred years later.
FOREVER_DAYS = 36_524
VALIDITY_DAYS_MAX = 365_250


class Activity(StrEnum):
    """What set a tier change off: values of `triggeringActivity.name`."""

    MANUAL = "ManualSlabAdjustment"
    TRANSACTION = "TransactionAdd"
    RETURN = "ReturnBill"
    REASSESSMENT = "TierReassessment"
    MEMBER_JOIN = "GroupMemberJoin"
    MEMBER_LEAVE = "GroupMemberLeave"


@dataclass(frozen=True, slots=True)
class Tier:
    """One step of a programme. `validity_days` is what AS_PER_TIER_STRATEGY grants."""

    number: int
    name: str
    validity_days: int = 365


@dataclass(frozen=True, slots=True)
class Programme:
    """A loyalty programme; `tiers` ascend and are numbered from 1."""

    id: ProgramId
    name: str
    tiers: tuple[Tier, ...]
    default: bool = False
    #: Tiers are reached by rules, and AS_PER_TIER_STRATEGY is what the ladder says; otherwise they are given by hand.
    ruled: bool = False
    ratio: Decimal = Decimal(1)

    def named(self, name: str, *, ignore_case: bool = False) -> Tier | None:
        """Find a tier by its name. Whether Capillary minds the case is not documented."""
        if not ignore_case:
            return next((tier for tier in self.tiers if tier.name == name), None)
        return next((tier for tier in self.tiers if tier.name.casefold() == name.casefold()), None)

    def numbered(self, number: int) -> Tier | None:
        """Find a tier by its number."""
        return self.tiers[number - 1] if 1 <= number <= len(self.tiers) else None

    def above(self, tier: Tier) -> Tier | None:
        """Return the next higher tier, None at the top."""
        return self.numbered(tier.number + 1)

    @property
    def lowest(self) -> Tier:
        """The tier everybody starts in."""
        return self.tiers[0]


@dataclass(frozen=True, slots=True)
class Standing:
    """The tier a customer has in one programme, and until when."""

    tier: Tier
    expires: datetime


@dataclass(frozen=True, slots=True)
class PointsContributed:
    """A fact: a member's transaction brought points to the group's wallet."""

    customer: CustomerId
    group: GroupId
    programme: Programme
    points: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class SlabLogged:
    """A line of a group's tier log: its own tier, not that of its primary."""

    programme: Programme
    direction: "Direction"
    previous: Tier
    standing: Standing
    at: datetime


Direction = Literal["upgraded", "downgraded", "renewed"]


@dataclass(frozen=True, slots=True)
class TierChanged:
    """A fact: this customer's tier was decided. `previous` equals `standing.tier` for a renewal."""

    customer: CustomerId
    programme: Programme
    direction: Direction
    previous: Tier
    standing: Standing
    activity: Activity
    at: datetime


def program(name: str, number: int, tiers: list[str], *, default: bool = False) -> Programme:
    """Build a programme from its tiers' names, lowest first; the lowest tier never ends."""
    steps = tuple(
        Tier(position, tier, FOREVER_DAYS if position == 1 else 365) for position, tier in enumerate(tiers, start=1)
    )
    return Programme(ProgramId(number), name, steps, default)


def direction(previous: Tier, tier: Tier) -> Direction:
    """Name the way from one tier to another."""
    if tier.number > previous.number:
        return "upgraded"
    return "downgraded" if tier.number < previous.number else "renewed"


def end_of(day: date) -> datetime:
    """Return the last second of a day."""
    return datetime.combine(day, time(23, 59, 59), UTC)


def expiry_after(now: datetime, days: int) -> datetime:
    """End of a validity of `days`; the day of the change is day 0: 1 Jan + 30 ends 31 Jan (3.6)."""
    return end_of((now + timedelta(days=days)).date())


def stamp_iso(at: datetime) -> str:
    """Write a time as v2 does: 2025-11-03T05:23:40Z."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp_v3(at: datetime) -> str:
    """Write a time as v3 does: 2024-10-28T08:05:44.665+0000."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}+0000"


def stamp_ordinal(at: datetime) -> str:
    """Write a day as the answer to an adjustment does: 30th Nov, 2025."""
    day = at.day
    suffix = "th" if 11 <= day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")  # noqa: PLR2004 - 11th to 13th
    return f"{day}{suffix} {at:%b, %Y}"
