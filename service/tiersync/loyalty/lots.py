"""Pure. The lots and their order: an index, kept sorted, that saves looking through history.

What is left of a lot is the fold of the entries that touched it; `change` is called exactly where such an entry is
made.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from heapq import merge
from itertools import takewhile
from typing import Any, TypeAlias, assert_never

from tiersync.loyalty.accounts import Account, AccountKey, AccountName, Order
from tiersync.loyalty.events import ZERO
from tiersync.loyalty.journal import Journal
from tiersync.loyalty.records import Lot, LotId

ALWAYS = datetime.max.replace(tzinfo=UTC)

Row: TypeAlias = tuple[Any, ...]
"""A sort key that ends with the lot's id."""


@dataclass(frozen=True, slots=True)
class Queues:
    """The live lots of one account, in spending order and in order of death."""

    spending: list[Row] = field(default_factory=list)
    dying: list[Row] = field(default_factory=list)


class Lots:
    """All lots ever opened, and for each account those that still hold something."""

    __slots__ = ("_accounts", "_all", "_journal", "_moved", "_queues")

    def __init__(self, accounts: Mapping[AccountName, Account], journal: Journal) -> None:
        """Start empty."""
        self._accounts = accounts
        self._journal = journal
        self._all: dict[LotId, Lot] = {}
        self._moved: dict[LotId, tuple[LotId, ...]] = {}
        self._queues: dict[AccountKey, Queues] = {}

    def extend(self, accounts: Mapping[AccountName, Account]) -> None:
        """Go on with more accounts."""
        self._accounts = accounts

    def __getitem__(self, lot: LotId) -> Lot:
        return self._all[lot]

    def __contains__(self, lot: LotId) -> bool:
        return lot in self._all

    def live(self, *keys: AccountKey) -> Iterator[Lot]:
        """The live lots of these accounts together, in spending order; the accounts must share one order."""
        queues = [self._queues[key] for key in keys if key in self._queues]
        for row in merge(*(queue.spending for queue in queues)):
            yield self._all[row[-1]]

    def dead_value(self, key: AccountKey, at: datetime) -> Decimal:
        """What lies in lots whose time has run out without a run having noticed."""
        value = ZERO
        if key in self._queues:
            for row in takewhile(lambda row: row[0] <= at, self._queues[key].dying):
                value += self._all[row[-1]].left
        return value

    def add(self, lot: Lot) -> None:
        """Keep a new lot."""
        self._journal.put(self._all, lot.id, lot)
        if lot.left:
            self._enqueue(lot)
        if lot.origin is not None:
            self._journal.put(self._moved, lot.origin, (*self._moved.get(lot.origin, ()), lot.id))

    def trail(self, lot: LotId) -> Iterator[LotId]:
        """A lot and those its points moved on to."""
        yield lot
        for further in self._moved.get(lot, ()):
            yield from self.trail(further)

    def change(self, lot_id: LotId, left: Decimal = ZERO, lost: Decimal = ZERO) -> None:
        """Add to what is left of a lot and to what was lost of it."""
        if not left and not lost:
            return
        old = self._all[lot_id]
        new = replace(old, left=old.left + left, lost=old.lost + lost)
        self._journal.put(self._all, lot_id, new)
        if old.left and not new.left:
            self._dequeue(new)
        elif new.left and not old.left:
            self._enqueue(new)

    def _enqueue(self, lot: Lot) -> None:
        if lot.key not in self._queues:
            self._journal.put(self._queues, lot.key, Queues())
        queues = self._queues[lot.key]
        self._journal.insert(queues.spending, self._spending_row(lot))
        self._journal.insert(queues.dying, _dying_row(lot))

    def _dequeue(self, lot: Lot) -> None:
        queues = self._queues[lot.key]
        self._journal.remove(queues.spending, self._spending_row(lot))
        self._journal.remove(queues.dying, _dying_row(lot))

    def _spending_row(self, lot: Lot) -> Row:
        order = self._accounts[lot.key[1]].policy.order
        match order:
            case Order.OLDEST:
                return (lot.issued, lot.id)
            case Order.SOONEST:
                return (lot.terms.expires_at or ALWAYS, lot.issued, lot.id)
            case Order.RESTRICTED:
                return (lot.terms.expires_at or ALWAYS, -lot.terms.condition.restrictions, lot.issued, lot.id)
            case _:
                assert_never(order)


def _dying_row(lot: Lot) -> Row:
    return (lot.terms.expires_at or ALWAYS, lot.id)
