"""Removing what is over: which events may go, and a step of their removal that never takes long.

An event stays, whatever its age, while its work is not finished, while it is the newest tier change of its key (the
sync row points to it, and later events are compared with it), while a duplicate of it may still come, and while an echo
of one of its adjustments may.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, or_, select, tuple_

from tiersync.fanout import AdjustmentStatus
from tiersync.intake import EventStatus
from tiersync.store.selecting import Selection
from tiersync.store.tables import adjustments, events, syncs


@dataclass(frozen=True, slots=True)
class Horizon:
    """What is younger stays, epoch milliseconds: events received since, events with adjustments tried since."""

    received: int
    tried: int


@dataclass(frozen=True, slots=True)
class Removal:
    """Events to be removed, with at most `rows_max` of their adjustments in one step.

    `seen` counts the events that were looked at to find these.
    """

    events: Sequence[int]
    seen: int
    horizon: Horizon
    rows_max: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """An event that a purge came by."""

    event: int
    received_at: int
    may_go: bool


def may_go(horizon: Horizon) -> ColumnElement[bool]:
    """Say of a row of `events` that nothing needs it any more."""
    newest = exists().where(syncs.c.id == events.c.sync, syncs.c.event == events.c.id)
    needed = exists().where(
        adjustments.c.event == events.c.id,
        or_(adjustments.c.status == AdjustmentStatus.DUE, adjustments.c.last_at >= horizon.tried),
    )
    return and_(events.c.status != EventStatus.PENDING, events.c.received_at < horizon.received, ~newest, ~needed)


def candidates(
    connection: Connection, selection: Selection, horizon: Horizon, limit: int, after: int, upto: int | None
) -> list[Candidate]:
    """A page of the events that a selection holds, the oldest first, and whether each may go."""
    query = (
        select(events.c.id, events.c.received_at, may_go(horizon))
        .where(*selection.conditions(), events.c.id > after)
        .order_by(events.c.id)
        .limit(limit)
    )
    found = connection.execute(query if upto is None else query.where(events.c.id <= upto))
    return [Candidate(event, received_at, bool(free)) for event, received_at, free in found]


def count(connection: Connection, selection: Selection, horizon: Horizon) -> int:
    """How many events of a selection may go."""
    query = select(func.count()).select_from(events).where(*selection.conditions(), may_go(horizon))
    return int(connection.execute(query).scalar_one())


def remove(connection: Connection, removal: Removal) -> int | None:
    """Remove events and their adjustments; return how many events went, or None if more steps are needed.

    What may not go any more (somebody replayed it meanwhile) stays.
    """
    free = select(events.c.id).where(events.c.id.in_(removal.events), may_go(removal.horizon))
    going = list(connection.execute(free.order_by(events.c.id).with_for_update()).scalars())  # in everybody's order
    if not going:
        return 0
    few = select(adjustments.c.event, adjustments.c.member).where(adjustments.c.event.in_(going))
    these = tuple_(adjustments.c.event, adjustments.c.member).in_(few.limit(removal.rows_max))
    if connection.execute(delete(adjustments).where(these)).rowcount >= removal.rows_max:
        return None
    connection.execute(delete(events).where(events.c.id.in_(going)))
    return len(going)


def remove_all(connection: Connection, removals: Sequence[Removal]) -> list[int | None]:
    """The verb `purge`. One answer per removal, in order."""
    return [remove(connection, removal) for removal in removals]
