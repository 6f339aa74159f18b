"""PgQueuer's queue on PostgreSQL: a key that becomes due is enqueued in the transaction that makes it due.

A key has at most one job. The queue is a hint, so its tables are not logged: after a crash of the database it is
empty, and the sweep fills it again. On SQLite there is no queue; the in-process engine is told directly.
"""

from collections.abc import Collection, Iterable
from typing import Final

from pgqueuer.adapters.persistence.schema_ddl import render_converge, render_uninstall
from pgqueuer.domain.schema.queue import dedupe_predicate
from pgqueuer.domain.settings import DBSettings, Durability
from pgqueuer.domain.types import Channel
from sqlalchemy import Connection, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger

SETTINGS: Final = DBSettings(
    # All of them by name: PGQUEUER_* in the environment must not move the queue away from its statements.
    prefix="",
    db_schema=None,
    channel=Channel("ch_pgqueuer"),
    function="fn_pgqueuer_changed",
    statistics_table="pgqueuer_statistics",
    queue_status_type="pgqueuer_status",
    queue_table="pgqueuer",
    queue_table_log="pgqueuer_log",
    trigger="tg_pgqueuer_changed",
    schedules_table="pgqueuer_schedules",
    durability=Durability.volatile,
    widen_id=True,
)


def install(connection: Connection) -> None:
    """Bring PgQueuer's objects to what the installed PgQueuer needs, whatever is there already."""
    if _is_here(connection):
        for statement in render_converge(SETTINGS):
            connection.exec_driver_sql(statement)


def remove(connection: Connection) -> None:
    """Drop PgQueuer's objects."""
    if _is_here(connection):
        for statement in render_uninstall(SETTINGS).splitlines():
            connection.exec_driver_sql(statement)


AHEAD_MS: Final = 2000
"""What is due later than this is enqueued by a sweep before its time comes: the queue holds what can be done soon."""

_NAMES: Final = SETTINGS.qualified
_WAITS: Final = dedupe_predicate(SETTINGS)
_INSERT: Final = f"""
INSERT INTO {_NAMES.queue_table} AS job (priority, entrypoint, payload, dedupe_key, status, execute_after)
SELECT 0, org::text, convert_to(id::text, 'UTF8'), id::text, 'queued',
    greatest(now(), to_timestamp(due_at / 1000.0))
"""
_SOON: Final = f"(extract(epoch FROM clock_timestamp()) * 1000 + {AHEAD_MS})::bigint"

# PgQueuer's own enqueue can skip a duplicate; it cannot bring a job forward, nor back from a worker about to end.
_ENQUEUE: Final = text(
    f"""{_INSERT}
FROM syncs WHERE id = ANY(:ids) AND owner IS NULL AND due_at <= {_SOON} ORDER BY id
ON CONFLICT (dedupe_key) WHERE {_WAITS} DO UPDATE
SET status = 'queued', queue_manager_id = NULL, execute_after = excluded.execute_after
WHERE job.status = 'picked' OR job.execute_after > excluded.execute_after"""
).bindparams(bindparam("ids", type_=ARRAY(BigInteger)))

_DROP: Final = text(
    f"DELETE FROM {_NAMES.queue_table} WHERE dedupe_key = ANY(:keys) AND status = 'picked'"  # noqa: S608
).bindparams(bindparam("keys", type_=ARRAY(Text)))

# A lease that has ended counts as well; one that still runs will be prolonged or released.
_REBUILD: Final = text(
    f"""{_INSERT}
FROM (
    SELECT id, org, due_at FROM syncs
    WHERE org = :org AND due_at <= CASE WHEN owner IS NULL THEN {_SOON} ELSE :now END
    ORDER BY due_at LIMIT :limit
) AS due
WHERE NOT EXISTS (SELECT FROM {_NAMES.queue_table} AS waiting WHERE waiting.dedupe_key = due.id::text AND {_WAITS})
ORDER BY due_at
ON CONFLICT (dedupe_key) WHERE {_WAITS} DO NOTHING"""  # noqa: S608
)
_LOCK: Final = 0x73776565  # "swee": one replica sweeps at a time


def _is_here(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def enqueue(connection: Connection, ids: Collection[int]) -> None:
    """Have these keys worked on when they are due; one that is held is its worker's, whose release looks again."""
    if ids and _is_here(connection):
        connection.execute(_ENQUEUE, {"ids": list(ids)})


def drop(connection: Connection, ids: Collection[int]) -> None:
    """Forget the jobs that brought these keys to a worker; one that was enqueued again meanwhile stays."""
    if ids and _is_here(connection):
        connection.execute(_DROP, {"keys": [str(id_) for id_ in ids]})


def refresh(connection: Connection, ids: Collection[int]) -> None:
    """End the jobs of keys that were released, and enqueue those that are due again."""
    drop(connection, ids)
    enqueue(connection, ids)


def rebuild(connection: Connection, orgs: Iterable[int], now: int, limit: int) -> None:
    """Enqueue the due keys that have no job, so many of each org at the most."""
    if connection.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOCK}):
        for org in orgs:
            connection.execute(_REBUILD, {"org": org, "now": now, "limit": limit})
