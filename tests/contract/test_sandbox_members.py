"""Members: list, join, leave, transfer, permissions, and what they do to tiers."""

from typing import Any

import pytest

from tests.contract.sandbox_kit import DAUGHTER, GROUP, MOTHER, PRIMARY, SECONDARIES, SON, UNCLE, Lab, in_process

PATH = "/v2/userGroup2"
LIST = {"source": "INSTORE", "identifierName": "id", "identifierValue": str(GROUP)}
ALLOW = ["allow_points_redemption"]


async def join(lab: Lab, *items: Any, **query: Any) -> Any:
    """Ask to join the example family."""
    return (await lab.client.post(f"{PATH}/join", params=query or {"id": GROUP}, json=list(items))).json()


async def leave(lab: Lab, external_id: str, group: int = GROUP) -> Any:
    """Leave by external id."""
    query = {"source": "INSTORE", "identifierName": "externalId", "identifierValue": external_id}
    return (await lab.client.delete(f"{PATH}/{group}/leave", params=query)).json()


async def test_the_member_list_is_inverted_and_current() -> None:
    """Only members of now are listed, `inActive` true meaning active, the primary first."""
    async with in_process() as lab:
        answer = await lab.client.get(f"{PATH}/members", params=LIST)

    listed = answer.json()
    first = listed["data"][0]
    assert [row["fleetUserId"] for row in listed["data"]] == [PRIMARY, *SECONDARIES]
    assert {row["inActive"] for row in listed["data"]} == {True}
    assert "pagination" not in listed
    assert (first["role"], first["primaryMember"], first["firstName"]) == ("PRIMARY", True, "Father")
    assert first["permissions"] == "allow_points_redemption,allow_points_transfer"
    assert first["joinedOn"] == "2026-03-10"
    assert {"type": "mobile", "value": "919988123456"} in first["identifiers"]
    assert listed["data"][1]["role"] == "SECONDARY"


async def test_the_member_list_pages_when_asked() -> None:
    """Both limit and offset work with paginationDetails only, in either order."""
    query = {**LIST, "limit": "2", "offset": "1", "sortOrder": "ASC"}
    async with in_process() as lab:
        whole = await lab.client.get(f"{PATH}/members", params=query)
        paged = await lab.client.get(f"{PATH}/members", params={**query, "paginationDetails": "true"})

    assert [row["fleetUserId"] for row in whole.json()["data"]] == [*SECONDARIES, PRIMARY]
    assert [row["fleetUserId"] for row in paged.json()["data"]] == [DAUGHTER, SON]
    assert paged.json()["pagination"] == {
        "limit": 2,
        "offset": 1,
        "sortBy": "IS_PRIMARY",
        "sortOrder": "ASC",
        "total": 5,
    }


async def test_the_member_list_filters_by_joining() -> None:
    """Both fromDate and toDate keep those who joined in between."""
    async with in_process() as lab:
        lab.clock.forward(86_400)
        await join(lab, {"userId": UNCLE, "permissions": ALLOW})
        late = await lab.client.get(f"{PATH}/members", params={**LIST, "fromDate": "2026-03-11 00:00:00"})
        early = await lab.client.get(f"{PATH}/members", params={**LIST, "toDate": "2026-03-11 00:00:00"})

    assert [row["fleetUserId"] for row in late.json()["data"]] == [UNCLE]
    assert len(early.json()["data"]) == 5


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"source": ""}, 400),
        ({"source": "instore"}, 400),
        ({"identifierName": "mobile"}, 400),
        ({"identifierValue": "1"}, 1632),
        ({"identifierValue": "x"}, 1632),
        ({"sortOrder": "UP"}, 400),
        ({"sortBy": "NAME"}, 400),
        ({"fromDate": "2026-03-11"}, 400),
        ({"paginationDetails": "true", "limit": "-1"}, 400),
    ],
)
async def test_member_lists_that_are_refused(query: dict[str, str], code: int) -> None:
    """Each wrong parameter is named by a code."""
    async with in_process() as lab:
        answer = await lab.client.get(f"{PATH}/members", params={**LIST, **query})

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code)


async def test_join_answers_in_the_batch_envelope_and_emits() -> None:
    """A joiner is echoed in entityId and result, is in the group afterwards, and groupMemberAdded is sent."""
    async with in_process() as lab:
        answer = await join(lab, {"userId": UNCLE, "primaryMember": False, "permissions": ALLOW, "defaultGroup": True})
        group = await lab.group()
        events = await lab.settled()

    item = answer["response"][0]
    row = next(row for row in group["fleetGroupUsers"] if row["userId"] == UNCLE)
    assert (answer["totalCount"], answer["failureCount"]) == (1, 0)
    assert item["entityId"] == item["result"]
    assert item["result"]["permissions"] == ALLOW
    assert (row["active"], row["defaultGroup"]) == (True, True)
    assert events[0]["eventName"] == "groupMemberAdded"
    assert events[0]["data"]["groupId"] == GROUP
    assert events[0]["data"]["primaryMember"]["customerIdentifiers"] == {"customerId": PRIMARY}
    assert events[0]["data"]["memberAdded"] == {
        "firstName": "Uncle",
        "lastName": "Sample",
        "role": "SECONDARY",
        "customerIdentifiers": {"customerId": UNCLE},
    }


@pytest.mark.parametrize(
    ("item", "code"),
    [
        ({"permissions": ALLOW}, 403),
        ({"userId": UNCLE}, 403),
        ({"userId": UNCLE, "permissions": ["fly"]}, 1641),
        ({"userId": UNCLE, "permissions": "fly"}, 1641),
        ({"userId": 1, "permissions": ALLOW}, 1621),
        ({"userId": "x", "permissions": ALLOW}, 1621),
        ({"userId": MOTHER, "permissions": ALLOW}, 1623),
        ({"userId": UNCLE, "permissions": ALLOW, "primaryMember": True}, 1637),
        ({"userId": UNCLE, "permissions": ALLOW, "primaryMember": "yes"}, 400),
        ("nonsense", 1645),
    ],
)
async def test_joins_that_fail_do_so_alone(item: Any, code: int) -> None:
    """One bad item does not stop the others; it carries `errors` and the status is 201."""
    async with in_process() as lab:
        await lab.seed(customers=[{"id": 5}])
        good = {"userId": 5, "permissions": ALLOW}
        answer = await lab.client.post(f"{PATH}/join", params={"id": GROUP}, json=[item, good])

    batch = answer.json()
    assert answer.status_code == 201
    assert (batch["totalCount"], batch["failureCount"]) == (2, 1)
    assert batch["response"][0]["errors"][0]["code"] == code
    assert batch["response"][1]["result"]["userId"] == 5


async def test_a_full_group_takes_nobody() -> None:
    """The maxGroupSize is kept: 1638."""
    async with in_process() as lab:
        await lab.client.put(PATH, json={"id": GROUP, "maxGroupSize": 5})
        answer = await join(lab, {"userId": UNCLE, "permissions": ALLOW})

    assert answer["response"][0]["errors"][0]["code"] == 1638


@pytest.mark.parametrize(("rule", "code"), [("1+(n-1)", 1638), ("1+n", None)])
async def test_the_size_flag_counts_as_the_switch_says(rule: str, code: int | None) -> None:
    """CONF_USER_GROUP_SIZE of 5 admits the primary and four more, or five more, as the pages disagree."""
    async with in_process() as lab:
        await lab.switch(organisation={"CONF_USER_GROUP_SIZE": 5, "group_size_rule": rule})
        answer = await join(lab, {"userId": UNCLE, "permissions": ALLOW})

    assert [error["code"] for error in answer["response"][0].get("errors", [])] == ([code] if code else [])


async def test_the_ceiling_is_a_flag() -> None:
    """CONF_MAX_FLEET_GROUP_SIZE bounds maxGroupSize: 1639."""
    async with in_process() as lab:
        await lab.switch(organisation={"CONF_MAX_FLEET_GROUP_SIZE": 10})
        answer = await lab.client.put(PATH, json={"id": GROUP, "maxGroupSize": 11})

    assert answer.json()["errors"][0]["code"] == 1639


async def test_groups_per_member_can_be_bounded() -> None:
    """With `groups_per_member_max` a further group is refused: 1636."""
    async with in_process() as lab:
        await lab.seed(groups=[{"externalId": "second", "primary": 5, "secondaries": [6]}])
        await lab.switch(organisation={"groups_per_member_max": 1})
        answer = await join(lab, {"userId": 6, "permissions": ALLOW})

    assert answer["response"][0]["errors"][0]["code"] == 1636


@pytest.mark.parametrize(("may", "primary", "code"), [(True, True, 1642), (False, False, 1642), (True, False, None)])
async def test_a_primary_elsewhere(may: bool, primary: bool, code: int | None) -> None:  # noqa: FBT001 - a table
    """A primary of one group never leads a second one; whether it may follow in one is a switch."""
    async with in_process() as lab:
        await lab.seed(groups=[{"externalId": "second", "secondaries": [6]}])
        await lab.switch(organisation={"primary_may_join_elsewhere": may})
        item = {"userId": PRIMARY, "permissions": ALLOW, "primaryMember": primary}
        answer = await join(lab, item, externalId="second")

    assert [error["code"] for error in answer["response"][0].get("errors", [])] == ([code] if code else [])


async def test_a_default_group_is_the_only_one() -> None:
    """Joining a second group as default takes the mark from the first."""
    async with in_process() as lab:
        await lab.seed(groups=[{"externalId": "second", "primary": 5, "secondaries": [6]}])
        await join(lab, {"userId": MOTHER, "permissions": ALLOW, "defaultGroup": True}, externalId="second")
        rows = [
            row["defaultGroup"]
            for query in ({"id": GROUP}, {"externalId": "second"})
            for row in (await lab.group(**query))["fleetGroupUsers"]
            if row["userId"] == MOTHER
        ]

    assert rows == [False, True]


async def test_leaving_resets_the_tier_and_emits() -> None:
    """A secondary that leaves is exited, falls to the lowest tier, and both facts are sent."""
    async with in_process() as lab:
        await lab.switch(events={"echo": False})
        await lab.adjust()
        answer = await leave(lab, "mother")
        group = await lab.group()
        tier = await lab.tier()
        events = await lab.settled()

    row = next(row for row in group["fleetGroupUsers"] if row["userId"] == MOTHER)
    assert answer == {"warnings": [], "errors": [], "success": True}
    assert (row["active"], row["defaultGroup"], group["groupStatus"]) == (False, False, "ACTIVE")
    assert tier["currentTierName"] == "Silver"
    assert sorted(event["eventName"] for event in events) == ["groupMemberRemoved", "tierDowngraded"]
    down = next(event for event in events if event["eventName"] == "tierDowngraded")
    assert down["data"]["triggeringActivity"]["name"] == "GroupMemberLeave"


async def test_leaving_can_keep_the_tier() -> None:
    """With `reset_on_leave` off a member that leaves stays where it is."""
    async with in_process() as lab:
        await lab.switch(organisation={"reset_on_leave": False})
        await lab.adjust()
        await leave(lab, "mother")
        tier = await lab.tier()

    assert tier["currentTierName"] == "Gold"


@pytest.mark.parametrize(("keep", "status"), [(False, "INACTIVE"), (True, "ACTIVE")])
async def test_when_the_primary_leaves(keep: bool, status: str) -> None:  # noqa: FBT001 - a table
    """Without its primary a group is INACTIVE, or ACTIVE with no primary for ever."""
    async with in_process() as lab:
        await lab.switch(organisation={"CONF_DISABLE_GROUP_DEACTIVATION_ON_PRIMARY_MEMBER_EXIT": keep})
        await leave(lab, "father")
        group = await lab.group()
        by_primary = await lab.client.get(PATH, params={"primaryUserId": PRIMARY})
        events = await lab.settled()

    assert group["groupStatus"] == status
    assert not any(row["primaryMember"] for row in group["fleetGroupUsers"])
    assert by_primary.json()["errors"][0]["code"] == 1632
    assert events[0]["data"]["primaryMember"]["customerIdentifiers"] == {"customerId": PRIMARY}


async def test_an_inactive_group_takes_nobody() -> None:
    """Joining a group without its primary is refused: 1645."""
    async with in_process() as lab:
        await leave(lab, "father")
        answer = await join(lab, {"userId": UNCLE, "permissions": ALLOW})

    assert answer["response"][0]["errors"][0]["code"] == 1645


@pytest.mark.parametrize(
    ("group", "query", "code"),
    [
        ("x", {}, 1619),
        ("1", {}, 1619),
        (str(GROUP), {"identifierValue": "nobody"}, 1621),
        (str(GROUP), {"identifierValue": "uncle"}, 1620),
        (str(GROUP), {"identifierName": "id", "identifierValue": str(MOTHER)}, 400),
        (str(GROUP), {"identifierName": ""}, 400),
    ],
)
async def test_leaves_that_are_refused(group: str, query: dict[str, str], code: int) -> None:
    """Leaving needs a group, a member of it, and an identifier that is not the id."""
    whole = {"source": "INSTORE", "identifierName": "externalId", "identifierValue": "mother", **query}
    async with in_process() as lab:
        answer = await lab.client.delete(f"{PATH}/{group}/leave", params=whole)

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code)


async def test_transfer_moves_secondaries_with_what_they_may() -> None:
    """A transferred member leaves one group, joins the other, keeps permissions and tier, and both events are sent."""
    async with in_process() as lab:
        await lab.switch(events={"echo": False})
        await lab.adjust()
        second = await lab.seed(groups=[{"externalId": "second", "primary": 5, "secondaries": [6]}])
        target = second["groups"][0]["id"]
        body = {"leaveGroupId": GROUP, "joinGroupId": target, "userIds": [MOTHER, MOTHER]}
        answer = await lab.client.post(f"{PATH}/transfer", json=body)
        group = await lab.group(id=target)
        tier = await lab.tier()
        events = await lab.settled()

    assert answer.json() == {"warnings": [], "errors": [], "success": True}
    assert {"userId": MOTHER, "groupId": target, "defaultGroup": True, "primaryMember": False, "active": True} in group[
        "fleetGroupUsers"
    ]
    assert tier["currentTierName"] == "Gold"
    assert sorted(event["eventName"] for event in events) == ["groupMemberAdded", "groupMemberRemoved"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"userIds": [PRIMARY]}, 1624),
        ({"userIds": [UNCLE]}, 1620),
        ({"userIds": [MOTHER, DAUGHTER]}, 1638),
        ({"userIds": []}, 1644),
        ({"userIds": None}, 1644),
        ({"userIds": ["x"]}, 1621),
        ({"leaveGroupId": 1}, 1619),
        ({"joinGroupId": "x"}, 1619),
        ({"joinGroupId": GROUP}, 1623),
    ],
)
async def test_transfers_that_are_refused_change_nothing(body: dict[str, Any], code: int) -> None:
    """A transfer is all or nothing."""
    async with in_process() as lab:
        second = await lab.seed(groups=[{"externalId": "second", "primary": 5, "secondaries": [6], "maxGroupSize": 3}])
        whole = {"leaveGroupId": GROUP, "joinGroupId": second["groups"][0]["id"], "userIds": [MOTHER], **body}
        answer = await lab.client.post(f"{PATH}/transfer", json=whole)
        group = await lab.group()

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code)
    assert group["totalActiveMembers"] == 5


async def test_permissions_are_replaced_one_by_one() -> None:
    """Permissions come as a comma string; a bad item fails alone."""
    items = [
        {"userId": MOTHER, "permissions": "block_points_redemption,allow_points_transfer"},
        {"userId": UNCLE, "permissions": "allow_points_transfer"},
        {"userId": MOTHER, "permissions": "fly"},
    ]
    async with in_process() as lab:
        answer = await lab.client.put(f"{PATH}/members/permissions", params={"id": GROUP}, json=items)
        listed = await lab.client.get(f"{PATH}/members", params=LIST)

    batch = answer.json()
    assert (batch["totalCount"], batch["failureCount"]) == (3, 2)
    assert [item["errors"][0]["code"] for item in batch["response"][1:]] == [1620, 1641]
    assert listed.json()["data"][1]["permissions"] == "block_points_redemption,allow_points_transfer"


async def test_legacy_eager_sync_follows_the_primary() -> None:
    """With the legacy switch secondaries follow at once, joiners too; without it they never do."""
    async with in_process() as lab:
        await lab.decide("Gold")
        untouched = await lab.tier()
        await lab.switch(organisation={"legacy_eager_sync": True})
        await lab.decide("Diamond")
        followed = await lab.tier()
        await join(lab, {"userId": UNCLE, "permissions": ALLOW})
        joined = await lab.tier(UNCLE)

    assert [untouched["currentTierName"], followed["currentTierName"], joined["currentTierName"]] == [
        "Silver",
        "Diamond",
        "Diamond",
    ]
