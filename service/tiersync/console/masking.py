"""Pure. A raw body as it may be shown: its form whole, of its values only those that say nothing about a person.

What is shown is listed, everything else is masked: a field that Capillary adds tomorrow is hidden by itself.
"""

import json
from typing import Any, Final

MASK: Final = "•••"

_SHOWN: Final = frozenset(
    {
        "eventName", "eventId", "orgId", "refId", "createdAt", "eventLogId", "apiRequestId", "loyaltyEventId", "id",
        "customerId", "entityId", "entityType", "groupId", "role", "loyaltyProgramId", "programId", "tierNumber",
        "tierName", "previousTierNumber", "upgradedTierNumber", "downgradedTierNumber", "currentTierNumber",
        "tierExpiryDate", "upgradeType", "downgradeType", "renewType", "enteredAt", "primaryMember", "isPrimary",
    }
)  # fmt: skip


def masked(body: bytes) -> str:
    """Show a body with personal data masked; one that cannot be read is masked as a whole."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return f"{MASK} ({len(body)} bytes that are not JSON)"
    try:
        return json.dumps(_walk(found, shown=False), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return f"{MASK} ({len(body)} bytes, nested too deeply)"


def plain(body: bytes) -> str:
    """Show a body as it came, laid out if it is JSON."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")


def _walk(value: Any, *, shown: bool) -> Any:
    match value:
        case dict():
            return {_key(key): _walk(inner, shown=key in _SHOWN) for key, inner in value.items()}
        case list():
            return [_walk(inner, shown=shown) for inner in value]
        case None | bool() | "":
            return value
        case _:
            return value if shown else MASK


def _key(key: str) -> str:
    """A field's name; whoever sends something else in its place does not get it shown."""
    return key if key.isidentifier() and len(key) <= 50 else MASK  # noqa: PLR2004
