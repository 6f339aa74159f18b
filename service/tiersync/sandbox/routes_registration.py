"""Registering and changing customers, and giving them a role in a company (`contracts/capillary.md` 3.5, 3.8).

How an entry of `childCustomers` looks is not documented: here it has a customer's `id`, or `type` and `value` of an
identifier, and perhaps a `roleCode`.
"""

from collections.abc import Mapping
from dataclasses import replace

from tiersync.errors import LoyaltyError
from tiersync.loyalty.groups import Person
from tiersync.sandbox.adjusting import AdjustCode
from tiersync.sandbox.answers import FAILED_ITEM, Answer, entry_of
from tiersync.sandbox.ask import Ask
from tiersync.sandbox.calls import Call
from tiersync.sandbox.desk import Desk
from tiersync.sandbox.routes_customers import LOOKUPS, about_path, person_of
from tiersync.sandbox.verbs import Verb
from tiersync.sandbox.world import FIRST_CUSTOMER_ID

NAME_LENGTH_MAX = 255
BATCH_MAX = 100
BATCH_TOO_LARGE = 1_060
CHILDREN_MAX = 1_000

#: A customer, and the warnings about those below them.
Registered = tuple[Person, list[dict[str, object]]]


def create(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Register a customer; with `associationDetails` in a company too, both or neither."""
    person, warnings = _register(desk, ask, ask.fields())
    call.customer, call.effect = None, True
    return Answer({"createdId": person.id, "warnings": warnings})


def create_many(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Register customers, or associate those there are, each on its own; 201 when some could not be."""
    items = ask.items()
    if len(items) > BATCH_MAX:
        raise LoyaltyError(f"at most {BATCH_MAX} customers at once", BATCH_TOO_LARGE)
    response: list[dict[str, object]] = []
    failures = 0
    for item in items:
        try:
            known = _known(desk, item)
            person, warnings = _register(desk, ask, item) if known is None else _change(desk, ask, known, item)
        except LoyaltyError as refused:
            failures += 1
            response.append({"entityId": None, "result": None, "errors": [entry_of(refused)], "warnings": []})
            continue
        call.effect = True
        response.append({"entityId": person.id, "result": {"createdId": person.id}, "warnings": warnings})
    body = {"response": response, "totalCount": len(response), "failureCount": failures}
    return Answer(body, 201 if failures else 200, code=201 if failures else None)


def update(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Change a customer's name, or associate the customer with a company."""
    person, warnings = _change(desk, ask, person_of(desk.world, call), ask.fields())
    call.effect = True
    return Answer({"createdId": person.id, "warnings": warnings})


def _register(desk: Desk, ask: Ask, body: object) -> Registered:
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
        return person, _associate(desk, ask, person, body)
    except LoyaltyError:
        desk.world.people.remove(person.id)
        raise


def _change(desk: Desk, ask: Ask, person: Person, body: object) -> Registered:
    profile = _profile(body) if isinstance(body, dict) and body.get("profiles") else {}
    warnings = _associate(desk, ask, person, body)
    first, last = profile.get("firstName"), profile.get("lastName")
    changed = replace(
        person,
        first_name=person.first_name if first is None else _text(first),
        last_name=person.last_name if last is None else _text(last),
    )
    return desk.world.people.add(changed), warnings


def _associate(desk: Desk, ask: Ask, person: Person, body: object) -> list[dict[str, object]]:
    """Give a customer a role, then their children theirs. Children that could not be associated become warnings."""
    details = body.get("associationDetails") if isinstance(body, dict) else None
    if details is None:
        return []
    children = details.get("childCustomers") if isinstance(details, dict) else None
    if children is not None and (not isinstance(children, list) or len(children) > CHILDREN_MAX):
        raise LoyaltyError(f"childCustomers must be a list of at most {CHILDREN_MAX}", AdjustCode.INVALID)
    desk.emit(desk.fleets.associate(person.id, details, ask.now), ask.request_id)
    warnings: list[dict[str, object]] = []
    for child in children or ():
        try:
            customer = _child(desk, child)
            role = child.get("roleCode") or desk.fleets.role_below(person.id)
            facts = desk.fleets.associate(customer.id, {**details, "roleCode": role}, ask.now)
        except LoyaltyError as refused:
            warnings.append(entry_of(refused))
            continue
        desk.emit(facts, ask.request_id)
    return warnings


def _child(desk: Desk, child: object) -> Person:
    if not isinstance(child, dict):
        raise LoyaltyError("an entry of childCustomers must be an object", AdjustCode.INVALID)
    if child.get("id") is not None:
        return desk.world.person("id", str(child["id"]))
    return desk.world.person(str(child.get("type")), str(child.get("value")))


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


def _text(value: object) -> str:
    return value[:NAME_LENGTH_MAX] if isinstance(value, str) else ""


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
        example={
            "response": [
                {"entityId": 600000006, "result": {"createdId": 600000006}, "warnings": []},
                FAILED_ITEM,
            ],
            "totalCount": 2,
            "failureCount": 1,
        },
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
