"""Whatever goes through, log, metrics and traces hold ids only: nobody's name, number or address, and no secret."""

import json
from pathlib import Path
from typing import Any

from tests.journey import processes
from tests.journey.collector import collecting
from tests.journey.kit import PROGRAM, SECRET, TOKEN, Town, town
from tiersync.telemetry import FIELDS

EXAMPLES = Path(__file__).with_name("examples")
PERSON = {
    "firstName": "Hildegard",
    "lastName": "Wintermantel",
    "mobile": "919845600000",
    "email": "tom@email.com",
    "externalId": "536236462453",
    "cardnumber": "4929-1234",
}
PRIVATE = {*PERSON.values(), "dummyemail@gmail.com", "919740000000"}
SECRETS = {SECRET, TOKEN, "eyJ", "second-webhook-secret", "sandbox-key", "sandbox-secret"}


def awkward(here: Town, number: int) -> list[Any]:
    """Make up deliveries that go wrong in ways that tempt a log to quote them."""
    event = here.tier_event(number, 2)
    named = {
        **event,
        "data": {**event["data"], "customerIdentifiers": {"customerId": PERSON["mobile"] + "x", **PERSON}},
    }
    return [
        b"{" + json.dumps(PERSON).encode(),
        json.dumps(named).encode(),
        json.dumps([PERSON, PERSON]).encode(),
        json.dumps({**event, "eventId": None, "createdAt": PERSON["email"]}).encode(),
        json.dumps({"eventName": "customerUpdated", "data": PERSON}).encode(),
    ]


async def test_logs_metrics_and_traces_hold_no_personal_data_and_no_secret(tmp_path: Path) -> None:
    """After every documented payload, unreadable bodies, refusals and bad credentials, no private word is there."""
    log = tmp_path / "serve.log"
    async with town(tmp_path, started=False) as here, collecting() as collector:
        people = here.newcomers()
        await here.seed(people.seed("Silver"), customers=[{"id": people.secondaries[0], **PERSON}])
        await here.switch(adjust={"refuse": {str(people.secondaries[0]): 3045}, "html_error": {"first": 1}})
        url = str(here.service.base_url)
        environment = {
            **collector.environment,
            "TIERSYNC_CAPILLARY_URL": here.settings["capillary_url"],
            "TIERSYNC_CAPILLARY_KEY": "sandbox-key",
            "TIERSYNC_CAPILLARY_SECRET": "sandbox-secret",
            "TIERSYNC_WEBHOOK_SECRETS": f"{SECRET},second-webhook-secret",
            "TIERSYNC_OPERATOR_TOKEN": TOKEN,
            "TIERSYNC_DATABASE_URL": here.database_url,
            "TIERSYNC_DEFAULT_PROGRAM": str(PROGRAM),
            "TIERSYNC_PORT": str(here.port),
            "TIERSYNC_LOG_LEVEL": "debug",
            "TIERSYNC_LOG_FORMAT": "json",
            "TIERSYNC_RETRY_DELAYS_S": "0.05",
        }

        async with processes.running("serve", environment=environment, url=f"{url}/livez", log=log):
            for file in sorted(EXAMPLES.iterdir()):
                await here.deliver(file.read_bytes())
            for body in awkward(here, people.primary):
                await here.deliver(body)
            await here.deliver(b"{}", Authorization=f"{SECRET}{TOKEN}")
            await here.decide(people.primary, "Gold")
            await here.quiet()
            metrics = (await here.service.get("/metrics")).text

    log_text, spans = log.read_text(), b"".join(collector.raw).decode("utf-8", "replace")
    logged = [json.loads(line) for line in log_text.splitlines()]
    assert {"service.starting", "delivery.answered", "adjustment.settled", "turn.ended", "service.stopped"} <= {
        entry["event"] for entry in logged
    }
    assert 'tiersync_deliveries_total{answer="quarantined"}' in metrics
    assert {"POST /webhooks/capillary", "turn", "adjustment", "capillary.adjust"} <= {
        span.name for span in collector.spans
    }
    assert set() == {field for entry in logged for field in entry} - FIELDS
    assert [] == [entry for entry in logged if "left out" in entry.get("message", "")]
    said = {"log": log_text, "metrics": metrics, "spans": spans}
    assert [] == [(where, word) for where, text in said.items() for word in PRIVATE | SECRETS if word in text]
