"""Opening the store: what is refused, in which words, and that the schema is the one that the code describes."""

import asyncio
import multiprocessing
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from tests.contract.store_kit import tier_change
from tiersync.errors import SchemaOutdated, SettingsError, StoreBusy, StoreUnavailable
from tiersync.store import Selection, WantJob, database, open_store
from tiersync.store.tables import metadata


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name an SQLite file that does not exist yet."""
    return tmp_path / "tiersync.db"


def execute(path: Path, statement: str) -> None:
    """Change the file behind the store's back."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


async def opened(path: Path, *, migrate: bool = False) -> None:
    """Open the store, probe it and close it."""
    async with open_store(database.address(f"sqlite:///{path}"), migrate=migrate) as store:
        await store.probe()


async def test_the_migrations_make_what_the_tables_describe(path: Path) -> None:
    """After migrating, the database has the tables, columns and indexes of `store.tables`, no more and no fewer."""
    await opened(path, migrate=True)

    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()

    assert [] == differences


async def test_migrating_twice_changes_nothing(path: Path) -> None:
    """A second migration of a store in use is harmless."""
    await opened(path, migrate=True)
    async with open_store(database.address(f"sqlite:///{path}")) as store:
        await store.receive(tier_change("e1"))

    await opened(path, migrate=True)

    async with open_store(database.address(f"sqlite:///{path}")) as store:
        assert 1 == await store.count_events(Selection())


def at_version(path: Path, version: str) -> None:
    """Make a database of an older version."""
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
    engine.dispose()


ANNS_REPLAY = """INSERT INTO replays (at, by, selection, force, rate, matched, replayed, finished_at)
VALUES (1000, 'ann', '{"status": "dead"}', 1, 5, 7, 7, 2000)"""
BOBS_REPLAY = """INSERT INTO replays (at, by, selection, force, rate, matched, replayed, finished_at)
VALUES (3000, 'bob', '{}', 0, NULL, 9, 4, NULL)"""


async def test_replays_of_the_first_version_are_jobs_afterwards(path: Path) -> None:
    """Who replayed what, when and how far is kept; one that was interrupted is over, for it cannot be carried on."""
    at_version(path, "0001")
    execute(path, ANNS_REPLAY)
    execute(path, BOBS_REPLAY)

    async with open_store(database.address(f"sqlite:///{path}"), migrate=True) as store:
        bob, ann = await store.jobs(10)
        free = await store.claim_job(WantJob("server", 4000, 5000))

    assert (1, "replay", 1000, "ann", {"status": "dead"}, True, 5, 7, 7, "done", 2000) == (
        *(ann.id, ann.kind, ann.at, ann.by, ann.selection, ann.force, ann.rate, ann.matched, ann.done),
        *(ann.status, ann.finished_at),
    )
    assert ("bob", False, None, 9, 4, "cancelled", 3000, {}) == (
        *(bob.by, bob.force, bob.rate, bob.matched, bob.done, bob.status, bob.finished_at, bob.counts),
    )
    assert free is None


@pytest.mark.parametrize("migrate", [False, True])
async def test_a_schema_of_another_version_is_refused(path: Path, *, migrate: bool) -> None:
    """A newer schema that has taken away what this program uses is refused with a sentence, migrating or not."""
    await opened(path, migrate=True)
    execute(path, "UPDATE alembic_version SET version_num = '9999'")
    execute(path, "UPDATE compatibility SET oldest = '9999'")

    with pytest.raises(SchemaOutdated, match="9999"):
        await opened(path, migrate=migrate)


async def test_an_empty_database_wants_migrating(path: Path) -> None:
    """Without `migrate` a database that has no schema is refused, and the sentence names the verb."""
    with pytest.raises(SchemaOutdated, match="tiersync migrate"):
        await opened(path)


async def test_a_schema_that_changes_under_a_running_store_shows(path: Path) -> None:
    """A probe notices that somebody migrated the database away meanwhile."""
    async with open_store(database.address(f"sqlite:///{path}"), migrate=True) as store:
        await store.probe()
        execute(path, "UPDATE alembic_version SET version_num = '9999'")
        execute(path, "UPDATE compatibility SET oldest = '9999'")

        with pytest.raises(SchemaOutdated):
            await store.probe()


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Make a file that is no database."""
    file = tmp_path / "broken.db"
    file.write_bytes(b"this is no database" * 100)
    return file


async def test_what_cannot_be_opened_is_unavailable(broken: Path) -> None:
    """A folder instead of a file, a missing folder and a file that is no database are errors that name the file."""
    for wrong in (broken.parent, broken.parent / "missing" / "tiersync.db", broken):
        with pytest.raises(StoreUnavailable, match=wrong.name):
            await opened(wrong, migrate=True)


async def test_a_damaged_store_refuses_and_does_not_pretend(path: Path) -> None:
    """When tables are gone under a running store, reading and writing are refused as unavailable."""
    async with open_store(database.address(f"sqlite:///{path}"), migrate=True) as store:
        for table in ("adjustments", "events"):
            execute(path, f"DROP TABLE {table}")

        with pytest.raises(StoreUnavailable):
            await store.list_events(Selection(), 10)
        with pytest.raises(StoreUnavailable):
            await store.receive(tier_change("e1"))


async def test_a_writer_beside_waits_for_its_turn(path: Path) -> None:
    """Another process that writes delays a delivery; it does not make it fail."""
    async with open_store(database.address(f"sqlite:///{path}"), migrate=True) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        delivery = asyncio.create_task(store.receive(tier_change("e1")))
        await asyncio.wait([delivery], timeout=0.1)
        waited = not delivery.done()
        other.execute("COMMIT")
        other.close()

        answer = await asyncio.wait_for(delivery, 20)

    assert waited
    assert "accepted" == answer.receipt


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://host/db",
        "sqlite+pysqlite:///x.db",
        "postgresql+psycopg://host/db",
        "postgresql://host",
    ],
)
def test_an_address_that_is_none_is_refused_with_an_example(url: str) -> None:
    """Whatever is neither an SQLite file nor a PostgreSQL database is refused; the sentence shows right ones."""
    with pytest.raises(SettingsError, match=r"TIERSYNC_DATABASE_URL.*Example: TIERSYNC_DATABASE_URL=sqlite:////"):
        database.address(url)


def _hold(path: str, held: "multiprocessing.synchronize.Event", ended: "multiprocessing.synchronize.Event") -> None:
    with database.only_server(database.address(f"sqlite:///{path}")):
        held.set()
        ended.wait(20)


def test_one_file_has_one_server(path: Path) -> None:
    """While a process serves the file nobody else may, here or elsewhere; when it ends, the next may."""
    context = multiprocessing.get_context("spawn")
    held, ended = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(str(path), held, ended))
    other.start()
    try:
        assert held.wait(20)

        with (
            pytest.raises(StoreBusy, match=f"tiersync.db is served already, by process {other.pid}"),
            database.only_server(database.address(f"sqlite:///{path}")),
        ):
            pass
    finally:
        ended.set()
        other.join(20)

    with database.only_server(database.address(f"sqlite:///{path}")):
        pass
