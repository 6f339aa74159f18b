"""Pure. Redeeming and moving points: a customer's or a group's, of one programme or of all (seed 002, 3.9, 4.2, 4.4).

Who may: the primary always; a secondary only with the permission, and a block wins over it (the pages do not say).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from tiersync.errors import LoyaltyError
from tiersync.loyalty.accounts import AccountKey, AccountName
from tiersync.loyalty.capillary import move_to_group
from tiersync.loyalty.engine import Occasion
from tiersync.loyalty.events import Event, EventId, HolderId, ProgrammeId
from tiersync.loyalty.group_redemption import MultiProgramme
from tiersync.loyalty.groups import Code, CustomerId, Group, GroupId, GroupStatus, Permission, Role, refuse
from tiersync.loyalty.ledger import INSUFFICIENT
from tiersync.loyalty.programmes import INVALID_POINTS
from tiersync.loyalty.programmes import Programme as CoreProgramme
from tiersync.loyalty.programmes import Redemption as Redeemable
from tiersync.loyalty.state import Receipt
from tiersync.sandbox.bills import Bills
from tiersync.sandbox.core import Core, group_holder, group_named, holder_of
from tiersync.sandbox.tiers import ProgramId, Programme
from tiersync.sandbox.world import World

NO_PERMISSION = 830
PROCESSING_FAILED = 889
POINTS_INVALID_V2 = 422
FIRST_REDEMPTION_ID = 7_250_001
NEVER = datetime.max.replace(tzinfo=UTC)

ALLOWING = {
    "redemption": (Permission.ALLOW_REDEMPTION, Permission.BLOCK_REDEMPTION),
    "transfer": (Permission.ALLOW_TRANSFER, Permission.BLOCK_TRANSFER),
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to redeem. `group` is the wallet drawn on, else the customer's own."""

    customer: CustomerId
    points: Decimal
    programme: Programme
    group: Group | None = None
    grouped: bool = False
    reference: str = ""
    number: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """How much came out of one programme, and what is left there."""

    programme: ProgramId
    points: Decimal
    left: Decimal


@dataclass(frozen=True, slots=True)
class Redemption:
    """A redemption that was carried out."""

    id: int
    wish: Wish
    at: datetime
    worth: Decimal
    shares: tuple[Share, ...]
    #: Whose wallets were drawn on, where it was not just one.
    givers: tuple[tuple[HolderId, Decimal], ...] = ()

    @property
    def left(self) -> Decimal:
        """What is left in the programmes drawn on."""
        return sum((share.left for share in self.shares), Decimal(0))


@dataclass(frozen=True, slots=True)
class Transfer:
    """Points on their way. `giver` and `taker` are holders of the core; `by` is who moves them."""

    giver: HolderId
    taker: HolderId
    by: CustomerId | None
    points: Decimal
    programme: Programme
    grouped: bool = False


@dataclass(frozen=True, slots=True)
class Transferred:
    """A transfer that was carried out."""

    id: int
    transfer: Transfer
    at: datetime
    shares: tuple[Share, ...]


class Wallets:
    """Redemptions and transfers of one organisation."""

    def __init__(self, world: World, bills: Bills) -> None:
        self._world = world
        self._bills = bills
        self._next_id = FIRST_REDEMPTION_ID
        self._by_reference: dict[tuple[CustomerId, str], Redemption] = {}
        self._history: dict[CustomerId, list[Redemption]] = {}

    # Redeeming.

    def redeemable(self, wish: Wish, now: datetime) -> Decimal:
        """Return what the points are worth, if they could be redeemed now. Refuses as `redeem`; writes nothing."""
        if not any(self._world.core.knows(holder) for holder in self._sources(wish)):
            # Nobody is met by a question: whom the core does not know has no points.
            raise LoyaltyError("insufficient points: there are none", INSUFFICIENT)
        event = self._redemption(wish, EventId("preview"), now)
        for part in self._parts(wish, event, now):
            self._world.core.engine.preview(part)
        return self._worth(event)

    def redeem(self, wish: Wish, now: datetime) -> tuple[Redemption, bool]:
        """Redeem; says whether this reference was carried out before, which then is the answer again.

        Refuses with 801, 818, 830, 889, 1101, 1620, 1645 and 3316.
        """
        key = (wish.customer, wish.reference)
        if wish.reference and key in self._by_reference:
            return self._by_reference[key], True
        core = self._world.core
        event = self._redemption(wish, core.next_id(), now)
        parts = self._parts(wish, event, now)
        receipts = [core.engine.submit(part) for part in parts]
        givers = tuple((part.holder, part.spend) for part in parts if part is not event)
        done = Redemption(self._next_id, wish, now, self._worth(event), self._shares(receipts), givers)
        self._next_id += 1
        self._history.setdefault(wish.customer, []).append(done)
        if wish.reference:
            self._by_reference[key] = done
        return done, False

    def history(self, customer: CustomerId) -> list[Redemption]:
        """Return a customer's redemptions, the newest first."""
        return list(reversed(self._history.get(customer, [])))

    def _redemption(self, wish: Wish, name: EventId, now: datetime) -> Event:
        world = self._world
        if wish.points <= 0:
            raise LoyaltyError("invalid points", INVALID_POINTS)
        if wish.group is None:
            holder = world.places.meet(wish.customer)
        else:
            self._require_permission(wish.group, wish.customer, "redemption")
            holder = world.places.meet_group(wish.group)
        if wish.grouped and not world.habits.group_redemption:
            raise LoyaltyError("group redemption is not enabled for the organisation", PROCESSING_FAILED)
        body = {
            "points": wish.points,
            "program_id": world.programmes.scheme(wish.programme).program,
            "group_redemption": wish.grouped,
        }
        return self._programmes().redeem(name, holder, now, body)

    def _sources(self, wish: Wish) -> list[HolderId]:
        """Return whose wallets are drawn on: the customer's, the group's, or the group's and its members' by flag."""
        if wish.group is None:
            return [holder_of(wish.customer)]
        across = self._world.habits.cross_member_redemption
        rows = self._world.register.members(wish.group.id) if across else ()
        return [group_holder(wish.group.id), *(holder_of(row.customer) for row in rows if row.active)]

    def _parts(self, wish: Wish, event: Event, now: datetime) -> list[Event]:
        """Return what each source gives: of one source the event itself, of several what dies first, first.

        Refuses with 818, and with 801 what the programme does not let be redeemed at once.
        """
        core = self._world.core
        sources = [holder for holder in self._sources(wish) if core.knows(holder)]
        occasion = Occasion(event.id, now, attrs={"accounts": event.attrs["accounts"]})
        room = {holder: core.engine.spendable(holder, occasion) for holder in sources}
        most = sum(room.values(), Decimal(0))
        if wish.points > most:
            raise LoyaltyError(f"insufficient points: at most {most} can be redeemed", INSUFFICIENT)
        if sources == [event.holder]:
            return [event]
        self._redemption_rules(event).check(wish.points)
        taken = _first_to_die(core, room, event.names("accounts"), wish.points, now)
        attrs = {name: value for name, value in event.attrs.items() if name != "programme"}
        return [
            replace(event, id=EventId(f"{event.id}/{holder}"), holder=holder, spend=amount, attrs=attrs)
            for holder, amount in taken.items()
        ]

    def _programmes(self) -> MultiProgramme:
        """All programmes, the default one first: it doubles as the group programme."""
        programmes = self._world.programmes
        first = programmes.default()
        rest = [programmes.scheme(each).program for each in programmes if each.id != first.id]
        house = programmes.scheme(first)
        return MultiProgramme((house.program, *rest), house.redeem, house.transfer)

    def _worth(self, event: Event) -> Decimal:
        return self._programme(event).redemption.worth(event.spend)

    def _redemption_rules(self, event: Event) -> Redeemable:
        return self._programme(event).redeemed_by(event.option("strategy"))

    def _programme(self, event: Event) -> CoreProgramme:
        return self._world.core.engine.setup.programme(ProgrammeId(event.text("programme")))

    def _shares(self, receipts: Iterable[Receipt]) -> tuple[Share, ...]:
        """Say how much came out of which programme, and what is left there of those who gave."""
        engine = self._world.core.engine
        taken: dict[ProgramId, Decimal] = {}
        left: dict[AccountKey, tuple[ProgramId, Decimal]] = {}
        for receipt in receipts:
            for entry in receipt.entries:
                found = self._world.programmes.wallet(entry.account)
                if found is not None and entry.amount < 0 and entry.holder == receipt.event.holder:
                    taken[found[0].id] = taken.get(found[0].id, Decimal(0)) - entry.amount
                    left[entry.key] = (found[0].id, engine.balance(entry.holder, entry.account, entry.at))
        return tuple(
            Share(program, points, sum((rest for of, rest in left.values() if of == program), Decimal(0)))
            for program, points in taken.items()
        )

    # Moving.

    def transfer(self, wanted: Transfer, now: datetime, *, check_only: bool = False) -> Transferred:
        """Move points. Refuses with 422, 818, 830, 1101 and 1651."""
        if wanted.points <= 0 or wanted.giver == wanted.taker:
            raise LoyaltyError("pointsToBeTransferred value is invalid", POINTS_INVALID_V2)
        for holder in (wanted.giver, wanted.taker):
            group = group_named(holder)
            if group is not None:
                self._require_mover(self._world.register.find(group=group), wanted, gives=holder == wanted.giver)
        core = self._world.core
        name = EventId("preview") if check_only else core.next_id()
        body = {
            "points": wanted.points,
            "to": wanted.taker,
            "program_id": self._world.programmes.scheme(wanted.programme).program,
            "group_transfer": wanted.grouped,
        }
        event = self._programmes().transfer(name, wanted.giver, now, body)
        receipt = core.engine.preview(event) if check_only else core.engine.submit(event)
        done = Transferred(self._next_id, wanted, now, self._shares([receipt]))
        self._next_id += 0 if check_only else 1
        return done

    def move_in(self, customer: CustomerId, group: Group | None, now: datetime) -> tuple[Group, Decimal]:
        """The custom job when somebody joined a group: all points go to its wallet, promotional ones stay.

        Without a group the customer's default one is meant. Refuses with 1620 and 1647.
        """
        world = self._world
        target = group or self.default_group(customer)
        if world.register.membership(target.id, customer) is None:
            raise refuse(Code.NOT_IN_GROUP)
        holder, taker = world.places.meet(customer), world.places.meet_group(target)
        moved = Decimal(0)
        for event in move_to_group(world.core.engine, world.core.next_id(), holder, taker, now):
            world.core.engine.submit(event)
            moved += event.amount
        return target, moved

    def default_group(self, customer: CustomerId) -> Group:
        """Return the customer's default group. Refuses with 1647."""
        group = self._bills.group_for(customer, None)
        if group is None:
            raise refuse(Code.NO_DEFAULT_GROUP)
        return group

    def holder(self, customer: CustomerId | None, group: GroupId | None) -> HolderId:
        """Return the holder a transfer names, known to the core from now on. Refuses with 8015 and 1632."""
        if group is None:
            return self._world.places.meet(customer or CustomerId(-1))
        return self._world.places.meet_group(self._world.register.find(group=group))

    def _require_mover(self, group: Group, wanted: Transfer, *, gives: bool) -> None:
        if wanted.by is None or self._world.register.membership(group.id, wanted.by) is None:
            raise refuse(Code.NOT_A_MEMBER)
        if gives:
            self._require_permission(group, wanted.by, "transfer")
        elif wanted.giver != holder_of(wanted.by) and group_holder(group.id) != wanted.giver:
            raise LoyaltyError("transferredBy must be the customer the points come from", NO_PERMISSION)

    def _require_permission(self, group: Group, customer: CustomerId, what: str) -> None:
        row = self._world.register.membership(group.id, customer)
        if row is None:
            raise refuse(Code.NOT_IN_GROUP)
        if group.status is not GroupStatus.ACTIVE:
            raise LoyaltyError(f"group is {group.status}", Code.DETAILS_INVALID)
        allow, block = ALLOWING[what]
        if row.role is not Role.PRIMARY and (allow not in row.permissions or block in row.permissions):
            raise LoyaltyError(f"the customer has no permission for points {what}", NO_PERMISSION)


def _first_to_die(
    core: Core, room: Mapping[HolderId, Decimal], accounts: Iterable[str], points: Decimal, now: datetime
) -> dict[HolderId, Decimal]:
    """Say who gives how much: the lots of all in the order in which they die, then in that of their award."""
    lots = [
        (lot.terms.expires_at or NEVER, lot.issued, lot.id, holder, lot.left)
        for holder in room
        for account in accounts
        for lot in core.engine.lots(holder, AccountName(account))
        if lot.usable(now)
    ]
    taken: dict[HolderId, Decimal] = {}
    for *_, holder, left in sorted(lots):
        part = min(left, points, room[holder] - taken.get(holder, Decimal(0)))
        if part > 0:
            taken[holder] = taken.get(holder, Decimal(0)) + part
            points -= part
    return taken
