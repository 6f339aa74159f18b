"""A backlog of waiting keys: `python -m tests.bench backlog`.

Is a claim as cheap among a million as among a thousand, and how soon is a process at work that starts on them?
"""

import asyncio
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import insert

from tests.bench import measures, world
from tests.bench.measures import Bench
from tests.bench.processes import ask
from tests.bench.sections import placed
from tiersync import app
from tiersync.intake import EventStatus, Kind
from tiersync.settings import load
from tiersync.store import Release, Want
from tiersync.store.tables import events, syncs
from tiersync.webhook import Action

HEADING: Final = "## A backlog"
SIZES: Final = (1_000, 1_000_000)
CLAIMS: Final = 300
FLAT: Final = 1.2
SOON_S: Final = 10
_CHUNK: Final = 20_000
_NOW: Final = 1_772_000_000_000


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a backlog costs. Times in ms, but for `start_s`: from the command to the first call."""

    keys: int
    claim_ms: float
    sweep_ms: float
    start_s: float
    rss_mb: float


def _rows(numbers: range) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Tier changes that were stored and not yet worked on."""
    tier = {"action": Action.UPGRADE, "tier_number": 2, "tier_name": world.WANTED}
    keys, stored = [], []
    for number in numbers:
        place = {"org": world.ORG, "program": world.PROGRAM, "customer": world.primary(number)}
        keys.append({"id": number + 1, "generation": 1, "event": number + 1, "due_at": _NOW + number, **place, **tier})
        stored.append(
            {"id": number + 1, "sync": number + 1, "event_id": f"waiting-{number}", "kind": Kind.TIER, "body": b"{}",
             "name": "tierUpgraded", "status": EventStatus.PENDING, "changed_at": _NOW, "received_at": _NOW,
             **place, **tier}
        )  # fmt: skip
    return keys, stored


async def _fill_and_claim(database: Path, keys: int) -> tuple[float, float]:
    settings = load(database_url=f"sqlite:///{database}")
    async with app.store(settings, migrate=True) as store:
        for first in range(0, keys, _CHUNK):
            waiting, stored = _rows(range(first, min(keys, first + _CHUNK)))
            await store._database.write(  # noqa: SLF001 - a million deliveries would take as long as the bench
                lambda connection, w=waiting, s=stored: (
                    connection.execute(insert(syncs), w),
                    connection.execute(insert(events), s),
                )
            )
        now, claims, sweeps = app.now(), [], []
        for number in range(CLAIMS):
            began = time.perf_counter()
            claim = await store.claim(Want(keys // CLAIMS * number + 1, "bench", now, now + 60_000))
            claims.append(1000 * (time.perf_counter() - began))
            assert claim is not None
            await store.release(Release(claim, now, retry_at=now))
        for _ in range(5):
            began = time.perf_counter()
            await store.sweep(now, 10_000)
            sweeps.append(1000 * (time.perf_counter() - began))
    return statistics.median(claims), statistics.median(sweeps)


def _start(here: Bench, name: str) -> tuple[float, float]:
    here.forget(measures.GROUP_SIZE)
    began = time.monotonic()
    with here.service(name) as service:
        while not json.loads(ask(here.stub.port, "GET", "/bench/count"))["count"]:
            time.sleep(0.01)
        seen = json.loads(ask(here.stub.port, "GET", "/bench/calls"))["first_calls"]
        return min(at for _, at in seen) - began, service.rss_peak_mb()


def main(page: Path) -> None:
    """Measure both sizes and write the section."""
    found = []
    with tempfile.TemporaryDirectory(prefix="tiersync-bench-") as folder, measures.bench(Path(folder)) as here:
        for keys in SIZES:
            name = f"backlog-{keys}"
            claim_ms, sweep_ms = asyncio.run(_fill_and_claim(here.database(name), keys))
            with closing(sqlite3.connect(here.database(name))) as database:
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            found.append(Backlog(keys, claim_ms, sweep_ms, *_start(here, name)))
            sys.stderr.write(f"{found[-1]}\n")
    page.write_text(placed(page.read_text(), HEADING, section(*found)))


def section(small: Backlog, large: Backlog) -> str:
    """What was measured, in words and ratios."""
    flat, soon = large.claim_ms <= FLAT * small.claim_ms, large.start_s <= SOON_S
    rows = [
        _row("a claim, ms", small.claim_ms, large.claim_ms, 2, f"≤ {FLAT} | {_verdict(flat)}"),
        _row("a sweep for what is due, ms", small.sweep_ms, large.sweep_ms, 1, " |"),
        _row("from the command to the first call, s", small.start_s, large.start_s, 1, f"seconds | {_verdict(soon)}"),
        _row("peak memory (RSS), MB", small.rss_mb, large.rss_mb, 0, " |"),
    ]
    return _SECTION.format(heading=HEADING, small=small.keys, large=large.keys, rows="\n".join(rows), claims=CLAIMS)


def _row(name: str, one: float, other: float, digits: int, wish: str) -> str:
    return f"| {name} | {one:,.{digits}f} | **{other:,.{digits}f}** | {other / one:.2f} | {wish} |"


def _verdict(met: bool) -> str:  # noqa: FBT001
    return "met" if met else "**not met**"


_SECTION: Final = """\
{heading}

`python -m tests.bench backlog` rewrites this section. Tier changes are stored and wait, one for each key; then {claims}
keys from all over are claimed one by one, each claim a commit of its own, and the service is started on them.

| measure | {small:,} keys wait | {large:,} keys wait | larger ÷ smaller | wanted | |
| --- | --- | --- | --- | --- | --- |
{rows}

A sweep reads at most `keys_waiting_max` keys, whatever waits; the rest is found by the next one.
"""
