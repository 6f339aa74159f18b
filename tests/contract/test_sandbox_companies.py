"""Hierarchies, companies, and the groups that associations make."""

from typing import Any

import httpx
import pytest

from tests.contract.sandbox_earning import code_of
from tests.contract.sandbox_kit import DAUGHTER, GROUP, MOTHER, PRIMARY, SON, Json, Lab, in_process

CHAIN = [
    {"code": "Distributor", "childRoleCode": "Manager", "maxChild": 1, "pointsAggregationRole": True},
    {"code": "Manager", "childRoleCode": "StoreOwner"},
    {"code": "StoreOwner"},
]


async def define(lab: Lab, roles: Any = CHAIN, **flags: Any) -> httpx.Response:
    """Define the hierarchy H."""
    body = {"code": "H", "name": "H", "isAutoGroupCreationEnabled": True, "roles": roles, **flags}
    return await lab.client.post("/v2/fleetHierarchy", json=body)


async def associate(lab: Lab, customer: int, role: str, company: str = "north", **more: Any) -> httpx.Response:
    """Give a customer a role in a company."""
    return await lab.client.put(
        f"/v2/customers/{customer}", json={"associationDetails": details(role, company, **more)}
    )


def details(role: str, company: str = "north", **more: Any) -> Json:
    """Build associationDetails."""
    fleet = {"name": company.title(), "externalId": company, "hierarchyDefinitionCode": "H"}
    return {"hierarchyCode": "H", "roleCode": role, "fleetCompany": {**fleet, **more}}


async def people(lab: Lab, count: int = 5) -> None:
    """Seed customers 1, 2, 3 and so on."""
    await lab.seed(customers=[{"id": each} for each in range(1, count + 1)])


async def test_the_owner_founds_the_group_and_lower_roles_join() -> None:
    """With automatic creation the owner's association makes the group, and others join it without redemption."""
    async with in_process() as lab:
        await people(lab)
        await define(lab, isSkipRoleAllowed=True)
        answers = [await associate(lab, 1, "Distributor"), await associate(lab, 2, "StoreOwner")]
        events = await lab.settled()
        group = await lab.group(externalId="north", companyDetails="true")
        query = {"source": "INSTORE", "identifierName": "id", "identifierValue": group["id"]}
        members = (await lab.client.get("/v2/userGroup2/members", params=query)).json()["data"]
        shown = (await lab.client.get("/v2/customers/2")).json()["associationDetails"]

    assert [each.status_code for each in answers] == [200, 200]
    assert [each["eventName"] for each in events] == ["groupCreated", "groupMemberAdded", "groupMemberAdded"]
    assert [(row["userId"], row["primaryMember"]) for row in group["fleetGroupUsers"]] == [(1, True), (2, False)]
    assert [(row["roleCode"], row["permissions"]) for row in members] == [
        ("Distributor", "allow_points_redemption,allow_points_transfer"),
        ("StoreOwner", "block_points_redemption,block_points_transfer"),
    ]
    assert (group["warnings"], group["companyDetails"]["externalId"]) == ([], "north")
    assert shown["roleCode"] == "StoreOwner"


@pytest.mark.parametrize(
    ("strict", "skip", "roles", "expected"),
    [
        (True, False, ["StoreOwner"], [400]),
        (False, False, ["StoreOwner"], [200]),
        (True, False, ["Distributor", "StoreOwner"], [200, 400]),
        (False, False, ["Distributor", "StoreOwner"], [200, 400]),
        (True, True, ["Distributor", "StoreOwner"], [200, 200]),
        (True, False, ["Distributor", "Manager", "StoreOwner"], [200, 200, 200]),
        (True, True, ["Distributor", "Manager", "Manager"], [200, 200, 400]),
    ],
)
async def test_order_skipping_and_numbers(*, strict: bool, skip: bool, roles: list[str], expected: list[int]) -> None:
    """A strict hierarchy needs somebody above first; a role is skipped, or outnumbers maxChild, only if allowed."""
    async with in_process() as lab:
        await people(lab)
        await define(lab, isHierarchyCreationStrict=strict, isSkipRoleAllowed=skip)
        answers = [await associate(lab, customer, role) for customer, role in enumerate(roles, start=1)]

    assert [each.status_code for each in answers] == expected


@pytest.mark.parametrize("spelling", ["hierarchyCreationStrict", "isHierarchyCreationStrict"])
async def test_both_spellings_of_the_flags(spelling: str) -> None:
    """The flags of the use-case page and of the API reference mean the same."""
    async with in_process() as lab:
        await people(lab)
        await define(lab, **{spelling: True})
        answer = await associate(lab, 1, "Manager")

    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("roles", "code"),
    [
        ([{"code": "A", "childRoleCode": "B"}, {"code": "B", "childRoleCode": "A"}], 1608),
        ([{"code": "A"}, {"code": "B", "childRoleCode": "B"}], 1608),
        ([{"code": "A", "childRoleCode": "B"}, {"code": "B"}], 1614),
        ([{"code": "A", "childRoleCode": "C"}, {"code": "B"}], 400),
        ([{"code": "A"}, {"code": "B"}], 400),
        ([{"code": "A"}], 400),
        ([{"code": str(each), "childRoleCode": str(each + 1)} for each in range(8)] + [{"code": "8"}], 400),
        ([{"code": "A", "childRoleCode": "B", "maxChild": 30001}, {"code": "B"}], 400),
        ([{"code": "A", "permissions": "all"}, {"code": "B"}], 1641),
        (3, 400),
    ],
)
async def test_hierarchies_that_are_none(roles: Any, code: int) -> None:
    """Roles that form no chain are refused, and nothing is defined."""
    async with in_process() as lab:
        await people(lab)
        answer = await define(lab, roles)
        after = await associate(lab, 1, "A")

    assert (answer.status_code, code_of(answer)) == (400, code)
    assert code_of(after) == 1701


async def test_roles_can_be_added_and_not_changed() -> None:
    """A hierarchy without roles takes them later; one with roles keeps them."""
    async with in_process() as lab:
        await people(lab)
        first = await define(lab, [])
        early = await associate(lab, 1, "Distributor")
        second = await define(lab)
        third = await define(lab)
        late = await associate(lab, 1, "Distributor")

    assert [each.status_code for each in (first, early, second, third, late)] == [200, 400, 200, 400, 200]


@pytest.mark.parametrize(
    ("customer", "body", "code"),
    [
        (2, details("Nobody"), 400),
        (2, {**details("Manager"), "hierarchyCode": "X"}, 1701),
        (2, {"roleCode": "Manager", "fleetCompany": {"externalId": "north"}}, 1701),
        (2, {"hierarchyCode": "H", "roleCode": "Manager"}, 1704),
        (2, details("Manager", "closed"), 1705),
        (2, details("Manager", "new", parentCompany={"externalId": "nowhere"}), 1703),
        (1, details("Manager", "south"), 1622),
        (1, details("Manager"), 400),
        (PRIMARY, details("Distributor", "south"), 1642),
        (2, [], 400),
    ],
)
async def test_refused_associations_change_nothing(customer: int, body: Any, code: int) -> None:
    """A role that cannot be given has its code and leaves companies, groups and customer as they were."""
    async with in_process() as lab:
        await people(lab)
        await define(lab)
        await associate(lab, 1, "Distributor")
        await associate(lab, 5, "Distributor", "closed")
        await lab.client.delete("/v2/companies", params={"externalId": "closed"})
        before = [(await lab.client.get(path)).json() for path in ("/sandbox/state", f"/v2/customers/{customer}")]
        answer = await lab.client.put(
            f"/v2/customers/{customer}", json={"profiles": [{"firstName": "X"}], "associationDetails": body}
        )
        after = [(await lab.client.get(path)).json() for path in ("/sandbox/state", f"/v2/customers/{customer}")]
        south = await lab.client.get("/v2/companies", params={"externalId": "south"})

    assert (answer.status_code, code_of(answer)) == (400, code)
    assert before == after
    assert code_of(south) == 1704


async def test_a_customer_is_registered_with_the_role_or_not_at_all() -> None:
    """Create takes both or neither; a batch registers the new, associates the known, and reports the rest."""
    card = {"identifiers": [{"type": "mobile", "value": "919876500001"}]}
    item = {"profiles": [card], "associationDetails": details("Distributor")}
    async with in_process() as lab:
        await define(lab, isHierarchyCreationStrict=True)
        early = {**item, "associationDetails": details("Manager")}
        refused = await lab.client.post("/v2/customers", json=early)
        gone = await lab.client.get("/v2/customers/lookup/customerDetails", params=_mobile("919876500001"))
        mother = {"profiles": [{"identifiers": [{"type": "externalId", "value": "mother"}]}]}
        batch = [item, {**mother, "associationDetails": details("Manager")}, {"profiles": []}]
        answer = await lab.client.post("/v2/customers/bulk", json=batch)
        too_many = await lab.client.post("/v2/customers/bulk", json=[item] * 101)

    rows = answer.json()["response"]
    assert (refused.status_code, code_of(gone)) == (400, 8015)
    assert (answer.status_code, answer.json()["failureCount"]) == (201, 1)
    assert rows[1]["entityId"] == MOTHER
    assert code_of(too_many) == 1060


def _mobile(number: str) -> dict[str, str]:
    return {"source": "INSTORE", "identifierName": "mobile", "identifierValue": number}


async def test_sub_companies_lean_on_their_parent() -> None:
    """Roles above are found in the parent company, its group takes in lower roles, and closing it closes all below."""
    async with in_process() as lab:
        await people(lab)
        await define(lab, isHierarchyCreationStrict=True)
        await associate(lab, 1, "Distributor")
        branch = {"name": "Branch", "externalId": "branch", "hierarchyDefinitionCode": "H"}
        created = await lab.client.post("/v2/companies", json={**branch, "parentCompany": {"externalId": "north"}})
        joined = await associate(lab, 2, "Manager", "branch")
        group = await lab.group(externalId="north")
        await lab.client.delete("/v2/companies", params={"externalId": "north"})
        closed = (await lab.client.get("/v2/companies", params={"id": created.json()["companyId"]})).json()

    assert created.json()["parentCompany"] == {"externalId": "north"}
    assert joined.status_code == 200
    assert [row["userId"] for row in group["fleetGroupUsers"]] == [1, 2]
    assert closed["isActive"] is False


NEW = {"name": "N", "externalId": "new", "hierarchyDefinitionCode": "H"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "N", "externalId": "north", "hierarchyDefinitionCode": "H"}, 1702),
        ({"name": "N", "externalId": "new", "hierarchyDefinitionCode": "X"}, 1701),
        ({"name": "N", "externalId": "new"}, 1701),
        (
            {"name": "N", "externalId": "new", "hierarchyDefinitionCode": "H", "parentCompany": {"externalId": "x"}},
            1703,
        ),
        (
            {"name": "N", "externalId": "n", "hierarchyDefinitionCode": "H", "parentCompany": {"externalId": "shut"}},
            1705,
        ),
        ({"externalId": "new", "hierarchyDefinitionCode": "H"}, 400),
    ],
)
async def test_refused_companies(body: Json, code: int) -> None:
    """A company that cannot be added has its code."""
    async with in_process() as lab:
        await define(lab)
        for name in ("north", "shut"):
            company = {"name": name, "externalId": name, "hierarchyDefinitionCode": "H"}
            await lab.client.post("/v2/companies", json=company)
        await lab.client.delete("/v2/companies", params={"externalId": "shut"})
        answer = await lab.client.post("/v2/companies", json=body)
        closed = await lab.client.put("/v2/companies", json={"externalId": "shut", "name": "Open"})

    assert (answer.status_code, code_of(answer)) == (400, code)
    assert code_of(closed) == 1705


async def test_groups_are_found_by_their_fields() -> None:
    """All fields given must match; unknown and missing fields have their codes."""
    path = "/v2/userGroup2/extendedFieldSearch"
    async with in_process() as lab:
        fields = {"ug_status": "Active", "level": 3}
        await lab.client.put("/v2/userGroup2", json={"id": GROUP, "extendedFields": fields})
        hit = await lab.client.post(path, json={"extendedFields": {"ug_status": "Active", "level": 3}})
        miss = await lab.client.post(path, json={"extendedFields": {"ug_status": "Active", "level": 4}})
        await lab.switch(organisation={"extended_fields": ["ug_status"]})
        refused = [await lab.client.post(path, json=body) for body in ({}, {"extendedFields": {"level": 3}})]
        invalid = await lab.client.post(path, json={"extendedFields": {"ug_status": []}})

    assert [(row["groupId"], row["totalActiveMembers"]) for row in hit.json()["data"]] == [(GROUP, 5)]
    assert miss.json()["data"] == []
    assert [code_of(each) for each in (*refused, invalid)] == [1661, 91016, 91017]


async def test_the_primary_is_handed_over_where_allowed() -> None:
    """By default the primary is fixed; with the switch another member takes over, and the old one stays a secondary."""
    path = f"/sandbox/groups/{GROUP}/primary"
    async with in_process() as lab:
        fixed = await lab.client.post(path, json={"customer": MOTHER})
        await lab.switch(organisation={"primary_handover": True})
        done = await lab.client.post(path, json={"customer": MOTHER})
        refused = [await lab.client.post(path, json={"customer": each}) for each in (MOTHER, 5)]
        group = await lab.group(primaryUserId=MOTHER)

    assert (fixed.status_code, done.json()) == (422, {"group": GROUP, "primary": MOTHER})
    assert [each.json()["error"]["code"] for each in refused] == [1637, 1620]
    rows = {row["userId"]: row["primaryMember"] for row in group["fleetGroupUsers"] if row["active"]}
    assert (rows[MOTHER], rows[PRIMARY], rows[SON], rows[DAUGHTER]) == (True, False, False, False)


async def test_the_tier_log_wants_a_group() -> None:
    """The log of a group nobody has is refused with 1632, no id with 1619."""
    path = "/v2/userGroup2/slabHistory"
    async with in_process() as lab:
        answers = [await lab.client.get(path, params={"fleetGroupId": each}) for each in ("x", "5", "")]

    assert [code_of(each) for each in answers] == [1619, 1632, 400]
