"""One replica and two, on one PostgreSQL: `python -m tests.bench replicas`.

Two cores cannot show twice the CPU. What limits a replica in life is how long Capillary takes to answer: here the stub
takes its time, and each replica has a few calls in flight.
"""

import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.bench import measures
from tests.bench.measures import Bench
from tests.bench.peers.systems import DURABLE
from tests.bench.processes import OTHER_CORE, on_core
from tests.bench.sections import placed
from tests.postgres import server

HEADING: Final = "## Two replicas"
WEBHOOKS: Final = 200
CALLS: Final = 8
LATENCY_MS: Final = 100
REPETITIONS: Final = 3
WANTED: Final = 1.8


def main(page: Path) -> None:
    """Measure both, in turn, and write the section."""
    found: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory(prefix="tiersync-bench-") as folder, measures.bench(Path(folder)) as here:
        for number in range(REPETITIONS):
            for replicas, rates in found.items():
                rates.append(_rate(here, f"{number}-{replicas}", replicas))
                sys.stderr.write(f"{replicas} replicas: {rates[-1]:.0f} adjustments/s\n")
    page.write_text(placed(page.read_text(), HEADING, section(found)))


def _rate(here: Bench, name: str, replicas: int) -> float:
    with ExitStack() as stack:
        stack.enter_context(on_core(OTHER_CORE))
        postgres = stack.enter_context(server(**DURABLE))
        url = stack.enter_context(postgres.fresh())
        settings = {"TIERSYNC_DATABASE_URL": url, "TIERSYNC_CALLS_CONCURRENT_MAX": str(CALLS)}
        first, *_ = [stack.enter_context(here.service(f"{name}-{one}", **settings)) for one in range(replicas)]
        here.slow_down(0)
        measures.work(here, first, range(measures.WARM_UP))
        here.slow_down(LATENCY_MS)
        done = measures.work(here, first, range(measures.WARM_UP, measures.WARM_UP + WEBHOOKS))
        here.slow_down(0)
        assert not done.missing, f"{done.missing} adjustments never arrived"
        return done.per_s


def section(found: dict[int, list[float]]) -> str:
    """What was measured, in words and a ratio."""
    one, two = (statistics.median(rates) for rates in found.values())
    return _SECTION.format(
        heading=HEADING, one=one, two=two, ratio=two / one, wanted=WANTED, latency=LATENCY_MS, calls=CALLS,
        verdict="met" if two / one >= WANTED else "**not met**", webhooks=WEBHOOKS, most=CALLS / LATENCY_MS * 1000,
    )  # fmt: skip


_SECTION: Final = """\
{heading}

`python -m tests.bench replicas` rewrites this section. On two cores a second replica cannot have a second core to
itself, so what is measured is what usually limits one: Capillary takes {latency} ms to answer, and each replica has
{calls} calls in flight ({most:.0f} calls a second at best). {webhooks} webhooks go to one of the replicas.

| | one replica | two | two ÷ one | wanted | |
| --- | --- | --- | --- | --- | --- |
| adjustments a second | {one:,.0f} | **{two:,.0f}** | {ratio:.2f} | ≥ {wanted} | {verdict} |
"""
