"""SQLite: durability, one server per file.

It runs with a write-ahead log and `synchronous=FULL`: every commit is on disk before it returns. Writers begin with
`BEGIN IMMEDIATE`, so that a second process (the CLI) waits for its turn instead of failing halfway.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event

from tiersync.errors import StoreBusy, StoreUnavailable

_BUSY_TIMEOUT_MS: Final = 10_000
_READERS: Final = 4

T = TypeVar("T")


class SqliteDatabase:
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


def exists(url: URL) -> bool:
    """Say whether there is a database."""
    return Path(url.database or "").is_file()


def examine(url: URL, newest: str) -> tuple[bool, str]:
    """Say whether this user can serve the file, and what it is or lacks; changes nothing, not even the journal mode."""
    path = Path(url.database or "")
    if not path.exists():
        writable = path.parent.is_dir() and os.access(path.parent, os.W_OK)
        return writable, f"{path}: " + ("will be created" if writable else "its folder is missing or cannot be written")
    if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return False, f"{path}: cannot be written by this user"
    if (version := _version(path)) != newest:
        return False, f"{path}: schema {version or 'none'}, run `tiersync migrate`"
    return True, f"{path}: schema {version}"


def _version(path: Path) -> str | None:
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        return None
    return str(row[0]) if row else None
