"""One primary's trouble is its own: a call that hangs, a group that cannot be read, a lock, never hold up another."""

import asyncio
from typing import Any

import pytest

from tests.journey.kit import Family, Town

pytestmark = pytest.mark.asyncio(loop_scope="module")
OTHERS = 20


@pytest.fixture(scope="module")
def policies() -> dict[str, Any]:
    """A call may hang: longer than these tests would wait for it. Whoever changed last leads a shared secondary.

    httpx, because a service is stopped here whose process lives on: pyreqwest's calls end with the process.
    """
    times = {"call_s_max": 40, "attempt_s_max": 40, "lease_s": 90, "shutdown_s_max": 0.2}
    return {**times, "several_groups": "latest", "transport": "httpx"}


async def crowd(here: Town) -> tuple[Family, list[Family]]:
    """Seed an unlucky family and twenty others."""
    unlucky, *others = (here.newcomers(secondaries=3) for _ in range(OTHERS + 1))
    await here.seed(unlucky.seed("Silver"), *(people.seed("Silver") for people in others))
    return unlucky, others


async def follow(here: Town, people: list[Family], tier: str) -> bool:
    """Say whether all these families are in step."""
    return {tier} == set().union(*[await here.followers(each) for each in people])


TROUBLES: dict[str, dict[str, Any]] = {
    "reading the group hangs": {"groups": "timeout_before_applying", "when": {"then": "never"}},
    "reading the group fails": {"groups": "server_error", "when": {}},
    "adjusting hangs": {"adjust": "timeout_before_applying", "when": {"then": "never"}},
    "adjusting is locked": {"adjust": "locked", "when": {}},
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
async def test_one_primary_in_trouble_delays_no_other(here: Town, trouble: dict[str, Any]) -> None:
    """Twenty others finish while one primary hangs or fails; it is still unfinished then, and nothing of it is lost."""
    unlucky, others = await crowd(here)
    [(section, fault)] = [(key, value) for key, value in trouble.items() if key != "when"]
    hit = [unlucky.primary] if section == "groups" else list(unlucky.secondaries)
    await here.switch(**{section: {fault: {**trouble["when"], "customers": hit}}})

    await here.deliver(here.tier_event(unlucky.primary, 2))
    await asyncio.gather(*(here.deliver(here.tier_event(people.primary, 2)) for people in others))
    await here.until(lambda: follow(here, others, "Gold"))

    assert ["pending"] == [event["status"] for event in await here.events(customer=unlucky.primary)]
    assert {"Silver"} == await here.followers(unlucky)

    await here.switch(**{section: {fault: None}})
    if trouble["when"]:  # the call that hangs is given up with the process that made it
        await here.stop()
        await here.start()
    await here.quiet()
    assert {"Gold"} == await here.followers(unlucky)


async def test_an_outcome_does_not_wait_for_a_call_that_hangs(here: Town) -> None:
    """The outcomes of a group are on disk soon, though one of its calls has not come back."""
    people = here.newcomers(secondaries=4)
    await here.seed(people.seed("Silver"))
    slow, *quick = people.secondaries
    await here.switch(adjust={"timeout_before_applying": {"then": "never", "customers": [slow]}})
    event = here.tier_event(people.primary, 2)

    await here.deliver(event)
    await here.until(lambda: settled(here, event["eventId"], quick))

    assert ("due", None) == (await here.owed(event["eventId"]))[slow]
    assert ["pending"] == [found["status"] for found in await here.events(customer=people.primary)]

    await here.switch(adjust={"timeout_before_applying": None})
    await here.stop()
    await here.start()
    await here.quiet()
    assert {"Gold"} == await here.followers(people)


async def settled(here: Town, event_id: str, members: list[int]) -> bool:
    """Say whether the outcome of each of these is on disk."""
    owed = await here.owed(event_id)
    return all(owed.get(member) == ("done", "applied") for member in members)


async def test_no_customer_has_two_calls_at_once(here: Town) -> None:
    """A secondary of several groups whose primaries change together is adjusted by one call at a time."""
    groups = [here.newcomers(secondaries=0, exited=0) for _ in range(8)]
    shared = here.newcomers(secondaries=0).primary
    await here.seed(*(people.seed("Silver") for people in groups), customers=[{"id": shared}])
    for people in groups:
        await here.join(people, shared)
    await here.switch(adjust={"latency": {"ms": 20}})

    await asyncio.gather(*(here.deliver(here.tier_event(people.primary, 2)) for people in groups))
    await here.quiet()

    calls = await here.calls("adjust")
    assert 1 < len(calls)
    assert {None, "adjust.latency"} >= {call["fault"] for call in calls}
