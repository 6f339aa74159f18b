"""The embedded engine under any order of wake-ups, and when its own sweep fails."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from tiersync.engine import WorkQueue
from tiersync.errors import StoreUnavailable

WAIT_S_MAX = 10.0
ORGS = {1: 1, 2: 1, 3: 1, 4: 2, 5: 2}


@dataclass
class Works:
    """Work that takes a few turns of the loop, and notes who worked beside whom."""

    tables: set[int] = field(default_factory=set)
    running: Counter[int] = field(default_factory=Counter)
    most: Counter[int] = field(default_factory=Counter)
    done: list[int] = field(default_factory=list)
    failing: bool = False

    async def turn(self, key: int) -> int | None:
        """Work on a key: whatever was written to the tables before the turn began is done by it."""
        org = ORGS[key]
        self.running[key] += 1
        self.most[key] = max(self.most[key], self.running[key])
        beside = sum(self.running[other] for other in ORGS if ORGS[other] == org)
        self.most[-org] = max(self.most[-org], beside)
        self.tables.discard(key)
        try:
            await asyncio.sleep(0)
            if self.failing and key % 2:
                raise RuntimeError("a bug")
            await asyncio.sleep(0)
        finally:
            self.running[key] -= 1
            self.done.append(key)
        return None

    async def sweep(self, _now: int, limit: int) -> Sequence[tuple[int, int]]:
        """Find what is written in the tables and not done."""
        return [(key, ORGS[key]) for key in sorted(self.tables)][:limit]


def queue(
    works: Works,
    sweep: Callable[[int, int], Awaitable[Sequence[tuple[int, int]]]] | None = None,
    now: Callable[[], int] = lambda: 0,
    **limits: int,
) -> WorkQueue:
    """Make an engine that sweeps all the time."""
    chosen = {"waiting_max": 100, "concurrent_max": 4, **limits}
    return WorkQueue(work=works.turn, sweep=sweep or works.sweep, now=now, sweep_s=0.001, **chosen)


async def until(condition: Callable[[], bool]) -> None:
    """Wait, within bounds, until something is so."""
    async with asyncio.timeout(WAIT_S_MAX):
        while not condition():
            await asyncio.sleep(0.001)


@settings(max_examples=40, deadline=None)
@given(
    wakes=st.lists(st.tuples(st.sampled_from(sorted(ORGS)), st.integers(0, 3)), max_size=40),
    waiting_max=st.integers(1, 4),
    concurrent_max=st.integers(1, 2),
    failing=st.booleans(),
)
def test_every_wake_up_leads_to_a_turn_after_it(
    wakes: list[tuple[int, int]], waiting_max: int, concurrent_max: int, *, failing: bool
) -> None:
    """Whatever the order: nothing written before a wake-up stays undone, no key runs beside itself, no org overruns."""
    works = Works(failing=failing)

    async def run() -> None:
        engine = queue(works, waiting_max=waiting_max, concurrent_max=concurrent_max)
        engine.start()
        for key, pause in wakes:
            works.tables.add(key)
            engine.wake(key, ORGS[key])
            assert waiting_max >= engine.waiting
            for _ in range(pause):
                await asyncio.sleep(0)
        await until(lambda: not works.tables and engine.running == engine.waiting == 0)
        await engine.stop(WAIT_S_MAX)

    asyncio.run(run())

    assert {key for key, _ in wakes} == set(works.done)
    assert all(works.most[key] <= 1 for key in ORGS)
    assert all(works.most[-org] <= concurrent_max for org in ORGS.values())


async def test_a_sweep_that_fails_is_not_the_last() -> None:
    """An unavailable store or a bug in a sweep is survived: the next sweep finds the work."""
    works = Works(tables={1})
    failures: list[Exception] = [StoreUnavailable("full"), RuntimeError("a bug"), TimeoutError()]

    async def sweep(now: int, limit: int) -> Sequence[tuple[int, int]]:
        if failures:
            raise failures.pop(0)
        return await works.sweep(now, limit)

    engine = queue(works, sweep)
    engine.start()
    await until(lambda: works.done == [1])
    await engine.stop(WAIT_S_MAX)

    assert [] == failures


async def test_what_was_woken_before_the_start_is_worked_on() -> None:
    """Wake-ups that come before the engine is started wait for it."""
    works = Works()
    engine = queue(works)
    engine.wake(1, 1)
    engine.wake(4, 2)
    before = [*works.done]

    engine.start()
    await until(lambda: len(works.done) == 2)
    await engine.stop(WAIT_S_MAX)

    assert [] == before
    assert [1, 4] == sorted(works.done)


async def test_delayed_wake_ups_are_bounded_too() -> None:
    """Delayed wake-ups beyond the limit are dropped; what they meant is found by the sweep when it is due."""
    works, moment = Works(), [0]
    engine = queue(works, now=lambda: moment[0], waiting_max=2)
    engine.start()
    for key, org in ORGS.items():
        engine.wake(key, org, due_at=50)

    moment[0] = 50
    await until(lambda: len(works.done) == 2)
    dropped = set(ORGS) - set(works.done)
    works.tables.update(dropped)
    await until(lambda: set(works.done) == set(ORGS))
    await engine.stop(WAIT_S_MAX)

    assert 3 == len(dropped)


async def test_after_a_stop_nothing_begins() -> None:
    """Once stopped the engine neither sweeps nor works, whatever wakes it or was to wake it."""
    works, moment = Works(), [0]
    engine = queue(works, now=lambda: moment[0])
    engine.start()
    engine.wake(1, 1, due_at=10)

    await engine.stop(WAIT_S_MAX)
    moment[0] = 10
    works.tables.add(2)
    engine.wake(3, 1)
    await asyncio.sleep(0.05)

    assert [] == works.done
