"""docs/performance.md: what was measured, beside what is wanted."""

import os
import platform
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.bench import measures
from tests.bench.measures import Answers, FirstCall, Work

RECIPE_CALLS: Final = (64, 8)
LARGE: Final = (3_000, 30_000)
LAST: Final = "## Where"  # the last section of this part; those of the other parts follow it
_PACKAGES: Final = (
    "uvicorn", "uvloop", "httptools", "starlette", "pydantic", "sqlalchemy", "aiohttp", "httpx",
    "httpx-aiohttp", "tenacity",
)  # fmt: skip


@dataclass(slots=True)
class Results:
    """Everything that one run measured, a value per repetition."""

    answers: list[Answers] = field(default_factory=list)
    service: list[Work] = field(default_factory=list)
    recipe: list[Work] = field(default_factory=list)
    recipe_few_calls: list[Work] = field(default_factory=list)
    service_first_call: list[FirstCall] = field(default_factory=list)
    recipe_first_call: list[FirstCall] = field(default_factory=list)
    service_large: list[Work] = field(default_factory=list)  # by LARGE
    recipe_large: list[Work] = field(default_factory=list)  # of the smallest of LARGE alone
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """One measure; an empty `recipe` was not measured. `wanted` is shown, `is_met` judges the service's median."""

    name: str
    service: Sequence[float]
    recipe: Sequence[float] = ()
    digits: int = 0
    wanted: str = ""
    is_met: Callable[[float, float], bool] | None = None

    def text(self) -> str:
        """As a row of the table."""
        ours = statistics.median(self.service)
        theirs = statistics.median(self.recipe) if self.recipe else None
        ratio = f"{ours / theirs:.2f}" if theirs else ""
        verdict = ""
        if self.is_met is not None:
            verdict = "met" if self.is_met(ours, ours / theirs if theirs else 0) else "**not met**"
        ours_shown, theirs_shown = _spread(self.service, self.digits), _spread(self.recipe, self.digits)
        cells = (self.name, ours_shown, theirs_shown, ratio, self.wanted, verdict)
        return f"| {' | '.join(cells)} |"


def _spread(values: Sequence[float], digits: int) -> str:
    if not values:
        return ""
    middle, low, high = (f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
    return f"**{middle}** ({low} to {high})" if len(values) > 1 else f"**{middle}**"


def page(results: Results, machine: str) -> str:
    """The whole page."""
    rows = "\n".join(row.text() for row in _rows(results))
    few = statistics.median(work.per_s for work in results.recipe_few_calls)
    disturbed = [work.disturbed for work in (*results.service, *results.recipe, *results.recipe_few_calls)]
    return _PAGE.format(
        rows=rows,
        counts=_counts(results),
        machine=machine,
        repetitions=len(results.service),
        minutes=results.seconds / 60,
        few=few,
        few_calls=RECIPE_CALLS[1],
        few_ceiling=RECIPE_CALLS[1] / 0.1,
        disturbed=statistics.median(disturbed),
        disturbed_most=max(disturbed),
        few_ratio=statistics.median(work.per_s for work in results.service) / few,
        calls=RECIPE_CALLS[0],
        burst=measures.BURST,
        owed=measures.BURST * (measures.GROUP_SIZE - 1),
        size=measures.GROUP_SIZE,
        rate=measures.STEADY_RATE,
        idle_rate=measures.IDLE_RATE,
        connections=measures.CONNECTIONS,
    )


def _rows(results: Results) -> list[Row]:
    small, large = results.service_large
    per_member = (large.seconds / LARGE[1]) / (small.seconds / LARGE[0])
    return [
        Row(
            "durable answers a second, org paused",
            [one.per_s for one in results.answers],
            wanted="≥ 2,500",
            is_met=lambda ours, _: ours >= 2500,
        ),
        Row(
            f"p99 of an answer at {measures.STEADY_RATE}/s, org paused, ms",
            [one.p99_ms for one in results.answers],
            digits=1,
            wanted="≤ 25",
            is_met=lambda ours, _: ours <= 25,
        ),
        Row(
            "adjustments a second in a burst, end to end",
            [one.per_s for one in results.service],
            [one.per_s for one in results.recipe],
            wanted="≥ 10 times the recipe",
            is_met=lambda _, ratio: ratio >= 10,
        ),
        Row(
            "CPU seconds per 1,000 adjustments",
            [one.cpu_s_per_1000 for one in results.service],
            [one.cpu_s_per_1000 for one in results.recipe],
            digits=2,
            wanted="≤ 0.40",
            is_met=lambda ours, _: ours <= 0.40,
        ),
        Row(
            "peak memory (RSS) in the burst, MB",
            [one.rss_mb for one in results.service],
            [one.rss_mb for one in results.recipe],
        ),
        Row(
            "webhook to first call when idle, p50, ms",
            [one.p50_ms for one in results.service_first_call],
            [one.p50_ms for one in results.recipe_first_call],
            digits=1,
        ),
        Row(
            "webhook to first call when idle, p99, ms",
            [one.p99_ms for one in results.service_first_call],
            [one.p99_ms for one in results.recipe_first_call],
            digits=1,
            wanted="≤ 50",
            is_met=lambda ours, _: ours <= 50,
        ),
        Row(
            f"one event for a group of {LARGE[0]:,}, s",
            [small.seconds],
            [one.seconds for one in results.recipe_large],
            digits=1,
        ),
        Row(f"one event for a group of {LARGE[1]:,}, s", [large.seconds], digits=1),
        Row(
            "time per member, the larger group ÷ the smaller",
            [per_member],
            digits=2,
            wanted="linear: ≤ 1.2",
            is_met=lambda ours, _: ours <= 1.2,
        ),
        Row(
            f"peak memory (RSS) with the group of {LARGE[1]:,}, MB",
            [large.rss_mb],
            wanted="< 200",
            is_met=lambda ours, _: ours < 200,
        ),
    ]


def _counts(results: Results) -> str:
    ours = [*results.service, *results.service_large]
    theirs = [*results.recipe, *results.recipe_few_calls, *results.recipe_large]
    lost = sum(one.lost for one in results.answers)
    lines = [f"- answered 200 and not in the database: {lost} deliveries"]
    for name, works in (("service", ours), ("recipe", theirs)):
        missing, needless = sum(one.missing for one in works), sum(one.needless for one in works)
        lines.append(f"- {name}: {missing} adjustments missing, {needless} repeated or not owed")
    return "\n".join(lines)


def machine() -> str:
    """What this run stands on."""
    cpu = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    memory_kb = int(Path("/proc/meminfo").read_text().split()[1])
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return "\n".join(
        [
            f"- date: {datetime.now(UTC):%Y-%m-%d}",
            (
                f"- hardware: {cpu.partition(': ')[2]}, {os.cpu_count()} cores, {memory_kb / 1e6:.0f} GB, Linux "
                f"{platform.release()}; load average before the run {os.getloadavg()[0]:.2f}"
            ),
            f"- disk: {_sync_ms():.2f} ms for an fdatasync of 4 kB (median of 200)",
            f"- tiersync {version('tiersync')}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
            f"- {packages}",
        ]
    )


def _sync_ms() -> float:
    times = []
    with tempfile.TemporaryFile() as file:
        for _ in range(200):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


_PAGE: Final = """\
# Performance

`make bench` measures the service beside the recipe that one would write from Capillary's guide on a quiet afternoon,
and beside what else one would pick, and writes this page. Run it on your own machine: the figures below belong to the one named at the end, and the ratios
travel better than the figures.

- **The service** is `tiersync serve` with its default settings on SQLite: a webhook is on disk (WAL,
  `synchronous=FULL`) before it is answered, and so is every outcome before its key is released.
- **The recipe** (`tests/bench/recipe.py`) answers first and works in a Starlette `BackgroundTask`, with stock httpx,
  tenacity and a semaphore of {calls} calls, the service's own default. It stores nothing: what it has not done when it
  is stopped is lost.
- **Both** get the same webhooks over {connections} connections and call the same stub of Capillary, which has no
  latency. The measured process is held on one core; the stub and the load generator are held on another one. Each of
  the {repetitions} repetitions starts new processes and a new database. A burst is {burst:,} webhooks at once, each
  for another group of {size}: {owed:,} adjustments.

| measure | service | recipe | service ÷ recipe | wanted | |
| --- | --- | --- | --- | --- | --- |
{rows}

Median, and in brackets the least and the most of the repetitions; the large groups are measured once. Nothing is
asserted about time: the page says whether a wish is met, no test depends on it.

Every adjustment that was owed had to arrive, once, and every answered delivery had to be in the database:

{counts}

## How to read it

- *Answers* are a closed loop: {connections} connections, the next webhook when the last one is answered. The p99 is an
  open loop of {rate} webhooks a second, counted from the instant at which each was due, so that a stall is not hidden
  by waiting.
- *End to end* is from the first byte of the first webhook until the stub has counted the last adjustment.
- *CPU* is user and system time of the measured process with all its threads over the burst; receiving the webhooks is
  part of it.
- *Webhook to first call* starts at the webhook's first byte, at {idle_rate} webhooks a second: it contains the commit,
  and is therefore an upper bound for the way from the commit to the first call.
- Stock httpx is slower the more calls it holds at once. With {few_calls} calls instead of {calls} the recipe reaches
  {few:,.0f} adjustments a second here (service ÷ recipe {few_ratio:.2f}). A Capillary that takes 100 ms to answer
  would hold it to {few_calls} ÷ 0.1 s = {few_ceiling:.0f}.

## Where

{machine}
- while a burst ran, others had the measured core for {disturbed:.0%} of the time (median; {disturbed_most:.0%} at most)
- the whole run took {minutes:.1f} minutes
"""
