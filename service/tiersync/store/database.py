"""Which database: an SQLite file or a PostgreSQL database. Behind the same three methods they are alike."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError

from tiersync.errors import SettingsError
from tiersync.store import postgresql, schema, sqlite
from tiersync.store.postgresql import PostgresDatabase
from tiersync.store.sqlite import SqliteDatabase

VARIABLE: Final = "TIERSYNC_DATABASE_URL"
_EXAMPLES: Final = (
    f"Example: {VARIABLE}=sqlite:////var/lib/tiersync/tiersync.db "
    f"or {VARIABLE}=postgresql://tiersync:secret@db.internal/tiersync?sslmode=verify-full"
)

T = TypeVar("T")


class Database(Protocol):
    """An open database. A transaction is one plain function of a connection."""

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction; committed and on disk when this returns, rolled back if it raises."""
        ...

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on what is committed; never waits for a writer."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process takes of a PostgreSQL server: connections, and seconds of one statement."""

    connections_max: int = 8
    statement_s_max: float = 10


def address(database_url: str) -> URL:
    """Check a database address; raise `SettingsError` with an example if it is not one that tiersync can use."""
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        url = None
    if url is not None and url.drivername in postgresql.SCHEMES:
        if problem := postgresql.problem(url):
            raise SettingsError(f"{VARIABLE}: {problem}. {_EXAMPLES}")
        return url.set(drivername=postgresql.SCHEMES[0])
    if url is None or url.drivername != "sqlite" or not url.database or url.database == ":memory:":
        raise SettingsError(f"{VARIABLE}: must name an SQLite file or a PostgreSQL database. {_EXAMPLES}")
    return url


def is_shared(url: URL) -> bool:
    """Say whether several processes may serve this database at once."""
    return url.drivername != "sqlite"


def shown(url: URL) -> str:
    """Name the database to a person, without the password."""
    return postgresql.shown(url) if is_shared(url) else str(url.database)


def connect(url: URL, limits: Limits) -> PostgresDatabase | SqliteDatabase:
    """Prepare the connections; the first transaction opens one."""
    if is_shared(url):
        return PostgresDatabase(url, limits.connections_max, limits.statement_s_max)
    return SqliteDatabase(url)


@contextmanager
def only_server(url: URL) -> Iterator[None]:
    """Hold an SQLite file as its only server; a PostgreSQL database may have many. Raises `StoreBusy`."""
    if is_shared(url):
        yield
    else:
        with sqlite.only_server(url):
            yield


def exists(url: URL) -> bool:
    """Say whether there is a database to open; of a PostgreSQL one, opening it says."""
    return is_shared(url) or sqlite.exists(url)


async def examine(url: URL) -> tuple[bool, str]:
    """Say whether the database can be served, and what it is or lacks; changes nothing."""
    if is_shared(url):
        return await postgresql.examine(url, schema.newest_version())
    return sqlite.examine(url, schema.newest_version())
