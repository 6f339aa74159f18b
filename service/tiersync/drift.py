"""Pure. Where a secondary stands, compared with its primary; and the event that brings back whom it finds elsewhere.

Nobody is told of such drift: an event that Capillary dropped, a join that was missed, a tier that was changed by hand.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from tiersync.fanout import Above, Member, Policy, SeveralGroups, Tier
from tiersync.webhook import REPAIR_EVENT


class Standing(StrEnum):
    """How a secondary compares with its primary."""

    IN_STEP = "in_step"
    DRIFTED = "drifted"
    SPARED = "spared"  # elsewhere, and by policy it stays there


@dataclass(frozen=True, slots=True)
class Leader:
    """A primary as Capillary knows it now: its tier, and whether its secondaries may be brought down to it."""

    org: int
    program: int
    customer: int
    group: int
    tier: Tier
    expiry: date | None
    may_lower: bool


def may_lower(tier: Tier, known: int | None, policy: Policy) -> bool:
    """Say whether secondaries come down to `tier`: by policy, or because the primary itself did since `known`."""
    return policy.secondary_above_primary is Above.MATCH or (known is not None and tier.number < known)


def is_led_here(member: Member, tier: Tier, rival: Tier | None, policy: Policy) -> bool:
    """Say whether a member of several groups is this primary's to lead; `rival` is what another primary gave it."""
    match policy.several_groups:
        case SeveralGroups.DEFAULT_GROUP:
            return member.default_group
        case SeveralGroups.HIGHEST:
            return rival is None or rival.number <= tier.number
        case SeveralGroups.LATEST:
            return rival is None


def standing(held: Tier | None, leader: Leader) -> Standing:
    """Compare the tier that a secondary holds with its primary's."""
    if held is not None and held.is_that_of(leader.tier):
        return Standing.IN_STEP
    above = held is not None and held.number > leader.tier.number
    return Standing.SPARED if above and not leader.may_lower else Standing.DRIFTED


def repair(leader: Leader, members: Sequence[int], *, event_id: str, changed_at: int) -> bytes:
    """Write the event that brings `members` to their primary's tier.

    It bears the instant of the newest tier change that is known of the primary (`changed_at`, epoch milliseconds, -1 if
    none): any that Capillary still sends is newer.
    """
    return json.dumps(
        {
            "eventName": REPAIR_EVENT,
            "eventId": event_id,
            "orgId": leader.org or None,
            "createdAt": max(0, changed_at),
            "data": {
                "loyaltyProgramId": leader.program,
                "customerId": leader.customer,
                "groupId": leader.group,
                "tierNumber": leader.tier.number,
                "tierName": leader.tier.name,
                "tierExpiryDate": leader.expiry.isoformat() if leader.expiry else None,
                "mayLower": leader.may_lower,
                "members": list(members),
            },
        },
        separators=(",", ":"),
    ).encode()
