"""The service is what its `/openapi.json` says: Schemathesis asks everything that the document allows, and more."""

import asyncio
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import negative_data_rejection
from starlette.applications import Starlette
from starlette.routing import Route

from tests.conftest import OPERATOR_TOKEN, WEBHOOK_SECRET, ServiceFactory
from tests.contract.server_kit import Server, serving
from tests.contract.store_kit import ANN, BOB, EVE, NOW, ORG, Hand, join, outcome, owed, tier_change, without_key
from tiersync.console.openapi import document
from tiersync.fanout import AdjustmentStatus
from tiersync.intake import EventStatus
from tiersync.store import database, open_store

PATHS = document("any", 200)["paths"]
ASKED = [
    (path, method, mode)
    for path, methods in PATHS.items()
    for method, operation in methods.items()
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or {"parameters", "requestBody"} & set(operation)
]


async def _some_work(path: Path) -> None:
    """Leave events and adjustments of every status in a store."""
    async with open_store(database.address(f"sqlite:///{path}"), migrate=True) as store:
        hand = Hand(store)
        claim = await hand.claimed(await hand.due(tier_change("e1", expiry=date(2027, 12, 31))))
        await hand.planned(claim, [*owed(ANN, BOB, EVE), *owed(1, skip="not_default_group")])
        ann, bob, _ = await store.owed(claim, NOW, 10)
        await store.settle(outcome(claim, ann))
        await store.settle(outcome(claim, bob, AdjustmentStatus.DEAD, code=1101, message="no such program"))
        await hand.received(tier_change("e2", NOW + 1), tier_change("e3", NOW - 1), join("j1", EVE))
        await hand.received(without_key("i1", EventStatus.IGNORED, "event_not_used"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run one server for the file, on a store in which there is something to see."""
    folder = tmp_path_factory.mktemp("openapi")
    asyncio.run(_some_work(folder / "tiersync.db"))
    with serving(folder, log_level="error") as running:
        yield running


@pytest.fixture(scope="module")
def api(server: Server) -> Any:
    """Read the server's own description of itself."""
    return schemathesis.openapi.from_url(f"{server.client.base_url}/openapi.json")


@pytest.mark.parametrize(("path", "method", "mode"), ASKED)
def test_every_answer_is_as_described(api: Any, path: str, method: str, mode: GenerationMode) -> None:
    """Whatever is asked of a route, allowed or not, the answer is none of a broken server, and as the document says."""
    secret = WEBHOOK_SECRET if method == "post" else f"Bearer {OPERATOR_TOKEN}"

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=api[path][method].as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        # Any body is a delivery: what cannot be read is not refused but quarantined.
        excluded = [negative_data_rejection] if method == "post" else []
        case.call_and_validate(headers={"Authorization": secret}, excluded_checks=excluded)

    ask()


@pytest.mark.parametrize("event_id", ["e1", "e2", "e3", "j1", "i1"])
def test_what_is_stored_is_shown_as_described(api: Any, event_id: str) -> None:
    """Events of every kind and status, with adjustments of every status, are shown as the document says."""
    path = {"org": ORG, "event_id": event_id}
    case = api["/api/events/{org}/{event_id}"]["get"].Case(path_parameters=path, query={"body": True})

    response = case.call(headers={"Authorization": f"Bearer {OPERATOR_TOKEN}"})

    assert 200 == response.status_code
    case.validate_response(response)


async def test_every_route_is_described(service: ServiceFactory) -> None:
    """The document names every route that is for programs, and no other; the page is for people."""
    async with service() as running:
        described = (await running.client.get("/openapi.json")).json()["paths"]
        assert isinstance(running.application, Starlette)
        found = [route.path for route in running.application.routes if isinstance(route, Route)]
        routes = {path.replace(":path}", "}") for path in found if not path.startswith("/console")}

        assert routes == set(described) == set(PATHS)
