"""How fast the loyalty core is, and how its time and memory grow: a part of docs/performance.md.

Every measurement is a process of its own: `python -m tests.bench.loyalty EVENTS` prints one as JSON.
"""

import gc
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

from tests.bench.processes import ROOT
from tests.bench.sections import placed
from tiersync.loyalty.accounts import AfterDays
from tiersync.loyalty.capillary import Allocation, Branch
from tiersync.loyalty.engine import Engine
from tiersync.loyalty.events import PURCHASE, REGISTER, ZERO, Event, EventId, HolderId, Line
from tiersync.loyalty.ladders import Anchor, Fall, Level, Review
from tiersync.loyalty.schemes import Promotion, Scheme, assemble

SIZES: Final = (10_000, 100_000)
REPETITIONS: Final = 3
SLICE: Final = 1_000
EARLY: Final = slice(6, 10)
LATE: Final = slice(-4, None)
FAMILIES: Final = 200
FAMILY_SIZE: Final = 5
PACE: Final = timedelta(minutes=5)
BEGINNING: Final = datetime(2025, 1, 1, tzinfo=UTC)
HEADING: Final = "## The loyalty core"

_SWIPED: Final = "currentTxn.extField_member_card_swiped"
_LEVELS: Final = (
    Level("Silver", Decimal(0)),
    Level("Gold", Decimal(500), stay=Decimal(200)),
    Level("Platinum", Decimal(2_000), stay=Decimal(800)),
)


@dataclass(frozen=True, slots=True)
class Run:
    """What one process measured; seconds are CPU seconds, `early` and `late` those of a quiet slice of events."""

    events: int
    seconds: float
    early_seconds: float
    late_seconds: float
    fold_seconds: float
    replay_seconds: float
    records: int
    held_bytes: int
    peak_mb: float
    ledger: str
    replayed: str


def programme() -> Scheme:
    """A family programme as seed 001 has it: the swiped card decides, members pool, points die, tiers are reviewed."""
    branches = (
        Branch(f'{_SWIPED}=="No" || {_SWIPED}.isNull()', Allocation.INDIVIDUALS),
        Branch(f'{_SWIPED}=="Yes"', Allocation.GROUPS),
    )
    return Scheme(
        program="973",
        levels=_LEVELS,
        pool=True,
        review=Review(1, Anchor.LEVEL),
        fall=Fall.ONE_DOWN,
        workflows=(("earning", branches),),
        promotions=(Promotion("large", "currentTxn.amount >= 40", Decimal(5)),),
        expiry=AfterDays(3),
    )


def events(count: int) -> Iterator[Event]:
    """Purchases of two lines by the members in turn, two in three for the family, one in five partly paid in points."""
    for number in range(count):
        family, member = number % FAMILIES, number // FAMILIES % FAMILY_SIZE
        attrs: dict[str, str | int | bool] = {"program": "973", "group": f"family/{family}", "primary": f"m/{family}/0"}
        attrs |= {"memberCount": FAMILY_SIZE, "extField_member_card_swiped": "Yes" if number % 3 else "No"}
        lines = (Line("1", Decimal(10 + number % 40), 2, "shirt"), Line("2", Decimal("2.50"), 1, "socks"))
        yield Event(
            id=EventId(f"bill/{number}"),
            type=PURCHASE,
            holder=HolderId(f"m/{family}/{member}"),
            at=BEGINNING + PACE * number,
            lines=lines,
            attrs=attrs,
            spend=Decimal(1) if number % 5 == 0 and number >= 6 * FAMILIES * FAMILY_SIZE else ZERO,
        )


def started() -> Engine:
    """The engine with every member and every family registered."""
    engine = Engine(assemble((programme(),)))
    for family in range(FAMILIES):
        for name in (f"family/{family}", *(f"m/{family}/{member}" for member in range(FAMILY_SIZE))):
            engine.submit(Event(EventId(f"register/{name}"), REGISTER, HolderId(name), BEGINNING))
    return engine


def feed(engine: Engine, happened: Sequence[Event]) -> float:
    """Submit events, with a batch run once a day; the CPU seconds it took."""
    began = time.process_time()
    for event in happened:
        engine.submit(event)
        if event.at.hour == event.at.minute == 0:
            engine.run(event.at)
    return time.process_time() - began


def fold(happened: Sequence[Event]) -> float:
    """What one would write first: a balance in a dictionary for each wallet; the CPU seconds it took."""
    balances: dict[str, Decimal] = {}
    began = time.process_time()
    for event in happened:
        swiped = event.attrs["extField_member_card_swiped"] == "Yes"
        wallet = str(event.attrs["group"]) if swiped else event.holder
        balances[wallet] = balances.get(wallet, ZERO) + event.amount - event.spend
    return time.process_time() - began


def measure(count: int) -> Run:
    """Submit so many events in this process."""
    engine = started()
    gc.collect()
    held = _rss_bytes()
    happened = list(events(count))
    slices = [feed(engine, happened[begin : begin + SLICE]) for begin in range(0, count, SLICE)]
    held = _rss_bytes() - held
    log = engine.log()
    began = time.process_time()
    again = Engine.replay(engine.setup, log)
    replayed = time.process_time() - began
    return Run(
        events=count,
        seconds=sum(slices),
        early_seconds=min(slices[EARLY]),
        late_seconds=min(slices[LATE]),
        fold_seconds=fold(happened),
        replay_seconds=replayed,
        records=len(engine.records),
        held_bytes=held,
        peak_mb=_peak_mb(),
        ledger=_digest(engine),
        replayed=_digest(again),
    )


def _digest(engine: Engine) -> str:
    digest = hashlib.sha256()
    for record in engine.records:
        digest.update(repr(record).encode())
    return digest.hexdigest()


def _rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _peak_mb() -> float:
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1000


# -- the page


def main(page: Path) -> None:
    """Measure in processes of their own, sizes in turn, and put the section into the page."""
    runs: dict[int, list[Run]] = {size: [] for size in SIZES}
    for _ in range(REPETITIONS):
        for size, done in runs.items():
            command = [sys.executable, "-m", "tests.bench.loyalty", str(size)]
            told = subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=_paths())
            done.append(Run(**json.loads(told.stdout)))
            sys.stderr.write(f"{done[-1]}\n")
    page.write_text(placed(page.read_text(), HEADING, section(runs)))


def section(runs: Mapping[int, Sequence[Run]]) -> str:
    """What was measured, in words and ratios."""
    small, large = (runs[size] for size in SIZES)

    def each(measure: Callable[[Run], float]) -> tuple[float, float, float]:
        """The median of the small runs, that of the large ones, and how the latter stand to the former."""
        first, second = (statistics.median(map(measure, group)) for group in (small, large))
        return first, second, second / first

    rows = [
        ("CPU per event, µs", each(lambda run: 1e6 * run.seconds / run.events), 0),
        ("the same, in the 7th to 10th thousand, µs", each(lambda run: 1e6 * run.early_seconds / SLICE), 0),
        ("the same, in the last four thousand, µs", each(lambda run: 1e6 * run.late_seconds / SLICE), 0),
        ("CPU per event when the log is replayed, µs", each(lambda run: 1e6 * run.replay_seconds / run.events), 0),
        ("CPU per event of the bare fold, µs", each(lambda run: 1e6 * run.fold_seconds / run.events), 2),
        ("the core ÷ the bare fold", each(lambda run: run.seconds / run.fold_seconds), 0),
        ("records written per event", each(lambda run: run.records / run.events), 2),
        ("memory held per event, kB", each(lambda run: run.held_bytes / run.events / 1e3), 1),
        ("memory held (RSS), MB", each(lambda run: run.held_bytes / 1e6), 0),
    ]
    same = all(len({digest for run in group for digest in (run.ledger, run.replayed)}) == 1 for group in (small, large))
    return _SECTION.format(
        heading=HEADING,
        small=SIZES[0],
        large=SIZES[1],
        repetitions=len(small),
        rows="\n".join(
            f"| {name} | {first:,.{digits}f} | **{second:,.{digits}f}** | {ratio:.2f} |"
            for name, (first, second, ratio), digits in rows
        ),
        same="the same, byte for byte" if same else "**NOT the same**",
        per_s=statistics.median(run.events / run.seconds for run in large),
        slice=SLICE,
        load=os.getloadavg()[0],
        families=FAMILIES,
        family_size=FAMILY_SIZE,
    )


def _paths() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


_SECTION: Final = """\
{heading}

`python -m tests.bench loyalty` measures the core alone and rewrites this section; a full run rewrites it too. One
process submits {large:,} events to one engine, each as the sandbox would: a Capillary programme with the workflow of a
swiped card, a promotion, points that die after three days, pooled tiers that are reviewed monthly, a batch run each
night; {families} families of {family_size}, every fifth purchase partly paid in points. Beside it stands the
*bare fold*: the same events added up in a dictionary, a balance for each wallet and nothing else, which is what a core
would cost that knew no lots, rules, tiers, returns, previews or replay.

| measure | {small:,} events | {large:,} events | larger ÷ smaller |
| --- | --- | --- | --- |
{rows}

Medians over {repetitions} process(es) for each size, in turn, on a machine with a load average of {load:.0f}. Time is
linear in the events if the ratio of the first row is about 1; so is memory, by that of the last row but one. The second
and third row are the fastest of four slices of {slice:,} events, which other work on the machine disturbs less; a test
counts lines of Python instead and is not disturbed at all (`tests/unit/loyalty/test_scale.py`). {large:,} events are
worked off at {per_s:,.0f} a second here. The ledgers of the runs and of their replays, each process with hash seeds of
its own, were {same}.
"""


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(measure(int(sys.argv[1])))))
