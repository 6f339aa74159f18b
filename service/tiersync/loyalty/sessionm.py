"""Pure. SessionM's words for the core: point accounts, sources, events, tier systems, deposits and profiles.

This adapter renames and never decides: what a SessionM body means is said here once, what happens then is the core's.
Sections A1 to A15 of `contracts/loyalty-systems.md`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from tiersync.errors import LoyaltyError
from tiersync.loyalty.accounts import Account, AccountName, Order, Policy
from tiersync.loyalty.actions import ACTIONS
from tiersync.loyalty.engine import Engine
from tiersync.loyalty.events import (
    ADJUST_LEVEL,
    DEPOSIT,
    LEVEL_DOWN,
    LEVEL_RENEWED,
    LEVEL_UP,
    POINTS_EARNED,
    POINTS_EXPIRED,
    POINTS_SPENT,
    PROFILE,
    PURCHASE,
    RUN,
    ZERO,
    Event,
    EventId,
    HolderId,
    Json,
    Line,
)
from tiersync.loyalty.ladders import Anchor, Earned, Fall, Ladder, Level, Review
from tiersync.loyalty.records import Entry, Kind, LadderId, Share
from tiersync.loyalty.rules import Credit, Give
from tiersync.loyalty.settlement import FUNDED
from tiersync.loyalty.setup import AS_TOLD
from tiersync.loyalty.state import Receipt

PERMISSIVE = Policy(Order.OLDEST, negative=True)
"""A point account's policy unless it says otherwise: spent oldest first, allowed to go below zero (A4)."""

YEARLY_FROM_JOINING = Review(12, Anchor.JOIN)
"""Maintenance on the anniversaries of joining (A11)."""

SYSTEM_EVENTS = {
    "COMPLETE_TRANSACTION": PURCHASE,
    "EARN_POINTS": POINTS_EARNED,
    "SPEND_POINTS": POINTS_SPENT,
    "EXPIRE_POINTS": POINTS_EXPIRED,
    "TIER_PROMOTED": LEVEL_UP,
    "TIER_DEMOTED": LEVEL_DOWN,
}
"""What SessionM calls the events a rule may react to and nobody can send (A2)."""

RESERVED = frozenset({*SYSTEM_EVENTS, *SYSTEM_EVENTS.values(), *ACTIONS, DEPOSIT, PROFILE, RUN, LEVEL_RENEWED})
"""Names a custom event cannot have, because they mean something already."""


def point_account(name: str, policy: Policy = PERMISSIVE, *, sources: Sequence[str] = ()) -> Account:
    """A point account, fed from its sources; one that is released into another (escrow) is no default account (A4)."""
    return Account(AccountName(name), policy=policy, sources=frozenset(sources), default=policy.into is None)


def award(source: str, amount: Decimal | int, *accounts: str) -> Give:
    """An award from one source into every account linked to it (A3)."""
    credits_given = tuple(
        Credit(AccountName(account), Decimal(amount), funders=(Share(source),)) for account in accounts
    )
    return lambda _context: credits_given


def tier_system(
    name: str,
    levels: Sequence[Level],
    account: str,
    review: Review = YEARLY_FROM_JOINING,
    fall: Fall = Fall.ONE_DOWN,
) -> Ladder:
    """A tier system: promotion at once on points earned in one account, a fall only by maintenance (A10, A11)."""
    return Ladder(LadderId(name), tuple(levels), Earned(AccountName(account)), review=review, fall=fall)


def custom_events(user_id: str, body: Mapping[str, Any], now: datetime) -> list[Event]:
    """The events of a custom event body; one without a `date` happens when it is processed (A2).

    The context stays under `context`, so that no key of it can mean something to the core.
    """
    return [_custom_event(HolderId(user_id), name, detail, now) for name, detail in body["events"].items()]


def _custom_event(user: HolderId, name: str, detail: Mapping[str, Any], now: datetime) -> Event:
    if name in RESERVED:
        raise LoyaltyError(f"event name {name!r} is reserved for the system")
    context = detail.get("context") or {}
    if any(isinstance(value, dict | list) for value in context.values()):
        raise LoyaltyError(f"event {detail['transaction_id']!r}: context must be flat")
    attrs: dict[str, Json] = {
        "context": {key: str(value) if isinstance(value, float) else value for key, value in context.items()},
        "qty": int(detail.get("qty", 1)),
        "processed_at": now.isoformat(),
    }
    at = datetime.fromisoformat(detail["date"]) if detail.get("date") else now
    return Event(EventId(f"{user}/event/{detail['transaction_id']}"), name, user, at, attrs=attrs)


def transaction(user_id: str, transaction_id: str, at: datetime, lines: Sequence[Line]) -> Event:
    """A purchase."""
    user = HolderId(user_id)
    return Event(transaction_event(user, transaction_id), PURCHASE, user, at, lines=tuple(lines))


def transaction_event(user_id: str, transaction_id: str) -> EventId:
    """The id of the event that is a purchase."""
    return EventId(f"{user_id}/transaction/{transaction_id}")


def resend(engine: Engine, user_id: str, transaction_id: str, at: datetime, lines: Sequence[Line]) -> Receipt:
    """A return: the original transaction again, without what came back; more than is left of it is refused (A15)."""
    original = engine.event(transaction_event(user_id, transaction_id))
    kept = {line.id: line for line in lines}
    left = {line.id: line for line in original.lines}
    for line in lines:
        if line.id not in left or line.amount > left[line.id].amount or line.quantity > left[line.id].quantity:
            raise LoyaltyError(f"transaction {transaction_id!r}: that much of item {line.id!r} is not left of it")
    back = []
    for line in original.lines:
        rest = kept.get(line.id, Line(line.id, ZERO, 0))
        if rest.amount < line.amount or rest.quantity < line.quantity:
            back.append(Line(line.id, line.amount - rest.amount, line.quantity - rest.quantity))
    return engine.reverse(original.id, at, back) if back else engine.preview(original)


def deposit(body: Mapping[str, Any], now: datetime, request: str) -> Event:
    """A direct deposit; `request` names it where no line carries a reference (A13)."""
    details = body["deposit_details"]
    references = [f"{row['reference_type']}:{row['reference_id']}" for row in details if row.get("reference_id")]
    return Event(
        id=EventId(f"{body['user_id']}/deposit/{'+'.join(references) or request}"),
        type=DEPOSIT,
        holder=HolderId(body["user_id"]),
        at=now,
        lines=tuple(
            Line(str(number), Decimal(row["amount"]), item=row["point_account_id"], tags=(row["point_source_id"],))
            for number, row in sorted(enumerate(details), key=lambda pair: pair[1].get("rank") or 0)
        ),
        attrs={
            "partial": bool(body.get("allow_partial_success")),
            "quiet": bool(body.get("disable_event_publishing")),
        },
    )


def deposit_answer(engine: Engine, receipt: Receipt) -> dict[str, Any]:
    """The answer to a deposit: what was posted, and which lines were not, with the reason."""
    posted = [
        {"point_account_id": row.account, "amount": str(row.amount)} for row in receipt.entries if row.rule == AS_TOLD
    ]
    failures = [{"line": line, "reason": reason} for line, reason in engine.setup.complaints(receipt.event).items()]
    return {"payload": {"user_id": receipt.event.holder, "details": posted, "failures": failures}}


def adjustment(user_id: str, request: str, system: str, level: str, at: datetime, *, pay_skipped: bool) -> Event:
    """A level given by hand; without `pay_skipped` the levels jumped over pay no entrance outcome (A10)."""
    attrs: dict[str, Json] = {"ladder": system, "level": level, "pay_skipped": pay_skipped}
    return Event(EventId(f"{user_id}/level/{request}"), ADJUST_LEVEL, HolderId(user_id), at, attrs=attrs)


def issued(engine: Engine) -> dict[str, Decimal]:
    """What each source issued into all its accounts, less what was taken back by returns (A3)."""
    totals: dict[str, Decimal] = {}
    for record in engine.records:
        if isinstance(record, Entry) and record.kind in FUNDED:
            for share in record.funders:
                totals[share.party] = totals.get(share.party, ZERO) + record.amount
    return totals


def tier_levels(engine: Engine, user_id: str) -> list[dict[str, Any]]:
    """The profile's tier block, one element per tier system (A14)."""
    return [_tier_level(engine, HolderId(user_id), ladder) for ladder in engine.setup.ladders]


def _tier_level(engine: Engine, user: HolderId, ladder: Ladder) -> dict[str, Any]:
    standing = engine.standing(user, ladder.id)
    higher = ladder.levels[standing.rank + 1 : standing.rank + 2]
    required = higher[0].threshold if higher else ladder.levels[standing.rank].threshold
    return {
        "tier_system_id": ladder.id,
        "user_id": user,
        "join_date": standing.since.isoformat(),
        "tier_overview": {"name": ladder.levels[standing.rank].name, "rank": standing.rank + 1},
        "tier_progress": {
            "next": higher[0].name if higher else None,
            "required": required,
            "current": standing.total,
            "remaining": max(ZERO, required - standing.total) if higher else ZERO,
        },
    }


def point_account_balances(engine: Engine, user_id: str, at: datetime) -> dict[str, Any]:
    """The profile's balance block; life time values count what was earned (A14).

    Accounts with one label are shown as one balance in `groups` (A4).
    """
    user = HolderId(user_id)
    balances = {account.name: engine.balance(user, account.name, at) for account in engine.setup.accounts}
    earned: dict[str, Decimal] = {}
    for record in engine.records:
        if isinstance(record, Entry) and record.holder == user and _earned(record):
            earned[record.account] = earned.get(record.account, ZERO) + record.amount
    details = [
        {
            "account_name": account.name,
            "grouping_label": account.label,
            "available_balance": balances[account.name],
            "life_time_value": earned.get(account.name, ZERO),
        }
        for account in engine.setup.accounts
    ]
    groups: dict[str, Decimal] = {}
    for account in engine.setup.accounts:
        groups[account.label] = groups.get(account.label, ZERO) + balances[account.name]
    summary = {"total_points": sum(balances.values(), ZERO), "life_time_points": sum(earned.values(), ZERO)}
    return {"user_id": user, "summary": summary, "details": details, "groups": groups}


def _earned(entry: Entry) -> bool:
    return entry.kind is Kind.EARN
