"""Reading customers and their tiers (`contracts/capillary.md` 3.5, 3.7).

Which fields `includedAllUserGroup2` adds is not documented; `userGroups2` here is ours.
"""

from tiersync.errors import LoyaltyError
from tiersync.loyalty.groups import Code, CustomerId, Group, GroupId, Person, refuse
from tiersync.sandbox.adjusting import AdjustCode
from tiersync.sandbox.answers import Answer
from tiersync.sandbox.ask import Ask
from tiersync.sandbox.calls import Call
from tiersync.sandbox.core import holder_of
from tiersync.sandbox.desk import Desk
from tiersync.sandbox.ids import customer_id, group_id
from tiersync.sandbox.routes_groups import summaries
from tiersync.sandbox.summaries import expiry_schedules, gaps, points_summary
from tiersync.sandbox.tiers import Programme, stamp_iso
from tiersync.sandbox.verbs import Verb
from tiersync.sandbox.world import World

LOOKUPS = ("id", "mobile", "email", "externalId", "cardnumber", "cardExternalId")


def about_path(world: World, ask: Ask) -> CustomerId | None:  # noqa: ARG001 - one of several ways to find a customer
    """Say whom `/v2/customers/{id}` is about."""
    return customer_id(ask.params["id"])


def about_lookup(world: World, ask: Ask) -> CustomerId | None:
    """Say whom a lookup is about, as far as that can be seen."""
    name, value = ask.query.get("identifierName", ""), ask.query.get("identifierValue", "")
    if name == "id":
        return customer_id(value)
    person = world.people.find(name, value)
    return None if person is None else person.id


def get(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Return one customer."""
    return _details(desk, ask, person_of(desk.world, call))


def lookup(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Return one customer by an identifier."""
    return _details(desk, ask, _looked_up(desk.world, ask, call))


def tier_details(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Return the tier of one customer, in one programme or all."""
    return _tiers(desk, ask, person_of(desk.world, call))


def lookup_tier_details(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Return the tier of one customer by an identifier."""
    if ask.query.get("entityType", "CUSTOMER") != "CUSTOMER":
        raise LoyaltyError("entityType must be CUSTOMER", AdjustCode.INVALID)
    return _tiers(desk, ask, _looked_up(desk.world, ask, call))


def person_of(world: World, call: Call) -> Person:
    """Return whom a call is about; refuses with 8015."""
    if call.customer is None:
        raise LoyaltyError("Customer not found", AdjustCode.CUSTOMER_UNKNOWN)
    return world.people.require(CustomerId(call.customer))


def _looked_up(world: World, ask: Ask, call: Call) -> Person:
    if ask.require("identifierName") not in LOOKUPS:
        raise LoyaltyError(f"identifierName must be one of {', '.join(LOOKUPS)}", AdjustCode.INVALID)
    ask.require("identifierValue")
    return person_of(world, call)


def _tiers(desk: Desk, ask: Ask, person: Person) -> Answer:
    """Pick the programmes: the one named, the default one, or all with `fetchDataForAllPrograms`."""
    world = desk.world
    if ask.flag("fetchDataForAllPrograms"):
        programmes = list(world.programmes)
    elif "programId" in ask.query:
        programmes = [world.programmes.find(ask.query["programId"])]
    else:
        programmes = [world.programmes.default()]
    tiers = [_tier(world, ask, programme, person.id) for programme in programmes]
    return Answer({"entityId": person.id, "entityType": "CUSTOMER", "programTiers": tiers, "warnings": []})


def _tier(world: World, ask: Ask, programme: Programme, customer: CustomerId) -> dict[str, object]:
    standing = world.places.standing(programme, customer)
    above = programme.above(standing.tier)
    return {
        "programId": programme.id,
        "currentTierName": standing.tier.name,
        "currentTierSerialNumber": standing.tier.number,
        "tierExpiryDate": standing.expires.strftime("%Y-%m-%d %H:%M:%S"),
        "tierExpiryDateISO": stamp_iso(standing.expires),
        "nextTierName": above.name if above else "",
        "nextTierSerialNumber": above.number if above else -1,
        **gaps(world, ask, programme, holder_of(customer), standing),
    }


def _details(desk: Desk, ask: Ask, person: Person) -> Answer:
    world, holder = desk.world, holder_of(person.id)
    body: dict[str, object] = {
        "id": person.id,
        "profiles": [
            {
                "firstName": person.first_name,
                "lastName": person.last_name,
                "userId": person.id,
                "source": "INSTORE",
                "identifiers": identifiers(person),
            }
        ],
        "loyaltyInfo": {"loyaltyType": "loyalty"},
        "status": person.status,
        "createDate": stamp_iso(person.registered_on),
        "pointsSummaries": [
            points_summary(world, each, holder, world.places.standing(each, person.id), ask.now)
            for each in world.programmes
        ],
        "expirySchedules": expiry_schedules(world, holder, ask.now),
    }
    if ask.flag("includedAllUserGroup2") or "userGroup2Id" in ask.query:
        body["userGroups2"] = [_group(desk, ask, group, person) for group in _groups(desk.world, ask, person)]
    association = desk.fleets.shown(person.id)
    if association is not None:
        body["associationDetails"] = association
    return Answer({**body, "warnings": []})


def _groups(world: World, ask: Ask, person: Person) -> list[Group]:
    """Pick the groups: all of the customer, or the one named. Refuses with 1632 and 1620."""
    if "userGroup2Id" not in ask.query:
        return list(world.register.groups_of(person.id))
    number = group_id(ask.query["userGroup2Id"])
    group = world.register.find(group=GroupId(-1) if number is None else number)
    if world.register.membership(group.id, person.id) is None:
        raise refuse(Code.NOT_IN_GROUP, str(person.id))
    return [group]


def _group(desk: Desk, ask: Ask, group: Group, person: Person) -> dict[str, object]:
    row = desk.world.register.membership(group.id, person.id)
    shown: dict[str, object] = {
        "groupId": group.id,
        "externalId": group.external_id,
        "groupName": group.name,
        "groupStatus": str(group.status),
        "primary": group.primary == person.id,
        "defaultGroup": row is not None and row.default,
    }
    if ask.flag("includedUserGroup2LoyaltyDetails"):
        shown["pointsSummaries"] = summaries(desk, group, ask.now)
    return shown


def identifiers(person: Person) -> list[dict[str, str]]:
    """List what a customer can be found by."""
    pairs = (
        ("email", person.email),
        ("externalId", person.external_id),
        ("mobile", person.mobile),
        ("cardnumber", person.card_number),
    )
    return [{"type": kind, "value": value} for kind, value in pairs if value]


LOOKUP_QUERY = (("source", "INSTORE"), ("identifierName*", "mobile"), ("identifierValue*", "919988123456"))
PROGRAM_QUERY = (
    ("programId", "973"),
    ("fetchDataForAllPrograms", "false"),
    ("gapToUpgradeFor", "true"),
    ("gapToRenewFor", "true"),
)
GROUPS_QUERY = (("includedAllUserGroup2", "true"), ("includedUserGroup2LoyaltyDetails", "true"))
CUSTOMER_EXAMPLE = {"id": 566998132, "profiles": [{"firstName": "Father", "userId": 566998132}], "warnings": []}
TIER_EXAMPLE = {
    "entityId": 566998132,
    "entityType": "CUSTOMER",
    "programTiers": [
        {
            "programId": 973,
            "currentTierName": "Silver",
            "currentTierSerialNumber": 1,
            "tierExpiryDate": "2125-03-26 23:59:59",
            "tierExpiryDateISO": "2125-03-26T23:59:59Z",
            "nextTierName": "Gold",
            "nextTierSerialNumber": 2,
        }
    ],
    "warnings": [],
}

VERBS = (
    Verb(
        "GET",
        "/v2/customers/lookup/tierDetails",
        lookup_tier_details,
        "Tier of a customer by identifier",
        "v2",
        "tiers",
        customer=about_lookup,
        query=(*LOOKUP_QUERY, ("entityType", "CUSTOMER"), *PROGRAM_QUERY),
        example=TIER_EXAMPLE,
    ),
    Verb(
        "GET",
        "/v2/customers/lookup/customerDetails",
        lookup,
        "A customer by identifier",
        "v2",
        "customers",
        customer=about_lookup,
        query=(*LOOKUP_QUERY, *GROUPS_QUERY),
        example=CUSTOMER_EXAMPLE,
    ),
    Verb(
        "GET",
        "/v2/customers/{id}/tierDetails",
        tier_details,
        "Tier of a customer",
        "v2",
        "tiers",
        customer=about_path,
        query=PROGRAM_QUERY,
        example=TIER_EXAMPLE,
    ),
    Verb(
        "GET",
        "/v2/customers/{id}",
        get,
        "A customer",
        "v2",
        "customers",
        customer=about_path,
        query=(("source", "INSTORE"), *GROUPS_QUERY, ("userGroup2Id", "3918893")),
        example=CUSTOMER_EXAMPLE,
    ),
)
