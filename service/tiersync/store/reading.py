"""What the operator and the worker read: always what is committed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, bindparam, func, select, text, tuple_

from tiersync.fanout import AdjustmentStatus, Tier
from tiersync.intake import ANY_ORG, EventStatus
from tiersync.store import orgs
from tiersync.store.claims import Claim
from tiersync.store.reconciling import Known
from tiersync.store.selecting import Selection
from tiersync.store.tables import adjustments, events, syncs


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored delivery, as a replay needs it. `event` is the row's id."""

    event: int
    received_at: int
    changed_at: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits, and what is dead. Instants are epoch milliseconds, None for nothing."""

    keys_due: int
    due_since: int | None
    pending_since: int | None
    dead: Mapping[str, int]


COUNTED_MAX: Final = 10_000
_LISTED: Final = [column for column in events.c if column.name not in {"body", "sync", "fence", "job"}]
_SHOWN: Final = [column for column in adjustments.c if column.name not in {"event", "sync"}]


def due_keys(connection: Connection, now: int, limit: int) -> Sequence[tuple[int, int]]:
    """Each org's keys whose time has come, unless it is held back, the longest waiting first: (sync id, org)."""
    return [
        (key, org)
        for org in orgs_with_work(connection, now)
        for key in connection.execute(_DUE_OF_ORG, {"_org": org, "_now": now, "_limit": limit}).scalars()
    ]


_DUE_OF_ORG: Final = (
    select(syncs.c.id)
    .where(syncs.c.org == bindparam("_org"), syncs.c.due_at <= bindparam("_now"))
    .order_by(syncs.c.due_at)
    .limit(bindparam("_limit"))
)


def orgs_with_work(connection: Connection, now: int) -> list[int]:
    """The orgs that have keys to be worked on, now or later, and that are not held back."""
    held = orgs.held(connection, now)
    return [] if ANY_ORG in held else [org for org in _orgs_with_keys(connection) if org not in held]


def _orgs_with_keys(connection: Connection) -> Iterator[int]:
    """Take a step in the index for each org, not for each key."""
    org: int | None = -1
    while (org := connection.scalar(_NEXT_ORG, {"_after": org})) is not None:
        yield org


_NEXT_ORG: Final = select(func.min(syncs.c.org)).where(syncs.c.due_at.is_not(None), syncs.c.org > bindparam("_after"))


def led_elsewhere(connection: Connection, key: Claim | Known, members: Sequence[int]) -> dict[int, Tier]:
    """The highest tier that other primaries' newest tier changes gave to these members, as far as tiersync has seen."""
    columns = adjustments.c
    found = connection.execute(
        select(columns.member, syncs.c.tier_number, syncs.c.tier_name)
        .join(syncs, and_(syncs.c.id == columns.sync, syncs.c.event == columns.event))
        .where(columns.member.in_(members), columns.program == key.program, columns.org == key.org)
        .where(columns.sync != key.sync, columns.status.in_([AdjustmentStatus.DONE, AdjustmentStatus.DUE]))
        .where(syncs.c.tier_name.is_not(None))
    )
    highest: dict[int, Tier] = {}
    for member, number, name in found:
        if member not in highest or highest[member].number < number:
            highest[member] = Tier(number, name)
    return highest


def _page(selection: Selection, columns: Sequence[Any]) -> Select[Any]:
    return select(*columns).where(*selection.walked())


def list_events(connection: Connection, selection: Selection, limit: int, before: int | None) -> list[dict[str, Any]]:
    """A page of events, the newest first; `before` is the `id` of the last row of the page before."""
    order = (events.c.received_at, events.c.id) if selection.by_time else (events.c.id,)
    conditions = selection.conditions() if selection.by_time else selection.walked()
    query = select(*_LISTED).where(*conditions).order_by(*(column.desc() for column in order)).limit(limit)
    if before is not None and selection.by_time:
        seen = events.alias()
        last = select(seen.c.received_at, seen.c.id).where(seen.c.id == before).scalar_subquery()
        query = query.where(tuple_(*order) < last)
    elif before is not None:
        query = query.where(events.c.id < before)
    return [dict(row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's public name


def count_events(connection: Connection, selection: Selection) -> int:
    """How many events a selection holds."""
    return measure(connection, selection)[0]


def measure(connection: Connection, selection: Selection) -> tuple[int, int]:
    """How many events a selection holds, and the row id of the last of them (0 if there is none)."""
    query = select(func.count(), func.max(events.c.id)).where(*selection.conditions())
    matched, last = connection.execute(query).one()
    return int(matched), last or 0


def stored(connection: Connection, selection: Selection, limit: int, after: int, upto: int) -> list[Stored]:
    """A page of deliveries with their bytes, the oldest first; row ids greater than `after`, not than `upto`."""
    columns = [events.c[name] for name in ("id", "received_at", "changed_at", "body")]
    query = _page(selection, columns).where(events.c.id > after, events.c.id <= upto)
    return [Stored(*row) for row in connection.execute(query.order_by(events.c.id).limit(limit))]


def export_events(
    connection: Connection, selection: Selection, limit: int, after: int, *, bodies: bool
) -> list[dict[str, Any]]:
    """A page of whole events, the oldest first; `after` is the `id` of the last row of the page before."""
    columns = [column for column in events.c if bodies or column.name != "body"]
    query = _page(selection, columns).where(events.c.id > after).order_by(events.c.id).limit(limit)
    return [dict(row._mapping) for row in connection.execute(query)]  # noqa: SLF001


def export_adjustments(
    connection: Connection, selection: Selection, limit: int, after: tuple[int, int]
) -> list[dict[str, Any]]:
    """A page of the adjustments of the selected events; `after` is (event, member) of the last row before."""
    owing = adjustments.c
    query = (
        _page(selection, [*owing, events.c.event_id])
        .join(events, events.c.id == owing.event)
        .where(tuple_(owing.event, owing.member) > tuple_(*after))
        .order_by(owing.event, owing.member)
        .limit(limit)
    )
    return [dict(row._mapping) for row in connection.execute(query)]  # noqa: SLF001


def show_event(connection: Connection, org: int, event_id: str, limit: int, after: int) -> dict[str, Any] | None:
    """One event with a page of its adjustments, ordered by member; `after` is the last member of the page before."""
    found = select(*_LISTED, events.c.body).where(events.c.event_id == event_id, events.c.org == org)
    return _show(connection, found, limit, after)


def show_row(connection: Connection, row: int, limit: int, after: int) -> dict[str, Any] | None:
    """The same, of the event in that row, with its `sync`."""
    return _show(connection, select(events).where(events.c.id == row), limit, after)


def _show(connection: Connection, query: Select[Any], limit: int, after: int) -> dict[str, Any] | None:
    found = connection.execute(query)
    if (event := found.one_or_none()) is None:
        return None
    owing = adjustments.c
    rows = connection.execute(
        select(*_SHOWN).where(owing.event == event.id, owing.member > after).order_by(owing.member).limit(limit)
    )
    counts = connection.execute(
        select(owing.status, func.count()).where(owing.event == event.id).group_by(owing.status)
    )
    return {
        **event._mapping,  # noqa: SLF001
        "adjustments": [dict(row._mapping) for row in rows],  # noqa: SLF001
        "adjustment_counts": {status: count for status, count in counts},  # noqa: C416 - rows are not pairs to mypy
    }


def counts(connection: Connection) -> dict[str, dict[str, int]]:
    """How many events and adjustments stand where."""
    of_events = connection.execute(select(events.c.status, func.count()).group_by(events.c.status))
    of_adjustments = connection.execute(
        select(adjustments.c.status, adjustments.c.outcome, func.count()).group_by(
            adjustments.c.status, adjustments.c.outcome
        )
    )
    summed: dict[str, int] = {}
    for status, outcome, count in of_adjustments:
        name = outcome if status == AdjustmentStatus.DONE and outcome else status
        summed[name] = summed.get(name, 0) + count
    return {"events": {status: count for status, count in of_events}, "adjustments": summed}  # noqa: C416


def backlog(connection: Connection, now: int) -> Backlog:
    """What waits, and what is dead. The cost is bounded: of more than `COUNTED_MAX` only so many are counted."""
    due = [connection.execute(_DUE, {"_org": org, "_now": now}).one() for org in _orgs_with_keys(connection)]
    oldest = min((row.oldest for row in due if row.keys_due), default=None)
    pending_since = connection.execute(_OLDEST_PENDING).scalar()
    dead = {reason or "": count for reason, count in connection.execute(_DEAD)}
    return Backlog(min(COUNTED_MAX, sum(row.keys_due for row in due)), oldest, pending_since, dead)


_due: Final = (
    select(syncs.c.due_at)
    .where(syncs.c.org == bindparam("_org"), syncs.c.due_at <= bindparam("_now"))
    .order_by(syncs.c.due_at)
    .limit(COUNTED_MAX)
    .subquery()
)
_DUE: Final = select(func.count().label("keys_due"), func.min(_due.c.due_at).label("oldest"))
_OLDEST_PENDING: Final = (
    select(events.c.received_at).where(events.c.status == EventStatus.PENDING).order_by(events.c.id).limit(1)
)
_dead: Final = select(events.c.reason).where(events.c.status == EventStatus.DEAD).limit(COUNTED_MAX).subquery()
_DEAD: Final = select(_dead.c.reason, func.count()).group_by(_dead.c.reason)


def clock(connection: Connection) -> int:
    """PostgreSQL's clock, epoch milliseconds."""
    return int(connection.execute(_CLOCK).scalar_one())


_CLOCK: Final = text("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint")
