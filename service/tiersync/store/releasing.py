"""The verb `release`: the key is free, its finished events are closed, and it is due again when it should be."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, select, update

from tiersync.fanout import AdjustmentStatus
from tiersync.intake import EventStatus
from tiersync.store import queue
from tiersync.store.claims import Claim, holding
from tiersync.store.statements import Many
from tiersync.store.tables import adjustments, events, syncs
from tiersync.store.work import Settlement, settle


@dataclass(frozen=True, slots=True)
class Release:
    """The end of a claim.

    Without more, the key is due when its next adjustment is. `retry_at`: the attempt failed before anything could be
    planned. `close`: nothing of it is to be done, for `reason`. `not_before`: Capillary is away, and no call is made
    earlier. `settlements`: the last outcomes, which are written down first.
    """

    claim: Claim
    now: int
    retry_at: int | None = None
    not_before: int = 0
    close: EventStatus | None = None
    reason: str | None = None
    detail: str | None = None
    settlements: Sequence[Settlement] = ()


@dataclass(slots=True)
class _Tally:
    """What the adjustments of one pending event come to: when the next is due, and whether and why any is dead."""

    next_at: int | None = None
    dead: bool = False
    reason: str | None = None


@dataclass(slots=True)
class _End:
    """What one release writes: the rows of events that are finished, of what these still owed, and of the key."""

    sync: dict[str, Any]
    events: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)


def release(connection: Connection, releases: Sequence[Release]) -> list[int | None]:
    """End claims: finish the events that owe nothing more, and say when the key is due next (None: not at all)."""
    settle(connection, [item.settlements for item in releases if item.settlements])
    rows = holding(connection, (item.claim for item in releases))
    held = [item for item in releases if (row := rows.get(item.claim.sync)) and row.fence == item.claim.fence]
    pending = _pending(connection, {item.claim.sync for item in held})
    ends = [_end(item, rows[item.claim.sync], pending[item.claim.sync]) for item in held]
    _END(connection, [event for end in ends for event in end.events])
    _DROP(connection, [event for end in ends for event in end.dropped])
    _FREE(connection, [end.sync for end in ends])
    queue.refresh(connection, [end.sync["_id"] for end in ends])
    due = {end.sync["_id"]: end.sync["due_at"] for end in ends}
    return [due.get(item.claim.sync) for item in releases]


def _end(item: Release, row: Any, pending: Mapping[int, _Tally]) -> _End:
    """Decide what becomes of a key and of its pending events."""
    moved = row.generation != item.claim.generation
    close = None if moved else item.close
    # What is closed without a plan is not to be planned when something else wakes the key.
    planned = row.planned if close is None else row.generation
    end = _End({"_id": row.id, "planned": planned, "settled": row.settled})
    next_at = [item.now] if moved else []
    for event, tally in pending.items():
        detail = None
        if close is not None and event <= item.claim.newest:  # of a later one the worker knows nothing
            status, reason, detail = close, item.reason, item.detail
            dropped = AdjustmentStatus.DEAD if close is EventStatus.DEAD else AdjustmentStatus.SKIPPED
            end.dropped.append({"_event": event, "status": dropped, "reason": reason})
        elif event == row.event and planned != row.generation:
            next_at.append(item.now)
            continue
        elif tally.next_at is not None:
            next_at.append(tally.next_at)
            continue
        else:
            status, reason = (EventStatus.DEAD, tally.reason) if tally.dead else (EventStatus.DONE, None)
        if event == row.event:
            end.sync["settled"] = status is not EventStatus.DEAD
        end.events.append({"_id": event, "status": status, "reason": reason, "detail": detail, "at": item.now})
    failed = item.retry_at is not None and not moved
    due_at = item.retry_at if failed else min(next_at, default=None)
    end.sync["due_at"] = None if due_at is None else max(due_at, item.not_before)
    end.sync["attempt"] = item.claim.attempt + 1 if failed else 0
    return end


_END: Final = Many(
    lambda _: (
        update(events)
        .where(events.c.id == bindparam("_id"))
        .values({name: bindparam(name) for name in ("status", "reason")} | {"finished_at": bindparam("at")})
        .values(detail=func.coalesce(bindparam("detail"), events.c.detail))
    )
)
_DROP: Final = Many(
    lambda _: (
        update(adjustments)
        .where(adjustments.c.event == bindparam("_event"), adjustments.c.status == AdjustmentStatus.DUE)
        .values(status=bindparam("status"), reason=bindparam("reason"), due_at=None)
    )
)
_FREE: Final = Many(
    lambda _: (
        update(syncs)
        .where(syncs.c.id == bindparam("_id"))
        .values({name: bindparam(name) for name in ("due_at", "planned", "settled", "attempt")} | {"owner": None})
    )
)


def _pending(connection: Connection, ids: Collection[int]) -> dict[int, dict[int, _Tally]]:
    """Each key's pending events, in the order of arrival. Joins may be as many as a group has members."""
    pending: dict[int, dict[int, _Tally]] = {id_: {} for id_ in ids}
    for row in connection.execute(_PENDING, {"_ids": list(ids)}):
        pending[row.sync][row.id] = _Tally()
    for sync, event, status, next_at, reason in connection.execute(_OWING, {"_ids": list(ids)}):
        tally = pending[sync][event]
        if status == AdjustmentStatus.DUE:
            tally.next_at = next_at
        else:
            tally.dead, tally.reason = True, reason
    return pending


_PENDING: Final = (
    select(events.c.id, events.c.sync)
    .where(events.c.sync.in_(bindparam("_ids", expanding=True)), events.c.status == EventStatus.PENDING)
    .order_by(events.c.id)
)
_owing: Final = adjustments.c
_OWING: Final = (
    select(events.c.sync, _owing.event, _owing.status, func.min(_owing.due_at), func.min(_owing.reason))
    .join(events, events.c.id == _owing.event)
    .where(events.c.sync.in_(bindparam("_ids", expanding=True)), events.c.status == EventStatus.PENDING)
    .where(_owing.status.in_([AdjustmentStatus.DUE, AdjustmentStatus.DEAD]))
    .group_by(events.c.sync, _owing.event, _owing.status)
)
