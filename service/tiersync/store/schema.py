"""The schema's version: migrations, and which program works with which schema.

The rule for a rolling update is one row. `compatibility.oldest` is the oldest schema version whose program still works
with the schema as it is. A migration that only adds leaves it alone; one that takes away what older programs use raises
it. So a program meets a newer schema without fear, as long as it is not older than that row says.
"""

from functools import cache
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, select, text

from tiersync.errors import SchemaOutdated
from tiersync.store.tables import compatibility

_MIGRATIONS: Final = Path(__file__).with_name("migrations")
_LOCK: Final = 0x74696572  # "tier": whoever migrates a PostgreSQL database holds this advisory lock


def migrate(connection: Connection) -> None:
    """Bring the schema to the newest version, inside the caller's transaction; several may come at once.

    A schema that a later version made stays as it is. Raises `SchemaOutdated` if this program cannot work with that.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    if (found := current_version(connection)) is None or found < newest_version():
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    check(connection)


def check(connection: Connection) -> None:
    """Raise `SchemaOutdated` if this program cannot work with the schema."""
    found, newest = current_version(connection), newest_version()
    if found == newest:
        return
    if found is None or found < newest:
        raise SchemaOutdated(
            f"the database has schema {found or 'none'}, this version needs {newest}: run `tiersync migrate`"
        )
    oldest = (
        connection.scalar(select(compatibility.c.oldest)) if inspect(connection).has_table("compatibility") else None
    )
    if oldest is None or oldest > newest:
        raise SchemaOutdated(
            f"the database has schema {found}, made by a later version of tiersync, and this one knows {newest} only: "
            "install the later version, or restore a backup"
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


@cache
def newest_version() -> str:
    """The schema version that this program makes."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def current_version(connection: Connection) -> str | None:
    """The schema version that the database has, or None if it has none."""
    return MigrationContext.configure(connection).get_current_revision()
