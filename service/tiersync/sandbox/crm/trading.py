"""What happens at a business: purchases, what undoes them, achievements, draws, and money in wallets."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Any

from tiersync.loyalty import crm
from tiersync.loyalty.accounts import AccountName
from tiersync.loyalty.engine import Occasion
from tiersync.loyalty.events import (
    ADJUST,
    DEPOSIT,
    PURCHASE,
    RECONCILE,
    TRANSFER,
    ZERO,
    Event,
    EventId,
    HolderId,
    Line,
    ProgrammeId,
)
from tiersync.loyalty.lottery import Ticket, draw, qualifiers
from tiersync.loyalty.records import Refund
from tiersync.loyalty.state import BACK, Receipt
from tiersync.sandbox.crm.business import Business, OfferRow
from tiersync.sandbox.crm.models import Achievement, Collection, Purchase, Return, WalletTransaction
from tiersync.sandbox.crm.offers import Lottery
from tiersync.sandbox.crm.rules import ACHIEVEMENT, HOUSE, lottery_event
from tiersync.sandbox.faces import CONFLICT, FIRST, LAST, Refused, about, happened_at

WALLET_KINDS = {"credit": DEPOSIT, "debit": ADJUST, "reimburse": ADJUST, "transfer": TRANSFER}


def purchase_event(business: Business, body: Purchase, name: EventId, now: datetime) -> Event:
    """Return the core's event of a purchase, with the settings of now."""
    settings = business.settings
    if settings.classifications and body.classification not in {None, *settings.classifications}:
        known = ", ".join(settings.classifications)
        raise Refused(f"classification must be one of {known}", "classification")
    attrs: dict[str, Any] = {
        "places": [place for place in (body.merchant, body.venue, body.city, body.country) if place],
        "merchant": body.merchant,
        "acceptor": body.merchant or HOUSE,
        "class": body.classification,
        "resolution": {
            "mode": str(settings.resolution),
            "best_instant": settings.best_instant_discount_only,
            "no_award_while_spending": settings.no_award_while_spending,
        },
    }
    if body.pocket != crm.COMMERCE:
        attrs["accounts"] = [body.pocket]
    if body.reduction_method == "BACK_END_REDUCTION":
        attrs |= {"reduction": BACK, "refund_method": settings.refund_method}
    return Event(
        id=name,
        type=PURCHASE,
        holder=HolderId(body.contact_id),
        at=body.at or now,
        amount=body.amount or ZERO,
        lines=tuple(line.line() for line in body.lines),
        attrs=attrs,
        spend=body.wallet_spend,
    )


def preview(business: Business, body: Purchase, request: str, now: datetime) -> dict[str, Any]:
    """Say what a purchase would do, at a time to come perhaps."""
    with about("wallet_spend"):
        return crm.preview_purchase(business.engine, purchase_event(business, body, EventId(f"preview:{request}"), now))


def buy(business: Business, body: Purchase, name: str, now: datetime) -> Receipt:
    """Post a purchase; the same one again is no news, another one under its id is refused."""
    if business.purchases.get(name, body) != body:
        raise Refused(f"there is another purchase {name!r} already", "id", CONFLICT)
    happened_at(body.at, now, "at")
    event = purchase_event(business, body, EventId(f"purchase:{name}"), now)
    with about("wallet_spend"):
        receipt = business.engine.submit(event)
    business.purchases[name] = body
    return receipt


def cancel(business: Business, name: str, now: datetime) -> None:
    """Cancel a purchase: its awards and spends are reverted; cancelling twice changes nothing."""
    with about("purchase_id"):
        crm.cancel(business.engine, EventId(f"purchase:{name}"), now)
    business.cancelled.add(name)


def take_back(business: Business, name: str, body: Return, now: datetime) -> Receipt:
    """Take back some lines of a purchase; more than there is left of one is refused."""
    if business.returned.get((name, body.id), body) != body:
        raise Refused(f"there is another return {body.id!r} of this purchase already", "id", CONFLICT)
    lines = [Line(row.id, row.amount, row.quantity) for row in body.lines]
    reversal = EventId(f"return:{name}:{body.id}")
    with about("lines"):
        receipt = business.engine.reverse(EventId(f"purchase:{name}"), now, lines, reversal=reversal)
    business.returned[name, body.id] = body
    return receipt


def achieve(business: Business, body: Achievement, name: str, now: datetime) -> Receipt:
    """Record something a contact did; thank-you gifts react to it."""
    if business.achieved.get(name, body) != body:
        raise Refused(f"there is another achievement {name!r} already", "id", CONFLICT)
    attrs: dict[str, Any] = {"name": body.name}
    at = happened_at(body.at, now, "at")
    receipt = business.engine.submit(
        Event(EventId(f"achievement:{name}"), ACHIEVEMENT, HolderId(body.contact_id), at, attrs=attrs)
    )
    business.achieved[name] = body
    return receipt


def hold_draw(business: Business, row: OfferRow, seed: int, now: datetime) -> list[HolderId]:
    """Draw the winners among those whom the prize would be paid to, and pay it."""
    terms = row.given.lottery or Lottery()
    if row.draws and not terms.repeated:
        raise Refused(f"lottery {row.id} is drawn once, and has been", "offer", CONFLICT)
    if not (row.active and business.schemes[row.given.scheme_id].active):
        raise Refused(f"lottery {row.id} or its scheme is not active", "offer")
    ticket = Ticket(
        row.given.available_from or FIRST,
        row.given.available_to or LAST,
        (terms.min_events, terms.max_events),
        (terms.min_total, terms.max_total),
    )
    number = row.draws + 1
    scheme = ProgrammeId(row.given.scheme_id)
    prizes = {
        holder: Event(EventId(f"draw:{row.id}:{number}:{holder}"), lottery_event(row.id), holder, now)
        for holder in qualifiers(ticket, _kept(business))
        if business.engine.is_member(holder, scheme)
    }
    drum = [holder for holder, prize in prizes.items() if business.engine.preview(prize).entries]
    winners = draw(drum, terms.winners, Random(seed))  # noqa: S311 - a draw anybody can repeat
    for holder in winners:
        business.engine.submit(prizes[holder])
    row.draws = number
    return winners


def _kept(business: Business) -> Iterable[Event]:
    """Yield the purchases that were not taken back whole."""
    for name in business.purchases:
        if name not in business.cancelled:
            event = business.engine.event(EventId(f"purchase:{name}"))
            if event.amount:
                yield event


def collect(business: Business, contact: str, body: Collection, now: datetime) -> Receipt:
    """Hand out complimentary items; the same collection again is no news, another one under its id is refused."""
    if business.collected.get(body.id, (contact, body)) != (contact, body):
        raise Refused(f"there is another collection {body.id!r} already", "id", CONFLICT)
    pocket = crm.items_of(body.product).name
    if body.product not in business.products:
        raise Refused(f"there are no complimentary items {body.product[:80]!r}", "product")
    occasion = Occasion(EventId(f"collect:{body.id}"), now, (), {"accounts": [pocket]})
    with about("quantity"):
        receipt = business.engine.spend(HolderId(contact), Decimal(body.quantity), occasion)
    business.collected[body.id] = (contact, body)
    return receipt


# -- wallets


def move_money(business: Business, contact: str, body: WalletTransaction, now: datetime) -> Receipt:
    """Post a wallet transaction; the same one again is no news, another one under its id is refused."""
    if business.wallet.get(body.id, (contact, body)) != (contact, body):
        raise Refused(f"there is another wallet transaction {body.id!r} already", "id", CONFLICT)
    attrs: dict[str, Any] = {"accounts": [body.pocket], "kind": body.kind}
    if body.to_contact_id is not None:
        attrs |= {"to": body.to_contact_id, "into": body.pocket}
    lines = (Line("1", body.amount, item=AccountName(body.pocket)),) if body.kind == "credit" else ()
    event = Event(
        id=EventId(f"wallet:{body.id}"),
        type=WALLET_KINDS[body.kind],
        holder=HolderId(contact),
        at=now,
        amount=body.amount,
        lines=lines,
        attrs=attrs,
    )
    with about("amount"):
        receipt = business.engine.submit(event)
    business.wallet[body.id] = (contact, body)
    return receipt


def void(business: Business, name: str, now: datetime) -> Receipt:
    """Reverse a wallet transaction; voiding twice changes nothing."""
    with about("transaction"):
        return business.engine.reverse(EventId(f"wallet:{name}"), now, reversal=EventId(f"void:{name}"))


# -- back-end reduction


def refunds(business: Business) -> dict[str, Refund]:
    """Return the refunds as they stand, by the purchase they are for."""
    rows = [row for row in business.engine.records if isinstance(row, Refund)]
    return {row.purchase.removeprefix("purchase:"): row for row in rows}


def reconcile(business: Business, name: str, request: str, now: datetime) -> Receipt:
    """Mark the refund of a purchase as paid; once it is, nothing happens."""
    event = EventId(f"purchase:{name}")
    holder = business.engine.event(event).holder
    with about("purchase_id"):
        return business.engine.submit(Event(EventId(f"reconcile:{request}"), RECONCILE, holder, now, ref=event))
