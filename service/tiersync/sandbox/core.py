"""Pure. The organisation's one engine of the loyalty core, and the names its customers and groups carry there.

The core meets a customer (registers the holder) at the first thing that happens to them, and not before: seeding
30,000 members stays 30,000 rows of a dictionary. A holder's standing is the core's from then on.

    define      programmes come, or come anew
    meet        a customer or group becomes a holder
    submit      an event, numbered in the order of submission, so that the same calls lead to the same ledger
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tiersync.loyalty import events as on
from tiersync.loyalty.accounts import AccountKey  # noqa: TC001 - kept plain, as everywhere here
from tiersync.loyalty.capillary import points, promotional, slabs
from tiersync.loyalty.engine import Engine
from tiersync.loyalty.events import ZERO, Event, EventId, HolderId, Line
from tiersync.loyalty.groups import CustomerId, GroupId
from tiersync.loyalty.records import Kind
from tiersync.loyalty.schemes import Scheme, assemble
from tiersync.loyalty.state import Receipt

CUSTOMER, GROUP = "customer/", "group/"

#: A validity ends with a day's last second (`contracts/capillary.md` 1.7); the core reviews in the next one.
SECOND = timedelta(seconds=1)


def holder_of(customer: CustomerId) -> HolderId:
    """Return the name a customer carries in the core."""
    return HolderId(f"{CUSTOMER}{customer}")


def group_holder(group: GroupId) -> HolderId:
    """Return the name a group carries in the core."""
    return HolderId(f"{GROUP}{group}")


def customer_named(holder: str) -> CustomerId | None:
    """Return the customer behind a holder, None if it is a group."""
    return CustomerId(int(holder.removeprefix(CUSTOMER))) if holder.startswith(CUSTOMER) else None


def group_named(holder: str) -> GroupId | None:
    """Return the group behind a holder, None if it is a customer."""
    return GroupId(int(holder.removeprefix(GROUP))) if holder.startswith(GROUP) else None


class Core:
    """The engine, and who is known to it."""

    def __init__(self) -> None:
        self._schemes: dict[str, Scheme] = {}
        self._retired: list[Scheme] = []
        self._holders: dict[HolderId, None] = {}
        self._count = 0
        self._earned: dict[AccountKey, Decimal] = {}
        self.engine = Engine(assemble(()))

    # Programmes.

    def define(self, scheme: Scheme, at: datetime, instead_of: str | None = None) -> None:
        """Take up a programme; everybody known joins it. Refuses a bad condition, and nothing has changed then."""
        schemes = {name: each for name, each in self._schemes.items() if name != instead_of}
        gone = self._schemes.get(instead_of or "")
        retired = self._retired if gone is None else [*self._retired, gone]
        schemes[scheme.program] = scheme
        self.engine.extend(assemble(tuple(schemes.values()), retired))
        self._schemes, self._retired = schemes, retired
        for holder in self._holders:
            self.submit(on.JOIN, holder, at, attrs={"programme": scheme.program})

    # Holders.

    def knows(self, holder: HolderId) -> bool:
        """Say whether somebody has been met."""
        return holder in self._holders

    def meet(self, holder: HolderId, since: datetime) -> bool:
        """Register a holder, if it is not known; says whether it was new. The programmes take it in."""
        if holder in self._holders:
            return False
        self.submit(on.REGISTER, holder, since)
        self._holders[holder] = None
        return True

    # Events.

    def submit(
        self,
        kind: str,
        holder: HolderId,
        at: datetime,
        amount: Decimal = ZERO,
        lines: Sequence[Line] = (),
        attrs: Mapping[str, Any] | None = None,
    ) -> Receipt:
        """Submit an event under the next number."""
        return self.noted(
            self.engine.submit(Event(self.next_id(), kind, holder, at, amount, tuple(lines), attrs or {}))
        )

    def noted(self, receipt: Receipt) -> Receipt:
        """Count what a receipt earned or took back."""
        for entry in receipt.entries:
            if entry.kind in {Kind.EARN, Kind.REVERSE}:
                self._earned[entry.key] = self._earned.get(entry.key, ZERO) + entry.amount
        return receipt

    def next_id(self) -> EventId:
        """Return an id that no event carries yet."""
        self._count += 1
        return EventId(f"event/{self._count}")

    def place(self, scheme: str, holder: HolderId, level: str, at: datetime, expires: datetime | None) -> Receipt:
        """Put a holder on a slab by hand; without `expires` the ladder's own review decides until when."""
        attrs = {"ladder": slabs(scheme), "level": level}
        if expires is not None:
            attrs["until"] = (expires + SECOND).isoformat()
        return self.submit(on.ADJUST_LEVEL, holder, at, attrs=attrs)

    # Reading.

    def rank(self, scheme: str, holder: HolderId) -> tuple[int, datetime, datetime | None]:
        """Return somebody's rank (0 is the lowest), since when, and the last second of its validity if there is one."""
        standing = self.engine.standing(holder, slabs(scheme))
        return standing.rank, standing.since, None if standing.until is None else standing.until - SECOND

    def points(self, scheme: str, holder: HolderId, at: datetime) -> Decimal:
        """Return the points in a wallet, zero for somebody not met."""
        return self.engine.balance(holder, points(scheme), at) if holder in self._holders else ZERO

    def promotional_points(self, scheme: str, holder: HolderId, at: datetime) -> Decimal:
        """Return the promotional points in a wallet, zero for somebody not met."""
        return self.engine.balance(holder, promotional(scheme), at) if holder in self._holders else ZERO

    def earned(self, scheme: str, holder: HolderId) -> Decimal:
        """Return all points a wallet was ever credited, less what returns took back."""
        return self._earned.get((holder, points(scheme)), ZERO)

    def dying(self, scheme: str, holder: HolderId, at: datetime) -> list[tuple[Decimal, datetime]]:
        """Return which points of a wallet die when, the soonest first."""
        lots = self.engine.lots(holder, points(scheme)) if holder in self._holders else []
        return [(lot.left, ends) for lot in lots if (ends := lot.terms.expires_at) is not None and ends > at]
