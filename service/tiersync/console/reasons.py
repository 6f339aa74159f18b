"""Pure. Why work is dead, waiting or left alone, in words: what happened, and what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

SPENT: Final = "_attempts_spent"
THEN_REPLAY: Final = ", then replay"


@dataclass(frozen=True, slots=True)
class Why:
    """A reason in words. `do` is empty where nothing has to be done."""

    what: str
    do: str = ""


_TIER_SOURCE: Final = "set TIERSYNC_TIER_SOURCE=live, then replay"
_REPORT: Final = "report it: Capillary's API differs from what tiersync relies on"
_WAIT: Final = "wait until Capillary is well, then replay"

REASONS: Final[Mapping[str, Why]] = {
    # Refused for good.
    "customer_barred": Why("the customer's status forbids adjustments", "settle the fraud case, then replay"),
    "customer_not_found": Why("there is no such customer", "usually nothing: the customer was deleted"),
    "customer_merged": Why("the customer was merged into another one", "put the surviving customer into the group"),
    "customer_invalid": Why("the customer's id is not numeric", _REPORT),
    "tier_name_invalid": Why("the program has no tier of this name", f"the tier was renamed: {_TIER_SOURCE}"),
    "program_invalid": Why("the program's id is wrong", "correct TIERSYNC_DEFAULT_PROGRAM, then replay"),
    "program_unknown": Why("the event names no program", "set TIERSYNC_DEFAULT_PROGRAM, then replay"),
    "tier_name_unknown": Why("no tier is named, and the primary has moved on", f"none newer came? {_TIER_SOURCE}"),
    "primary_without_tier": Why("the primary holds no tier in the program", "enrol the primary, then replay"),
    "group_too_large": Why("the group has more members than allowed", "raise TIERSYNC_MEMBERS_MAX, then replay"),
    "group_invalid": Why("Capillary does not know the group", "look at the group in Capillary"),
    "not_in_group": Why("the customer is not in the group", "look at the group in Capillary"),
    "org_unknown": Why("the org is not configured", "configure the org, then replay"),
    "org_invalid": Why("Capillary does not know the org", "correct credentials or address, then replay"),
    "not_authorised": Why("the credentials lack a permission", "grant group read and tier adjustment, then replay"),
    "no_such_resource": Why("the API's address is wrong", "correct TIERSYNC_CAPILLARY_URL, then replay"),
    "redirected": Why("the API's address leads elsewhere", "correct TIERSYNC_CAPILLARY_URL, then replay"),
    "bad_request": Why("Capillary does not understand the call", _REPORT),
    "not_higher": Why("refused as not higher, though the member reads as lower", "look at the member in Capillary"),
    "refused": Why("Capillary refused without a documented reason", "read its code and message below"),
    # Passing faults.
    "rate_limited": Why("Capillary takes no more calls this minute", "set TIERSYNC_CALLS_PER_MINUTE_MAX to the quota"),
    "customer_locked": Why("another action runs for the customer", "replay"),
    "search_busy": Why("Capillary's search is busy", _WAIT),
    "server_error": Why("Capillary's server fails", _WAIT),
    "authorisation_down": Why("Capillary's authorisation is away", _WAIT),
    "batch_failed_partly": Why("Capillary did a part of it", _WAIT),
    "no_answer": Why("Capillary gives no answer in time", "look at network, address and TIERSYNC_CALL_S_MAX"),
    "not_connected": Why("Capillary cannot be reached", "look at network and address"),
    "unreadable_answer": Why("the answers are not Capillary's", "look for a proxy in between"),
    "not_authenticated": Why("Capillary does not accept the credentials", "correct the credentials, then replay"),
    "no_token": Why("no token is to be had", "correct the credentials, then replay"),
    "not_converging": Why("the call succeeds, the tier stays another one", "find who else adjusts these customers"),
    # Not readable.
    "not_json": Why("the body is not JSON", "find what sends it"),
    "not_one_event": Why("the body is a list of none or several events", "find what sends it"),
    "field_invalid": Why("a field of the body is wrong", "see the detail; replay once a newer tiersync reads it"),
    "field_missing": Why("a field of the body is missing", "see the detail; replay once a newer tiersync reads it"),
    "customer_disagrees": Why("the body names two customers", "find what sends it"),
    "program_disagrees": Why("the body names two programs", "find what sends it"),
    "org_missing": Why("the body names no org, and several are configured", "set the org where it is sent"),
    "content_encoding": Why("the body is not encoded as its header says", "find what sends it"),
    # None of our business.
    "echo": Why("our own adjustment came back"),
    "not_primary": Why("the customer leads no group"),
    "group_inactive": Why("the group is not active"),
    "group_without_primary": Why("the group has no primary"),
    "member_is_primary": Why("who joined leads the group"),
    "entity_is_group": Why("the event is about a group, not a customer"),
    "event_not_used": Why("an event of another kind"),
    "join_off": Why("joiners are left alone, by policy"),
    # Deliberately not made, or overtaken.
    "left": Why("the member has left the group"),
    "not_default_group": Why("the group is not the member's default group"),
    "above_primary": Why("the member is above the primary and may stay"),
    "stale": Why("a newer tier change was known already"),
    "overtaken": Why("a newer tier change came"),
}  # fmt: skip


def why(reason: str | None) -> Why:
    """Explain a reason as it is stored, one that outlasted its attempts too."""
    if not reason:
        return Why("")
    base = reason.removesuffix(SPENT)
    found = REASONS.get(base, Why(reason.replace("_", " ")))
    if base == reason:
        return found
    return Why(f"{found.what}; every attempt was spent", found.do)
