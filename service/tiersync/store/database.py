"""Opening the database: addresses, durability, one server per SQLite file, schema version.

SQLite runs with a write-ahead log and `synchronous=FULL`: every commit is on disk before it returns. Writers begin
with `BEGIN IMMEDIATE`, so that a second process (the CLI) waits for its turn instead of failing halfway.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from tiersync.errors import SchemaOutdated, SettingsError, StoreBusy, StoreUnavailable

_MIGRATIONS: Final = Path(__file__).with_name("migrations")
_BUSY_TIMEOUT_MS: Final = 10_000
_READERS: Final = 4

T = TypeVar("T")


def address(database_url: str) -> URL:
    """Check a database address; raise `SettingsError` with an example if it is not one that tiersync can use."""
    try:
        url = make_url(database_url)
    except ArgumentError:
        url = None
    if url is None or url.drivername != "sqlite" or not url.database or url.database == ":memory:":
        raise SettingsError(
            "TIERSYNC_DATABASE_URL: must name an SQLite file. "
            "Example: TIERSYNC_DATABASE_URL=sqlite:////var/lib/tiersync/tiersync.db"
        )
    return url


class Database:
    """An open SQLite file: one thread that writes, a few that read.

    A transaction is one plain function of a connection, run in one go in a thread of its own: the event loop waits for
    the disk only once, not for each statement.
    """

    def __init__(self, url: URL) -> None:
        """Open nothing yet: the first transaction does."""
        self._writing, self._reading = _engine(url, "BEGIN IMMEDIATE", 1), _engine(url, "BEGIN", _READERS)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-write")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="store-read")

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction; committed and on disk when this returns, rolled back if it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, _transaction, self._writing, work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on what is committed; never waits for a writer."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, _transaction, self._reading, work)

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.to_thread(self._shut)

    def _shut(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self._writing.dispose()
        self._reading.dispose()


def _transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    with engine.begin() as connection:
        return work(connection)


def _engine(url: URL, begin: str, connections: int) -> Engine:
    # hide_parameters: an error message must never show a body.
    engine = create_engine(url, hide_parameters=True, pool_size=connections, max_overflow=0)
    event.listen(engine, "connect", _make_durable)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _make_durable(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={_BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@contextmanager
def only_server(url: URL) -> Iterator[None]:
    """Hold the SQLite file as its only server; raise `StoreBusy` if another process serves it already.

    The lock belongs to the process, not to the file's existence: it ends with the process, however that ends.
    """
    assert url.database is not None  # noqa: S101 - `address` saw to it
    path = Path(url.database).with_name(Path(url.database).name + ".lock")
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreUnavailable(f"TIERSYNC_DATABASE_URL: cannot write beside {url.database}: {error.strerror}") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise StoreBusy(
                f"{url.database} is served already, by process {holder}. One SQLite file has one server; "
                "stop that one, or give this one its own TIERSYNC_DATABASE_URL."
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def _alembic(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def migrate(connection: Connection) -> str:
    """Bring the schema to the newest version, inside the caller's transaction; return that version.

    Raises `SchemaOutdated` for a schema that a later version of tiersync made.
    """
    config = _alembic(connection)
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise SchemaOutdated(
            f"the schema was made by another version of tiersync ({error}): install that one, or restore a backup"
        ) from None
    return newest_version()


@cache
def newest_version() -> str:
    """The schema version that this program needs."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return ScriptDirectory.from_config(config).get_current_head() or ""


def current_version(connection: Connection) -> str | None:
    """The schema version that the database has, or None if it has none."""
    return MigrationContext.configure(connection).get_current_revision()


def exists(url: URL) -> bool:
    """Say whether there is a database."""
    return Path(url.database or "").is_file()


def may_write(path: Path) -> bool:
    """Say whether this user may write there."""
    return os.access(path, os.W_OK)


def peek(url: URL) -> str | None:
    """Read the schema version without changing anything, not even the journal mode; None if there is none."""
    if not exists(url):
        return None
    try:
        with closing(sqlite3.connect(f"file:{quote(url.database or '')}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        return None
    return str(row[0]) if row else None
