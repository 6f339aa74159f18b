"""Moving points: `POST /v2/points/userGroup2/transfer` with its check, `POST /v2/points/transfer`, and the custom job.

How the entities are named in the request is only known in part (3.9): `{"type": "CUSTOMER", "id": 1}` and
`{"type": "USERGROUP2", "identifierName": "externalId", "identifierValue": "family_001"}` are both read.
"""

from collections.abc import Mapping

from tiersync.errors import LoyaltyError
from tiersync.loyalty.events import HolderId
from tiersync.loyalty.groups import Code, CustomerId, GroupId, refuse
from tiersync.sandbox.adjusting import AdjustCode
from tiersync.sandbox.amounts import amount_of, plain
from tiersync.sandbox.answers import Answer
from tiersync.sandbox.ask import Ask
from tiersync.sandbox.calls import Call
from tiersync.sandbox.core import customer_named, group_named, holder_of
from tiersync.sandbox.desk import Desk
from tiersync.sandbox.ids import customer_id, group_id
from tiersync.sandbox.tiers import stamp_iso
from tiersync.sandbox.verbs import Verb
from tiersync.sandbox.wallets import POINTS_INVALID_V2, Transfer, Transferred

ENTITIES = ("CUSTOMER", "USERGROUP2")
#: How v2 spells the identifiers of a transfer, each with the identifier it is.
KINDS = {"ID": "id", "MOBILE": "mobile", "EMAIL": "email", "EXTERNAL_ID": "externalId"}


def transfer(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Move points between a group and a member."""
    done = desk.wallets.transfer(_wanted(desk, ask.fields()), ask.now)
    call.effect = True
    return Answer({"data": [_moved(desk, done)], "warnings": [], "errors": []})


def is_transferrable(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Say whether points could be moved; nothing moves."""
    desk.wallets.transfer(_wanted(desk, ask.fields()), ask.now, check_only=True)
    return Answer({"transferrable": True, "warnings": [], "errors": []})


def transfer_between(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Move points from one customer to another, of one programme or of all (seed 002)."""
    done = desk.wallets.transfer(_between(desk, ask.fields()), ask.now)
    call.effect = True
    return Answer({"data": [_moved(desk, done)], "warnings": [], "errors": []})


def is_transferrable_between(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Say whether points could be moved from one customer to another; nothing moves."""
    desk.wallets.transfer(_between(desk, ask.fields()), ask.now, check_only=True)
    return Answer({"transferrable": True, "warnings": [], "errors": []})


def _between(desk: Desk, body: Mapping[str, object]) -> Transfer:
    giver, taker = (_identified(desk, body.get(name)) for name in ("fromCustomerIdentifier", "toCustomerIdentifier"))
    wanted = Transfer(
        giver=holder_of(giver),
        taker=holder_of(taker),
        by=giver,
        points=amount_of(_points(body), "pointsToBeTransferred", POINTS_INVALID_V2, 3),
        programme=desk.world.programmes.find_or_default(body.get("programId", body.get("program_id"))),
        grouped=_grouped(body),
    )
    desk.world.places.meet(giver)
    desk.world.places.meet(taker)
    return wanted


def move_points(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """The custom job of seed 001: a member's points go to the group's wallet, promotional ones stay."""
    body = ask.fields()
    customer = customer_id(body.get("customer"))
    named = body.get("group")
    number = group_id(named)
    if customer is None or (named is not None and number is None):
        raise LoyaltyError("customer must be the id of a customer, group the id of a group")
    desk.world.people.require(customer)
    group = None if number is None else desk.world.register.find(group=number)
    target, moved = desk.wallets.move_in(customer, group, ask.now)
    return Answer({"customer": customer, "group": target.id, "moved": plain(moved)})


def wallets(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Show a customer: tiers and points in every programme, the groups, the company."""
    customer, world = customer_id(ask.params["id"]), desk.world
    person = world.people.require(CustomerId(-1) if customer is None else customer)
    rows: list[dict[str, object]] = []
    for programme in world.programmes:
        standing, scheme = world.places.standing(programme, person.id), world.programmes.scheme(programme).program
        points = world.core.points(scheme, holder_of(person.id), ask.now)
        promotional = world.core.promotional_points(scheme, holder_of(person.id), ask.now)
        rows.append(
            {
                "programId": programme.id,
                "tier": standing.tier.name,
                "number": standing.tier.number,
                "expires": stamp_iso(standing.expires),
                "points": plain(points),
                "promotionalPoints": plain(promotional),
            }
        )
    return Answer(
        {
            "customer": person.id,
            "programmes": rows,
            "groups": [group.id for group in world.register.groups_of(person.id)],
            "association": desk.fleets.shown(person.id),
        }
    )


def _wanted(desk: Desk, body: Mapping[str, object]) -> Transfer:
    points = amount_of(_points(body), "pointsToBeTransferred", POINTS_INVALID_V2, 3)
    mover = body.get("transferredBy")
    by = None if mover is None else _customer(desk, mover if isinstance(mover, dict) else {"id": mover})
    giver, taker = (_entity(desk, body.get(name), by) for name in ("fromEntity", "toEntity"))
    programme = desk.world.programmes.find_or_default(body.get("programId", body.get("program_id")))
    return Transfer(giver, taker, customer_named(giver) if by is None else by, points, programme, _grouped(body))


def _points(body: Mapping[str, object]) -> object:
    """The request's key is misspelt (sic), the error text's is not; both are read."""
    return body.get("pointsTobeTransferred", body.get("pointsToBeTransferred"))


def _grouped(body: Mapping[str, object]) -> bool:
    """The flag's name differs between seed 002 and the MLP page."""
    return any(body.get(name) in (True, "true") for name in ("group_transfer", "groupProgramTransfer"))


def _entity(desk: Desk, entity: object, by: CustomerId | None) -> HolderId:
    if not isinstance(entity, dict) or entity.get("type") not in ENTITIES:
        raise refuse(Code.ENTITY_TYPE_INVALID)
    if entity["type"] == "CUSTOMER":
        return desk.wallets.holder(_customer(desk, entity), None)
    if entity.get("externalId") is not None or entity.get("identifierName") == "externalId":
        name = str(entity.get("externalId", entity.get("identifierValue")))
        return desk.wallets.holder(None, desk.world.register.find(external_id=name).id)
    given = entity.get("id", entity.get("entityId", entity.get("identifierValue")))
    if given is not None:
        number = group_id(given)
        return desk.wallets.holder(None, GroupId(-1) if number is None else number)
    if by is None:
        raise LoyaltyError("the group is not named", Code.GROUP_NOT_NAMED)
    return desk.wallets.holder(None, desk.wallets.default_group(by).id)


def _customer(desk: Desk, entity: Mapping[str, object]) -> CustomerId:
    name = entity.get("identifierName", "id")
    value = entity.get("identifierValue", entity.get("id", entity.get("entityId", entity.get("userId"))))
    return desk.world.person(str(name), str(value)).id


def _identified(desk: Desk, given: object) -> CustomerId:
    if not isinstance(given, dict) or given.get("type") not in tuple(KINDS):
        raise LoyaltyError(f"customer identifier type must be one of {', '.join(KINDS)}", AdjustCode.INVALID)
    return desk.world.person(KINDS[given["type"]], str(given.get("value"))).id


def _moved(desk: Desk, done: Transferred) -> dict[str, object]:
    wanted = done.transfer
    body: dict[str, object] = {
        "toEntityId": _id(wanted.taker),
        "toEntityType": _type(wanted.taker),
        "fromEntityId": _id(wanted.giver),
        "fromEntityType": _type(wanted.giver),
        "pointsTransferDate": done.at.strftime("%Y-%m-%d %H:%M:%S"),
        "pointsTransferred": plain(wanted.points),
        "transferId": done.id,
        "transferType": "DEDUCTION",
        "programName": wanted.programme.name,
        "pointsTransferBreakupByEarningPrograms": [
            {
                "programId": share.programme,
                "deductedPoints": plain(share.points),
                "programCurrentPoints": plain(share.left),
            }
            for share in done.shares
        ],
    }
    for key, holder in (("transferredFrom", wanted.giver), ("transferredTo", wanted.taker)):
        group = group_named(holder)
        if group is None:
            body[key] = {"userId": _id(holder)}
        else:
            found = desk.world.register.find(group=group)
            body[f"{key}UserGroup2"] = {"id": found.id, "externalId": found.external_id, "fleetGroupUsers": []}
    return body


def _id(holder: HolderId) -> int | None:
    return customer_named(holder) or group_named(holder)


def _type(holder: HolderId) -> str:
    return "CUSTOMER" if group_named(holder) is None else "USERGROUP2"


GROUP_TRANSFER = {
    "pointsTobeTransferred": 5,
    "programId": 973,
    "fromEntity": {"type": "USERGROUP2", "id": 3918893},
    "toEntity": {"type": "CUSTOMER", "id": 564662499},
    "transferredBy": {"id": 566998132},
}
TRANSFER = {
    "pointsTobeTransferred": 1,
    "programId": 973,
    "groupProgramTransfer": False,
    "fromCustomerIdentifier": {"type": "ID", "value": "566998132"},
    "toCustomerIdentifier": {"type": "MOBILE", "value": "919988123457"},
}
MOVED = {
    "toEntityId": 564662499,
    "toEntityType": "CUSTOMER",
    "fromEntityId": 3918893,
    "fromEntityType": "USERGROUP2",
    "pointsTransferred": 5,
    "transferId": 7250001,
    "transferType": "DEDUCTION",
}

VERBS = (
    Verb(
        "POST",
        "/v2/points/userGroup2/transfer",
        transfer,
        "Move points between a group and a member",
        "v2",
        "points",
        body=GROUP_TRANSFER,
        example={"data": [MOVED], "warnings": [], "errors": []},
    ),
    Verb(
        "POST",
        "/v2/points/userGroup2/transferrable",
        is_transferrable,
        "Whether points could be moved so",
        "v2",
        "points",
        body=GROUP_TRANSFER,
        example={"transferrable": True, "warnings": [], "errors": []},
    ),
    Verb(
        "POST",
        "/v2/points/transferrable",
        is_transferrable_between,
        "Whether points could be moved so",
        "v2",
        "points",
        body=TRANSFER,
        example={"transferrable": True, "warnings": [], "errors": []},
    ),
    Verb(
        "POST",
        "/v2/points/transfer",
        transfer_between,
        "Move points from one customer to another",
        "v2",
        "points",
        body=TRANSFER,
        example={"data": [MOVED], "warnings": [], "errors": []},
    ),
    Verb(
        "GET",
        "/sandbox/customers/{id}",
        wallets,
        "A customer's tiers and points in every programme, groups and company",
        "own",
        example={
            "customer": 566998132,
            "programmes": [{"programId": 973, "tier": "Silver", "points": 30, "promotionalPoints": 0}],
            "groups": [3918893],
            "association": None,
        },
    ),
    Verb(
        "POST",
        "/sandbox/jobs/move-points",
        move_points,
        "The custom job on joining: a member's points go to the group, promotional ones stay",
        "own",
        body={"customer": 564662499, "group": 3918893},
        example={"customer": 564662499, "group": 3918893, "moved": 40},
    ),
)
