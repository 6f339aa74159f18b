"""The one OpenAPI document is complete, and whatever it allows is answered as it says and below 500."""

import asyncio
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route

from tests.contract.sandbox_earning import SHORT_LIVED, buy, plant
from tests.contract.sandbox_fuzz_kit import sent
from tests.contract.sandbox_kit import GROUP, PRIMARY, in_process
from tiersync import __version__
from tiersync.sandbox.app import VERBS, build, real_seams
from tiersync.sandbox.crm.platform import Platform
from tiersync.sandbox.crm.routes import verbs as crm_verbs
from tiersync.sandbox.pages import openapi
from tiersync.sandbox.sessionm.club import Club
from tiersync.sandbox.sessionm.routes import verbs as sessionm_verbs
from tiersync.sandbox.settings import SandboxSettings

DOCUMENT = openapi((*VERBS, *sessionm_verbs(Club()), *crm_verbs(Platform())), __version__)
UNDESCRIBED = {"/", "/openapi.json"}
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
KNOWN = {"id": str(PRIMARY), "group_id": str(GROUP), "hook_id": "1"}

#: The other faces are fuzzed by tests of their own, which first put somebody there to ask about.
schema = schemathesis.openapi.from_dict(DOCUMENT).exclude(path_regex="^/(crm|sessionm)/")


def operations() -> list[tuple[str, str]]:
    """Return every method and path of the document."""
    return [(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods]


async def test_the_document_is_served_and_has_every_route() -> None:
    """What is routed is described, for every face, and what is described is routed."""
    app = build(SandboxSettings(webhook_url=None), real_seams())
    routed = {route.path for route in app.routes if isinstance(route, Route)} - UNDESCRIBED
    async with in_process(webhook_url=None) as lab:
        served = (await lab.client.get("/openapi.json")).json()

    assert routed == set(served["paths"])
    assert sorted(operations()) == sorted((m.upper(), path) for path, row in served["paths"].items() for m in row)
    assert {"/v2/userGroup2", "/v3/webHooks", "/sandbox/seed", "/v3/webHooks/eventLog/{event_id}"} <= routed
    assert {path.split("/")[1] for path in routed} == {"v1.1", "v2", "v3", "sandbox", "sessionm", "crm"}


@pytest.mark.parametrize(("method", "path"), operations())
def test_every_operation_has_examples_and_schemas(method: str, path: str) -> None:
    """Answer, body and parameters each have an example and a schema."""
    operation = DOCUMENT["paths"][path][method.lower()]
    answer = operation["responses"]["2XX"]["content"]["application/json"]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")

    assert answer["example"] is not None
    assert answer["schema"]
    assert body is None or (body["example"] is not None and body["schema"])
    assert all({"example", "schema"} <= set(parameter) for parameter in operation["parameters"])
    assert operation["summary"]


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_the_document_allows_is_answered_as_it_says(case: schemathesis.Case[Any]) -> None:
    """No server error; status, content type and body are those of the document."""
    answer = asyncio.run(_sent(case))

    case.validate_response(answer, checks=CHECKS)


async def _sent(case: schemathesis.Case[Any]) -> httpx.Response:
    """Send it to an organisation that earns; a loop of our own, because schemathesis does not close its own."""
    async with in_process() as lab:
        await plant(lab, SHORT_LIVED)
        await buy(lab, "bill", 100)
        return await sent(lab.client, case, KNOWN, {})
