"""Long work as stored jobs: replays, purges and reconciles that are throttled, survive a crash, and are on record.

Whoever holds a job's lease works on it. Each step writes its effect and the job's new position in one transaction:
after a crash the next holder goes on behind it, and nothing is counted twice.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, insert, or_, select, update

from tiersync.store.reconciling import Comparison, order, results
from tiersync.store.removal import Removal, remove
from tiersync.store.replays import Replay, replay
from tiersync.store.tables import jobs


class JobKind(StrEnum):
    """What a job does to each event of its selection; a reconcile, to each key."""

    REPLAY = "replay"
    PURGE = "purge"
    RECONCILE = "reconcile"


class JobStatus(StrEnum):
    """Where a job stands."""

    RUNNING = "running"  # somebody works on it, or will
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Job:
    """One job. `upto` and `position` are rows of `events`: the last that is meant, the last that was done.

    `counts` says what became of the `done` events: due, converges, unchanged; or removed, kept. A reconcile has rows of
    `syncs` and the words of docs/operating.md.
    """

    id: int
    kind: JobKind
    at: int
    by: str
    selection: Mapping[str, Any]
    force: bool
    rate: int | None
    matched: int
    status: JobStatus
    upto: int
    position: int
    done: int
    counts: Mapping[str, int]
    detail: str | None
    owner: str | None
    lease_until: int | None
    finished_at: int | None


@dataclass(frozen=True, slots=True)
class Begin:
    """Somebody asks for a job. Who gives an `owner` and a `until` holds it from the beginning.

    It begins behind the row `after`. With `unless_since` it is not begun if the same asked for the same kind since.
    """

    kind: JobKind
    by: str
    selection: Mapping[str, Any]
    force: bool
    rate: int | None
    matched: int
    upto: int
    now: int
    owner: str | None = None
    until: int | None = None
    after: int = 0
    unless_since: int | None = None


@dataclass(frozen=True, slots=True)
class WantJob:
    """Somebody is free to work on a job of these kinds from `now` until `until` at the latest."""

    owner: str
    now: int
    until: int
    kinds: tuple[JobKind, ...] = (JobKind.REPLAY, JobKind.PURGE)


@dataclass(frozen=True, slots=True)
class Advance:
    """The next step of a held job: these events, of which the last is `position`."""

    job: int
    owner: str
    position: int
    work: Sequence[Replay] | Removal | Comparison
    now: int
    until: int


@dataclass(frozen=True, slots=True)
class EndJob:
    """A job is over. Without an `owner` whoever holds it loses it."""

    job: int
    status: JobStatus
    now: int
    owner: str | None = None
    detail: str | None = None


_COLUMNS: Final = [jobs.c[name] for name in Job.__dataclass_fields__]


def _job(row: Any) -> Job:
    values = dict(zip(Job.__dataclass_fields__, row, strict=True))
    return Job(**{**values, "kind": JobKind(values["kind"]), "status": JobStatus(values["status"])})


_SCHEDULE: Final = 0x74696D65  # "time": whoever begins what is scheduled holds this advisory lock


def begin(connection: Connection, asked: Sequence[Begin]) -> list[Job | None]:
    """Write jobs down. None for one that was asked for a moment ago."""
    return [_begin(connection, item) for item in asked]


def _begin(connection: Connection, item: Begin) -> Job | None:
    if item.unless_since is not None:
        if connection.dialect.name == "postgresql":  # who comes second is to see what the first has begun
            connection.execute(select(func.pg_advisory_xact_lock(_SCHEDULE)))
        last = read_last(connection, item.kind, item.by, item.selection)
        if last is not None and last.at > item.unless_since:
            return None
    written = insert(jobs).values(
        kind=item.kind,
        at=item.now,
        by=item.by,
        selection=dict(item.selection),
        force=item.force,
        rate=item.rate,
        matched=item.matched,
        status=JobStatus.RUNNING,
        upto=item.upto,
        position=item.after,
        counts={},
        owner=item.owner,
        lease_until=item.until,
    )
    return _job(connection.execute(written.returning(*_COLUMNS)).one())


def read_last(connection: Connection, kind: JobKind, by: str, selection: Mapping[str, Any]) -> Job | None:
    """The newest job of a kind that somebody asked for with this selection, or None."""
    query = select(*_COLUMNS).where(jobs.c.kind == kind, jobs.c.by == by).order_by(jobs.c.id.desc()).limit(_LAST_MAX)
    found = (_job(row) for row in connection.execute(query))
    return next((job for job in found if job.selection == selection), None)


_LAST_MAX: Final = 1000
"""JSON is compared here and not in SQL: as many orgs may have a schedule each."""


def claim(connection: Connection, wants: Sequence[WantJob]) -> list[Job | None]:
    """Hold the oldest job that nobody holds. None if there is none."""
    return [_claim(connection, want) for want in wants]


def _claim(connection: Connection, want: WantJob) -> Job | None:
    free = connection.execute(_FREE, {"_now": want.now, "_kinds": list(want.kinds)}).scalar_one_or_none()
    if free is None:
        return None
    held = update(jobs).where(jobs.c.id == free).values(owner=want.owner, lease_until=want.until)
    return _job(connection.execute(held.returning(*_COLUMNS)).one())


_FREE: Final = (
    select(jobs.c.id)
    .where(jobs.c.status == JobStatus.RUNNING, jobs.c.kind.in_(bindparam("_kinds", expanding=True)))
    .where(or_(jobs.c.lease_until.is_(None), jobs.c.lease_until <= bindparam("_now")))
    .order_by(jobs.c.id)
    .limit(1)
    .with_for_update(skip_locked=True)
)


def advance(connection: Connection, steps: Sequence[Advance]) -> list[Job | None]:
    """Take steps of jobs: the effect and the position are one. None if the job is over or somebody else's by now."""
    return [_advance(connection, step) for step in steps]


def _advance(connection: Connection, step: Advance) -> Job | None:
    row = connection.execute(_HELD, {"_id": step.job, "_owner": step.owner}).one_or_none()
    if row is None:
        return None
    counts, position, done = Counter(row.counts), step.position, row.done
    match step.work:
        case Removal() as removal:
            removed = remove(connection, removal)
            if removed is None:  # its adjustments are so many that the same events come once more
                position = row.position
            else:
                counts.update(removed=removed, kept=removal.seen - removed)
                done += removal.seen
        case Comparison() as compared:
            order(connection, step.job, compared.repairs)
            counts.update(compared.counts)
            done += compared.keys
        case replays:
            counts.update(str(result) for result in replay(connection, replays))
            done += len(replays)
    moved = update(jobs).where(jobs.c.id == step.job)
    told = {name: count for name, count in counts.items() if count}
    moved = moved.values(position=position, done=done, counts=told, lease_until=step.until)
    return _job(connection.execute(moved.returning(*_COLUMNS)).one())


_HELD: Final = (
    select(jobs.c.counts, jobs.c.position, jobs.c.done)
    .where(jobs.c.id == bindparam("_id"), jobs.c.owner == bindparam("_owner"), jobs.c.status == JobStatus.RUNNING)
    .with_for_update()
)


def end(connection: Connection, ends: Sequence[EndJob]) -> list[Job | None]:
    """End jobs. None for one that is over already, or somebody else's."""
    return [_end(connection, item) for item in ends]


def _end(connection: Connection, item: EndJob) -> Job | None:
    statement = update(jobs).where(jobs.c.id == item.job, jobs.c.status == JobStatus.RUNNING)
    if item.owner is not None:
        statement = statement.where(jobs.c.owner == item.owner)
    ended = statement.values(status=item.status, finished_at=item.now, detail=item.detail, owner=None, lease_until=None)
    row = connection.execute(ended.returning(*_COLUMNS)).one_or_none()
    return None if row is None else _job(row)


def read(connection: Connection, limit: int, before: int | None) -> list[Job]:
    """A page of jobs, the newest first; `before` is the id of the last one of the page before."""
    query = select(*_COLUMNS).order_by(jobs.c.id.desc()).limit(limit)
    found = connection.execute(query if before is None else query.where(jobs.c.id < before))
    return _with_results(connection, [_job(row) for row in found])


def read_one(connection: Connection, job: int) -> Job | None:
    """One job, or None if there is none of this number."""
    row = connection.execute(select(*_COLUMNS).where(jobs.c.id == job)).one_or_none()
    return None if row is None else _with_results(connection, [_job(row)])[0]


def _with_results(connection: Connection, found: Sequence[Job]) -> list[Job]:
    """What a reconcile ordered goes on after it: its results are those of now."""
    reconciles = [job.id for job in found if job.kind is JobKind.RECONCILE]
    told = results(connection, reconciles) if reconciles else {}
    return [replace(job, counts={**job.counts, **told.get(job.id, {})}) for job in found]
