"""Capillary is away for a while and comes back: what was received meanwhile is carried out then."""

from pathlib import Path

import httpx

from tests.journey.kit import Town, listening, serving, town
from tests.ports import free_port
from tiersync.sandbox.app import build
from tiersync.sandbox.settings import SandboxSettings

FAMILIES = 5


async def knocked(here: Town) -> bool:
    """Say whether the service has found nobody there, more than once, and makes no calls for the time being."""
    metrics = (await here.service.get("/metrics")).text
    lines = [line for line in metrics.splitlines() if 'answer="not_connected"' in line and "_total" in line]
    away = 'tiersync_breaker_state{org="0"} 2.0' in metrics
    return away and sum(float(line.rsplit(" ", 1)[1]) for line in lines) > FAMILIES


async def test_an_api_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """Events are accepted while no connection to Capillary can be made; when it is back, every group comes in step."""
    port = free_port()
    away = build(SandboxSettings(example=False))
    to_sandbox = httpx.AsyncClient(transport=httpx.ASGITransport(away), base_url="http://away.test")
    async with to_sandbox, town(tmp_path, capillary_url=f"http://127.0.0.1:{port}", breaker_failures_max=3) as here:
        here.sandbox = to_sandbox
        families = [here.newcomers() for _ in range(FAMILIES)]
        await here.clear()
        await here.seed(*(people.seed("Silver") for people in families))

        answers = [await here.deliver(here.tier_event(people.primary, 2)) for people in families]
        await here.until(lambda: knocked(here))
        pending = await here.events(status="pending")
        [org] = [state["breaker"] for state in await here.json("orgs")]
        async with serving(away, listening(port)):
            await here.quiet()
            await here.stop()

        assert [200] * FAMILIES == [answer.status_code for answer in answers]
        assert FAMILIES == len(pending)
        assert org in {"open", "half_open"}
        assert ["closed"] == [state["breaker"] for state in await here.json("orgs")]
        assert {"Gold"} == set().union(*[await here.followers(people) for people in families])
