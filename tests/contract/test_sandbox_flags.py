"""What flags and undocumented corners of the face do: one-time codes, redemption across members, gaps, balances."""

from typing import Any

import pytest

from tests.contract.sandbox_earning import SHORT_LIVED, buy, code_of, group_summary, plant, points_of, redeem
from tests.contract.sandbox_kit import (
    ADJUST,
    DAUGHTER,
    GROUP,
    MOTHER,
    PRIMARY,
    PROGRAM,
    SON,
    UNCLE,
    Json,
    Lab,
    in_process,
)

GROUPS = "/v2/userGroup2"
ALLOW = ["allow_points_redemption"]


async def one_time_code(lab: Lab, customer: int) -> str:
    """Get the code that a customer would get by message."""
    return str((await lab.client.post("/sandbox/otp", json={"customer": customer})).json()["validationCode"])


async def test_joining_and_leaving_are_confirmed_where_the_flag_asks() -> None:
    """A member comes and goes only with a code of their own, and each code confirms one thing."""
    leaving = {"identifierName": "externalId", "identifierValue": "uncle"}
    async with in_process() as lab:
        await lab.switch(organisation={"CONF_USER_GROUP_OTP_ENABLE": True})
        code = await one_time_code(lab, UNCLE)

        async def join(**more: Any) -> Any:
            item = {"userId": UNCLE, "permissions": ALLOW, **more}
            return (await lab.client.post(f"{GROUPS}/join", params={"id": GROUP}, json=[item])).json()

        refused = [
            await join(),
            await join(validationCode=await one_time_code(lab, SON)),
            await join(validationCode=code),
        ]
        fresh = await join(validationCode=await one_time_code(lab, UNCLE))
        used_up = await lab.client.delete(f"{GROUPS}/{GROUP}/leave", params={**leaving, "validationCode": code})
        stays = await lab.client.delete(f"{GROUPS}/{GROUP}/leave", params=leaving)
        new = await one_time_code(lab, UNCLE)
        gone = await lab.client.delete(f"{GROUPS}/{GROUP}/leave", params={**leaving, "validationCode": new})

    codes = [[error["code"] for error in each["response"][0].get("errors", [])] for each in (*refused, fresh)]
    assert codes == [[403], [876], [], [1623]]
    assert [code_of(used_up), code_of(stays), gone.status_code] == [876, 403, 200]


async def test_a_refusal_does_not_use_a_code_up() -> None:
    """Whoever could not join with a code can use it for the next try."""
    async with in_process() as lab:
        await lab.switch(organisation={"CONF_USER_GROUP_OTP_ENABLE": True, "CONF_USER_GROUP_SIZE": 5})
        item = {"userId": UNCLE, "permissions": ALLOW, "validationCode": await one_time_code(lab, UNCLE)}
        full = await lab.client.post(f"{GROUPS}/join", params={"id": GROUP}, json=[item])
        await lab.switch(organisation={"CONF_USER_GROUP_SIZE": None})
        joined = await lab.client.post(f"{GROUPS}/join", params={"id": GROUP}, json=[item])

    assert code_of_item(full.json()) == 1638
    assert joined.json()["failureCount"] == 0


def code_of_item(batch: Json) -> int:
    """Return the code the first item of a batch is refused with."""
    return int(batch["response"][0]["errors"][0]["code"])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", GROUPS, {"groupName": "Clan"}),
        ("DELETE", GROUPS, None),
        ("PUT", f"{GROUPS}/members/permissions", [{"userId": MOTHER, "permissions": "allow_points_transfer"}]),
        ("POST", f"{GROUPS}/transfer", {"leaveGroupId": GROUP, "joinGroupId": GROUP + 1, "userIds": [MOTHER]}),
    ],
)
async def test_the_primary_confirms_changes_of_the_group(method: str, path: str, body: Any) -> None:
    """With the flag the primary's code is asked for, and nothing changes without it."""
    async with in_process() as lab:
        await lab.seed(groups=[{"externalId": "second"}])
        await lab.switch(organisation={"CONF_USER_GROUP_PRIMARY_USER_OTP_ENABLE": True})
        before = await lab.group()
        refused = await lab.client.request(method, path, params={"id": GROUP}, json=body)
        after = await lab.group()
        query = {"id": GROUP, "validationCode": await one_time_code(lab, PRIMARY)}
        done = await lab.client.request(method, path, params=query, json=body)

    assert code_of(refused) == 403
    assert before == after
    assert done.status_code == 200, done.text


async def test_a_redemption_across_members_takes_what_dies_first() -> None:
    """With the flag the group's wallet and its members' own pay together, the earliest expiry first."""
    both = {"workflows": [], "pointsPerCurrency": 1}
    async with in_process() as lab:
        await plant(lab, **both)
        await buy(lab, "b1", 30, DAUGHTER)
        lab.clock.forward(86_400)
        await buy(lab, "b2", 20, SON)
        alone = await redeem(lab, 60, MOTHER, {"user_group2_id": GROUP})
        await lab.switch(organisation={"ENABLE_CROSS_MEMBER_REDEMPTION": True})
        too_much = await redeem(lab, 101, MOTHER, {"user_group2_id": GROUP})
        done = await redeem(lab, 75, MOTHER, {"user_group2_id": GROUP})
        history = await lab.client.get("/v1.1/customer/redemptions", params={"id": MOTHER})
        left = [await points_of(lab, DAUGHTER), await points_of(lab, SON), (await group_summary(lab))["loyaltyPoints"]]

    assert [each["item_status"]["code"] for each in (alone, too_much, done)] == [818, 818, 800]
    assert (done["is_group_redemption"], done["balance"]) == (True, 25)
    point = history.json()["response"]["customer"]["redemptions"]["points"]["point"][0]
    shares = {each["entityId"]: each["pointsRedeemed"] for each in point["redemption_breakup_by_member"]}
    assert shares[DAUGHTER] == 30
    assert sum(shares.values()) == 75
    assert left[0] == 0
    assert sum(left) == 25


async def test_is_redeemable_across_members_agrees() -> None:
    """The question gets the answer that the redemption would get, and takes nothing."""
    query = {"id": MOTHER, "program_id": PROGRAM, "user_group2_id": GROUP}
    async with in_process() as lab:
        await plant(lab, workflows=[], pointsPerCurrency=1)
        await buy(lab, "b1", 30, DAUGHTER)
        await lab.switch(organisation={"ENABLE_CROSS_MEMBER_REDEMPTION": True})
        answers = [
            await lab.client.get("/v1.1/points/isredeemable", params={**query, "points": each}) for each in (60, 61)
        ]
        left = await points_of(lab, DAUGHTER)

    assert [code_of(each) for each in answers] == [800, 818]
    assert left == 30


async def test_how_far_it_is_to_the_next_tier() -> None:
    """Group and customer reads say what is missing to go up and to stay, where they are asked."""
    asked = {"gapToUpgradeFor": "1", "gapToRenewFor": "true"}
    async with in_process() as lab:
        await plant(lab)
        await buy(lab, "b1", 1_200)
        group = await lab.group(id=GROUP, **asked)
        customer = await lab.client.get(f"/v2/customers/{PRIMARY}/tierDetails", params=asked)
        silent = await lab.group(id=GROUP, gapToUpgradeFor="false", gapToRenewFor="0")

    tier = customer.json()["programTiers"][0]
    assert group["gapToUpgrade"] == [
        {
            "upgradeBasedOn": "LIFETIME_PURCHASES",
            "upgradeThreshold": 5000,
            "customerUpgradeEntityValues": {
                "currentValue": 1200,
                "gapToUpgrade": 3800,
                "valueValidUpto": tier["tierExpiryDate"][:10],
            },
        }
    ]
    assert tier["gapToUpgrade"] == group["gapToUpgrade"]
    renewing = tier["gapToRenew"]["renewStrategies"][0]
    assert (renewing["renewBasedOn"], renewing["renewThreshold"]) == ("LIFETIME_PURCHASES", 500)
    assert (
        renewing["customerRenewEntityValues"]["gapToRenew"] + renewing["customerRenewEntityValues"]["currentValue"]
        >= 500
    )
    assert not {"gapToUpgrade", "gapToRenew"} & set(silent)


async def test_tiers_given_by_hand_have_no_gap() -> None:
    """Nothing is missing to a tier that no purchase leads to, and it renews by itself."""
    async with in_process() as lab:
        group = await lab.group(id=GROUP, gapToUpgradeFor="true", gapToRenewFor="true")

    assert group["gapToUpgrade"] == []
    assert (group["gapToRenew"]["renewConfirmed"], group["gapToRenew"]["renewStrategies"]) == (True, [])


async def test_a_customer_read_has_the_points() -> None:
    """Points, lifetime points and expiries of every programme stand in the customer, and on request the groups'."""
    asked = {"userGroup2Id": GROUP, "includedUserGroup2LoyaltyDetails": "true"}
    async with in_process() as lab:
        await plant(lab, SHORT_LIVED, workflows=[], pointsPerCurrency=1)
        await buy(lab, "b1", 40)
        await buy(lab, "b2", 5, programId=983)
        await redeem(lab, 10)
        customer = (await lab.client.get(f"/v2/customers/{MOTHER}", params=asked)).json()
        stranger = await lab.client.get(f"/v2/customers/{UNCLE}", params=asked)

    rows = {row["programId"]: (row["loyaltyPoints"], row["lifetimePoints"]) for row in customer["pointsSummaries"]}
    assert rows == {PROGRAM: (30, 40), 983: (5, 5)}
    assert {row["programId"]: row["points"] for row in customer["expirySchedules"]} == {PROGRAM: 30, 983: 5}
    assert customer["userGroups2"][0]["pointsSummaries"][0]["loyaltyPoints"] == 40
    assert code_of(stranger) == 1620


async def test_a_groups_own_tier_can_be_adjusted_where_the_switch_says_so() -> None:
    """With the 2025 page's type the group changes, its tier log tells of it, and no member and no event does."""
    query = {"source": "INSTORE", "identifierName": "externalId", "identifierValue": "family_001", "type": "USERGROUP2"}
    body = {
        "programId": PROGRAM,
        "slabAction": "UPGRADE",
        "toSlabName": "Gold",
        "manualSlabActionValidity": "AS_PER_TIER_STRATEGY",
    }
    async with in_process() as lab:
        closed = await lab.client.post(ADJUST, params=query, json=body)
        await lab.switch(answers={"adjust_type": "USERGROUP2"})
        done = await lab.client.post(ADJUST, params=query, json=body)
        again = await lab.client.post(ADJUST, params=query, json=body)
        nobody = await lab.client.post(ADJUST, params={**query, "identifierValue": "x"}, json=body)
        log = await lab.client.get(f"{GROUPS}/slabHistory", params={"fleetGroupId": GROUP})
        summary, tier, events = await group_summary(lab), await lab.tier(PRIMARY), await lab.settled()

    assert code_of(closed) == 400
    assert (done.json()["entityId"], done.json()["sideEffects"][0]["entityType"]) == (GROUP, "USERGROUP2")
    assert [code_of(again), code_of(nobody)] == [8925, 1632]
    assert [(line["from"], line["to"]) for line in log.json()["data"]] == [("Silver", "Gold")]
    assert (summary["currentSlab"], tier["currentTierName"], events) == ("Gold", "Silver", [])


async def test_children_are_associated_with_their_owner() -> None:
    """An owner's association brings the children along; one that cannot come becomes a warning."""
    roles = [{"code": "Owner", "childRoleCode": "Driver", "pointsAggregationRole": True}, {"code": "Driver"}]
    children = [{"id": MOTHER}, {"type": "mobile", "value": "919988123458"}, {"id": 1}, "nobody"]
    details = {"hierarchyCode": "H", "roleCode": "Owner", "fleetCompany": {"externalId": "abc"}}
    async with in_process() as lab:
        hierarchy = {"code": "H", "name": "H", "isAutoGroupCreationEnabled": True, "roles": roles}
        await lab.client.post("/v2/fleetHierarchy", json=hierarchy)
        refused = await lab.client.put(
            f"/v2/customers/{UNCLE}", json={"associationDetails": {**details, "childCustomers": "x"}}
        )
        done = await lab.client.put(
            f"/v2/customers/{UNCLE}", json={"associationDetails": {**details, "childCustomers": children}}
        )
        group = await lab.group(externalId="abc")

    assert code_of(refused) == 400
    assert [warning["code"] for warning in done.json()["warnings"]] == [8015, 400]
    assert [row["userId"] for row in group["fleetGroupUsers"]] == [UNCLE, MOTHER, DAUGHTER]
