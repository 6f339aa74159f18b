"""`/v2/userGroup2`: create, update, read, delete, search (`contracts/capillary.md` 3.1, 3.2)."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime

from tiersync.errors import LoyaltyError
from tiersync.loyalty.groups import Change, Code, CustomerId, Draft, Group, GroupId, Membership, Role
from tiersync.sandbox.amounts import plain
from tiersync.sandbox.answers import Answer, warning
from tiersync.sandbox.ask import INVALID, Ask
from tiersync.sandbox.calls import Call
from tiersync.sandbox.core import group_holder
from tiersync.sandbox.desk import Desk
from tiersync.sandbox.ids import customer_id, group_id
from tiersync.sandbox.summaries import expiry_schedules, gaps, points_summary, wanted_gap
from tiersync.sandbox.tiers import stamp_iso
from tiersync.sandbox.verbs import Verb
from tiersync.sandbox.world import World

SEARCH_LENGTH_MAX = 50
CREATED_BY = 75_155_297
WARNINGS = {
    "1656": [warning(Code.NO_HIERARCHY, "Fleet group do not have a mapped hierarchy")],
    "[{}]": [{}],
    "none": [],
}
NOBODY = CustomerId(-1)
NO_GROUP = GroupId(-1)


def about(world: World, ask: Ask) -> CustomerId | None:
    """Say whose group a request is about: its primary."""
    primary = customer_id(ask.query.get("primaryUserId"))
    if primary is not None:
        return primary
    try:
        return named(world, ask).primary
    except LoyaltyError:
        return None


def named(world: World, ask: Ask) -> Group:
    """Find the group that the query names; refuses with 1635 and 1632."""
    group, external_id, primary = (ask.query.get(name) for name in ("id", "externalId", "primaryUserId"))
    found = group_id(group)
    leader = customer_id(primary)
    return world.register.find(
        group=None if group is None else NO_GROUP if found is None else found,
        external_id=external_id,
        primary=None if primary is None else NOBODY if leader is None else leader,
    )


def by_primary(desk: Desk, ask: Ask, group: Group) -> AbstractContextManager[None]:
    """Let the primary confirm a change of the group, where the organisation asks for it."""
    asked = desk.faults.switches.organisation.primary_otp
    return desk.codes.confirmed(group.primary, ask.query.get("validationCode"), asked=asked)


def create(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Create an empty group."""
    change = desk.world.register.create(_draft(ask.fields()), ask.now)
    call.effect = True
    desk.emit([change], ask.request_id)
    return Answer({"entity": change.group.id, "warnings": _warnings(change)})


def update(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Change a group; it is named in the body (sample) or in the query (table)."""
    body = ask.fields()
    number, external_id = group_id(body.get("id")), body.get("externalId")
    if number is None and not isinstance(external_id, str):
        group = named(desk.world, ask)
    else:
        group = desk.world.register.find(
            group=number, external_id=external_id if isinstance(external_id, str) else None
        )
    with by_primary(desk, ask, group):
        change = desk.world.register.update(group.id, _draft(body), ask.now)
    call.effect = True
    desk.emit([change], ask.request_id)
    return Answer(
        {
            "id": change.group.id,
            "groupName": change.group.name,
            "maxGroupSize": change.group.max_size,
            "extendedFields": dict(change.group.extended_fields),
            "warnings": _warnings(change),
        }
    )


def get(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Return a group with all its members, the former ones too; there is no paging."""
    world, look = desk.world, desk.faults.switches.answers
    group = named(world, ask)
    members = world.register.members(group.id)
    active = world.register.active_count(group.id)
    rows = [_row(row, look.primary == "present") for row in members if row.active or look.exited_members == "present"]
    body: dict[str, object] = {
        "id": group.id,
        "externalId": group.external_id,
        "groupStatus": str(group.status),
        "fleetGroupUsers": rows,
        "createdBy": CREATED_BY,
        "createdOn": stamp_iso(group.created_on),
        "groupName": group.name,
        "maxGroupSize": group.max_size,
        "lifeTimePurchases": plain(desk.bills.bought(group.id)),
        "expiredPoints": [],
        "expirySchedules": expiry_schedules(world, group_holder(group.id), ask.now),
        "totalActiveMembers": active,
        "totalExitedMembers": len(members) - active,
        "extendedFields": dict(group.extended_fields),
        "warnings": [] if group.hierarchy is not None else WARNINGS[look.warnings],
    }
    if ask.flag("companyDetails") and group.company is not None:
        company = desk.fleets.companies.company(group.company)
        body["companyDetails"] = {
            "companyId": company.id,
            "externalId": company.external_id,
            "name": company.name,
            "hierarchyDefinitionCode": company.hierarchy,
        }
    if ask.flag("programDetails"):
        body["pointsSummaries"] = summaries(desk, group, ask.now)
    return Answer({**body, **_gaps(desk, ask, group)})


def _gaps(desk: Desk, ask: Ask, group: Group) -> dict[str, object]:
    """Say how far the group's own tier is from the next one and from renewal, where that is asked for."""
    if not (wanted_gap(ask, "gapToUpgradeFor") or wanted_gap(ask, "gapToRenewFor")):
        return {}
    programme = desk.world.programmes.default()
    where = (programme, group_holder(group.id), desk.world.places.group_standing(programme, group))
    return gaps(desk.world, ask, *where)


def delete(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Delete a group; no event is documented for that."""
    group = named(desk.world, ask)
    with by_primary(desk, ask, group):
        desk.world.register.delete(group.id, ask.now)
    call.effect = True
    return Answer({"warnings": []})


def search(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Find groups by id, name, external id, or by an identifier of the primary."""
    query = ask.query.get("q", "")
    if not query:
        raise LoyaltyError("Search parameter q is missing", Code.SEARCH_PARAMETERS)
    if len(query) > SEARCH_LENGTH_MAX:
        raise LoyaltyError(f"Search query is longer than {SEARCH_LENGTH_MAX} characters", Code.NAME_TOO_LONG)
    limit, offset = ask.count("limit", 10), ask.count("offset", 0)
    world = desk.world
    found = [group for group in world.register if _matches(world, group, query)]
    return Answer(
        {
            "pagination": {"limit": limit, "offset": offset, "total": len(found)},
            "data": [found_group(world, group) for group in found[offset : offset + limit]],
            "warnings": [],
            "errors": [],
        }
    )


def _draft(body: Mapping[str, object]) -> Draft:
    external_id, name, size = body.get("externalId"), body.get("groupName"), body.get("maxGroupSize")
    fields = body.get("extendedFields")
    if not isinstance(external_id, str | None) or not isinstance(name, str | None):
        raise LoyaltyError("externalId and groupName must be strings", INVALID)
    if isinstance(size, bool) or not isinstance(size, int | None):
        raise LoyaltyError("Max group size must be a positive integer", Code.SIZE_NOT_POSITIVE)
    if not isinstance(fields, dict | None):
        raise LoyaltyError("extendedFields must be an object", INVALID)
    return Draft(external_id, name, size, fields)


def _warnings(change: Change) -> list[dict[str, object]]:
    return [warning(each.code, each.message) for each in change.warnings]


def _row(row: Membership, show_primary: bool) -> dict[str, object]:  # noqa: FBT001 - called once per row of 30,000
    return {
        "userId": row.customer,
        "groupId": row.group,
        "defaultGroup": row.default,
        "primaryMember": show_primary and row.active and row.role is Role.PRIMARY,
        "active": row.active,
    }


def summaries(desk: Desk, group: Group, now: datetime) -> list[dict[str, object]]:
    """Summarise the group's own points and tier: in each programme by flag, else in the default one."""
    world, holder = desk.world, group_holder(group.id)
    each = desk.faults.switches.organisation.points_by_programme
    programmes = list(world.programmes) if each else [world.programmes.default()]
    return [
        {
            **points_summary(world, programme, holder, world.places.group_standing(programme, group), now),
            "userGroup2Id": group.id,
        }
        for programme in programmes
    ]


def _matches(world: World, group: Group, query: str) -> bool:
    if query in {str(group.id), group.external_id} or query.casefold() in group.name.casefold():
        return True
    person = None if group.primary is None else world.people.get(group.primary)
    return person is not None and query in {person.email, person.mobile, person.card_number}


def found_group(world: World, group: Group) -> dict[str, object]:
    """Show a group as searches do."""
    person = None if group.primary is None else world.people.get(group.primary)
    return {
        "groupId": group.id,
        "groupName": group.name,
        "groupStatus": str(group.status),
        "groupExternalId": group.external_id,
        "firstName": person.first_name if person else "",
        "lastName": person.last_name if person else "",
        "primaryMemberId": group.primary,
        "email": person.email if person else None,
        "mobile": person.mobile if person else None,
        "totalMembers": world.register.active_count(group.id),
        "extendedFields": dict(group.extended_fields),
    }


NAMED_QUERY = (("id", "3918893"), ("externalId", "family_001"), ("primaryUserId", "566998132"))

VERBS = (
    Verb(
        "POST",
        "/v2/userGroup2",
        create,
        "Create a group",
        "v2",
        "groups",
        body={"externalId": "family_002", "groupName": "Second family", "maxGroupSize": 5, "extendedFields": {}},
        example={"entity": 3918894, "warnings": []},
    ),
    Verb(
        "PUT",
        "/v2/userGroup2",
        update,
        "Change a group's name, size or extended fields",
        "v2",
        "groups",
        customer=about,
        query=NAMED_QUERY,
        body={"id": 3918893, "groupName": "Family", "maxGroupSize": 6},
        example={"id": 3918893, "groupName": "Family", "maxGroupSize": 6, "extendedFields": {}, "warnings": []},
    ),
    Verb(
        "GET",
        "/v2/userGroup2",
        get,
        "A group with all its members, former ones too",
        "v2",
        "groups",
        customer=about,
        query=(
            *NAMED_QUERY,
            ("programDetails", "true"),
            ("companyDetails", "true"),
            ("gapToUpgradeFor", "true"),
            ("gapToRenewFor", "true"),
        ),
        example={
            "id": 3918893,
            "externalId": "family_001",
            "groupStatus": "ACTIVE",
            "fleetGroupUsers": [
                {
                    "userId": 566998132,
                    "groupId": 3918893,
                    "defaultGroup": True,
                    "primaryMember": True,
                    "active": True,
                }
            ],
            "totalActiveMembers": 5,
            "totalExitedMembers": 1,
            "warnings": [{"status": False, "code": 1656, "message": "Fleet group do not have a mapped hierarchy"}],
        },
    ),
    Verb(
        "DELETE",
        "/v2/userGroup2",
        delete,
        "Delete a group",
        "v2",
        "groups",
        customer=about,
        query=NAMED_QUERY,
        example={"warnings": []},
    ),
    Verb(
        "GET",
        "/v2/userGroup2/search",
        search,
        "Find groups",
        "v2",
        "groups",
        query=(("q*", "family_001"), ("limit", "10"), ("offset", "0")),
        example={
            "pagination": {"limit": 10, "offset": 0, "total": 1},
            "data": [
                {"groupId": 3918893, "groupExternalId": "family_001", "primaryMemberId": 566998132},
                {"groupId": 3918894, "groupExternalId": "without_primary", "primaryMemberId": None},
            ],
            "warnings": [],
            "errors": [],
        },
    ),
)
