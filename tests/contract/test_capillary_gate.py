"""The gate: so many calls at once, so many a minute, in the order of arrival, and none after the turn's end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.contract.capillary_kit import Clock
from tiersync.capillary import Gate
from tiersync.store import Store, database, open_store

DATABASES = ("sqlite",)  # on PostgreSQL it is the database's clock that counts
FAR = 10_000.0
ORG = 50_614


def gate(clock: Clock, *, concurrent_max: int = 100, per_minute_max: int = 0, store: Store | None = None) -> Gate:
    """Build a gate on this clock; a limit per minute is kept in a store."""
    return Gate(
        concurrent_max=concurrent_max,
        per_minute_max=per_minute_max,
        now=clock,
        sleep=clock.sleep,
        budget=store.budget(ORG, per_minute_max, clock.ms) if store is not None else None,
    )


async def turns(times: int = 20) -> None:
    """Let everybody else go on as far as they can."""
    for _ in range(times):
        await asyncio.sleep(0)


async def test_no_more_calls_are_in_flight_than_allowed() -> None:
    """A place that is given back goes to who has waited longest."""
    clock = Clock()
    shared, inside, order = gate(clock, concurrent_max=3), 0, list[int]()
    most = 0

    async def call(number: int) -> None:
        nonlocal inside, most
        assert await shared.enter(FAR)
        order.append(number)
        inside += 1
        most = max(most, inside)
        await turns(3)
        inside -= 1
        shared.leave()

    await asyncio.gather(*(call(number) for number in range(10)))

    assert most == 3
    assert order == [*range(10)]


async def test_the_calls_that_are_out_are_counted() -> None:
    """Those that had to wait for a place and those that had not."""
    clock = Clock()
    shared, counted = gate(clock, concurrent_max=1), list[int]()

    assert await shared.enter(FAR)
    waiting = asyncio.create_task(shared.enter(FAR))
    await turns()
    counted.append(shared.entered)
    shared.leave()
    assert await waiting
    counted.append(shared.entered)
    shared.leave()

    assert [1, 1, 0] == [*counted, shared.entered]


async def test_no_minute_holds_more_calls_than_allowed(store: Store) -> None:
    """Whichever sixty seconds are looked at; and what is allowed is used."""
    clock = Clock()
    shared, times = gate(clock, per_minute_max=5, store=store), list[float]()

    async def call() -> None:
        assert await shared.enter(FAR)
        times.append(clock.now)
        shared.leave()

    await asyncio.gather(*(call() for _ in range(12)))

    assert len(times) == 12
    assert all(later - sooner >= 60 for sooner, later in zip(times, times[5:], strict=False))
    assert times[-1] - times[0] <= 2 * 65


async def test_the_limit_per_minute_keeps_the_order_of_arrival(store: Store) -> None:
    """Nobody starves behind those who came later."""
    clock = Clock()
    shared, order = gate(clock, per_minute_max=1, store=store), list[int]()

    async def call(number: int) -> None:
        assert await shared.enter(FAR)
        order.append(number)
        shared.leave()

    await asyncio.gather(*(call(number) for number in range(6)))

    assert order == [*range(6)]


async def test_nobody_enters_after_the_end_of_its_turn(store: Store) -> None:
    """Not at the very end, not with a free place, not with a limit: the lease may be another worker's by then."""
    clock = Clock()
    for shared in (gate(clock), gate(clock, per_minute_max=5, store=store)):
        assert not await shared.enter(clock.now)
        assert not await shared.enter(clock.now - 1)
        assert await shared.enter(clock.now + 60)


async def test_who_cannot_enter_takes_nobodys_place() -> None:
    """A place must not leak each time a turn ends while it waits."""
    clock = Clock()
    shared = gate(clock, concurrent_max=1)
    shared.close_for(100)

    refused = [await shared.enter(clock.now + 1) for _ in range(5)]
    clock.now += 100
    async with asyncio.timeout(10):
        entered = await shared.enter(FAR)

    assert refused == [False] * 5
    assert entered


async def test_who_gives_up_waiting_takes_nobodys_place() -> None:
    """A cancelled call leaves the gate as it found it, wherever it waited."""
    clock = Clock()
    shared = gate(clock, concurrent_max=2)
    shared.close_for(10**9)
    waiting = [asyncio.create_task(shared.enter(FAR * 10**9)) for _ in range(4)]
    await turns()

    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    clock.now += 10**9

    assert await shared.enter(clock.now + 1)
    assert await shared.enter(clock.now + 1)


async def test_a_short_wait_is_not_held_up_by_a_longer_one() -> None:
    """Each call is told in its own time that there is no room, whoever waits before it."""
    loop = asyncio.get_running_loop()
    shared = Gate(concurrent_max=5, per_minute_max=0, now=loop.time, sleep=asyncio.sleep)
    shared.close_for(600)
    patient = asyncio.create_task(shared.enter(loop.time() + 600))
    await turns()

    async with asyncio.timeout(20):
        entered = await shared.enter(loop.time() + 0.05)

    assert not entered
    assert not patient.done()
    patient.cancel()
    await asyncio.gather(patient, return_exceptions=True)


async def test_a_full_house_is_waited_for_only_until_the_turns_end() -> None:
    """Concurrency is waited for in real time."""
    loop = asyncio.get_running_loop()
    shared = Gate(concurrent_max=1, per_minute_max=0, now=loop.time, sleep=asyncio.sleep)
    assert await shared.enter(loop.time() + 600)

    async with asyncio.timeout(20):
        entered = await shared.enter(loop.time() + 0.05)

    assert not entered


async def test_a_closed_gate_opens_by_itself() -> None:
    """Everybody who waited goes through once the pause is over, and not before."""
    clock = Clock()
    shared = gate(clock)
    began = clock.now
    shared.close_for(30)

    entered = await asyncio.gather(*(shared.enter(FAR) for _ in range(5)))

    assert all(entered)
    assert clock.now - began >= 30
    assert shared.closed_s == 0


async def test_a_longer_pause_is_not_cut_short_by_a_shorter_one() -> None:
    """Of two answers the more careful one counts."""
    clock = Clock()
    shared = gate(clock)

    shared.close_for(30)
    shared.close_for(5)

    assert shared.closed_s == 30


async def test_without_a_retry_after_each_pause_is_longer_than_the_last() -> None:
    """Until a minute, which is the length of Capillary's own window; a call that goes through starts it over."""
    clock = Clock()
    shared, pauses = gate(clock), list[float]()

    for _ in range(2000):
        shared.close_for(None)
        pauses.append(shared.closed_s)
        clock.now += shared.closed_s
    shared.went_through()
    shared.close_for(None)

    assert pauses[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert set(pauses[8:]) == {60}
    assert shared.closed_s == 1


@pytest.mark.parametrize("calls", [2, 64])
async def test_calls_that_were_refused_together_close_the_gate_once(calls: int) -> None:
    """Sixty-four calls in flight meet one and the same limit: the pause is that of one refusal."""
    clock = Clock()
    shared = gate(clock)

    for _ in range(calls):
        shared.close_for(None)

    assert shared.closed_s == 1


@asynccontextmanager
async def two_gates(database_url: str, clock: Clock, per_minute_max: int) -> AsyncIterator[tuple[Gate, Gate]]:
    """Run the gates of two replicas over one database."""
    url = database.address(database_url)
    async with open_store(url, migrate=True) as one, open_store(url) as other:
        yield (
            gate(clock, per_minute_max=per_minute_max, store=one),
            gate(clock, per_minute_max=per_minute_max, store=other),
        )


async def test_what_one_gate_leased_the_other_has_not(database_url: str) -> None:
    """The limit is one for all replicas, and for whoever comes after a restart."""
    clock = Clock()
    async with two_gates(database_url, clock, 2) as (one, other):
        first = [await one.enter(clock.now + 50), await one.enter(clock.now + 50)]
        began = clock.now

        early = await other.enter(began + 30)
        late = await other.enter(began + 200)

    assert [True, True, False, True] == [*first, early, late]
    assert clock.now - began >= 60


async def test_what_is_not_used_is_given_back(database_url: str) -> None:
    """Of a second's worth of the limit that one replica does not use, another one makes use."""
    clock = Clock()
    async with two_gates(database_url, clock, 60 * 3) as (one, other):
        assert await one.enter(FAR)
        await one.close()

        leased = 0
        while await other.enter(clock.now + 0.5):
            other.leave()
            leased += 1

    assert 60 * 3 - 1 == leased


async def test_a_closing_reaches_the_other_replicas(database_url: str) -> None:
    """Who leases calls after another replica was told "later" makes none either."""
    clock = Clock()
    async with two_gates(database_url, clock, 600) as (one, other), open_store(database.address(database_url)) as third:
        one.close_for(30)
        while not (await third.budget(ORG, 600, clock.ms).lease(0, 60)).closed_ms:
            await asyncio.sleep(0.005)
        began = clock.now

        entered = await other.enter(FAR)

    assert entered
    assert 30 == pytest.approx(clock.now - began, abs=1)
