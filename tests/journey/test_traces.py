"""One trace leads from a webhook through its commit to every call; what comes later is linked to it."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.journey import processes
from tests.journey.collector import Collector, collecting
from tests.journey.kit import PROGRAM, SECRET, TOKEN, Town, town
from tests.ports import free_port

GIVEN_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
GIVEN_SPAN = "00f067aa0ba902b7"
COME_S_MAX = 20.0


@asynccontextmanager
async def traced(here: Town, collector: Collector, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the service of a town in a process of its own that exports to a collector."""
    environment = {
        **collector.environment,
        "TIERSYNC_SHUTDOWN_S_MAX": "2",
        "TIERSYNC_CAPILLARY_URL": here.settings["capillary_url"],
        "TIERSYNC_CAPILLARY_USERNAME": here.settings["capillary_username"],
        "TIERSYNC_CAPILLARY_PASSWORD": here.settings["capillary_password"],
        "TIERSYNC_WEBHOOK_SECRETS": SECRET,
        "TIERSYNC_OPERATOR_TOKEN": TOKEN,
        "TIERSYNC_DATABASE_URL": here.database_url,
        "TIERSYNC_DEFAULT_PROGRAM": str(PROGRAM),
        "TIERSYNC_PORT": str(here.port),
        "TIERSYNC_LOG_FORMAT": "json",
        "TIERSYNC_RETRY_DELAYS_S": "0.05",
        "TIERSYNC_SWEEP_S": "0.05",
    }
    async with processes.running("serve", environment=environment, url=f"{here.service.base_url}/livez", log=log) as it:
        yield it


async def come(true: Callable[[], object]) -> None:
    """Wait until what is exported makes something true."""
    async with asyncio.timeout(COME_S_MAX):
        while not true():
            await asyncio.sleep(0.02)


async def test_one_trace_leads_from_the_webhook_to_every_call(tmp_path: Path) -> None:
    """The trace that the sender began holds delivery, commit, turn, the reading of the group and each adjustment."""
    async with town(tmp_path, started=False) as here, collecting() as collector:
        people = here.newcomers()
        await here.seed(people.seed("Silver"))
        async with traced(here, collector, tmp_path / "serve.log"):
            event = here.tier_event(people.primary, 2)
            await here.deliver(event, traceparent=f"00-{GIVEN_TRACE}-{GIVEN_SPAN}-01")
            await here.quiet()
            await come(lambda: collector.named("turn"))
            stored = await here.event(event["eventId"])

    spans = [span for span in collector.spans if span.trace == GIVEN_TRACE]
    [delivery] = collector.named("POST /webhooks/capillary", event_id=event["eventId"])
    [commit] = [span for span in spans if span.name == "store.receive"]
    [turn] = collector.named("turn")
    adjustments = collector.named("adjustment", outcome="applied")
    calls = collector.named("capillary.adjust")
    assert {GIVEN_TRACE} == {span.trace for span in (delivery, turn, *adjustments, *calls)}
    assert len(spans) == 4 + len(adjustments) + len(calls)
    assert GIVEN_SPAN == delivery.parent
    assert {delivery.id} == {commit.parent, turn.parent}
    assert [turn.id] == [span.parent for span in collector.named("capillary.members")]
    assert {turn.id} == {span.parent for span in adjustments}
    assert set(people.secondaries) == {span.attributes["tiersync.member"] for span in adjustments}
    assert {span.id for span in adjustments} == {span.parent for span in calls}
    assert f"00-{GIVEN_TRACE}-{delivery.id}-01" == stored["traceparent"]
    assert f'"trace_id": "{GIVEN_TRACE}"' in (tmp_path / "serve.log").read_text()


async def test_a_join_is_traced_to_the_call_it_causes(tmp_path: Path) -> None:
    """The joiner's adjustment belongs to the trace of its own event, and is linked to the turn that made it."""
    async with town(tmp_path, started=False) as here, collecting() as collector:
        people, joining = here.newcomers(), here.newcomers(secondaries=0)
        await here.seed(people.seed("Gold", "Gold"), joining.seed("Silver", "Silver"))
        async with traced(here, collector, tmp_path / "serve.log"):
            await here.join(people, joining.primary)
            await here.quiet()
            await come(lambda: collector.named("turn") and collector.named("adjustment"))

    [delivery] = collector.named("POST /webhooks/capillary", customer=people.primary)
    [turn], [adjustment] = collector.named("turn", customer=people.primary), collector.named("adjustment")
    assert (delivery.trace, delivery.id) == (adjustment.trace, adjustment.parent)
    assert (turn.trace,) == adjustment.links
    assert delivery.trace != turn.trace


@pytest.mark.timeout(120)
async def test_after_a_crash_and_by_a_replay_the_trace_goes_on_by_links(tmp_path: Path) -> None:
    """The next life's turn and a replay's are traces of their own, each linked to the delivery."""
    log = tmp_path / "serve.log"
    async with town(tmp_path, started=False) as here, collecting() as collector:
        people = here.newcomers()
        await here.seed(people.seed("Silver"))
        await here.switch(adjust={"latency": {"ms": 300}})
        async with traced(here, collector, log) as life:
            event = here.tier_event(people.primary, 2)
            await here.deliver(event)
            await come(lambda: collector.named("POST /webhooks/capillary"))
            await here.until(lambda: made_a_call(here))
            os.kill(life.pid, 9)
            await life.wait()
        await here.switch(adjust={"latency": {"ms": 0}})
        async with traced(here, collector, log):
            await here.quiet()
            await come(lambda: collector.named("turn"))
            after_the_crash = len(collector.named("turn"))
            await here.replay(event["eventId"])
            await here.quiet()
            await come(lambda: len(collector.named("turn")) > after_the_crash)

    [delivery] = collector.named("POST /webhooks/capillary", event_id=event["eventId"])
    # An echo that came between the two lives may have had a turn of its own, at the secondary's key.
    own = collector.named("turn", customer=people.primary)
    turns = [span for span in own if span.trace != delivery.trace]
    assert len(turns) >= 2
    assert {(delivery.trace,)} == {turn.links for turn in turns}
    assert len(turns) == len({turn.trace for turn in turns})


async def made_a_call(here: Town) -> bool:
    """Say whether Capillary has been asked to adjust somebody."""
    return bool(await here.calls("adjust"))


async def test_a_collector_that_is_away_costs_spans_only(tmp_path: Path) -> None:
    """Deliveries are answered and worked off, the end is not held up, and the log says that spans were lost."""
    log = tmp_path / "serve.log"
    async with town(tmp_path, started=False) as here:
        people = here.newcomers()
        await here.seed(people.seed("Silver"))
        async with traced(here, Collector(f"http://127.0.0.1:{free_port()}"), log) as life:
            await here.decide(people.primary, "Gold")
            await here.quiet()
            ended = await processes.end(life)

        assert 0 == ended
        assert {"Gold"} == await here.followers(people)
        said = [json.loads(line) for line in log.read_text().splitlines()]
        assert "service.stopped" in {entry["event"] for entry in said}
        assert [entry for entry in said if entry["event"] == "library.spoke" and "opentelemetry" in entry["logger"]]
