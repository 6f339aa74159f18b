"""Every code that the sandbox can refuse with is refused with over HTTP: one table, compared with the source."""

import ast
import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

import tiersync.loyalty
import tiersync.sandbox
from tests.contract.sandbox_earning import buy, plant
from tests.contract.sandbox_kit import DAUGHTER, GROUP, MOTHER, PRIMARY, PROGRAM, SON, UNCLE, Lab, in_process
from tiersync.loyalty.groups import Reason

GROUPS, HOOKS, CUSTOMERS = "/v2/userGroup2", "/v3/webHooks", "/v2/customers"
ALLOW = ["allow_points_redemption"]
NEW_GROUP = {"externalId": "new", "maxGroupSize": 3}
OWNER = {"code": "Owner", "childRoleCode": "Driver", "pointsAggregationRole": True}
CHAIN = [OWNER, {"code": "Driver"}]
HOOK = {
    "name": "n",
    "webHookUrl": "http://127.0.0.1:9/",
    "webHookType": "HTTP",
    "methodType": "POST",
    "eventNames": [],
    "maxAllowedConnections": 1,
    "webHookHeaders": {},
    "active": True,
    "customerIdentifiersToBeEnriched": [],
}
OUT = {
    "pointsTobeTransferred": 1,
    "fromEntity": {"type": "USERGROUP2", "id": GROUP},
    "toEntity": {"type": "CUSTOMER", "id": SON},
    "transferredBy": {"id": PRIMARY},
}

Provoke = Callable[[Lab], Awaitable[httpx.Response]]


def send(method: str, path: str, body: Any = None, **query: Any) -> Provoke:
    """Provoke by one request."""
    return lambda lab: lab.client.request(method, path, params=query, json=body)


def after(*steps: Provoke) -> Provoke:
    """Provoke by several; the last one is refused."""

    async def provoke(lab: Lab) -> httpx.Response:
        answers = [await step(lab) for step in steps]
        return answers[-1]

    return provoke


def switched(**sections: Any) -> Provoke:
    """Change switches first."""
    return send("PUT", "/sandbox/faults", sections)


def seeded(**scene: Any) -> Provoke:
    """Plant a scene first."""
    return send("POST", "/sandbox/seed", scene)


def adjusted(**body: Any) -> Provoke:
    """Provoke by an adjustment."""
    return lambda lab: lab.adjust(**body)


def joined(item: Any = None, **query: Any) -> Provoke:
    """Provoke by joining: Uncle joins the family unless told otherwise."""
    whole = {"userId": UNCLE, "permissions": ALLOW, **(item or {})}
    return send("POST", f"{GROUPS}/join", [whole], **(query or {"id": GROUP}))


def left(who: str, group: object = GROUP) -> Provoke:
    """Provoke by leaving."""
    return send("DELETE", f"{GROUPS}/{group}/leave", None, identifierName="externalId", identifierValue=who)


def hierarchy(roles: Any = CHAIN, **flags: Any) -> Provoke:
    """Define the hierarchy H, which founds groups."""
    body = {"code": "H", "name": "H", "isAutoGroupCreationEnabled": True, "roles": roles, **flags}
    return send("POST", "/v2/fleetHierarchy", body)


def associated(customer: int, role: str = "Owner", company: object = "north", **more: Any) -> Provoke:
    """Give a customer a role in a company."""
    details = {"hierarchyCode": "H", "roleCode": role, "fleetCompany": {"externalId": company, **more}}
    return send("PUT", f"{CUSTOMERS}/{customer}", {"associationDetails": details})


def company(name: str = "north", **more: Any) -> Provoke:
    """Add a company."""
    return send("POST", "/v2/companies", {"name": name, "externalId": name, "hierarchyDefinitionCode": "H", **more})


def redeemed(points: Any = 1, customer: int = DAUGHTER, item: Any = None, **query: Any) -> Provoke:
    """Provoke by redeeming; the family has bought for 100 before."""
    body = {"root": {"redeem": [{"points_redeemed": points, "customer": {"id": customer}, **(item or {})}]}}

    async def provoke(lab: Lab) -> httpx.Response:
        await plant(lab, pointsPerCurrency=1, workflows=[])
        await buy(lab, "b", 100, DAUGHTER)
        return await lab.client.post("/v1.1/points/redeem", params={"program_id": PROGRAM, **query}, json=body)

    return provoke


def moved(**change: Any) -> Provoke:
    """Provoke by moving points out of the group."""
    return send("POST", "/v2/points/userGroup2/transfer", {**OUT, **change})


def everywhere(fault: str) -> Provoke:
    """Switch a fault on and call."""
    return after(switched(all={fault: True}), adjusted())


async def anonymous(lab: Lab) -> httpx.Response:
    """Call without credentials."""
    return await lab.client.get(GROUPS, params={"id": GROUP}, headers={"authorization": "Basic bm9ib2R5"})


GROUP_ACTION = {"redemption": {"workflow": [{"condition": "true", "action": "Redeem Group Points"}]}}


async def redeemed_by_wrong_action(lab: Lab) -> httpx.Response:
    """Redeem singly where the workflow redeems for the group."""
    await plant(lab, pointsPerCurrency=1, workflows=[], **GROUP_ACTION)
    await buy(lab, "b", 100, DAUGHTER)
    body = {"root": {"redeem": [{"points_redeemed": 1, "customer": {"id": DAUGHTER}}]}}
    return await lab.client.post("/v1.1/points/redeem", params={"program_id": PROGRAM}, json=body)


async def locked(lab: Lab) -> httpx.Response:
    """Call while another call for the same customer is in its latency."""
    await lab.switch(adjust={"locked": True})
    return await lab.adjust()


LIMITED = {"CONF_USER_GROUP_OTP_ENABLE": True}
TABLE: dict[int, Provoke] = {
    400: adjusted(slabChangeReason="x" * 256),
    401: anonymous,
    403: send("POST", GROUPS, {"externalId": "new"}),
    404: send("GET", f"{HOOKS}/eventLog/nothing"),
    405: send("PATCH", GROUPS),
    413: send("POST", GROUPS, {"externalId": "x" * 9_000_000}),
    422: moved(pointsTobeTransferred=0),
    429: everywhere("rate_limited"),
    461: everywhere("busy"),
    500: everywhere("server_error"),
    521: locked,
    801: redeemed(0),
    818: redeemed(10_000),
    830: moved(transferredBy={"id": MOTHER}),
    876: after(switched(organisation=LIMITED), joined({"validationCode": "000000"})),
    878: redeemed(1.2345),
    889: after(
        switched(organisation={"ENABLE_GROUP_PROGRAMS_REDEMPTION": False}), redeemed(item={"group_redemption": True})
    ),
    1060: send("POST", f"{CUSTOMERS}/bulk", [{}] * 101),
    1101: adjusted(programId=1),
    1608: hierarchy([{**OWNER, "childRoleCode": "Owner"}, {"code": "Driver", "childRoleCode": "Owner"}]),
    1614: hierarchy([{**OWNER, "pointsAggregationRole": False}, {"code": "Driver"}]),
    1619: left("mother", "x"),
    1620: left("uncle"),
    1621: left("nobody"),
    1622: after(
        seeded(customers=[{"id": 1}, {"id": 2}]),
        hierarchy(),
        associated(1),
        associated(2, company="south"),
        joined({"userId": 1}, externalId="south"),
    ),
    1623: joined({"userId": MOTHER}),
    1624: after(
        send("POST", GROUPS, NEW_GROUP),
        send(
            "POST",
            f"{GROUPS}/transfer",
            {"leaveGroupId": GROUP, "joinGroupId": GROUP + 1, "userIds": [PRIMARY]},
        ),
    ),
    1632: send("GET", GROUPS, None, externalId="nothing"),
    1633: send("POST", GROUPS, {**NEW_GROUP, "externalId": "family_001"}),
    1634: send("POST", GROUPS, {"maxGroupSize": 3}),
    1635: send("GET", GROUPS),
    1636: after(
        switched(organisation={"groups_per_member_max": 1}),
        send("POST", GROUPS, NEW_GROUP),
        joined({"userId": MOTHER}, externalId="new"),
    ),
    1637: joined({"primaryMember": True}),
    1638: after(send("PUT", GROUPS, {"id": GROUP, "maxGroupSize": 5}), joined()),
    1639: send("POST", GROUPS, {**NEW_GROUP, "maxGroupSize": 30_001}),
    1640: send("POST", GROUPS, {**NEW_GROUP, "maxGroupSize": 0}),
    1641: joined({"permissions": ["fly"]}),
    1642: after(send("POST", GROUPS, NEW_GROUP), joined({"userId": PRIMARY, "primaryMember": True}, externalId="new")),
    1643: send("PUT", GROUPS, {"id": GROUP}),
    1644: send("POST", f"{GROUPS}/transfer", {}),
    1645: send("POST", f"{GROUPS}/join", ["nonsense"], id=GROUP),
    1646: moved(fromEntity={"type": "USER", "id": 1}),
    1647: moved(fromEntity={"type": "USERGROUP2"}, transferredBy={"id": UNCLE}),
    1649: hierarchy([OWNER, {"code": "Driver", "pointsAggregationRole": True}]),
    1651: moved(transferredBy={"id": UNCLE}),
    1656: send("GET", GROUPS, None, id=GROUP),
    1661: send("POST", f"{GROUPS}/extendedFieldSearch", {}),
    1701: company(hierarchyDefinitionCode="X"),
    1702: after(hierarchy(), company(), company()),
    1703: after(hierarchy(), company(parentCompany={"externalId": "nothing"})),
    1704: send("GET", "/v2/companies", None, externalId="nothing"),
    1705: after(
        hierarchy(),
        company(),
        send("DELETE", "/v2/companies", None, externalId="north"),
        send("PUT", "/v2/companies", {"externalId": "north", "name": "North"}),
    ),
    3045: after(seeded(customers=[{"id": 1, "status": "Fraud_confirmed"}]), adjusted(customer=1)),
    3316: redeemed_by_wrong_action,
    4000: everywhere("forbidden"),
    4001: everywhere("unavailable"),
    8015: adjusted(customer=1),
    8917: adjusted(slabAction="RENEW"),
    8920: adjusted(manualSlabActionValidity="FOREVER"),
    8921: adjusted(manualSlabActionValidity="FIXED_DURATION", manualSlabActionValidityUpto="x"),
    8923: adjusted(toSlabName="Platinum"),
    8925: adjusted(toSlabName="Silver"),
    11030: adjusted(customer="undefined"),
    51003: send("POST", HOOKS, {**HOOK, "eventNames": None}),
    51007: send("POST", HOOKS, {**HOOK, "maxAllowedConnections": 0}),
    91015: send("POST", GROUPS, {**NEW_GROUP, "groupName": "x" * 51}),
    91016: after(
        switched(organisation={"extended_fields": ["a"]}),
        send("POST", GROUPS, {**NEW_GROUP, "extendedFields": {"b": 1}}),
    ),
    91017: send("POST", GROUPS, {**NEW_GROUP, "extendedFields": {"a": {}}}),
    91052: send("GET", f"{GROUPS}/search"),
    300004: send("POST", HOOKS, {**HOOK, "maxAllowedConnections": None}),
}

REASONS: dict[Reason, Provoke] = {
    Reason.ROLE_UNKNOWN: hierarchy([{**OWNER, "childRoleCode": "Pilot"}, {"code": "Driver"}]),
    Reason.ROLE_TWICE: hierarchy([OWNER, OWNER]),
    Reason.ROLE_COUNT: hierarchy([{**OWNER, "childRoleCode": None}]),
    Reason.ROLE_LIMIT: hierarchy([{**OWNER, "maxChild": 0}, {"code": "Driver"}]),
    Reason.ROLES_NOT_ONE_CHAIN: hierarchy([*CHAIN, {"code": "Pilot"}]),
    Reason.HIERARCHY_EXISTS: after(hierarchy(), hierarchy()),
    Reason.HIERARCHY_DIFFERS: after(
        hierarchy(), hierarchy(code="G"), company(hierarchyDefinitionCode="G"), associated(UNCLE)
    ),
    Reason.COMPANIES_TOO_DEEP: after(
        hierarchy(),
        company("c0"),
        *(company(f"c{each}", parentCompany={"externalId": f"c{each - 1}"}) for each in range(1, 21)),
    ),
    Reason.ROLE_TAKEN: after(hierarchy(), associated(UNCLE), associated(UNCLE, "Driver")),
    Reason.ROLE_OUT_OF_ORDER: after(hierarchy(isHierarchyCreationStrict=True), associated(UNCLE, "Driver")),
    Reason.ROLE_SKIPPED: after(
        hierarchy([OWNER, {"code": "Driver", "childRoleCode": "Helper"}, {"code": "Helper"}]),
        associated(UNCLE),
        associated(SON, "Helper"),
    ),
    Reason.ROLE_FULL: after(
        hierarchy([{**OWNER, "maxChild": 1}, {"code": "Driver"}]),
        associated(UNCLE),
        associated(SON, "Driver"),
        associated(DAUGHTER, "Driver"),
    ),
}

#: Codes that say that all is well, or that some of a batch is.
WELL = {200, 201, 600, 800}
#: Whatever refuses or warns, with the place of the code among its arguments.
SPEAKERS = {
    **dict.fromkeys(("refuse", "error_v2", "error_v3", "error_entry", "item_status", "warning", "_warn"), 0),
    **dict.fromkeys(("LoyaltyError", "answer_v1", "_error", "_text"), 1),
    "amount_of": 2,
}
OTHER_FACES = ("tiersync.sandbox.sessionm", "tiersync.sandbox.crm", "tiersync.sandbox.faces")


def modules() -> Iterator[ModuleType]:
    """Yield every module of the Capillary face and of the core behind it."""
    for package in (tiersync.sandbox, tiersync.loyalty):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.startswith(OTHER_FACES):
                yield importlib.import_module(found.name)


def spoken(module: ModuleType) -> Iterator[int]:
    """Yield the codes that a module hands to whatever refuses or warns."""
    tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))
    handed: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            place = SPEAKERS.get(_name(node.func))
            handed += [] if place is None else node.args[place : place + 1]
            handed += [each.value for each in node.keywords if each.arg == "code"]
        elif isinstance(node, ast.Assign) and _name(node.targets[0]) == "FORCED":
            handed += [row.elts[0] for row in ast.walk(node) if isinstance(row, ast.Tuple)]
    for node in (inner for part in handed for inner in ast.walk(part)):
        value = _value(module, node)
        if isinstance(value, int) and not isinstance(value, bool):
            yield int(value)


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _value(module: ModuleType, node: ast.AST) -> object:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return getattr(module, name, None)
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return getattr(getattr(module, owner, None), name, None)
    return None


def codes_in(value: Any) -> set[int]:
    """Return every code that an answer carries, wherever."""
    if isinstance(value, dict):
        own = {value["code"]} if isinstance(value.get("code"), int) else set()
        return own.union(*(codes_in(inner) for inner in value.values()))
    return set().union(*map(codes_in, value)) if isinstance(value, list) else set()


def test_the_table_has_every_code_of_the_source_and_no_other() -> None:
    """A code that somebody adds to the source is refused with until the table here says how to provoke it."""
    found = {code for module in modules() for code in spoken(module)} - WELL

    assert found == set(TABLE)


def test_every_reason_has_a_row() -> None:
    """The same holds for the words that stand in for unpublished codes."""
    assert set(Reason) == set(REASONS)


@pytest.mark.parametrize("code", TABLE)
async def test_a_code_comes_over_http(code: int) -> None:
    """What the row does is answered with its code."""
    async with in_process() as lab:
        answer = await TABLE[code](lab)

    assert code in codes_in(answer.json()), answer.text


@pytest.mark.parametrize("reason", REASONS)
async def test_a_reason_comes_over_http(reason: Reason) -> None:
    """Where no code is published, code 400 carries a reason beside its sentence."""
    async with in_process() as lab:
        answer = await REASONS[reason](lab)

    assert answer.status_code == 400
    entry = answer.json()["errors"][0]
    assert (400, reason) == (entry["code"], entry["reason"])
