"""`manualSlabAdjustment`: every documented code, every validity, the lock."""

import asyncio
from typing import Any

import pytest

from tests.contract.sandbox_kit import ADJUST, MOTHER, PRIMARY, PROGRAM, UNCLE, in_process

QUERY = {"source": "INSTORE", "identifierName": "id", "identifierValue": str(MOTHER)}
BODY = {
    "programId": PROGRAM,
    "slabAction": "UPGRADE",
    "toSlabName": "Gold",
    "manualSlabActionValidity": "AS_PER_TIER_STRATEGY",
}

REFUSALS: list[tuple[str, dict[str, str], dict[str, Any], int]] = [
    ("program unknown", {}, {"programId": 1}, 1101),
    ("program missing", {}, {"programId": None}, 1101),
    ("program not a number", {}, {"programId": "x"}, 1101),
    ("program a boolean", {}, {"programId": True}, 1101),
    ("customer unknown", {"identifierValue": "1"}, {}, 8015),
    ("mobile unknown", {"identifierName": "mobile", "identifierValue": "1"}, {}, 8015),
    ("action missing", {}, {"slabAction": None}, 8917),
    ("action of slabHistory", {}, {"slabAction": "RENEW"}, 8917),
    ("validity missing", {}, {"manualSlabActionValidity": None}, 8920),
    ("validity unknown", {}, {"manualSlabActionValidity": "FOREVER"}, 8920),
    ("days missing", {}, {"manualSlabActionValidity": "FIXED_DURATION"}, 8921),
    (
        "days not a number",
        {},
        {"manualSlabActionValidity": "FIXED_DURATION", "manualSlabActionValidityUpto": "x"},
        8921,
    ),
    ("days negative", {}, {"manualSlabActionValidity": "FIXED_DURATION", "manualSlabActionValidityUpto": -1}, 8921),
    ("days absurd", {}, {"manualSlabActionValidity": "FIXED_DURATION", "manualSlabActionValidityUpto": 10**12}, 8921),
    ("date missing", {}, {"manualSlabActionValidity": "SPECIFIC_DATE"}, 8921),
    (
        "date in week form",
        {},
        {"manualSlabActionValidity": "SPECIFIC_DATE", "manualSlabActionValidityUpto": "2027-W01-1"},
        8921,
    ),
    ("tier unknown", {}, {"toSlabName": "Platinum"}, 8923),
    ("tier in another case", {}, {"toSlabName": "GOLD"}, 8923),
    ("tier missing", {}, {"toSlabName": None}, 8923),
    ("tier not higher", {}, {"toSlabName": "Silver"}, 8925),
    ("downgrade not lower", {}, {"slabAction": "DOWNGRADE", "toSlabName": "Silver"}, 8925),
    ("id not numeric", {"identifierValue": "undefined"}, {}, 11030),
    ("id a float", {"identifierValue": "379499720.0"}, {}, 11030),
    ("id empty", {"identifierValue": ""}, {}, 11030),
    ("source missing", {"source": ""}, {}, 400),
    ("source in another case", {"source": "instore"}, {}, 400),
    ("identifier name unknown", {"identifierName": "email"}, {}, 400),
    ("group type", {"type": "USERGROUP2"}, {}, 400),
    ("reason too long", {}, {"slabChangeReason": "x" * 256}, 400),
    ("reassess not a boolean", {}, {"reassessTierOnNextActivity": "yes"}, 400),
]


@pytest.mark.parametrize(("query", "body", "code"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
async def test_refusals_carry_the_documented_code(query: dict[str, str], body: dict[str, Any], code: int) -> None:
    """What is wrong with a call is told by its documented code, in the v2 envelope, and nothing is changed."""
    sent = {key: value for key, value in {**BODY, **body}.items() if value is not None}
    async with in_process() as lab:
        answer = await lab.client.post(ADJUST, params={**QUERY, **query}, json=sent)
        tier = await lab.tier()
        call = (await lab.calls())["calls"][0]

    assert answer.status_code == 400
    assert answer.json()["warnings"] == []
    assert [(error["status"], error["code"]) for error in answer.json()["errors"]] == [(False, code)]
    assert tier["currentTierName"] == "Silver"
    assert (call["code"], call["effect"], call["status"]) == (code, False, 400)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"NaN", b'"\\ud800"', b"[" * 100_000, b"\xff"])
async def test_bodies_that_are_no_object_are_refused(content: bytes) -> None:
    """A body that cannot be read is a refused call, never a server error."""
    async with in_process() as lab:
        answer = await lab.client.post(ADJUST, params=QUERY, content=content)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == 400


async def test_an_upgrade_answers_with_the_documented_body() -> None:
    """The answer names programme, customer and the change, with the expiry as an ordinal day."""
    async with in_process() as lab:
        answer = await lab.adjust()

    assert answer.status_code == 200
    assert answer.json() == {
        "programId": PROGRAM,
        "entityId": MOTHER,
        "sideEffects": [
            {
                "entityType": "USER",
                "previousSlabName": "Silver",
                "previousSlabNumber": 1,
                "upgradedSlabName": "Gold",
                "upgradedSlabNumber": 2,
                "slabExpiryDate": "10th Mar, 2027",
                "type": "slab",
            }
        ],
        "warnings": [],
    }


async def test_a_repeated_upgrade_is_refused() -> None:
    """The call is not idempotent: the second of two equal upgrades is refused with 8925."""
    async with in_process() as lab:
        first = await lab.adjust()
        second = await lab.adjust()

    assert (first.status_code, second.json()["errors"][0]["code"]) == (200, 8925)


@pytest.mark.parametrize(
    ("validity", "upto", "expires"),
    [
        ("AS_PER_TIER_STRATEGY", None, "2027-03-10T23:59:59Z"),
        ("FIXED_DURATION", 30, "2026-04-09T23:59:59Z"),
        ("FIXED_DURATION", "20", "2026-03-30T23:59:59Z"),
        ("FIXED_DURATION", 0, "2026-03-10T23:59:59Z"),
        ("SPECIFIC_DATE", "2028-02-29", "2028-02-29T23:59:59Z"),
        ("CURRENT_TIER_EXPIRY_DATE", None, "2126-03-10T23:59:59Z"),
    ],
)
async def test_each_validity_sets_the_expiry_it_says(validity: str, upto: object, expires: str) -> None:
    """The expiry follows the validity, the day of the change being day 0, and shows up in tierDetails."""
    async with in_process() as lab:
        answer = await lab.adjust(manualSlabActionValidity=validity, manualSlabActionValidityUpto=upto)
        tier = await lab.tier()

    assert answer.status_code == 200
    assert tier["tierExpiryDateISO"] == expires
    assert tier["tierExpiryDate"] == expires.replace("T", " ").rstrip("Z")


async def test_renewal_keeps_the_tier_and_sets_a_new_expiry() -> None:
    """A renewal renews whatever tier is held, equal names on both sides of the side effect."""
    async with in_process() as lab:
        await lab.adjust()
        lab.clock.forward(86_400)
        answer = await lab.adjust(slabAction="RENEWAL", toSlabName=None)
        tier = await lab.tier()

    effect = answer.json()["sideEffects"][0]
    assert (effect["previousSlabName"], effect["upgradedSlabName"]) == ("Gold", "Gold")
    assert tier["tierExpiryDateISO"] == "2027-03-11T23:59:59Z"


async def test_extension_changes_the_expiry_and_emits_nothing() -> None:
    """EXTEND_CURRENT_TIER_EXPIRY_DATE moves the end of the tier held and tells nobody."""
    async with in_process() as lab:
        answer = await lab.adjust(
            slabAction="EXTEND_CURRENT_TIER_EXPIRY_DATE",
            toSlabName=None,
            manualSlabActionValidity="SPECIFIC_DATE",
            manualSlabActionValidityUpto="2030-01-01",
        )
        tier = await lab.tier()
        events = await lab.settled()

    assert answer.status_code == 200
    assert tier["tierExpiryDateISO"] == "2030-01-01T23:59:59Z"
    assert events == []


@pytest.mark.parametrize(("name", "value"), [("mobile", "919988123457"), ("externalId", "mother")])
async def test_customers_are_found_by_identifier(name: str, value: str) -> None:
    """A customer can be named by mobile or external id as well."""
    async with in_process() as lab:
        answer = await lab.adjust(value, name)
        call = await lab.last_call()

    assert answer.json()["entityId"] == MOTHER
    assert (call["customer"], call["action"], call["tier"], call["program"]) == (MOTHER, "UPGRADE", "Gold", PROGRAM)


async def test_a_fraud_customer_is_refused() -> None:
    """A customer whose status is Fraud_confirmed cannot be adjusted (3045)."""
    async with in_process() as lab:
        await lab.seed(customers=[{"id": 7, "status": "Fraud_confirmed"}])
        answer = await lab.adjust(7)

    assert answer.json()["errors"][0]["code"] == 3045


async def test_a_switch_refuses_single_customers() -> None:
    """`adjust.refuse` refuses the customers it names with the code it gives, and no others."""
    async with in_process() as lab:
        await lab.switch(adjust={"refuse": {str(MOTHER): 8069}})
        refused = await lab.adjust(MOTHER)
        other = await lab.adjust(UNCLE)

    assert refused.json()["errors"][0]["code"] == 8069
    assert other.status_code == 200


async def test_overlapping_calls_for_one_customer_are_locked_out() -> None:
    """While one call for a customer runs, a second one gets 521; other customers are not affected."""
    async with in_process() as lab:
        await lab.switch(adjust={"latency": {"ms": 50}})
        answers = await asyncio.gather(lab.adjust(), lab.adjust(), lab.adjust(PRIMARY))
        log = await lab.calls()

    assert [answer.status_code for answer in answers] == [200, 521, 200]
    assert answers[1].json()["errors"][0]["code"] == 521
    assert [call["fault"] for call in log["calls"]] == ["adjust.latency", "adjust.overlap", "adjust.latency"]
    assert (log["maxConcurrent"], log["maxConcurrentPerCustomer"]) == (2, 2)


async def test_the_lock_ends_with_the_call() -> None:
    """After a call is over its customer can be adjusted again."""
    async with in_process() as lab:
        await lab.switch(adjust={"latency": {"ms": 1}})
        first = await lab.adjust()
        second = await lab.adjust(toSlabName="Diamond")

    assert (first.status_code, second.status_code) == (200, 200)


async def test_overlap_can_be_allowed() -> None:
    """With `adjust.overlap` off overlapping calls are both carried out."""
    async with in_process() as lab:
        await lab.switch(adjust={"latency": {"ms": 20}, "overlap": False})
        answers = await asyncio.gather(lab.adjust(toSlabName="Gold"), lab.adjust(toSlabName="Diamond"))

    assert {answer.status_code for answer in answers} == {200}
