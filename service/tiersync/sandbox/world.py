"""The organisation behind the Capillary-shaped face: programmes, customers, groups, and one engine of the core.

Verbs change it and return the facts that happened (`TierChanged`, `Change`) as values; `events` turns facts into
webhook bodies. Time is an argument.

Where the cut runs: every tier of everybody is decided by an event of the core, and read from its ladders; a programme
of bare tier names is a ladder nobody climbs by buying. `catalogue` has the programmes, `places` who stands where.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Literal

from tiersync.errors import LoyaltyError
from tiersync.loyalty.capillary import SlabAction
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
from tiersync.loyalty.records import LevelMove, Move, Reason
from tiersync.loyalty.schemes import Scheme
from tiersync.loyalty.state import Receipt
from tiersync.sandbox.adjusting import AdjustCode, Decision, Order, Rules, Validity, decide
from tiersync.sandbox.catalogue import Catalogue
from tiersync.sandbox.core import SECOND, Core, customer_named, group_named
from tiersync.sandbox.ids import number
from tiersync.sandbox.places import Places
from tiersync.sandbox.tiers import (
    FOREVER_DAYS,
    Activity,
    Direction,
    PointsContributed,
    Programme,
    SlabLogged,
    Standing,
    Tier,
    TierChanged,
    direction,
    expiry_after,
)

Fact = TierChanged | Change | PointsContributed
CoreAction = Literal["auto", "upgrade", "downgrade", "renew"]
ACTION_OF: dict[Direction, CoreAction] = {"upgraded": "upgrade", "downgraded": "downgrade", "renewed": "renew"}
WAYS: dict[Move, Direction] = {Move.UP: "upgraded", Move.DOWN: "downgraded", Move.RENEW: "renewed"}

#: Where ids begin that the sandbox hands out itself; samples of the real thing have ids of these sizes.
FIRST_GROUP_ID = 3_918_893
FIRST_CUSTOMER_ID = 600_000_000


@dataclass(frozen=True, slots=True)
class Habits:
    """What the core does by itself, and when; see the switches of the organisation, which have the same names."""

    legacy_eager_sync: bool = False
    reset_on_leave: bool = True
    fleet_loyalty: bool = False
    fleet_entity: Literal["USER", "USERGROUP2"] = "USERGROUP2"
    return_after_transition: bool = False
    group_redemption: bool = True
    cross_member_redemption: bool = False
    batch_at: time = time(2, 30)


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
        self.core = Core()
        self.programmes = Catalogue(self.core)
        self.places = Places(self.core, self.people, self.programmes)
        self.slab_log: dict[GroupId, list[SlabLogged]] = {}

    def add_programme(self, programme: Programme, scheme: Callable[[str], Scheme], now: datetime) -> None:
        """Add a programme, or replace the one with its id: then everybody starts again in it, points included.

        Refuses a bad condition.
        """
        self.programmes.add(programme, scheme, now)
        self.places.begin(programme)

    # Deciding tiers.

    def adjust(
        self, customer: CustomerId, programme: Programme, order: Order, now: datetime, rules: Rules
    ) -> tuple[Decision, list[Fact]]:
        """Carry out a manual adjustment. Refuses with 8015, 8925."""
        decision = decide(order, self.places.standing(programme, customer), now, rules)
        by_ladder = programme.ruled and order.validity is Validity.STRATEGY
        until = None if by_ladder else decision.standing.expires
        facts = self._move(customer, programme, decision.standing.tier, until, Activity.MANUAL, now)
        if by_ladder:
            decision = replace(decision, standing=self.places.standing(programme, customer))
        # Whether an extension is told to anybody is not documented; nothing that an event could name has changed.
        return decision, [] if order.action is SlabAction.EXTEND else facts

    def adjust_group(self, group: Group, programme: Programme, order: Order, now: datetime, rules: Rules) -> Decision:
        """Carry out a manual adjustment of a group's own tier; its tier log tells of it. Refuses with 8925."""
        decision = decide(order, self.places.group_standing(programme, group), now, rules)
        scheme, holder = self.programmes.scheme(programme).program, self.places.meet_group(group)
        by_ladder = programme.ruled and order.validity is Validity.STRATEGY
        until = None if by_ladder else decision.standing.expires
        self.told(self.core.place(scheme, holder, decision.standing.tier.name, now, until), Activity.MANUAL)
        return replace(decision, standing=self.places.group_standing(programme, group))

    def assign(
        self, customer: CustomerId, programme: Programme, tier: Tier | None, action: CoreAction, now: datetime
    ) -> list[Fact]:
        """Decide a tier as the core does (a rule, the nightly batch). Refuses what `action` does not allow."""
        held = self.places.standing(programme, customer).tier
        tier = tier or held
        way = direction(held, tier)
        if action not in ("auto", ACTION_OF[way]):
            raise LoyaltyError(f"cannot {action} from {held.name} ({held.number}) to {tier.name} ({tier.number})")
        until = None if programme.ruled else expiry_after(now, tier.validity_days)
        activity = Activity.TRANSACTION if way == "upgraded" else Activity.REASSESSMENT
        return self._move(customer, programme, tier, until, activity, now)

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
            tier = programme.numbered(self.places.standing(programme, customer).tier.number + step)
            if tier is not None:
                facts += self.assign(customer, programme, tier, "auto", now)
        return facts

    def run(self, now: datetime) -> list[Fact]:
        """Do what fell due by the last nightly batch: points expire, tiers are reviewed.

        What is told is dated when the batch ran, as in the samples: in the night, not at midnight.
        """
        self.places.meet_planted()
        return self.told(self.core.engine.run(self._batch_before(now)), Activity.REASSESSMENT)

    def _batch_before(self, now: datetime) -> datetime:
        """Return the last moment at which the batch ran."""
        tonight = datetime.combine(now.date(), self.habits.batch_at, UTC)
        return tonight if tonight <= now else tonight - timedelta(days=1)

    def _batch_after(self, due: datetime) -> datetime:
        """Return when the batch first ran that noticed what fell due then."""
        before = self._batch_before(due)
        return before if before == due else before + timedelta(days=1)

    def told(self, receipt: Receipt, activity: Activity, *, led: bool = True) -> list[Fact]:
        """Return the facts that the moves of a receipt are, and by the legacy switch what the secondaries `led` do.

        Moves of a group go to its own log. The yearly review of the lowest tier is no news.
        """
        facts: list[Fact] = []
        for move in receipt.moves:
            programme = self.programmes.on_ladder(move.ladder)
            reviewed = move.reason is Reason.REVIEW
            if programme is None or move.move is Move.START:
                continue
            told = self._fact(move, programme, activity)
            if reviewed and told.direction == "renewed" and told.standing.tier.number == 1:
                continue
            if reviewed:
                told = replace(told, at=self._batch_after(told.at))
            group = group_named(move.holder)
            if group is None:
                self.places.note(programme, told.customer)
                facts += [told, *(self._eagerly(told) if led else ())]
            else:
                line = SlabLogged(told.programme, told.direction, told.previous, told.standing, told.at)
                self.slab_log.setdefault(group, []).append(line)
        return facts

    def _fact(self, move: LevelMove, programme: Programme, activity: Activity) -> TierChanged:
        expires = expiry_after(move.at, FOREVER_DAYS) if move.until is None else move.until - SECOND
        before, after = (programme.named(name) or programme.lowest for name in (move.before, move.after))
        customer = customer_named(move.holder) or CustomerId(0)
        return TierChanged(customer, programme, WAYS[move.move], before, Standing(after, expires), activity, move.at)

    def _move(
        self,
        customer: CustomerId,
        programme: Programme,
        tier: Tier,
        expires: datetime | None,
        activity: Activity,
        now: datetime,
    ) -> list[Fact]:
        return self.told(self.places.put(customer, programme, tier, expires, now), activity)

    def _eagerly(self, changed: TierChanged) -> list[Fact]:
        """By the legacy switch, bring the secondaries along."""
        facts: list[Fact] = []
        group = self.register.led_by(changed.customer) if self.habits.legacy_eager_sync else None
        for row in () if group is None else self.secondaries(group.id):
            facts += self._follow(row.customer, changed.programme, changed.standing, Activity.REASSESSMENT, changed.at)
        return facts

    def _follow(
        self, customer: CustomerId, programme: Programme, standing: Standing, activity: Activity, now: datetime
    ) -> list[Fact]:
        """Bring a customer to a tier, if it is not there."""
        if self.places.standing(programme, customer).tier.number == standing.tier.number:
            return []
        return self.told(
            self.places.put(customer, programme, standing.tier, standing.expires, now), activity, led=False
        )

    # Members.

    def secondaries(self, group: GroupId) -> Iterator[Membership]:
        """Yield the active members that are not the primary."""
        return (row for row in self.register.members(group) if row.active and row.role is Role.SECONDARY)

    def join(self, group: GroupId, joiner: Joiner, now: datetime) -> list[Fact]:
        """Add a member; its tier stays what it is unless the legacy switch is on. Refuses as `Register.join`."""
        change = self.register.join(group, joiner, now)
        facts: list[Fact] = [change]
        if self.habits.legacy_eager_sync and not joiner.primary and change.group.primary is not None:
            for programme in self.programmes:
                standing = self.places.standing(programme, change.group.primary)
                facts += self._follow(joiner.customer, programme, standing, Activity.MEMBER_JOIN, now)
        return facts

    def leave(self, group: GroupId, customer: CustomerId, now: datetime) -> list[Fact]:
        """Remove a member; a secondary falls back to the lowest tier. Refuses as `Register.leave`."""
        change = self.register.leave(group, customer, now)
        facts: list[Fact] = [change]
        if self.habits.reset_on_leave and change.member is not None and change.member.role is Role.SECONDARY:
            for programme in self.programmes:
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
            expected = self.places.standing(programme, group.primary).tier
            for row in self.secondaries(group.id):
                actual = self.places.standing(programme, row.customer).tier
                if actual.number != expected.number and self._follows(row, group):
                    yield Difference(group.id, group.primary, row.customer, expected, actual)

    def _follows(self, row: Membership, group: Group) -> bool:
        return row.default or self.register.groups_of(row.customer) == (group,)
