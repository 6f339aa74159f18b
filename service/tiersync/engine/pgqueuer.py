"""The engine of several replicas: PgQueuer's queue in PostgreSQL, one job for each key that is to be worked on.

Jobs are enqueued by the store, in the transaction that makes a key due. A notification wakes every replica, and each
takes as many jobs of each org as it has places for it, so that a batch of one org never stands in another's way. A job
that is worked on is kept alive by heartbeats; one whose replica died is taken over by another.

The queue is a hint: what it lost the sweep enqueues again, and who may work on a key is decided by the claim.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import timedelta
from typing import Final
from uuid import uuid4

import asyncpg
import structlog
from pgqueuer.domain.models import Job
from pgqueuer.domain.types import JobId, QueueEntrypoint, QueueManagerId
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.queries import Queries

from tiersync.engine.inprocess import Work
from tiersync.errors import StoreUnavailable

log: Final = structlog.get_logger("tiersync.engine")

_ROUND_S: Final = 0.005
_LOG_KEPT_ROUNDS: Final = 60
_UNLIMITED: Final = EntrypointExecutionParameter(concurrency_limit=0)  # of the fleet; ours are the places
_LOST: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, StoreUnavailable)

Rebuild = Callable[[], Awaitable[Sequence[int]]]
"""Enqueues what is due and has no job; answers the orgs that have work."""

Open = Callable[[], AbstractAsyncContextManager[Queries]]
"""Opens a connection of its own to PgQueuer's queue."""


class PgQueuer:
    """Runs `work` for each job. Of one org so many run at once, in this process."""

    def __init__(
        self, *, work: Work, rebuild: Rebuild, open_queue: Open, concurrent_max: int, sweep_s: float, lease_s: float
    ) -> None:
        """A job without a heartbeat for `lease_s` may be taken over."""
        self._work, self._rebuild, self._open_queue = work, rebuild, open_queue
        self._concurrent_max, self._sweep_s, self._lease_s = concurrent_max, sweep_s, lease_s
        self._me = QueueManagerId(uuid4())
        self._orgs: set[int] = set()
        self._busy: dict[int, int] = defaultdict(int)
        self._jobs: dict[asyncio.Task[None], JobId] = {}
        self._more: set[int] = set()
        self._poked = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []

    @property
    def waiting(self) -> int:
        """Orgs that have more jobs than this process has places for: the jobs themselves wait in the database."""
        return len(self._more)

    @property
    def running(self) -> int:
        """Keys that are worked on."""
        return len(self._jobs)

    def start(self) -> None:
        """Begin to sweep and to work."""
        self._loops = [
            asyncio.create_task(self._fetch_forever(), name="engine-fetch"),
            asyncio.create_task(self._sweep_forever(), name="engine-sweep"),
        ]

    async def stop(self, within_s: float) -> None:
        """Start nothing more, wait for the turns that run, then cancel what is left; its claims expire."""
        loops, self._loops = self._loops, []
        for loop in loops:
            loop.cancel()
        if loops:
            await asyncio.wait(loops)
        if self._jobs:
            _, unfinished = await asyncio.wait(self._jobs, timeout=within_s)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    def wake(self, key: int, org: int, due_at: int = 0) -> None:  # noqa: ARG002 - the job says which key, and when
        """Look at the queue: the store has enqueued a key of this org."""
        self._orgs.add(org)
        self._poked.set()

    async def _fetch_forever(self) -> None:
        while True:
            try:
                async with self._open_queue() as queue:
                    await queue.driver.add_listener(queue.qbe.settings.channel, lambda _: self._poked.set())
                    beat = asyncio.create_task(self._beat_forever(queue), name="engine-heartbeat")
                    try:
                        while not beat.done():
                            await self._wait(await self._fetch(queue))
                        beat.result()
                    finally:
                        beat.cancel()
                        with suppress(*_LOST, asyncio.CancelledError):
                            await beat
            except _LOST as error:
                log.warning("queue.unavailable", error=str(error) or type(error).__name__)
            except Exception:
                log.exception("queue.failed")
            await asyncio.sleep(self._sweep_s)

    async def _fetch(self, queue: Queries) -> float:
        """Take jobs for every free place; return for how many seconds there is nothing to do."""
        self._poked.clear()
        took = False
        for org in list(self._orgs):
            free = self._concurrent_max - self._busy[org]
            jobs: list[Job] = []
            if free > 0:
                lane = {QueueEntrypoint(str(org)): _UNLIMITED}
                jobs = await queue.dequeue(free, lane, self._me, None, timedelta(seconds=self._lease_s))
            for job in jobs:
                self._begin(job, org)
            took = took or bool(jobs)
            if len(jobs) == free:
                self._more.add(org)
            else:
                self._more.discard(org)
        if took:
            return 0.0  # there may be more, and later ones are looked for only when nothing is ready
        if not self._orgs:
            return self._sweep_s
        later = await queue.next_deferred_eta([QueueEntrypoint(str(org)) for org in self._orgs])
        return self._sweep_s if later is None else min(self._sweep_s, later.total_seconds())

    async def _wait(self, seconds: float) -> None:
        await asyncio.sleep(_ROUND_S)  # what comes at once is fetched at once
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds - _ROUND_S)):
                await self._poked.wait()

    def _begin(self, job: Job, org: int) -> None:
        self._busy[org] += 1
        task = asyncio.create_task(self._turn(int(job.payload or b"0"), org), name=f"key-{job.payload!r}")
        self._jobs[task] = job.id
        task.add_done_callback(self._jobs.pop)

    async def _turn(self, key: int, org: int) -> None:
        try:
            due_at = await self._work(key)
        except StoreUnavailable as error:
            log.warning("turn.store_unavailable", sync=key, error=str(error))
        except Exception:
            log.exception("turn.failed", sync=key)
        else:
            if due_at is not None:
                self._poked.set()
        finally:
            self._busy[org] -= 1
            if org in self._more:
                self._poked.set()

    async def _beat_forever(self, queue: Queries) -> None:
        """Keep this process's jobs from being taken over, and see that the connection still answers."""
        rounds = 0
        while True:
            await queue.update_heartbeat(list(self._jobs.values()))
            if rounds % _LOG_KEPT_ROUNDS == 0:  # PgQueuer logs every job that is picked; nobody reads it
                await queue.clear_queue_log([str(org) for org in self._orgs])
            rounds += 1
            await asyncio.sleep(self._lease_s / 4)

    async def _sweep_forever(self) -> None:
        while True:
            try:
                self._orgs.update(await self._rebuild())
                self._poked.set()
            except StoreUnavailable as error:
                log.warning("sweep.store_unavailable", error=str(error))
            except Exception:
                log.exception("sweep.failed")
            await asyncio.sleep(self._sweep_s)
