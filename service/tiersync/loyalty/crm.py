"""Pure. CRM.COM's words for the core: pockets, schemes, offers, resolution, reward tiers, refunds.

This adapter renames and never decides: it says which values of the core's policies CRM.COM stands for. Sections
B1 to B12 of `contracts/loyalty-systems.md`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import ROUND_FLOOR, Decimal
from enum import StrEnum
from typing import Any

from tiersync.loyalty.accounts import (
    ANYWHERE,
    MONEY,
    Account,
    AccountName,
    AfterMonths,
    Condition,
    Expiry,
    Order,
    Policy,
    Unit,
)
from tiersync.loyalty.conditions import every
from tiersync.loyalty.engine import Engine, Occasion
from tiersync.loyalty.events import (
    NOBODY,
    SWITCH,
    Event,
    EventId,
    HolderId,
    ProgrammeId,
)
from tiersync.loyalty.ladders import Anchor, Climb, Fall, Ladder, Level, Purchases, Review
from tiersync.loyalty.programmes import Gate, OpenAuto, Programme
from tiersync.loyalty.records import Entry, Kind, LadderId, Share
from tiersync.loyalty.resolvers import Resolver, all_matched, best, best_per, chain, drop_if_spending, drop_worthless
from tiersync.loyalty.resolvers import only as among
from tiersync.loyalty.resolvers import programme as by_scheme
from tiersync.loyalty.rules import (
    Candidate,
    Context,
    Credit,
    Give,
    Outcome,
    Rule,
    When,
)

CASH, BUSINESS, COMMERCE = AccountName("cash"), AccountName("business"), AccountName("commerce")
CASHBACK, INSTANT, PERFORMANCE, REFERRAL, ITEM = "cashback", "instant", "performance", "referral", "item"
TIERS = LadderId("reward tiers")
PIECES = Unit("pieces", 0, ROUND_FLOOR)

POCKETS = (
    Account(CASH, MONEY, Policy(), default=False),
    Account(BUSINESS, MONEY, Policy(), default=False),
    Account(COMMERCE, MONEY, Policy(Order.RESTRICTED, expiry=AfterMonths(12), through=BUSINESS)),
)
"""A wallet's pockets: awards wait in `commerce`, conditional, and become open business money when redeemed (B1)."""


def items_of(product: str) -> Account:
    """Complimentary items of one product, which wait to be collected (B5)."""
    return Account(AccountName(f"item:{product}"), PIECES, Policy(expiry=AfterMonths(12)), default=False)


def product_of(account: AccountName) -> str | None:
    """Which product's complimentary items an account holds; nothing for a pocket."""
    kind, _, product = account.partition(":")
    return product if kind == "item" else None


class Mode(StrEnum):
    """How contacts are awarded (B8)."""

    ALL = "all"
    BEST = "best"
    BEST_PER_SCHEME = "best_per_scheme"


def resolution(mode: Mode, *, best_instant: bool = False, no_award_while_spending: bool = False) -> Resolver:
    """The reward resolution: filters first, then the choice, so that nothing wins that is then filtered out (B8)."""
    choices: dict[Mode, Resolver] = {
        Mode.ALL: all_matched,
        Mode.BEST: best,
        Mode.BEST_PER_SCHEME: best_per(by_scheme),
    }
    filters: list[Resolver] = [drop_worthless]
    if no_award_while_spending:
        filters.append(drop_if_spending(CASHBACK))
    if best_instant:
        filters.append(among(INSTANT, best))
    return chain(*filters, choices[mode])


def as_stamped(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Choose as the event's attribute `resolution` says (B8).

    So settings may change, and a return is judged by those of the day. What goes to somebody else, for a referral, does
    not compete; a spend from another pocket than `commerce` is no spending of rewards.
    """
    if not candidates:
        return ()
    event = candidates[0].event
    stamp = event.attrs.get("resolution")
    stamp = stamp if isinstance(stamp, dict) else {}
    resolve = resolution(
        Mode(stamp.get("mode", Mode.ALL)),
        best_instant=bool(stamp.get("best_instant")),
        no_award_while_spending=bool(stamp.get("no_award_while_spending"))
        and set(event.names("accounts")) <= {COMMERCE},
    )
    others = [row for row in candidates if row.rule.kind == REFERRAL]
    return all_matched([*resolve([row for row in candidates if row.rule.kind != REFERRAL]), *others])


def scheme(name: str, gate: Gate | None = None, *, active: bool = False) -> Programme:
    """A reward scheme; a new one is inactive (B3)."""
    return Programme(ProgrammeId(name), gate or OpenAuto(), active)


def referred(context: Context) -> bool:
    """Somebody referred the holder."""
    return bool(context.me.profile.get("referrer"))


def to_referrer(amount: Decimal, expiry: Expiry | None = None) -> Give:
    """An amount for whoever referred the holder."""

    def give(context: Context) -> tuple[Outcome, ...]:
        return (Credit(COMMERCE, amount, to=HolderId(str(context.me.profile["referrer"])), expiry=expiry),)

    return give


def available(offer: Rule, start: datetime | None, end: datetime | None, *targeting: When) -> Rule:
    """The same offer within `[start, end)` and for whom all targeting is true (B6)."""
    return replace(offer, window=(start, end), when=every(offer.when, *targeting))


def funded(offer: Rule, by: Callable[[Context], tuple[Share, ...]]) -> Rule:
    """The same offer, with who funds it: parties and the fraction each carries (B12)."""
    return _crediting(offer, lambda context, row: replace(row, funders=by(context)))


def spend_condition(offer: Rule, condition: Condition = ANYWHERE) -> Rule:
    """The same offer, with what its award may be spent on; `ANYWHERE` is the built-in rule (B2)."""
    return _crediting(offer, lambda _context, row: replace(row, condition=condition))


def _crediting(offer: Rule, change: Callable[[Context, Credit], Credit]) -> Rule:
    def give(context: Context) -> tuple[Outcome, ...]:
        return tuple(change(context, row) if isinstance(row, Credit) else row for row in offer.give(context))

    return replace(offer, give=give)


def reward_tiers(
    levels: Sequence[tuple[str, int]],
    currency_per_unit: Decimal,
    *,
    months: int = 12,
    start: date | None = None,
    immediate: bool = False,
) -> Ladder:
    """Reward tiers: value units of a period, on a common cycle from `start` or from each contact's sign-up (B9)."""
    return Ladder(
        id=TIERS,
        levels=tuple(Level(name, Decimal(units), stay=Decimal(units)) for name, units in levels),
        metric=Purchases(currency_per_unit),
        climb=Climb.NOW if immediate else Climb.REVIEW,
        review=Review(months, Anchor.JOIN if start is None else Anchor.FIXED, start),
        fall=Fall.TO_QUALIFIED,
        reset=True,
    )


def switched(event_id: EventId, what: str, name: str, at: datetime, *, on: bool) -> Event:
    """Activate or deactivate a scheme (`programme`) or an offer (`rule`)."""
    return Event(event_id, SWITCH, NOBODY, at, attrs={"what": what, "name": name, "on": on})


def preview_purchase(engine: Engine, event: Event) -> dict[str, Any]:
    """What the till shows before the purchase is made (B7)."""
    receipt = engine.preview(event)
    occasion = Occasion(EventId(f"{event.id}/look"), event.at, event.lines, event.attrs)
    most = min(engine.spendable(event.holder, occasion), event.amount)
    return {
        "total_award": sum((row.amount for row in receipt.entries if _earned_by(row, event.holder)), Decimal(0)),
        "total_instant_spend": receipt.discount,
        "total_automatic_spend": event.spend,
        "additional_amount_that_could_be_spent": most - event.spend,
        "wallet_balance": engine.balance(event.holder, COMMERCE, event.at),
        "reduction_method": "BACK_END_REDUCTION" if event.option("reduction") == "back" else "FRONT_END_REDUCTION",
        "amount_due": receipt.due,
    }


def _earned_by(entry: Entry, holder: HolderId) -> bool:
    return entry.kind is Kind.EARN and entry.holder == holder and product_of(entry.account) is None


def cancel(engine: Engine, purchase: EventId, at: datetime) -> None:
    """Cancel a purchase: its awards and its spends are reverted; cancelling twice changes nothing (B7)."""
    engine.reverse(purchase, at, reversal=EventId(f"cancel:{purchase}"))
