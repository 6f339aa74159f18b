"""Groups: create, update, read, delete, search, with the documented codes."""

from typing import Any

import pytest

from tests.contract.sandbox_kit import GROUP, MOTHER, PRIMARY, PROGRAM, SECONDARIES, UNCLE, in_process

PATH = "/v2/userGroup2"


async def test_the_example_family_reads_as_documented() -> None:
    """A group read has every documented field, all rows inline, the former member with active false."""
    async with in_process() as lab:
        group = await lab.group(primaryUserId=PRIMARY)

    rows = {row.pop("userId"): row for row in group.pop("fleetGroupUsers")}
    member = {"groupId": GROUP, "defaultGroup": True, "primaryMember": False, "active": True}
    assert rows[PRIMARY] == {**member, "primaryMember": True}
    assert [rows[each] for each in SECONDARIES] == [member] * 4
    assert rows[UNCLE] == {**member, "defaultGroup": False, "active": False}
    assert group == {
        "id": GROUP,
        "externalId": "family_001",
        "groupStatus": "ACTIVE",
        "createdBy": 75155297,
        "createdOn": "2026-03-10T12:00:00Z",
        "groupName": "Family",
        "maxGroupSize": 6,
        "lifeTimePurchases": 0,
        "expiredPoints": [],
        "expirySchedules": [],
        "totalActiveMembers": 5,
        "totalExitedMembers": 1,
        "extendedFields": {},
        "warnings": [{"status": False, "code": 1656, "message": "Fleet group do not have a mapped hierarchy"}],
    }


@pytest.mark.parametrize("query", [{"id": GROUP}, {"externalId": "family_001"}, {"primaryUserId": PRIMARY}])
async def test_a_group_has_three_names(query: dict[str, Any]) -> None:
    """Id, external id and primary lead to the same group."""
    async with in_process() as lab:
        group = await lab.group(**query)

    assert group["id"] == GROUP


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"x": "y"}, 1635),
        ({"id": 1}, 1632),
        ({"id": "x"}, 1632),
        ({"id": "9" * 30}, 1632),
        ({"externalId": "none"}, 1632),
        ({"primaryUserId": MOTHER}, 1632),
        ({"primaryUserId": "x"}, 1632),
        ({"primaryUserId": -1}, 1632),
    ],
)
async def test_a_group_that_is_not_there(query: dict[str, Any], code: int) -> None:
    """A read that names no group is refused with 1635, one that names none there is with 1632."""
    async with in_process() as lab:
        answer = await lab.client.get(PATH, params=query)

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code)


async def test_program_details_add_the_groups_own_tier() -> None:
    """With programDetails a group read has pointsSummaries."""
    async with in_process() as lab:
        group = await lab.group(id=GROUP, programDetails="true")

    assert group["pointsSummaries"][0]["programId"] == PROGRAM
    assert group["pointsSummaries"][0]["currentSlab"] == "Silver"


async def test_create_then_read_a_group() -> None:
    """Creating answers with the new id; the group is empty and ACTIVE."""
    body = {"externalId": "new", "groupName": "New", "maxGroupSize": 3, "extendedFields": {"colour": "red"}}
    async with in_process() as lab:
        answer = await lab.client.post(PATH, json=body)
        group = await lab.group(externalId="new")
        events = await lab.settled()

    assert answer.json() == {"entity": group["id"], "warnings": []}
    assert (group["groupStatus"], group["fleetGroupUsers"], group["extendedFields"]) == (
        "ACTIVE",
        [],
        {"colour": "red"},
    )
    assert [event["eventName"] for event in events] == ["groupCreated"]
    assert events[0]["data"]["primaryMember"] is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, 1634),
        ({"externalId": None}, 1634),
        ({"externalId": 5}, 400),
        ({"externalId": "family_001"}, 1633),
        ({"externalId": "x" * 51}, 91015),
        ({"groupName": "x" * 51}, 91015),
        ({"maxGroupSize": None}, 403),
        ({"maxGroupSize": 0}, 1640),
        ({"maxGroupSize": "5"}, 1640),
        ({"maxGroupSize": True}, 1640),
        ({"maxGroupSize": 30_001}, 1639),
        ({"extendedFields": []}, 400),
    ],
)
async def test_groups_that_cannot_be_created(body: dict[str, Any], code: int) -> None:
    """Each reason not to create a group has its code."""
    whole = body if body in ({}, {"externalId": None}) else {"externalId": "new", "maxGroupSize": 3, **body}
    async with in_process() as lab:
        answer = await lab.client.post(PATH, json=whole)

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code)


@pytest.mark.parametrize(("fields", "code"), [({"size": 1}, 91016), ({"colour": {"deep": 1}}, 91017)])
async def test_bad_extended_fields_only_warn(fields: dict[str, Any], code: int) -> None:
    """A group with an unknown or unusable extended field is created all the same, with a warning."""
    async with in_process() as lab:
        await lab.switch(organisation={"extended_fields": ["colour"]})
        answer = await lab.client.post(PATH, json={"externalId": "n", "maxGroupSize": 3, "extendedFields": fields})

    assert answer.status_code == 200
    assert answer.json()["entity"] > GROUP
    assert [warning["code"] for warning in answer.json()["warnings"]] == [code]


@pytest.mark.parametrize("named", [{"id": GROUP}, {"externalId": "family_001"}])
async def test_update_changes_what_is_given(named: dict[str, Any]) -> None:
    """An update answers with the whole group and leaves out nothing that was there."""
    async with in_process() as lab:
        answer = await lab.client.put(PATH, json={**named, "groupName": "Clan", "maxGroupSize": 9})
        events = await lab.settled()

    assert answer.json() == {
        "id": GROUP,
        "groupName": "Clan",
        "maxGroupSize": 9,
        "extendedFields": {},
        "warnings": [],
    }
    assert [event["eventName"] for event in events] == ["groupUpdated"]


async def test_update_by_query() -> None:
    """The table of the page calls the names query parameters; that works too."""
    async with in_process() as lab:
        answer = await lab.client.put(PATH, params={"id": GROUP}, json={"extendedFields": {"a": 1}})

    assert answer.json()["extendedFields"] == {"a": 1}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"id": GROUP}, 1643),
        ({"id": 1, "groupName": "x"}, 1632),
        ({"groupName": "x"}, 1635),
        ({"id": GROUP, "maxGroupSize": 0}, 1640),
        ({"id": GROUP, "maxGroupSize": 4}, 1638),
        ({"id": GROUP, "maxGroupSize": 30_001}, 1639),
        ({"id": GROUP, "groupName": "x" * 51}, 91015),
    ],
)
async def test_updates_that_are_refused(body: dict[str, Any], code: int) -> None:
    """Each reason not to update a group has its code."""
    async with in_process() as lab:
        answer = await lab.client.put(PATH, json=body)

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code)


async def test_delete_ends_the_group() -> None:
    """A deleted group has no primary to be found by and no active members."""
    async with in_process() as lab:
        answer = await lab.client.delete(PATH, params={"externalId": "family_001"})
        by_primary = await lab.client.get(PATH, params={"primaryUserId": PRIMARY})
        group = await lab.group()
        again = await lab.client.delete(PATH, params={"id": 1})

    assert answer.json() == {"warnings": []}
    assert by_primary.json()["errors"][0]["code"] == 1632
    assert (group["groupStatus"], group["totalActiveMembers"], group["totalExitedMembers"]) == ("DELETED", 0, 6)
    assert again.json()["errors"][0]["code"] == 1632


@pytest.mark.parametrize("query", [str(GROUP), "family_001", "Fam", "father@example.com", "919988123456"])
async def test_search_finds_by_group_and_by_primary(query: str) -> None:
    """Id, external id, name, and the primary's email or mobile find the group."""
    async with in_process() as lab:
        answer = await lab.client.get(f"{PATH}/search", params={"q": query})

    found = answer.json()
    assert found["pagination"] == {"limit": 10, "offset": 0, "total": 1}
    assert found["data"][0]["groupId"] == GROUP
    assert found["data"][0]["primaryMemberId"] == PRIMARY
    assert (found["warnings"], found["errors"]) == ([], [])


async def test_search_does_not_find_by_a_secondary() -> None:
    """Only the primary's identifiers count."""
    async with in_process() as lab:
        answer = await lab.client.get(f"{PATH}/search", params={"q": "mother@example.com"})

    assert answer.json()["data"] == []


@pytest.mark.parametrize(
    ("query", "code"),
    [({}, 91052), ({"q": ""}, 91052), ({"q": "x" * 51}, 91015), ({"q": "x", "limit": "ten"}, 400)],
)
async def test_searches_that_are_refused(query: dict[str, str], code: int) -> None:
    """A search without parameters or with a long one has its code."""
    async with in_process() as lab:
        answer = await lab.client.get(f"{PATH}/search", params=query)

    assert answer.json()["errors"][0]["code"] == code


async def test_search_pages() -> None:
    """Both limit and offset cut the list, total does not change."""
    async with in_process() as lab:
        await lab.seed(groups=[{"externalId": f"clan {number}"} for number in range(5)])
        answer = await lab.client.get(f"{PATH}/search", params={"q": "clan", "limit": 2, "offset": 3})

    assert answer.json()["pagination"] == {"limit": 2, "offset": 3, "total": 5}
    assert [group["groupExternalId"] for group in answer.json()["data"]] == ["clan 3", "clan 4"]


async def test_groups_can_be_off() -> None:
    """Without CONF_USER_GROUP_ENABLED no group function works."""
    async with in_process() as lab:
        await lab.switch(organisation={"CONF_USER_GROUP_ENABLED": False})
        answers = [
            await lab.client.get(PATH, params={"id": GROUP}),
            await lab.client.post(PATH, json={"externalId": "n", "maxGroupSize": 1}),
        ]

    assert [answer.json()["errors"][0]["code"] for answer in answers] == [403, 403]


async def test_a_group_of_thirty_thousand_is_seeded_and_read_whole() -> None:
    """The largest group can be made in one call and comes back in one answer."""
    async with in_process() as lab:
        seeded = await lab.seed(
            groups=[{"externalId": "fleet", "primary": 1, "secondaries": {"from": 2, "count": 29_999}, "tier": "Gold"}]
        )
        group = await lab.group(primaryUserId=1)
        tier = await lab.tier(30_000)

    assert seeded["groups"][0]["members"] == 30_000
    assert len(group["fleetGroupUsers"]) == group["totalActiveMembers"] == 30_000
    assert tier["currentTierName"] == "Gold"
