"""Leases: a claim holds a key until an instant, and whoever works prolongs it.

A key whose lease has ended without a release was held by somebody who died, froze or lost the database. What that one
had sent and not settled may have had its effect: it is read back before it is sent again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, select, update

from tiersync.fanout import AdjustmentStatus
from tiersync.store import queue
from tiersync.store.statements import among
from tiersync.store.tables import adjustments, syncs


@dataclass(frozen=True, slots=True)
class Renewal:
    """Prolong the lease that `fence` stands for until `until`, epoch milliseconds."""

    sync: int
    fence: int
    until: int


def lock_due(connection: Connection, ids: Collection[int], now: int) -> list[int]:
    """Lock those of these keys that are due and that nobody else is at; with SQLite's one writer nobody else can be."""
    if connection.dialect.name == "sqlite":
        return list(ids)
    return list(connection.execute(_LOCK_DUE, {"_ids": list(ids), "_now": now}).scalars())


_LOCK_DUE: Final = (
    select(syncs.c.id)
    .where(among(syncs.c.id, "_ids"), syncs.c.due_at <= bindparam("_now"))
    .order_by(syncs.c.id)
    .with_for_update(skip_locked=True)
)


def doubt(connection: Connection, ids: Collection[int], now: int) -> None:
    """Have what these keys owe read back first: whoever held them may have sent it."""
    if ids:
        connection.execute(_DOUBT, {"_ids": list(ids), "_now": now})


_DOUBT: Final = (
    update(adjustments)
    .where(adjustments.c.sync.in_(bindparam("_ids", expanding=True)), adjustments.c.status == AdjustmentStatus.DUE)
    .where(adjustments.c.due_at <= bindparam("_now"))
    .values(verify=True)
)


def renew(connection: Connection, renewals: Sequence[Renewal]) -> list[bool]:
    """Prolong leases. False for one that is held no longer: somebody else claimed the key, or it was released."""
    ids = [item.sync for item in renewals]
    held = {row.id: row.fence for row in connection.execute(_HELD, {"_ids": ids})}
    answers = [held.get(item.sync) == item.fence for item in renewals]
    good = [{"_id": item.sync, "due_at": item.until} for item, good in zip(renewals, answers, strict=True) if good]
    if good:
        connection.execute(_PROLONG, good)
    return answers


_HELD: Final = (
    select(syncs.c.id, syncs.c.fence)
    .where(among(syncs.c.id, "_ids"), syncs.c.owner.is_not(None))
    .order_by(syncs.c.id)
    .with_for_update()
)
_PROLONG: Final = update(syncs).where(syncs.c.id == bindparam("_id")).values(due_at=bindparam("due_at"))


def reclaim(connection: Connection, times: Sequence[int]) -> list[None]:
    """Free every claim, for a process that knows it is the only one."""
    now = max(times)
    held = list(connection.execute(select(syncs.c.id).where(syncs.c.owner.is_not(None))).scalars())
    doubt(connection, held, now)
    connection.execute(update(syncs).where(syncs.c.owner.is_not(None)).values(owner=None, due_at=now))
    queue.enqueue(connection, held)
    return [None] * len(times)
