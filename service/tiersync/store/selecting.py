"""Which events somebody means, as SQL that finds them without walking the table.

A page of events is read newest first along one index. The narrowest condition given names that index; the others only
check what it yields. SQLite would otherwise choose by guesses, and walk a million rows to find ten.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, select, union
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from tiersync.store.tables import adjustments, events, syncs


class _Checked(FunctionElement[Any]):
    """A column by which rows are checked, not found. SQLite uses no index for `+column`; PostgreSQL knows better."""

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any]) -> None:
        super().__init__(column)
        self.type = column.type


@compiles(_Checked)
def _as_it_is(element: Any, compiler: Any, **named: Any) -> str:
    return str(compiler.process(element.clauses, **named))


@compiles(_Checked, "sqlite")
def _without_index(element: Any, compiler: Any, **named: Any) -> str:
    return f"+{compiler.process(element.clauses, **named)}"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events: every given condition must hold. Instants are epoch milliseconds of receipt, `until` excluded.

    `customer` is the primary; `involving` is a customer in any role: the primary, who joined
    or left, or who is owed an adjustment.
    """

    ids: tuple[str, ...] = ()
    status: str | None = None
    reason: str | None = None
    org: int | None = None
    program: int | None = None
    customer: int | None = None
    since: int | None = None
    until: int | None = None
    involving: int | None = None
    group: int | None = None

    def asked(self) -> dict[str, Any]:
        """As JSON: the conditions that were given."""
        return {name: value for name, value in asdict(self).items() if value not in (None, ())}

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> "Selection":
        """What `asked` made of one."""
        return cls(**{**asked, "ids": tuple(asked.get("ids", ()))})

    @property
    def by_time(self) -> bool:
        """Say whether nothing but time narrows it: then events are found in the order of their receipt."""
        return (self.since, self.until) != (None, None) and not [*self._narrowing(checked=False)]

    def conditions(self) -> list[ColumnElement[bool]]:
        """As SQL: what must hold."""
        return [*self._narrowing(checked=False), *self._within(events.c.received_at)]

    def walked(self) -> list[ColumnElement[bool]]:
        """The same, as SQL that is quick to walk in the order of rows."""
        narrowest, checked = [*self._narrowing(checked=False)][:1], [*self._narrowing(checked=True)][1:]
        return [*narrowest, *checked, *self._within(_Checked(events.c.received_at))]

    def _within(self, received: ColumnElement[Any]) -> Iterator[ColumnElement[bool]]:
        if self.since is not None:
            yield received >= self.since
        if self.until is not None:
            yield received < self.until

    def _narrowing(self, *, checked: bool) -> Iterator[ColumnElement[bool]]:
        """The conditions other than time, the narrowest first."""
        if self.ids:
            yield events.c.event_id.in_(self.ids)
        if self.involving is not None:
            yield events.c.id.in_(_involving(self.involving))
        if self.group is not None:
            led = select(syncs.c.id).where(syncs.c.group_id == self.group)
            yield events.c.sync.in_(led)
        for name in ("customer", "reason", "status", "program", "org"):
            if (value := getattr(self, name)) is not None:
                column = events.c[name]
                yield (_Checked(column) if checked else column) == value


def _involving(customer: int) -> Any:
    return union(
        select(events.c.id).where(events.c.customer == customer),
        select(events.c.id).where(events.c.member == customer),
        select(adjustments.c.event).where(adjustments.c.member == customer),
    )
