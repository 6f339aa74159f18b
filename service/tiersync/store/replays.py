"""The verb `replay`: stored work made due again, by the same door as the first try.

A replay plans again from the stored bytes. Replaying an event that was overtaken brings the group to its newest tier;
only `force` goes back to the tier of the event itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, bindparam, select, update

from tiersync.fanout import AdjustmentStatus
from tiersync.intake import Arrival, EventStatus, Kind
from tiersync.store.arrivals import BY_MEMBER, event_values, key_of, member_values, wake_owing
from tiersync.store.forward import SyncRow, hold, insert_for, save, supersede
from tiersync.store.tables import adjustments, events
from tiersync.webhook import Action


class Replayed(StrEnum):
    """What a replay did."""

    DUE = "due"
    CONVERGES = "converges"  # overtaken meanwhile: the newest tier change of the same primary is due instead
    UNCHANGED = "unchanged"  # still not ours to act on, still unreadable, or removed meanwhile


@dataclass(frozen=True, slots=True)
class Replay:
    """One stored event, read again at `now`. `event` is the row's id."""

    event: int
    arrival: Arrival
    force: bool
    now: int


def replay(connection: Connection, replays: Sequence[Replay]) -> list[Replayed]:
    """Make stored events due again. One answer per event, in order."""
    return [_replay(connection, item) for item in replays]


def _replay(connection: Connection, item: Replay) -> Replayed:
    arrival, key = item.arrival, key_of(item.arrival)
    stored = select(events.c.status, events.c.depth).where(events.c.id == item.event)
    row = connection.execute(stored).one_or_none()
    if row is None:
        return Replayed.UNCHANGED  # removed since it was selected
    was, depth = row
    if depth > arrival.policy.cascade_depth_max and not item.force:
        return Replayed.UNCHANGED  # an echo of our own adjustments is one still
    if key is None:
        if was != EventStatus.PENDING:  # what is being worked on is not taken back by a changed setting
            _rewrite(connection, item, arrival.status, None)
        if arrival.kind is Kind.LEAVE:
            wake_owing(connection, arrival, item.now)
        return Replayed.UNCHANGED
    sync = (hold(connection, {key}))[key]
    if connection.execute(_HOLD, {"_id": item.event}).one_or_none() is None:
        return Replayed.UNCHANGED  # a purge had it in hand, and was waited for
    if arrival.kind in BY_MEMBER:
        owed = [{**values, "due_at": item.now} for values in member_values(arrival, item.event, sync)]
        if owed:
            connection.execute(insert_for(connection.dialect.name, adjustments).on_conflict_do_nothing(), owed)
        _owe_again(connection, item.event, item.now)
        _rewrite(connection, item, EventStatus.PENDING, sync.id)
        sync.attempt = 0
        sync.wake(item.now)
        result = Replayed.DUE
    else:
        result = _replay_tier(connection, item, sync, EventStatus(was))
    save(connection, [sync])
    return result


_HOLD: Final = select(events.c.id).where(events.c.id == bindparam("_id")).with_for_update()


def _replay_tier(connection: Connection, item: Replay, sync: SyncRow, was: EventStatus) -> Replayed:
    if sync.event == item.event:
        # Of a dead event only what is dead is owed again; of a finished one the caller wants everything looked at
        # again.
        unfinished = was in {EventStatus.DEAD, EventStatus.PENDING}
        _owe_again(connection, item.event, item.now, unfinished=unfinished)
        sync.inherits, sync.lowers = True, sync.lowers and not sync.settled
        sync.plan_again(item.now)
        _rewrite(connection, item, EventStatus.PENDING, sync.id)
        return Replayed.DUE
    if item.force or sync.is_overtaken_by(item.arrival, item.event):
        overtaken = sync.move_to(item.arrival, item.event, item.now)
        supersede(connection, [overtaken] if overtaken is not None else [], item.now)
        _owe_again(connection, item.event, item.now)
        sync.inherits = True
        _rewrite(connection, item, EventStatus.PENDING, sync.id)
        return Replayed.DUE
    _rewrite(connection, item, EventStatus.SUPERSEDED, sync.id)
    connection.execute(
        update(adjustments)
        .where(adjustments.c.event == item.event, adjustments.c.status == AdjustmentStatus.DEAD)
        .values(status=AdjustmentStatus.SUPERSEDED)
    )
    if sync.event is not None:
        _owe_again(connection, sync.event, item.now)
        connection.execute(
            update(events)
            .where(events.c.id == sync.event)
            .values(status=EventStatus.PENDING, reason=None, detail=None, finished_at=None)
        )
    sync.inherits, sync.lowers = True, sync.lowers or item.arrival.action is Action.DOWNGRADE
    sync.plan_again(item.now)
    return Replayed.CONVERGES


def _owe_again(connection: Connection, event: int, now: int, *, unfinished: bool = False) -> None:
    """Make an event's adjustments due, each beginning with a reading of where its member stands."""
    statement = (
        update(adjustments)
        .where(adjustments.c.event == event)
        .values(status=AdjustmentStatus.DUE, due_at=now, attempts=0, verify=True, reason=None)
    )
    if unfinished:
        statement = statement.where(adjustments.c.status.in_([AdjustmentStatus.DEAD, AdjustmentStatus.DUE]))
    connection.execute(statement)


def _rewrite(connection: Connection, item: Replay, status: EventStatus, sync: int | None) -> None:
    """Store what the bytes are understood to say now."""
    finished = None if status is EventStatus.PENDING else item.now
    values = {**event_values(item.arrival), "status": status, "finished_at": finished}
    if status is EventStatus.SUPERSEDED:
        values["reason"] = "stale"
    if sync is not None:
        values["sync"] = sync
    connection.execute(update(events).where(events.c.id == item.event).values(values))
