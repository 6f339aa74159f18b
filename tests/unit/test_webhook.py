"""What a delivery says: every documented form, every variant, and nothing that makes the reader stumble."""

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tiersync import webhook
from tiersync.webhook import INT64_MAX, Action, Envelope, Ignored, MembershipChange, Reading, TierChange, Unreadable

EXAMPLES = Path(__file__).parents[1] / "journey" / "examples"
TIERS = [{"tierNumber": 1, "tierName": "Silver"}, {"tierNumber": 2, "tierName": "Gold"}]
ABSENT = object()


def tier_event(data: Mapping[str, Any] = {}, /, **envelope: Any) -> dict[str, Any]:
    """Build an upgrade of customer 876 to tier 2 in program 973; `ABSENT` takes a field away."""
    inner = {
        "customerIdentifiers": {"customerId": 876},
        "loyaltyProgramId": 973,
        "upgradedTierNumber": 2,
        **data,
    }
    outer = {"eventName": "tierUpgraded", "eventId": "e-1", "orgId": 50614, "createdAt": 1719999999999, **envelope}
    return {
        **{name: value for name, value in outer.items() if value is not ABSENT},
        "data": {name: value for name, value in inner.items() if value is not ABSENT},
    }


def read(event: object) -> Reading:
    """Read an event as it would come."""
    return webhook.read(json.dumps(event).encode())


PLAIN = TierChange(Envelope(50614, "e-1", "tierUpgraded", 1719999999999), 973, 876, Action.UPGRADE, 2, None, None)

DOCUMENTED: dict[str, Reading] = {
    "tier-upgraded": TierChange(
        Envelope(50614, "00c8084c-0db4-4411-875b-21249dbfc4d8", "tierUpgraded", 1619517441506),
        program=1427,
        customer=406273266,
        action=Action.UPGRADE,
        tier_number=2,
        tier_name="GoldP2",
        expiry=date(2121, 4, 27),
    ),
    "tier-upgraded-enriched": TierChange(
        Envelope(50952, "ccf65d56-1e34-4282-b9ad-8fe3fe558b74", "tierUpgraded", 1720440349027),
        program=1676,
        customer=379499720,
        action=Action.UPGRADE,
        tier_number=2,
        tier_name=None,
        expiry=date(2026, 12, 31),
    ),
    "tier-upgraded-minimal": TierChange(
        Envelope(None, "sha256:ec832eef19c77b874909fc2ddcb9926746bf24c94f54a88de56e5d95f5466bca", "tierUpgraded"),
        program=None,
        customer=347266498,
        action=Action.UPGRADE,
        tier_number=2,
        tier_name="Gold",
        expiry=None,
    ),
    "tier-renewed": TierChange(
        Envelope(1655, "12345abacde", "tierRenewed", 156474848484),
        program=1487,
        customer=876,
        action=Action.RENEW,
        tier_number=3,
        tier_name=None,
        expiry=date(2020, 4, 25),
    ),
    "tier-downgraded": TierChange(
        Envelope(1655, "12345XYZE", "tierDowngraded", 156474848484),
        program=1487,
        customer=876,
        action=Action.DOWNGRADE,
        tier_number=1,
        tier_name=None,
        expiry=date(2020, 4, 25),
    ),
    "group-member-added": MembershipChange(
        Envelope(6485, "5d1c8c04-4a0c-4a44-9a55-3b1f1c0b77aa", "groupMemberAdded", 1719999999999),
        group=5322,
        primary=7098,
        member=3970,
        joined=True,
    ),
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_documented_payload_says_what_it_says(name: str) -> None:
    """Each published form is read into exactly its own facts."""
    body = (EXAMPLES / f"{name}.json").read_bytes()

    reading = webhook.read(body)

    assert DOCUMENTED[name] == reading


@pytest.mark.parametrize(
    ("tiers", "name"),
    [
        (TIERS, "Gold"),
        ([{"tierNumber": 2.0, "tierName": "Gold"}], "Gold"),
        ([{"tierNumber": "2", "tierName": "Gold"}], "Gold"),
        ([*TIERS, {"tierNumber": 2, "tierName": "Gold"}], "Gold"),
        ([*TIERS, {"tierNumber": 2, "tierName": "Or"}], None),
        ([{"tierNumber": 1, "tierName": "Silver"}], None),
        ([{"tierNumber": 2, "tierName": ""}, {"tierNumber": 2}], None),
        ([{"tierNumber": 2, "tierName": "Go\x00ld"}], None),
        ([{"tierNumber": 2, "tierName": 7}], None),
        ([{"tierNumber": 2.5, "tierName": "Half"}, *TIERS], None),
        ([2, "Gold", None], None),
        ([], None),
        ({"2": "Gold"}, None),
        (None, None),
    ],
)
def test_a_tier_is_named_only_by_a_list_that_names_it_once(tiers: object, name: str | None) -> None:
    """A wrong name would move a whole group to a wrong tier: in any doubt there is none, and Capillary is asked."""
    reading = read(tier_event({"loyaltyProgramDetails": {"id": 973, "tiers": tiers}}))

    assert isinstance(reading, TierChange)
    assert name == reading.tier_name


@pytest.mark.parametrize("details", [ABSENT, None, {}, {"id": None, "tiers": None, "isDefault": None}])
def test_program_details_may_be_missing(details: object) -> None:
    """Without details the program's id is enough."""
    assert read(tier_event({"loyaltyProgramDetails": details})) == PLAIN


@pytest.mark.parametrize(
    ("customer", "entity", "expected"),
    [
        (876, ABSENT, 876),
        (876, None, 876),
        (876, {}, 876),
        (876, {"entityId": 876, "entityType": "USER"}, 876),
        (876, {"entityId": 876.0}, 876),
        (876, {"entityId": None, "entityType": None}, 876),
        (None, {"entityId": 5, "entityType": "USER"}, 5),
        (ABSENT, {"entityId": 5}, 5),
        (ABSENT, {"entityId": 5, "entityType": "entityType"}, 5),
        (876, {"entityId": 5, "entityType": "TILL"}, 876),
        (876, {"entityId": 5, "entityType": "USER"}, "customer_disagrees"),
        (876, {"entityId": 5, "entityType": "user"}, "customer_disagrees"),
        (876, {"entityId": 5}, "customer_disagrees"),
        (876, {"entityId": 876, "entityType": "USERGROUP2"}, "entity_is_group"),
        (ABSENT, {"entityId": 5, "entityType": "userGroup2"}, "entity_is_group"),
        (ABSENT, {"entityType": "USER"}, "field_missing"),
        (ABSENT, ABSENT, "field_missing"),
    ],
)
def test_the_customer_is_found_in_either_place(customer: object, entity: object, expected: int | str) -> None:
    """The identifiers go first, the entity fills in, a group is nobody's customer, and two persons are one too many."""
    identifiers = ABSENT if customer is ABSENT else {"customerId": customer}

    reading = read(tier_event({"customerIdentifiers": identifiers, "entityInformation": entity}))

    assert expected == (reading.customer if isinstance(reading, TierChange) else reading_reason(reading))


def reading_reason(reading: Reading) -> str:
    """Say why a delivery is not acted on."""
    assert isinstance(reading, Ignored | Unreadable)
    return reading.reason


@pytest.mark.parametrize(
    ("program", "details", "expected"),
    [
        (973, 973, 973),
        (973.0, None, 973),
        (ABSENT, 973, 973),
        (None, 973.0, 973),
        (None, None, None),
        (973, 974, "program_disagrees"),
    ],
)
def test_the_program_is_found_in_either_place(program: object, details: object, expected: object) -> None:
    """Two names for the program must agree; none at all is for the org's default to answer."""
    reading = read(tier_event({"loyaltyProgramId": program, "loyaltyProgramDetails": {"id": details}}))

    assert expected == (reading.program if isinstance(reading, TierChange) else reading_reason(reading))


@pytest.mark.parametrize(
    "literal", ["876", "876.0", "8.76e2", "87600E-2", '"876"', '"0876"', "876.00000000000000000000000000000"]
)
def test_a_whole_number_may_be_written_in_any_way(literal: str) -> None:
    """An id counts by its value, however the sender's serializer wrote it."""
    body = json.dumps(tier_event({"customerIdentifiers": {"customerId": "?"}})).replace('"?"', literal)

    assert webhook.read(body.encode()) == PLAIN


BEYOND = [
    "1e999999999",
    "-1e999999999",
    "1e99999999999999999999",
    "1e-99999999999999999999",
    f"{INT64_MAX + 1}",
    "9.3e18",
]
NO_IDS = ["876.5", "0", "0.0", "-876", "true", '"876.0"', '""', '" 876"', '"٨٧٦"', "[876]", "{}", "1e-999999999"]
LONG = [pytest.param("9" * 4000, id="4000 digits"), pytest.param(f'"{"9" * 10**6}"', id="a million digits")]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("literal", [*NO_IDS, *BEYOND, *LONG])
def test_what_is_not_an_id_is_refused_by_name(literal: str) -> None:
    """Nothing is rounded, cut or expanded into somebody's id, and the operator reads which field it was."""
    body = json.dumps(tier_event({"customerIdentifiers": {"customerId": "?"}})).replace('"?"', literal)

    reading = webhook.read(body.encode())

    assert isinstance(reading, Unreadable)
    assert reading.reason == "field_invalid"
    assert reading.detail.startswith("data.customerIdentifiers.customerId: ")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"eventName": ABSENT}, "eventName"),
        ({"eventName": ""}, "eventName"),
        ({"eventName": 7}, "eventName"),
        ({"eventId": "x" * 201}, "eventId"),
        ({"eventId": "a\x00b"}, "eventId"),
        ({"eventId": "\ud800"}, "eventId"),
        ({"eventId": 12345}, "eventId"),
        ({"orgId": 50614.5}, "orgId"),
        ({"orgId": 0}, "orgId"),
        ({"createdAt": -1}, "createdAt"),
        ({"createdAt": "yesterday"}, "createdAt"),
        ({"eventLogId": 1e300}, "eventLogId"),
    ],
)
def test_an_envelope_that_cannot_be_kept_is_refused_by_name(changes: dict[str, Any], field: str) -> None:
    """What no column could hold never reaches the store as a fact."""
    reading = read(tier_event(**changes))

    assert isinstance(reading, Unreadable)
    assert field == reading.detail.split(":")[0]


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"upgradedTierNumber": ABSENT}, "data.upgradedTierNumber: missing"),
        ({"upgradedTierNumber": None, "currentTierNumber": 2}, "data.upgradedTierNumber: missing"),
        ({"upgradedTierNumber": 2.5}, "data.upgradedTierNumber: must be a whole number, it has a fraction"),
        ({"entityInformation": "USER"}, "data.entityInformation: must be an object"),
    ],
)
def test_a_tier_event_without_its_facts_names_the_field(changes: dict[str, Any], detail: str) -> None:
    """A quarantined delivery tells what to ask Capillary about."""
    reading = read(tier_event(changes))

    assert isinstance(reading, Unreadable)
    assert detail == reading.detail


def test_an_unreadable_delivery_does_not_take_the_id_it_claims() -> None:
    """A readable delivery with the same event id that follows is not a duplicate of the broken one."""
    body = json.dumps(tier_event({"upgradedTierNumber": None})).encode()

    reading = webhook.read(body)

    assert Envelope(50614, webhook.digest(body), "tierUpgraded", 1719999999999) == reading.envelope


@pytest.mark.parametrize("event_id", [ABSENT, None, ""])
def test_an_event_without_an_id_is_known_by_its_body(event_id: object) -> None:
    """The same bytes are the same event, other bytes are another."""
    one, other = (json.dumps(tier_event(eventId=event_id, orgId=org)).encode() for org in (1, 2))

    known = webhook.read(one).envelope.event_id

    assert webhook.digest(one) == known
    assert webhook.read(other).envelope.event_id != known


@pytest.mark.parametrize(
    ("expiry", "expected"),
    [
        ("2121-04-27", date(2121, 4, 27)),
        ("tierExpiryDate", None),
        ("2026-02-30", None),
        ("2026-W01-1", None),
        ("2026-12-31 23:59:59", None),
        (1766620800000, None),
        (None, None),
    ],
)
def test_an_expiry_is_a_calendar_date_or_unknown(expiry: object, expected: date | None) -> None:
    """A date in another form is not guessed at: mirroring a wrong one would shorten somebody's tier."""
    reading = read(tier_event({"tierExpiryDate": expiry}))

    assert isinstance(reading, TierChange)
    assert expected == reading.expiry


MEMBER = {"customerIdentifiers": {"customerId": 3970.0}}


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("groupMemberAdded", {"groupId": 5, "primaryMember": MEMBER, "memberAdded": MEMBER}, (5, 3970, 3970, True)),
        ("groupMemberAdded", {"groupId": "5", "primaryMember": None, "memberAdded": MEMBER}, (5, None, 3970, True)),
        ("groupMemberRemoved", {"groupId": 5.0, "primaryMember": {}, "memberRemoved": MEMBER}, (5, None, 3970, False)),
        ("groupMemberRemoved", {"groupId": 5, "memberAdded": MEMBER}, "data.memberRemoved.customerIdentifiers"),
        ("groupMemberAdded", {"groupId": 5, "memberAdded": {"customerIdentifiers": {}}}, "data.memberAdded"),
        ("groupMemberAdded", {"memberAdded": MEMBER}, "data.groupId: missing"),
        ("groupMemberAdded", None, "data: must be an object"),
    ],
)
def test_a_membership_event_says_who_joined_or_left(name: str, data: object, expected: object) -> None:
    """Joins and leaves have a field of their own each; a group may have no primary."""
    match read({"eventName": name, "eventId": "m", "data": data}):
        case MembershipChange(_, group, primary, member, joined):
            assert expected == (group, primary, member, joined)
        case Unreadable(detail=detail):
            assert isinstance(expected, str)
            assert detail.startswith(expected)
        case other:
            pytest.fail(f"{other}")


@pytest.mark.parametrize("name", ["groupCreated", "pointsContributionToGroup", "tierDowngradeReminder", "TIERUPGRADED"])
def test_another_event_is_ignored_whatever_it_holds(name: str) -> None:
    """An event that is not used is never a problem, not even with data that no tier event could have."""
    reading = read({"eventName": name, "eventId": "x", "orgId": 7.0, "data": [["?"]]})

    assert Ignored(Envelope(7, "x", name), "event_not_used") == reading


NO_EVENTS = {
    "empty": (b"", "not_json"),
    "no text": (b"\xff\xfe\xff", "not_json"),
    "cut off": (b'{"eventName":"tierUpgraded"', "not_json"),
    "NaN": (b'{"eventName":"tierUpgraded","data":NaN}', "not_json"),
    "Infinity": (b'{"eventName":"tierUpgraded","data":-Infinity}', "not_json"),
    "a million digits": (b'{"eventName":"tierUpgraded","data":' + b"9" * 10**6 + b"}", "not_json"),
    "deep arrays": (b"[" * 10**6, "not_json"),
    "deep objects": (b'{"body":' * 10**5, "not_json"),
    "no element": (b"[]", "not_one_event"),
    "no element, wrapped": (b'{"body":[]}', "not_one_event"),
    "two events": (json.dumps([tier_event(), tier_event()]).encode(), "not_one_event"),
    "wrapped too often": (json.dumps([[[[[tier_event()]]]]]).encode(), "field_invalid"),
    "a string": (b'"tierUpgraded"', "field_invalid"),
    "null": (b"null", "field_invalid"),
    "text in a wrapper": (b'{"body":"{}"}', "field_invalid"),
}


@pytest.mark.parametrize("name", NO_EVENTS)
def test_a_body_that_is_no_event_is_quarantined_under_its_digest(name: str) -> None:
    """Whatever it is, it is kept once and told apart from every other body."""
    body, reason = NO_EVENTS[name]

    reading = webhook.read(body)

    assert isinstance(reading, Unreadable)
    assert reason == reading.reason
    assert Envelope(None, webhook.digest(body), "") == reading.envelope


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_the_encoding_of_json_is_recognised(encoding: str) -> None:
    """A byte order mark does not cost an event."""
    assert webhook.read(json.dumps(tier_event()).encode(encoding)) == PLAIN
