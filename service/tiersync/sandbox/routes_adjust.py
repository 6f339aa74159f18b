"""`POST /v2/slab/manualSlabAdjustment` (`contracts/capillary.md` 3.6)."""

from tiersync.errors import LoyaltyError
from tiersync.loyalty.groups import CustomerId
from tiersync.sandbox.adjusting import AdjustCode, Decision, read
from tiersync.sandbox.answers import Answer
from tiersync.sandbox.ask import Ask
from tiersync.sandbox.calls import TEXT_MAX, Call
from tiersync.sandbox.desk import Desk
from tiersync.sandbox.ids import customer_id, group_id, number
from tiersync.sandbox.tiers import Programme, stamp_ordinal
from tiersync.sandbox.verbs import Verb
from tiersync.sandbox.world import World

IDENTIFIERS = ("mobile", "id", "externalId")
GROUP_IDENTIFIERS = ("id", "externalId")


def about(world: World, ask: Ask) -> CustomerId | None:
    """Say whom the call is about, as far as that can be seen."""
    name, value = ask.query.get("identifierName", ""), ask.query.get("identifierValue", "")
    if ask.query.get("type") == "USERGROUP2":
        return None
    if name == "id":
        return customer_id(value)
    person = world.people.find(name, value) if name in IDENTIFIERS else None
    return None if person is None else person.id


def adjust(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Change or renew one customer's tier, or by the switch a group's own."""
    switches = desk.faults.switches
    if switches.answers.source == "required":
        ask.source()
    kind = ask.query.get("type", "CUSTOMER")
    if kind not in {"CUSTOMER", switches.answers.adjust_type}:
        raise LoyaltyError(
            "manual adjustments are available for type CUSTOMER only; the switch answers.adjust_type knows USERGROUP2",
            AdjustCode.INVALID,
        )
    return _adjust_group(desk, ask, call) if kind == "USERGROUP2" else _adjust_customer(desk, ask, call)


def _adjust_customer(desk: Desk, ask: Ask, call: Call) -> Answer:
    switches = desk.faults.switches
    name, value = ask.require("identifierName"), ask.query.get("identifierValue", "")
    if name not in IDENTIFIERS:
        raise LoyaltyError(f"identifierName must be one of {', '.join(IDENTIFIERS)}", AdjustCode.INVALID)
    if name == "id" and call.customer is None:
        raise LoyaltyError("identifierValue should be numeric", AdjustCode.IDENTIFIER_NOT_NUMERIC)
    person = desk.world.person(name, value)
    body = ask.fields()
    _note(call, body)
    programme = desk.world.programmes.find(body.get("programId"))
    refused = switches.adjust.refuse.get(str(person.id)) if switches.adjust.refuse else None
    if refused is not None:
        raise LoyaltyError("Tier adjustment is not allowed for the customer", refused)
    if person.status.lower() == "fraud_confirmed":
        raise LoyaltyError("Tier adjustment is not allowed for the customer", AdjustCode.NOT_ALLOWED)
    order = read(body, programme, desk.rules)
    decision, facts = desk.world.adjust(person.id, programme, order, ask.now, desk.rules)
    call.effect = True
    desk.emit(facts, ask.request_id)
    return _answer(desk, programme, person.id, decision)


def _adjust_group(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Change a group's own tier, which is nobody's else: no event is told of it, the group's tier log is."""
    name, value = ask.require("identifierName"), ask.require("identifierValue")
    if name not in GROUP_IDENTIFIERS:
        raise LoyaltyError(f"identifierName must be one of {', '.join(GROUP_IDENTIFIERS)}", AdjustCode.INVALID)
    number = group_id(value)
    if name == "id" and number is None:
        raise LoyaltyError("identifierValue should be numeric", AdjustCode.IDENTIFIER_NOT_NUMERIC)
    by_id = name == "id"
    group = desk.world.register.find(group=number if by_id else None, external_id=None if by_id else value)
    body = ask.fields()
    _note(call, body)
    programme = desk.world.programmes.find(body.get("programId"))
    decision = desk.world.adjust_group(group, programme, read(body, programme, desk.rules), ask.now, desk.rules)
    call.effect = True
    return _answer(desk, programme, group.id, decision, "USERGROUP2")


def _answer(desk: Desk, programme: Programme, entity: int, decision: Decision, kind: str = "USER") -> Answer:
    empty = desk.faults.switches.answers.side_effects == "empty"
    effects = [] if empty else [{**_effect(decision), "entityType": kind}]
    return Answer({"programId": programme.id, "entityId": entity, "sideEffects": effects, "warnings": []})


def _note(call: Call, body: dict[str, object]) -> None:
    """Write down what was asked for, even if it is refused."""
    action, tier, program = body.get("slabAction"), body.get("toSlabName"), body.get("programId")
    call.action = action[:TEXT_MAX] if isinstance(action, str) else None
    call.tier = tier[:TEXT_MAX] if isinstance(tier, str) else None
    call.program = number(program)


def _effect(decision: Decision) -> dict[str, object]:
    """Say what changed; the keys are the same for all actions, "upgraded" on a downgrade too."""
    tier = decision.standing.tier
    return {
        "previousSlabName": decision.previous.name,
        "previousSlabNumber": decision.previous.number,
        "upgradedSlabName": tier.name,
        "upgradedSlabNumber": tier.number,
        "slabExpiryDate": stamp_ordinal(decision.standing.expires),
        "type": "slab",
    }


VERBS = (
    Verb(
        "POST",
        "/v2/slab/manualSlabAdjustment",
        adjust,
        "Upgrade, downgrade, renew or extend one customer's tier",
        "v2",
        "adjust",
        locks=True,
        customer=about,
        query=(
            ("source*", "INSTORE"),
            ("identifierName*", "id"),
            ("identifierValue*", "564662499"),
            ("type", "CUSTOMER"),
        ),
        body={
            "programId": 973,
            "slabAction": "UPGRADE",
            "toSlabName": "Gold",
            "manualSlabActionValidity": "AS_PER_TIER_STRATEGY",
            "reassessTierOnNextActivity": False,
            "slabChangeReason": "primary was upgraded",
        },
        example={
            "programId": 973,
            "entityId": 564662499,
            "sideEffects": [
                {
                    "entityType": "USER",
                    "previousSlabName": "Silver",
                    "previousSlabNumber": 1,
                    "upgradedSlabName": "Gold",
                    "upgradedSlabNumber": 2,
                    "slabExpiryDate": "30th Nov, 2027",
                    "type": "slab",
                }
            ],
            "warnings": [],
        },
    ),
)
