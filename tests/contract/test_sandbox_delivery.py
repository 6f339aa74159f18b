"""How events are delivered, repeated, dropped, and logged; how webhooks are registered."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.contract.sandbox_kit import GROUP, MOTHER, PRIMARY, Lab, in_process, until

HOOKS = "/v3/webHooks"
HOOK: dict[str, Any] = {
    "name": "second",
    "webHookUrl": "http://second.test/in",
    "webHookType": "HTTP",
    "methodType": "POST",
    "eventNames": ["tierUpgraded"],
    "maxAllowedConnections": 2,
    "webHookHeaders": {"Authorization": "abc", "X-Extra": "1"},
    "active": True,
    "customerIdentifiersToBeEnriched": ["INSTORE"],
}


async def only(lab: Lab) -> Any:
    """Return the only delivery there is, once it is decided."""
    await lab.settled()
    (delivery,) = (await lab.deliveries())["deliveries"]
    return delivery


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 413, 415, 422])
async def test_some_answers_lose_the_event_for_ever(status: int) -> None:
    """An event answered with one of these is never sent again."""
    async with in_process() as lab:
        lab.receiver.script(status)
        await lab.decide("Gold")
        delivery = await only(lab)

    assert (delivery["state"], delivery["tries"], delivery["attempts"][0]["status"]) == ("dropped", 1, status)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 302, 409])
async def test_other_answers_have_it_sent_again(status: int) -> None:
    """The same event is repeated until it is taken."""
    async with in_process() as lab:
        lab.receiver.script(status, status)
        await lab.decide("Gold")
        delivery = await only(lab)
        events = lab.receiver.events

    assert (delivery["state"], delivery["tries"]) == ("delivered", 3)
    assert [attempt["status"] for attempt in delivery["attempts"]] == [status, status, 200]
    assert len({event["eventId"] for event in events}) == 1


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_any_2xx_is_a_delivery(status: int) -> None:
    """2xx ends a delivery well."""
    async with in_process() as lab:
        lab.receiver.script(status)
        await lab.decide("Gold")
        delivery = await only(lab)

    assert (delivery["state"], delivery["tries"]) == ("delivered", 1)


async def test_a_timeout_is_repeated() -> None:
    """A receiver that is too slow gets the event again."""
    async with in_process(webhook_timeout_ms=20) as lab:
        lab.receiver.wait_s = 5
        await lab.decide("Gold")

        async def arrived() -> bool:
            return bool(lab.receiver.requests)

        await until(arrived)
        lab.receiver.wait_s = 0
        delivery = await only(lab)

    assert [attempt["error"] for attempt in delivery["attempts"]] == ["timeout", None]


async def test_a_broken_connection_is_repeated() -> None:
    """A receiver that cannot be reached gets the event later."""

    def broken(request: httpx.Request) -> httpx.Response:
        lab.receiver.script()
        raise httpx.ConnectError("refused", request=request)

    async with in_process() as lab:
        lab.receiver.answer = broken
        await lab.decide("Gold")
        delivery = await only(lab)

    assert [attempt["error"] for attempt in delivery["attempts"]] == ["connection failed", None]


async def test_the_wait_doubles_up_to_its_bound() -> None:
    """Repetitions are spaced exponentially from the base to the longest wait."""
    async with in_process(retry_base_ms=1, retry_max_ms=5) as lab:
        lab.receiver.script(500, 500, 500, 500, 500)
        await lab.decide("Gold")
        await lab.settled()

    assert lab.slept == [0.001, 0.002, 0.004, 0.005, 0.005]


async def test_retry_after_is_not_honoured() -> None:
    """Only the own schedule counts, whatever the receiver asks for."""
    async with in_process() as lab:
        answers = iter([httpx.Response(429, headers={"retry-after": "3600"}), httpx.Response(200)])
        lab.receiver.answer = lambda _: next(answers)
        await lab.decide("Gold")
        delivery = await only(lab)

    assert delivery["state"] == "delivered"


async def test_no_newer_event_starts_while_one_is_repeated() -> None:
    """The same event comes again before anything newer (head-of-line)."""
    async with in_process() as lab:
        lab.receiver.script(429, 429, 429)
        await lab.decide("Gold")
        await asyncio.sleep(0.002)
        await lab.decide("Diamond")
        events = await lab.settled()

    assert [event["data"]["upgradedTierNumber"] for event in events] == [2, 2, 2, 2, 3]


async def test_connections_are_bounded() -> None:
    """Never more deliveries at once than maxAllowedConnections, and that many when there is work."""
    async with in_process(webhook_connections=3) as lab:
        lab.receiver.wait_s = 0.003
        await lab.seed(groups=[{"externalId": f"g{n}", "primary": 100 + n} for n in range(29)])
        await lab.client.post("/sandbox/batch", json={})
        events = await lab.settled()

    assert len(events) == 30
    assert lab.receiver.running_max == 3


async def test_calls_do_not_wait_for_deliveries() -> None:
    """A call is answered before its event is delivered."""
    async with in_process() as lab:
        lab.receiver.wait_s = 0.1
        answer = await lab.adjust()
        pending = (await lab.deliveries())["pending"]
        await lab.settled()

    assert (answer.status_code, pending) == (200, 1)


async def test_an_event_is_given_up_after_the_window() -> None:
    """After the retry window an event is not repeated any more."""

    def late(_: httpx.Request) -> httpx.Response:
        lab.clock.forward(4)
        return httpx.Response(503)

    async with in_process(retry_window_s=10) as lab:
        lab.receiver.answer = late
        await lab.decide("Gold")
        delivery = await only(lab)

    assert (delivery["state"], delivery["tries"]) == ("expired", 3)


async def test_the_static_header_is_sent() -> None:
    """The first webhook carries the configured header; bodies are JSON."""
    async with in_process(webhook_header="X-Key", webhook_secret="open sesame") as lab:
        await lab.decide("Gold")
        await lab.settled()
        headers = lab.receiver.requests[0].headers

    assert headers["x-key"] == "open sesame"
    assert headers["content-type"] == "application/json"


async def test_stopping_in_the_middle_is_clean() -> None:
    """A sandbox stops while deliveries are running, repeated and waiting."""
    async with in_process(retry_base_ms=60_000) as lab:
        lab.receiver.script(500)
        await lab.decide("Gold")
        await lab.decide("Diamond")
        await asyncio.sleep(0.01)
        before = await lab.deliveries()

    assert before["counts"]["retrying"] == 1


async def test_reset_forgets_deliveries() -> None:
    """After a reset nothing is on its way and the log is empty."""
    async with in_process(retry_base_ms=60_000) as lab:
        lab.receiver.script(500)
        await lab.decide("Gold")
        await asyncio.sleep(0.01)
        await lab.client.post("/sandbox/reset")
        after = await lab.deliveries()

    assert (after["total"], after["pending"], after["deliveries"]) == (0, 0, [])


# Travel switches.


async def test_duplicates() -> None:
    """`duplicate` delivers the same event again, `copies` times, for the events it hits."""
    async with in_process() as lab:
        await lab.switch(events={"duplicate": {"copies": 2, "first": 1}})
        await lab.decide("Gold")
        await lab.decide("Diamond")
        events = await lab.settled()

    ids = [event["eventId"] for event in events]
    assert [ids.count(each) for each in dict.fromkeys(ids)] == [3, 1]


async def test_reorder_reverses_each_run() -> None:
    """`reorder` 3 sends three events in reverse; what is left over goes out after a moment."""
    async with in_process(webhook_connections=1) as lab:
        await lab.seed(groups=[{"externalId": f"g{n}", "primary": 100 + n} for n in range(4)])
        await lab.switch(events={"reorder": 3})
        await lab.client.post("/sandbox/batch", json={"customers": [PRIMARY, 100, 101, 102, 103]})
        events = await lab.settled()

    order = [event["data"]["entityInformation"]["entityId"] for event in events]
    assert order == [101, 100, PRIMARY, 102, 103]


async def test_stale_events_are_overtaken() -> None:
    """`stale` holds an event back with its old createdAt, so that a newer one arrives first."""
    async with in_process() as lab:
        await lab.switch(events={"stale": {"first": 1, "delay_ms": 30}})
        await lab.decide("Gold")
        lab.clock.forward(1)
        await lab.decide("Diamond")
        events = await lab.settled()

    assert [event["data"]["upgradedTierNumber"] for event in events] == [3, 2]
    assert events[0]["createdAt"] > events[1]["createdAt"]


async def test_lost_events_never_arrive() -> None:
    """`lost` events are in the log and nowhere else."""
    async with in_process() as lab:
        await lab.switch(events={"lost": {"customers": [PRIMARY]}})
        await lab.decide("Gold")
        await lab.adjust()
        events = await lab.settled()
        log = await lab.deliveries()

    assert [event["data"]["entityInformation"]["entityId"] for event in events] == [MOTHER]
    assert log["counts"]["lost"] == 1


# Registration.


async def test_a_webhook_is_registered_and_served() -> None:
    """A registered webhook has the documented answer and gets the events it named, with its headers."""
    async with in_process(webhook_url=None) as lab:
        created = await lab.client.post(HOOKS, json=HOOK)
        await lab.decide("Gold")
        await lab.decide("Silver")
        events = await lab.settled()
        listed = await lab.client.get(HOOKS)

    hook = created.json()["data"]
    assert created.json()["errors"] is None
    assert {key: hook[key] for key in HOOK} == HOOK
    assert (hook["webHookId"], hook["noOfRetryAttempts"]) == (1, 0)
    assert hook["consumerGroupId"]
    assert hook["attribution"]["createdOn"] == "2026-03-10T12:00:00.000+0000"
    assert listed.json()["data"] == [hook]
    assert [event["eventName"] for event in events] == ["tierUpgraded"]
    assert lab.receiver.requests[0].headers["x-extra"] == "1"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"eventNames": None}, 51003),
        ({"eventNames": "tierUpgraded"}, 400),
        ({"maxAllowedConnections": None}, 300004),
        ({"maxAllowedConnections": 0}, 51007),
        ({"maxAllowedConnections": -1}, 51007),
        ({"maxAllowedConnections": "x"}, 51007),
        ({"maxAllowedConnections": True}, 51007),
        ({"name": None}, 400),
        ({"name": "first"}, 400),
        ({"webHookUrl": None}, 400),
        ({"webHookUrl": "ftp://x/"}, 400),
        ({"webHookUrl": "http://[x/"}, 400),
        ({"webHookUrl": "http://x:99999/"}, 400),
        ({"webHookUrl": "http://x/\n"}, 400),
        ({"webHookType": "queue"}, 400),
        ({"methodType": "PATCH"}, 400),
        ({"active": "yes"}, 400),
        ({"webHookHeaders": []}, 400),
        ({"webHookHeaders": {"a b": "c"}}, 400),
        ({"webHookHeaders": {"a": "b\r\nc: d"}}, 400),
    ],
)
async def test_webhooks_that_are_refused(change: dict[str, Any], code: int) -> None:
    """What is wrong with a registration is told by code in the v3 envelope."""
    body = {key: value for key, value in {**HOOK, **change}.items() if value is not None}
    async with in_process() as lab:
        answer = await lab.client.post(HOOKS, json=body)

    assert answer.status_code == 400
    assert (answer.json()["data"], answer.json()["errors"][0]["code"]) == (None, code)


async def test_connections_are_truncated() -> None:
    """10.99 becomes 10, as it has been seen to."""
    async with in_process() as lab:
        answer = await lab.client.post(HOOKS, json={**HOOK, "maxAllowedConnections": 10.99})

    assert answer.json()["data"]["maxAllowedConnections"] == 10


async def test_put_replaces_the_event_names() -> None:
    """A PUT that does not name an event removes it."""
    async with in_process() as lab:
        await lab.client.post(HOOKS, json=HOOK)
        answer = await lab.client.put(f"{HOOKS}/2", json={**HOOK, "eventNames": ["tierRenewed"], "methodType": "PUT"})

    hook = answer.json()["data"]
    assert (hook["webHookId"], hook["eventNames"], hook["methodType"]) == (2, ["tierRenewed"], "PUT")


async def test_a_deleted_webhook_stays_inactive() -> None:
    """DELETE sets active false: what waits is dropped and nothing new is sent."""
    async with in_process(retry_base_ms=5, webhook_connections=1) as lab:
        lab.receiver.script(500, 500, 500, 500, 500)
        await lab.decide("Gold")
        await lab.decide("Diamond")
        deleted = await lab.client.delete(f"{HOOKS}/1")
        await lab.settled()
        await lab.decide("Silver")
        log = await lab.deliveries()

    assert deleted.json()["data"]["active"] is False
    assert [delivery["state"] for delivery in log["deliveries"]] == ["dropped", "dropped"]


@pytest.mark.parametrize("number", ["9", "x", "-1"])
async def test_webhooks_that_are_not_there(number: str) -> None:
    """An unknown webhook is 404."""
    async with in_process() as lab:
        put = await lab.client.put(f"{HOOKS}/{number}", json=HOOK)
        deleted = await lab.client.delete(f"{HOOKS}/{number}")

    assert (put.status_code, deleted.status_code) == (404, 404)


# Event log.


async def test_the_event_log_is_found_by_all_three_names() -> None:
    """An event is in the log under its request, its refId and its id, with the receiver's answer."""
    async with in_process() as lab:
        answer = await lab.adjust()
        (event,) = await lab.settled()
        request = answer.headers["x-cap-requestid"]
        found = [
            (await lab.client.get(f"{HOOKS}/eventLog/{path}")).json()["data"]
            for path in (f"requestId/{request}", f"refId/50614_{MOTHER}", event["eventId"])
        ]

    entry = found[1]
    assert found == [[entry], entry, entry]
    assert entry["eventId"] == event["eventId"]
    assert entry["requestId"] == request
    assert entry["eventIngestionTimestamp"] == "2026-03-10T12:00:00.000+0000"
    assert entry["consumerResponse"] == {"webhookHttpStatus": 200.0, "time_taken": 0.0}


async def test_an_undelivered_event_has_no_response_yet() -> None:
    """The consumerResponse is null until the event was taken."""
    async with in_process(retry_base_ms=60_000) as lab:
        lab.receiver.script(503)
        decided = await lab.decide("Gold")
        await asyncio.sleep(0.01)
        entry = (await lab.client.get(f"{HOOKS}/eventLog/{decided['eventIds'][0]}")).json()["data"]

    assert (entry["consumerResponse"], entry["eventEndTimestamp"]) == (None, None)


@pytest.mark.parametrize("path", ["eventLog/x", "eventLog/refId/x"])
async def test_events_that_are_not_there(path: str) -> None:
    """An unknown event is 404; an unknown request has an empty list."""
    async with in_process() as lab:
        answer = await lab.client.get(f"{HOOKS}/{path}")
        empty = await lab.client.get(f"{HOOKS}/eventLog/requestId/x")

    assert answer.status_code == 404
    assert empty.json()["data"] == []


async def test_metrics_count_per_webhook() -> None:
    """Metrics count delivered, failed and pending events of one consumer group within the dates."""
    async with in_process() as lab:
        lab.receiver.script(200, 400)
        await lab.decide("Gold")
        await lab.settled()
        await lab.decide("Diamond")
        await lab.settled()
        group = (await lab.client.get(HOOKS)).json()["data"][0]["consumerGroupId"]
        whole = await lab.client.get(f"/v3/events/consumer-groups/{group}/metrics")
        early = await lab.client.get(f"/v3/events/consumer-groups/{group}/metrics", params={"endDate": 5})
        unknown = await lab.client.get(f"/v3/events/consumer-groups/{GROUP}/metrics")

    counted = whole.json()["data"]
    assert (counted["totalEvents"], counted["deliveredEvents"], counted["failedEvents"]) == (2, 1, 1)
    assert (counted["retryingEvents"], counted["pendingEvents"]) == (0, 0)
    assert early.json()["data"]["totalEvents"] == 0
    assert unknown.status_code == 404


async def test_identifiers_are_enriched_for_the_webhook_that_asks() -> None:
    """Two webhooks get the same event: one with the customer's mobile and the rest, one with the bare id."""
    async with in_process() as lab:
        await lab.client.post(HOOKS, json={**HOOK, "customerIdentifiersToBeEnriched": []})
        await lab.decide("Gold")
        await lab.settled()
        events = lab.receiver.events

    identifiers = [event["data"]["customerIdentifiers"] for event in events]
    assert 1 == len({event["eventId"] for event in events})
    assert {"customerId": PRIMARY} in identifiers
    assert ["919988123456"] == [row["instore"]["mobile"] for row in identifiers if "instore" in row]
