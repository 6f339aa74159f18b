"""The calls to Capillary as they go over the wire, and what becomes of each kind of answer."""

import json
from base64 import b64encode
from datetime import date
from typing import Any

import httpx
import pytest

from tests.contract.capillary_kit import ADJUST, APPLIED, GROUP, URL, Line, line
from tiersync.capillary import NotPrimary
from tiersync.fanout import Group, Held, Member, Move, Tier
from tiersync.retry import Applied, Refused, TryAgain

MEMBERS = {
    "id": 3918893,
    "externalId": "uat_ug_10_txn",
    "groupStatus": "ACTIVE",
    "fleetGroupUsers": [
        {"userId": 1, "groupId": 3918893, "defaultGroup": True, "primaryMember": True, "active": True},
        {"userId": 2.0, "groupId": 3918893, "defaultGroup": True, "primaryMember": False, "active": True},
        {"userId": 3, "groupId": 3918893, "defaultGroup": False, "primaryMember": False, "active": False},
    ],
    "warnings": [{"status": False, "code": 1656, "message": "Fleet group do not have a mapped hierarchy"}],
}
TIERS = {
    "entityId": 2,
    "entityType": "CUSTOMER",
    "programTiers": [
        {"programId": 1, "currentTierName": "Blue", "currentTierSerialNumber": 1, "tierExpiryDate": None},
        {
            "programId": 973,
            "currentTierName": "Gold",
            "currentTierSerialNumber": 3,
            "tierExpiryDate": "2125-03-26 23:59:59",
        },
    ],
    "warnings": [],
}
Result = object


async def adjust(to: Line, move: Move = Move.UPGRADE, expiry: date | None = None, why: str = "why") -> Result:
    """Adjust customer 2 to Gold."""
    return await to.capillary.adjust(2, 973, move, "Gold", expiry, why, to.until)


@pytest.mark.parametrize(
    ("move", "expiry", "body"),
    [
        (Move.UPGRADE, None, {"slabAction": "UPGRADE", "toSlabName": "Gold"}),
        (Move.DOWNGRADE, None, {"slabAction": "DOWNGRADE", "toSlabName": "Gold"}),
        (Move.RENEW, None, {"slabAction": "RENEWAL"}),
        (
            Move.UPGRADE,
            date(2026, 12, 31),
            {
                "slabAction": "UPGRADE",
                "toSlabName": "Gold",
                "manualSlabActionValidity": "SPECIFIC_DATE",
                "manualSlabActionValidityUpto": "2026-12-31",
            },
        ),
    ],
)
async def test_an_adjustment_is_asked_for_in_capillarys_words(
    move: Move, expiry: date | None, body: dict[str, Any]
) -> None:
    """One POST, the customer by id, the program, the action and the validity, and nothing that was not meant."""
    async with line() as to:
        route = to.router.post(ADJUST).respond(json=APPLIED)
        result = await adjust(to, move, expiry, "tiersync e-1 " + "x" * 300)

    request = route.calls.last.request
    assert result == Applied("Gold")
    assert str(request.url) == f"{ADJUST}?source=INSTORE&identifierName=id&identifierValue=2"
    assert json.loads(request.content) == {
        "programId": 973,
        "manualSlabActionValidity": "AS_PER_TIER_STRATEGY",
        "reassessTierOnNextActivity": False,
        "slabChangeReason": "tiersync e-1 " + "x" * 242,
        **body,
    }
    assert request.headers["content-type"] == "application/json"
    assert to.observed == [("adjust", "ok")]


async def test_every_call_carries_basic_credentials_in_the_md5_form() -> None:
    """The password itself is never sent."""
    async with line() as to:
        route = to.answer(json=MEMBERS)
        await to.capillary.members(1, to.until)

    expected = "Basic " + b64encode(b"till.user:5f4dcc3b5aa765d61d8327deb882cf99").decode()
    assert route.calls.last.request.headers["authorization"] == expected
    assert route.calls.last.request.headers["accept"] == "application/json"
    assert route.calls.last.request.headers["user-agent"].startswith("tiersync/")


@pytest.mark.parametrize("url", [URL, f"{URL}/", f"{URL}/proxy"])
async def test_the_readings_ask_for_the_primary_and_for_the_program(url: str) -> None:
    """The base address may end in a slash or have a path of its own; `source` is quoted."""
    async with line(url=url, source="IN STORE&") as to:
        route = to.router.route()
        route.side_effect = [httpx.Response(200, json=MEMBERS), httpx.Response(200, json=TIERS)]
        await to.capillary.members(7098, to.until)
        await to.capillary.tier(2, 973, to.until)

    base = url.rstrip("/")
    assert [(call.request.method, str(call.request.url)) for call in route.calls] == [
        ("GET", f"{base}/v2/userGroup2?primaryUserId=7098"),
        ("GET", f"{base}/v2/customers/2/tierDetails?programId=973&source=IN%20STORE%26"),
    ]


GROUPS: list[tuple[str, dict[str, Any], Result]] = [
    (
        "as documented, warnings and all",
        MEMBERS,
        Group(
            3918893,
            active=True,
            members=(
                Member(1, primary=True, active=True, default_group=True),
                Member(2, primary=False, active=True, default_group=True),
                Member(3, primary=False, active=False, default_group=False),
            ),
        ),
    ),
    ("inactive", {**MEMBERS, "groupStatus": "INACTIVE", "fleetGroupUsers": []}, Group(3918893, False, ())),  # noqa: FBT003
    ("nobody in it", {"id": 5, "fleetGroupUsers": None}, Group(5, True, ())),  # noqa: FBT003
    ("no primary", {"errors": [{"status": False, "code": 1632, "message": "invalid"}]}, NotPrimary()),
    ("group id invalid", {"errors": [{"code": 1619}]}, Refused("group_invalid", 1619)),
]


@pytest.mark.parametrize(("body", "expected"), [pytest.param(*row[1:], id=row[0]) for row in GROUPS])
async def test_a_group_is_read_with_its_past_members(body: dict[str, Any], expected: Result) -> None:
    """Who has left is told apart here, because Capillary lists them all."""
    async with line() as to:
        to.router.get(GROUP).respond(json=body)

        assert await to.capillary.members(1, to.until) == expected


HELD: list[tuple[str, object, Result]] = [
    ("the program among others", TIERS["programTiers"], Held(Tier(3, "Gold"), date(2125, 3, 26))),
    ("not in this program", [{"programId": 1, "currentTierName": "X", "currentTierSerialNumber": 1}], Held(None)),
    ("in no program", [], Held(None)),
    ("no programs told", None, Held(None)),
    ("no name", [{"programId": 973, "currentTierName": "", "currentTierSerialNumber": 1}], Held(None)),
    (
        "the top tier without its number",
        [{"programId": 973, "currentTierName": "Black", "currentTierSerialNumber": -1, "tierExpiryDate": "never"}],
        Held(Tier(2**63 - 1, "Black")),
    ),
    (
        "no number at all",
        [{"programId": 973, "currentTierName": "Gold"}],
        TryAgain("unreadable_answer", in_doubt=True),
    ),
]


@pytest.mark.parametrize(("tiers", "expected"), [pytest.param(*row[1:], id=row[0]) for row in HELD])
async def test_a_tier_is_read_for_its_own_program_only(tiers: object, expected: Result) -> None:
    """A tier of another program must never stand in."""
    async with line() as to:
        to.answer(json={**TIERS, "programTiers": tiers})

        assert await to.capillary.tier(2, 973, to.until) == expected


UNKNOWN = {"errors": [{"code": 9999, "message": "x"}]}
PAGE = "<html><h1 class='big'>Bad\n  gateway</h1></html>"
ADJUSTED: list[tuple[str, dict[str, Any], Result]] = [
    ("as documented", {"json": APPLIED}, Applied("Gold")),
    ("no side effect", {"json": {**APPLIED, "sideEffects": []}}, Applied()),
    ("side effects null", {"json": {**APPLIED, "sideEffects": None}}, Applied()),
    ("side effects absent", {"json": {"programId": 973, "errors": None}}, Applied()),
    ("a warning is no failure", {"json": {**APPLIED, "warnings": [{"status": False, "code": 8925}]}}, Applied("Gold")),
    ("an empty warning", {"json": {**APPLIED, "warnings": [{}]}}, Applied("Gold")),
    ("no error in errors", {"json": {**APPLIED, "errors": [{}, None]}}, Applied("Gold")),
    ("created", {"status": 201, "json": APPLIED}, Applied("Gold")),
    ("status false", {"json": {"status": "false", "code": 1101}}, Refused("program_invalid", 1101)),
    ("empty", {"content": b""}, TryAgain("unreadable_answer", in_doubt=True)),
    ("no content", {"status": 204}, TryAgain("unreadable_answer", in_doubt=True)),
    ("not JSON", {"html": "<p>ok</p>"}, TryAgain("unreadable_answer", in_doubt=True)),
    ("another shape", {"json": {"sideEffects": "none"}}, TryAgain("unreadable_answer", in_doubt=True)),
    ("an array", {"json": [APPLIED]}, TryAgain("unreadable_answer", in_doubt=True)),
    ("400 {} as text", {"status": 400, "text": "{}"}, Refused("refused", 400)),
    ("400, empty", {"status": 400}, Refused("refused", 400)),
    ("a page", {"status": 502, "html": PAGE}, TryAgain("server_error", 502, "Bad gateway", in_doubt=True)),
    ("redirect", {"status": 302, "headers": {"Location": f"{URL}/login"}}, Refused("redirected", 302)),
    ("undocumented", {"json": UNKNOWN}, Refused("refused", 9999, "x")),
    ("undocumented 4xx", {"status": 418}, Refused("refused", 418)),
    ("undocumented 5xx", {"status": 599}, TryAgain("server_error", 599, in_doubt=True)),
    ("undocumented in 500", {"status": 500, "json": UNKNOWN}, TryAgain("server_error", 9999, "x", in_doubt=True)),
]


@pytest.mark.parametrize(("answer", "expected"), [pytest.param(*row[1:], id=row[0]) for row in ADJUSTED])
async def test_an_answer_to_an_adjustment_means_what_its_body_says(answer: dict[str, Any], expected: Result) -> None:
    """The body goes before the status, what says nothing is in doubt, and a change is never sent again in doubt."""
    async with line() as to:
        route = to.answer(**answer)
        result = await adjust(to)

    assert expected == result
    assert route.call_count == 1


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"json": {"errors": [{"code": 1632}]}}, None),
        ({"json": MEMBERS}, None),
        ({"status": 400}, None),
        ({"status": 401}, TryAgain("not_authenticated", 401)),
        ({"status": 403, "json": {"errors": [{"code": 4000}]}}, Refused("not_authorised", 4000)),
        ({"status": 404}, Refused("no_such_resource", 404)),
        ({"status": 301, "headers": {"Location": "https://elsewhere.example"}}, Refused("redirected", 301)),
        ({"status": 500}, TryAgain("server_error", 500, in_doubt=True)),
    ],
)
async def test_a_check_finds_wrong_addresses_and_credentials_only(answer: dict[str, Any], problem: Result) -> None:
    """Customer 1 need not lead a group for the address and the credentials to be right."""
    async with line() as to:
        to.answer(**answer)

        assert await to.capillary.check(to.until) == problem
