"""Webhook registration and the event log (`contracts/capillary.md` 2.1, 2.2)."""

from collections.abc import Iterator

from tiersync.errors import LoyaltyError
from tiersync.sandbox.answers import Answer, data_v3
from tiersync.sandbox.ask import Ask
from tiersync.sandbox.calls import Call
from tiersync.sandbox.desk import Desk
from tiersync.sandbox.emitter import Delivery, delivered
from tiersync.sandbox.events import epoch_ms
from tiersync.sandbox.hooks import UNKNOWN, Hook, read
from tiersync.sandbox.ids import number
from tiersync.sandbox.tiers import stamp_v3
from tiersync.sandbox.verbs import Verb


def listing(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Return all webhooks."""
    return data_v3([hook.as_json() for hook in desk.hooks])


def create(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Register a webhook."""
    blank = Hook(0, "", "", ask.request_id, ask.now, frozenset(), 1)
    hook = desk.hooks.add(read(ask.fields(), blank))
    call.effect = True
    return data_v3(hook.as_json())


def update(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Change a webhook; `eventNames` replaces the list."""
    hook = desk.hooks.put(read(ask.fields(), _hook(desk, ask)))
    call.effect = True
    desk.emitter.pump()
    return data_v3(hook.as_json())


def delete(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Deactivate a webhook; what waits for it is dropped."""
    hook = desk.hooks.deactivate(_hook(desk, ask).id)
    call.effect = True
    desk.emitter.pump()
    return data_v3(hook.as_json())


def log_by_request(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Return the events that one API request caused."""
    wanted = ask.params["request_id"]
    return data_v3([_entry(desk, each) for each in _first_copies(desk) if each.event.request_id == wanted])


def log_by_ref(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Return the latest event with a refId."""
    wanted = ask.params["ref_id"]
    return _one(desk, [each for each in _first_copies(desk) if each.event.ref_id == wanted])


def log_by_event(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Return one event by its id."""
    wanted = ask.params["event_id"]
    return _one(desk, [each for each in _first_copies(desk) if each.event.id == wanted])


def metrics(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Count the events of one webhook between two times (epoch ms)."""
    hook = next((hook for hook in desk.hooks if hook.consumer_group == ask.params["consumer_group"]), None)
    if hook is None:
        raise LoyaltyError("consumer group not found", UNKNOWN)
    since, until = ask.count("startDate", 0), ask.count("endDate", epoch_ms(ask.now))
    counted = [
        each
        for each in _first_copies(desk)
        if each.hook == hook.id and since <= epoch_ms(each.event.created_at) <= until
    ]
    times = [each.attempts[-1].took_ms for each in counted if each.state == "delivered"]
    return data_v3(
        {
            "totalEvents": len(counted),
            "deliveredEvents": len(times),
            "failedEvents": sum(each.state in {"dropped", "expired", "lost"} for each in counted),
            "retryingEvents": sum(each.state == "retrying" for each in counted),
            "pendingEvents": sum(each.state == "pending" for each in counted),
            "averageDeliveryTime": sum(times) // len(times) if times else 0,
            "startDate": since,
            "endDate": until,
        }
    )


def _hook(desk: Desk, ask: Ask) -> Hook:
    return desk.hooks.get(number(ask.params["hook_id"]))


def _first_copies(desk: Desk) -> Iterator[Delivery]:
    """Yield deliveries without the extra copies a switch made: the log knows events, not calls."""
    return (each for each in desk.emitter.deliveries() if each.copy == 0)


def _one(desk: Desk, found: list[Delivery]) -> Answer:
    if not found:
        raise LoyaltyError("event not found", UNKNOWN)
    return data_v3(_entry(desk, found[-1]))


def _entry(desk: Desk, delivery: Delivery) -> dict[str, object]:
    event = delivery.event
    last = delivery.attempts[-1] if delivery.attempts else None
    response = None
    if last is not None and delivered(last.status):
        response = {"webhookHttpStatus": float(last.status or 0), "time_taken": float(last.took_ms)}
    return {
        "refId": event.ref_id,
        "requestId": event.request_id,
        "eventName": event.name,
        "eventId": event.id,
        "consumerGroupId": desk.hooks.get(delivery.hook).consumer_group,
        "eventIngestionTimestamp": stamp_v3(event.created_at),
        "eventStartTimestamp": stamp_v3(delivery.started_at) if delivery.started_at else None,
        "eventEndTimestamp": stamp_v3(delivery.ended_at) if delivery.ended_at else None,
        "slaBreachTimestamp": None,
        "consumerResponse": response,
    }


HOOK_BODY = {
    "name": "tier-sync",
    "webHookUrl": "http://127.0.0.1:8080/webhook",
    "webHookType": "HTTP",
    "methodType": "POST",
    "eventNames": ["tierUpgraded", "tierDowngraded", "tierRenewed"],
    "maxAllowedConnections": 10,
    "webHookHeaders": {"Authorization": "a-long-random-string"},
    "active": True,
    "customerIdentifiersToBeEnriched": ["INSTORE"],
}
HOOK_EXAMPLE = {
    "data": {"webHookId": 1, **HOOK_BODY, "webHookHeaders": {}, "consumerGroupId": "55bd9129", "noOfRetryAttempts": 0},
    "errors": None,
    "warnings": None,
}
LOG_EXAMPLE = {
    "data": {
        "refId": "50614_566998132",
        "eventName": "tierUpgraded",
        "eventId": "a7351361-0000-4000-8000-000000000000",
        "consumerResponse": {"webhookHttpStatus": 200.0, "time_taken": 12.0},
    },
    "errors": None,
    "warnings": None,
}

VERBS = (
    Verb(
        "GET",
        "/v3/webHooks",
        listing,
        "All webhooks",
        "v3",
        "webhooks",
        example={"data": [], "errors": None, "warnings": None},
    ),
    Verb("POST", "/v3/webHooks", create, "Register a webhook", "v3", "webhooks", body=HOOK_BODY, example=HOOK_EXAMPLE),
    Verb(
        "PUT",
        "/v3/webHooks/{hook_id}",
        update,
        "Change a webhook",
        "v3",
        "webhooks",
        body=HOOK_BODY,
        example=HOOK_EXAMPLE,
    ),
    Verb(
        "DELETE",
        "/v3/webHooks/{hook_id}",
        delete,
        "Deactivate a webhook",
        "v3",
        "webhooks",
        example=HOOK_EXAMPLE,
    ),
    Verb(
        "GET",
        "/v3/webHooks/eventLog/requestId/{request_id}",
        log_by_request,
        "Events that one API request caused",
        "v3",
        "webhooks",
        example={"data": [LOG_EXAMPLE["data"]], "errors": None, "warnings": None},
    ),
    Verb(
        "GET",
        "/v3/webHooks/eventLog/refId/{ref_id}",
        log_by_ref,
        "The latest event with a refId",
        "v3",
        "webhooks",
        example=LOG_EXAMPLE,
    ),
    Verb(
        "GET",
        "/v3/webHooks/eventLog/{event_id}",
        log_by_event,
        "One event by its id",
        "v3",
        "webhooks",
        example=LOG_EXAMPLE,
    ),
    Verb(
        "GET",
        "/v3/events/consumer-groups/{consumer_group}/metrics",
        metrics,
        "Delivery counts of a webhook",
        "v3",
        "webhooks",
        query=(("startDate", "1753533250945"), ("endDate", "1956125250945")),
        example={
            "data": {"totalEvents": 2, "deliveredEvents": 2, "failedEvents": 0, "retryingEvents": 0},
            "errors": None,
            "warnings": None,
        },
    ),
)
