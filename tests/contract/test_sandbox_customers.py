"""Customers and their tiers."""

from typing import Any

import pytest

from tests.contract.sandbox_kit import GROUP, MOTHER, PRIMARY, PROGRAM, in_process

LOOKUP = "/v2/customers/lookup"
TWO = {"programmes": [{"id": 974, "name": "Fleet", "tiers": ["Base", "Top"]}]}


async def test_tier_details_read_as_documented() -> None:
    """The answer gives number, name, both spellings of the expiry, and the next tier."""
    async with in_process() as lab:
        answer = await lab.client.get(f"/v2/customers/{PRIMARY}/tierDetails")

    assert answer.json() == {
        "entityId": PRIMARY,
        "entityType": "CUSTOMER",
        "programTiers": [
            {
                "programId": PROGRAM,
                "currentTierName": "Silver",
                "currentTierSerialNumber": 1,
                "tierExpiryDate": "2126-03-10 23:59:59",
                "tierExpiryDateISO": "2126-03-10T23:59:59Z",
                "nextTierName": "Gold",
                "nextTierSerialNumber": 2,
            }
        ],
        "warnings": [],
    }


async def test_at_the_top_there_is_no_next_tier() -> None:
    """At the top the next tier is nameless and -1, the current number stays what it is."""
    async with in_process() as lab:
        await lab.decide("Diamond")
        tier = await lab.tier(PRIMARY)

    assert (tier["currentTierSerialNumber"], tier["nextTierName"], tier["nextTierSerialNumber"]) == (3, "", -1)


@pytest.mark.parametrize(
    ("query", "programs"),
    [
        ({}, [PROGRAM]),
        ({"programId": 974}, [974]),
        ({"fetchDataForAllPrograms": "true"}, [PROGRAM, 974]),
        ({"programId": 974, "fetchDataForAllPrograms": "false"}, [974]),
    ],
)
async def test_programmes_are_chosen_by_the_query(query: dict[str, Any], programs: list[int]) -> None:
    """One programme by id, the default one without, all of them with the flag."""
    async with in_process() as lab:
        await lab.seed(**TWO)
        answer = await lab.client.get(f"/v2/customers/{PRIMARY}/tierDetails", params=query)

    assert [tier["programId"] for tier in answer.json()["programTiers"]] == programs


@pytest.mark.parametrize(
    ("name", "value"),
    [("id", str(PRIMARY)), ("mobile", "919988123456"), ("email", "father@example.com"), ("externalId", "father")],
)
@pytest.mark.parametrize(("page", "key"), [("tierDetails", "entityId"), ("customerDetails", "id")])
async def test_lookups_find_by_identifier(name: str, value: str, page: str, key: str) -> None:
    """Both lookups take id, mobile, email and external id."""
    async with in_process() as lab:
        query = {"source": "INSTORE", "identifierName": name, "identifierValue": value}
        answer = await lab.client.get(f"{LOOKUP}/{page}", params=query)

    assert answer.json()[key] == PRIMARY


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("/v2/customers/1/tierDetails", {}, 8015),
        ("/v2/customers/x/tierDetails", {}, 8015),
        (f"/v2/customers/{PRIMARY}/tierDetails", {"programId": "1"}, 1101),
        (f"/v2/customers/{PRIMARY}/tierDetails", {"programId": "x"}, 1101),
        ("/v2/customers/1", {}, 8015),
        (f"{LOOKUP}/tierDetails", {}, 400),
        (f"{LOOKUP}/tierDetails", {"identifierName": "shoe", "identifierValue": "43"}, 400),
        (f"{LOOKUP}/tierDetails", {"identifierName": "mobile", "identifierValue": "1"}, 8015),
        (f"{LOOKUP}/tierDetails", {"identifierName": "id", "identifierValue": "x"}, 8015),
        (f"{LOOKUP}/tierDetails", {"entityType": "USERGROUP2"}, 400),
        (f"{LOOKUP}/customerDetails", {"identifierName": "email", "identifierValue": "x"}, 8015),
    ],
)
async def test_customers_that_are_not_there(path: str, query: dict[str, str], code: int) -> None:
    """Unknown customers are 8015, unknown programmes 1101."""
    async with in_process() as lab:
        answer = await lab.client.get(path, params=query)

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code)


async def test_a_customer_can_be_registered_and_read() -> None:
    """Registering answers with the new id, under which the profile is found."""
    profile = {
        "firstName": "Ada",
        "lastName": "L",
        "identifiers": [{"type": "mobile", "value": "91987"}, {"type": "externalId", "value": "ada"}],
    }
    async with in_process() as lab:
        created = await lab.client.post("/v2/customers", json={"profiles": [profile]})
        read = await lab.client.get(f"/v2/customers/{created.json()['createdId']}")
        adjusted = await lab.adjust("ada", "externalId")

    shown = read.json()["profiles"][0]
    assert (shown["firstName"], shown["lastName"]) == ("Ada", "L")
    assert {"type": "mobile", "value": "91987"} in shown["identifiers"]
    assert adjusted.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"profiles": []},
        {"profiles": "x"},
        {"profiles": [1]},
        {"profiles": [{}]},
        {"profiles": [{"identifiers": [{"type": "mobile"}, 3]}]},
        {"profiles": [{"identifiers": [{"type": "mobile", "value": "919988123456"}]}]},
    ],
)
async def test_customers_that_cannot_be_registered(body: dict[str, Any]) -> None:
    """A customer needs one free identifier."""
    async with in_process() as lab:
        answer = await lab.client.post("/v2/customers", json=body)

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, 400)


async def test_customer_details_name_groups_when_asked() -> None:
    """includedAllUserGroup2 adds the groups of the customer."""
    async with in_process() as lab:
        plain = await lab.client.get(f"/v2/customers/{MOTHER}")
        asked = await lab.client.get(f"/v2/customers/{MOTHER}", params={"includedAllUserGroup2": "true"})

    assert "userGroups2" not in plain.json()
    assert asked.json()["userGroups2"] == [
        {
            "groupId": GROUP,
            "externalId": "family_001",
            "groupName": "Family",
            "groupStatus": "ACTIVE",
            "primary": False,
            "defaultGroup": True,
        }
    ]
