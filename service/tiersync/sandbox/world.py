"""The in-memory organisation behind the Capillary-shaped face: programmes, customers, groups, standings.

Verbs change it and return the facts that happened (`TierChanged`, `Change`) as values; `events` turns facts into
webhook bodies. Time is an argument. Points, rules, ladders and hierarchies will sit behind these same verbs.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tiersync.errors import LoyaltyError
from tiersync.loyalty.groups import (
    Change,
    CustomerId,
    Flags,
    Group,
    GroupId,
    GroupStatus,
    Joiner,
    Membership,
    People,
    Person,
    Register,
    Role,
)
from tiersync.sandbox.adjusting import Action, AdjustCode, Decision, Order, Rules, decide
from tiersync.sandbox.ids import number
from tiersync.sandbox.tiers import (
    FOREVER_DAYS,
    Activity,
    Direction,
    ProgramId,
    Programme,
    Standing,
    Tier,
    TierChanged,
    direction,
    expiry_after,
)

Fact = TierChanged | Change
CoreAction = Literal["auto", "upgrade", "downgrade", "renew"]
ACTION_OF: dict[Direction, CoreAction] = {"upgraded": "upgrade", "downgraded": "downgrade", "renewed": "renew"}

#: Where ids begin that the sandbox hands out itself; samples of the real thing have ids of these sizes.
FIRST_GROUP_ID = 3_918_893
FIRST_CUSTOMER_ID = 600_000_000


@dataclass(frozen=True, slots=True)
class Habits:
    """What the core does by itself; both behaviours are documented, in different years (4.3)."""

    legacy_eager_sync: bool = False
    reset_on_leave: bool = True


@dataclass(frozen=True, slots=True)
class Difference:
    """A secondary that is not in its primary's tier."""

    group: GroupId
    primary: CustomerId
    member: CustomerId
    expected: Tier
    actual: Tier


class World:
    """One organisation. `habits` and `register.flags` may be exchanged at any time."""

    def __init__(self, flags: Flags, habits: Habits) -> None:
        self.habits = habits
        self.people = People()
        self.register = Register(self.people, flags, FIRST_GROUP_ID)
        self.programmes: dict[ProgramId, Programme] = {}
        self._standings: dict[ProgramId, dict[CustomerId, Standing]] = {}

    # Programmes and standings.

    def add_programme(self, programme: Programme) -> None:
        """Add a programme, or replace the one with its id: then everybody starts again in its lowest tier."""
        self.programmes[programme.id] = programme
        self._standings[programme.id] = {}

    def programme(self, given: object) -> Programme:
        """Return a programme by the id in a request; refuses with 1101."""
        read = number(given)
        found = None if read is None else self.programmes.get(ProgramId(read))
        if found is None:
            raise LoyaltyError(f"Invalid programId {given!s:.30}", AdjustCode.PROGRAM_INVALID)
        return found

    def default_programme(self) -> Programme:
        """Return the programme marked as default, else the first; refuses with 1101 when there is none."""
        for programme in self.programmes.values():
            if programme.default:
                return programme
        for programme in self.programmes.values():
            return programme
        raise LoyaltyError("The organisation has no programme", AdjustCode.PROGRAM_INVALID)

    def standing(self, programme: Programme, customer: CustomerId) -> Standing:
        """Return where somebody stands: in the lowest tier if nothing else was decided. Refuses with 8015."""
        person = self.people.require(customer)
        held = self._standings[programme.id].get(customer)
        return held or Standing(programme.lowest, expiry_after(person.registered_on, FOREVER_DAYS))

    def place(self, programme: Programme, customers: Iterable[CustomerId], standing: Standing) -> None:
        """Put customers somewhere without anything having happened (seeding)."""
        self._standings[programme.id].update(dict.fromkeys(customers, standing))

    def standings(self) -> Iterator[tuple[Programme, CustomerId, Standing]]:
        """Yield every standing that was ever decided."""
        for program, held in self._standings.items():
            for customer, standing in held.items():
                yield self.programmes[program], customer, standing

    # Deciding tiers.

    def adjust(
        self, customer: CustomerId, programme: Programme, order: Order, now: datetime, rules: Rules
    ) -> tuple[Decision, list[Fact]]:
        """Carry out a manual adjustment. Refuses with 8015, 8925."""
        decision = decide(order, self.standing(programme, customer), now, rules)
        changed = self._move(customer, programme, decision.standing, Activity.MANUAL, now)
        # Whether an extension is told to anybody is not documented; nothing that an event could name has changed.
        return decision, [] if order.action is Action.EXTEND else self._tell(changed)

    def assign(
        self, customer: CustomerId, programme: Programme, tier: Tier | None, action: CoreAction, now: datetime
    ) -> list[Fact]:
        """Decide a tier as the core does (a rule, the nightly batch). Refuses what `action` does not allow."""
        held = self.standing(programme, customer).tier
        tier = tier or held
        way = direction(held, tier)
        if action not in ("auto", ACTION_OF[way]):
            raise LoyaltyError(f"cannot {action} from {held.name} ({held.number}) to {tier.name} ({tier.number})")
        standing = Standing(tier, expiry_after(now, tier.validity_days))
        activity = Activity.TRANSACTION if way == "upgraded" else Activity.REASSESSMENT
        return self._tell(self._move(customer, programme, standing, activity, now))

    def batch(
        self, programme: Programme, action: CoreAction, customers: Iterable[CustomerId] | None, now: datetime
    ) -> list[Fact]:
        """Renew, or move by one tier, many customers at once, as the nightly batch does; None means every primary.

        Who has no tier to go to is left out.
        """
        if customers is None:
            customers = [group.primary for group in self.register if group.primary is not None]
        step = {"upgrade": 1, "downgrade": -1}.get(action, 0)
        facts: list[Fact] = []
        for customer in customers:
            tier = programme.numbered(self.standing(programme, customer).tier.number + step)
            if tier is not None:
                facts += self.assign(customer, programme, tier, "auto", now)
        return facts

    def _move(
        self, customer: CustomerId, programme: Programme, standing: Standing, activity: Activity, now: datetime
    ) -> TierChanged:
        previous = self.standing(programme, customer).tier
        self._standings[programme.id][customer] = standing
        return TierChanged(customer, programme, direction(previous, standing.tier), previous, standing, activity, now)

    def _tell(self, changed: TierChanged) -> list[Fact]:
        """Return what follows from a decision about one customer: itself, and by the legacy switch its secondaries."""
        facts: list[Fact] = [changed]
        group = self.register.led_by(changed.customer) if self.habits.legacy_eager_sync else None
        for row in () if group is None else self.secondaries(group.id):
            facts += self._follow(row.customer, changed.programme, changed.standing, Activity.REASSESSMENT, changed.at)
        return facts

    def _follow(
        self, customer: CustomerId, programme: Programme, standing: Standing, activity: Activity, now: datetime
    ) -> list[Fact]:
        """Bring a customer to a tier, if it is not there."""
        if self.standing(programme, customer).tier.number == standing.tier.number:
            return []
        return [self._move(customer, programme, standing, activity, now)]

    # Members.

    def secondaries(self, group: GroupId) -> Iterator[Membership]:
        """Yield the active members that are not the primary."""
        return (row for row in self.register.members(group) if row.active and row.role is Role.SECONDARY)

    def join(self, group: GroupId, joiner: Joiner, now: datetime) -> list[Fact]:
        """Add a member; its tier stays what it is unless the legacy switch is on. Refuses as `Register.join`."""
        change = self.register.join(group, joiner, now)
        facts: list[Fact] = [change]
        if self.habits.legacy_eager_sync and not joiner.primary and change.group.primary is not None:
            for programme in self.programmes.values():
                standing = self.standing(programme, change.group.primary)
                facts += self._follow(joiner.customer, programme, standing, Activity.MEMBER_JOIN, now)
        return facts

    def leave(self, group: GroupId, customer: CustomerId, now: datetime) -> list[Fact]:
        """Remove a member; a secondary falls back to the lowest tier. Refuses as `Register.leave`."""
        change = self.register.leave(group, customer, now)
        facts: list[Fact] = [change]
        if self.habits.reset_on_leave and change.member is not None and change.member.role is Role.SECONDARY:
            for programme in self.programmes.values():
                standing = Standing(programme.lowest, expiry_after(now, programme.lowest.validity_days))
                facts += self._follow(customer, programme, standing, Activity.MEMBER_LEAVE, now)
        return facts

    # Looking.

    def person(self, name: str, value: str) -> Person:
        """Find a customer by identifier, `id` included. Refuses with 8015."""
        read = number(value) if name == "id" else None
        person = self.people.find(name, value) if read is None else self.people.get(CustomerId(read))
        if person is None:
            raise LoyaltyError("Customer not found", AdjustCode.CUSTOMER_UNKNOWN)
        return person

    def differences(self, programme: Programme) -> Iterator[Difference]:
        """Yield every active secondary that is not in its primary's tier.

        A member of several groups counts only in its default group (design section 7).
        """
        for group in self.register:
            if group.primary is None or group.status is not GroupStatus.ACTIVE:
                continue
            expected = self.standing(programme, group.primary).tier
            for row in self.secondaries(group.id):
                actual = self.standing(programme, row.customer).tier
                if actual.number != expected.number and self._follows(row, group):
                    yield Difference(group.id, group.primary, row.customer, expected, actual)

    def _follows(self, row: Membership, group: Group) -> bool:
        return row.default or self.register.groups_of(row.customer) == (group,)
