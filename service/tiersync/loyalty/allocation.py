"""Pure. Which lots pay for which lines of a basket."""

from collections.abc import Iterable
from datetime import tzinfo
from decimal import Decimal

from tiersync.loyalty.events import ZERO, Event
from tiersync.loyalty.records import Lot, Part


def allocate(lots: Iterable[Lot], basket: Event, amount: Decimal | None, zone: tzinfo) -> list[Part]:
    """Take `amount` (or as much as there is) from the lots in the order they come.

    A lot tied to products pays at most the value of matching lines that no other tied lot paid yet. The others can pay
    for any line, so nothing bounds them but the basket as a whole.
    """
    uncovered = {line.id: line.amount for line in basket.lines}
    rest = min(
        (bound for bound in (amount, basket.amount if basket.lines else None) if bound is not None), default=None
    )
    parts = []
    for lot in lots:
        if rest is not None and rest <= 0:
            break
        if not lot.usable(basket.at) or not lot.terms.condition.allows(basket, zone):
            continue
        cap = lot.left if rest is None else min(lot.left, rest)
        part = Part(lot.id, _cover(uncovered, lot, basket, cap) if lot.terms.condition.products else cap)
        rest = None if rest is None else rest - part.amount
        if part.amount:
            parts.append(part)
    return parts


def _cover(uncovered: dict[str, Decimal], lot: Lot, basket: Event, cap: Decimal) -> Decimal:
    """Cover matching lines with up to `cap` of a tied lot and say how much that was."""
    paid = ZERO
    for line in basket.lines:
        if lot.terms.condition.covers(line):
            share = min(uncovered[line.id], cap - paid)
            uncovered[line.id] -= share
            paid += share
    return paid
