"""A group of thousands streams through: one call for each member, and memory that does not grow with their number.

5,000 members by default; `TIERSYNC_TEST_MEMBERS=30000` makes it as large as Capillary allows.
"""

import asyncio
import os
from pathlib import Path

import httpx
import psutil
import pytest

from tests.journey import processes
from tests.journey.kit import FAST, LOGIN, ORG, SECRET, TOKEN, Family, Town
from tests.ports import free_port

MEMBERS = int(os.environ.get("TIERSYNC_TEST_MEMBERS", "5000"))
MEMORY_GROWTH_BYTES_MAX = 48 * 1024 * 1024
SECONDS_MAX = 600


@pytest.mark.slow
@pytest.mark.timeout(SECONDS_MAX)
async def test_a_large_group_streams_through(tmp_path: Path) -> None:
    """Every member is adjusted by one call, none is read, and the service's memory stays within tens of megabytes."""
    sandbox_port, service_port = free_port(), free_port()
    at, to = f"http://127.0.0.1:{sandbox_port}", f"http://127.0.0.1:{service_port}"
    large = Family(1, tuple(range(1_000, 999 + MEMBERS)), (2,))
    environment = {
        "TIERSYNC_CAPILLARY_URL": at,
        "TIERSYNC_CAPILLARY_USERNAME": LOGIN["capillary_username"],
        "TIERSYNC_CAPILLARY_PASSWORD": LOGIN["capillary_password"],
        "TIERSYNC_WEBHOOK_SECRETS": SECRET,
        "TIERSYNC_OPERATOR_TOKEN": TOKEN,
        "TIERSYNC_DATABASE_URL": f"sqlite:///{tmp_path / 'large.db'}",
        "TIERSYNC_PORT": str(service_port),
        "TIERSYNC_SWEEP_S": str(FAST["sweep_s"]),
        "TIERSYNC_LOG_LEVEL": "warning",
    }
    sandbox = {"TIERSYNC_SANDBOX_PORT": str(sandbox_port), "TIERSYNC_SANDBOX_ORG_ID": str(ORG)}
    async with (
        processes.running("sandbox", environment=sandbox, url=at, log=tmp_path / "sandbox.log"),
        processes.running("serve", environment=environment, url=f"{to}/livez", log=tmp_path / "serve.log") as service,
        httpx.AsyncClient(base_url=at, timeout=60, trust_env=False) as to_sandbox,
        httpx.AsyncClient(base_url=to, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as to_service,
    ):
        here = Town(to_sandbox, to_service, tmp_path / "large.db", {}, service_port)
        await here.seed({**large.seed("Silver"), "secondaries": {"from": 1_000, "count": MEMBERS - 1}})
        measured = psutil.Process(service.pid)
        idle = measured.memory_info().rss
        peak = idle

        event = here.tier_event(large.primary, 2)
        await here.deliver(event)
        while await here.events(status="pending", limit=1):
            peak = max(peak, measured.memory_info().rss)
            await asyncio.sleep(0.1)

        calls = (await to_sandbox.get("/sandbox/calls", params={"limit": 100_000})).json()["calls"]
        adjusted = [call["customer"] for call in calls if call["family"] == "adjust"]
        assert {"done": MEMBERS - 1} == (await here.event(event["eventId"]))["adjustment_counts"]
        assert sorted(large.secondaries) == sorted(adjusted)
        assert 0 == sum(call["family"] == "tiers" for call in calls)
        assert {"Gold"} == await here.followers(large)
    assert peak - idle < MEMORY_GROWTH_BYTES_MAX
