"""The store: the tables are the truth, and these are the verbs that change them.

    receive   a delivery is on disk, and its sync has moved forward, when this returns
    claim     a due key belongs to one worker until the lease ends
    plan      the adjustments that a tier change owes are written down; what of them is due comes back
    settle    what attempts came to is written down
    release   the key is free, its finished events are closed, and it is due again when it should be
    sweep     which keys are due, from the tables alone
    pause     nobody works for an org until it is resumed
    begin_job stored work is to be made due again, or removed, in steps that survive a crash
    begin_reconcile  keys are to be compared with Capillary, and whoever is found elsewhere brought back

One verb is one transaction, or a part of one: a single writer groups what is asked for at the same time into one
commit.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from tiersync.errors import StoreUnavailable
from tiersync.store import database, schema
from tiersync.store.arrivals import Receipt, Received
from tiersync.store.claims import Claim, Want
from tiersync.store.database import Limits
from tiersync.store.jobs import Advance, Job, JobKind, JobStatus, WantJob
from tiersync.store.leases import Renewal
from tiersync.store.orgs import BreakerNews, OrgState
from tiersync.store.orgs import known as known_orgs
from tiersync.store.owing import Due
from tiersync.store.reading import Backlog, Stored
from tiersync.store.reconciling import Comparison, Keys, Known
from tiersync.store.releasing import Release
from tiersync.store.removal import Candidate, Horizon, Removal
from tiersync.store.replays import Replay, Replayed
from tiersync.store.selecting import Selection
from tiersync.store.verbs import Store
from tiersync.store.work import Plan, Settlement
from tiersync.store.writer import Commits, Step, Timed, untimed

__all__ = [
    "Advance",
    "Backlog",
    "BreakerNews",
    "Candidate",
    "Claim",
    "Commits",
    "Comparison",
    "Due",
    "Horizon",
    "Job",
    "JobKind",
    "JobStatus",
    "Keys",
    "Known",
    "OrgState",
    "Plan",
    "Receipt",
    "Received",
    "Release",
    "Removal",
    "Renewal",
    "Replay",
    "Replayed",
    "Selection",
    "Settlement",
    "Store",
    "Stored",
    "Want",
    "WantJob",
    "known_orgs",
    "open_store",
]


@asynccontextmanager
async def open_store(
    url: URL,
    *,
    commits: Commits = Commits(),  # noqa: B008 - a frozen value
    migrate: bool = False,
    step: Step = lambda _: None,
    timed: Timed = untimed,
    limits: Limits = Limits(),  # noqa: B008 - a frozen value
) -> AsyncIterator[Store]:
    """Open a database for the time of the block.

    `migrate` brings the schema up to date first; without it an outdated schema raises `SchemaOutdated`. Raises
    `StoreUnavailable` if the database cannot be opened.
    """
    opened = database.connect(url, limits)
    store = Store(opened, commits, step, timed)
    try:
        try:
            await opened.write(schema.migrate if migrate else schema.check)
        except (DBAPIError, OSError) as error:
            raise StoreUnavailable(f"cannot open {database.shown(url)}: {_reason(error)}") from None
        store.writer.start()
        yield store
    finally:
        await store.close()


def _reason(error: Exception) -> str:
    return str(error.orig) if isinstance(error, DBAPIError) else str(error)
