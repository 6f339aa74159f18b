"""Whatever is sent, the sandbox answers in its envelopes and never with a server error."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.sandbox_earning import SHORT_LIVED, buy, plant
from tests.contract.sandbox_kit import GROUP, MOTHER, PRIMARY, in_process
from tiersync.sandbox.app import VERBS
from tiersync.sandbox.routes_companies import VERBS as COMPANY_VERBS

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(0, 10),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=60),
    st.sampled_from([PRIMARY, MOTHER, GROUP, 973, "Gold", "UPGRADE", "RENEWAL", "id", "INSTORE", "SPECIFIC_DATE"]),
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
WORDS = st.one_of(
    st.text(max_size=60), st.integers().map(str), st.sampled_from(["id", "INSTORE", str(MOTHER), str(GROUP), "٣", "-0"])
)
HIERARCHY = next(verb.body for verb in COMPANY_VERBS if verb.path == "/v2/fleetHierarchy")
ROUTES = st.sampled_from([verb for verb in VERBS if verb.path != "/sandbox/faults"])


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, dict[str, str], Any]:
    """Draw a request: a route, some of its parameters, and a body near its example or far from it."""
    verb = draw(ROUTES)
    path = verb.path
    for name in ("id", "group_id", "hook_id", "event_id", "request_id", "ref_id", "consumer_group"):
        path = path.replace(
            f"{{{name}}}", draw(st.sampled_from([str(PRIMARY), str(GROUP), "1", "x", "%00", "%ff", "٣"]))
        )
    query = {
        name.rstrip("*"): draw(WORDS) if draw(st.booleans()) else example
        for name, example in verb.query
        if draw(st.integers(0, 4))
    }
    body = verb.body
    if isinstance(body, dict) and body and draw(st.integers(0, 3)):
        body = {**body, draw(st.sampled_from(sorted(body))): draw(JSON)}
    if body is None or not draw(st.integers(0, 4)):
        body = draw(JSON)
    return verb.method, path, query, body if verb.method in {"POST", "PUT"} else None


@pytest.mark.parametrize("refusals", ["400", "200"])
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(asked=st.lists(requests(), min_size=1, max_size=6))
async def test_no_request_is_a_server_error(refusals: str, asked: list[tuple[str, str, dict[str, str], Any]]) -> None:
    """Any sequence of odd requests to an organisation that earns is answered below 500, with JSON."""
    async with in_process(webhook_url=None) as lab:
        await lab.switch(answers={"refusals": refusals}, organisation={"primary_handover": True})
        await plant(lab, SHORT_LIVED)
        await buy(lab, "bill-0001", 1500, lineItemsV2=[{"itemCode": "shirt", "qty": 1, "amount": 1500}])
        await lab.client.post("/v2/fleetHierarchy", json=HIERARCHY)
        answers = [
            await lab.client.request(method, path, params=query, json=body) for method, path, query, body in asked
        ]

    for answer in answers:
        assert answer.status_code < 500, answer.text
        assert answer.headers["content-type"] == "application/json"
        assert isinstance(answer.json(), dict)


@settings(max_examples=300, deadline=None)
@given(patch=JSON | st.dictionaries(st.sampled_from(["events", "adjust", "all"]), JSON, max_size=2))
async def test_no_patch_is_a_server_error(patch: Any) -> None:
    """Any JSON given to PUT /sandbox/faults is merged or refused with 422."""
    async with in_process(webhook_url=None) as lab:
        answer = await lab.client.put("/sandbox/faults", json=patch)

    assert answer.status_code in {200, 422}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/transactions", {"type": {}, "billNumber": "b", "billAmount": 1}),
        ("/v2/transactions", {"type": "RETURN", "returnType": {}, "billNumber": "b"}),
        ("/v2/points/userGroup2/transfer", {"pointsTobeTransferred": 1, "fromEntity": {"type": []}}),
        ("/v2/points/transfer", {"pointsTobeTransferred": 1, "fromCustomerIdentifier": {"type": {}}}),
        ("/v2/customers", {"profiles": [{"identifiers": [{"type": {}, "value": []}]}]}),
    ],
)
async def test_an_object_where_a_word_is_meant_is_refused(path: str, body: Any) -> None:
    """A JSON object or list in the place of a word is told as a mistake of the caller."""
    async with in_process(webhook_url=None) as lab:
        answer = await lab.client.post(path, json=body)

    assert answer.status_code == 400
