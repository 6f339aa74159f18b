"""What webhook events look like, in every form."""

from typing import Any

import pytest

from tests.contract.sandbox_kit import GROUP, MOTHER, PRIMARY, PROGRAM, START, in_process, until

TIERS = [
    {"tierNumber": 1, "tierName": "Silver"},
    {"tierNumber": 2, "tierName": "Gold"},
    {"tierNumber": 3, "tierName": "Diamond"},
]
MS = int(START.timestamp()) * 1000


async def emitted(tier: str = "Gold", **switches: Any) -> Any:
    """Return the event of the primary's coming to a tier, under these event switches."""
    async with in_process() as lab:
        await lab.switch(events=switches)
        await lab.decide(tier)
        events = await lab.settled()

    assert len(events) == 1
    return events[0]


async def test_an_upgrade_has_the_raw_form() -> None:
    """By default an upgrade has every field of the raw form, numbers as integers."""
    event = await emitted()

    data = event.pop("data")
    activity = data.pop("triggeringActivity")
    assert event == {
        "eventName": "tierUpgraded",
        "eventId": "00000000-0000-4000-8000-000000000004",
        "eventLogId": 1,
        "orgId": 50614,
        "refId": f"50614_{PRIMARY}",
        "apiRequestId": "00000000-0000-4000-8000-000000000003",
        "loyaltyEventId": "1",
        "createdAt": MS,
        "traceAttributes": {},
    }
    assert data == {
        "customerIdentifiers": {
            "customerId": PRIMARY,
            "instore": {"mobile": "919988123456", "email": "father@example.com", "externalId": "father"},
        },
        "entityInformation": {"entityType": "USER", "entityId": PRIMARY},
        "loyaltyProgramId": PROGRAM,
        "loyaltyProgramDetails": {
            "id": PROGRAM,
            "name": "DocDemoDefaultProgram",
            "isDefault": True,
            "pointsToCurrencyRatio": 1,
            "tiers": TIERS,
        },
        "previousTierNumber": 1,
        "upgradedTierNumber": 2,
        "tierExpiryDate": "2027-03-10",
        "notes": "Upgrading to Slab : Slab[2]: Name Gold",
        "upgradeType": "STRATEGY",
    }
    assert activity["name"] == "TransactionAdd"


async def test_downgrades_and_renewals_have_their_own_fields() -> None:
    """A downgrade names two numbers and no notes; a renewal names one number and its type."""
    async with in_process() as lab:
        await lab.decide("Diamond")
        await lab.decide("Gold")
        await lab.decide("Gold")
        events = await lab.settled()

    down, renewed = (next(e for e in events if e["eventName"] == name) for name in ("tierDowngraded", "tierRenewed"))
    assert (down["data"]["downgradedTierNumber"], down["data"]["previousTierNumber"]) == (2, 3)
    assert "notes" not in down["data"]
    assert renewed["data"]["currentTierNumber"] == 2
    assert renewed["data"]["renewType"] == "STRATEGY"
    assert "previousTierNumber" not in renewed["data"]
    assert renewed["data"]["triggeringActivity"]["name"] == "TierReassessment"


async def test_a_manual_adjustment_comes_back_as_an_event() -> None:
    """An adjustment is echoed with its own activity and the request id of its answer."""
    async with in_process() as lab:
        answer = await lab.adjust()
        events = await lab.settled()

    assert events[0]["data"]["triggeringActivity"]["name"] == "ManualSlabAdjustment"
    assert events[0]["data"]["customerIdentifiers"]["customerId"] == MOTHER
    assert events[0]["apiRequestId"] == answer.headers["x-cap-requestid"]


async def test_echoes_can_be_off() -> None:
    """With `events.echo` off adjustments emit nothing, the core's decisions still do."""
    async with in_process() as lab:
        await lab.switch(events={"echo": False})
        await lab.adjust()
        await lab.decide("Gold")
        events = await lab.settled()

    assert [event["data"]["entityInformation"]["entityId"] for event in events] == [PRIMARY]


async def test_numbers_can_be_floats() -> None:
    """With `numbers` float every number is one: 566998132.0."""
    async with in_process() as lab:
        await lab.switch(events={"numbers": "float"})
        await lab.decide("Gold")
        await lab.settled()
        raw = lab.receiver.requests[0].content

    assert f'"customerId":{PRIMARY}.0'.encode() in raw
    assert f'"createdAt":{MS}.0'.encode() in raw
    assert b'"upgradedTierNumber":2.0' in raw


async def test_the_enriched_form() -> None:
    """The enriched form has floats, null tiers, the customer id alone, and neither log id nor trace."""
    event = await emitted(form="enriched")

    assert event["data"]["customerIdentifiers"] == {"customerId": float(PRIMARY)}
    assert event["data"]["loyaltyProgramDetails"]["tiers"] is None
    assert event["data"]["loyaltyProgramDetails"]["isDefault"] is None
    assert isinstance(event["orgId"], float)
    assert event["loyaltyEventId"] is None
    assert event["data"]["triggeringActivity"]["enteredBy"] is None
    assert not {"eventLogId", "traceAttributes"} & set(event)


async def test_the_minimal_form() -> None:
    """The minimal form is what the sync guide shows."""
    event = await emitted(form="minimal")

    assert event == {
        "eventName": "tierUpgraded",
        "data": {
            "entityInformation": {"entityId": PRIMARY},
            "loyaltyProgramDetails": {"tiers": TIERS},
            "upgradedTierNumber": 2,
        },
    }


@pytest.mark.parametrize(("wrapper", "path"), [("body", ["body"]), ("array", [0]), ("none", [])])
async def test_wrappers(wrapper: str, path: list[Any]) -> None:
    """An event comes bare, under `body`, or as the only element of an array."""
    event = await emitted(wrapper=wrapper)

    for step in path:
        assert len(event) == 1
        event = event[step]
    assert event["eventName"] == "tierUpgraded"


@pytest.mark.parametrize(
    ("switch", "value", "path"),
    [
        ("tiers", "absent", "data.loyaltyProgramDetails.tiers"),
        ("program_details", "absent", "data.loyaltyProgramDetails"),
        ("program_id", "absent", "data.loyaltyProgramId"),
        ("entity_information", "absent", "data.entityInformation"),
        ("entity_type", "absent", "data.entityInformation.entityType"),
        ("customer_identifiers", "absent", "data.customerIdentifiers"),
        ("triggering_activity", "absent", "data.triggeringActivity"),
        ("event_id", "absent", "eventId"),
        ("org_id", "absent", "orgId"),
        ("event_log_id", "absent", "eventLogId"),
    ],
)
async def test_fields_can_be_absent(switch: str, value: str, path: str) -> None:
    """Each field that may be missing is there by default and can be switched away."""
    present, absent = await emitted(), await emitted(**{switch: value})

    *parents, last = path.split(".")
    for parent in parents:
        present, absent = present[parent], absent[parent]
    assert last in present
    assert last not in absent


@pytest.mark.parametrize(
    ("switch", "value", "path", "expected"),
    [
        ("tiers", "null", "loyaltyProgramDetails.tiers", None),
        ("triggering_activity", "empty", "triggeringActivity", {}),
        ("entity_type", "USERGROUP2", "entityInformation", {"entityType": "USERGROUP2", "entityId": GROUP}),
    ],
)
async def test_fields_can_be_odd(switch: str, value: str, path: str, expected: Any) -> None:
    """Null tiers, an empty activity, and a group instead of a customer are documented possibilities."""
    found = (await emitted(**{switch: value}))["data"]

    for step in path.split("."):
        found = found[step]
    assert found == expected


async def test_bodies_can_be_compressed() -> None:
    """With `gzip` on a delivery is compressed and says so."""
    async with in_process() as lab:
        await lab.switch(events={"gzip": True})
        await lab.decide("Gold")
        events = await lab.settled()

    assert lab.receiver.requests[0].headers["content-encoding"] == "gzip"
    assert events[0]["eventName"] == "tierUpgraded"


async def test_numbers_grow_with_each_event() -> None:
    """Two events have different ids and growing log ids; createdAt is the time of the fact."""
    async with in_process() as lab:
        await lab.decide("Gold")
        lab.clock.forward(1)
        await lab.decide("Diamond")
        events = await lab.settled()

    assert events[0]["eventId"] != events[1]["eventId"]
    assert [event["eventLogId"] for event in events] == [1, 2]
    assert [event["createdAt"] for event in events] == [MS, MS + 1000]


async def test_a_batch_emits_in_one_go() -> None:
    """POST /sandbox/batch renews every primary at once, or moves the named customers by one tier."""
    async with in_process() as lab:
        await lab.seed(groups=[{"externalId": f"g{n}", "primary": 100 + n} for n in range(20)])
        renewed = await lab.client.post("/sandbox/batch", json={"action": "renew"})
        moved = await lab.client.post("/sandbox/batch", json={"action": "upgrade", "customers": [100, 101]})
        below = await lab.client.post("/sandbox/batch", json={"action": "downgrade", "customers": [102]})
        events = await lab.settled()

    assert [len(answer.json()["eventIds"]) for answer in (renewed, moved, below)] == [21, 2, 0]
    assert [event["eventName"] for event in events].count("tierRenewed") == 21
    assert [event["eventName"] for event in events].count("tierUpgraded") == 2


async def test_a_batch_can_wait_for_its_time() -> None:
    """With `at` a batch is carried out then; a time that has passed means at once."""
    async with in_process() as lab:
        answer = await lab.client.post("/sandbox/batch", json={"at": "2026-03-10T13:00:00+01:00"})

        async def emitted() -> bool:
            return bool((await lab.deliveries())["total"])

        await until(emitted)
        events = await lab.settled()

    assert answer.json() == {"scheduled": "2026-03-10T12:00:00Z", "eventIds": []}
    assert [event["eventName"] for event in events] == ["tierRenewed"]
