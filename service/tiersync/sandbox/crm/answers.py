"""Pure. What the CRM.COM face answers: money as decimal strings, instants in UTC."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from tiersync.loyalty import crm
from tiersync.loyalty.accounts import Condition
from tiersync.loyalty.events import EventId, HolderId
from tiersync.loyalty.records import Entry, LevelMove, Lot, Refund
from tiersync.loyalty.setup import AS_TOLD
from tiersync.loyalty.state import Receipt
from tiersync.sandbox.crm.business import Business, OfferRow, SchemeRow, Settled, referral_code
from tiersync.sandbox.crm.offers import GOALS
from tiersync.sandbox.faces import money, stamp


def business(row: Business) -> dict[str, Any]:
    """Return a business with everything it defined."""
    return {
        "id": row.id,
        "name": row.given.name,
        "currency": row.given.currency,
        "settings": row.settings.model_dump(mode="json"),
        "tiers": None if row.tiers is None else row.tiers.model_dump(mode="json"),
        "schemes": [scheme(each) for each in row.schemes.values()],
        "offers": [offer(each) for each in row.offers.values()],
        "spend_conditions": [{**each.model_dump(mode="json"), "id": name} for name, each in row.conditions.items()],
        "contacts": len(row.contacts),
    }


def scheme(row: SchemeRow) -> dict[str, Any]:
    """Return a scheme."""
    return {**row.given.model_dump(mode="json"), "id": row.id, "state": _state(row.active)}


def offer(row: OfferRow) -> dict[str, Any]:
    """Return an offer with its goal; a missing image is the other one."""
    given = row.given
    return {
        **given.model_dump(mode="json", by_alias=True),
        "id": row.id,
        "goal": GOALS[given.type],
        "state": _state(row.active),
        "avatar": given.avatar or given.hero,
        "hero": given.hero or given.avatar,
    }


def contact(row: Business, name: str) -> dict[str, Any]:
    """Return a contact: profile, referral code, schemes, tier."""
    holder = HolderId(name)
    return {
        "id": name,
        "profile": dict(row.engine.profile(holder)),
        "referral_code": referral_code(name),
        "schemes": [each for each in row.schemes if row.is_member(name, each)],
        "tier": tier(row, holder),
    }


def tier(row: Business, holder: HolderId) -> dict[str, Any] | None:
    """Return the contact's tier, with the value units of this period and what the next one needs."""
    if row.tiers is None:
        return None
    standing = row.engine.standing(holder, crm.TIERS)
    levels = row.tiers.levels
    higher = levels[standing.rank + 1 : standing.rank + 2]
    return {
        "name": levels[standing.rank].name,
        "since": stamp(standing.since),
        "value_units": _number(standing.total),
        "next": higher[0].name if higher else None,
        "next_value_units": higher[0].value_units if higher else None,
        "evaluated_on": None if standing.until is None else stamp(standing.until),
    }


def visible_schemes(row: Business) -> list[dict[str, Any]]:
    """Return what an app shows: active schemes only."""
    return [scheme(each) for each in row.schemes.values() if each.active]


def visible_offers(row: Business, name: str | None, now: datetime) -> list[dict[str, Any]]:
    """Return what an app shows: active and available offers of active schemes, featured first; a contact's own ones."""
    shown = [
        each
        for each in row.offers.values()
        if each.active
        and row.schemes[each.given.scheme_id].active
        and (each.given.available_from is None or each.given.available_from <= now)
        and (each.given.available_to is None or now < each.given.available_to)
        and (name is None or row.is_member(name, each.given.scheme_id))
    ]
    return [offer(each) for each in sorted(shown, key=lambda each: not each.given.featured)]


def wallet(row: Business, name: str, now: datetime) -> dict[str, Any]:
    """Return a contact's wallet: its pockets, with what each amount may be spent on and until when."""
    holder = HolderId(name)
    pockets = {
        account.name: {
            "balance": money(row.engine.balance(holder, account.name, now)),
            "amounts": [_lot(lot) for lot in row.engine.lots(holder, account.name) if lot.left and not lot.dead(now)],
        }
        for account in crm.POCKETS
    }
    entries = [entry(each) for each in row.engine.records if isinstance(each, Entry) and each.holder == holder]
    shown = {"contact_id": name, "currency": row.given.currency, "pockets": pockets}
    return {**shown, "items": _items(row, holder, now), "entries": entries}


def _items(row: Business, holder: HolderId, now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "product": product,
            "quantity": int(lot.left),
            "awarded": stamp(lot.issued),
            "expires": None if lot.terms.expires_at is None else stamp(lot.terms.expires_at),
        }
        for product in row.products
        for lot in row.engine.lots(holder, crm.items_of(product).name)
        if lot.left and not lot.dead(now)
    ]


def _lot(lot: Lot) -> dict[str, Any]:
    return {
        "amount": money(lot.left),
        "awarded": stamp(lot.issued),
        "expires": None if lot.terms.expires_at is None else stamp(lot.terms.expires_at),
        "spend_condition": _condition(lot.terms.condition),
    }


def _condition(condition: Condition) -> dict[str, Any]:
    return {
        "days": sorted(condition.days),
        "hours": condition.hours,
        "locations": sorted(condition.places),
        "products": sorted(condition.products),
    }


def entry(row: Entry) -> dict[str, Any]:
    """Return one change of one balance; `offer_id` says what awarded it. Complimentary items count in pieces."""
    product = crm.product_of(row.account)
    what = {"pocket": row.account, "amount": money(row.amount)}
    return {
        "contact_id": row.holder,
        **(what if product is None else {"product": product, "quantity": int(row.amount)}),
        "kind": str(row.kind),
        "offer_id": None if row.rule == AS_TOLD else row.rule,
        "at": stamp(row.at),
    }


def happened(receipt: Receipt) -> dict[str, Any]:
    """Return what a call did: wallet entries and tier changes."""
    return {
        "repeated": receipt.repeated,
        "entries": [entry(row) for row in receipt.entries],
        "tier_changes": [_move(row) for row in receipt.moves],
    }


def _move(row: LevelMove) -> dict[str, Any]:
    return {
        "contact_id": row.holder,
        "direction": str(row.move),
        "reason": str(row.reason),
        "from": row.before,
        "to": row.after,
        "at": stamp(row.at),
    }


def purchase(row: Business, name: str) -> dict[str, Any]:
    """Return a purchase as far as it was not taken back."""
    given, event = row.purchases[name], row.engine.event(EventId(f"purchase:{name}"))
    return {
        "id": name,
        "contact_id": given.contact_id,
        "state": "cancelled" if name in row.cancelled else "posted",
        "at": stamp(event.at),
        "amount": money(event.amount),
        "lines": [
            {"id": line.id, "product": line.item, "amount": money(line.amount), "quantity": line.quantity}
            for line in event.lines
        ],
        "classification": given.classification,
        "wallet_spend": money(given.wallet_spend),
        "reduction_method": given.reduction_method,
    }


def priced(receipt: Receipt) -> dict[str, Any]:
    """Return what a purchase comes to."""
    return {
        "amount": money(receipt.event.amount),
        "instant_discount": money(receipt.discount),
        "wallet_spend": money(receipt.event.spend),
        "amount_due": money(receipt.due),
        **happened(receipt),
    }


def previewed(shown: dict[str, Any]) -> dict[str, Any]:
    """Return what the till is shown."""
    return {key: money(value) if isinstance(value, Decimal) else value for key, value in shown.items()}


def refund(name: str, row: Refund) -> dict[str, Any]:
    """Return a back-end refund."""
    return {
        "purchase_id": name,
        "contact_id": row.holder,
        "amount": money(row.amount),
        "method": row.method,
        "state": str(row.state),
        "at": stamp(row.at),
    }


def settlement(business: Business, number: int, row: Settled) -> dict[str, Any]:
    """Return a settlement: above zero a party is charged, below it is rebated, by its primary payment method."""
    methods = business.settling.payment_methods
    lines = [
        {
            "party": party,
            "amount": money(abs(amount)),
            "direction": "charge" if amount > 0 else "rebate",
            "payment_method": methods.get(party, "account"),
        }
        for party, amount in sorted(row.of.charged.items())
    ]
    return {"number": number, "period": row.period, "lines": lines}


def _state(active: bool) -> str:  # noqa: FBT001 - the state itself
    return "active" if active else "inactive"


def _number(value: Decimal) -> str:
    return f"{value.normalize():f}"
