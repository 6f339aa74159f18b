"""Carrying on stored jobs: select events, do what the job does to them, at its rate, and write down how far it came.

Whoever holds a job's lease works on it: the `tiersync` command that asked for it, or any server. If one ends halfway,
the next goes on behind the last step that was committed.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from tiersync import intake
from tiersync.errors import StoreUnavailable
from tiersync.fanout import Policy
from tiersync.store import (
    Advance,
    Horizon,
    Job,
    JobKind,
    JobStatus,
    Removal,
    Replay,
    Selection,
    Store,
    Stored,
    WantJob,
)
from tiersync.store.writer import Step

log: Final = structlog.get_logger("tiersync.jobs")

STEP_MAX = 100
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a job is held, and what a purge spares and takes at once."""

    lease_s: float
    duplicates_days: float
    echo_s: float
    purge_batch_max: int

    def horizon(self, now: int) -> Horizon:
        """What is too young to go."""
        echoes = now - int(1000 * self.echo_s)
        return Horizon(received=min(now - int(_DAY_MS * self.duplicates_days), echoes), tried=echoes)


class Clerk:
    """Works on jobs, one at a time. `now` is epoch milliseconds; `told` hears of each step."""

    def __init__(  # noqa: PLR0913 - put together in app, and only there
        self,
        store: Store,
        orgs: Mapping[int, Policy],
        limits: Limits,
        *,
        owner: str,
        now: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]],
        told: Callable[[Job], None] = lambda _: None,
        step: Step = lambda _: None,
    ) -> None:
        """`orgs` maps an org's id to the policies by which its events are read again."""
        self._store, self._orgs, self._limits, self.owner = store, orgs, limits, owner
        self._now, self._sleep, self._told, self._step = now, sleep, told, step

    @property
    def until(self) -> int:
        """How long a job that is taken up or carried on now is held."""
        return self._now() + int(1000 * self._limits.lease_s)

    async def serve(self, every_s: float) -> None:
        """Take up whatever job nobody works on, until cancelled."""
        while True:
            try:
                while job := await self._store.claim_job(WantJob(self.owner, self._now(), self.until)):
                    log.info("job.taken", job=job.id, kind=job.kind, by=job.by, done=job.done, matched=job.matched)
                    if ended := await self.work_off(job):
                        log.info("job.ended", job=ended.id, kind=ended.kind, status=ended.status, done=ended.done)
            except StoreUnavailable as error:
                log.warning("job.store_unavailable", error=str(error))
            except Exception:
                log.exception("job.failed")
            await self._sleep(every_s)

    async def work_off(self, job: Job) -> Job | None:
        """Carry a held job on to its end; return it as it ended, or None if it was taken from us or cancelled."""
        try:
            return await self._steps(job)
        except StoreUnavailable:
            raise  # it goes on when the store is back
        except Exception as error:
            detail = f"a bug: {type(error).__name__}"
            await self._store.end_job(job.id, JobStatus.FAILED, now=self._now(), owner=self.owner, detail=detail)
            raise

    async def _steps(self, job: Job) -> Job | None:
        while True:
            began = self._now()
            step = await self._next(job)
            if step is None:
                return await self._store.end_job(job.id, JobStatus.DONE, now=self._now(), owner=self.owner)
            self._step("before step")
            before, advanced = job.done, await self._store.advance_job(step)
            if advanced is None:
                return None
            job = advanced
            self._told(job)
            if job.rate:
                await self._sleep(max(0.0, (job.done - before) / job.rate - (self._now() - began) / 1000))

    async def _next(self, job: Job) -> Advance | None:
        """The next step, or None if there is none. It is short enough for the rate, and for the lease."""
        selection, size = Selection.of(job.selection), min(STEP_MAX, job.rate or STEP_MAX)
        work: Sequence[Replay] | Removal
        if job.kind is JobKind.REPLAY:
            page = await self._store.stored(selection, size, job.position, job.upto)
            work, last = [self._replay(row, force=job.force) for row in page], page[-1].event if page else None
        else:
            horizon = self._limits.horizon(self._now())
            found = await self._store.candidates(selection, horizon, size, job.position, job.upto)
            going = [candidate.event for candidate in found if candidate.may_go]
            work = Removal(going, len(found), horizon, self._limits.purge_batch_max)
            last = found[-1].event if found else None
        return None if last is None else Advance(job.id, self.owner, last, work, self._now(), self.until)

    def _replay(self, row: Stored, *, force: bool) -> Replay:
        arrival = intake.admit(row.body, row.received_at, self._orgs)
        if not arrival.dated:  # it keeps the place in time that it was given when it came
            arrival = replace(arrival, changed_at=row.changed_at)
        return Replay(row.event, arrival, force, self._now())
