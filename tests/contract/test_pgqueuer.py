"""PgQueuer as the engine: places for each org, jobs in their time, and a connection that may be lost."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.contract.store_kit import ANN, Hand, owed
from tests.contract.test_store_queue import change, now
from tests.postgres import Postgres
from tiersync.engine import PgQueuer
from tiersync.engine.inprocess import Work
from tiersync.fanout import AdjustmentStatus
from tiersync.store import Store

DATABASES = ("postgresql",)
BUSY, QUIET = 1, 2


@asynccontextmanager
async def working(store: Store, work: Work, concurrent_max: int = 2, sweep_s: float = 0.2) -> AsyncIterator[PgQueuer]:
    """Run an engine for the time of the block."""
    engine = PgQueuer(
        work=work,
        rebuild=lambda: store.rebuild(now(), 100),
        open_queue=store.open_queue,
        concurrent_max=concurrent_max,
        sweep_s=sweep_s,
        lease_s=20,
    )
    engine.start()
    try:
        yield engine
    finally:
        await engine.stop(1)


async def until(true: Callable[[], bool]) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.005)


def finishing(hand: Hand, done: list[int]) -> Callable[[int], Awaitable[int | None]]:
    """Make work that finishes its key, and notes it."""

    async def work(key: int) -> int | None:
        await hand.finished(key, [ANN], now())
        done.append(key)
        return None

    return work


async def test_a_batch_of_one_org_leaves_another_its_places(hand: Hand) -> None:
    """However many keys of one org wait and block, those of another org are worked on at once."""
    batch = [await hand.due(change(f"e{number}", org=BUSY, customer=number)) for number in range(1, 11)]
    begun, blocked = list[int](), asyncio.Event()

    async def work(key: int) -> int | None:
        begun.append(key)
        if key in batch:
            await blocked.wait()
        return None

    async with working(hand.store, work) as engine:
        await until(lambda: len(begun) == 2)
        single = await hand.due(change("single", org=QUIET))
        await until(lambda: single in begun)
        most = len(begun), engine.running, engine.waiting
        blocked.set()
        await until(lambda: len(begun) == 11)

    assert begun[:3] == [*batch[:2], single]
    assert most[0] == 3
    assert most[2] >= 1


async def test_an_event_is_worked_on_when_it_is_committed(hand: Hand) -> None:
    """A notification wakes an engine that is not told otherwise, long before it would look by itself."""
    done: list[int] = []
    first = await hand.due(change("e1"))
    async with working(hand.store, finishing(hand, done), sweep_s=600):
        await until(lambda: first in done)

        second = await hand.due(change("e2", customer=7))
        await until(lambda: second in done)

    assert [first, second] == done


async def test_a_deferred_key_is_worked_on_in_its_time(hand: Hand) -> None:
    """Neither before it is due nor as late as the next sweep."""
    key = await hand.due(change("e1"))
    claim = await hand.claimed(key, now())
    await hand.planned(claim, owed(ANN), now())
    due_at = now() + 700
    await hand.settled(claim, now(), AdjustmentStatus.DUE, due_at=due_at)
    await hand.store.clock()
    async with hand.store.open_queue() as queue:
        await queue.clear_queue()
    await hand.released(claim, now())
    begun: list[int] = []

    async def work(_key: int) -> int | None:
        begun.append(time.time_ns() // 1_000_000)
        return None

    async with working(hand.store, work, sweep_s=600):
        await until(lambda: bool(begun))

    assert begun[0] >= due_at


async def test_a_lost_connection_is_opened_again(hand: Hand, postgres: Postgres, database_url: str) -> None:
    """When the database ends the sessions, the engine goes on with what came meanwhile."""
    done: list[int] = []
    first = await hand.due(change("e1"))
    async with working(hand.store, finishing(hand, done)):
        await until(lambda: first in done)
        second = await hand.due(change("e2", customer=7))

        postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND "
            "query LIKE '%pgqueuer%' AND datname = current_database()",
            database=database_url.rsplit("/", 1)[1],
        )
        await until(lambda: second in done)
        third = await hand.store.receive(change("e3", customer=8))
        await until(lambda: third.sync in done)

    assert {first, second, third.sync} == set(done)


async def test_a_turn_that_fails_holds_nobody_up(hand: Hand) -> None:
    """Its place is free again, and the others of its org go on."""
    keys = [await hand.due(change(f"e{number}", customer=number)) for number in range(1, 5)]
    begun: list[int] = []

    async def work(key: int) -> int | None:
        begun.append(key)
        raise ValueError(key)

    async with working(hand.store, work, concurrent_max=1) as engine:
        await until(lambda: len(begun) == 4)
        await until(lambda: engine.running == 0)

    assert sorted(keys) == sorted(begun)
