"""The verb `replay`: stored work made due again, by the same door as the first try.

A replay plans again from the stored bytes. Replaying an event that was overtaken brings the group to its newest tier;
only `force` goes back to the tier of the event itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiersync.fanout import AdjustmentStatus
from tiersync.intake import Arrival, EventStatus, Kind
from tiersync.store.arrivals import event_values, joiner_values, key_of, wake_owing
from tiersync.store.forward import SyncRow, hold, insert_for, save, supersede
from tiersync.store.tables import adjustments, events


class Replayed(StrEnum):
    """What a replay did."""

    DUE = "due"
    CONVERGES = "converges"  # overtaken meanwhile: the newest tier change of the same primary is due instead
    UNCHANGED = "unchanged"  # still not ours to act on, or still unreadable


@dataclass(frozen=True, slots=True)
class Replay:
    """One stored event, read again at `now`. `event` is the row's id."""

    event: int
    arrival: Arrival
    force: bool
    now: int


async def replay(connection: AsyncConnection, replays: Sequence[Replay]) -> list[Replayed]:
    """Make stored events due again. One answer per event, in order."""
    return [await _replay(connection, item) for item in replays]


async def _replay(connection: AsyncConnection, item: Replay) -> Replayed:
    arrival, key = item.arrival, key_of(item.arrival)
    was = (await connection.execute(select(events.c.status).where(events.c.id == item.event))).scalar_one()
    if key is None:
        if was != EventStatus.PENDING:  # what is being worked on is not taken back by a changed setting
            await _rewrite(connection, item, arrival.status, None)
        if arrival.kind is Kind.LEAVE:
            await wake_owing(connection, arrival, item.now)
        return Replayed.UNCHANGED
    sync = (await hold(connection, {key}))[key]
    if arrival.kind is Kind.JOIN:
        owed = {**joiner_values(arrival, item.event, sync), "due_at": item.now}
        await connection.execute(insert_for(connection, adjustments).on_conflict_do_nothing(), [owed])
        await _owe_again(connection, item.event, item.now)
        await _rewrite(connection, item, EventStatus.PENDING, sync.id)
        sync.wake(item.now)
        result = Replayed.DUE
    else:
        result = await _replay_tier(connection, item, sync, EventStatus(was))
    await save(connection, [sync])
    return result


async def _replay_tier(connection: AsyncConnection, item: Replay, sync: SyncRow, was: EventStatus) -> Replayed:
    if sync.event == item.event:
        # Of a dead event only what is dead is owed again; of a finished one the caller wants everything looked at
        # again.
        unfinished = was in {EventStatus.DEAD, EventStatus.PENDING}
        await _owe_again(connection, item.event, item.now, unfinished=unfinished)
        sync.inherits = True
        sync.plan_again(item.now)
        await _rewrite(connection, item, EventStatus.PENDING, sync.id)
        return Replayed.DUE
    if item.force or sync.is_overtaken_by(item.arrival, item.event):
        overtaken = sync.move_to(item.arrival, item.event, item.now)
        await supersede(connection, [overtaken] if overtaken is not None else [], item.now)
        await _owe_again(connection, item.event, item.now)
        sync.inherits = True
        await _rewrite(connection, item, EventStatus.PENDING, sync.id)
        return Replayed.DUE
    await _rewrite(connection, item, EventStatus.SUPERSEDED, sync.id)
    await connection.execute(
        update(adjustments)
        .where(adjustments.c.event == item.event, adjustments.c.status == AdjustmentStatus.DEAD)
        .values(status=AdjustmentStatus.SUPERSEDED)
    )
    if sync.event is not None:
        await _owe_again(connection, sync.event, item.now)
        await connection.execute(
            update(events)
            .where(events.c.id == sync.event)
            .values(status=EventStatus.PENDING, reason=None, detail=None, finished_at=None)
        )
    sync.inherits = True
    sync.plan_again(item.now)
    return Replayed.CONVERGES


async def _owe_again(connection: AsyncConnection, event: int, now: int, *, unfinished: bool = False) -> None:
    """Make an event's adjustments due, each beginning with a reading of where its member stands."""
    statement = (
        update(adjustments)
        .where(adjustments.c.event == event)
        .values(status=AdjustmentStatus.DUE, due_at=now, attempts=0, verify=True, reason=None)
    )
    if unfinished:
        statement = statement.where(adjustments.c.status.in_([AdjustmentStatus.DEAD, AdjustmentStatus.DUE]))
    await connection.execute(statement)


async def _rewrite(connection: AsyncConnection, item: Replay, status: EventStatus, sync: int | None) -> None:
    """Store what the bytes are understood to say now."""
    finished = None if status is EventStatus.PENDING else item.now
    values = {**event_values(item.arrival), "status": status, "finished_at": finished}
    if status is EventStatus.SUPERSEDED:
        values["reason"] = "stale"
    if sync is not None:
        values["sync"] = sync
    await connection.execute(update(events).where(events.c.id == item.event).values(values))
