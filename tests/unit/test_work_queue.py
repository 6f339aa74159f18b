"""The embedded engine: when a key is worked on, how often, and beside whom."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tiersync.engine import WorkQueue
from tiersync.errors import StoreUnavailable

WAIT_S_MAX = 5.0
ORG = 1


@dataclass(slots=True)
class Bench:
    """Work that records itself and ends when it is let go; tables whose due keys a test sets."""

    queue: WorkQueue = field(init=False)
    moment: int = 1_000_000
    due: list[tuple[int, int]] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)
    busy: Counter[int] = field(default_factory=Counter)
    overlapped: bool = False
    hold: set[int] = field(default_factory=set)
    fail: dict[int, Exception] = field(default_factory=dict)
    again_at: dict[int, int] = field(default_factory=dict)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    async def work(self, key: int) -> int | None:
        """Work on a key as the test wants it."""
        self.begun.append(key)
        self.busy[key] += 1
        self.overlapped |= self.busy[key] > 1
        try:
            if key in self.hold:
                await self.let_go.wait()
            if key in self.fail:
                raise self.fail.pop(key)
            await asyncio.sleep(0)
        finally:
            self.busy[key] -= 1
        return self.again_at.pop(key, None)

    async def sweep(self, _now: int, limit: int) -> Sequence[tuple[int, int]]:
        """Find what is due and was not begun yet, as the tables would."""
        return [(key, org) for key, org in self.due if key not in self.begun][:limit]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait, within bounds, until something is so."""
        async with asyncio.timeout(WAIT_S_MAX):
            while not condition():
                await asyncio.sleep(0.002)


@asynccontextmanager
async def bench(*, waiting_max: int = 100, concurrent_max: int = 4, sweep_s: float = 60) -> AsyncIterator[Bench]:
    """Run a queue over a bench."""
    made = Bench()
    made.queue = WorkQueue(
        work=made.work,
        sweep=made.sweep,
        now=lambda: made.moment,
        waiting_max=waiting_max,
        concurrent_max=concurrent_max,
        sweep_s=sweep_s,
    )
    made.queue.start()
    try:
        yield made
    finally:
        made.let_go.set()
        await made.queue.stop(WAIT_S_MAX)


async def test_a_key_that_waits_is_worked_on_once_however_often_it_is_woken() -> None:
    """Waking a waiting key again adds no work."""
    async with bench(concurrent_max=1) as it:
        it.hold.add(1)
        it.queue.wake(1, ORG)
        await it.until(lambda: it.begun == [1])

        for _ in range(5):
            it.queue.wake(2, ORG)
        it.let_go.set()
        await it.until(lambda: it.queue.running == it.queue.waiting == 0)

        assert [1, 2] == it.begun


async def test_a_key_woken_while_it_is_worked_on_is_worked_on_again_and_never_twice_at_once() -> None:
    """A wake-up during a turn leads to exactly one more turn, after it."""
    async with bench() as it:
        it.hold.add(1)
        it.queue.wake(1, ORG)
        await it.until(lambda: it.begun == [1])

        it.queue.wake(1, ORG)
        it.queue.wake(1, ORG)
        it.let_go.set()
        await it.until(lambda: it.queue.running == it.queue.waiting == 0)

        assert ([1, 1], False) == (it.begun, it.overlapped)


async def test_an_org_that_fills_its_places_does_not_hold_up_another() -> None:
    """The places of one org are its own."""
    async with bench(concurrent_max=2) as it:
        it.hold.update({1, 2, 3})
        for key in (1, 2, 3):
            it.queue.wake(key, ORG)

        it.queue.wake(10, ORG + 1)
        await it.until(lambda: 10 in it.begun)

        assert [1, 2, 10] == it.begun


async def test_a_key_due_later_is_worked_on_when_its_time_has_come() -> None:
    """A delayed wake-up waits for its instant, and the order of instants is kept."""
    async with bench() as it:
        it.queue.wake(2, ORG, it.moment + 40)
        it.queue.wake(1, ORG, it.moment + 20)
        early = [*it.begun]

        it.moment += 40
        await it.until(lambda: len(it.begun) == 2)

        assert ([], [1, 2]) == (early, it.begun)


async def test_a_turn_that_says_when_it_is_due_again_is_taken_again_then() -> None:
    """The instant that a turn returns is kept without a sweep."""
    async with bench() as it:
        it.again_at[1] = it.moment + 20
        it.queue.wake(1, ORG)
        await it.until(lambda: it.begun == [1])

        it.moment += 20
        await it.until(lambda: len(it.begun) == 2)

        assert [1, 1] == it.begun


async def test_what_does_not_fit_into_the_queue_is_found_again_by_the_sweep() -> None:
    """A full queue drops the hint, never the work."""
    async with bench(waiting_max=2, concurrent_max=1, sweep_s=0.01) as it:
        it.due = [(key, ORG) for key in range(20)]
        for key, org in it.due:
            it.queue.wake(key, org)
        held_at_most = it.queue.waiting

        await it.until(lambda: len(set(it.begun)) == 20)

        assert held_at_most <= 2


async def test_a_turn_that_fails_ends_neither_the_engine_nor_another_key() -> None:
    """An exception in one turn, expected or not, stays with its key."""
    async with bench(concurrent_max=1) as it:
        it.fail = {1: RuntimeError("a bug"), 2: StoreUnavailable("the disk is full")}
        for key in (1, 2, 3):
            it.queue.wake(key, ORG)

        await it.until(lambda: 3 in it.begun)

        assert [1, 2, 3] == it.begun


async def test_stopping_waits_for_the_turns_that_run_and_begins_no_other() -> None:
    """A stop lets a running turn end and leaves the rest to the tables."""
    async with bench(concurrent_max=1) as it:
        it.hold.add(1)
        it.queue.wake(1, ORG)
        it.queue.wake(2, ORG)
        await it.until(lambda: it.begun == [1])

        stopping = asyncio.create_task(it.queue.stop(WAIT_S_MAX))
        await asyncio.sleep(0)
        it.let_go.set()
        await stopping

        assert ([1], 0) == (it.begun, it.queue.running)


async def test_a_turn_that_does_not_end_in_time_is_cancelled() -> None:
    """A stop is bounded, whatever a turn waits for."""
    async with bench() as it:
        it.hold.add(1)
        it.queue.wake(1, ORG)
        await it.until(lambda: it.begun == [1])

        await it.queue.stop(0.01)

        assert 0 == it.busy[1]
