"""Pure. A Capillary programme as one value, and several of them as one set-up of the core.

A scheme is what an administrator configures for one programme: slabs and how one gets and keeps them, workflows,
promotions, expiry, redemption. `assemble` turns schemes into accounts, rules and ladders.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from tiersync.errors import LoyaltyError
from tiersync.loyalty.accounts import Expiry, Never
from tiersync.loyalty.capillary import (
    RESOLVER,
    Allocation,
    Branch,
    allocate,
    bonus,
    promotion,
    tiers,
    wallets,
    workflow,
)
from tiersync.loyalty.events import ZERO, Event, HolderId, ProgrammeId
from tiersync.loyalty.group_redemption import BY_PAYLOAD, HANDED_BY_PAYLOAD, Handing, MultiProgramme, Redeeming
from tiersync.loyalty.ladders import Anchor, Fall, Ladder, Level, Metric, Purchases, Review
from tiersync.loyalty.programmes import Programme, Redemption
from tiersync.loyalty.rules import Give, Rule, When
from tiersync.loyalty.setup import Setup

OUT_OF_REACH = Decimal(10) ** 15
"""The threshold between slabs that nobody reaches by buying: they are given by hand."""

YEARLY = Review(12, Anchor.LEVEL)


@dataclass(frozen=True, slots=True)
class Promotion:
    """What is given besides the workflows when the condition holds.

    Promotional `points` stay with the individual. With an `action` it allocates a transaction's points as a workflow
    does, `rate` per currency: that is how a promotion credits a user group (seed 001, buyer groups).
    """

    name: str
    condition: str
    points: Decimal = ZERO
    action: Allocation | None = None
    rate: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class Scheme:
    """One programme. `program` is the name its accounts, rules and ladder carry in the core.

    `metric` leads up, `stay` is what a review asks for. With `pool`, what members buy for their group counts for the
    group and its primary. `fleet_expiry` is when the points of a fleet's group expire, if not as everybody's.
    `redeem` and `transfer` are the workflows on PointsRedemption and on transfers; the default programme's decide about
    those of the group. `strategies` are redemption strategies by name, beside `redemption`.
    """

    program: str
    levels: tuple[Level, ...]
    metric: Metric = field(default_factory=Purchases)
    stay: Metric | None = None
    pool: bool = False
    review: Review | None = None
    fall: Fall = Fall.TO_CONFIGURED
    workflows: tuple[tuple[str, tuple[Branch, ...]], ...] = ()
    promotions: tuple[Promotion, ...] = ()
    expiry: Expiry = field(default_factory=Never)
    fleet_expiry: Expiry | None = None
    redemption: Redemption = field(default_factory=Redemption)
    strategies: Mapping[str, Redemption] = field(default_factory=dict)
    redeem: tuple[Redeeming, ...] = BY_PAYLOAD
    transfer: tuple[Handing, ...] = HANDED_BY_PAYLOAD

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules its workflows and promotions stand for; a bad condition is refused here."""
        names = [level.name for level in self.levels]
        branches = [
            rule
            for name, rows in self.workflows
            for rule in workflow(self.program, name, rows, names, self.fleet_expiry)
        ]
        promotions = [
            promotion(self.program, row.name, row.condition, self._given(row), names) for row in self.promotions
        ]
        return tuple(replace(rule, when=self._here(rule.when)) for rule in (*branches, *promotions))

    @property
    def ladder(self) -> Ladder:
        """The ladder of its slabs."""
        ladder = tiers(self.program, self.levels, self.review, self.metric, pool=self.pool)
        return replace(ladder, stay_metric=self.stay, fall=self.fall, counts_for=self._counted(ladder.counts_for))

    def _given(self, row: Promotion) -> Give:
        if row.action is None:
            return bonus(self.program, row.points)
        return allocate(self.program, row.action, row.rate, self.fleet_expiry)

    def check(self) -> None:
        """Refuse what is wrong with it by itself: a condition that cannot be read, slabs that do not rise."""
        assemble((self,))
        MultiProgramme((self.program,), self.redeem, self.transfer)
        for branch in self.redeem:
            if branch.strategy and branch.strategy not in self.strategies:
                raise LoyaltyError(f"programme {self.program} has no redemption strategy {branch.strategy!r}")

    def _is_here(self, event: Event) -> bool:
        """Whether the event belongs to this programme: its attribute `program` names it, or is not there."""
        return event.option("program") in ("", self.program)

    def _here(self, when: When) -> When:
        return lambda context: self._is_here(context.event) and when(context)

    def _counted(self, counts_for: Callable[[Event], tuple[HolderId, ...]]) -> Callable[[Event], tuple[HolderId, ...]]:
        return lambda event: counts_for(event) if self._is_here(event) else ()


def bare(program: str, names: Sequence[str]) -> Scheme:
    """A programme of nothing but slab names: one moves on it by hand only, and each year renews."""
    levels = tuple(Level(name, OUT_OF_REACH * rank) for rank, name in enumerate(names))
    return Scheme(program, levels, review=YEARLY)


def assemble(schemes: Sequence[Scheme], retired: Sequence[Scheme] = ()) -> Setup:
    """One set-up of all schemes. Those `retired` keep accounts and ladders, which records name, and have no rules."""
    every = (*retired, *schemes)
    return Setup(
        accounts=tuple(
            account for scheme in every for account in wallets(scheme.program, scheme.expiry, negative=True)
        ),
        programmes=(
            *(Programme(ProgrammeId(scheme.program), active=False) for scheme in retired),
            *(
                Programme(ProgrammeId(scheme.program), redemption=scheme.redemption, strategies=scheme.strategies)
                for scheme in schemes
            ),
        ),
        rules=tuple(rule for scheme in schemes for rule in scheme.rules),
        ladders=tuple(scheme.ladder for scheme in every),
        resolver=RESOLVER,
    )
