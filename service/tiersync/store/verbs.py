"""`Store`: each verb handed to the writer, each reading to a reader. What they do stands in the modules beside this."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Concatenate, ParamSpec, TypeVar

from pgqueuer.queries import Queries
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tiersync.errors import StoreUnavailable
from tiersync.fanout import Tier
from tiersync.intake import Arrival
from tiersync.store import (
    arrivals,
    claims,
    jobs,
    leases,
    orgs,
    owing,
    queue,
    reading,
    reconciling,
    releasing,
    removal,
    schema,
    slices,
    work,
)
from tiersync.store.arrivals import Received
from tiersync.store.claims import Claim, Want
from tiersync.store.database import Database
from tiersync.store.jobs import Advance, Begin, EndJob, Job, JobKind, JobStatus, WantJob
from tiersync.store.leases import Renewal
from tiersync.store.orgs import BreakerNews, OrgState, Pause
from tiersync.store.owing import Due
from tiersync.store.postgresql import PostgresDatabase
from tiersync.store.reading import Backlog, Stored
from tiersync.store.reconciling import Keys, Known
from tiersync.store.releasing import Release
from tiersync.store.removal import Candidate, Horizon, Removal
from tiersync.store.selecting import Selection
from tiersync.store.work import Plan, Settlement
from tiersync.store.writer import Apply, Commits, Step, Timed, Writer, untimed
from tiersync.webhook import INT64_MAX

P = ParamSpec("P")
T = TypeVar("T")


class Store:
    """The verbs. Made by `open_store`."""

    def __init__(self, database: Database, commits: Commits, step: Step, timed: Timed = untimed) -> None:
        """`database` is open."""
        self._database = database
        verbs: Mapping[str, Apply] = {
            "receive": arrivals.receive,
            "settle": work.settle,
            "plan": work.plan,
            "release": releasing.release,
            "owed": _owed,
            "pause": orgs.pause,
            "resume": orgs.resume,
            "tell_breaker": orgs.tell,
            "claim": claims.claim,
            "begin_job": jobs.begin,
            "claim_job": jobs.claim,
            "advance_job": jobs.advance,
            "end_job": jobs.end,
            "purge": removal.remove_all,
            "reclaim": leases.reclaim,
            "renew": leases.renew,
            "rebuild": _rebuild,
            "probe": _probe,
            # The last ones: whoever waits for an org's budget holds all the keys that it wants.
            "give_back": slices.give_back,
            "close_org": slices.close,
            "lease": slices.lease,
        }
        self.writer = Writer(database, verbs, commits, step, timed)
        self.reads_open = 0

    async def receive(self, arrival: Arrival) -> Received:
        """Store a delivery. On disk when this returns. Raises `StoreUnavailable`."""
        answer: Received = await self.writer.submit("receive", arrival)
        return answer

    async def claim(self, want: Want) -> Claim | None:
        """Hold a key if it is due and free."""
        answer: Claim | None = await self.writer.submit("claim", want)
        return answer

    async def plan(self, plan: Plan) -> list[Due] | None:
        """Write a batch of adjustments down; return what is due then, or None if the claim was overtaken."""
        answer: list[Due] | None = await self.writer.submit("plan", plan)
        return answer

    async def settle(self, *settlements: Settlement) -> bool:
        """Write outcomes down; False if a claim was overtaken or a newer tier change came."""
        return bool(await self.writer.submit("settle", settlements))

    async def release(self, release: Release) -> int | None:
        """Write the last outcomes down and give a key back; return when it is due next, epoch milliseconds, or None."""
        answer: int | None = await self.writer.submit("release", release)
        return answer

    async def reclaim(self, now: int) -> None:
        """Free every claim: for a process that knows it is the only one."""
        await self.writer.submit("reclaim", now)

    async def renew(self, renewal: Renewal) -> bool:
        """Prolong a lease; False if it is not held any longer."""
        return bool(await self.writer.submit("renew", renewal))

    async def rebuild(self, now: int, limit: int) -> list[int]:
        """Enqueue what is due and has no job, on PostgreSQL; returns the orgs that have work."""
        answer: list[int] = await self.writer.submit("rebuild", (now, limit))
        return answer

    async def pause(self, org: int, *, by: str, reason: str | None, now: int) -> bool:
        """Have nobody work for an org (0: for any), whoever works on these tables; False if it is paused already."""
        return bool(await self.writer.submit("pause", Pause(org, by, reason, now)))

    async def resume(self, org: int) -> bool:
        """End a pause; False if there was none."""
        return bool(await self.writer.submit("resume", org))

    async def orgs(self) -> list[OrgState]:
        """Every org that was ever paused or whose Capillary was ever away."""
        return await self._read(orgs.read)

    async def tell_breaker(self, news: BreakerNews) -> None:
        """Write down how an org's breaker stands."""
        await self.writer.submit("tell_breaker", news)

    async def begin_job(  # noqa: PLR0913 - what goes on record
        self,
        kind: JobKind,
        selection: Selection,
        *,
        by: str,
        now: int,
        force: bool = False,
        rate: int | None = None,
        owner: str | None = None,
        until: int | None = None,
    ) -> Job:
        """Write a job down: whoever is free takes it up, unless `owner` holds it `until` then from the beginning.

        It is about the events that the selection holds now; `rate` is events a second.
        """
        matched, upto = await self._read(reading.measure, selection)
        asked = Begin(kind, by, selection.asked(), force, rate, matched, upto, now, owner, until)
        answer: Job = await self.writer.submit("begin_job", asked)
        return answer

    async def begin_reconcile(
        self,
        keys: Keys,
        *,
        by: str,
        now: int,
        rate: int | None = None,
        owner: str | None = None,
        until: int | None = None,
    ) -> Job:
        """Write down that these keys are to be compared with Capillary; `rate` is calls a minute."""
        matched, upto = await self._read(reconciling.measure, keys, 0, None)
        if keys.group is not None or keys.primary is not None:  # it need not be known
            matched = 1 if keys.group is not None else max(1, matched)
        asked = Begin(
            JobKind.RECONCILE,
            by,
            keys.asked(),
            force=False,
            rate=rate,
            matched=matched,
            upto=upto,
            now=now,
            owner=owner,
            until=until,
        )
        answer: Job = await self.writer.submit("begin_job", asked)
        return answer

    async def begin_pass(self, keys: Keys, *, by: str, keys_max: int, every_ms: int, now: int) -> Job | None:
        """Begin the next scheduled reconcile, behind where the last one ended; None if that was not long enough ago."""
        last = await self._read(jobs.read_last, JobKind.RECONCILE, by, keys.asked())
        if last is not None and last.at > now - every_ms:
            return None
        after = last.upto if last is not None else 0
        matched, upto = await self._read(reconciling.measure, keys, after, keys_max)
        if not matched:  # from the beginning again
            after = 0
            matched, upto = await self._read(reconciling.measure, keys, after, keys_max)
        asked = Begin(
            JobKind.RECONCILE,
            by,
            keys.asked(),
            force=False,
            rate=None,
            matched=matched,
            upto=upto,
            now=now,
            after=after,
            unless_since=now - every_ms,
        )
        answer: Job | None = await self.writer.submit("begin_job", asked)
        return answer

    async def keys(self, keys: Keys, limit: int, after: int, upto: int) -> list[Known]:
        """A page of the keys to compare."""
        return await self._read(reconciling.page, keys, after, upto, limit)

    async def repairs(self, job: int) -> list[dict[str, Any]]:
        """What became of each repair that a reconcile ordered."""
        return await self._read(reconciling.repairs, job)

    async def claim_job(self, want: WantJob) -> Job | None:
        """Hold the oldest job that nobody works on."""
        answer: Job | None = await self.writer.submit("claim_job", want)
        return answer

    async def advance_job(self, step: Advance) -> Job | None:
        """Take a step of a job; None if it is over or somebody else's by now: then nothing was done."""
        answer: Job | None = await self.writer.submit("advance_job", step)
        return answer

    async def end_job(
        self, job: int, status: JobStatus, *, now: int, owner: str | None = None, detail: str | None = None
    ) -> Job | None:
        """End a job that runs; None if it does not, or if it is not `owner`'s."""
        answer: Job | None = await self.writer.submit("end_job", EndJob(job, status, now, owner, detail))
        return answer

    async def cancel_job(self, job: int, *, by: str, now: int) -> Job | None:
        """End a job before its time; what it did stays done. None if it does not run."""
        return await self.end_job(job, JobStatus.CANCELLED, now=now, detail=f"by {by}")

    async def jobs(self, limit: int, before: int | None = None) -> list[Job]:
        """A page of jobs, the newest first."""
        return await self._read(jobs.read, limit, before)

    async def job(self, number: int) -> Job | None:
        """One job."""
        return await self._read(jobs.read_one, number)

    async def purge(self, removal: Removal) -> int | None:
        """Remove events and their adjustments; None if it has to be asked for once more, because they are many."""
        answer: int | None = await self.writer.submit("purge", removal)
        return answer

    async def purgeable(self, selection: Selection, horizon: Horizon) -> int:
        """How many events of a selection may go."""
        return await self._read(removal.count, selection, horizon)

    async def candidates(
        self, selection: Selection, horizon: Horizon, limit: int, after: int = 0, upto: int | None = None
    ) -> list[Candidate]:
        """A page of events for a purge, the oldest first, and whether each may go."""
        return await self._read(removal.candidates, selection, horizon, limit, after, upto)

    async def probe(self) -> None:
        """Write something and change nothing. Raises `StoreUnavailable`, or `SchemaOutdated`."""
        await self.writer.submit("probe", None)

    def budget(self, org: int, calls_max: int, now: Callable[[], int]) -> slices.Budget:
        """The calls of an org that all replicas share; `now` is epoch milliseconds."""
        return slices.Budget(self.writer, org, calls_max, now)

    async def clock(self) -> int:
        """The database's clock, epoch milliseconds. Raises `StoreUnavailable`."""
        return await self._read(reading.clock)

    def open_queue(self) -> AbstractAsyncContextManager[Queries]:
        """Open a connection of its own to PgQueuer's queue; there is one on PostgreSQL only."""
        assert isinstance(self._database, PostgresDatabase)  # noqa: S101 - app chooses the engine
        return self._database.open_queue()

    async def sweep(self, now: int, limit: int) -> Sequence[tuple[int, int]]:
        """Keys that are due, the longest waiting first: (sync id, org)."""
        return await self._read(reading.due_keys, now, limit)

    async def owed(self, claim: Claim, now: int, limit: int) -> list[Due]:
        """A key's adjustments that are due.

        Read in the writer's next transaction: what many keys ask for at once costs one of them.
        """
        answer: list[Due] = await self.writer.submit("owed", (claim, now, limit))
        return answer

    async def led_elsewhere(self, key: Claim | Known, members: Sequence[int]) -> dict[int, Tier]:
        """The highest tier that other primaries gave to these members."""
        return await self._read(reading.led_elsewhere, key, members)

    async def list_events(self, selection: Selection, limit: int, before: int | None = None) -> list[dict[str, Any]]:
        """A page of events, the newest first."""
        return await self._read(reading.list_events, selection, limit, before)

    async def count_events(self, selection: Selection) -> int:
        """How many events a selection holds."""
        return await self._read(reading.count_events, selection)

    async def show_event(self, org: int, event_id: str, limit: int, after: int = 0) -> dict[str, Any] | None:
        """One event with a page of its adjustments, or None."""
        return await self._read(reading.show_event, org, event_id, limit, after)

    async def show_row(self, row: int, limit: int, after: int = 0) -> dict[str, Any] | None:
        """The same, of the event in that row."""
        return await self._read(reading.show_row, row, limit, after)

    async def look(self, query: Callable[Concatenate[Connection, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        """Read by a function of `store.looking`."""
        return await self._read(query, *arguments, **named)

    async def stored(self, selection: Selection, limit: int, after: int = 0, upto: int = INT64_MAX) -> list[Stored]:
        """A page of deliveries with their bytes, the oldest first."""
        return await self._read(reading.stored, selection, limit, after, upto)

    async def export_events(
        self, selection: Selection, limit: int, after: int = 0, *, bodies: bool = False
    ) -> list[dict[str, Any]]:
        """A page of whole events, the oldest first."""
        return await self._read(reading.export_events, selection, limit, after, bodies=bodies)

    async def export_adjustments(
        self, selection: Selection, limit: int, after: tuple[int, int] = (0, 0)
    ) -> list[dict[str, Any]]:
        """A page of the adjustments of the selected events, the oldest first."""
        return await self._read(reading.export_adjustments, selection, limit, after)

    async def counts(self) -> dict[str, dict[str, int]]:
        """How many events and adjustments stand where."""
        return await self._read(reading.counts)

    async def backlog(self, now: int) -> Backlog:
        """What waits, and what is dead, as the metrics tell it."""
        return await self._read(reading.backlog, now)

    async def _read(self, query: Callable[Concatenate[Connection, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        self.reads_open += 1
        try:
            return await self._database.read(lambda connection: query(connection, *arguments, **named))
        except (DBAPIError, PoolTimeout, OSError) as error:
            raise StoreUnavailable(f"the database cannot be read: {type(error).__name__}") from error
        finally:
            self.reads_open -= 1

    async def close(self) -> None:
        """Commit what waits, then close the connections."""
        await self.writer.stop()
        await self._database.close()


def _owed(connection: Connection, asked: Sequence[tuple[Claim, int, int]]) -> list[list[Due]]:
    return [owing.owed(connection, *one) for one in asked]


def _rebuild(connection: Connection, sweeps: Sequence[tuple[int, int]]) -> list[list[int]]:
    now, limit = max(sweeps)
    found = reading.orgs_with_work(connection, now)
    queue.rebuild(connection, found, now, limit)
    return [found] * len(sweeps)


def _probe(connection: Connection, probes: Sequence[None]) -> list[None]:
    # A real write, of the schema's version over itself: a full disk and a foreign schema both show.
    found = connection.execute(text("UPDATE alembic_version SET version_num = version_num RETURNING version_num"))
    if found.scalars().all() != [schema.newest_version()]:
        schema.check(connection)
    return [None] * len(probes)
