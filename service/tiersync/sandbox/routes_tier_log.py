"""Of groups: their own tier log, the search by extended fields, and handing the primary over (3.1, 3.4, 3.7)."""

from datetime import UTC, date, datetime, time

from tiersync.errors import LoyaltyError
from tiersync.loyalty.groups import Code, Group, GroupId
from tiersync.sandbox.answers import Answer
from tiersync.sandbox.ask import INVALID, Ask
from tiersync.sandbox.calls import Call
from tiersync.sandbox.desk import Desk
from tiersync.sandbox.events import STORE, TILL_ID
from tiersync.sandbox.ids import customer_id, group_id
from tiersync.sandbox.routes_groups import found_group
from tiersync.sandbox.tiers import SlabLogged
from tiersync.sandbox.verbs import Verb

KINDS = {"upgraded": "UPGRADE", "downgraded": "DOWNGRADE", "renewed": "RENEW"}


def slab_history(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """List how a group's own tier changed, the newest first."""
    number = group_id(ask.require("fleetGroupId"))
    if number is None:
        raise LoyaltyError("Fleet group id is invalid", Code.GROUP_ID_INVALID)
    group = desk.world.register.find(group=number)
    since, until = _day(ask, "startDate", time.min), _day(ask, "endDate", time.max)
    limit, offset = ask.count("pageSize", ask.count("limit", 20)), ask.count("offset", 0)
    found = [
        line
        for line in reversed(desk.world.slab_log.get(group.id, []))
        if (since is None or line.at >= since) and (until is None or line.at <= until)
    ]
    return Answer(
        {
            "data": [_line(line) for line in found[offset : offset + limit]],
            "pagination": {"limit": limit, "offset": offset, "total": len(found)},
            "warnings": [],
        }
    )


def search_fields(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Find the groups that have all the extended fields given. Refuses with 1661, 91016 and 91017."""
    wanted = ask.fields().get("extendedFields")
    if not isinstance(wanted, dict) or not wanted:
        raise LoyaltyError("Extended fields to search by are missing", Code.SEARCH_FIELDS)
    known = desk.world.register.flags.extended_fields
    for name, value in wanted.items():
        if known is not None and name not in known:
            raise LoyaltyError(f"Extended field is not defined: {name:.50}", Code.EXTENDED_FIELD_UNKNOWN)
        if not isinstance(value, str | int | float | bool):
            raise LoyaltyError(f"Extended field value is invalid: {name:.50}", Code.EXTENDED_FIELD_INVALID)
    limit, offset = ask.count("limit", 10), ask.count("offset", 0)
    found = [
        group
        for group in desk.world.register
        if all(str(group.extended_fields.get(name)) == str(value) for name, value in wanted.items())
    ]
    return Answer(
        {
            "pagination": {"limit": limit, "offset": offset, "total": len(found)},
            "data": [_found(desk, group) for group in found[offset : offset + limit]],
            "warnings": [],
            "errors": [],
        }
    )


def hand_over(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Make another member the primary, where the switch allows it; the pages disagree whether that exists (3.4)."""
    if not desk.faults.switches.organisation.primary_handover:
        raise LoyaltyError("the primary is fixed; the switch organisation.primary_handover allows handing it over")
    number, customer = group_id(ask.params["group_id"]), customer_id(ask.fields().get("customer"))
    if customer is None:
        raise LoyaltyError("customer must be the id of a member")
    group = GroupId(-1) if number is None else number
    change = desk.world.register.hand_over(group, customer, ask.now)
    desk.emit([change], ask.request_id)
    return Answer({"group": change.group.id, "primary": change.group.primary})


def _day(ask: Ask, name: str, at: time) -> datetime | None:
    text = ask.query.get(name)
    if not text:
        return None
    try:
        return datetime.combine(date.fromisoformat(text[:10]), at, UTC)
    except ValueError as wrong:
        raise LoyaltyError(f"{name} must begin with a day, 2026-02-12", INVALID) from wrong


def _line(line: SlabLogged) -> dict[str, object]:
    tier = line.standing.tier
    words = {"upgraded": "Upgrading to", "downgraded": "Downgrading to", "renewed": "points_engine_tier_downgrade"}
    return {
        "fromSlabNumber": line.previous.number,
        "toSlabNumber": tier.number,
        "from": line.previous.name,
        "to": tier.name,
        "changedOn": line.at.isoformat(),
        "notes": f"{words[line.direction]} Slab : Slab[{tier.number}]: Name [{tier.name}]",
        "tillId": TILL_ID,
        "store": {**STORE, "id": TILL_ID, "type": "STORE", "adminType": "GENERAL", "isOrgUnit": False},
        "type": KINDS[line.direction],
        "programId": line.programme.id,
    }


def _found(desk: Desk, group: Group) -> dict[str, object]:
    found = found_group(desk.world, group)
    return {**found, "totalActiveMembers": found["totalMembers"]}


PAGE = {"limit": 10, "offset": 0, "total": 0}

VERBS = (
    Verb(
        "GET",
        "/v2/userGroup2/slabHistory",
        slab_history,
        "How a group's own tier changed",
        "v2",
        "groups",
        query=(
            ("fleetGroupId*", "3918893"),
            ("startDate", "2026-01-01"),
            ("endDate", "2036-01-01"),
            ("pageSize", "20"),
        ),
        example={"data": [], "pagination": {**PAGE, "limit": 20}, "warnings": []},
    ),
    Verb(
        "POST",
        "/v2/userGroup2/extendedFieldSearch",
        search_fields,
        "Groups by their extended fields",
        "v2",
        "groups",
        query=(("limit", "10"), ("offset", "0")),
        body={"extendedFields": {"ug_status": "Active"}},
        example={"pagination": PAGE, "data": [], "warnings": [], "errors": []},
    ),
    Verb(
        "POST",
        "/sandbox/groups/{group_id}/primary",
        hand_over,
        "Hand the primary over to another member, where the switch allows it",
        "own",
        body={"customer": 564662499},
        example={"group": 3918893, "primary": 564662499},
    ),
)
