"""Pure. Lotteries: who qualifies, and a draw with somebody else's dice."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from tiersync.errors import LoyaltyError
from tiersync.loyalty.events import ZERO, Event, HolderId


class Dice(Protocol):
    """What a draw needs of a random generator; `random.Random` is one."""

    def sample(self, population: Sequence[HolderId], k: int) -> list[HolderId]:
        """Choose `k` different ones."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """Who takes part: so many events, or so much in total, within `[start, end)`."""

    start: datetime
    end: datetime
    events: tuple[int, int | None] = (1, None)
    total: tuple[Decimal, Decimal | None] = (ZERO, None)


def qualifiers(ticket: Ticket, events: Iterable[Event]) -> list[HolderId]:
    """The holders whose events in the window meet the ticket, in order of their ids."""
    counts: dict[HolderId, int] = {}
    totals: dict[HolderId, Decimal] = {}
    for event in events:
        if ticket.start <= event.at < ticket.end:
            counts[event.holder] = counts.get(event.holder, 0) + 1
            totals[event.holder] = totals.get(event.holder, ZERO) + event.amount
    return sorted(
        holder
        for holder, count in counts.items()
        if _within(Decimal(count), ticket.events) and _within(totals[holder], ticket.total)
    )


def draw(holders: Iterable[HolderId], winners: int, dice: Dice) -> list[HolderId]:
    """The winners of one draw, each at most once; with no more holders than prizes, all win."""
    if winners < 0:
        raise LoyaltyError(f"a draw cannot have {winners} winners")
    drum = sorted(set(holders))
    return drum if winners >= len(drum) else dice.sample(drum, winners)


def _within(value: Decimal, bounds: tuple[Decimal | int, Decimal | int | None]) -> bool:
    least, most = bounds
    return least <= value and (most is None or value <= most)
