"""One limit over all replicas, and over restarts: the calls of a minute are leased in slices.

A slice granted at an instant t is used up within a second, or what is left of it is given back. It is granted only if
it and the slices of the minute, the second and the way before t are no more calls than the limit. So whichever minute
is looked at, the calls that began in it belong to slices of which that was true. The org's row is locked meanwhile, and
on PostgreSQL t is the database's clock.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from tiersync.store import reading
from tiersync.store.forward import insert_for
from tiersync.store.tables import budgets, slices
from tiersync.store.writer import Writer


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody wants so many calls of an org at `now`; `calls_max` may begin within `window_ms`."""

    org: int
    calls: int
    calls_max: int
    window_ms: int
    now: int


@dataclass(frozen=True, slots=True)
class Slice:
    """So many calls (0: none) that may begin; for how long the org is closed, and when there may be room again."""

    id: int
    calls: int
    closed_ms: int
    room_ms: int


class Budget:
    """One org's calls. `now` is epoch milliseconds; on PostgreSQL it is the database's clock that counts."""

    def __init__(self, writer: Writer, org: int, calls_max: int, now: Callable[[], int]) -> None:
        """`calls_max` calls may begin within the window that each lease names."""
        self._writer, self._org, self._calls_max, self._now = writer, org, calls_max, now

    async def lease(self, calls: int, window_s: float) -> Slice:
        """Lease up to so many calls. Raises `StoreUnavailable`."""
        asked = Asked(self._org, calls, self._calls_max, int(1000 * window_s), self._now())
        answer: Slice = await self._writer.submit("lease", asked)
        return answer

    async def give_back(self, slice_: int, calls: int) -> None:
        """Return calls of a slice that did not begin and will not."""
        await self._writer.submit("give_back", (slice_, calls))

    async def close(self, seconds: float) -> None:
        """Let whoever leases next know that Capillary wants no call for so long."""
        await self._writer.submit("close_org", (self._org, self._now() + int(1000 * seconds)))


def lease(connection: Connection, wanted: Sequence[Asked]) -> list[Slice]:
    """Grant slices; one answer each, in order."""
    answers: dict[int, Slice] = {}
    # In one order for everybody: two replicas must not wait for each other's orgs.
    for number, item in sorted(enumerate(wanted), key=lambda one: one[1].org):
        answers[number] = _lease(connection, item)
    return [answers[number] for number in range(len(wanted))]


def _lease(connection: Connection, item: Asked) -> Slice:
    closed_until = _hold(connection, item.org)
    # Only now, behind the lock: who came before may have taken long.
    now = reading.clock(connection) if connection.dialect.name == "postgresql" else item.now
    connection.execute(_FORGET, {"_org": item.org, "_until": now - item.window_ms})
    connection.execute(_NOT_IN_FUTURE, {"_org": item.org, "_now": now})  # after a clock was set back
    used, oldest = connection.execute(_USED, {"_org": item.org}).one()
    calls = max(0, min(item.calls, item.calls_max - used))
    granted = 0
    if calls:
        granted = connection.execute(_GRANT, {"org": item.org, "at": now, "calls": calls}).scalar_one()
    room_ms = 0 if calls or oldest is None else oldest + item.window_ms - now + 1
    return Slice(granted, calls, max(0, closed_until - now), room_ms)


def _hold(connection: Connection, org: int) -> int:
    """Lock an org's row; returns until when the org is closed."""
    found = connection.scalar(_HOLD, {"_org": org})
    if found is None:
        new = insert_for(connection.dialect.name, budgets).on_conflict_do_nothing()
        connection.execute(new, [{"org": org}])
        found = connection.scalar(_HOLD, {"_org": org})
    return int(found or 0)


_HOLD: Final = select(budgets.c.closed_until).where(budgets.c.org == bindparam("_org")).with_for_update()
_FORGET: Final = delete(slices).where(slices.c.org == bindparam("_org"), slices.c.at <= bindparam("_until"))
_NOT_IN_FUTURE: Final = (
    update(slices)
    .where(slices.c.org == bindparam("_org"), slices.c.at > bindparam("_now"))
    .values(at=bindparam("_now"))
)
_USED: Final = select(func.coalesce(func.sum(slices.c.calls), 0), func.min(slices.c.at)).where(
    slices.c.org == bindparam("_org")
)
_GRANT: Final = insert(slices).returning(slices.c.id)


def give_back(connection: Connection, unused: Sequence[tuple[int, int]]) -> list[None]:
    """Take calls off their slices."""
    rows = [{"_id": slice_, "_calls": calls} for slice_, calls in sorted(unused)]
    connection.execute(_LOWER, rows)
    return [None] * len(unused)


_LOWER: Final = update(slices).where(slices.c.id == bindparam("_id")).values(calls=slices.c.calls - bindparam("_calls"))


def close(connection: Connection, closings: Sequence[tuple[int, int]]) -> list[None]:
    """Write down until when orgs are closed; of two the longer one counts."""
    for org, until in sorted(closings):
        if _hold(connection, org) < until:
            connection.execute(_CLOSE, {"_org": org, "_until": until})
    return [None] * len(closings)


_CLOSE: Final = update(budgets).where(budgets.c.org == bindparam("_org")).values(closed_until=bindparam("_until"))
