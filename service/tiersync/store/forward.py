"""How a sync moves forward: the one rule that `receive` and `replay` share.

`SyncRow` is a row of `syncs` held by the running transaction; `hold` locks rows and `save` writes back what changed.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from sqlalchemy import Connection, Table, bindparam, select, update
from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from tiersync.fanout import AdjustmentStatus
from tiersync.intake import Arrival, EventStatus
from tiersync.store import queue
from tiersync.store.statements import Many, among_keys
from tiersync.store.tables import adjustments, events, syncs
from tiersync.webhook import Action

Key = tuple[int, int, int]
"""(org, program, primary's customer id): the unit of work."""


@dataclass(slots=True)
class SyncRow:
    """What is known of one key, while its row is held."""

    id: int
    org: int
    program: int
    customer: int
    generation: int
    event: int | None
    changed_at: int
    event_log_id: int
    action: str | None
    tier_number: int | None
    tier_name: str | None
    expiry: date | None
    inherits: bool
    lowers: bool
    settled: bool
    attempt: int
    due_at: int | None
    owner: str | None
    fence: int
    changed: bool = field(default=False, compare=False)

    def is_overtaken_by(self, arrival: Arrival, event: int) -> bool:
        """Newer means greater createdAt, then greater eventLogId, then later arrival (a greater row id)."""
        newest = (self.changed_at, self.event_log_id, self.event or 0)
        return (arrival.changed_at, _log_id(arrival), event) > newest

    def move_to(self, arrival: Arrival, event: int, now: int) -> int | None:
        """Make `event` what should be true; return the unfinished event that it overtook, if any."""
        overtaken = self.event if self.event is not None and not self.settled else None
        self.inherits = overtaken is not None
        self.lowers = self.inherits and (self.lowers or self.action == Action.DOWNGRADE)
        self.event = event
        self.action = arrival.action.value if arrival.action else None
        self.tier_number, self.tier_name, self.expiry = arrival.tier_number, arrival.tier_name, arrival.expiry
        # A forced step back keeps the newest instant: what is truly newer must still win.
        self.changed_at, self.event_log_id = max(
            (self.changed_at, self.event_log_id), (arrival.changed_at, _log_id(arrival))
        )
        self.plan_again(now)
        return overtaken

    def plan_again(self, now: int) -> None:
        """Make the newest tier change due once more, from its members onwards."""
        self.generation += 1
        self.attempt = 0
        self.settled = False
        self.wake(now)

    def wake(self, now: int) -> None:
        """Make the key due. A lease stays (the release looks again), and so does the wait after a failed attempt."""
        self.changed = True
        if self.owner is None and (self.attempt == 0 or self.due_at is None):
            self.due_at = now


def _log_id(arrival: Arrival) -> int:
    return -1 if arrival.event_log_id is None else arrival.event_log_id


_COLUMNS: Final = [syncs.c[name] for name in SyncRow.__dataclass_fields__ if name != "changed"]
_SAVED: Final = [
    name
    for name in SyncRow.__dataclass_fields__
    if name not in {"id", "org", "program", "customer", "owner", "fence", "changed"}
]


def insert_for(dialect: str, table: Table) -> SqliteInsert | PostgresqlInsert:
    """An INSERT that knows ON CONFLICT, in the dialect of that name."""
    return postgresql_insert(table) if dialect == "postgresql" else sqlite_insert(table)


_CREATE: Final = Many(lambda dialect: insert_for(dialect, syncs).on_conflict_do_nothing())


def hold(connection: Connection, keys: Collection[Key]) -> dict[Key, SyncRow]:
    """Lock the rows of `keys`, in one order for everybody; create those that do not exist."""
    if not keys:
        return {}
    held = _select(connection, keys)
    if missing := sorted(set(keys) - held.keys()):
        rows = [{"org": org, "program": program, "customer": customer} for org, program, customer in missing]
        _CREATE(connection, rows)
        held |= _select(connection, missing)
    return held


def _select(connection: Connection, keys: Collection[Key]) -> dict[Key, SyncRow]:
    wanted = [(customer, program, org) for org, program, customer in keys]
    found = connection.execute(_SELECT, {"_keys": wanted})
    return {(row.org, row.program, row.customer): SyncRow(*row) for row in found}


_SELECT: Final = (
    select(*_COLUMNS)
    .where(among_keys(syncs.c.customer, syncs.c.program, syncs.c.org, name="_keys"))
    .order_by(syncs.c.id)
    .with_for_update()
)


def save(connection: Connection, held: Iterable[SyncRow]) -> None:
    """Write back the rows that changed, and enqueue those that are due."""
    if changed := [row for row in held if row.changed]:
        _SAVE(connection, [{"_id": row.id, **{name: getattr(row, name) for name in _SAVED}} for row in changed])
        queue.enqueue(connection, [row.id for row in changed])


_SAVE: Final = Many(
    lambda _: update(syncs).where(syncs.c.id == bindparam("_id")).values({name: bindparam(name) for name in _SAVED})
)


def supersede(connection: Connection, overtaken: Collection[int], now: int) -> None:
    """Close events that a newer tier change overtook before they finished, and drop what they still owed."""
    if not overtaken:
        return
    connection.execute(
        update(events)
        .where(events.c.id.in_(overtaken), events.c.status == EventStatus.PENDING)
        .values(status=EventStatus.SUPERSEDED, reason="overtaken", finished_at=now)
    )
    connection.execute(
        update(adjustments)
        .where(adjustments.c.event.in_(overtaken), adjustments.c.status == AdjustmentStatus.DUE)
        .values(status=AdjustmentStatus.SUPERSEDED, reason="overtaken", due_at=None)
    )
