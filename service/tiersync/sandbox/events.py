"""Pure. Facts into webhook bodies, in every documented form (`contracts/capillary.md` 2.3 to 2.6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tiersync.loyalty.groups import Change, CustomerId, Group, People, Role
from tiersync.sandbox.amounts import plain
from tiersync.sandbox.switches import EventSwitches
from tiersync.sandbox.tiers import Activity, PointsContributed, Programme, TierChanged

TIER_NAMES = {"upgraded": "tierUpgraded", "downgraded": "tierDowngraded", "renewed": "tierRenewed"}
GROUP_NAMES = {
    "created": "groupCreated",
    "updated": "groupUpdated",
    "member_added": "groupMemberAdded",
    "member_removed": "groupMemberRemoved",
}
CONTRIBUTED = "pointsContributionToGroup"
EVENT_NAMES = (*TIER_NAMES.values(), *GROUP_NAMES.values(), CONTRIBUTED)
NUMBER_FIELDS = {"upgraded": "upgradedTierNumber", "downgraded": "downgradedTierNumber", "renewed": "currentTierNumber"}

Fact = TierChanged | Change | PointsContributed

TILL = {"code": "till.sandbox", "name": "Sandbox till"}
STORE = {"code": "store.sandbox", "name": "Sandbox store", "externalId": "", "externalId1": "", "externalId2": ""}
TILL_ID = 75_155_297


@dataclass(frozen=True, slots=True)
class Stamp:
    """What identifies one event."""

    event_id: str
    log_id: int
    org_id: int
    request_id: str
    created_at: datetime

    @property
    def created_ms(self) -> int:
        """Epoch milliseconds, as in `createdAt`."""
        return epoch_ms(self.created_at)


def epoch_ms(at: datetime) -> int:
    """Return whole milliseconds since 1970, without going through a float."""
    return int(at.timestamp()) * 1000 + at.microsecond // 1000


def name_of(fact: Fact) -> str | None:
    """Return the event name of a fact; None for what no event is documented for (a group's deletion)."""
    match fact:
        case PointsContributed():
            return CONTRIBUTED
        case TierChanged():
            return TIER_NAMES[fact.direction]
        case Change():
            return GROUP_NAMES.get(fact.kind)


def customer_of(fact: Fact) -> CustomerId | None:
    """Return whom a fact is about: the customer, or the member who came or went."""
    match fact:
        case TierChanged() | PointsContributed():
            return fact.customer
        case Change():
            return None if fact.member is None else fact.member.customer


def is_echo(fact: Fact) -> bool:
    """Say whether a fact comes from a manual adjustment."""
    return isinstance(fact, TierChanged) and fact.activity is Activity.MANUAL


def ref_id(fact: Fact, org_id: int) -> str:
    """Build `refId`: organisation and subject; for debugging only, not unique."""
    return f"{org_id}_{fact.group.id if isinstance(fact, Change) else fact.customer}"


def body(
    fact: Fact, stamp: Stamp, look: EventSwitches, people: People, group: Group | None, *, instore: bool
) -> dict[str, object] | list[object]:
    """Build the body of the event for a fact.

    `group` is the one whose primary the customer is; for a contribution the one that got the points. `instore`: the
    webhook has customer identifiers enriched by those of the channel INSTORE.
    """
    match fact:
        case TierChanged() if look.form == "minimal":
            whole: dict[str, object] = _minimal(fact)
        case TierChanged():
            whole = _envelope(
                TIER_NAMES[fact.direction], fact, stamp, _tier_data(fact, look, people if instore else None, group)
            )
        case PointsContributed():
            whole = _envelope(CONTRIBUTED, fact, stamp, _contribution_data(fact, look, people, group))
        case Change():
            whole = _envelope(GROUP_NAMES[fact.kind], fact, stamp, _group_data(fact, stamp, people))
    return _dressed(whole, look)


def _envelope(name: str, fact: Fact, stamp: Stamp, data: dict[str, object]) -> dict[str, object]:
    return {
        "eventName": name,
        "eventId": stamp.event_id,
        "eventLogId": stamp.log_id,
        "orgId": stamp.org_id,
        "refId": ref_id(fact, stamp.org_id),
        "apiRequestId": stamp.request_id,
        "loyaltyEventId": f"{stamp.log_id:x}" if not isinstance(fact, Change) else None,
        "createdAt": stamp.created_ms,
        "traceAttributes": {},
        "data": data,
    }


def _dressed(event: dict[str, object], look: EventSwitches) -> dict[str, object] | list[object]:
    """Apply what is the same for every event: the form, missing ids, floats, the wrapper."""
    if look.form == "enriched":
        event = {**event, "loyaltyEventId": None}
        for field in ("eventLogId", "traceAttributes"):
            event.pop(field, None)
    for field, look_of in (("eventId", look.event_id), ("orgId", look.org_id), ("eventLogId", look.event_log_id)):
        if look_of == "absent":
            event.pop(field, None)
    shown = floats(event) if look.numbers == "float" or look.form == "enriched" else event
    match look.wrapper:
        case "none":
            return shown if isinstance(shown, dict) else {}
        case "body":
            return {"body": shown}
        case "array":
            return [shown]


def floats(value: object) -> object:
    """Turn every number into a float, as the enriching step of the platform does (379499720.0)."""
    if isinstance(value, dict):
        return {key: floats(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [floats(inner) for inner in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


# Tiers.


def _tier_data(fact: TierChanged, look: EventSwitches, people: People | None, leads: Group | None) -> dict[str, object]:
    enriched, tier = look.form == "enriched", fact.standing.tier
    data: dict[str, object] = {}
    if look.customer_identifiers == "present":
        data["customerIdentifiers"] = _identifiers(None if enriched else people, fact.customer)
    if look.entity_information == "present":
        data["entityInformation"] = _entity(fact.customer, look, leads)
    if look.program_id == "present":
        data["loyaltyProgramId"] = fact.programme.id
    if look.program_details == "present":
        data["loyaltyProgramDetails"] = _program_details(fact.programme, "null" if enriched else look.tiers, enriched)
    if fact.direction != "renewed":
        data["previousTierNumber"] = fact.previous.number
    data[NUMBER_FIELDS[fact.direction]] = tier.number
    data["tierExpiryDate"] = fact.standing.expires.strftime("%Y-%m-%d")
    if fact.direction == "upgraded":
        data["notes"] = f"Upgrading to Slab : Slab[{tier.number}]: Name {tier.name}"
        data["upgradeType"] = "STRATEGY"
    elif fact.direction == "renewed":
        # The sample counts tiers from 1 in upgrades and from 0 here; nobody should parse this text.
        data["notes"] = f"Renewing to Slab : Slab[{tier.number - 1}]: Name {tier.name}"
        data["renewType"] = "STRATEGY"
    if look.triggering_activity != "absent":
        empty = look.triggering_activity == "empty"
        data["triggeringActivity"] = {} if empty else _activity(fact.activity, fact.customer, enriched)
    return data


def _minimal(fact: TierChanged) -> dict[str, object]:
    return {
        "eventName": TIER_NAMES[fact.direction],
        "data": {
            "entityInformation": {"entityId": fact.customer},
            "loyaltyProgramDetails": {"tiers": _tiers(fact.programme)},
            NUMBER_FIELDS[fact.direction]: fact.standing.tier.number,
        },
    }


def _entity(customer: CustomerId, look: EventSwitches, leads: Group | None) -> dict[str, object]:
    match look.entity_type:
        case "USER":
            return {"entityType": "USER", "entityId": customer}
        case "USERGROUP2":
            return {"entityType": "USERGROUP2", "entityId": leads.id if leads else customer}
        case "absent":
            return {"entityId": customer}


def _program_details(programme: Programme, tiers: str, enriched: bool) -> dict[str, object]:  # noqa: FBT001 - a form
    details: dict[str, object] = {
        "id": programme.id,
        "name": programme.name,
        "isDefault": None if enriched else programme.default,
        "pointsToCurrencyRatio": plain(programme.ratio),
    }
    if tiers != "absent":
        details["tiers"] = None if tiers == "null" else _tiers(programme)
    return details


def _tiers(programme: Programme) -> list[dict[str, object]]:
    return [{"tierNumber": tier.number, "tierName": tier.name} for tier in programme.tiers]


def _activity(activity: Activity, customer: CustomerId, enriched: bool) -> dict[str, object]:  # noqa: FBT001 - a form
    if enriched:
        empty = dict.fromkeys(("additionalAttributes", "enteredBy", "entityInformation", "identifiers"))
        return {**empty, "name": str(activity)}
    return {
        "name": str(activity),
        "identifiers": [{"key": "customerId", "value": str(customer)}],
        "enteredBy": {"id": TILL_ID, "till": TILL, "store": STORE},
        "entityInformation": None,
        "additionalAttributes": [],
    }


def _identifiers(people: People | None, customer: CustomerId) -> dict[str, object]:
    person = None if people is None else people.get(customer)
    found: dict[str, object] = {"customerId": customer}
    if person is not None:
        instore = {"mobile": person.mobile, "email": person.email, "externalId": person.external_id}
        if any(instore.values()):
            found["instore"] = {key: value for key, value in instore.items() if value}
    return found


# Groups.


def _contribution_data(
    fact: PointsContributed, look: EventSwitches, people: People, group: Group | None
) -> dict[str, object]:
    enriched = look.form == "enriched"
    primary = None if group is None else group.primary
    data: dict[str, object] = {
        "groupId": fact.group,
        "groupName": "" if group is None else group.name,
        "primaryMember": None if primary is None else _member(people, primary, Role.PRIMARY),
        "contributingMember": _member(people, fact.customer, _role(fact.customer, primary)),
        "triggeringActivity": _activity(Activity.TRANSACTION, fact.customer, enriched),
        "loyaltyProgramId": fact.programme.id,
        "pointsContributedToGroup": plain(fact.points),
    }
    if look.program_details == "present":
        data["loyaltyProgramDetails"] = _program_details(fact.programme, "null" if enriched else look.tiers, enriched)
    return data


def _role(customer: CustomerId, primary: CustomerId | None) -> Role:
    return Role.PRIMARY if customer == primary else Role.SECONDARY


def _group_data(change: Change, stamp: Stamp, people: People) -> dict[str, object]:
    group = change.group
    primary = group.primary
    if primary is None and change.member is not None and change.member.role is Role.PRIMARY:
        primary = change.member.customer  # the one who just left is still who the group was known by
    data: dict[str, object] = {
        "groupId": group.id,
        "groupName": group.name,
        "primaryMember": None if primary is None else _member(people, primary, Role.PRIMARY),
    }
    if change.member is not None:
        field = "memberAdded" if change.kind == "member_added" else "memberRemoved"
        data[field] = _member(people, change.member.customer, change.member.role)
    data["enteredAt"] = stamp.created_ms
    data["enteredBy"] = {"user": {"username": "sandbox"}, "id": TILL_ID, "till": TILL, "store": STORE}
    return data


def _member(people: People, customer: CustomerId, role: Role) -> Mapping[str, object]:
    person = people.get(customer)
    return {
        "firstName": person.first_name if person else "",
        "lastName": person.last_name if person else "",
        "role": str(role),
        "customerIdentifiers": {"customerId": customer},
    }
