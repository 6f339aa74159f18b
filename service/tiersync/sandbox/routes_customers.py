"""Customers and their tiers (`contracts/capillary.md` 3.5, 3.7).

Which fields `includedAllUserGroup2` adds is not documented; `userGroups2` here is ours.
"""

from collections.abc import Mapping
from dataclasses import replace

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
BATCH_MAX = 100
BATCH_TOO_LARGE = 1_060


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
    """Register a customer; with `associationDetails` in a company too, both or neither."""
    person = _register(desk, ask, ask.fields())
    call.customer, call.effect = None, True
    return Answer({"createdId": person.id, "warnings": []})


def create_many(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Register customers, or associate those there are, each on its own; 201 when some could not be."""
    items = ask.items()
    if len(items) > BATCH_MAX:
        raise LoyaltyError(f"at most {BATCH_MAX} customers at once", BATCH_TOO_LARGE)
    response: list[dict[str, object]] = []
    failures = 0
    for item in items:
        try:
            person = _known(desk, item)
            person = _register(desk, ask, item) if person is None else _change(desk, ask, person, item)
        except LoyaltyError as refused:
            failures += 1
            error = {"status": False, "code": refused.code or AdjustCode.INVALID, "message": str(refused)}
            response.append({"entityId": None, "result": None, "errors": [error], "warnings": []})
            continue
        call.effect = True
        response.append({"entityId": person.id, "result": {"createdId": person.id}, "warnings": []})
    body = {"response": response, "totalCount": len(response), "failureCount": failures}
    return Answer(body, 201 if failures else 200, code=201 if failures else None)


def update(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Change a customer's name, or associate the customer with a company."""
    person = _change(desk, ask, _person(desk.world, call), ask.fields())
    call.effect = True
    return Answer({"createdId": person.id, "warnings": []})


def _register(desk: Desk, ask: Ask, body: object) -> Person:
    profile = _profile(body)
    given = _identifiers(profile)
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
    try:
        _associate(desk, ask, person, body)
    except LoyaltyError:
        desk.world.people.remove(person.id)
        raise
    return person


def _change(desk: Desk, ask: Ask, person: Person, body: object) -> Person:
    profile = _profile(body) if isinstance(body, dict) and body.get("profiles") else {}
    _associate(desk, ask, person, body)
    first, last = profile.get("firstName"), profile.get("lastName")
    return desk.world.people.add(
        replace(
            person,
            first_name=person.first_name if first is None else _text(first),
            last_name=person.last_name if last is None else _text(last),
        )
    )


def _associate(desk: Desk, ask: Ask, person: Person, body: object) -> None:
    details = body.get("associationDetails") if isinstance(body, dict) else None
    if details is not None:
        desk.emit(desk.fleets.associate(person.id, details, ask.now), ask.request_id)


def _known(desk: Desk, body: object) -> Person | None:
    """Find the customer an item of a batch is about, None if there is none yet."""
    found = (desk.world.people.find(name, value) for name, value in _identifiers(_profile(body)).items())
    return next((person for person in found if person is not None), None)


def _profile(body: object) -> dict[str, object]:
    profiles = body.get("profiles") if isinstance(body, dict) else None
    profile = profiles[0] if isinstance(profiles, list) and profiles else None
    if not isinstance(profile, dict):
        raise LoyaltyError("profiles must have one profile", AdjustCode.INVALID)
    return profile


def _identifiers(profile: Mapping[str, object]) -> dict[str, str]:
    given: dict[str, str] = {}
    identifiers = profile.get("identifiers")
    for each in identifiers if isinstance(identifiers, list) else ():
        if isinstance(each, dict) and isinstance(each.get("type"), str) and isinstance(each.get("value"), str):
            given[each["type"]] = each["value"][:NAME_LENGTH_MAX]
    return given


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
    association = desk.fleets.shown(person.id)
    if association is not None:
        body["associationDetails"] = association
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

ASSOCIATION = {
    "hierarchyCode": "FLEET_HIER_001",
    "roleCode": "Driver",
    "fleetCompany": {
        "name": "ABC Logistics",
        "hierarchyDefinitionCode": "FLEET_HIER_001",
        "externalId": "abc_logistics_001",
    },
}

VERBS = (
    Verb(
        "POST",
        "/v2/customers/bulk",
        create_many,
        "Register or associate customers, each on its own",
        "v2",
        "customers",
        query=(("source", "INSTORE"),),
        body=[
            {
                "profiles": [{"identifiers": [{"type": "mobile", "value": "9781027293"}]}],
                "associationDetails": ASSOCIATION,
            }
        ],
        example={"response": [{"entityId": 600000006}], "totalCount": 1, "failureCount": 0},
    ),
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
    Verb(
        "PUT",
        "/v2/customers/{id}",
        update,
        "Change a customer, or give them a role in a company",
        "v2",
        "customers",
        customer=about_path,
        query=(("source", "INSTORE"),),
        body={"profiles": [{"firstName": "Ada"}], "associationDetails": ASSOCIATION},
        example={"createdId": 566998132, "warnings": []},
    ),
)
