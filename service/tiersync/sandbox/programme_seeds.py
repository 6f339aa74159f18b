"""Pure. A programme as `POST /sandbox/seed` describes it, read into what the face shows and what the core knows.

Words are those of the pages: workflows on TransactionAdd with conditions and allocations (seed 001), upgrade basis,
thresholds, renewal condition, validity, downgrade target (`contracts/capillary.md` 4.3).
"""

from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from tiersync.errors import LoyaltyError
from tiersync.loyalty.accounts import AfterDays, AfterMonths, Expiry, Never, Through
from tiersync.loyalty.capillary import Allocation, Branch, points
from tiersync.loyalty.group_redemption import BY_PAYLOAD, HANDED_BY_PAYLOAD, Hand, Handing, Redeem, Redeeming
from tiersync.loyalty.ladders import Anchor, Balance, Earned, Fall, Level, Metric, Purchases, Review, Visits
from tiersync.loyalty.programmes import Redemption
from tiersync.loyalty.schemes import Promotion, Scheme, bare
from tiersync.sandbox.tiers import FOREVER_DAYS, ProgramId, Programme, Tier

Id = Annotated[int, Field(ge=1, lt=10**18)]
Name = Annotated[str, Field(min_length=1, max_length=50)]
Condition = Annotated[str, Field(min_length=1, max_length=2_000)]
Amount = Annotated[Decimal, Field(ge=0, le=10**12, max_digits=16, decimal_places=4)]
Months = Annotated[int, Field(ge=1, le=1_200)]
Days = Annotated[int, Field(ge=1, le=36_500)]

ACTIONS = {
    "individual": Allocation.INDIVIDUALS,
    "group": Allocation.GROUPS,
    "both": Allocation.BOTH,
    **{str(action): action for action in Allocation},
}
FALLS = {"ONE_BELOW": Fall.ONE_DOWN, "BY_ELIGIBILITY": Fall.TO_QUALIFIED, "LOWEST": Fall.TO_CONFIGURED}
ANCHORS = {"TIER": Anchor.LEVEL, "REGISTRATION": Anchor.JOIN, "DATE": Anchor.FIXED}


class Strict(BaseModel):
    """Frozen, and nothing unknown gets in."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class TierSeed(Strict):
    """A tier: from `threshold` on one is in it; with `renewAt` so much per validity keeps one there."""

    name: Name
    threshold: Amount = Decimal(0)
    renew_at: Annotated[Amount | None, Field(alias="renewAt")] = None


class BranchSeed(Strict):
    """A branch of a workflow: condition, allocation (short or in full), points per unit of currency."""

    condition: Condition
    action: str
    rate: Annotated[Amount, Field(alias="pointsPerCurrency")] = Decimal(1)


class WorkflowSeed(Strict):
    """A workflow: its branches exclude one another, the first that holds counts."""

    name: Name
    activity: Literal["TransactionAdd"] = "TransactionAdd"
    branches: Annotated[list[BranchSeed], Field(min_length=1, max_length=100)]


class PromotionSeed(Strict):
    """Promotional points, which stay with the individual, or an allocation as in a workflow, also to the group."""

    name: Name
    condition: Condition = "true"
    points: Amount | None = None
    action: str | None = None
    rate: Annotated[Amount, Field(alias="pointsPerCurrency")] = Decimal(1)


class ValiditySeed(Strict):
    """How long a tier lasts: months since it was reached, since registration, or in a common cycle from `start`."""

    months: Months = 12
    since: Annotated[Literal["TIER", "REGISTRATION", "DATE"], Field(alias="from")] = "TIER"
    start: date | None = None


class StrategySeed(Strict):
    """How one goes up, stays and falls. `pooled`: what members buy for the group counts for it and its primary."""

    basis: Literal["CURRENT_POINTS", "LIFETIME_POINTS", "LIFETIME_PURCHASES", "CUMULATIVE_PURCHASES", "VISITS"] = (
        "LIFETIME_PURCHASES"
    )
    pooled: bool = False
    validity: ValiditySeed | None = None
    renewal: Literal["PURCHASE", "VISITS", "POINTS"] = "PURCHASE"
    downgrade: Literal["ONE_BELOW", "BY_ELIGIBILITY", "LOWEST"] = "ONE_BELOW"


class ExpirySeed(Strict):
    """When points die: so many days or months after they were earned, or after a day."""

    days: Days | None = None
    months: Months | None = None
    on: date | None = None


class RedeemSeed(Strict):
    """A branch of the workflow on PointsRedemption."""

    condition: Condition
    action: Redeem
    strategy: str = ""


class StrategyOfRedemption(Strict):
    """What may be redeemed at once."""

    least: Amount = Decimal(0)
    most: Amount | None = None
    multiple: Annotated[Amount | None, Field(gt=0)] = None

    def redemption(self, ratio: Decimal) -> Redemption:
        """Return it as the core knows it."""
        return Redemption(ratio, self.least, self.most, self.multiple)


class RedemptionSeed(StrategyOfRedemption):
    """The programme's own redemption strategy, others by name, and the workflow that may choose one of them.

    Without a workflow the payload says whether it is a group's.
    """

    strategies: Annotated[dict[Name, StrategyOfRedemption], Field(max_length=20)] = {}
    workflow: Annotated[list[RedeemSeed] | None, Field(max_length=20)] = None


class HandSeed(Strict):
    """A branch of the workflow on transfers."""

    condition: Condition
    action: Hand


class TransferSeed(Strict):
    """By which workflow points are transferred; without one the payload says whether it is a group's."""

    workflow: Annotated[list[HandSeed] | None, Field(max_length=20)] = None


class ProgrammeSeed(Strict):
    """A programme; its tiers lowest first. An id that exists is replaced, and everybody starts again in it."""

    id: Id
    name: Annotated[str, Field(max_length=200)] = ""
    default: bool = False
    tiers: Annotated[list[Name | TierSeed], Field(min_length=1, max_length=100)]
    strategy: StrategySeed | None = None
    workflows: Annotated[list[WorkflowSeed], Field(max_length=100)] = []
    promotions: Annotated[list[PromotionSeed], Field(max_length=100)] = []
    rate: Annotated[Amount | None, Field(alias="pointsPerCurrency")] = None
    ratio: Annotated[Amount, Field(alias="pointsToCurrencyRatio")] = Decimal(1)
    expiry: Annotated[ExpirySeed | None, Field(alias="pointsExpiry")] = None
    fleet_expiry: Annotated[ExpirySeed | None, Field(alias="fleetPointsExpiry")] = None
    redemption: RedemptionSeed = RedemptionSeed()
    transfer: TransferSeed = TransferSeed()


def programme_of(seed: ProgrammeSeed) -> Programme:
    """Return the programme as the face shows it. Refuses tiers that do not rise."""
    names = [tier if isinstance(tier, str) else tier.name for tier in seed.tiers]
    if len(set(names)) != len(names):
        raise LoyaltyError(f"programme {seed.id} names a tier twice")
    rows = [tier for tier in seed.tiers if isinstance(tier, TierSeed)]
    if rows and len(rows) != len(names):
        raise LoyaltyError(f"programme {seed.id}: give every tier a threshold, or none")
    if any(upper.threshold <= lower.threshold for lower, upper in pairwise(rows)):
        raise LoyaltyError(f"programme {seed.id}: thresholds must rise from the lowest tier to the highest")
    if rows and rows[0].threshold:
        raise LoyaltyError(f"programme {seed.id}: the lowest tier begins at 0")
    if seed.strategy is not None and not rows:
        raise LoyaltyError(f"programme {seed.id}: a strategy needs tiers with thresholds")
    tiers = tuple(
        Tier(position, name, FOREVER_DAYS if position == 1 else 365) for position, name in enumerate(names, start=1)
    )
    title = seed.name or f"Programme {seed.id}"
    return Programme(ProgramId(seed.id), title, tiers, seed.default, ruled=bool(rows), ratio=seed.ratio)


def scheme_of(seed: ProgrammeSeed, key: str) -> Scheme:
    """Return the programme as the core knows it under the name `key`. Refuses an unknown action or expiry."""
    plain = bare(key, [tier if isinstance(tier, str) else tier.name for tier in seed.tiers])
    rows = [tier for tier in seed.tiers if isinstance(tier, TierSeed)]
    strategy = seed.strategy or StrategySeed()
    levels = tuple(Level(tier.name, tier.threshold, tier.renew_at) for tier in rows)
    return Scheme(
        program=key,
        levels=levels or plain.levels,
        metric=_basis(strategy, key),
        stay=_renewal(strategy, key),
        pool=strategy.pooled,
        review=_review(strategy.validity) if rows else plain.review,
        fall=FALLS[strategy.downgrade],
        workflows=_workflows(seed),
        promotions=tuple(_promotion(row) for row in seed.promotions),
        expiry=_expiry(seed.expiry) or Never(),
        fleet_expiry=_expiry(seed.fleet_expiry),
        redemption=seed.redemption.redemption(seed.ratio),
        strategies={name: row.redemption(seed.ratio) for name, row in seed.redemption.strategies.items()},
        redeem=BY_PAYLOAD
        if seed.redemption.workflow is None
        else tuple(Redeeming(row.condition, row.action, row.strategy) for row in seed.redemption.workflow),
        transfer=HANDED_BY_PAYLOAD
        if seed.transfer.workflow is None
        else tuple(Handing(row.condition, row.action) for row in seed.transfer.workflow),
    )


def _workflows(seed: ProgrammeSeed) -> tuple[tuple[str, tuple[Branch, ...]], ...]:
    """The workflows; by default a transaction credits the individual and the group (4.2)."""
    names = [workflow.name for workflow in seed.workflows] + [promotion.name for promotion in seed.promotions]
    if len(set(names)) != len(names):
        raise LoyaltyError(f"programme {seed.id}: two workflows or promotions share one name")
    if not seed.workflows:
        every = Branch("true", Allocation.BOTH, seed.rate or Decimal(0))
        return () if seed.rate is None else (("default", (every,)),)
    return tuple(
        (name, tuple(Branch(row.condition, _action(row.action, f"workflow {name}"), row.rate) for row in rows))
        for name, rows in ((workflow.name, workflow.branches) for workflow in seed.workflows)
    )


def _promotion(seed: PromotionSeed) -> Promotion:
    match seed:
        case PromotionSeed(points=Decimal() as points, action=None):
            return Promotion(seed.name, seed.condition, points)
        case PromotionSeed(points=None, action=str() as action):
            return Promotion(
                seed.name, seed.condition, action=_action(action, f"promotion {seed.name}"), rate=seed.rate
            )
        case _:
            raise LoyaltyError(f"promotion {seed.name} takes either points or an action")


def _action(name: str, place: str) -> Allocation:
    if name not in ACTIONS:
        raise LoyaltyError(f"{place}: action {name:.80} is unknown; there are {', '.join(ACTIONS)}")
    return ACTIONS[name]


def _basis(strategy: StrategySeed, key: str) -> Metric:
    bases: dict[str, Metric] = {
        "CURRENT_POINTS": Balance(points(key)),
        "LIFETIME_POINTS": Earned(points(key)),
        "VISITS": Visits(),
    }
    return bases.get(strategy.basis, Purchases())


def _renewal(strategy: StrategySeed, key: str) -> Metric:
    renewals: dict[str, Metric] = {"VISITS": Visits(), "POINTS": Earned(points(key))}
    return renewals.get(strategy.renewal, Purchases())


def _review(validity: ValiditySeed | None) -> Review | None:
    if validity is None:
        return None
    if validity.since == "DATE" and validity.start is None:
        raise LoyaltyError("a validity from DATE needs start, the day the cycle begins")
    return Review(validity.months, ANCHORS[validity.since], validity.start)


def _expiry(seed: ExpirySeed | None) -> Expiry | None:
    if seed is None:
        return None
    match seed:
        case ExpirySeed(days=int(days), months=None, on=None):
            return AfterDays(days)
        case ExpirySeed(days=None, months=int(months), on=None):
            return AfterMonths(months)
        case ExpirySeed(days=None, months=None, on=date() as day):
            return Through(day)
        case _:
            raise LoyaltyError("pointsExpiry takes one of days, months and on")
