"""What only PostgreSQL has: addresses, several that start at once, rolling updates, a role with few rights, locks."""

import asyncio
import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tests.contract.store_kit import ANN, BOB, NOW, Hand, join, tier_change
from tests.journey.kit import town
from tests.postgres import Postgres, server
from tiersync import app, settings
from tiersync.app import Role
from tiersync.cli.checks import examine
from tiersync.clock import SharedClock
from tiersync.errors import SchemaOutdated, SettingsError, StoreUnavailable
from tiersync.intake import Arrival
from tiersync.store import Replay, Replayed, Selection, database, open_store, schema
from tiersync.store.database import Limits, connect
from tiersync.store.tables import metadata

DATABASES = ("postgresql",)
GRANTS = re.search(r"```sql\n(.*?)```", Path("docs/operating.md").read_text(), re.DOTALL)


def behind(postgres: Postgres, url: str, *statements: str) -> list[Any]:
    """Change the database behind the store's back, as its superuser."""
    return postgres.execute(*statements, database=url.rsplit("/", 1)[1])


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql://db:port/tiersync", "must name an SQLite file or a PostgreSQL database"),
        ("postgresql://db", "must name a database after the host"),
        ("postgres://db/tiersync?sslmod=require", "sslmod: there is no such option"),
        ("postgresql://db/tiersync?sslmode=strict", "sslmode: must be one of disable, allow, prefer, require"),
        ("postgresql://db/tiersync?sslrootcert=/missing/ca.pem", "sslrootcert: no file /missing/ca.pem"),
    ],
)
def test_a_wrong_address_is_refused_with_what_is_wrong(address: str, said: str) -> None:
    """The sentence names the setting, the part of it and a right one; it shows no password."""
    with pytest.raises(SettingsError, match=rf"TIERSYNC_DATABASE_URL: {re.escape(said)}.*Example: ") as refused:
        database.address(address.replace("://", "://user:hidden@"))

    assert "hidden" not in str(refused.value)


def test_both_schemes_and_every_usual_option_are_taken() -> None:
    """An address is written as for any other PostgreSQL program; what is shown of it has no secret."""
    url = database.address(
        "postgres://me:s%40cret@/tiersync?host=a:1,b:2&sslmode=verify-full&target_session_attrs=read-write"
    )

    assert "postgresql" == url.drivername
    assert "cret" not in database.shown(url)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda url: url.set(port=9), "Connect"),
        (lambda url: url.set(database="missing"), 'database "missing" does not exist'),
        (lambda url: url.update_query_dict({"sslmode": "require"}), "rejected SSL upgrade"),
    ],
)
async def test_what_cannot_be_opened_says_why(database_url: str, change: Any, said: str) -> None:
    """The error and the doctor name the database and the reason."""
    url = change(database.address(database_url))

    with pytest.raises(StoreUnavailable, match=rf"cannot open postgresql://.*{said}"):
        async with open_store(url):
            pass
    ok, detail = await database.examine(url)

    assert not ok
    assert said in detail


async def test_the_migrations_make_what_the_tables_describe(database_url: str) -> None:
    """After migrating, the database has the tables, columns and indexes of `store.tables`, besides PgQueuer's."""

    def differences(connection: Connection) -> list[Any]:
        options = {"include_name": lambda name, _kind, _of: not (name or "").startswith("pgqueuer")}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    opened = connect(database.address(database_url), Limits())
    found = await opened.read(differences)
    await opened.close()

    assert [] == found


async def test_several_may_start_at_once(postgres: Postgres) -> None:
    """Replicas that start together on an empty database do not disturb each other: one migrates, the others wait."""
    postgres.execute("CREATE DATABASE empty TEMPLATE template0")
    url = database.address(postgres.url("empty"))

    async def start() -> None:
        async with open_store(url, migrate=True) as store:
            await store.probe()

    await asyncio.gather(*(start() for _ in range(4)))

    assert [(schema.newest_version(),)] == [
        tuple(row) for row in postgres.execute("SELECT version_num FROM alembic_version", database="empty")
    ]


async def test_an_expanded_schema_does_not_disturb_who_runs(postgres: Postgres, database_url: str) -> None:
    """During a rolling update the old program goes on, and may be started again, while the new schema is there."""
    url = database.address(database_url)
    async with open_store(url) as store:
        hand = Hand(store)
        key = await hand.due(tier_change("e1"))
        behind(
            postgres,
            database_url,
            "ALTER TABLE syncs ADD COLUMN later text",
            "ALTER TABLE events ADD COLUMN later bigint NOT NULL DEFAULT 0",
            "ALTER TABLE adjustments ADD COLUMN later jsonb",
            "UPDATE alembic_version SET version_num = '9999'",
        )

        await store.probe()
        await hand.finished(key, [1, 2])
        await hand.received(tier_change("e2", NOW + 1))
        async with open_store(url, migrate=True) as again:
            found = await again.count_events(Selection())

    assert 2 == found


async def test_a_contracted_schema_stops_who_is_too_old(postgres: Postgres, database_url: str) -> None:
    """What a later version took away is not missed by chance: readiness says so, and the old program does not start."""
    url = database.address(database_url)
    async with open_store(url) as store:
        behind(
            postgres,
            database_url,
            "UPDATE alembic_version SET version_num = '9999'",
            "UPDATE compatibility SET oldest = '9999'",
        )

        with pytest.raises(SchemaOutdated, match="later version"):
            await store.probe()
    with pytest.raises(SchemaOutdated, match="later version"):
        async with open_store(url, migrate=True):
            pass


async def test_a_role_without_rights_is_enough(postgres: Postgres, database_url: str) -> None:
    """A service whose role has only what docs/operating.md grants works from the webhook to the last adjustment."""
    assert GRANTS is not None
    statements = [part.strip() for part in GRANTS[1].split(";") if part.strip()]
    behind(postgres, database_url, "DROP ROLE IF EXISTS tiersync", *statements)
    granted = postgres.url(database_url.rsplit("/", 1)[1], "tiersync")
    try:
        async with town(granted, calls_per_minute_max=1000) as here:
            of = here.newcomers(3)
            await here.seed(of.seed())
            await here.deliver(here.tier_event(of.primary, 2))
            await here.quiet()
            followers = await here.followers(of)
        opened = connect(database.address(granted), Limits())
        with pytest.raises(DBAPIError, match="must be owner"):
            await opened.write(lambda connection: connection.exec_driver_sql("DROP TABLE events"))
        await opened.close()
    finally:
        behind(postgres, database_url, "DROP OWNED BY tiersync", "DROP ROLE tiersync")

    assert {"Gold"} == followers


async def test_two_that_lock_in_opposite_order_do_not_wait_for_each_other(database_url: str) -> None:
    """Replicas whose batches want the same keys take turns; nobody's delivery or turn is refused."""
    url = database.address(database_url)
    async with open_store(url) as one, open_store(url) as other:
        hands = Hand(one), Hand(other)
        keys = [await hands[0].due(tier_change(f"e{number}", customer=number)) for number in range(1, 21)]
        claims = [[await hand.claimed(key) for key in keys[side::2]] for side, hand in enumerate(hands)]

        for round_ in range(10):
            await asyncio.gather(
                *(hand.planned(claim, []) for hand, held in zip(hands, claims, strict=True) for claim in held),
                *(
                    hand.received(tier_change(f"{side}-{round_}-{number}", 0, customer=number))
                    for side, hand in enumerate(hands)
                    for number in (range(1, 21) if side else range(20, 0, -1))
                ),
            )
        stored = await one.count_events(Selection())

    assert 20 + 10 * 2 * 20 == stored


@pytest.mark.parametrize("arrival", [tier_change("old"), join("old", BOB)], ids=["tier", "join"])
async def test_what_a_purge_has_in_hand_is_not_replayed(database_url: str, arrival: Arrival) -> None:
    """A replay waits for the purge and finds the event gone: no key comes to stand for an event that is not there."""
    async with open_store(database.address(database_url)) as store:
        hand, purge = Hand(store), await asyncpg.connect(database_url)
        await hand.finished(await hand.due(arrival), [ANN])
        await hand.finished(await hand.due(tier_change("newest", NOW + 1)), [ANN])
        (old, newest) = await store.stored(Selection(), 2)
        try:
            async with purge.transaction():
                await purge.execute("DELETE FROM adjustments WHERE event = $1", old.event)
                await purge.execute("DELETE FROM events WHERE id = $1", old.event)
                replaying = asyncio.create_task(hand.replayed(Replay(old.event, arrival, force=True, now=NOW)))
                await asyncio.sleep(0.3)
            result = await replaying
            stands_for = await purge.fetchval("SELECT event FROM syncs")
        finally:
            await purge.close()

        assert (Replayed.UNCHANGED, newest.event) == (result, stands_for)


async def test_the_doctor_finds_what_could_lose_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that confirms commits which are not on its disk yet is a finding, and so is one without a schema."""
    with server(fsync="on") as strict:
        url = database.address(strict.url("postgres"))
        empty = await database.examine(url)
        async with open_store(url, migrate=True):
            pass
        well = await database.examine(url)
        strict.execute("ALTER DATABASE postgres SET synchronous_commit = off")
        monkeypatch.setenv("TIERSYNC_DATABASE_URL", strict.url("postgres"))
        careless = {finding.what: (finding.ok, finding.detail) for finding in await examine()}["store"]

    assert (False, f"{database.shown(url)}: schema none, run `tiersync migrate`") == empty
    assert (True, f"{database.shown(url)}: schema {schema.newest_version()}") == well
    assert not careless[0]
    assert "synchronous_commit is off" in careless[1]


async def test_replicas_agree_on_the_time() -> None:
    """A clock follows the database's however wrong the machine's is; a late answer says little; it never goes back."""
    theirs, passed = 5_000_000, 100.0
    delay = 0.0

    async def ask() -> int:
        nonlocal passed
        passed += delay
        return theirs

    clock = SharedClock(ask, lambda: passed)
    await clock.follow()
    first = clock()
    passed += 1
    second = clock()
    delay, theirs = 5.0, 1
    await clock.follow()
    late = clock()
    delay, theirs = 0.0, 4_000_000
    await clock.follow()

    assert [5_000_000, 5_001_000, 5_006_000, 5_006_000] == [first, second, late, clock()]


async def test_a_role_of_its_own_wants_several_servers(tmp_path: Path) -> None:
    """On an SQLite file a receiver or worker by itself is refused, with the way out."""
    loaded = settings.load(database_url=f"sqlite:///{tmp_path / 'x.db'}")

    with pytest.raises(SettingsError, match=r"--role worker: an SQLite file has one server.*postgresql://"):
        await app.serve(loaded, Role.WORKER)
