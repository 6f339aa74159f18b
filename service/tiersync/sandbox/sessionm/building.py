"""Pure. From a published economy to the core's set-up: each behaviour becomes rules, each tier system a ladder."""

from dataclasses import replace
from decimal import Decimal
from functools import partial

from tiersync.loyalty.accounts import Account, AccountName, AfterDays, Expiry, Inactive, Never, OnDate, Policy
from tiersync.loyalty.conditions import bought, either, entering, every, measure, on_level, spent
from tiersync.loyalty.events import LEVEL_UP, PURCHASE, ProgrammeId
from tiersync.loyalty.ladders import Anchor, Fall, Ladder, Level, Review
from tiersync.loyalty.periods import Span
from tiersync.loyalty.programmes import Programme
from tiersync.loyalty.records import LadderId, RuleId, Share
from tiersync.loyalty.rules import Context, Drain, Give, Limit, Rule, SetLevel, Stock, Tag, When, always, both, per
from tiersync.loyalty.sessionm import PERMISSIVE, SYSTEM_EVENTS, award, point_account, tier_system
from tiersync.loyalty.setup import Setup
from tiersync.sandbox.sessionm.economy import (
    Behavior,
    Constraint,
    Economy,
    FixedDate,
    Inactivity,
    Interval,
    Outcome,
    PointAccount,
    Rolling,
    TierLevel,
    TierSystem,
)

HOUSE = ProgrammeId("economy")


def setup(economy: Economy) -> Setup:
    """Return the core's set-up of an economy; what does not fit together is refused."""
    fed = {source.id: source.accounts for source in economy.sources}
    rules = [rule for behavior in economy.behaviors for rule in _behavior(behavior, behavior.id, fed, always)]
    for system in economy.tier_systems:
        rules += _of_levels(system, fed)
    return Setup(
        accounts=tuple(_account(account, economy) for account in economy.accounts),
        programmes=(Programme(HOUSE),),
        rules=tuple(rules),
        ladders=tuple(_ladder(system) for system in economy.tier_systems),
        stocks={
            source.id: Stock(Decimal(source.stock.points), source.stock.per)
            for source in economy.sources
            if source.stock is not None
        },
    )


def _account(account: PointAccount, economy: Economy) -> Account:
    expiry, into = account.expiry, account.expiry.into if isinstance(account.expiry, Rolling) else None
    maximum = None if account.maximum_balance is None else Decimal(account.maximum_balance)
    policy: Policy = replace(
        PERMISSIVE,
        negative=account.allow_negative,
        maximum=maximum,
        expiry=_expiry(expiry),
        into=None if into is None else AccountName(into),
    )
    sources = [source.id for source in economy.sources if account.id in source.accounts]
    built = point_account(account.id, policy, sources=sources or ["nothing"])
    return replace(built, label=account.grouping_label, default=account.default and built.default)


def _expiry(expiry: object) -> Expiry:
    match expiry:
        case Rolling(days=days):
            return AfterDays(days)
        case FixedDate(every=every_, day=day, month=month):
            return OnDate(Span(every_), day, month)
        case Inactivity(days=days, percent=percent, day=day):
            return Inactive(days, Decimal(percent) / 100, day)
        case _:
            return Never()


def _ladder(system: TierSystem) -> Ladder:
    levels = [_level(level) for level in system.levels]
    return tier_system(system.id, levels, system.account, _review(system.maintenance), Fall(system.fall))


def _level(level: TierLevel) -> Level:
    built = Level(level.name, Decimal(level.entrance.points))
    if level.maintenance is None:
        return built
    interval = level.maintenance.interval
    own = None if interval is None else _review(interval)
    return replace(built, stay=Decimal(level.maintenance.points), review=own)


def _review(interval: Interval) -> Review:
    return Review(interval.months, Anchor.JOIN if interval.starts is None else Anchor.FIXED, interval.starts)


Fed = dict[str, tuple[str, ...]]


def _of_levels(system: TierSystem, fed: Fed) -> list[Rule]:
    ladder, rules = LadderId(system.id), []
    for level in system.levels:
        name = f"{system.id}/{level.name}"
        entrance = Behavior(id="entrance", outcomes=level.entrance.outcomes)
        rules += _rules(entrance, f"{name}/entrance", LEVEL_UP, fed, entering(ladder, level.name))
        here = on_level(ladder, level.name)
        for behavior in level.purchase:
            rules += _rules(behavior, f"{name}/purchase/{behavior.id}", PURCHASE, fed, here)
        for behavior in level.event:
            rules += _behavior(behavior, f"{name}/event/{behavior.id}", fed, here)
    return rules


def _behavior(behavior: Behavior, name: str, fed: Fed, when: When) -> list[Rule]:
    return _rules(behavior, name, SYSTEM_EVENTS.get(behavior.event, behavior.event), fed, when)


def _rules(behavior: Behavior, name: str, trigger: str, fed: Fed, when: When) -> list[Rule]:
    """One rule of the core per outcome: each has its own limit and rank."""
    constraints = [_constraint(constraint) for constraint in behavior.rules]
    holds = (every if behavior.join == "and" else either)(*constraints) if constraints else always
    blank = partial(Rule, programme=HOUSE, trigger=trigger, when=every(when, holds))
    return [
        blank(
            id=RuleId(f"{name}#{number}"),
            give=_give(outcome, fed),
            limit=None if outcome.limit is None else Limit(outcome.limit.count, outcome.limit.per),
            rank=outcome.rank,
            window=(behavior.starts, behavior.ends),
            active=behavior.state == "active",
        )
        for number, outcome in enumerate(behavior.outcomes, 1)
    ]


def _constraint(constraint: Constraint) -> When:
    parts: list[When] = []
    if constraint.min_spend is not None:
        parts.append(spent(constraint.min_spend))
    if constraint.items:
        parts.append(bought(*constraint.items))
    for key, value in constraint.context.items():
        parts.append(_says(key, str(value)))
    return every(*parts)


def _says(key: str, value: str) -> When:
    def holds(context: Context) -> bool:
        said = context.event.attrs.get("context")
        return isinstance(said, dict) and key in said and str(said[key]) == value

    return holds


def _give(outcome: Outcome, fed: Fed) -> Give:
    if outcome.expire_account is not None:
        drain = Drain(AccountName(outcome.expire_account))
        return lambda _context: (drain,)
    if outcome.change_tier is not None:
        move = SetLevel(LadderId(outcome.change_tier.tier_system), outcome.change_tier.level)
        return lambda _context: (move,)
    if outcome.tag is not None:
        tag = Tag(outcome.tag)
        return lambda _context: (tag,)
    source = outcome.source or ""
    accounts = fed[source] if outcome.accounts is None else outcome.accounts
    if outcome.points_per is None:
        return award(source, outcome.points or 0, *accounts)
    terms = outcome.points_per
    how = measure(
        *terms.items,
        hurdle=terms.hurdle,
        precision=terms.precision,
        pieces=terms.measure == "items",
        free=terms.free_items,
    )
    return both(*(per(how, terms.rate, AccountName(name), funders=(Share(source),)) for name in accounts))
