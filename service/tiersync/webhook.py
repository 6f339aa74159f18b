"""Pure. What a webhook body says.

`read` turns the raw bytes of one delivery into a `Reading`. It accepts every form in which Capillary is known to send
an event (contracts/capillary.md 2.2-2.6): numbers as floats, the event wrapped in `{"body": ...}` or in an array of
one, the customer in either of two places, `tiers` null or absent, unknown extra fields. What it cannot accept it
calls `Unreadable`, with a reason and a sentence that names the field; it never raises.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

INT64_MAX: Final = 2**63 - 1
_WRAPPERS_MAX: Final = 4
_ID_CHARS_MAX: Final = 200


class Action(StrEnum):
    """What happened to a tier, or what is to be done to one."""

    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    RENEW = "renew"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every event carries.

    `org` and `created_at` (epoch milliseconds, when Capillary stored the event) are None where the body does not say.
    `event_id` is the event's own id, or a digest of the body if it has none.
    """

    org: int | None
    event_id: str
    name: str
    created_at: int | None = None
    event_log_id: int | None = None


@dataclass(frozen=True, slots=True)
class TierChange:
    """A customer's tier was changed or renewed. `tier_name` is None if the event does not name its tiers."""

    envelope: Envelope
    program: int | None
    customer: int
    action: Action
    tier_number: int
    tier_name: str | None
    expiry: date | None


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """A customer joined or left the group of a primary."""

    envelope: Envelope
    group: int
    primary: int | None
    member: int
    joined: bool


@dataclass(frozen=True, slots=True)
class Repair:
    """A reconcile found `members` elsewhere than their primary, which held this tier then. Written by tiersync itself.

    `may_lower`: whoever is above it may be brought down.
    """

    envelope: Envelope
    group: int
    program: int
    primary: int
    members: tuple[int, ...]
    tier_number: int
    tier_name: str
    expiry: date | None
    may_lower: bool


@dataclass(frozen=True, slots=True)
class Ignored:
    """Authentic and readable, but nothing that tiersync acts on."""

    envelope: Envelope
    reason: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Authentic, but not understood. `detail` names the field and what is wrong with it."""

    envelope: Envelope
    reason: str
    detail: str


Reading = TierChange | MembershipChange | Repair | Ignored | Unreadable


def digest(body: bytes) -> str:
    """Identify a body that has no id of its own."""
    return f"sha256:{sha256(body).hexdigest()}"


def _whole(value: Any) -> Any:
    """Accept 876, 876.0 and "876"; refuse what is not a whole number of 64 bits. Never expand an exponent first."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        number = value
    elif isinstance(value, Decimal) and value.is_finite() and -INT64_MAX <= value <= INT64_MAX:
        if value != value.to_integral_value():
            raise PydanticCustomError("whole", "must be a whole number, it has a fraction")
        number = int(value)
    elif isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(INT64_MAX)):
        number = int(value)
    else:
        raise PydanticCustomError("whole", "must be a whole number")
    if number is not None and not 0 <= number <= INT64_MAX:
        raise PydanticCustomError("whole", "must be between 0 and 2^63-1")
    return number


def _text(value: Any) -> Any:
    """Accept any text that both databases can hold."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise PydanticCustomError("text", "must be a string")
    if "\x00" in value or not (value.isascii() or all(not "\ud800" <= char <= "\udfff" for char in value)):
        raise PydanticCustomError("text", "must be valid text")
    return value


Whole = Annotated[int | None, BeforeValidator(_whole)]
Positive = Annotated[Annotated[int, Field(gt=0)] | None, BeforeValidator(_whole)]
Text = Annotated[str | None, BeforeValidator(_text)]
ShortText = Annotated[Annotated[str, Field(max_length=_ID_CHARS_MAX)] | None, BeforeValidator(_text)]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel)


M = TypeVar("M", bound=_Wire)


class _Event(_Wire):
    event_name: Annotated[str, BeforeValidator(_text), Field(min_length=1, max_length=_ID_CHARS_MAX)]
    event_id: ShortText = None
    org_id: Positive = None
    created_at: Whole = None
    event_log_id: Whole = None
    data: Any = None


class _Identifiers(_Wire):
    customer_id: Positive = None


class _Entity(_Wire):
    entity_id: Positive = None
    entity_type: Text = None


class _Program(_Wire):
    id: Positive = None
    tiers: Any = None


class _TierData(_Wire):
    customer_identifiers: _Identifiers | None = None
    entity_information: _Entity | None = None
    loyalty_program_id: Positive = None
    loyalty_program_details: _Program | None = None
    upgraded_tier_number: Positive = None
    downgraded_tier_number: Positive = None
    current_tier_number: Positive = None
    tier_expiry_date: Any = None


class _Member(_Wire):
    customer_identifiers: _Identifiers | None = None


class _MembershipData(_Wire):
    group_id: Positive = None
    primary_member: _Member | None = None
    member_added: _Member | None = None
    member_removed: _Member | None = None


class _RepairData(_Wire):
    group_id: Annotated[int, Field(gt=0), BeforeValidator(_whole)]
    loyalty_program_id: Annotated[int, Field(gt=0), BeforeValidator(_whole)]
    customer_id: Annotated[int, Field(gt=0), BeforeValidator(_whole)]
    members: tuple[Annotated[int, Field(gt=0), BeforeValidator(_whole)], ...]
    tier_number: Annotated[int, Field(gt=0), BeforeValidator(_whole)]
    tier_name: Annotated[str, BeforeValidator(_text)]
    tier_expiry_date: Any = None
    may_lower: bool = False


TIER_EVENTS: Final[Mapping[str, tuple[Action, str]]] = {
    "tierUpgraded": (Action.UPGRADE, "upgraded_tier_number"),
    "tierDowngraded": (Action.DOWNGRADE, "downgraded_tier_number"),
    "tierRenewed": (Action.RENEW, "current_tier_number"),
}
MEMBERSHIP_EVENTS: Final[Mapping[str, tuple[bool, str]]] = {
    "groupMemberAdded": (True, "memberAdded"),
    "groupMemberRemoved": (False, "memberRemoved"),
}

REPAIR_EVENT: Final = "tiersync.reconcile"


class _Refusal(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def read(body: bytes) -> Reading:
    """Read one delivery. `body` is the request body after content decoding."""
    try:
        event = _validated(_Event, _unwrapped(_json(body)), ())
    except _Refusal as refusal:
        return Unreadable(Envelope(org=None, event_id=digest(body), name=""), refusal.reason, refusal.detail)
    envelope = Envelope(
        org=event.org_id,
        event_id=event.event_id or digest(body),
        name=event.event_name,
        created_at=event.created_at,
        event_log_id=event.event_log_id,
    )
    try:
        if event.event_name in TIER_EVENTS:
            return _tier_change(envelope, _validated(_TierData, event.data, ("data",)))
        if event.event_name in MEMBERSHIP_EVENTS:
            return _membership_change(envelope, _validated(_MembershipData, event.data, ("data",)))
        if event.event_name == REPAIR_EVENT:
            return _repair(envelope, _validated(_RepairData, event.data, ("data",)))
    except _Refusal as refusal:
        # Known by its digest, not by the id it claims: a readable delivery of that id may follow, and is no duplicate.
        known = Envelope(envelope.org, digest(body), envelope.name, envelope.created_at, envelope.event_log_id)
        return Unreadable(known, refusal.reason, refusal.detail)
    return Ignored(envelope, "event_not_used")


def _json(body: bytes) -> Any:
    try:
        return _DECODER.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
    except (ValueError, RecursionError) as error:
        kind = "nested too deeply" if isinstance(error, RecursionError) else "not JSON"
        raise _Refusal("not_json", f"body: {kind}") from error


def _number(literal: str) -> Decimal:
    try:
        return Decimal(literal)
    except InvalidOperation:  # an exponent beyond all bounds: no number that any field accepts
        return Decimal("Infinity")


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_float=_number, parse_constant=_refuse)


def _unwrapped(value: Any) -> Any:
    for _ in range(_WRAPPERS_MAX):
        if isinstance(value, list):
            if len(value) != 1:
                raise _Refusal("not_one_event", f"body: an array of {len(value)}, expected one event")
            value = value[0]
        elif isinstance(value, dict) and "eventName" not in value and isinstance(value.get("body"), (dict, list)):
            value = value["body"]
        else:
            break
    return value


def _validated(model: type[M], value: Any, at: tuple[str, ...]) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in (*at, *first["loc"])) or "body"
        problem = "must be an object" if first["type"] == "model_type" else first["msg"]
        raise _Refusal("field_invalid", f"{field}: {problem}") from error


def _tier_change(envelope: Envelope, data: _TierData) -> TierChange | Ignored:
    entity = data.entity_information or _Entity()
    if (entity.entity_type or "").upper() == "USERGROUP2":
        return Ignored(envelope, "entity_is_group")
    action, number_of = TIER_EVENTS[envelope.name]
    number = getattr(data, number_of)
    if number is None:
        raise _Refusal("field_missing", f"data.{to_camel(number_of)}: missing")
    details = data.loyalty_program_details or _Program()
    return TierChange(
        envelope=envelope,
        program=_program(data.loyalty_program_id, details.id),
        customer=_customer((data.customer_identifiers or _Identifiers()).customer_id, entity),
        action=action,
        tier_number=number,
        tier_name=_tier_name(details.tiers, number),
        expiry=_date(data.tier_expiry_date),
    )


def _customer(customer: int | None, entity: _Entity) -> int:
    if customer is None:
        if entity.entity_id is None:
            raise _Refusal(
                "field_missing", "data.customerIdentifiers.customerId: missing, and no data.entityInformation.entityId"
            )
        return entity.entity_id
    # An entity of another type (a till, a placeholder) may well have another id; only a person's must agree.
    if entity.entity_id not in (None, customer) and (entity.entity_type or "USER").upper() == "USER":
        raise _Refusal(
            "customer_disagrees",
            "data.customerIdentifiers.customerId and data.entityInformation.entityId name different customers",
        )
    return customer


def _program(program: int | None, details: int | None) -> int | None:
    if program is not None and details not in (None, program):
        raise _Refusal(
            "program_disagrees", "data.loyaltyProgramId and data.loyaltyProgramDetails.id name different programs"
        )
    return program if program is not None else details


def _tier_name(tiers: Any, number: int) -> str | None:
    """Name the tier, or None where the list is absent, broken or ambiguous: the caller then asks Capillary."""
    names = set()
    for tier in tiers if isinstance(tiers, list) else ():
        try:
            if isinstance(tier, dict) and _whole(tier.get("tierNumber")) == number and _text(tier.get("tierName")):
                names.add(tier["tierName"])
        except PydanticCustomError:
            return None
    return names.pop() if len(names) == 1 else None


def _date(value: Any) -> date | None:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def _membership_change(envelope: Envelope, data: _MembershipData) -> MembershipChange:
    joined, member_field = MEMBERSHIP_EVENTS[envelope.name]
    primary = _member_id(data.primary_member)
    member = _member_id(data.member_added if joined else data.member_removed)
    if member is None:
        raise _Refusal("field_missing", f"data.{member_field}.customerIdentifiers.customerId: missing")
    if data.group_id is None:
        raise _Refusal("field_missing", "data.groupId: missing")
    return MembershipChange(envelope, data.group_id, primary, member, joined)


def _member_id(member: _Member | None) -> int | None:
    return member.customer_identifiers.customer_id if member and member.customer_identifiers else None


def _repair(envelope: Envelope, data: _RepairData) -> Repair:
    return Repair(
        envelope=envelope,
        group=data.group_id,
        program=data.loyalty_program_id,
        primary=data.customer_id,
        members=tuple(dict.fromkeys(data.members)),
        tier_number=data.tier_number,
        tier_name=data.tier_name,
        expiry=_date(data.tier_expiry_date),
        may_lower=data.may_lower,
    )
