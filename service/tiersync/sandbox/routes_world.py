"""The control API's hands on the world: seed it, see it, decide a tier, ask whether everybody follows."""

from datetime import UTC, datetime
from typing import get_args

from pydantic import ValidationError

from tiersync.errors import LoyaltyError
from tiersync.loyalty.groups import CustomerId, Group
from tiersync.sandbox.answers import Answer
from tiersync.sandbox.ask import Ask
from tiersync.sandbox.calls import Call
from tiersync.sandbox.desk import Desk
from tiersync.sandbox.ids import customer_id, group_id
from tiersync.sandbox.routes_groups import NO_GROUP
from tiersync.sandbox.seeds import Batch, Seed, find_tier, plant, readable
from tiersync.sandbox.tiers import Programme, Standing, TierChanged, stamp_iso
from tiersync.sandbox.verbs import Verb
from tiersync.sandbox.world import CoreAction, World


def seed(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Add programmes and groups in bulk, without events."""
    try:
        scene = Seed.model_validate_json(ask.body)
    except ValidationError as wrong:
        raise readable(wrong) from wrong
    groups = plant(desk.world, scene, ask.now)
    return Answer(
        {
            "programmes": len(scene.programmes),
            "groups": [
                {
                    "id": group.id,
                    "externalId": group.external_id,
                    "primary": group.primary,
                    "members": desk.world.register.active_count(group.id),
                }
                for group in groups
            ],
            "customers": len(desk.world.people),
        }
    )


def state(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Return everything, or one group with the standings of its members."""
    world = desk.world
    wanted = ask.query.get("group")
    groups = list(world.register)
    if wanted is not None:
        number = group_id(wanted)
        by_id = {each.id: each for each in groups}
        found = by_id.get(NO_GROUP if number is None else number) or world.register.find(external_id=wanted)
        groups = [found]
        standings = [
            _standing(programme, row.customer, world.places.standing(programme, row.customer))
            for programme in world.programmes
            for row in world.register.members(found.id)
        ]
    else:
        standings = [_standing(*each) for each in world.places.standings()]
    return Answer(
        {
            "programmes": [_programme(programme) for programme in world.programmes],
            "groups": [_group(world, group) for group in groups],
            "standings": standings,
            "customers": len(world.people),
        }
    )


def converged(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Say whether every active secondary is in its primary's tier."""
    world = desk.world
    named = ask.query.get("programId")
    programme = world.programmes.default() if named is None else world.programmes.find(named)
    differing = [
        {
            "group": each.group,
            "primary": each.primary,
            "member": each.member,
            "expected": each.expected.name,
            "actual": each.actual.name,
        }
        for each in world.differences(programme)
    ]
    return Answer({"converged": not differing, "differing": differing})


def decide(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Decide a tier for a customer as the core does, and emit the event."""
    body, world = ask.fields(), desk.world
    customer = customer_id(ask.params["id"])
    if customer is None:
        raise LoyaltyError("the customer id in the path must be a whole number")
    named = body.get("programId")
    programme = world.programmes.default() if named is None else world.programmes.find(named)
    wanted = body.get("tier")
    if isinstance(wanted, bool) or not isinstance(wanted, int | str | None):
        raise LoyaltyError("tier must be a tier's number or name")
    facts = world.assign(
        customer,
        programme,
        None if wanted is None else find_tier(programme, wanted),
        _action(body.get("action", "auto")),
        ask.now,
    )
    events = desk.emit(facts, ask.request_id)
    first = facts[0]
    assert isinstance(first, TierChanged)  # noqa: S101 - assign tells of its customer first
    return Answer(
        {
            "customer": customer,
            "programId": programme.id,
            "direction": first.direction,
            "previous": first.previous.name,
            "tier": first.standing.tier.name,
            "number": first.standing.tier.number,
            "expires": stamp_iso(first.standing.expires),
            "eventIds": events,
        }
    )


def batch(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Renew or move many customers at once, now or at a set time."""
    try:
        wanted = Batch.model_validate_json(ask.body or b"{}")
    except ValidationError as wrong:
        raise readable(wrong) from wrong
    world, request_id = desk.world, ask.request_id
    programme = world.programmes.default() if wanted.program is None else world.programmes.find(wanted.program)
    customers = None if wanted.customers is None else [CustomerId(each) for each in wanted.customers]
    for customer in customers or ():
        world.people.require(customer)

    def decide_all(now: datetime) -> list[str]:
        return desk.emit(world.batch(programme, wanted.action, customers, now), request_id)

    if wanted.at is not None:
        desk.later(wanted.at, decide_all)
        return Answer({"scheduled": stamp_iso(wanted.at.astimezone(UTC)), "eventIds": []})
    return Answer({"scheduled": None, "eventIds": decide_all(ask.now)})


def _action(value: object) -> CoreAction:
    actions: tuple[CoreAction, ...] = get_args(CoreAction)
    for action in actions:
        if value == action:
            return action
    raise LoyaltyError(f"action must be one of {', '.join(actions)}")


def _programme(programme: Programme) -> dict[str, object]:
    return {
        "id": programme.id,
        "name": programme.name,
        "default": programme.default,
        "tiers": [{"number": tier.number, "name": tier.name} for tier in programme.tiers],
    }


def _group(world: World, group: Group) -> dict[str, object]:
    return {
        "id": group.id,
        "externalId": group.external_id,
        "name": group.name,
        "status": str(group.status),
        "primary": group.primary,
        "members": [
            {"customer": row.customer, "role": str(row.role), "active": row.active, "default": row.default}
            for row in world.register.members(group.id)
        ],
    }


def _standing(programme: Programme, customer: CustomerId, standing: Standing) -> dict[str, object]:
    return {
        "customer": customer,
        "programId": programme.id,
        "tier": standing.tier.name,
        "number": standing.tier.number,
        "expires": stamp_iso(standing.expires),
    }


VERBS = (
    Verb(
        "POST",
        "/sandbox/seed",
        seed,
        "Add programmes and groups in bulk, without events",
        "own",
        body={
            "programmes": [{"id": 974, "name": "Fleet", "default": False, "tiers": ["Base", "Top"]}],
            "groups": [
                {"externalId": "fleet_001", "primary": 1000, "secondaries": {"from": 1001, "count": 10}, "tier": 1}
            ],
        },
        example={
            "programmes": 1,
            "groups": [{"id": 3918894, "externalId": "fleet_001", "primary": 1000, "members": 11}],
            "customers": 17,
        },
    ),
    Verb(
        "GET",
        "/sandbox/state",
        state,
        "Programmes, groups and standings",
        "own",
        query=(("group", "family_001"),),
        example={"programmes": [], "groups": [], "standings": [], "customers": 6},
    ),
    Verb(
        "GET",
        "/sandbox/converged",
        converged,
        "Whether every secondary is in its primary's tier",
        "own",
        query=(("programId", "973"),),
        example={"converged": True, "differing": []},
    ),
    Verb(
        "POST",
        "/sandbox/customers/{id}/tier",
        decide,
        "Let the core decide a tier, which emits tierUpgraded, tierDowngraded or tierRenewed",
        "own",
        body={"programId": 973, "tier": "Gold", "action": "auto"},
        example={
            "customer": 566998132,
            "programId": 973,
            "direction": "upgraded",
            "previous": "Silver",
            "tier": "Gold",
            "number": 2,
            "expires": "2027-01-01T23:59:59Z",
            "eventIds": ["ccf65d56-1e34-4282-b9ad-8fe3fe558b74"],
        },
    ),
    Verb(
        "POST",
        "/sandbox/batch",
        batch,
        "Renew, or move by one tier, many customers at once (all primaries), now or at a set time",
        "own",
        body={"programId": 973, "action": "renew", "customers": [566998132], "at": "2036-12-01T02:30:00Z"},
        example={"scheduled": None, "eventIds": []},
    ),
)
