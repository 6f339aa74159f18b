"""Whatever the OpenAPI document allows under `/sessionm` is answered below 500, in JSON."""

import asyncio
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from tests.contract.sandbox_fuzz_kit import sent
from tests.contract.sandbox_kit import in_process
from tiersync.sandbox.pages import openapi
from tiersync.sandbox.sessionm.club import Club
from tiersync.sandbox.sessionm.routes import verbs

schema = schemathesis.openapi.from_dict(openapi(verbs(Club()), "test"))

ABOUT_SOMEBODY = {f"/sessionm/api/1.0/{name}" for name in ("events", "transactions")} | {
    f"/sessionm/api/1.0/user_points/{name}" for name in ("deposit", "balance", "spend")
}


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_is_a_server_error(case: schemathesis.Case[Any]) -> None:
    """Any request the document allows, about somebody known, gets JSON and no server error."""
    answer = asyncio.run(_sent(case))

    assert answer.status_code < 500, answer.text
    assert isinstance(answer.json(), dict)


async def _sent(case: schemathesis.Case[Any]) -> httpx.Response:
    """Send it to a sandbox where there is Ann; a loop of our own, because schemathesis does not close its own."""
    async with in_process(webhook_url=None) as lab:
        await lab.client.post("/sessionm/api/1.0/customers", json={"external_id": "ann"})
        about = {"external_id": "ann"} if case.operation.path in ABOUT_SOMEBODY else {}
        return await sent(lab.client, case, {"external_id": "ann", "account": "beans"}, about)
