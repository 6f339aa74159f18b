"""Two replicas over one PostgreSQL: each in a process of its own, one killed, one frozen and woken again."""

import os
import signal
from asyncio.subprocess import Process
from bisect import bisect_left
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.journey import short_minute
from tests.journey.kit import FAST, LOGIN, SECRET, TIERS, TOKEN, Family, Town, town
from tests.journey.processes import running
from tests.ports import free_port
from tests.postgres import Postgres

FAMILIES = 12
LEASE_S = 4
SILVER, GOLD, DIAMOND = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Replica:
    """A service in a process of its own."""

    process: Process
    client: httpx.AsyncClient

    async def deliver(self, body: Mapping[str, Any]) -> None:
        """Post a webhook."""
        answer = await self.client.post("/webhooks/capillary", json=body, headers={"Authorization": SECRET})
        assert answer.status_code == 200, answer.text

    def signal(self, number: int) -> None:
        """Send the process a signal."""
        os.kill(self.process.pid, number)


@asynccontextmanager
async def replica(
    here: Town, folder: Path, port: int, *arguments: str, module: str = "tiersync", **settings: Any
) -> AsyncIterator[Replica]:
    """Run a replica of the town's service for the time of the block."""
    values = {**FAST, **LOGIN, **here.settings, "lease_s": LEASE_S, **settings, "database_url": here.database_url}
    environment = {
        f"TIERSYNC_{name.upper()}": ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in values.items()
    }
    verb = ("serve", "--port", str(port), *arguments)
    url, log = f"http://127.0.0.1:{port}", folder / f"replica-{port}.log"
    async with (
        running(*verb, environment=environment, url=f"{url}/livez", log=log, module=module) as found,
        httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client,
    ):
        yield Replica(found, client)


@pytest.fixture
async def here(postgres: Postgres) -> AsyncIterator[Town]:
    """Found a town whose service does not run yet: its replicas are started by the tests."""
    with postgres.fresh() as url:
        async with town(url, started=False, webhook_secrets=[SECRET], operator_token=TOKEN) as found:
            yield found


@pytest.fixture
async def two(here: Town, tmp_path: Path) -> AsyncIterator[tuple[Replica, Replica]]:
    """Run two replicas; the first is the one that the town talks to."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(replica(here, tmp_path, here.port))
        yield one, await stack.enter_async_context(replica(here, tmp_path, free_port()))


async def slow_families(here: Town) -> list[Family]:
    """Plant families, and make every adjustment take so long that work is always under way."""
    families = [here.newcomers(4) for _ in range(FAMILIES)]
    await here.seed(*(of.seed() for of in families))
    await here.switch(adjust={"latency": {"ms": 150}})
    return families


async def all_follow(here: Town, families: list[Family], tier: int) -> bool:
    """Say whether every secondary is in the tier."""
    return {TIERS[tier - 1]} == {name for of in families for name in await here.followers(of)}


async def some_calls(here: Town, least: int) -> None:
    """Wait until so many adjustments were made."""

    async def enough() -> bool:
        return len(await here.calls("adjust")) >= least

    await here.until(enough)


async def test_who_is_killed_is_replaced(here: Town, two: tuple[Replica, Replica]) -> None:
    """Events come through both; one replica is killed amidst its work; the other brings every secondary to the tier."""
    one, other = two
    families = await slow_families(here)
    for number, of in enumerate(families):
        await (one, other)[number % 2].deliver(here.tier_event(of.primary, GOLD))
    await some_calls(here, FAMILIES)

    other.signal(signal.SIGKILL)
    await one.deliver(here.tier_event(families[0].primary, DIAMOND))
    await here.quiet()

    assert await all_follow(here, families[:1], DIAMOND)
    assert await all_follow(here, families[1:], GOLD)
    assert not {member for of in families for member in of.exited} & await here.touched()


async def test_who_was_frozen_does_no_harm_when_it_wakes(here: Town, two: tuple[Replica, Replica]) -> None:
    """While one replica is frozen the other takes its keys over; woken, it settles nothing, and then it works again."""
    one, other = two
    families = await slow_families(here)
    for number, of in enumerate(families):
        await (one, other)[number % 2].deliver(here.tier_event(of.primary, GOLD))
    await some_calls(here, FAMILIES)

    other.signal(signal.SIGSTOP)
    await here.quiet()
    taken_over = await all_follow(here, families, GOLD)
    made = len(await here.calls("adjust"))
    other.signal(signal.SIGCONT)
    await other.deliver(here.tier_event(families[0].primary, GOLD, "tierRenewed"))
    await here.quiet()
    await other.deliver(here.tier_event(families[1].primary, SILVER, "tierDowngraded"))
    await here.quiet()

    assert taken_over
    assert await all_follow(here, families[1:2], SILVER)
    assert await all_follow(here, families[2:], GOLD)
    assert made + 2 * 4 >= len(await here.calls("adjust"))


def busiest(calls: list[dict[str, Any]], seconds: float) -> int:
    """Count the calls of the window of so many seconds that has most of them."""
    times = sorted(datetime.fromisoformat(call["at"]).timestamp() for call in calls)
    return max(bisect_left(times, begin + seconds) - number for number, begin in enumerate(times))


async def test_receivers_and_workers_are_scaled_apart_and_share_one_limit(here: Town, tmp_path: Path) -> None:
    """One process receives and two work: both make calls, and together never more in any minute than is allowed."""
    limit = {"module": short_minute.__name__, "calls_per_minute_max": 40}
    families = [here.newcomers(4) for _ in range(16)]
    await here.seed(*(of.seed() for of in families))
    async with (
        replica(here, tmp_path, here.port, "--role", "receiver") as receiver,
        replica(here, tmp_path, free_port(), "--role", "worker", **limit) as one,
        replica(here, tmp_path, free_port(), "--role", "worker", **limit) as other,
    ):
        for of in families:
            await receiver.deliver(here.tier_event(of.primary, GOLD))
        await here.quiet()
        worked = [(await worker.client.get("/metrics")).text for worker in (one, other)]
        refused = await one.client.post("/webhooks/capillary", json={}, headers={"Authorization": SECRET})

    calls = await here.calls()
    assert await all_follow(here, families, GOLD)
    assert len(calls) >= 2 * 40
    assert busiest(calls, short_minute.MINUTE_S) <= 40
    assert all('outcome="applied"' in metrics for metrics in worked)
    assert refused.status_code == 404


async def test_the_verbs_work_on_postgresql_too(postgres: Postgres) -> None:
    """Migrating, looking and replaying need no server and no file."""
    postgres.execute("CREATE DATABASE verbs TEMPLATE template0")
    async with town(postgres.url("verbs"), started=False) as here:
        migrated = await here.command("migrate")
        await here.start()
        of = here.newcomers(2)
        await here.seed(of.seed())
        event = here.tier_event(of.primary, GOLD)
        await here.deliver(event)
        await here.quiet()
        await here.stop()

        listed = await here.json("events", "list")
        replayed = await here.replay(event["eventId"])

    assert "The schema is up to date" in migrated
    assert "done" == {row["event_id"]: row["status"] for row in listed}[event["eventId"]]
    assert 1 == replayed["due"]
