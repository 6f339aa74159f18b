"""Transactions: `POST /v2/transactions`, `/v2/transactions/bulk`, `/v1.1/transaction/add` (rates in 1.6, group in 4.2).

Which fields the answers carry is only known in part; points and tiers come as `sideEffects`.
"""

from collections.abc import Mapping
from decimal import Decimal

from tiersync.errors import LoyaltyError
from tiersync.loyalty.groups import CustomerId, Group, GroupId, Person
from tiersync.sandbox.adjusting import AdjustCode
from tiersync.sandbox.amounts import plain
from tiersync.sandbox.answers import FAILED_ITEM, Answer, answer_v1, entry_of, item_status
from tiersync.sandbox.ask import Ask
from tiersync.sandbox.bill_forms import INVALID, Form, read_v1, read_v2
from tiersync.sandbox.bills import Draft, Effect, Points, Return
from tiersync.sandbox.calls import Call
from tiersync.sandbox.desk import Desk
from tiersync.sandbox.ids import customer_id, group_id
from tiersync.sandbox.tiers import TierChanged, stamp_ordinal
from tiersync.sandbox.verbs import Verb
from tiersync.sandbox.world import World

BATCH_MAX = 100
BATCH_TOO_LARGE = 1_060
ADDED = 600
FAILED = 500
PARTLY = 201
NAMES = "identifierName and identifierValue, or one of id, mobile, email, external_id and card_number"
#: How v1.1 names the fields of a customer, each with the identifier it is.
V1_IDENTIFIERS = (("id", "id"), ("mobile", "mobile"), ("email", "email"), ("external_id", "externalId"))


def about(world: World, ask: Ask) -> CustomerId | None:
    """Say who buys, as far as the query tells."""
    name, value = ask.query.get("identifierName", ""), ask.query.get("identifierValue", "")
    if name == "id":
        return customer_id(value)
    person = world.people.find(name, value)
    return None if person is None else person.id


def add(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Take up one transaction or return."""
    body = ask.fields()
    effect = _take(desk, ask, call, read_v2({**ask.query, **body}))
    return Answer({"createdId": effect.bill.id, "sideEffects": _effects(effect), "warnings": []})


def add_many(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Take up many, each on its own; 201 when some could not be taken."""
    items = ask.items()
    if len(items) > BATCH_MAX:
        raise LoyaltyError(f"at most {BATCH_MAX} transactions at once", BATCH_TOO_LARGE)
    response: list[dict[str, object]] = []
    failures = 0
    for item in items:
        try:
            effect = _take(desk, ask, call, read_v2(item))
        except LoyaltyError as refused:
            failures += 1
            response.append({"entityId": None, "result": None, "errors": [entry_of(refused)], "warnings": []})
            continue
        result = {"createdId": effect.bill.id, "sideEffects": _effects(effect)}
        response.append({"entityId": effect.bill.id, "result": result, "warnings": []})
    body = {"response": response, "totalCount": len(response), "failureCount": failures}
    return Answer(body, PARTLY if failures else 200, code=PARTLY if failures else None)


def add_v1(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Take up transactions as v1.1 sends them, each with its own status."""
    root = ask.fields().get("root")
    items = root.get("transaction") if isinstance(root, dict) else None
    items = [items] if isinstance(items, dict) else items
    if not isinstance(items, list) or not 0 < len(items) <= BATCH_MAX:
        raise LoyaltyError(f"root.transaction must be a list of 1 to {BATCH_MAX} transactions", INVALID)
    rows: list[dict[str, object]] = []
    failures = 0
    for item in items:
        try:
            effect = _take(desk, ask, call, read_v1(item))
        except LoyaltyError as refused:
            failures += 1
            rows.append({"item_status": item_status(refused.code or FAILED, str(refused), success=False)})
            continue
        status = item_status(ADDED, "Transaction added successfully", success=True)
        row = {"id": effect.bill.id, "number": effect.bill.number, "side_effects": {"effect": _effects(effect)}}
        rows.append({**row, "item_status": status})
    content = {"transactions": {"transaction": rows}}
    if failures == len(rows):
        return answer_v1(content, FAILED, "All requests have failed due to errors")
    return answer_v1(content, PARTLY, "One or more requests have failed") if failures else answer_v1(content)


def _take(desk: Desk, ask: Ask, call: Call, form: Form) -> Effect:
    person = buyer(desk.world, form.names)
    call.customer = call.customer if call.customer is None else person.id
    if form.return_type is None:
        draft = Draft(
            person.id,
            form.number,
            form.amount or Decimal(0),
            desk.world.programmes.find_or_default(form.names.get("programId", ask.query.get("program_id"))),
            desk.bills.group_for(person.id, group_named(desk.world, {**ask.query, **form.names})),
            form.items,
            form.fields,
        )
        effect = desk.bills.add(draft, ask.now)
    else:
        items = form.items if form.return_type == "LINE_ITEM" else ()
        if form.return_type == "LINE_ITEM" and not items:
            raise LoyaltyError("a return of LINE_ITEM needs line items", INVALID)
        effect = desk.bills.give_back(Return(person.id, form.number, items, form.amount), ask.now)
    call.effect = True
    desk.emit(effect.facts, ask.request_id)
    return effect


def buyer(world: World, names: Mapping[str, object]) -> Person:
    """Find the customer a transaction or redemption names, in the words of v2 or v1.1. Refuses with 8015 and 400."""
    name = names.get("identifierName", names.get("identifierType"))
    if isinstance(name, str):
        return world.person(name, str(names.get("identifierValue", "")))
    for field, kind in V1_IDENTIFIERS:
        value = names.get(field)
        if isinstance(value, str | int) and value:
            return world.person(kind, str(value))
    if names.get("card_number"):
        return world.person("cardnumber", str(names["card_number"]))
    raise LoyaltyError(f"the customer is not named: give {NAMES}", AdjustCode.INVALID)


def group_named(world: World, names: Mapping[str, object]) -> Group | None:
    """Find the group a request names, in the words of v2 or v1.1; None if it names none. Refuses with 1632."""
    wanted: dict[str, object] = {}
    for kind, fields in GROUP_NAMES.items():
        for field in fields:
            if names.get(field) not in (None, ""):
                wanted.setdefault(kind, names[field])
    if "id" in wanted:
        number = group_id(wanted["id"])
        return world.register.find(group=GroupId(-1) if number is None else number)
    if "external_id" in wanted:
        return world.register.find(external_id=str(wanted["external_id"]))
    if "primary" in wanted:
        leader = customer_id(wanted["primary"])
        return world.register.find(primary=CustomerId(-1) if leader is None else leader)
    return None


GROUP_NAMES = {
    "id": ("userGroup2Id", "user_group2_id"),
    "external_id": ("userGroup2ExternalId", "user_group2_external_id"),
    "primary": ("userGroup2PrimaryUserId", "user_group2_primary_user_id"),
}


def _effects(effect: Effect) -> list[dict[str, object]]:
    """Say what a transaction led to: points per wallet, tiers per customer."""
    tiers = [
        {
            "entityType": "USER",
            "entityId": fact.customer,
            "programId": fact.programme.id,
            "previousSlabName": fact.previous.name,
            "previousSlabNumber": fact.previous.number,
            "upgradedSlabName": fact.standing.tier.name,
            "upgradedSlabNumber": fact.standing.tier.number,
            "slabExpiryDate": stamp_ordinal(fact.standing.expires),
            "type": "slab",
        }
        for fact in effect.facts
        if isinstance(fact, TierChanged)
    ]
    return [*(_awarded(each) for each in effect.points if each.amount), *tiers]


def _awarded(points: Points) -> dict[str, object]:
    return {
        "entityType": "USER" if points.group is None else "USERGROUP2",
        "entityId": points.customer if points.group is None else points.group,
        "programId": points.programme.id,
        "awardedPoints": plain(points.amount),
        "awardType": "PROMOTIONAL" if points.promotional else "REGULAR",
        "type": "points",
    }


BILL = {
    "type": "REGULAR",
    "billNumber": "bill-0001",
    "billAmount": "1500",
    "extendedFields": {"member_card_swiped": "Yes"},
    "lineItemsV2": [{"itemCode": "shirt", "qty": 1, "amount": 1500}],
}
EFFECTS = [
    {
        "entityType": "USERGROUP2",
        "entityId": 3918893,
        "programId": 973,
        "awardedPoints": 1500,
        "awardType": "REGULAR",
        "type": "points",
    },
    {
        "entityType": "USER",
        "entityId": 566998132,
        "programId": 973,
        "previousSlabName": "Silver",
        "previousSlabNumber": 1,
        "upgradedSlabName": "Gold",
        "upgradedSlabNumber": 2,
        "slabExpiryDate": "30th Nov, 2027",
        "type": "slab",
    },
]

VERBS = (
    Verb(
        "POST",
        "/v2/transactions",
        add,
        "Add or return a transaction: points, tiers and their events follow",
        "v2",
        "transactions",
        customer=about,
        query=(("identifierName*", "id"), ("identifierValue*", "564662499"), ("source", "INSTORE")),
        body=BILL,
        example={"createdId": 430310001, "sideEffects": EFFECTS, "warnings": []},
    ),
    Verb(
        "POST",
        "/v2/transactions/bulk",
        add_many,
        "Add or return many transactions, each on its own",
        "v2",
        "transactions",
        body=[{"identifierType": "id", "identifierValue": "564662499", **BILL, "billNumber": "bill-0002"}],
        example={
            "response": [
                {"entityId": 430310002, "result": {"createdId": 430310002, "sideEffects": []}, "warnings": []},
                FAILED_ITEM,
            ],
            "totalCount": 2,
            "failureCount": 1,
        },
    ),
    Verb(
        "POST",
        "/v1.1/transaction/add",
        add_v1,
        "Add or return transactions, in the words of v1.1",
        "v1",
        "transactions",
        query=(("program_id", "973"), ("user_group2_id", "")),
        body={
            "root": {
                "transaction": [
                    {
                        "type": "regular",
                        "number": "bill-0003",
                        "amount": "400",
                        "customer": {"mobile": "919988123456"},
                        "extended_fields": {"field": [{"name": "member_card_swiped", "value": "No"}]},
                    }
                ]
            }
        },
        example={
            "response": {
                "status": {"success": "true", "code": 200, "message": "Success"},
                "transactions": {"transaction": [{"id": 430310003, "number": "bill-0003"}]},
            }
        },
    ),
)
