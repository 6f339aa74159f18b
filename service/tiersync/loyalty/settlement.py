"""Pure. Settlement: who owes whom for awards and spends, as a fold over the ledger.

Whoever funds an award is charged, whoever accepted a spend is rebated. There is no state but the number of the last
record settled, so windows may be cut anywhere; an award reversed after its settlement is a negative line of the next.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from tiersync.loyalty.events import ZERO
from tiersync.loyalty.records import Entry, Kind, Record

FUNDED = frozenset({Kind.EARN, Kind.REVERSE})


@dataclass(frozen=True, slots=True)
class Settlement:
    """Net amounts by party, above zero where the party is charged; `upto` is where the next window begins."""

    charged: Mapping[str, Decimal]
    upto: int


def settle(records: Iterable[Record], after: int = 0) -> Settlement:
    """Settle what was recorded later than record number `after`."""
    charged: dict[str, Decimal] = {}
    upto = after
    for record in records:
        if record.seq <= after:
            continue
        upto = max(upto, record.seq)
        if isinstance(record, Entry):
            for party, amount in _charges(record):
                charged[party] = charged.get(party, ZERO) + amount
    return Settlement(charged, upto)


def _charges(entry: Entry) -> Iterable[tuple[str, Decimal]]:
    if entry.kind in FUNDED:
        for share in entry.funders:
            yield share.party, entry.amount * share.part
    if entry.acceptor:
        # A spend is a negative entry, so the acceptor's charge is negative: a rebate.
        yield entry.acceptor, entry.amount
