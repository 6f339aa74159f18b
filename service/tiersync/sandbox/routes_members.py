"""The members of a group: list, join, leave, transfer, permissions (`contracts/capillary.md` 3.3, 3.4)."""

from datetime import UTC, datetime
from typing import Literal

from tiersync.errors import LoyaltyError
from tiersync.loyalty.groups import Code, CustomerId, GroupId, Joiner, Membership, Permission, Role
from tiersync.sandbox.amounts import plain
from tiersync.sandbox.answers import FAILED_ITEM, Answer, entry_of
from tiersync.sandbox.ask import INVALID, Ask
from tiersync.sandbox.calls import Call
from tiersync.sandbox.desk import Desk
from tiersync.sandbox.ids import customer_id, group_id
from tiersync.sandbox.routes_customers import identifiers
from tiersync.sandbox.routes_groups import NAMED_QUERY, NO_GROUP, about, by_primary, named
from tiersync.sandbox.verbs import Verb
from tiersync.sandbox.world import Fact, World

LEAVE_IDENTIFIERS = ("mobile", "email", "externalId", "cardnumber", "cardExternalId")
PARTLY = 201  # "one or more requests of a batch failed" (1.5)


def about_group_value(world: World, ask: Ask) -> CustomerId | None:
    """Say whose group a member list is about."""
    try:
        return world.register.find(group=_group(ask.query.get("identifierValue"))).primary
    except LoyaltyError:
        return None


def about_leaver(world: World, ask: Ask) -> CustomerId | None:
    """Say who wants to leave."""
    person = world.people.find(ask.query.get("identifierName", ""), ask.query.get("identifierValue", ""))
    return None if person is None else person.id


def members(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """List the members there are now. `inActive` is inverted: true means active."""
    ask.source()
    if ask.require("identifierName") != "id":
        raise LoyaltyError("identifierName must be id", INVALID)
    group = desk.world.register.find(group=_group(ask.require("identifierValue")))
    order = ask.query.get("sortOrder", "DESC")
    if order not in {"ASC", "DESC"} or ask.query.get("sortBy", "IS_PRIMARY") != "IS_PRIMARY":
        raise LoyaltyError("sortBy must be IS_PRIMARY and sortOrder ASC or DESC", INVALID)
    since, until = _moment(ask, "fromDate"), _moment(ask, "toDate")
    rows = [
        row
        for row in desk.world.register.members(group.id)
        if row.active and (since is None or row.joined_on >= since) and (until is None or row.joined_on <= until)
    ]
    rows.sort(key=lambda row: row.role is Role.PRIMARY, reverse=order == "DESC")
    body: dict[str, object] = {}
    if ask.flag("paginationDetails"):
        limit, offset = ask.count("limit", 20), ask.count("offset", 0)
        page = {"limit": limit, "offset": offset, "sortBy": "IS_PRIMARY", "sortOrder": order, "total": len(rows)}
        body["pagination"] = page
        rows = rows[offset : offset + limit]
    form = desk.faults.switches.answers.in_active
    body["data"] = [_member(desk, row, form) for row in rows]
    return Answer({**body, "warnings": [], "errors": []})


def join(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Add members, each on its own; 201 when some could not be added."""
    group = named(desk.world, ask)
    items = ask.items()
    shown = desk.faults.switches.answers.join_active == "true"
    flags = desk.faults.switches.organisation
    facts: list[Fact] = []
    response: list[dict[str, object]] = []
    failures = 0
    for item in items:
        try:
            joiner = _joiner(item)
            desk.fleets.require_company(group, joiner.customer)
            with desk.codes.confirmed(joiner.customer, _fields(item).get("validationCode"), asked=flags.otp):
                happened = desk.world.join(group.id, joiner, ask.now)
        except LoyaltyError as refused:
            failures += 1
            response.append(_failed(item, refused))
            continue
        facts += happened
        added = {
            "userId": joiner.customer,
            "groupId": group.id,
            "permissions": [str(permission) for permission in joiner.permissions],
            "primaryMember": joiner.primary,
            "active": shown,
            "defaultGroup": shown and joiner.default is not False,
        }
        response.append({"entityId": added, "result": added, "warnings": []})
    call.effect = bool(facts)
    desk.emit(facts, ask.request_id)
    return _batch(response, failures)


def leave(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Remove one member, found by an identifier that is not the id."""
    number = group_id(ask.params["group_id"])
    if number is None:
        raise LoyaltyError("Fleet group id is invalid", Code.GROUP_ID_INVALID)
    name = ask.require("identifierName")
    if name not in LEAVE_IDENTIFIERS:
        raise LoyaltyError(f"identifierName must be one of {', '.join(LEAVE_IDENTIFIERS)}", INVALID)
    person = desk.world.people.find(name, ask.require("identifierValue"))
    if person is None:
        raise LoyaltyError("User does not exist", Code.PERSON_UNKNOWN)
    flags = desk.faults.switches.organisation
    with desk.codes.confirmed(person.id, ask.query.get("validationCode"), asked=flags.otp):
        facts = desk.world.leave(number, person.id, ask.now)
    call.effect = True
    desk.emit(facts, ask.request_id)
    return Answer({"warnings": [], "errors": [], "success": True})


def transfer(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Move secondaries from one group to another, all or none; points do not move."""
    body = ask.fields()
    source, target, users = body.get("leaveGroupId"), body.get("joinGroupId"), body.get("userIds")
    if source is None or target is None or not isinstance(users, list):
        raise LoyaltyError("leaveGroupId, joinGroupId and userIds are mandatory", Code.DETAILS_MISSING)
    customers = [_user(user) for user in users]
    with by_primary(desk, ask, desk.world.register.group(_group(source))):
        changes = desk.world.register.transfer(_group(source), _group(target), customers, ask.now)
    call.effect = True
    desk.emit(changes, ask.request_id)
    return Answer({"warnings": [], "errors": [], "success": True})


def permissions(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Replace members' permissions, each on its own."""
    group = named(desk.world, ask)
    response: list[dict[str, object]] = []
    failures = 0
    items = ask.items()
    with by_primary(desk, ask, group):
        for item in items:
            try:
                fields = _fields(item)
                granted = _permissions(fields.get("permissions"))
                row = desk.world.register.permit(group.id, _user(fields.get("userId")), granted)
            except LoyaltyError as refused:
                failures += 1
                response.append(_failed(item, refused))
                continue
            call.effect = True
            result = {"userId": row.customer, "groupId": group.id, "permissions": ",".join(granted)}
            response.append({"entityId": {"userId": row.customer}, "result": result, "warnings": []})
    return _batch(response, failures)


def _batch(response: list[dict[str, object]], failures: int) -> Answer:
    body = {"response": response, "totalCount": len(response), "failureCount": failures}
    return Answer(body, PARTLY if failures else 200, code=PARTLY if failures else None)


def _failed(item: object, refused: LoyaltyError) -> dict[str, object]:
    """Show a failed item; its shape is not documented: the same keys and `errors`."""
    return {"entityId": item, "result": None, "errors": [entry_of(refused)], "warnings": []}


def _fields(item: object) -> dict[str, object]:
    if not isinstance(item, dict):
        raise LoyaltyError("Group details are invalid: an object is expected", Code.DETAILS_INVALID)
    return item


def _joiner(item: object) -> Joiner:
    fields = _fields(item)
    primary, default = fields.get("primaryMember", False), fields.get("defaultGroup")
    if not isinstance(primary, bool) or not isinstance(default, bool | None):
        raise LoyaltyError("primaryMember and defaultGroup must be true or false", INVALID)
    return Joiner(_user(fields.get("userId")), primary, _permissions(fields.get("permissions")), default)


def _user(value: object) -> CustomerId:
    if value is None:
        raise LoyaltyError("userId is mandatory", Code.MANDATORY)
    customer = customer_id(value)
    if customer is None:
        raise LoyaltyError("User does not exist", Code.PERSON_UNKNOWN)
    return customer


def _group(value: object) -> GroupId:
    number = group_id(value)
    return NO_GROUP if number is None else number


def _permissions(value: object) -> tuple[Permission, ...]:
    """Read permissions: an array in join, a comma string elsewhere."""
    if value is None:
        raise LoyaltyError("permissions is mandatory", Code.MANDATORY)
    parts = value.split(",") if isinstance(value, str) else value
    try:
        return tuple(Permission(str(part).strip()) for part in parts) if isinstance(parts, list) else ()
    except ValueError as wrong:
        raise LoyaltyError(f"Permission is invalid: {wrong!s:.80}", Code.PERMISSION_INVALID) from wrong


def _moment(ask: Ask, name: str) -> datetime | None:
    text = ask.query.get(name)
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError as wrong:
        raise LoyaltyError(f"{name} must look like 2026-02-12 00:00:00", INVALID) from wrong


def _member(desk: Desk, row: Membership, form: Literal["inverted", "plain"]) -> dict[str, object]:
    person = desk.world.people.require(row.customer)
    made = desk.fleets.companies.association(row.customer)
    role = {} if made is None else {"roleCode": made.role}
    return {
        **role,
        "fleetUserId": row.customer,
        "firstName": person.first_name,
        "lastName": person.last_name,
        "joinedOn": row.joined_on.strftime("%Y-%m-%d"),
        "permissions": ",".join(row.permissions),
        "pointsContributed": plain(desk.bills.contributed(row.group, row.customer)),
        "email": person.email,
        "mobile": person.mobile,
        "role": str(row.role),
        "identifiers": identifiers(person),
        "inActive": row.active is (form == "inverted"),
        "primaryMember": row.role is Role.PRIMARY,
    }


JOIN_ITEM = {
    "userId": 567219878,
    "primaryMember": False,
    "permissions": ["allow_points_redemption"],
    "defaultGroup": True,
    "active": True,
}

VERBS = (
    Verb(
        "GET",
        "/v2/userGroup2/members",
        members,
        "Members of a group with names and permissions; inActive is inverted",
        "v2",
        "groups",
        customer=about_group_value,
        query=(
            ("source*", "INSTORE"),
            ("identifierName*", "id"),
            ("identifierValue*", "3918893"),
            ("paginationDetails", "true"),
            ("limit", "20"),
            ("offset", "0"),
            ("sortBy", "IS_PRIMARY"),
            ("sortOrder", "DESC"),
            ("fromDate", "2026-01-01 00:00:00"),
            ("toDate", "2036-01-01 00:00:00"),
        ),
        example={
            "data": [{"fleetUserId": 566998132, "role": "PRIMARY", "inActive": True, "primaryMember": True}],
            "warnings": [],
            "errors": [],
        },
    ),
    Verb(
        "POST",
        "/v2/userGroup2/join",
        join,
        "Add members",
        "v2",
        "groups",
        customer=about,
        query=NAMED_QUERY,
        body=[JOIN_ITEM],
        example={
            "response": [{"entityId": JOIN_ITEM, "result": JOIN_ITEM, "warnings": []}, FAILED_ITEM],
            "totalCount": 2,
            "failureCount": 1,
        },
    ),
    Verb(
        "DELETE",
        "/v2/userGroup2/{group_id}/leave",
        leave,
        "Remove a member; the primary's leaving ends the group unless a flag keeps it",
        "v2",
        "groups",
        customer=about_leaver,
        query=(("source", "INSTORE"), ("identifierName*", "mobile"), ("identifierValue*", "919988123457")),
        example={"warnings": [], "errors": [], "success": True},
    ),
    Verb(
        "POST",
        "/v2/userGroup2/transfer",
        transfer,
        "Move secondaries to another group",
        "v2",
        "groups",
        body={"leaveGroupId": 3918893, "joinGroupId": 3918894, "userIds": [564662499]},
        example={"warnings": [], "errors": [], "success": True},
    ),
    Verb(
        "PUT",
        "/v2/userGroup2/members/permissions",
        permissions,
        "Replace permissions of members",
        "v2",
        "groups",
        customer=about,
        query=NAMED_QUERY,
        body=[{"userId": 564662499, "permissions": "allow_points_transfer"}],
        example={
            "response": [
                {"entityId": {"userId": 564662499}, "result": {"permissions": "allow_points_transfer"}, "warnings": []},
                FAILED_ITEM,
            ],
            "totalCount": 2,
            "failureCount": 1,
        },
    ),
)
