"""Pure. Every code that Capillary documents for the calls tiersync makes, and what each one means to it.

Read by `outcome`; shown in docs/codes.md. Sources: contracts/capillary.md 1.5 (requests), 3.4 (groups), 3.6
(adjustments).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Reaction(StrEnum):
    """What a code calls for."""

    SOON = "soon"  # again within the same attempt, after a moment
    LATER = "later"  # again by the long schedule
    REFUSED = "refused"  # never again by itself
    READ_BACK = "read back"  # read the tier, then decide
    NOT_PRIMARY = "not a primary"  # the customer leads no group


@dataclass(frozen=True, slots=True)
class Code:
    """One documented code. `in_doubt`: the call may have had its effect although it says it failed."""

    reaction: Reaction
    reason: str
    meaning: str
    in_doubt: bool = False


CODES: Final[Mapping[int, Code]] = {
    201: Code(Reaction.LATER, "batch_failed_partly", "one or more requests of a batch failed", in_doubt=True),
    400: Code(Reaction.REFUSED, "refused", "invalid input, path or attribution"),
    401: Code(Reaction.LATER, "not_authenticated", "authentication failed, after one fresh token"),
    403: Code(Reaction.REFUSED, "not_authorised", "v2 is not enabled, a field is missing, or access is denied"),
    404: Code(Reaction.REFUSED, "no_such_resource", "wrong resource: check the base address"),
    405: Code(Reaction.REFUSED, "bad_request", "wrong method"),
    408: Code(Reaction.LATER, "server_error", "the server gave up waiting", in_doubt=True),
    415: Code(Reaction.REFUSED, "bad_request", "wrong media type"),
    429: Code(Reaction.LATER, "rate_limited", "more calls in this minute than allowed"),
    461: Code(Reaction.SOON, "search_busy", "the search engine is busy"),
    500: Code(Reaction.LATER, "server_error", "the request failed", in_doubt=True),
    502: Code(Reaction.LATER, "server_error", "a gateway had no answer", in_doubt=True),
    503: Code(Reaction.LATER, "server_error", "the service is not available", in_doubt=True),
    504: Code(Reaction.LATER, "server_error", "a gateway waited too long", in_doubt=True),
    521: Code(Reaction.SOON, "customer_locked", "another action runs for the same customer"),
    1060: Code(Reaction.REFUSED, "bad_request", "batch limit exceeded"),
    1061: Code(Reaction.REFUSED, "bad_request", "half of an attribution pair is missing"),
    1064: Code(Reaction.REFUSED, "org_invalid", "the org id is invalid"),
    1101: Code(Reaction.REFUSED, "program_invalid", "the programId is invalid"),
    1619: Code(Reaction.REFUSED, "group_invalid", "the group id is invalid"),
    1620: Code(Reaction.REFUSED, "not_in_group", "the user is not in the group"),
    1621: Code(Reaction.REFUSED, "customer_not_found", "the user does not exist"),
    1632: Code(Reaction.NOT_PRIMARY, "not_primary", "no group has this primary"),
    1635: Code(Reaction.REFUSED, "bad_request", "the group's query parameter is missing"),
    3045: Code(Reaction.REFUSED, "customer_barred", "adjustments are not allowed for this customer, by its status"),
    4000: Code(Reaction.REFUSED, "not_authorised", "the credentials lack the permission"),
    4001: Code(Reaction.SOON, "authorisation_down", "the authorisation status is not available"),
    8015: Code(Reaction.REFUSED, "customer_not_found", "the customer does not exist"),
    8069: Code(Reaction.REFUSED, "customer_merged", "the customer was merged into another one"),
    8917: Code(Reaction.REFUSED, "bad_request", "slabAction is not set"),
    8920: Code(Reaction.REFUSED, "bad_request", "manualSlabActionValidity is not set"),
    8921: Code(Reaction.REFUSED, "bad_request", "manualSlabActionValidityUpto is not an integer"),
    8923: Code(Reaction.REFUSED, "tier_name_invalid", "the program has no tier of this name"),
    8925: Code(Reaction.READ_BACK, "not_higher", "the target tier is not higher than the current one"),
    11030: Code(Reaction.REFUSED, "customer_invalid", "identifierValue is not numeric"),
}
