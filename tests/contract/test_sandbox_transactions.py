"""Transactions become points, tiers and events; returns take all of it back."""

from typing import Any

import pytest

from tests.contract.sandbox_earning import (
    RULED,
    buy,
    by_id,
    code_of,
    everything,
    give_back,
    group_summary,
    moved,
    plant,
    points_of,
)
from tests.contract.sandbox_kit import DAUGHTER, GROUP, MOTHER, PRIMARY, PROGRAM, UNCLE, Json, in_process

MOBILE = "919988123457"


async def test_a_members_purchase_lifts_the_primary() -> None:
    """What a member buys for the group earns for it, lifts its own tier and its primary, and tells all of it."""
    async with in_process() as lab:
        await plant(lab)
        first = await buy(lab, "b1", 600, DAUGHTER)
        second = await buy(lab, "b2", 500, MOTHER)
        events = await lab.settled()
        summary = await group_summary(lab)
        log = (await lab.client.get("/v2/userGroup2/slabHistory", params={"fleetGroupId": GROUP})).json()["data"]

    assert moved(first) == [(GROUP, 60)]
    assert moved(second) == [(GROUP, 50), (PRIMARY, "Gold")]
    assert [each["eventName"] for each in events] == [
        "pointsContributionToGroup",
        "tierUpgraded",
        "pointsContributionToGroup",
    ]
    assert events[1]["data"]["entityInformation"]["entityId"] == PRIMARY
    assert events[1]["data"]["triggeringActivity"]["name"] == "TransactionAdd"
    assert events[1]["data"]["tierExpiryDate"] == "2027-03-09"
    contribution = events[0]["data"]
    assert contribution["contributingMember"]["customerIdentifiers"] == {"customerId": DAUGHTER}
    assert (contribution["groupId"], contribution["pointsContributedToGroup"]) == (GROUP, 60)
    assert (summary["loyaltyPoints"], summary["currentSlab"]) == (110, "Gold")
    assert [(row["type"], row["from"], row["to"], row["programId"]) for row in log] == [
        ("UPGRADE", "Silver", "Gold", PROGRAM)
    ]


async def test_the_group_read_shows_purchases_contributions_and_expiry() -> None:
    """Purchases for a group, what each member contributed, and when points die are in the group's reads."""
    async with in_process() as lab:
        await plant(lab)
        await buy(lab, "b1", 600, DAUGHTER)
        await give_back(lab, "b1", "AMOUNT", DAUGHTER, billAmount=100)
        group = await lab.group()
        query: Json = {"source": "INSTORE", "identifierName": "id", "identifierValue": GROUP}
        members = (await lab.client.get("/v2/userGroup2/members", params=query)).json()["data"]

    assert group["lifeTimePurchases"] == 500
    assert [(row["points"], row["expiryDate"]) for row in group["expirySchedules"]] == [(50, "2027-03-11")]
    assert {row["fleetUserId"]: row["pointsContributed"] for row in members if row["pointsContributed"]} == {
        DAUGHTER: 50
    }


async def test_a_return_reverses_points_and_tier() -> None:
    """A returned bill takes its points back, and the primary falls from the tier it led to."""
    async with in_process() as lab:
        await plant(lab)
        await buy(lab, "b1", 1200, DAUGHTER)
        answer = await give_back(lab, "b1", customer=DAUGHTER)
        events = await lab.settled()
        summary = await group_summary(lab)

    assert (GROUP, -120) in moved(answer)
    assert (PRIMARY, "Silver") in moved(answer)
    down = [each for each in events if each["eventName"] == "tierDowngraded"]
    assert {each["data"]["customerIdentifiers"]["customerId"] for each in down} == {DAUGHTER, PRIMARY}
    assert {each["data"]["triggeringActivity"]["name"] for each in down} == {"ReturnBill"}
    assert (summary["loyaltyPoints"], summary["currentSlab"]) == (0, "Silver")


async def test_parts_of_a_bill_come_back() -> None:
    """One item, then so much of the amount, then the rest: each takes back what it had earned, and no more is left."""
    lines = [{"itemCode": "shirt", "qty": 2, "amount": 400}, {"itemCode": "hat", "qty": 1, "amount": 100}]
    async with in_process() as lab:
        await plant(lab)
        await buy(lab, "b1", 500, lineItemsV2=lines)
        shirt = await give_back(lab, "b1", "LINE_ITEM", lineItemsV2=[{"itemCode": "shirt", "qty": 1, "amount": 200}])
        amount = await give_back(lab, "b1", "AMOUNT", billAmount="100")
        rest = await give_back(lab, "b1")
        again = await give_back(lab, "b1")

    assert [moved(each) for each in (shirt, amount, rest)] == [[(GROUP, -20)], [(GROUP, -10)], [(GROUP, -20)]]
    assert code_of(again) == 400


@pytest.mark.parametrize("allowed", [True, False])
async def test_returns_after_leaving_the_group(*, allowed: bool) -> None:
    """Who has left may return a bill made for the group only where the organisation allows it."""
    flag = "CONF_ALLOW_TRANSACTION_RETURN_AFTER_GROUP_TRANSITION"
    async with in_process() as lab:
        await plant(lab)
        await lab.switch(organisation={flag: allowed})
        await buy(lab, "b1", 400)
        left = {"source": "INSTORE", "identifierName": "mobile", "identifierValue": MOBILE}
        await lab.client.delete(f"/v2/userGroup2/{GROUP}/leave", params=left)
        answer = await give_back(lab, "b1")
        summary = await group_summary(lab)

    assert answer.status_code == (200 if allowed else 400)
    assert summary["loyaltyPoints"] == (0 if allowed else 40)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({}, GROUP),
        ({"userGroup2Id": GROUP}, GROUP),
        ({"userGroup2ExternalId": "family_001"}, GROUP),
        ({"userGroup2PrimaryUserId": PRIMARY}, GROUP),
        ({"userGroup2ExternalId": "second"}, GROUP + 1),
    ],
)
async def test_the_group_is_named_or_the_default_one(named: dict[str, Any], expected: int) -> None:
    """A transaction is made for the group it names, else for the customer's default group."""
    async with in_process() as lab:
        await plant(lab)
        await lab.seed(groups=[{"externalId": "second", "primary": 1000}])
        joiner = {"userId": MOTHER, "permissions": [], "defaultGroup": False}
        await lab.client.post("/v2/userGroup2/join", params={"externalId": "second"}, json=[joiner])
        answer = await buy(lab, "b1", 100, **named)

    assert moved(answer) == [(expected, 10)]


async def test_who_is_in_no_group_earns_alone() -> None:
    """A group branch gives nothing to somebody without a group; an individual one does."""
    async with in_process() as lab:
        await plant(lab)
        swiped = await buy(lab, "b1", 100, UNCLE)
        plain = await buy(lab, "b2", 100, UNCLE, None)

    assert (moved(swiped), moved(plain)) == ([], [(UNCLE, 10)])


REFUSED: list[tuple[dict[str, Any], dict[str, Any], int]] = [
    ({}, {"billAmount": -1}, 400),
    ({}, {"billAmount": "many"}, 400),
    ({}, {"billAmount": "NaN"}, 400),
    ({}, {"billAmount": 1e30}, 400),
    ({}, {"billAmount": None}, 400),
    ({}, {"billNumber": ""}, 400),
    ({}, {"billNumber": "taken"}, 400),
    ({}, {"type": "GIFT"}, 400),
    ({}, {"returnType": "SOME"}, 400),
    ({}, {"extendedFields": 3}, 400),
    ({}, {"lineItemsV2": [{"itemCode": "a", "qty": 0.5, "amount": 1}]}, 400),
    ({}, {"programId": 5}, 1101),
    ({}, {"userGroup2Id": 5}, 1632),
    ({}, {"userGroup2ExternalId": "second"}, 1620),
    (by_id(5), {}, 8015),
    ({"identifierName": ""}, {}, 8015),
    ({}, {"type": "RETURN", "returnType": "FULL", "billNumber": "unknown"}, 400),
    ({}, {"type": "RETURN", "returnType": "AMOUNT", "billNumber": "taken", "billAmount": 101}, 400),
    ({}, {"type": "RETURN", "returnType": "LINE_ITEM", "billNumber": "taken"}, 400),
    (
        {},
        {
            "type": "RETURN",
            "returnType": "LINE_ITEM",
            "billNumber": "taken",
            "lineItemsV2": [{"itemCode": "x", "amount": 1}],
        },
        400,
    ),
]


@pytest.mark.parametrize(("query", "body", "code"), REFUSED)
async def test_refused_transactions_change_nothing(query: dict[str, Any], body: dict[str, Any], code: int) -> None:
    """A transaction that cannot be taken has its code, and leaves points, tiers and groups as they were."""
    async with in_process() as lab:
        await plant(lab)
        await lab.seed(groups=[{"externalId": "second", "primary": 1000}])
        await buy(lab, "taken", 100)
        before = await everything(lab)
        answer = await lab.client.post(
            "/v2/transactions",
            params={**by_id(MOTHER), **query},
            json={"billNumber": "b", "billAmount": 10, **body},
        )
        after = await everything(lab)

    assert (answer.status_code, code_of(answer)) == (400, code)
    assert before == after


async def test_the_words_of_v1() -> None:
    """v1.1 adds and returns in its own envelope, item by item."""
    async with in_process() as lab:
        await plant(lab)
        customer = {"customer": {"mobile": MOBILE}}
        fields = {"extended_fields": {"field": [{"name": "member_card_swiped", "value": "Yes"}]}}
        good = {"number": "v1", "amount": "300", "type": "regular", **customer, **fields}
        items = [good, {**good, "number": "v2", "customer": {"mobile": "1"}}]
        added = await lab.client.post("/v1.1/transaction/add", json={"root": {"transaction": items}})
        back = {"type": "return", "return_type": "FULL", "number": "v1", **customer}
        returned = await lab.client.post("/v1.1/transaction/add", json={"root": {"transaction": [back]}})
        neither = await lab.client.post("/v1.1/transaction/add", json={"root": {"transaction": [{**back, "type": 1}]}})

    rows = added.json()["response"]["transactions"]["transaction"]
    assert added.json()["response"]["status"]["code"] == 201
    assert [row["item_status"]["code"] for row in rows] == [600, 8015]
    assert [each["awardedPoints"] for each in rows[0]["side_effects"]["effect"]] == [30]
    assert returned.json()["response"]["status"] == {"success": "true", "code": 200, "message": "Success"}
    assert (neither.status_code, neither.json()["response"]["status"]["success"]) == (200, "false")


async def test_many_at_once() -> None:
    """A batch takes each item on its own and answers 201 when some were refused."""
    async with in_process() as lab:
        await plant(lab)
        good = {"identifierType": "mobile", "identifierValue": MOBILE, "billNumber": "b", "billAmount": 50}
        answer = await lab.client.post("/v2/transactions/bulk", json=[good, {**good, "billAmount": "x"}, 3])
        too_many = await lab.client.post("/v2/transactions/bulk", json=[good] * 101)
        points = await points_of(lab)

    assert answer.status_code == 201
    assert [bool(row.get("errors")) for row in answer.json()["response"]] == [False, True, True]
    assert code_of(too_many) == 1060
    assert points == 5


@pytest.mark.parametrize(
    ("flags", "expected", "dies"),
    [
        ({"FLEET_GROUP_LOYALTY_ENABLED": False}, "member", None),
        ({"FLEET_GROUP_LOYALTY_ENABLED": True}, "group", "2026-03-20"),
        ({"FLEET_GROUP_LOYALTY_ENABLED": True, "FLEET_ENTITY_TYPE": "USER"}, "member", None),
    ],
)
async def test_fleets_earn_by_flag(flags: dict[str, Any], expected: str, dies: str | None) -> None:
    """A fleet's transactions earn for the group only where fleets do, and its points die by their own expiry."""
    rate = {"workflows": [], "pointsPerCurrency": 1, "fleetPointsExpiry": {"on": "2026-03-19"}}
    async with in_process() as lab:
        await lab.seed(programmes=[{**RULED, **rate}])
        roles = [{"code": "Owner", "childRoleCode": "Driver", "pointsAggregationRole": True}, {"code": "Driver"}]
        hierarchy = {"code": "H", "isAutoGroupCreationEnabled": True, "roles": roles}
        await lab.client.post("/v2/fleetHierarchy", json=hierarchy)
        await lab.seed(customers=[{"id": 1}, {"id": 2}])
        for customer, role in ((1, "Owner"), (2, "Driver")):
            details = {"hierarchyCode": "H", "roleCode": role, "fleetCompany": {"name": "ABC", "externalId": "abc"}}
            answer = await lab.client.put(f"/v2/customers/{customer}", json={"associationDetails": details})
            assert answer.status_code == 200, answer.text
        await lab.switch(organisation=flags)
        bought = await buy(lab, "b", 40, 2)
        fleet = await lab.group(externalId="abc")

    earners = [who for who, _ in moved(bought)]
    assert earners == ([2, fleet["id"]] if expected == "group" else [2])
    assert [row["expiryDate"] for row in fleet["expirySchedules"]] == ([] if dies is None else [dies])


async def test_what_was_returned_whole_is_not_returned_again() -> None:
    """A second return names the bill, as the caller knows it, and takes nothing more."""
    async with in_process() as lab:
        await plant(lab)
        await buy(lab, "bill-7", 100)
        await give_back(lab, "bill-7")
        before = await everything(lab)
        again = await give_back(lab, "bill-7")
        after = await everything(lab)

    assert (again.status_code, code_of(again)) == (400, 400)
    assert "transaction bill-7 was returned already" in again.text
    assert before == after
