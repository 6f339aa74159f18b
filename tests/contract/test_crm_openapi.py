"""Whatever the OpenAPI document allows under `/crm` is answered below 500, in JSON."""

import asyncio
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from tests.contract.sandbox_fuzz_kit import sent
from tests.contract.sandbox_kit import in_process
from tiersync.sandbox.crm.platform import Platform
from tiersync.sandbox.crm.routes import verbs
from tiersync.sandbox.pages import openapi

schema = schemathesis.openapi.from_dict(openapi(verbs(Platform()), "test"))

SPA = "/crm/businesses/spa"
KNOWN = {
    "business": "spa",
    "scheme": "vip",
    "offer": "quiet-hours",
    "contact": "ann",
    "purchase": "visit",
    "transaction": "credit",
    "code": "K1",
}


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_is_a_server_error(case: schemathesis.Case[Any]) -> None:
    """Any request the document allows, about a spa that is in business, gets JSON and no server error."""
    answer = asyncio.run(_sent(case))

    assert answer.status_code < 500, answer.text
    assert isinstance(answer.json(), dict)


async def _sent(case: schemathesis.Case[Any]) -> httpx.Response:
    """Send it to a spa in business; a loop of our own, because schemathesis does not close its own."""
    contact = (
        {"contact_id": "ann"} if any("'contact_id'" in str(body.definition) for body in case.operation.body) else {}
    )
    async with in_process(webhook_url=None) as lab:
        for path in ("schemes/vip/activate", "schemes/default/activate", "offers/cashback/activate"):
            await lab.client.post(f"{SPA}/{path}")
        credit = {"id": "credit", "kind": "credit", "pocket": "commerce", "amount": "5.00"}
        await lab.client.post(f"{SPA}/contacts", json={"id": "ann"})
        await lab.client.post(f"{SPA}/schemes/vip/codes", json={"codes": ["K1"]})
        await lab.client.post(f"{SPA}/contacts/ann/wallet/transactions", json=credit)
        await lab.client.post(f"{SPA}/purchases", json={"id": "visit", "contact_id": "ann", "amount": "20.00"})
        return await sent(lab.client, case, KNOWN, contact)
