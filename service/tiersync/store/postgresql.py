"""PostgreSQL: addresses, connections that give up in time, and the same three methods as on SQLite.

`asyncpg` reads the address itself, so TLS options, several hosts and Unix sockets are written as for any other
PostgreSQL program.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncpg
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder, QuerySchedulerBuilder
from pgqueuer.queries import Queries
from sqlalchemy import URL, Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from tiersync.store import queue

SCHEMES: Final = ("postgresql", "postgres")
_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_FILES: Final = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")
_OPTIONS: Final = {
    *("host", "port", "user", "password", "dbname", "application_name", "target_session_attrs", "options"),
    *("sslmode", "sslpassword", "sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version"),
    *_FILES,
}
_CONNECT_S_MAX: Final = 10.0
_STATEMENTS_CACHED: Final = 500
# Connection lost, out of resources, told to end or out of time, system error, idle for too long, only readable, locked.
_UNAVAILABLE: Final = ("08", "53", "57", "58", "25P03", "25006", "55P03")
_CONFLICT: Final = "40"

T = TypeVar("T")


def problem(url: URL) -> str | None:
    """Say what is wrong with an address, if anything is."""
    if not url.database:
        return "must name a database after the host"
    for name, value in url.query.items():
        if name not in _OPTIONS:
            return f"{name}: there is no such option"
        if name == "sslmode" and value not in _SSL_MODES:
            return f"sslmode: must be one of {', '.join(_SSL_MODES)}"
        if name in _FILES and not Path(str(value)).is_file():
            return f"{name}: no file {value}"
    return None


def shown(url: URL) -> str:
    """Name the database without its secrets."""
    return URL.create(SCHEMES[0], url.username, None, url.host, url.port, url.database).render_as_string()


async def open_connection(url: URL, statement_s_max: float) -> Any:
    """Open one connection of the driver. Whoever freezes inside a transaction loses its locks within that time."""
    statement_ms = str(int(1000 * statement_s_max))
    return await asyncpg.connect(
        url.render_as_string(hide_password=False),
        timeout=_CONNECT_S_MAX,
        # The server's limit comes first; ours ends the wait for a server that does not answer at all.
        command_timeout=1.5 * statement_s_max,
        server_settings={
            "application_name": str(url.query.get("application_name", "tiersync")),
            "statement_timeout": statement_ms,
            "idle_in_transaction_session_timeout": statement_ms,
            "timezone": "UTC",
        },
    )


class PostgresDatabase:
    """An open PostgreSQL database: a pool of connections that writers and readers share."""

    def __init__(self, url: URL, connections_max: int, statement_s_max: float) -> None:
        """Open nothing yet: the first transaction does."""
        self._connect = partial(open_connection, url, statement_s_max)
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            connect_args={"prepared_statement_cache_size": _STATEMENTS_CACHED},
            hide_parameters=True,  # an error message must never show a body
            pool_size=connections_max,
            max_overflow=0,
            pool_timeout=statement_s_max,
        )

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction; committed and on disk when this returns, rolled back if it raises."""
        async with self._engine.begin() as connection:
            return await connection.run_sync(work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on what is committed; never waits for a writer."""
        return await self.write(work)

    @asynccontextmanager
    async def open_queue(self) -> AsyncIterator[Queries]:
        """Open a connection of its own to PgQueuer's queue, for the time of the block."""
        connection = await self._connect()
        try:
            yield Queries(
                AsyncpgDriver(connection),
                QueryBuilderEnvironment(queue.SETTINGS),
                QueryQueueBuilder(queue.SETTINGS),
                QuerySchedulerBuilder(queue.SETTINGS),
            )
        finally:
            connection.terminate()  # nothing of it is worth waiting for

    async def close(self) -> None:
        """Close the connections."""
        await self._engine.dispose()


def is_unavailable(error: DBAPIError) -> bool:
    """Tell a server that cannot be written right now from an item that it does not accept."""
    state = getattr(error.orig, "sqlstate", None)
    return error.connection_invalidated or (state is not None and state.startswith(_UNAVAILABLE))


def is_conflict(error: Exception) -> bool:
    """Tell a transaction that met another one (a deadlock): by itself it may succeed."""
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    return state is not None and state.startswith(_CONFLICT)


async def examine(url: URL, newest: str) -> tuple[bool, str]:
    """Say whether the database answers, has the schema and keeps what it has committed; changes nothing."""
    try:
        connection = await open_connection(url, _CONNECT_S_MAX)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return False, f"{shown(url)}: {error or type(error).__name__}"
    try:
        for setting in ("fsync", "synchronous_commit"):
            if await connection.fetchval("SELECT current_setting($1)", setting) == "off":
                return False, f"{shown(url)}: {setting} is off, so what was answered could be lost; set it to on"
        if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
            return False, f"{shown(url)}: schema none, run `tiersync migrate`"
        version = await connection.fetchval("SELECT version_num FROM alembic_version")
    finally:
        async with asyncio.timeout(_CONNECT_S_MAX):
            await connection.close()
    ok = version == newest
    return ok, f"{shown(url)}: schema {version}" + ("" if ok else ", run `tiersync migrate`")
