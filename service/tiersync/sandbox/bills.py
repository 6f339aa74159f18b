"""Pure. Bills: transactions and their returns, from a customer's purchase to points, tiers and facts.

What a bill earns is the core's business; here it is decided for which group it was made (4.2 of
`contracts/capillary.md`), and which bill a return undoes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tiersync.errors import LoyaltyError
from tiersync.loyalty import events as on
from tiersync.loyalty.events import ZERO, Event, EventId, Line
from tiersync.loyalty.groups import Code, CustomerId, Group, GroupId, GroupStatus
from tiersync.loyalty.records import Entry, Kind
from tiersync.loyalty.state import Receipt
from tiersync.sandbox.core import customer_named, group_named
from tiersync.sandbox.tiers import Activity, PointsContributed, Programme
from tiersync.sandbox.world import Fact, World

INVALID = 400
WHOLE = "bill"
"""The one line of a bill whose items do not add up to its amount."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A transaction as it was sent. `items` are (item code, quantity, amount)."""

    customer: CustomerId
    number: str
    amount: Decimal
    programme: Programme
    group: Group | None = None
    items: tuple[tuple[str, int, Decimal], ...] = ()
    fields: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Return:
    """A return as it was sent: of everything, of some items, or of so much of the amount."""

    customer: CustomerId
    number: str
    items: tuple[tuple[str, int, Decimal], ...] = ()
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Bill:
    """A transaction that was taken up."""

    id: int
    customer: CustomerId
    number: str
    event: EventId
    group: GroupId | None


@dataclass(frozen=True, slots=True)
class Points:
    """What a transaction or return did to one wallet."""

    programme: Programme
    customer: CustomerId | None
    group: GroupId | None
    promotional: bool
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Effect:
    """What became of a transaction or return."""

    bill: Bill
    points: tuple[Points, ...]
    facts: tuple[Fact, ...]


FIRST_BILL_ID = 430_310_001


class Bills:
    """The transactions of one organisation."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._bills: dict[tuple[CustomerId, str], Bill] = {}
        self._next_id = FIRST_BILL_ID
        self._contributed: dict[tuple[GroupId, CustomerId], Decimal] = {}
        self._bought: dict[GroupId, Decimal] = {}

    def group_for(self, customer: CustomerId, named: Group | None) -> Group | None:
        """Return the group a transaction is made for: the one named, else the customer's default one.

        Refuses with 1620 to name a group that the customer is not in. A group that is not ACTIVE takes part in
        nothing; a fleet (a group with a hierarchy) only where FLEET_GROUP_LOYALTY_ENABLED is on.
        """
        register = self._world.register
        if named is not None:
            if register.membership(named.id, customer) is None:
                raise LoyaltyError("User is not part of the group", Code.NOT_IN_GROUP)
            return named if self._takes_part(named) else None
        if not register.flags.groups_enabled:
            return None
        for group in register.groups_of(customer):
            row = register.membership(group.id, customer)
            if row is not None and row.default and self._takes_part(group):
                return group
        return None

    def _takes_part(self, group: Group) -> bool:
        fleet_off = group.hierarchy is not None and not self._world.habits.fleet_loyalty
        return group.status is GroupStatus.ACTIVE and not fleet_off

    def add(self, draft: Draft, now: datetime) -> Effect:
        """Take up a transaction. Refuses a bill number that the customer has already."""
        key = (draft.customer, draft.number)
        if key in self._bills:
            raise LoyaltyError(f"bill number {draft.number:.60} exists already for this customer", INVALID)
        world = self._world
        holder = world.places.meet(draft.customer)
        group = None if draft.group is None else draft.group.id
        attrs = self._attributes(draft)
        receipt = world.core.submit(on.PURCHASE, holder, now, lines=_lines(draft), attrs=attrs)
        bill = Bill(self._next_id, draft.customer, draft.number, receipt.event.id, group)
        self._next_id += 1
        self._bills[key] = bill
        self._count_bought(bill, draft.amount)
        return self._effect(bill, receipt, Activity.TRANSACTION)

    def give_back(self, wanted: Return, now: datetime) -> Effect:
        """Return a transaction or part of it: what it earned is reversed, and so is the tier it led to.

        Refuses an unknown bill, more than is left of it, and the bill of a group that the customer has left unless
        CONF_ALLOW_TRANSACTION_RETURN_AFTER_GROUP_TRANSITION is on.
        """
        world = self._world
        bill = self._bills.get((wanted.customer, wanted.number))
        if bill is None:
            raise LoyaltyError(f"there is no transaction {wanted.number:.60} of this customer", INVALID)
        left = bill.group is not None and world.register.membership(bill.group, bill.customer) is None
        if left and not world.habits.return_after_transition:
            raise LoyaltyError("the customer has left the group this transaction was made for", INVALID)
        event = world.core.engine.event(bill.event)
        if not event.lines:
            raise LoyaltyError(f"transaction {wanted.number:.60} was returned already: nothing is left of it", INVALID)
        name = world.core.next_id()
        receipt = world.core.noted(world.core.engine.reverse(bill.event, now, _returned(event, wanted), reversal=name))
        self._count_bought(bill, world.core.engine.event(bill.event).amount - event.amount)
        return self._effect(bill, receipt, Activity.RETURN)

    def _attributes(self, draft: Draft) -> dict[str, object]:
        world, group = self._world, draft.group
        attrs: dict[str, object] = {f"extField_{name}": value for name, value in (draft.fields or {}).items()}
        attrs |= {"billNumber": draft.number, "program": world.programmes.scheme(draft.programme).program}
        if group is None or (group.hierarchy is not None and world.habits.fleet_entity == "USER"):
            return attrs
        attrs |= {"group": world.places.meet_group(group), "memberCount": world.register.active_count(group.id)}
        if group.primary is not None and group.primary != draft.customer:
            attrs["primary"] = world.places.meet(group.primary)
        if group.hierarchy is not None:
            attrs["fleet"] = True
        return attrs

    def _effect(self, bill: Bill, receipt: Receipt, activity: Activity) -> Effect:
        world = self._world
        points = tuple(each for entry in receipt.entries if (each := self.points_of(entry)) is not None)
        facts = world.told(receipt, activity)
        for each in points:
            if each.group is not None:
                key = (each.group, bill.customer)
                self._contributed[key] = self._contributed.get(key, ZERO) + each.amount
            if each.group is not None and each.amount > 0 and activity is Activity.TRANSACTION:
                facts.append(
                    PointsContributed(bill.customer, each.group, each.programme, each.amount, receipt.event.at)
                )
        return Effect(bill, points, tuple(facts))

    def points_of(self, entry: Entry) -> Points | None:
        """Return what an entry did to a wallet; None for one of a programme that was replaced."""
        found = self._world.programmes.wallet(entry.account)
        if found is None or entry.kind not in {Kind.EARN, Kind.REVERSE}:
            return None
        return Points(found[0], customer_named(entry.holder), group_named(entry.holder), found[1], entry.amount)

    def contributed(self, group: GroupId, customer: CustomerId) -> Decimal:
        """Return the points a member's transactions brought to a group, less what was returned."""
        return self._contributed.get((group, customer), ZERO)

    def bought(self, group: GroupId) -> Decimal:
        """Return what was bought for a group and not returned."""
        return self._bought.get(group, ZERO)

    def _count_bought(self, bill: Bill, amount: Decimal) -> None:
        if bill.group is not None:
            self._bought[bill.group] = self.bought(bill.group) + amount


def _lines(draft: Draft) -> tuple[Line, ...]:
    """The items as lines; where they do not add up (a discount on the whole bill), the bill is one line."""
    if not draft.items or sum((amount for _, _, amount in draft.items), ZERO) != draft.amount:
        return (Line(WHOLE, draft.amount),)
    return tuple(
        Line(str(position), amount, quantity, item) for position, (item, quantity, amount) in enumerate(draft.items)
    )


def _returned(event: Event, wanted: Return) -> Sequence[Line] | None:
    """The lines of a bill that come back; None for all of it."""
    if wanted.amount is not None:
        return _amount_off(event, wanted.amount)
    if not wanted.items:
        return None
    left = list(event.lines)
    back: dict[str, Line] = {}
    for item, quantity, amount in wanted.items:
        line = next((row for row in left if row.item == item and row.id not in back), None)
        if line is None:
            raise LoyaltyError(f"item {item:.60} is not on the bill, or not any more", INVALID)
        back[line.id] = Line(line.id, amount, quantity, item)
    return tuple(back.values())


def _amount_off(event: Event, amount: Decimal) -> Sequence[Line]:
    """So much of the bill, from its first lines."""
    if not ZERO < amount <= event.amount:
        raise LoyaltyError(f"{amount} cannot be returned: {event.amount} is left of the bill", INVALID)
    lines: list[Line] = []
    for line in event.lines:
        part = min(line.amount, amount)
        amount -= part
        whole = part == line.amount
        if part:
            lines.append(Line(line.id, part, line.quantity if whole else 0, line.item))
    return tuple(lines)
