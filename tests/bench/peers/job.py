"""Pure. The job itself, the same for every peer: which tier, which group, whose adjustment.

Every peer makes one call for the group and one for each secondary, bounded to `CALLS` at once, and adjusts by the same
body. `python -m tests.bench.peers.NAME PORT CAPILLARY_URL INFRASTRUCTURE_URL` starts one.
"""

import hashlib
from base64 import b64encode
from typing import Any, Final

CALLS: Final = 64
HEADERS: Final = {
    "Authorization": "Basic "
    + b64encode(b"till.user:" + hashlib.md5(b"password", usedforsecurity=False).hexdigest().encode()).decode(),
    "Accept": "application/json",
}


def change(event: dict[str, Any]) -> tuple[int, int, str]:
    """Read the primary, the program and the tier's name from an event."""
    data = event["data"]
    names = {tier["tierNumber"]: tier["tierName"] for tier in data["loyaltyProgramDetails"]["tiers"]}
    return data["customerIdentifiers"]["customerId"], data["loyaltyProgramId"], names[data["upgradedTierNumber"]]


def group_path(primary: int) -> str:
    """Where the group of a primary is read."""
    return f"/v2/userGroup2?primaryUserId={primary}"


def secondaries(group: dict[str, Any]) -> list[int]:
    """List who is to be adjusted."""
    return [user["userId"] for user in group["fleetGroupUsers"] if user["active"] and not user["primaryMember"]]


def adjust_path(customer: int) -> str:
    """Where a customer is adjusted."""
    return f"/v2/slab/manualSlabAdjustment?source=INSTORE&identifierName=id&identifierValue={customer}"


def adjustment(program: int, tier: str) -> dict[str, Any]:
    """Build the body of an adjustment."""
    return {
        "programId": program,
        "slabAction": "UPGRADE",
        "toSlabName": tier,
        "manualSlabActionValidity": "AS_PER_TIER_STRATEGY",
        "reassessTierOnNextActivity": False,
        "slabChangeReason": "group sync",
    }
