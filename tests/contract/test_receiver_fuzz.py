"""Whatever an authentic sender sends: never a 5xx, never a 400, and never a body that is answered 200 and not kept."""

import copy
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Service, ServiceFactory

EVENTS: list[dict[str, Any]] = [
    {
        "eventName": "tierUpgraded",
        "eventId": "e1",
        "orgId": 50614,
        "createdAt": 1_619_517_441_506,
        "eventLogId": 7,
        "data": {
            "customerIdentifiers": {"customerId": 406_273_266.0},
            "entityInformation": {"entityId": 406_273_266, "entityType": "USER"},
            "loyaltyProgramDetails": {"id": 1427, "tiers": [{"tierNumber": 2, "tierName": "GoldP2"}]},
            "loyaltyProgramId": 1427,
            "upgradedTierNumber": 2,
            "tierExpiryDate": "2121-04-27",
        },
    },
    {
        "eventName": "groupMemberAdded",
        "eventId": "e2",
        "orgId": 50614,
        "createdAt": 1_719_999_999_999,
        "data": {
            "groupId": 5322,
            "primaryMember": {"customerIdentifiers": {"customerId": 7098}},
            "memberAdded": {"customerIdentifiers": {"customerId": 3970}},
        },
    },
]
PATHS = [
    *((0, path) for path in ["eventName", "eventId", "orgId", "createdAt", "eventLogId", "data"]),
    *((0, f"data.{path}") for path in ["customerIdentifiers.customerId", "entityInformation.entityId"]),
    *((0, f"data.{path}") for path in ["loyaltyProgramDetails.tiers", "loyaltyProgramId", "upgradedTierNumber"]),
    *((0, f"data.{path}") for path in ["tierExpiryDate", "entityInformation.entityType", "loyaltyProgramDetails"]),
    *((1, f"data.{path}") for path in ["groupId", "primaryMember", "memberAdded.customerIdentifiers.customerId"]),
]
EDGES: list[Any] = [
    0,
    -1,
    1.5,
    2.0,
    2**63 - 1,
    2**63,
    -(2**63),
    10**400,
    1e308,
    True,
    None,
    "",
    "0",
    "2",
    "\x00",
    "\ud800",
    [],
    {},
]

values = st.recursive(
    st.sampled_from(EDGES) | st.integers() | st.floats(allow_nan=True) | st.text() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def nearly_events(draw: st.DrawFn) -> bytes:
    """A real event in which one to three fields hold something else."""
    number = draw(st.integers(0, 1))
    event = copy.deepcopy(EVENTS[number])
    for _, path in draw(
        st.lists(st.sampled_from([item for item in PATHS if item[0] == number]), min_size=1, max_size=3)
    ):
        *outer, last = path.split(".")
        where: Any = event
        for name in outer:
            where = where.get(name, {}) if isinstance(where, dict) else {}
        if isinstance(where, dict):
            where[last] = draw(values)
    return json.dumps(event).encode()


numbers = st.from_regex(rb"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,25})?", fullmatch=True)
odd_numbers = numbers.map(
    lambda number: b'{"eventName": "tierRenewed", "orgId": %s, "createdAt": %s}' % (number, number)
)
bodies = (
    st.binary(max_size=200)
    | values.map(lambda value: json.dumps(value).encode())
    | nearly_events()
    | odd_numbers
    | st.integers(1, 3000).map(lambda depth: b"[" * depth)
)
encodings = st.sampled_from(["", "", "", "gzip", "deflate", "br", "nonsense"])


@pytest.fixture
async def receiving(service: ServiceFactory) -> AsyncIterator[Service]:
    """Run one service for all examples."""
    async with service(log_level="error") as running:
        yield running


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies, encoding=encodings, packed=st.booleans())
async def test_every_authentic_body_is_kept(receiving: Service, body: bytes, encoding: str, *, packed: bool) -> None:
    """An authentic delivery is answered 200 with the id under which its row, with its bytes, is found."""
    sent = gzip.compress(body, mtime=0) if packed and encoding == "gzip" else body

    response = await receiving.deliver(sent, **{"Content-Encoding": encoding} if encoding else {})

    assert 200 == response.status_code, response.text
    told = response.json()
    assert told["status"] in {"accepted", "duplicate", "ignored", "quarantined"}
    row = await _row(receiving, told)
    assert 200 == row.status_code, row.text
    if told["status"] != "duplicate":
        as_it_reads = body if row.json()["reason"] != "content_encoding" else sent
        assert as_it_reads.decode("utf-8", "replace") == row.json()["body"]


async def _row(receiving: Service, told: dict[str, Any]) -> httpx.Response:
    """Fetch what an answer says was stored."""
    event_id = httpx.URL("http://x").copy_with(path="/" + told["event_id"]).raw_path.decode()[1:]
    return await receiving.ask(f"/api/events/{told['org']}/{event_id}", body=True)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=bodies,
    headers=st.dictionaries(
        st.sampled_from(
            ["authorization", "content-encoding", "content-type", "webhook-signature", "webhook-timestamp"]
        ),
        st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=30),
    ),
)
async def test_nobody_unknown_gets_anything_but_401(receiving: Service, body: bytes, headers: dict[str, str]) -> None:
    """Whatever somebody without the secret sends, in body or headers, is answered 401."""
    response = await receiving.client.post(
        "/webhooks/capillary", content=body, headers=[(k.encode(), v.encode("latin-1")) for k, v in headers.items()]
    )

    assert 401 == response.status_code
