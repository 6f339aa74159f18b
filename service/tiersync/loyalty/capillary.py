"""Pure. Capillary's words for the core: programmes, workflows, points wallets, slabs, group redemption.

This adapter renames and never decides: a workflow is rules that exclude one another, a wallet is an account, a user
group is a holder, a redemption is a spend. Seed 001 and section 4 of `contracts/capillary.md`.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from tiersync.errors import LoyaltyError
from tiersync.loyalty.accounts import Account, AccountName, Expiry, Never, Policy
from tiersync.loyalty.conditions import measure
from tiersync.loyalty.engine import Engine
from tiersync.loyalty.events import (
    PURCHASE,
    TRANSFER,
    ZERO,
    Event,
    EventId,
    HolderId,
    Json,
    ProgrammeId,
)
from tiersync.loyalty.expressions import Expression, Profiles, parse
from tiersync.loyalty.ladders import Fall, Ladder, Level, Metric, Purchases, Review, own, pooled
from tiersync.loyalty.records import LadderId, RuleId
from tiersync.loyalty.resolvers import Resolver, first, per
from tiersync.loyalty.rules import Candidate, Context, Credit, Give, Outcome, Rule, When, both, flat, to_group
from tiersync.loyalty.rules import per as points_per
from tiersync.loyalty.vocabulary import Profile, Type, Value, Vocabulary

PROGRAM_INVALID = 1101
SLAB_NOT_HIGHER = 8925

VOCABULARY: Vocabulary = {
    "currentTxn": Profile({"amount": Type.NUMBER, "value": Type.NUMBER, "date": Type.DATE}, extended=True),
    "currentCustomer": Profile(
        {
            "isGroupMember": Type.TRUTH,
            "slabName": Type.TEXT,
            "slabNumber": Type.NUMBER,
            "currentPoints": Type.NUMBER,
            "registrationDate": Type.DATE,
        },
        extended=True,
    ),
    "currentUserGroup": Profile(
        {"memberCount": Type.NUMBER, "slabName": Type.TEXT, "currentPoints": Type.NUMBER}, extended=True
    ),
    "currentEvent": Profile({"isGroupProgramRedemption": Type.TRUTH, "isGroupTransfer": Type.TRUTH}),
}


class Allocation(StrEnum):
    """The actions of a workflow on TransactionAdd."""

    INDIVIDUALS = "Transaction point allocation for individuals"
    GROUPS = "Transaction point allocation for user groups"
    BOTH = "Transaction point allocation for individuals and user groups"


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch of a workflow: the condition as it is typed into Loyalty+, the action, and points per currency."""

    condition: str
    action: Allocation
    rate: Decimal = Decimal(1)


def points(program: str) -> AccountName:
    """The name of a programme's points wallet; a person has one and a user group has one."""
    return AccountName(f"points@{program}")


def promotional(program: str) -> AccountName:
    """The name of a programme's wallet of promotional points, which stay with the individual."""
    return AccountName(f"promotional@{program}")


def slabs(program: str) -> LadderId:
    """The name of a programme's ladder."""
    return LadderId(f"slabs@{program}")


def wallets(program: str, expiry: Expiry | None = None, *, negative: bool = False) -> tuple[Account, Account]:
    """A programme's wallets: the soonest expiry is spent first, then the oldest (seed 002).

    With `negative` a return may leave the wallet below zero.
    """
    policy = Policy(expiry=expiry or Never(), negative=negative)
    names = (points(program), promotional(program))
    return (
        Account(names[0], policy=policy, programme=ProgrammeId(program)),
        Account(names[1], policy=policy, programme=ProgrammeId(program), default=False),
    )


def workflow(
    program: str,
    name: str,
    branches: Sequence[Branch],
    slab_names: Sequence[str] = (),
    fleet_expiry: Expiry | None = None,
) -> tuple[Rule, ...]:
    """A workflow on TransactionAdd: the first branch whose condition holds, and no other.

    `slab_names`, lowest first, give `slabNumber` its meaning. `fleet_expiry` is when a fleet's points expire.
    """
    return tuple(
        Rule(
            id=RuleId(f"{program}/{name}/{number}"),
            programme=ProgrammeId(program),
            trigger=PURCHASE,
            give=allocate(program, branch.action, branch.rate, fleet_expiry),
            when=when(program, branch.condition, f"workflow {name}, branch {number + 1}", slab_names),
            rank=number,
            kind=name,
        )
        for number, branch in enumerate(branches)
    )


def promotion(program: str, name: str, condition: str, give: Give, slab_names: Sequence[str] = ()) -> Rule:
    """Something given besides whatever the workflows give: a `bonus` for the individual, or what `allocate` makes."""
    holds = when(program, condition, f"promotion {name}", slab_names)
    return Rule(RuleId(f"{program}/{name}"), ProgrammeId(program), PURCHASE, give, holds)


def bonus(program: str, amount: Decimal | int) -> Give:
    """Promotional points: the individual's own, also on a group's transaction."""
    return flat(promotional(program), amount)


def allocate(program: str, action: Allocation, rate: Decimal, fleet_expiry: Expiry | None = None) -> Give:
    """Points per currency, to whom the action says."""
    one = points_per(measure(), rate, points(program))
    group = to_group(one if fleet_expiry is None else _of_fleet(one, fleet_expiry))
    gives: Mapping[Allocation, Give] = {
        Allocation.INDIVIDUALS: one,
        Allocation.GROUPS: group,
        Allocation.BOTH: both(one, group),
    }
    return gives[action]


def _of_fleet(give: Give, expiry: Expiry) -> Give:
    """The same credits; on an event for a fleet they expire as a fleet's points do."""

    def outcomes(context: Context) -> tuple[Outcome, ...]:
        given = give(context)
        if context.event.attrs.get("fleet") is not True:
            return given
        return tuple(replace(row, expiry=expiry) if isinstance(row, Credit) else row for row in given)

    return outcomes


def when(program: str, condition: str, place: str, slab_names: Sequence[str] = ()) -> When:
    """A condition of a rule; a bad expression is refused here, before any event."""
    expression = read_condition(condition, place)
    numbers = {name: number for number, name in enumerate(slab_names, start=1)}
    return lambda context: expression.holds(profiles(context, program, numbers))


def read_condition(condition: str, place: str) -> Expression:
    """Read a condition; one that makes no sense is refused with the `place` it stands at."""
    try:
        return parse(condition, VOCABULARY)
    except LoyaltyError as refused:
        raise LoyaltyError(f"{place}, {refused}", refused.code) from refused


def _workflow(candidate: Candidate) -> Hashable:
    """A promotion, which has no kind, is in nobody's way."""
    return (candidate.rule.programme, candidate.rule.kind or candidate.rule.id)


RESOLVER: Resolver = per(_workflow, first)
"""Branches of one workflow exclude one another; workflows, promotions and programmes do not."""


def profiles(context: Context, program: str, slab_numbers: Mapping[str, int] | None = None) -> Profiles:
    """The profiles of the condition language, as they stood before the event."""
    slab = context.me.levels.get(slabs(program))
    number = (slab_numbers or {}).get(slab or "", context.me.profile.get("slabNumber"))
    event, me, group = context.event, context.me, context.group
    found: dict[str, Mapping[str, Value]] = {
        "currentTxn": {
            "amount": event.amount,
            "value": event.amount,
            "date": context.local.date(),
            **_extended(event.attrs),
        },
        "currentCustomer": {
            "isGroupMember": group is not None,
            "slabName": slab,
            "currentPoints": me.balances.get(points(program)),
            "slabNumber": _decimal(number),
            "registrationDate": _text(me.profile.get("registrationDate")),
            **_extended(me.profile),
        },
        "currentEvent": {"isGroupProgramRedemption": False, "isGroupTransfer": False},
    }
    if group is not None:
        party = context.parties[group]
        found["currentUserGroup"] = {
            "memberCount": _decimal(event.attrs.get("memberCount", party.profile.get("memberCount"))),
            "slabName": party.levels.get(slabs(program)),
            "currentPoints": party.balances.get(points(program)),
            **_extended(party.profile),
        }
    return found


def tiers(
    program: str,
    levels: Sequence[Level],
    review: Review | None = None,
    metric: Metric | None = None,
    *,
    pool: bool = False,
) -> Ladder:
    """A programme's slabs: up at once, down by the batch to the configured slab, and by the return of what led up.

    With `pool`, purchases of the members count for the group and its primary member too.
    """
    return Ladder(
        id=slabs(program),
        levels=tuple(levels),
        metric=metric or Purchases(),
        review=review,
        fall=Fall.TO_CONFIGURED,
        programme=ProgrammeId(program),
        recheck=True,
        counts_for=pooled if pool else own,
    )


def move_to_group(engine: Engine, request: EventId, customer: HolderId, group: HolderId, at: datetime) -> list[Event]:
    """The custom job when a customer joins a group: all points go to the group's wallet, promotional ones stay."""
    moves = []
    for account in engine.setup.accounts:
        have = engine.balance(customer, account.name, at)
        if account.default and have > ZERO:
            attrs: dict[str, Json] = {"to": group, "into": account.name, "accounts": [account.name]}
            moves.append(Event(EventId(f"{request}/{account.name}"), TRANSFER, customer, at, have, attrs=attrs))
    return moves


# -- slabs by hand


class SlabAction(StrEnum):
    """What a manual adjustment asks for: `slabAction`."""

    UPGRADE = "UPGRADE"
    DOWNGRADE = "DOWNGRADE"
    RENEWAL = "RENEWAL"
    EXTEND = "EXTEND_CURRENT_TIER_EXPIRY_DATE"


def check_slab_move(action: SlabAction, held: int, wanted: int, *, lower_only: bool = True) -> None:
    """Refuse an upgrade that does not lead higher, and with `lower_only` a downgrade that does not lead lower.

    No code is published for the latter; 8925 is the only documented refusal about relative height.
    """
    if action is SlabAction.UPGRADE and wanted <= held:
        raise LoyaltyError("Target slab must be higher than the current slab", SLAB_NOT_HIGHER)
    if action is SlabAction.DOWNGRADE and wanted >= held and lower_only:
        raise LoyaltyError("Target slab must be lower than the current slab", SLAB_NOT_HIGHER)


def _extended(attributes: Mapping[str, Json]) -> dict[str, Value]:
    return {name: _text(value) for name, value in attributes.items() if name.startswith("extField_")}


def _text(value: Json) -> str | None:
    return None if value is None else str(value)


def _decimal(value: Json) -> Decimal | None:
    return Decimal(value) if isinstance(value, int) else None
