"""Pure. The last hour as a picture: one row of bars for each thing that is counted, on one axis of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tiersync.console.times import minute
from tiersync.store.looking import Minute

HEIGHT: Final = 40
_STEP: Final = 10  # the width of a minute; a bar leaves a gap
_BAR: Final = 8
_LEAST: Final = 2  # one of a thousand must still be seen

SERIES: Final = {
    "received": "events received",
    "adjusted": "adjustments made",
    "retrying": "attempts that failed and will be made again",
    "dead": "adjustments given up",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One minute: where it stands in the picture, and what it says."""

    x: int
    y: float
    height: float
    label: str


@dataclass(frozen=True, slots=True)
class Row:
    """One series. Without anything to count it has no bars."""

    name: str
    meaning: str
    total: int
    peak: int
    said: str
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Picture:
    """All rows, the width they share, and the times along the axis."""

    width: int
    rows: Sequence[Row]
    marks: Sequence[str]


def draw(minutes: Sequence[Minute], since: int) -> Picture:
    """Draw minutes that begin at `since` (epoch milliseconds)."""
    starts = [minute(since + 60_000 * number) for number in range(len(minutes) + 1)]
    rows = [_row(name, meaning, [getattr(one, name) for one in minutes], starts) for name, meaning in SERIES.items()]
    quarter = max(1, len(minutes) // 4)
    return Picture(len(minutes) * _STEP, rows, starts[::quarter])


def _row(name: str, meaning: str, counts: Sequence[int], starts: Sequence[str]) -> Row:
    total, peak = sum(counts), max(counts, default=0)
    said = f"{total:,} {meaning} in the last hour"
    if peak:
        said += f", at most {peak:,} in a minute, at {starts[counts.index(peak)]} UTC"
    bars = [_bar(place, count, peak, starts[place]) for place, count in enumerate(counts) if count]
    return Row(name, meaning, total, peak, said, bars)


def _bar(place: int, count: int, peak: int, start: str) -> Bar:
    height = round(max(_LEAST, HEIGHT * count / peak), 1)
    return Bar(place * _STEP + 1, round(HEIGHT - height, 1), height, f"{start} {count:,}")
