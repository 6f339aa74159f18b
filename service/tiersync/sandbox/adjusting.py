"""Pure. What `POST /v2/slab/manualSlabAdjustment` checks and decides (`contracts/capillary.md` 3.6).

Reading the body gives an `Order`, deciding on it gives a `Decision`; every refusal is a `LoyaltyError` with its code.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum, StrEnum
from typing import Literal, TypeVar

from tiersync.errors import LoyaltyError
from tiersync.loyalty.capillary import SLAB_NOT_HIGHER, SlabAction, check_slab_move
from tiersync.sandbox.tiers import VALIDITY_DAYS_MAX, Programme, Standing, Tier, end_of, expiry_after

REASON_LENGTH_MAX = 255

DAY_FORM = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

E = TypeVar("E", bound=StrEnum)


class AdjustCode(IntEnum):
    """Documented codes of the call."""

    INVALID = 400
    LOCKED = 521
    PROGRAM_INVALID = 1101
    NOT_ALLOWED = 3045
    CUSTOMER_UNKNOWN = 8015
    ACTION_MISSING = 8917
    VALIDITY_MISSING = 8920
    UPTO_INVALID = 8921
    TIER_UNKNOWN = 8923
    NOT_HIGHER = SLAB_NOT_HIGHER
    IDENTIFIER_NOT_NUMERIC = 11030


class Validity(StrEnum):
    """`manualSlabActionValidity`."""

    FIXED_DURATION = "FIXED_DURATION"
    SPECIFIC_DATE = "SPECIFIC_DATE"
    CURRENT_EXPIRY = "CURRENT_TIER_EXPIRY_DATE"
    STRATEGY = "AS_PER_TIER_STRATEGY"


@dataclass(frozen=True, slots=True)
class Rules:
    """How the undocumented or contradictory points are settled; each is a switch under `answers`."""

    upto: Literal["when_needed", "always"] = "when_needed"
    tier_name_case: Literal["exact", "ignored"] = "exact"
    downgrade_not_lower: Literal["refused", "applied"] = "refused"


@dataclass(frozen=True, slots=True)
class Order:
    """A body that was read: what is wanted, with the tier looked up. `tier` is None for RENEWAL and EXTEND."""

    action: SlabAction
    tier: Tier | None
    validity: Validity
    days: int | None
    day: date | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a customer."""

    previous: Tier
    standing: Standing


def read(body: Mapping[str, object], programme: Programme, rules: Rules) -> Order:
    """Read and check a request body; refuses with 8917, 8920, 8921, 8923 and 400."""
    action = _choice(SlabAction, body.get("slabAction"))
    if action is None:
        raise LoyaltyError("slabAction is not set or unknown", AdjustCode.ACTION_MISSING)
    validity = _choice(Validity, body.get("manualSlabActionValidity"))
    if validity is None:
        raise LoyaltyError("manualSLabActionValidity is not set or unknown", AdjustCode.VALIDITY_MISSING)
    _check_extras(body)
    tier = _tier(body, programme, rules) if action in {SlabAction.UPGRADE, SlabAction.DOWNGRADE} else None
    upto = body.get("manualSlabActionValidityUpto")
    days = day = None
    if validity is Validity.FIXED_DURATION:
        days = _days(upto)
    elif validity is Validity.SPECIFIC_DATE:
        day = _day(upto)
    elif rules.upto == "always" and upto is None:
        raise LoyaltyError("manualSlabActionValidityUpto is mandatory", AdjustCode.UPTO_INVALID)
    return Order(action, tier, validity, days, day)


def decide(order: Order, standing: Standing, now: datetime, rules: Rules) -> Decision:
    """Apply an order to where the customer stands; refuses with 8925."""
    held = standing.tier
    tier = order.tier or held
    check_slab_move(order.action, held.number, tier.number, lower_only=rules.downgrade_not_lower == "refused")
    return Decision(held, Standing(tier, _expiry(order, tier, standing, now)))


def _expiry(order: Order, tier: Tier, standing: Standing, now: datetime) -> datetime:
    if order.day is not None:
        return end_of(order.day)
    match order.validity:
        case Validity.CURRENT_EXPIRY:
            return standing.expires
        case _:
            return expiry_after(now, tier.validity_days if order.days is None else order.days)


def _choice(kind: type[E], value: object) -> E | None:
    return kind(value) if isinstance(value, str) and value in kind.__members__.values() else None


def _check_extras(body: Mapping[str, object]) -> None:
    reason, reassess = body.get("slabChangeReason"), body.get("reassessTierOnNextActivity")
    if reason is not None and not (isinstance(reason, str) and len(reason) <= REASON_LENGTH_MAX):
        raise LoyaltyError(f"slabChangeReason must be at most {REASON_LENGTH_MAX} characters", AdjustCode.INVALID)
    if not (reassess is None or isinstance(reassess, bool)):
        raise LoyaltyError("reassessTierOnNextActivity must be true or false", AdjustCode.INVALID)


def _tier(body: Mapping[str, object], programme: Programme, rules: Rules) -> Tier:
    name = body.get("toSlabName")
    tier = programme.named(name, ignore_case=rules.tier_name_case == "ignored") if isinstance(name, str) else None
    if tier is None:
        raise LoyaltyError(f"Slab not found for name {name!s:.60}", AdjustCode.TIER_UNKNOWN)
    return tier


def _days(value: object) -> int:
    """Days as documented: `15` or `"20"`."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(VALIDITY_DAYS_MAX)):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= VALIDITY_DAYS_MAX:
        raise LoyaltyError("manualSlabActionValidityUpto should be an integer (days)", AdjustCode.UPTO_INVALID)
    return value


def _day(value: object) -> date:
    if isinstance(value, str) and DAY_FORM.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise LoyaltyError("manualSlabActionValidityUpto should be a date, YYYY-MM-DD", AdjustCode.UPTO_INVALID)
