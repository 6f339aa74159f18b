"""The operator's page over a million events: `python -m tests.bench console`.

Fills a database by its own statements, serves it, and asks for each view several times. What counts is the server's
time: from the request to the last byte on loopback.
"""

import asyncio
import re
import sqlite3
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console
from rich.table import Table

from tests.ports import free_port
from tiersync import app
from tiersync.settings import load

EVENTS: Final = 1_000_000
PRIMARIES: Final = 100_000
MS_MAX: Final = 300
_TIMES: Final = 7
_DAY_MS: Final = 86_400_000
_TOKEN: Final = "bench-operator-token"
_console: Final = Console(stderr=True)

_FILL: Final = (
    """
    INSERT INTO syncs (id, org, program, customer, generation, planned, event, tier_number, tier_name, due_at, group_id)
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :primaries)
    SELECT i, 50614 + i % 3, 973, i * 10, 1, 1, :events - :primaries + i, 2, 'Gold',
           CASE WHEN i % 100 = 0 THEN :now END, 7000000 + i
    FROM n
    """,
    # A week of events. In every thousand: one pending, five dead, one quarantined, some superseded, many echoes.
    """
    INSERT INTO events (id, org, event_id, kind, name, status, reason, sync, program, customer, action, tier_number,
                        tier_name, changed_at, received_at, finished_at, body)
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :events)
    SELECT i, CASE WHEN i % 100000 = 7 THEN 60000 ELSE 50614 + i % 3 END, 'bench-' || i, 'tier', 'tierUpgraded',
           CASE WHEN i % 1000 < 1 THEN 'pending' WHEN i % 1000 < 6 THEN 'dead' WHEN i % 1000 < 7 THEN 'quarantined'
                WHEN i % 1000 < 57 THEN 'superseded' WHEN i % 1000 < 657 THEN 'ignored' ELSE 'done' END,
           CASE WHEN i % 1000 BETWEEN 1 AND 3 THEN 'customer_barred' WHEN i % 1000 BETWEEN 4 AND 5 THEN 'refused'
                WHEN i % 1000 = 6 THEN 'not_json' WHEN i % 1000 BETWEEN 7 AND 56 THEN 'overtaken'
                WHEN i % 1000 BETWEEN 57 AND 656 THEN 'echo' END,
           1 + i % :primaries, 973, 10 * (1 + i % :primaries), 'UPGRADE', 2, 'Gold', i,
           :now - 7 * 86400000 + i * 7 * 86400000 / :events,
           CASE WHEN i % 1000 >= 1 THEN :now END, CAST('{"eventName": "' || hex(zeroblob(400)) || '"}' AS BLOB)
    FROM n
    """,
    """
    INSERT INTO adjustments (event, member, sync, org, program, action, tier_number, tier_name, verify, may_lower,
                             status, outcome, reason, code, attempts, due_at, planned_at, first_at, last_at)
    SELECT e.id, e.customer + m.member, e.sync, e.org, 973, 'UPGRADE', 2, 'Gold', 0, 0,
           CASE e.status WHEN 'pending' THEN 'due' WHEN 'dead' THEN CASE m.member WHEN 1 THEN 'dead' ELSE 'done' END
                ELSE 'done' END,
           'applied', CASE e.status WHEN 'pending' THEN 'rate_limited' WHEN 'dead' THEN e.reason END,
           CASE e.status WHEN 'pending' THEN 429 WHEN 'dead' THEN 3045 END, 1,
           CASE e.status WHEN 'pending' THEN :now END, e.received_at, e.received_at, e.received_at + 50
    FROM events e, (SELECT 1 AS member UNION SELECT 2 UNION SELECT 3) m
    WHERE e.status IN ('done', 'dead', 'pending')
    """,
)


def fill(path: Path, now: int) -> None:
    """Write a million events as they would be after a week."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA synchronous=OFF")
        for statement in _FILL:
            connection.execute(statement, {"events": EVENTS, "primaries": PRIMARIES, "now": now})


def views(now: int) -> Mapping[str, str]:
    """What is asked for: each view, each filter, narrow and wide, and the combinations that tempt into a walk."""
    old = time.strftime("%Y-%m-%dT%H:%M", time.gmtime((now - 6 * _DAY_MS) / 1000))
    new = time.strftime("%Y-%m-%dT%H:%M", time.gmtime((now - 3_600_000) / 1000))
    events = "/console/events"
    return {
        "overview": "/console",
        "the last hour": "/console/flow",
        "events, newest": events,
        "events, halfway down": f"{events}?before={EVENTS // 2}",
        "events, the oldest": f"{events}?before=60",
        "one event": f"{events}/{EVENTS // 2 + 2}",
        "a group": "/console/groups/500",
        "by event id": f"{events}?id=bench-1234",
        "by status": f"{events}?status=dead",
        "by status, deep": f"{events}?status=done&before=1000",
        "by reason": f"{events}?reason=refused",
        "by org": f"{events}?org=50615",
        "by a rare org": f"{events}?org=60000",
        "by program": f"{events}?program=973",
        "by an unknown program": f"{events}?program=1",
        "by customer": f"{events}?customer=5000",
        "by secondary": f"{events}?customer=5001",
        "by group": f"{events}?group=7000500",
        "the last hour's": f"{events}?since={new}",
        "six days ago": f"{events}?until={old}",
        "between": f"{events}?since={old}&until={new}",
        "status and a rare org": f"{events}?status=done&org=60000",
        "status and an unknown program": f"{events}?status=done&program=1",
        "reason, org and time": f"{events}?reason=echo&org=60000&until={old}",
        "all at once": f"{events}?status=done&reason=echo&org=60000&program=973&since={old}&until={new}",
        "preview of a replay": "/console/replay?status=dead",
        "preview of a large replay": "/console/replay?status=done",
        "preview of a reconcile": "/console/reconcile?org=50614&primary=5000",
        "preview of a large reconcile": "/console/reconcile",
        "preview of a reconcile, lately": f"/console/reconcile?since={new}",
        "preview of a reconcile, of days": f"/console/reconcile?since={old}",
    }


async def _ask(path: Path, now: int) -> dict[str, list[float]]:
    settings = load(
        database_url=f"sqlite:///{path}", operator_token=_TOKEN, webhook_secrets=["secret"],
        capillary_url="http://127.0.0.1:9", capillary_username="till", capillary_password="none", port=free_port(),
    )  # fmt: skip
    found: dict[str, list[float]] = {}
    async with app.service(settings, app.Role.RECEIVER) as application:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://bench", timeout=60) as client:
            answer = await client.post("/console/sign-in", data={"token": _TOKEN, "name": "bench"})
            answer.raise_for_status() if answer.status_code != httpx.codes.SEE_OTHER else None
            for name, address in views(now).items():
                found[name] = []
                for _ in range(_TIMES):
                    began = time.perf_counter()
                    answer = await client.get(address)
                    found[name].append(1000 * (time.perf_counter() - began))
                    assert answer.status_code == httpx.codes.OK, f"{address}: {answer.status_code}"
                    assert re.search(r"<main", answer.text), address
    return found


def main() -> int:
    """Measure; 1 if a view took longer than is allowed."""
    now = app.now()
    with tempfile.TemporaryDirectory(prefix="tiersync-bench-console-") as folder:
        path = Path(folder) / "console.db"
        began = time.monotonic()
        asyncio.run(_migrated(path))
        fill(path, now)
        _console.print(f"{EVENTS:,} events in {time.monotonic() - began:.0f} s, {path.stat().st_size / 1e6:,.0f} MB")
        found = asyncio.run(_ask(path, now))
    table = Table("view", "median ms", "worst ms", title=f"Server time with {EVENTS:,} events")
    for name, times in found.items():
        table.add_row(name, f"{sorted(times)[len(times) // 2]:.0f}", f"{max(times):.0f}")
    _console.print(table)
    slow = [name for name, times in found.items() if sorted(times)[len(times) // 2] > MS_MAX]
    _console.print(f"slower than {MS_MAX} ms: {', '.join(slow) or 'none'}")
    return 1 if slow else 0


async def _migrated(path: Path) -> None:
    async with app.store(load(database_url=f"sqlite:///{path}"), migrate=True):
        pass
