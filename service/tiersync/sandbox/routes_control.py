"""The control API: switches, logs, reset. Not Capillary's; no credentials, own error envelope."""

from tiersync.errors import LoyaltyError
from tiersync.sandbox.answers import Answer, error_own
from tiersync.sandbox.ask import Ask
from tiersync.sandbox.calls import Call
from tiersync.sandbox.desk import Desk
from tiersync.sandbox.ids import customer_id
from tiersync.sandbox.patch import Unpatchable, dump, known
from tiersync.sandbox.verbs import Verb

KNOWN = known()
PAGE = 1_000


def faults(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Return every switch: as it is now, and what it can be."""
    return Answer({"now": dump(desk.faults.switches), "switches": KNOWN})


def change_faults(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Merge a partial JSON object into the switches."""
    refused = desk.change(ask.json())
    if isinstance(refused, Unpatchable):
        if refused.unknown:
            return error_own(refused.message, 422, unknown=list(refused.unknown), known=sorted(KNOWN))
        return error_own(refused.message, 422)
    return Answer({"now": dump(desk.faults.switches)})


def calls(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Return the API calls received after `since`, and the counts of all."""
    log = desk.calls
    return Answer(
        {
            "calls": [each.as_json() for each in log.since(ask.count("since", 0), ask.count("limit", PAGE))],
            "total": log.total,
            "running": log.running,
            "maxConcurrent": log.running_max,
            "maxConcurrentPerCustomer": log.running_max_per_customer,
            "perMinute": dict(log.per_minute()),
        }
    )


def deliveries(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Return the webhook deliveries after `since`, and how many are in which state."""
    emitter = desk.emitter
    found = emitter.since(ask.count("since", 0), ask.count("limit", PAGE))
    return Answer(
        {
            "deliveries": [each.as_json() for each in found],
            "total": emitter.total,
            "counts": dict(emitter.counts),
            "pending": emitter.counts["pending"] + emitter.counts["retrying"],
        }
    )


def reset(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Start again; `example=false` starts empty."""
    desk.reset(example=None if "example" not in ask.query else ask.flag("example"))
    return Answer({"reset": True})


def one_time_code(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Issue the code that the customer would get by message; it confirms one change of a group."""
    customer = customer_id(ask.fields().get("customer"))
    if customer is None:
        raise LoyaltyError("customer must be the id of a customer")
    desk.world.people.require(customer)
    return Answer({"customer": customer, "validationCode": desk.codes.issue(customer)})


VERBS = (
    Verb(
        "GET",
        "/sandbox/faults",
        faults,
        "Every switch: its value now, its default, its meaning",
        "own",
        example={"now": {"events": {"numbers": "raw"}}, "switches": {"events.numbers": KNOWN["events.numbers"]}},
    ),
    Verb(
        "PUT",
        "/sandbox/faults",
        change_faults,
        "Change switches; what is not named stays as it is",
        "own",
        body={"adjust": {"rate_limited": {"every": 7}}, "events": {"tiers": "null"}},
        example={"now": {"adjust": {"overlap": True}, "events": {"tiers": "null"}}},
    ),
    Verb(
        "GET",
        "/sandbox/calls",
        calls,
        "API calls received, and how many at once and per minute",
        "own",
        query=(("since", "0"), ("limit", "1000")),
        example={"calls": [], "total": 0, "running": 0, "maxConcurrent": 0, "perMinute": {}},
    ),
    Verb(
        "GET",
        "/sandbox/deliveries",
        deliveries,
        "Webhook deliveries with their attempts",
        "own",
        query=(("since", "0"), ("limit", "1000")),
        example={"deliveries": [], "total": 0, "counts": {"delivered": 0}, "pending": 0},
    ),
    Verb(
        "POST",
        "/sandbox/reset",
        reset,
        "Start again as at the start",
        "own",
        query=(("example", "true"),),
        example={"reset": True},
    ),
    Verb(
        "POST",
        "/sandbox/otp",
        one_time_code,
        "Issue a customer's one-time code, as by message, for what the OTP flags ask to be confirmed",
        "own",
        body={"customer": 564662499},
        example={"customer": 564662499, "validationCode": "123456"},
    ),
)
