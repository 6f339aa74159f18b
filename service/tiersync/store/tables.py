"""The tables. All instants are epoch milliseconds, UTC.

    events       one row per delivery, with its bytes                     identified by (org, event_id)
    syncs        one row per key: what should be true of a primary's group    identified by (org, program, customer)
    adjustments  one row per secondary that an event owes a call           identified by (event, member)
    orgs         one row per org that was paused or whose Capillary was away     identified by org
    jobs         one row per replay, purge or reconcile: who, when, what, how far
    budgets      one row per org whose calls are limited: whoever leases calls holds it
    slices       one row per lease of calls: so many may begin from that instant on
    compatibility   one row: the oldest schema version whose program works with this schema

`syncs.due_at` is the only clock of the work: null means nothing to do, the past means due, and a claim moves it to
the end of its lease, so that an expired lease is simply due. `fence` counts the claims: a worker that was overtaken
no longer matches.
"""

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

metadata: Final = MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s"}
)

# SQLite counts rows by itself only in a column declared INTEGER.
_Id: Final = BigInteger().with_variant(Integer(), "sqlite")

syncs: Final = Table(
    "syncs",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("org", BigInteger, nullable=False),
    Column("program", BigInteger, nullable=False),
    Column("customer", BigInteger, nullable=False),
    Column("generation", Integer, nullable=False, server_default="0"),  # counts the tier changes that moved it forward
    Column("planned", Integer, nullable=False, server_default="0"),  # the generation whose adjustments are written down
    Column("event", BigInteger),  # events.id of the newest tier change; null while only joins are known
    Column("changed_at", BigInteger, nullable=False, server_default="-1"),
    Column("event_log_id", BigInteger, nullable=False, server_default="-1"),
    Column("action", Text),
    Column("tier_number", BigInteger),
    Column("tier_name", Text),
    Column("expiry", Date),
    Column("inherits", Boolean, nullable=False, server_default=false()),  # an unfinished tier change was overtaken
    Column("lowers", Boolean, nullable=False, server_default=false()),  # one that was overtaken is a downgrade
    Column("settled", Boolean, nullable=False, server_default=false()),  # every adjustment of this generation is done
    Column("attempt", Integer, nullable=False, server_default="0"),  # failed attempts to plan this generation
    Column("due_at", BigInteger),
    Column("owner", Text),
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("group_id", BigInteger),
    UniqueConstraint("customer", "program", "org"),
)
_HAS_WORK: Final = text("due_at IS NOT NULL")
Index(None, syncs.c.due_at, sqlite_where=_HAS_WORK, postgresql_where=_HAS_WORK)
Index(None, syncs.c.org, syncs.c.due_at, sqlite_where=_HAS_WORK, postgresql_where=_HAS_WORK)
Index(None, syncs.c.group_id, sqlite_where=text("group_id IS NOT NULL"), postgresql_where=text("group_id IS NOT NULL"))

events: Final = Table(
    "events",
    metadata,
    Column("id", _Id, primary_key=True),  # the order of arrival
    Column("org", BigInteger, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("detail", Text),
    Column("sync", BigInteger, ForeignKey("syncs.id")),
    Column("program", BigInteger),
    Column("customer", BigInteger),
    Column("member", BigInteger),
    Column("group_id", BigInteger),
    Column("action", Text),
    Column("tier_number", BigInteger),
    Column("tier_name", Text),
    Column("expiry", Date),
    Column("changed_at", BigInteger, nullable=False),
    Column("event_log_id", BigInteger),
    Column("depth", Integer, nullable=False, server_default="0"),  # how many adjustments of ours led to this event
    Column("duplicates", Integer, nullable=False, server_default="0"),
    Column("received_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("body", LargeBinary, nullable=False),
    Column("traceparent", Text),  # of the delivery, if it was traced
    Column("fence", Integer),  # how often the key had been claimed when it came
    Column("job", BigInteger),  # the reconcile that wrote this event
    UniqueConstraint("event_id", "org"),
)
# What an operator asks for is found, newest first, along one of these, and the other conditions are checked in it.
Index(
    "ix_events_status_id",
    events.c.status,
    events.c.id,
    events.c.reason,
    events.c.org,
    events.c.program,
    events.c.received_at,
)
Index(
    "ix_events_reason_id",
    events.c.reason,
    events.c.id,
    events.c.status,
    events.c.org,
    events.c.program,
    events.c.received_at,
    sqlite_where=text("reason IS NOT NULL"),
    postgresql_where=text("reason IS NOT NULL"),
)
Index("ix_events_program_id", events.c.program, events.c.id, events.c.org, events.c.received_at)
Index("ix_events_org_id", events.c.org, events.c.id, events.c.received_at)
Index(None, events.c.customer, events.c.id)
Index(None, events.c.job, sqlite_where=text("job IS NOT NULL"), postgresql_where=text("job IS NOT NULL"))
Index(None, events.c.member, sqlite_where=text("member IS NOT NULL"), postgresql_where=text("member IS NOT NULL"))
Index(None, events.c.received_at, events.c.id)
Index(None, events.c.sync, events.c.status)

adjustments: Final = Table(
    "adjustments",
    metadata,
    Column("event", BigInteger, ForeignKey("events.id"), nullable=False),
    Column("member", BigInteger, nullable=False),
    Column("sync", BigInteger, ForeignKey("syncs.id"), nullable=False),
    Column("org", BigInteger, nullable=False),
    Column("program", BigInteger, nullable=False),
    Column("group_id", BigInteger),
    Column("action", Text, nullable=False),
    Column("tier_number", BigInteger),
    Column("tier_name", Text),  # null: whatever tier the primary holds when the call is made
    Column("expiry", Date),
    Column("verify", Boolean, nullable=False),
    Column("may_lower", Boolean, nullable=False),
    Column("depth", Integer, nullable=False, server_default="0"),
    Column("status", Text, nullable=False),
    Column("outcome", Text),
    Column("reason", Text),
    Column("code", BigInteger),
    Column("message", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_at", BigInteger),
    Column("planned_at", BigInteger, nullable=False),
    Column("first_at", BigInteger),  # the first and the last attempt
    Column("last_at", BigInteger),
    Column("sent", Text),  # the change that was sent last: its event is our own echo
    PrimaryKeyConstraint("event", "member"),
    sqlite_with_rowid=False,
)
Index(None, adjustments.c.sync, adjustments.c.status, adjustments.c.due_at)
Index(None, adjustments.c.member, adjustments.c.last_at)
Index(
    None,
    adjustments.c.last_at,
    adjustments.c.status,
    sqlite_where=text("last_at IS NOT NULL"),
    postgresql_where=text("last_at IS NOT NULL"),
)

orgs: Final = Table(
    "orgs",
    metadata,
    Column("org", BigInteger, primary_key=True, autoincrement=False),  # 0 stands for every org
    Column("paused_at", BigInteger),
    Column("paused_by", Text),
    Column("pause_reason", Text),
    Column("breaker", Text, nullable=False, server_default="closed"),
    Column("breaker_at", BigInteger),  # when it came to stand so
    Column("breaker_until", BigInteger),  # no key is claimed before; then one call probes
    Column("breaker_reason", Text),
)

jobs: Final = Table(
    "jobs",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("selection", JSON, nullable=False),
    Column("force", Boolean, nullable=False),
    Column("rate", Integer),  # events a second, null: as fast as possible; of a reconcile: calls a minute
    Column("matched", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column(
        "upto", BigInteger, nullable=False, server_default="0"
    ),  # events.id (of a reconcile syncs.id) of the last that is meant
    Column("position", BigInteger, nullable=False, server_default="0"),  # the same of the last that was done
    Column("done", Integer, nullable=False, server_default="0"),
    Column("counts", JSON, nullable=False),  # what became of them: a word and how many
    Column("detail", Text),
    Column("owner", Text),
    Column("lease_until", BigInteger),
    Column("finished_at", BigInteger),
)
Index(None, jobs.c.status, jobs.c.id)

budgets: Final = Table(
    "budgets",
    metadata,
    Column("org", BigInteger, primary_key=True, autoincrement=False),
    Column("closed_until", BigInteger, nullable=False, server_default="0"),  # Capillary said "later"
)

slices: Final = Table(
    "slices",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("org", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("calls", Integer, nullable=False),
)
Index(None, slices.c.org, slices.c.at)

compatibility: Final = Table("compatibility", metadata, Column("oldest", Text, primary_key=True))
