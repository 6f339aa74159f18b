"""With 10,000 keys in the store, no statement of the work looks at more than it needs."""

import asyncio
import itertools
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests.contract.store_kit import (
    ANN,
    BOB,
    GOLD,
    NOW,
    SILVER,
    Hand,
    join,
    leave,
    outcome,
    owed,
    tier_change,
    without_key,
)
from tiersync.fanout import AdjustmentStatus
from tiersync.intake import EventStatus
from tiersync.store import Keys, Release, Replay, Selection, Store, Want, database, looking

KEYS = 10_000
ROUND = range(1, 21)
LATER = NOW + 60_000


@contextmanager
def statements() -> Iterator[set[str]]:
    """Note each statement that any database is asked meanwhile."""
    noted: set[str] = set()

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        noted.add(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield noted
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def work(hand: Hand) -> None:
    """Do everything that is done for every event, for several keys in each commit."""
    store = hand.store
    keys = {n: (await store.receive(tier_change(f"again{n}", NOW + 1, customer=n))).sync or 0 for n in ROUND}
    arrivals = [
        *(tier_change(f"more{n}", NOW + 2, customer=n) for n in ROUND),
        *(tier_change(f"stale{n}", NOW - 1, customer=n) for n in ROUND),
        *(tier_change(f"e{n}", customer=n) for n in ROUND),
        *(join(f"j{n}", BOB, customer=n) for n in ROUND),
        *(leave(f"l{n}", BOB, customer=n) for n in ROUND),
        without_key("ignored", EventStatus.IGNORED, "event_not_used"),
    ]
    await asyncio.gather(*(store.receive(arrival) for arrival in arrivals))
    await store.sweep(LATER, 100)
    wants = [Want(key, "hand", LATER, LATER + 30_000) for key in keys.values()]
    claims = [claim for claim in await asyncio.gather(*(store.claim(want) for want in wants)) if claim]
    await asyncio.gather(*(hand.planned(claim, owed(ANN), LATER) for claim in claims))
    await store.led_elsewhere(claims[0], [ANN, BOB])
    for number, claim in enumerate(claims):
        status = (AdjustmentStatus.DONE, AdjustmentStatus.DEAD, AdjustmentStatus.DUE)[number % 3]
        due = await store.owed(claim, LATER, 100)
        due_at = LATER if status is AdjustmentStatus.DUE else None
        await asyncio.gather(*(store.settle(outcome(claim, item, status, due_at=due_at)) for item in due))
    closed = Release(claims.pop(), LATER, close=EventStatus.IGNORED, reason="not_primary")
    await asyncio.gather(*(store.release(release) for release in [closed, *(Release(c, LATER) for c in claims)]))
    for n, force in itertools.product((2, 3), (False, True)):
        for name, changed_at, tier in ((f"more{n}", NOW + 2, GOLD), (f"e{n}", NOW, SILVER)):
            row = (await hand.event(name))["id"]
            await hand.replayed(Replay(row, tier_change(name, changed_at, tier, customer=n), force=force, now=LATER))
    row = (await hand.event("j4"))["id"]
    await hand.replayed(Replay(row, join("j4", BOB, customer=4), force=False, now=LATER))
    await store.backlog(LATER)
    await look(store, keys[2])
    await store.list_events(Selection(customer=5), 50)
    await store.list_events(Selection(status="dead"), 50)
    await store.stored(Selection(ids=("e5", "e6")), 50)
    await store.probe()


async def look(store: Store, sync: int) -> None:
    """Look at everything that the page shows, and search as it does."""
    await store.look(looking.standing)
    await store.look(looking.flow, NOW, 60)
    await store.look(looking.trouble, 5)
    await store.look(looking.keys, ANN, 1, 2, 10)
    await store.look(looking.members, sync, 1, 50, 0)
    await store.look(looking.trip, 1)
    await store.look(looking.ahead, Keys(org=1, program=2, primary=5))
    await store.look(looking.ahead, Keys(group=1))
    await store.look(looking.repairs, 1, 50)
    await store.look(looking.drifted, sync, 1, 50)
    for wanted in (
        Selection(involving=5, status="done"),
        Selection(group=5, org=1),
        Selection(reason="stale", status="dead", org=1, program=2, since=NOW, until=LATER),
        Selection(program=2, org=1, until=LATER),
        Selection(org=1),
        Selection(since=NOW, until=LATER),
    ):
        await store.list_events(wanted, 50)
        await store.list_events(wanted, 50, 40)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_every_statement_of_the_work_finds_its_rows_by_an_index(hand: Hand, database_url: str) -> None:
    """No statement of the work, of a replay, of a sweep or of the page walks through a whole table."""
    await asyncio.gather(*(hand.store.receive(tier_change(f"e{n}", customer=n)) for n in range(1, KEYS + 1)))

    with statements() as noted:
        await work(hand)

    with closing(sqlite3.connect(database.address(database_url).database or "")) as connection:
        walks = {statement: walked for statement in noted if (walked := _walked(connection, statement))}
    assert {} == walks
    assert {"SELECT", "INSERT", "UPDATE"} <= {statement.split(maxsplit=1)[0] for statement in noted}


def _walked(connection: sqlite3.Connection, statement: str) -> list[str]:
    """Name the tables, or whole indexes, that a statement's plan walks through."""
    if not statement.startswith(("SELECT", "UPDATE", "INSERT", "DELETE", "WITH")):
        return []
    plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", [None] * statement.count("?"))
    return [step for *_, step in plan if re.match(r"SCAN (events|syncs|adjustments)\b", step)]
