"""The same burst on what else one would pick: `python -m tests.bench beside`. Sets nothing up: `make bench` does."""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.bench import measures, plot
from tests.bench.measures import Work
from tests.bench.peers import systems
from tests.bench.peers.systems import PEERS, Peer
from tests.bench.sections import placed

HEADING: Final = "## Beside what else one would pick"
OURS: Final = "tiersync on SQLite"
CPU_WANTED: Final = 0.40
REPETITIONS: Final = 3
PICTURE: Final = "images/performance.svg"

Runs = Mapping[str, Sequence[Work]]


def main(page: Path) -> None:
    """Measure each in turn, as often as the others; write the section and its picture."""
    runs: dict[str, list[Work]] = {OURS: [], **{peer.name: [] for peer in PEERS}}
    with tempfile.TemporaryDirectory(prefix="tiersync-bench-") as folder, measures.bench(Path(folder)) as here:
        for number in range(1, REPETITIONS + 1):
            with here.service(f"service-{number}") as service:
                runs[OURS].append(measures.burst(here, service))
            _say(OURS, runs[OURS][-1])
            for place, peer in enumerate(PEERS):
                with peer.start(here, f"peer-{place}-{number}") as running:
                    runs[peer.name].append(measures.burst(here, running, peer.webhooks))
                _say(peer.name, runs[peer.name][-1])
    page.write_text(placed(page.read_text(), HEADING, section(runs)))
    (page.parent / PICTURE).write_text(picture(runs))


def _say(name: str, work: Work) -> None:
    sys.stderr.write(f"{name}: {work}\n")


def per_s(works: Sequence[Work]) -> float:
    """The median of the adjustments a second."""
    return statistics.median(work.per_s for work in works)


def picture(runs: Runs) -> str:
    """All of them as bars, the fastest first."""
    rows = sorted(((name, per_s(works)) for name, works in runs.items()), key=lambda row: -row[1])
    return plot.bars("Adjustments a second in a burst, end to end, all on one core", rows, "tiersync")


def section(runs: Runs) -> str:
    """What was measured, in words and ratios."""
    ours = per_s(runs[OURS])
    cpu = statistics.median(work.cpu_s_per_1000 for work in runs[OURS])
    rows = [
        _row(OURS, "SQLite, fsync before each answer", runs[OURS], "", f"CPU ≤ {CPU_WANTED:.2f}", cpu <= CPU_WANTED)
    ]
    for peer in PEERS:
        ratio = ours / per_s(runs[peer.name]) if per_s(runs[peer.name]) > 0 else float("inf")
        rows.append(_row(peer.name, peer.keeps, runs[peer.name], f"{ratio:.2f}", *_wish(peer, ratio)))
    wrong = [f"{name}: {sum(one.missing for one in works)} missing, {sum(one.needless for one in works)} repeated"
             for name, works in runs.items() if any(one.missing or one.needless for one in works)]  # fmt: skip
    return _SECTION.format(
        heading=HEADING,
        picture=PICTURE,
        rows="\n".join(rows),
        repetitions=REPETITIONS,
        burst=measures.BURST,
        few=min(peer.webhooks for peer in PEERS),
        size=measures.GROUP_SIZE,
        wrong="; ".join(wrong) or "none was missing and none was made twice, by any of them",
        versions=_versions(),
    )


def _wish(peer: Peer, ratio: float) -> tuple[str, bool]:
    if peer.name.startswith("tiersync"):
        return "", True
    return f"≥ {peer.wanted:g}", ratio >= peer.wanted


def _row(name: str, keeps: str, works: Sequence[Work], ratio: str, wanted: str, met: bool) -> str:  # noqa: FBT001
    rates = [work.per_s for work in works]
    cpu = statistics.median(work.cpu_s_per_1000 for work in works)
    memory = statistics.median(work.rss_mb for work in works)
    verdict = ("met" if met else "**not met**") if wanted else ""
    shown = f"**{statistics.median(rates):,.0f}** ({min(rates):,.0f} to {max(rates):,.0f})"
    return f"| {name} | {keeps} | {shown} | {cpu:.2f} | {memory:,.0f} | {ratio} | {wanted} | {verdict} |"


def _versions() -> str:
    names = ("dbos", "celery", "procrastinate", "aiohttp")
    told = f"from importlib.metadata import version; print(*(f'{{n}} {{version(n)}}' for n in {names}), sep=', ')"
    peers = subprocess.run([systems.PYTHON, "-c", told], check=True, capture_output=True, text=True).stdout.strip()
    node = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    redis = subprocess.run(["redis-server", "--version"], check=True, capture_output=True, text=True).stdout.split()[2]
    packages = systems.bullmq_versions()
    return f"{peers}, {packages}, Node.js {node}, Redis {redis}, PostgreSQL 18, tiersync {version('tiersync')}"


_SECTION: Final = """\
{heading}

`python -m tests.bench beside` rewrites this section; `make bench` does so too, and sets up what the others need. Each
does the same job (`tests/bench/peers/`): take the webhook, read the group, adjust each secondary, repeat what fails; at
most 64 calls at once; as its own documentation would have it written. Everything that belongs to a system (its database
or Redis too) shares one core, and its CPU and memory are counted with it. The stub has no latency; the load generator
and the stub have the other core. A burst is {burst:,} webhooks, of those below ours in speed {few}, groups of {size}.

![Adjustments a second]({picture})

| system | what is answered is kept in | adjustments/s | CPU s per 1,000 | memory, MB | tiersync ÷ it | wanted | |
| --- | --- | --- | --- | --- | --- | --- | --- |
{rows}

Medians of {repetitions} runs, each in turn with the others. Adjustments that were owed: {wrong}. What cannot be seen in
the figures: of these only tiersync keeps the order of a primary's changes, lets the latest tier win, tells a member who
left from one who is due, reads back after a call whose answer was lost, and obeys Capillary's limits.

Versions: {versions}.
"""
