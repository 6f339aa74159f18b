"""Customers and their tiers (`contracts/capillary.md` 3.5, 3.7).

Which fields `includedAllUserGroup2` adds is not documented; `userGroups2` here is ours.
"""

from tiersync.errors import LoyaltyError
from tiersync.loyalty.groups import CustomerId, Person
from tiersync.sandbox.adjusting import AdjustCode
from tiersync.sandbox.answers import Answer
from tiersync.sandbox.ask import Ask
from tiersync.sandbox.calls import Call
from tiersync.sandbox.desk import Desk
from tiersync.sandbox.ids import customer_id
from tiersync.sandbox.tiers import Programme, stamp_iso
from tiersync.sandbox.verbs import Verb
from tiersync.sandbox.world import FIRST_CUSTOMER_ID, World

LOOKUPS = ("id", "mobile", "email", "externalId", "cardnumber", "cardExternalId")
NAME_LENGTH_MAX = 255


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


def create(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Register a customer."""
    profiles = ask.fields().get("profiles")
    profile = profiles[0] if isinstance(profiles, list) and profiles else None
    if not isinstance(profile, dict):
        raise LoyaltyError("profiles must have one profile", AdjustCode.INVALID)
    given: dict[str, str] = {}
    identifiers = profile.get("identifiers")
    for each in identifiers if isinstance(identifiers, list) else ():
        if isinstance(each, dict) and isinstance(each.get("type"), str) and isinstance(each.get("value"), str):
            given[each["type"]] = each["value"][:NAME_LENGTH_MAX]
    if not any(given.get(name) for name in LOOKUPS[1:]):
        raise LoyaltyError(f"identifiers need one of {', '.join(LOOKUPS[1:])}", AdjustCode.INVALID)
    person = desk.world.people.add(
        Person(
            id=desk.world.people.next_id(FIRST_CUSTOMER_ID),
            registered_on=ask.now,
            first_name=_text(profile.get("firstName")),
            last_name=_text(profile.get("lastName")),
            mobile=given.get("mobile"),
            email=given.get("email"),
            external_id=given.get("externalId"),
            card_number=given.get("cardnumber") or given.get("cardExternalId"),
        )
    )
    call.customer, call.effect = None, True
    return Answer({"createdId": person.id, "warnings": []})


def get(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Return one customer."""
    return _details(desk, ask, _person(desk.world, call))


def lookup(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Return one customer by an identifier."""
    return _details(desk, ask, _looked_up(desk.world, ask, call))


def tier_details(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Return the tier of one customer, in one programme or all."""
    return _tiers(desk, ask, _person(desk.world, call))


def lookup_tier_details(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Return the tier of one customer by an identifier."""
    if ask.query.get("entityType", "CUSTOMER") != "CUSTOMER":
        raise LoyaltyError("entityType must be CUSTOMER", AdjustCode.INVALID)
    return _tiers(desk, ask, _looked_up(desk.world, ask, call))


def _person(world: World, call: Call) -> Person:
    if call.customer is None:
        raise LoyaltyError("Customer not found", AdjustCode.CUSTOMER_UNKNOWN)
    return world.people.require(CustomerId(call.customer))


def _looked_up(world: World, ask: Ask, call: Call) -> Person:
    if ask.require("identifierName") not in LOOKUPS:
        raise LoyaltyError(f"identifierName must be one of {', '.join(LOOKUPS)}", AdjustCode.INVALID)
    ask.require("identifierValue")
    return _person(world, call)


def _tiers(desk: Desk, ask: Ask, person: Person) -> Answer:
    """Pick the programmes: the one named, the default one, or all with `fetchDataForAllPrograms`."""
    world = desk.world
    if ask.flag("fetchDataForAllPrograms"):
        programmes = list(world.programmes.values())
    elif "programId" in ask.query:
        programmes = [world.programme(ask.query["programId"])]
    else:
        programmes = [world.default_programme()]
    tiers = [_tier(world, programme, person.id) for programme in programmes]
    return Answer({"entityId": person.id, "entityType": "CUSTOMER", "programTiers": tiers, "warnings": []})


def _tier(world: World, programme: Programme, customer: CustomerId) -> dict[str, object]:
    standing = world.standing(programme, customer)
    above = programme.above(standing.tier)
    return {
        "programId": programme.id,
        "currentTierName": standing.tier.name,
        "currentTierSerialNumber": standing.tier.number,
        "tierExpiryDate": standing.expires.strftime("%Y-%m-%d %H:%M:%S"),
        "tierExpiryDateISO": stamp_iso(standing.expires),
        "nextTierName": above.name if above else "",
        "nextTierSerialNumber": above.number if above else -1,
    }


def _details(desk: Desk, ask: Ask, person: Person) -> Answer:
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
    }
    if ask.flag("includedAllUserGroup2"):
        body["userGroups2"] = [
            {"groupId": group.id, "externalId": group.external_id, "primary": group.primary == person.id}
            for group in desk.world.register.groups_of(person.id)
        ]
    return Answer({**body, "warnings": []})


def identifiers(person: Person) -> list[dict[str, str]]:
    """List what a customer can be found by."""
    pairs = (
        ("email", person.email),
        ("externalId", person.external_id),
        ("mobile", person.mobile),
        ("cardnumber", person.card_number),
    )
    return [{"type": kind, "value": value} for kind, value in pairs if value]


def _text(value: object) -> str:
    return value[:NAME_LENGTH_MAX] if isinstance(value, str) else ""


LOOKUP_QUERY = (("source", "INSTORE"), ("identifierName*", "mobile"), ("identifierValue*", "919988123456"))
PROGRAM_QUERY = (("programId", "973"), ("fetchDataForAllPrograms", "false"))
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
        query=(*LOOKUP_QUERY, ("includedAllUserGroup2", "true")),
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
        query=(("source", "INSTORE"), ("includedAllUserGroup2", "true")),
        example=CUSTOMER_EXAMPLE,
    ),
    Verb(
        "POST",
        "/v2/customers",
        create,
        "Register a customer",
        "v2",
        "customers",
        query=(("source", "INSTORE"),),
        body={"profiles": [{"firstName": "Ada", "identifiers": [{"type": "mobile", "value": "919876500001"}]}]},
        example={"createdId": 600000006, "warnings": []},
    ),
)
