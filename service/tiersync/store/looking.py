"""What the operator's page looks at: how things stand, the last hour, a group; bounded, whatever the store holds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, and_, case, exists, func, or_, select, union_all

from tiersync.fanout import AdjustmentStatus
from tiersync.intake import ANY_ORG, EventStatus
from tiersync.store.jobs import JobKind, JobStatus
from tiersync.store.reconciling import Keys
from tiersync.store.tables import adjustments, events, jobs, syncs

_MINUTE_MS: Final = 60_000
_OWING_MAX: Final = 20_000  # adjustments that are looked at to say who waits, and why
_KEYS_MAX: Final = 1_000
_SAMPLE: Final = 200  # groups that are looked at to say how many secondaries a reconcile reads
_SAMPLED_MAX: Final = 50_000  # secondaries
_JOBS_MAX: Final = 1_000
_TROUBLE: Final = (EventStatus.DEAD, EventStatus.QUARANTINED)


@dataclass(frozen=True, slots=True)
class Minute:
    """What happened in one minute. An adjustment counts in the minute of its last attempt."""

    received: int = 0
    adjusted: int = 0
    retrying: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True)
class Waiting:
    """So many adjustments of an org are due after a failure: its reason, its code, when the first attempt was."""

    org: int
    reason: str | None
    code: int | None
    count: int
    since: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """So many events of an org are dead or quarantined for a reason; the newest came at `newest_at`."""

    org: int
    status: str
    reason: str | None
    count: int
    newest_at: int


@dataclass(frozen=True, slots=True)
class UnwellJob:
    """A job that failed for `detail`, or a reconcile that could not read so many secondaries or groups."""

    id: int
    kind: str
    failed: bool
    detail: str | None
    unread: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand.

    `groups` keys have work ahead, with `secondaries` adjustments due (`more`: at least so many); the oldest unfinished
    event came at `oldest_at`, the newest of all at `newest_at`.
    """

    newest_at: int | None
    pending: int
    oldest_at: int | None
    groups: int
    secondaries: int
    more: bool
    waiting: Sequence[Waiting]
    trouble: Sequence[Trouble]


@dataclass(frozen=True, slots=True)
class Trip:
    """When an event's adjustments were written down, first and last tried, and are tried next."""

    planned_at: int | None
    first_at: int | None
    last_at: int | None
    next_at: int | None
    attempts: int


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a reconcile would read: so many groups, with about so many secondaries (`more`: at least).

    In `under_way` of the groups work is owed or going on.
    """

    groups: int
    secondaries: int
    more: bool
    under_way: int


def standing(connection: Connection) -> Standing:
    """How things stand now."""
    pending, oldest = connection.execute(
        select(func.count(), func.min(events.c.id)).where(events.c.status == EventStatus.PENDING)
    ).one()
    oldest_at = (
        None
        if oldest is None
        else connection.execute(select(events.c.received_at).where(events.c.id == oldest)).scalar_one_or_none()
    )
    ahead = syncs.c.due_at.is_not(None)
    groups = connection.execute(select(func.count()).select_from(syncs).where(ahead)).scalar_one()
    owing = adjustments.c
    due = (
        select(owing.org, owing.reason, owing.code, owing.attempts, owing.first_at)
        .where(owing.sync.in_(select(syncs.c.id).where(ahead).order_by(syncs.c.due_at).limit(_KEYS_MAX)))
        .where(owing.status == AdjustmentStatus.DUE)
        .limit(_OWING_MAX)
        .subquery()
    )
    tried = due.c.attempts > 0
    rows = connection.execute(
        select(tried, due.c.org, due.c.reason, due.c.code, func.count(), func.min(due.c.first_at)).group_by(
            tried, due.c.org, due.c.reason, due.c.code
        )
    ).all()
    trouble = connection.execute(
        select(events.c.org, events.c.status, events.c.reason, func.count(), func.max(events.c.received_at))
        .where(events.c.status.in_(_TROUBLE))
        .group_by(events.c.org, events.c.status, events.c.reason)
        .order_by(func.count().desc())
    )
    secondaries = sum(row[4] for row in rows)
    waiting = [Waiting(*row[1:]) for row in rows if row[0] and row[5] is not None]
    last = select(func.max(events.c.id)).scalar_subquery()
    newest_at = connection.execute(select(events.c.received_at).where(events.c.id == last)).scalar()
    return Standing(
        newest_at=newest_at,
        pending=pending,
        oldest_at=oldest_at,
        groups=groups,
        secondaries=secondaries,
        more=secondaries == _OWING_MAX or groups > _KEYS_MAX,
        waiting=sorted(waiting, key=lambda found: -found.count),
        trouble=[Trouble(*row) for row in trouble],
    )


def groups_ahead(connection: Connection, org: int) -> int:
    """How many groups of an org have work ahead; 0 stands for every org."""
    query = select(func.count()).select_from(syncs).where(syncs.c.due_at.is_not(None))
    return int(connection.execute(query.where(syncs.c.org == org) if org else query).scalar_one())


def trouble(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """The newest events that are dead or quarantined."""
    newest = [
        select(events.c.id).where(events.c.status == status).order_by(events.c.id.desc()).limit(limit).subquery()
        for status in _TROUBLE
    ]
    ids = union_all(*(select(found.c.id) for found in newest))
    query = select(*_EVENT).where(events.c.id.in_(ids)).order_by(events.c.id.desc()).limit(limit)
    return [dict(row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's public name


_EVENT: Final = [column for column in events.c if column.name != "body"]


def flow(connection: Connection, since: int, minutes: int) -> list[Minute]:
    """What happened in each of so many minutes from `since` on (epoch milliseconds)."""
    until = since + minutes * _MINUTE_MS
    counts: list[dict[str, int]] = [{} for _ in range(minutes)]
    arrived = (events.c.received_at - since) // _MINUTE_MS
    for minute, count in connection.execute(
        select(arrived, func.count())
        .where(events.c.received_at >= since, events.c.received_at < until)
        .group_by(arrived)
    ):
        counts[minute]["received"] = count
    tried = (adjustments.c.last_at - since) // _MINUTE_MS
    for minute, status, count in connection.execute(
        select(tried, adjustments.c.status, func.count())
        .where(adjustments.c.last_at >= since, adjustments.c.last_at < until)
        .group_by(tried, adjustments.c.status)
    ):
        if name := _SERIES.get(status):
            counts[minute][name] = count
    return [Minute(**minute) for minute in counts]


_SERIES: Final = {
    AdjustmentStatus.DONE.value: "adjusted",
    AdjustmentStatus.DUE.value: "retrying",
    AdjustmentStatus.DEAD.value: "dead",
}


def trip(connection: Connection, event: int) -> Trip:
    """When an event's adjustments were made, over all of them."""
    owing = adjustments.c
    found = connection.execute(
        select(
            func.min(owing.planned_at),
            func.min(owing.first_at),
            func.max(owing.last_at),
            func.min(case((owing.status == AdjustmentStatus.DUE, owing.due_at))),
            func.sum(owing.attempts),
        ).where(owing.event == event)
    ).one()
    return Trip(*found[:4], attempts=found[4] or 0)


def keys(
    connection: Connection, customer: int | None, group: int | None, org: int | None, limit: int
) -> list[dict[str, Any]]:
    """Groups that a customer leads or follows, or that have a group's id."""
    columns = syncs.c
    query = select(*_KEY).order_by(columns.id.desc()).limit(limit)
    if customer is not None:
        following = select(adjustments.c.sync).where(adjustments.c.member == customer)
        query = query.where(or_(columns.customer == customer, columns.id.in_(following)))
    if group is not None:
        query = query.where(columns.group_id == group)
    if org is not None:
        query = query.where(columns.org == org)
    return [dict(row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's public name


def key(connection: Connection, sync: int) -> dict[str, Any] | None:
    """One group's key: whose it is, which tier should be, when it is worked on."""
    row = connection.execute(select(*_KEY).where(syncs.c.id == sync)).one_or_none()
    return None if row is None else dict(row._mapping)  # noqa: SLF001


_KEY: Final = [
    syncs.c[name]
    for name in (
        "id", "org", "program", "customer", "group_id", "event", "tier_number", "tier_name", "action", "changed_at",
        "due_at", "owner", "attempt", "settled", "generation", "planned",
    )
]  # fmt: skip


def members(connection: Connection, sync: int, newest: int | None, limit: int, after: int) -> list[dict[str, Any]]:
    """A page of a group's secondaries, by number: the last adjustment of each since the newest tier change."""
    owing = adjustments.c
    since = select(events.c.id).where(events.c.sync == sync, events.c.id >= (newest or 0))
    page = (
        select(owing.member, func.max(owing.event).label("event"))
        .where(owing.event.in_(since), owing.member > after, owing.status != AdjustmentStatus.SUPERSEDED)
        .group_by(owing.member)
        .order_by(owing.member)
        .limit(limit)
        .subquery()
    )
    columns = [owing[name] for name in _MEMBER]
    query = (
        select(*columns)
        .join(page, and_(page.c.event == owing.event, page.c.member == owing.member))
        .order_by(owing.member)
    )
    return [dict(row._mapping) for row in connection.execute(query)]  # noqa: SLF001


def drifted(connection: Connection, sync: int, newest: int | None, limit: int) -> list[dict[str, Any]]:
    """A group's secondaries, by number, whose last adjustment since the newest tier change was given up."""
    owing, later = adjustments.c, adjustments.alias().c
    overtaken = exists().where(
        later.sync == sync,
        later.member == owing.member,
        later.event > owing.event,
        later.status != AdjustmentStatus.SUPERSEDED,
    )
    query = (
        select(*(owing[name] for name in _MEMBER))
        .where(owing.sync == sync, owing.status == AdjustmentStatus.DEAD, owing.event >= (newest or 0), ~overtaken)
        .order_by(owing.member)
        .limit(limit)
    )
    return [dict(row._mapping) for row in connection.execute(query)]  # noqa: SLF001


_MEMBER: Final = (
    "event", "member", "action", "tier_number", "tier_name", "status", "outcome", "reason", "code", "attempts",
    "due_at", "last_at",
)  # fmt: skip


def ahead(connection: Connection, keys: Keys) -> Ahead:
    """What a reconcile of these keys would read, as far as is known here.

    A secondary is known by the newest tier change of its group; of many groups the first are looked at.
    """
    wanted = replace(keys, since=None).conditions()
    if keys.since is not None:  # all at once this is found sooner than for each key by itself
        newest = exists().where(events.c.id == syncs.c.event, events.c.received_at >= keys.since)
        wanted.append(or_(newest, syncs.c.id.in_(select(events.c.sync).where(events.c.received_at >= keys.since))))
    if keys.group is not None:
        wanted.append(syncs.c.group_id == keys.group)
    groups, under_way = connection.execute(select(func.count(), func.count(syncs.c.due_at)).where(*wanted)).one()
    sample = select(syncs.c.event).where(*wanted).order_by(syncs.c.id).limit(_SAMPLE).subquery()
    owed = select(adjustments.c.member).join(sample, sample.c.event == adjustments.c.event).limit(_SAMPLED_MAX)
    seen: int = connection.execute(select(func.count()).select_from(owed.subquery())).scalar_one()
    return Ahead(
        groups=groups,
        secondaries=seen * groups // min(groups, _SAMPLE) if groups else 0,
        more=seen == _SAMPLED_MAX,
        under_way=under_way,
    )


def repairs(connection: Connection, job: int, limit: int) -> list[dict[str, Any]]:
    """Adjustments that a reconcile ordered, so many at the most; those that are not done stand first."""
    owing = adjustments.c
    columns = [owing.sync, events.c.customer.label("primary"), events.c.tier_name]
    columns += [owing[name] for name in _MEMBER if name != "tier_name"]
    query = select(*columns).join(events, events.c.id == owing.event).where(events.c.job == job)
    found: list[dict[str, Any]] = []
    for condition in (owing.status != AdjustmentStatus.DONE, owing.status == AdjustmentStatus.DONE):
        page = query.where(condition).order_by(owing.event, owing.member).limit(limit - len(found))
        found += [dict(row._mapping) for row in connection.execute(page)]  # noqa: SLF001
    return found


def last_passes(connection: Connection) -> dict[int, int]:
    """When the last reconcile of all the groups of each org ended, or when the first of them began if none has ended.

    0 stands for every org. It is looked for among the newest jobs.
    """
    columns = [jobs.c[name] for name in ("selection", "at", "status", "finished_at")]
    newest = select(*columns).where(jobs.c.kind == JobKind.RECONCILE).order_by(jobs.c.id.desc()).limit(_JOBS_MAX)
    ended: dict[int, int] = {}
    begun: dict[int, int] = {}
    for selection, at, status, finished_at in connection.execute(newest):
        if selection.keys() <= {"org"}:
            org = selection.get("org", ANY_ORG)
            begun[org] = at
            if status == JobStatus.DONE:
                ended.setdefault(org, finished_at)
    return {**begun, **ended}


def unwell_jobs(connection: Connection, since: int, limit: int) -> list[UnwellJob]:
    """Of the newest jobs those that ended not well since then, and were not asked for again."""
    columns = [jobs.c[name] for name in ("id", "kind", "selection", "status", "counts", "detail", "finished_at")]
    found: list[UnwellJob] = []
    seen: list[Any] = []
    for row in connection.execute(select(*columns).order_by(jobs.c.id.desc()).limit(limit)):
        if (row.kind, row.selection) in seen:
            continue
        seen.append((row.kind, row.selection))
        failed, unread = row.status == JobStatus.FAILED, row.counts.get("unread", 0)
        if (failed or unread) and (row.finished_at or 0) >= since:
            found.append(UnwellJob(row.id, row.kind, failed, row.detail, unread))
    return found
