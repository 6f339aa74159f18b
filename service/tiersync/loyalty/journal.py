"""Pure. The append-only journal, the agenda of what falls due, and the means to take a verb back.

Every change to the state of the loyalty core goes through one `Journal`. So a refused verb changes nothing, and a
preview is a submit that is taken back: there is no second path that could say something else.
"""

from bisect import bisect_left, insort
from collections.abc import Callable  # noqa: TC003 - kept plain, as everywhere here
from datetime import datetime
from heapq import heappop, heappush
from typing import Any, TypeAlias, TypeVar

K = TypeVar("K")
V = TypeVar("V")

Due: TypeAlias = tuple[datetime, int, str, str, int]
"""When, which phase of that instant, holder, what it is about, and a number that makes it unique."""

RELEASE, EXPIRY, REVIEW = 0, 1, 2
"""The fixed order of one instant: held points are released, then points expire, then levels are reviewed."""


class Journal:
    """Records in the order they were written, and the steps back to the last kept state."""

    __slots__ = ("_agenda", "_steps", "records")

    def __init__(self) -> None:
        """Start empty."""
        self.records: list[Any] = []
        self._agenda: list[Due] = []
        self._steps: list[Callable[[], object]] = []

    @property
    def next_seq(self) -> int:
        """The number the next record will carry."""
        return len(self.records) + 1

    def write(self, record: V) -> V:
        """Append one record; it is never edited."""
        self.append(self.records, record)
        return record

    def put(self, table: dict[K, V], key: K, value: V) -> None:
        """Set one row of a table."""
        if key in table:
            old = table[key]
            self._steps.append(lambda: table.__setitem__(key, old))
        else:
            self._steps.append(lambda: table.__delitem__(key))
        table[key] = value

    def rows(self, table: dict[K, list[V]], key: K) -> list[V]:
        """The list under a key of a table, which begins empty."""
        if key not in table:
            self.put(table, key, [])
        return table[key]

    def append(self, rows: list[V], value: V) -> None:
        """Add at the end of a list."""
        rows.append(value)
        self._steps.append(rows.pop)

    def insert(self, rows: list[Any], value: Any) -> None:
        """Add to a sorted list."""
        insort(rows, value)
        self._steps.append(lambda: _discard(rows, value))

    def remove(self, rows: list[Any], value: Any) -> None:
        """Take out of a sorted list."""
        _discard(rows, value)
        self._steps.append(lambda: insort(rows, value))

    def schedule(self, due: Due) -> None:
        """Put something on the agenda.

        Not undone by `back`: whoever takes an item off the agenda asks the state whether it still stands, so a
        left-over is skipped.
        """
        heappush(self._agenda, due)

    def take_due(self, as_of: datetime) -> Due | None:
        """Take the earliest item due at or before `as_of`, or nothing."""
        if not self._agenda or self._agenda[0][0] > as_of:
            return None
        due = heappop(self._agenda)
        self._steps.append(lambda: heappush(self._agenda, due))
        return due

    def keep(self) -> None:
        """Make everything since the last `keep` permanent."""
        self._steps.clear()

    def back(self) -> None:
        """Take back everything since the last `keep`, newest first."""
        while self._steps:
            self._steps.pop()()


def _discard(rows: list[Any], value: Any) -> None:
    del rows[bisect_left(rows, value)]
