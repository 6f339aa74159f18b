"""Pure. What calls and events of the demo are called on its timeline."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

_CODES: Final[Mapping[int, str]] = {
    429: "too many calls",
    461: "search is busy",
    521: "customer is locked",
    3045: "not allowed for this customer",
    4001: "authorisation is down",
    8925: "already there, or past it",
}
_SUCCEEDED: Final = range(200, 300)


def asked(call: Mapping[str, Any], names: Mapping[int, str]) -> str:
    """What a call was for."""
    name = names.get(call["customer"], str(call["customer"] or "?"))
    match call["family"]:
        case "groups":
            return f"reads the group of {name}"
        case "tiers":
            return f"reads the tier of {name}"
        case "adjust" if call["action"] is None:
            return f"adjusts {name}"
        case "adjust":
            to = f" to {call['tier']}" if call["tier"] else ""
            return f"adjusts {name}: {call['action']}{to}"
        case family:
            return f"{call['method']} {family}"


def answered(call: Mapping[str, Any]) -> tuple[str, bool]:
    """How a call was answered, and whether that was bad."""
    if call["status"] is None:
        return f"no answer, {'but it took effect' if call['effect'] else 'and no effect'}", True
    said = f"{call['status']}"
    code = call["code"] or call["status"]
    if code in _CODES:
        said += f" {_CODES[code]}" if code == call["status"] else f" code {code}, {_CODES[code]}"
    return said, call["status"] not in _SUCCEEDED


def happened(adjustments: Sequence[Mapping[str, Any]], names: Mapping[int, str]) -> str:
    """What became of the adjustments of an event."""
    counts = Counter(row["outcome"] if row["status"] == "done" else row["status"] for row in adjustments)
    dead = [f"{names[row['member']]}: {row['reason']}" for row in adjustments if row["status"] == "dead"]
    return ", ".join(f"{count} {what}" for what, count in counts.items()) + (f" ({'; '.join(dead)})" if dead else "")
