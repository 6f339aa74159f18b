"""Whatever Capillary does meanwhile, every active secondary ends in its primary's tier, and nobody else is touched."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.journey.kit import Town, town

DATABASES = ("sqlite", "postgresql")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def policies() -> dict[str, Any]:
    """A call that is not answered is given up soon."""
    return {"call_s_max": 0.3, "connect_s_max": 0.3, "attempt_s_max": 1}


ONCE = {"first": 1}
TWICE = {"first": 2}
HARMLESS: dict[str, dict[str, Any]] = {
    "429 with Retry-After": {"adjust": {"rate_limited": {"first": 1, "retry_after_s": 1}}},
    "429 for three calls at once, without Retry-After": {"adjust": {"rate_limited": {"first": 3}}},
    "429 as HTML while reading the group": {"groups": {"rate_limited": {"first": 1, "body": "html"}}},
    "521 with status 521": {"adjust": {"locked": TWICE}},
    "521 inside 200": {"adjust": {"locked": TWICE}, "answers": {"locked_status": 200}},
    "521 inside 409": {"adjust": {"locked": TWICE}, "answers": {"locked_status": 409}},
    "461": {"groups": {"busy": TWICE}},
    "4001": {"all": {"unavailable": TWICE}},
    "401 once": {"adjust": {"unauthorised": ONCE}},
    "a warning that is empty": {"answers": {"warnings": "[{}]"}},
    "no answer while reading the group": {"groups": {"timeout_before_applying": {"first": 1, "then": "never"}}},
    "slow, in pieces, gzipped": {"all": {"latency": {"ms": 20}, "slow_body": {"ms": 5, "pieces": 3}, "gzip": True}},
}
AMBIGUOUS: dict[str, dict[str, Any]] = {
    "500": {"all": {"server_error": {"share": 0.3, "seed": 5}}},
    "502 as HTML": {"all": {"html_error": {"share": 0.3, "seed": 6}}},
    "side effects empty": {"answers": {"side_effects": "empty"}},
    "refusals inside 200": {"answers": {"refusals": "200"}},
    "no answer, nothing applied": {"adjust": {"timeout_before_applying": {"first": 1, "then": "never"}}},
    "no answer, but applied": {"adjust": {"applied_then_timeout": {"first": 1, "then": "never"}}},
    "dropped, but applied": {"adjust": {"applied_then_timeout": {"every": 2, "hold_ms": 10}}},
    "reset, but applied": {"adjust": {"applied_then_timeout": {"every": 2, "hold_ms": 10, "then": "reset"}}},
    "reset at once": {"all": {"reset": {"share": 0.3, "seed": 7}}},
    "no answer while reading back": {
        "tiers": {"timeout_before_applying": {"first": 1, "then": "never"}},
        "adjust": {"applied_then_timeout": {"first": 1, "hold_ms": 10}},
    },
    "all kinds, a third of the calls": {
        "all": {"server_error": {"share": 0.2, "seed": 1}, "reset": {"share": 0.2, "seed": 2}},
        "adjust": {
            "locked": {"share": 0.3, "seed": 3},
            "applied_then_timeout": {"share": 0.3, "seed": 4, "hold_ms": 5},
        },
    },
}
CHANGES = {"upgrade": ("Silver", "Gold"), "downgrade": ("Diamond", "Gold"), "renewal": ("Gold", "Gold")}
CASES = [
    pytest.param(faults, *change, id=f"{action}, {name}")
    for name, faults in (HARMLESS | AMBIGUOUS).items()
    for action, change in CHANGES.items()
    if name in AMBIGUOUS or action == "upgrade"
]


@pytest.mark.parametrize(("faults", "before", "after"), CASES)
async def test_a_passing_fault_delays_and_no_more(here: Town, faults: dict[str, Any], before: str, after: str) -> None:
    """Through every passing fault each kind of change reaches every active secondary, and no adjustment is dead."""
    people = here.newcomers()
    await here.seed(people.seed(before))
    await here.switch(**faults)

    [event_id] = await here.decide(people.primary, after)
    await here.quiet()

    assert {after} == await here.followers(people)
    assert {"done"} == {status for status, _ in (await here.owed(event_id)).values()}
    assert set(people.secondaries) == await here.touched()


@pytest.mark.parametrize("hold", ["timeout_before_applying", "applied_then_timeout"])
async def test_after_an_ambiguous_renewal_the_tier_is_read_before_it_is_sent_again(here: Town, hold: str) -> None:
    """A call that was not answered may have worked: the next attempt begins with a reading, for each kind of hold."""
    people = here.newcomers(secondaries=1)
    await here.seed(people.seed("Silver"))
    await here.switch(adjust={hold: {"first": 1, "hold_ms": 10}})

    await here.decide(people.primary, "Gold")
    await here.quiet()

    families = [call["family"] for call in await here.calls() if call["family"] != "groups"]
    again = [] if hold == "applied_then_timeout" else ["adjust"]
    assert ["adjust", "tiers", *again] == families


async def test_a_fault_of_one_secondary_does_not_hold_up_the_others(here: Town) -> None:
    """The others are done while one secondary's calls keep failing; it follows when they stop."""
    people = here.newcomers(secondaries=4)
    unlucky, *others = people.secondaries
    await here.seed(people.seed("Silver"))
    await here.switch(adjust={"server_error": {"customers": [unlucky]}})

    [event_id] = await here.decide(people.primary, "Gold")
    for other in others:
        await here.until(partial(here.settled, event_id, other))

    assert [("due", "server_error")] == [value for key, value in (await here.owed(event_id)).items() if key == unlucky]
    await here.switch(adjust={"server_error": None})
    await here.quiet()
    assert {"Gold"} == await here.followers(people)


async def test_attempts_run_out(tmp_path: Path) -> None:
    """A fault that does not pass ends in a dead adjustment with code, message and the attempts that were made."""
    async with town(tmp_path, retry_attempts_max=3, retry_delays_s=[0.01]) as here:
        people = here.newcomers(secondaries=2)
        unlucky, other = people.secondaries
        await here.seed(people.seed("Silver"))
        await here.switch(adjust={"server_error": {"customers": [unlucky]}})

        [event_id] = await here.decide(people.primary, "Gold")
        await here.quiet()

        event = await here.event(event_id)
        rows = {row["member"]: row for row in event["adjustments"]}
        assert ("dead", "server_error_attempts_spent") == (event["status"], event["reason"])
        assert ("dead", 500, 3) == tuple(rows[unlucky][name] for name in ("status", "code", "attempts"))
        assert "Requests have failed" in rows[unlucky]["message"]
        assert "done" == rows[other]["status"]
