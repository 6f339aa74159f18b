"""A model of what is needed for how much: `python -m tests.bench capacity`.

Two bursts with groups of different sizes tell what an event costs by itself and what each adjustment adds: CPU and
bytes in the database. Everything else is arithmetic.
"""

import sqlite3
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Final

from tests.bench import measures
from tests.bench.measures import Bench
from tests.bench.sections import placed

HEADING: Final = "## How much is needed for how much"
BURSTS: Final = ((1000, 5), (60, 100))  # webhooks, and the size of their groups
EVENTS_AN_HOUR: Final = (1_000, 10_000, 100_000, 1_000_000)
GROUPS: Final = (4, 20, 200)
BUSY_MOST: Final = 0.6  # of a core: the rest is for bursts
LATENCY_S: Final = 0.15
CALLS: Final = 64
EXTREME: Final = 10_000  # events a second


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds and bytes of the database, of one event by itself and of each adjustment."""

    event_cpu_s: float
    adjustment_cpu_s: float
    event_bytes: float
    adjustment_bytes: float

    def cores(self, events_s: float, group: int) -> float:
        """How many cores are kept busy by so many events a second."""
        return events_s * (self.event_cpu_s + (group - 1) * self.adjustment_cpu_s)

    def gb_a_day(self, events_s: float, group: int) -> float:
        """How much is written a day."""
        return 86_400 * events_s * (self.event_bytes + (group - 1) * self.adjustment_bytes) / 1e9


def main(page: Path) -> None:
    """Measure the two bursts and write the section."""
    with tempfile.TemporaryDirectory(prefix="tiersync-bench-") as folder, measures.bench(Path(folder)) as here:
        small, large = (_burst(here, *burst) for burst in BURSTS)
    cost = solve(small, large)
    sys.stderr.write(f"{cost}\n")
    page.write_text(placed(page.read_text(), HEADING, section(cost)))


def _burst(here: Bench, webhooks: int, group: int) -> tuple[int, float, float]:
    """Measure (adjustments for each event, CPU seconds for each event, bytes for each event)."""
    name = f"capacity-{group}"
    with here.service(name) as service:
        measures.work(here, service, range(measures.WARM_UP), group)
        _checkpointed(here.database(name))
        before, cpu_before = here.database(name).stat().st_size, service.cpu_s()
        measures.work(here, service, range(measures.WARM_UP, measures.WARM_UP + webhooks), group)
        cpu_s = service.cpu_s() - cpu_before
        _checkpointed(here.database(name))
        grown = here.database(name).stat().st_size - before
    return group - 1, cpu_s / webhooks, grown / webhooks


def _checkpointed(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def solve(small: tuple[int, float, float], large: tuple[int, float, float]) -> Cost:
    """Tell an event's own cost from that of its adjustments: a line through two points."""
    width = large[0] - small[0]
    cpu, size = (large[1] - small[1]) / width, (large[2] - small[2]) / width
    return Cost(max(0.0, small[1] - small[0] * cpu), cpu, max(0.0, small[2] - small[0] * size), size)


def section(cost: Cost) -> str:
    """The table, in words."""
    rows = [_row(cost, events, group) for events in EVENTS_AN_HOUR for group in GROUPS]
    return _SECTION.format(
        heading=HEADING,
        event_ms=1000 * cost.event_cpu_s,
        adjustment_ms=1000 * cost.adjustment_cpu_s,
        event_kb=cost.event_bytes / 1000,
        adjustment_kb=cost.adjustment_bytes / 1000,
        busy=BUSY_MOST,
        latency=1000 * LATENCY_S,
        calls=CALLS,
        rows="\n".join(rows),
        extreme=EXTREME,
        extreme_group=GROUPS[0],
        extreme_cores=cost.cores(EXTREME, GROUPS[0]),
        extreme_replicas=ceil(cost.cores(EXTREME, GROUPS[0]) / BUSY_MOST),
        extreme_calls=EXTREME * GROUPS[0] * 60,
        extreme_tb=cost.gb_a_day(EXTREME, GROUPS[0]) / 1000,
        flight=EXTREME * GROUPS[0] * LATENCY_S,
    )


def _row(cost: Cost, events_an_hour: int, group: int) -> str:
    events_s = events_an_hour / 3600
    by_cpu = cost.cores(events_s, group) / BUSY_MOST
    by_calls = events_s * group * LATENCY_S / CALLS
    replicas = max(1, ceil(max(by_cpu, by_calls)))
    why = "" if replicas == 1 else ("CPU" if by_cpu >= by_calls else "calls in flight")
    return (
        f"| {events_an_hour:,} | {group} | {events_s * group * 60:,.0f} | {cost.cores(events_s, group):.2f} "
        f"| {replicas:,} | {why} | {cost.gb_a_day(events_s, group):,.1f} |"
    )


_SECTION: Final = """\
{heading}

`python -m tests.bench capacity` rewrites this section. Measured here on SQLite, with the stub: an event by itself costs
{event_ms:.2f} ms of CPU and {event_kb:.1f} kB, each adjustment {adjustment_ms:.2f} ms and {adjustment_kb:.2f} kB.
The rest is arithmetic: one call for the group and one for each secondary; a replica is asked for no more than
{busy:.0%} of a core; Capillary takes {latency:.0f} ms to answer and a replica has {calls} calls in flight
(`calls_concurrent_max`).

| events an hour | group of | calls a minute | busy cores | replicas | because of | GB a day |
| --- | --- | --- | --- | --- | --- | --- |
{rows}

- **The Capillary limit comes first.** Ask for the calls a minute of your worst hour, and set `calls_per_minute_max` to
  it: what does not fit waits in the tables, in order, and nothing is lost. More than one replica needs PostgreSQL.
- **The database's size** is GB a day times the days of retention (`retention_done_days`), with its indexes.
- **{extreme:,} events a second, on paper**, in groups of {extreme_group}: {extreme_calls:,.0f} calls a minute,
  {flight:,.0f} calls in flight, {extreme_cores:.0f} busy cores on {extreme_replicas} replicas, {extreme_tb:.1f} TB a
  day. The first wall is Capillary itself. Behind it stands the one PostgreSQL that all replicas write to: {extreme:,}
  events and three times as many outcomes a second are within what group commit gives on fast disks, but not with every
  body kept in the same tables. Then bodies go to partitions by day, and orgs to databases of their own: nothing is
  shared between two orgs.
"""
