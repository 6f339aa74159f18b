"""The operator's routes: who may ask, what is listed, paged and shown, and how the service says that it is well."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.routing import Route

from tests.conftest import OPERATOR_TOKEN, WEBHOOK_SECRET, Service, ServiceFactory
from tests.contract.sandbox_kit import GROUP, PRIMARY, PROGRAM, SECONDARIES, Lab
from tests.contract.store_kit import ANN, BOB, EVE, NOW, ORG, Hand, outcome, owed, tier_change, without_key
from tiersync.app import Role
from tiersync.fanout import AdjustmentStatus
from tiersync.intake import EventStatus
from tiersync.store import JobStatus, Keys, database, open_store, schema
from tiersync.webhook import INT64_MAX

OPEN = {"/livez", "/readyz", "/metrics", "/openapi.json", "/webhooks/capillary"}
END_S_MAX = 30


@pytest.fixture
async def running(service: ServiceFactory, database_url: str) -> AsyncIterator[Service]:
    """Run a service on a store in which something has happened; pages are short."""
    async with open_store(database.address(database_url), migrate=True) as store:
        hand = Hand(store)
        claim = await hand.claimed(await hand.due(tier_change("e1", body=b'{"mobile": "secret"}')))
        await hand.planned(claim, owed(ANN, BOB, EVE))
        ann, bob, _ = await store.owed(claim, NOW, 10)
        await store.settle(outcome(claim, ann))
        await store.settle(outcome(claim, bob, AdjustmentStatus.DEAD, reason="refused", code=1101))
        await hand.received(
            tier_change("e2", NOW - 1),
            tier_change("e3", customer=ANN, program=1, received_at=NOW + 1000),
            tier_change("e/4 ?\n\u00e9", org=1),
            without_key("e5", EventStatus.QUARANTINED, "not_json"),
        )
    async with service(page_rows_max=2) as found:
        yield found


def paths(application: object) -> list[str]:
    """Every route of the application, with something in the place of each parameter."""
    assert isinstance(application, Starlette)
    found = [route.path for route in application.routes if isinstance(route, Route)]
    return [path.replace("{org}", str(ORG)).replace("{event_id:path}", "e1") for path in found]


STRANGERS: dict[str, dict[str, str]] = {
    "nothing": {},
    "empty": {"Authorization": ""},
    "no token": {"Authorization": "Bearer "},
    "the bare token": {"Authorization": OPERATOR_TOKEN},
    "another scheme": {"Authorization": f"Basic {OPERATOR_TOKEN}"},
    "a prefix": {"Authorization": f"Bearer {OPERATOR_TOKEN[:-1]}"},
    "the webhook's secret": {"Authorization": f"Bearer {WEBHOOK_SECRET}"},
}


@pytest.mark.parametrize("headers", STRANGERS.values(), ids=STRANGERS)
async def test_every_route_of_the_api_wants_the_token(running: Service, headers: dict[str, str]) -> None:
    """Every route but those that are open by design is closed to whoever has no token, and says what it wants."""
    closed = [path for path in paths(running.application) if path not in OPEN and not path.startswith("/console")]

    answers = [
        await running.client.request(method, path, headers=headers) for path in closed for method in ("GET", "HEAD")
    ]

    assert len(closed) >= 2
    assert all(path.startswith("/api/") for path in closed)
    assert {(401, "Bearer")} == {(answer.status_code, answer.headers["www-authenticate"]) for answer in answers}


@pytest.mark.parametrize("sent", ["Bearer ", "Bearer None", f"Bearer {OPERATOR_TOKEN}"])
async def test_without_a_token_the_api_is_closed(service: ServiceFactory, sent: str) -> None:
    """If no token is set, no token opens the API, and the answer names the setting."""
    async with service(operator_token=None) as running:
        answer = await running.client.get("/api/events", headers={"Authorization": sent})

        assert 401 == answer.status_code
        assert "TIERSYNC_OPERATOR_TOKEN" in answer.json()["detail"]


FILTERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "status": ({"status": "superseded"}, ["e2"]),
    "reason": ({"reason": "not_json"}, ["e5"]),
    "org": ({"org": 1}, ["e/4 ?\n\u00e9"]),
    "program": ({"program": 1}, ["e3"]),
    "customer": ({"customer": ANN}, ["e3"]),
    "since": ({"since": NOW + 1000}, ["e3"]),
    "until": ({"until": NOW}, []),
    "several": ({"status": "pending", "program": PROGRAM, "org": ORG}, ["e1"]),
    "the largest numbers": ({"org": INT64_MAX, "customer": INT64_MAX, "before": INT64_MAX}, []),
}


@pytest.mark.parametrize(("query", "expected"), FILTERS.values(), ids=FILTERS)
async def test_events_are_filtered(running: Service, query: dict[str, Any], expected: list[str]) -> None:
    """Only the events for which every given condition holds are listed."""
    answer = await running.ask("/api/events", **query)

    assert 200 == answer.status_code
    assert expected == [row["event_id"] for row in answer.json()["events"]]


@pytest.mark.parametrize("limit", [1, 2, 1000])
async def test_following_next_shows_every_event_once(running: Service, limit: int) -> None:
    """Pages hold as many rows as asked for, and never more than is set; the last one has no next."""
    seen: list[str] = []
    pages, query = 0, {"limit": limit}
    while pages < 10:
        pages += 1
        page = (await running.ask("/api/events", **query)).json()
        assert min(limit, 2) >= len(page["events"])
        seen += [row["event_id"] for row in page["events"]]
        if page["next"] is None:
            break
        query["before"] = page["next"]

    assert ["e5", "e/4 ?\n\u00e9", "e3", "e2", "e1"] == seen
    assert 5 // min(limit, 2) + 1 == pages


async def test_an_event_is_shown_with_its_adjustments(running: Service) -> None:
    """An event is shown with a page of its adjustments in the order of members, and the counts of all of them."""
    first = (await running.ask(f"/api/events/{ORG}/e1")).json()
    second = (await running.ask(f"/api/events/{ORG}/e1", after=first["next"])).json()

    assert ("pending", PRIMARY, "Gold") == (first["status"], first["customer"], first["tier_name"])
    assert [(ANN, "done", None), (BOB, "dead", "refused"), (EVE, "due", None)] == [
        (row["member"], row["status"], row["reason"]) for page in (first, second) for row in page["adjustments"]
    ]
    assert {"done": 1, "dead": 1, "due": 1} == first["adjustment_counts"]
    assert second["next"] is None


async def test_the_body_is_shown_only_when_asked_for(running: Service) -> None:
    """Raw bodies may hold personal data: neither a list nor an event shows one by itself."""
    answers = [await running.ask("/api/events"), await running.ask(f"/api/events/{ORG}/e1")]
    asked = await running.ask(f"/api/events/{ORG}/e1", body=True)

    assert all("secret" not in answer.text for answer in answers)
    assert '{"mobile": "secret"}' == asked.json()["body"]


async def test_any_event_id_can_be_asked_for(running: Service) -> None:
    """An event is found by its id even if that holds what means something in an address."""
    answer = await running.ask("/api/events/1/e%2F4%20%3F%0A%C3%A9")

    assert "e/4 ?\n\u00e9" == answer.json()["event_id"]


@pytest.mark.parametrize("path", [f"/api/events/{ORG}/unknown", "/api/events/2/e1", f"/api/events/{ORG}/"])
async def test_what_is_not_there_is_404(running: Service, path: str) -> None:
    """An event that is not stored under this org is answered 404 with a sentence."""
    answer = await running.ask(path)

    assert 404 == answer.status_code
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        *(("/api/events", {"limit": limit}, "limit") for limit in ("0", "-1", "x", "1.5", "")),
        *(("/api/events", {name: "-1"}, name) for name in ("org", "program", "customer", "since", "until", "before")),
        *(("/api/events", {name: str(2**63)}, name) for name in ("org", "since", "before")),
        ("/api/events", {"status": "unknown"}, "status"),
        ("/api/events", {"reason": "x" * 201}, "reason"),
        ("/api/events", {"reason": "a\x00b"}, "reason"),
        ("/api/events", {"statsu": "dead"}, "statsu"),
        (f"/api/events/{ORG}/e1", {"body": "perhaps"}, "body"),
        (f"/api/events/{ORG}/e1", {"after": "-1"}, "after"),
        (f"/api/events/{ORG}/e1", {"before": "1"}, "before"),
        ("/api/events/x/e1", {}, "org"),
        ("/api/events/-1/e1", {}, "org"),
        (f"/api/events/{2**63}/e1", {}, "org"),
        (f"/api/events/{'9' * 5000}/e1", {}, "org"),
        ("/api/events/%C2%B2/e1", {}, "org"),
    ],
    ids=str,
)
async def test_a_wrong_parameter_is_422_and_named(
    running: Service, path: str, query: dict[str, str], field: str
) -> None:
    """What is asked wrongly is refused in a sentence that begins with the name of what is wrong."""
    answer = await running.ask(path, **query)

    assert 422 == answer.status_code
    assert answer.json()["detail"].startswith(f"{field}: ")


def execute(database_url: str, statement: str) -> None:
    """Change the database behind the service's back."""
    with closing(sqlite3.connect(database.address(database_url).database or "")) as connection, connection:
        connection.execute(statement)


@pytest.mark.parametrize(
    ("harm", "repair"),
    [
        ("ALTER TABLE alembic_version RENAME TO gone", "ALTER TABLE gone RENAME TO alembic_version"),
        (
            "UPDATE alembic_version SET version_num = '0000'",
            f"UPDATE alembic_version SET version_num = '{schema.newest_version()}'",  # noqa: S608
        ),
    ],
    ids=["gone", "another schema"],
)
async def test_readiness_follows_the_store(running: Service, database_url: str, harm: str, repair: str) -> None:
    """While the store is damaged or has another schema the service lives but is not ready; then it is again."""
    statuses = []
    for statement in (None, harm, repair):
        if statement:
            execute(database_url, statement)
        statuses.append(
            [
                (await running.client.get(path)).status_code
                for path in ("/livez", "/readyz", "/metrics", "/openapi.json")
            ]
        )

    well = [200, 200, 200, 200]
    assert [well, [200, 503, 200, 200], well] == statuses


async def test_a_store_that_is_away_is_503(running: Service, database_url: str) -> None:
    """When the events cannot be read the API says so, and the metrics are still there."""
    execute(database_url, "ALTER TABLE events RENAME TO gone")
    execute(database_url, "ALTER TABLE syncs RENAME TO gone_too")

    answers = [await running.ask(path) for path in ("/api/events", f"/api/events/{ORG}/e1", "/metrics")]

    assert [503, 503, 200] == [answer.status_code for answer in answers]
    assert answers[0].json()["detail"]


async def test_the_metrics_name_nobody(service: ServiceFactory, sandbox: Lab) -> None:
    """After a whole fan-out the metrics can be parsed, count what happened, and hold no id of a person or an event."""
    settings = {"capillary_url": str(sandbox.client.base_url), "capillary_username": sandbox.settings.username}
    async with service(Role.ALL, **settings, capillary_password=sandbox.settings.password) as running:
        await running.deliver(
            {
                "eventName": "tierUpgraded",
                "eventId": "event-of-somebody",
                "orgId": ORG,
                "createdAt": NOW,
                "data": {
                    "customerIdentifiers": {"customerId": PRIMARY},
                    "loyaltyProgramDetails": {"id": PROGRAM, "tiers": [{"tierNumber": 2, "tierName": "Gold"}]},
                    "upgradedTierNumber": 2,
                },
            }
        )
        await _ended(running, "event-of-somebody")
        text = (await running.client.get("/metrics")).text
        samples = await _samples(running)

    assert 1 == samples["tiersync_deliveries_total", "accepted"]
    assert len(SECONDARIES) == samples["tiersync_adjustments_total", "", "", "applied"]
    assert 0 == samples["tiersync_keys_due",]
    persons = {str(person) for person in (PRIMARY, *SECONDARIES, GROUP, "event-of-somebody")}
    assert [] == [person for person in persons if person in text]


async def test_the_metrics_tell_of_the_schedule_of_reconciles(service: ServiceFactory) -> None:
    """How often groups are compared, and when that was done last: before the first time, when the process began."""
    async with service(org=ORG, reconcile_every_h=24) as running:
        began = time.time()
        before = await _samples(running)
        async with open_store(database.address(running.settings.database_url)) as store:
            job = await store.begin_reconcile(Keys(org=ORG), by="schedule", now=NOW)
            await store.end_job(job.id, JobStatus.DONE, now=NOW + 5000)
        after = await _samples(running)

    finished = ("tiersync_reconcile_finished_timestamp_seconds", str(ORG))
    assert 86_400 == before["tiersync_reconcile_interval_seconds", str(ORG)]
    assert began == pytest.approx(before[finished], abs=60)
    assert NOW / 1000 + 5 == after[finished]
    assert 0 == before["tiersync_reconciled_members_total", "under_way"]


async def _samples(running: Service) -> dict[tuple[str, ...], float]:
    """Every sample of the metrics, by its name and the values of its labels."""
    text = (await running.client.get("/metrics")).text
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def _ended(running: Service, event_id: str) -> None:
    """Wait until an event is finished."""
    async with asyncio.timeout(END_S_MAX):
        while (await running.ask(f"/api/events/{ORG}/{event_id}")).json()["status"] == "pending":
            await asyncio.sleep(0.02)
