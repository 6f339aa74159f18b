"""Customer events: purchases with preview, return and cancel; achievements, draws, back-end refunds."""

from tiersync.sandbox.answers import Answer
from tiersync.sandbox.ask import Ask
from tiersync.sandbox.crm import answers as shape
from tiersync.sandbox.crm import trading
from tiersync.sandbox.crm.business import Business
from tiersync.sandbox.crm.models import Achievement, Draw, Purchase, Return
from tiersync.sandbox.crm.offers import OfferType
from tiersync.sandbox.crm.platform import Platform
from tiersync.sandbox.crm.routes_business import HERE, here, made, offer_of
from tiersync.sandbox.faces import CREATED, NOT_FOUND, UNPROCESSABLE, Refused, Row, found, read

PURCHASE = f"{HERE}/purchases/{{purchase}}"


def purchase_of(platform: Platform, ask: Ask) -> tuple[Business, str]:
    """Find the purchase a path names."""
    business, name = here(platform, ask), ask.params["purchase"]
    found(business.purchases, name, "purchase")
    return business, name


def preview(platform: Platform, ask: Ask) -> Answer:
    """Say what a purchase would do; nothing is posted."""
    business, body = here(platform, ask), read(ask, Purchase)
    found(business.contacts, body.contact_id, "contact", UNPROCESSABLE)
    return Answer(shape.previewed(trading.preview(business, body, ask.request_id, ask.now)))


def buy(platform: Platform, ask: Ask) -> Answer:
    """Post a purchase."""
    business, body = here(platform, ask), read(ask, Purchase)
    found(business.contacts, body.contact_id, "contact", UNPROCESSABLE)
    name = body.id or ask.request_id
    receipt = trading.buy(business, body, name, ask.now)
    return made({**shape.purchase(business, name), **shape.priced(receipt)}, new=not receipt.repeated)


def read_purchase(platform: Platform, ask: Ask) -> Answer:
    """Return a purchase as far as it was not taken back."""
    return Answer(shape.purchase(*purchase_of(platform, ask)))


def cancel(platform: Platform, ask: Ask) -> Answer:
    """Cancel a purchase; cancelling twice changes nothing."""
    business, name = purchase_of(platform, ask)
    trading.cancel(business, name, ask.now)
    return Answer(shape.purchase(business, name))


def take_back(platform: Platform, ask: Ask) -> Answer:
    """Take back some lines of a purchase."""
    business, name = purchase_of(platform, ask)
    receipt = trading.take_back(business, name, read(ask, Return), ask.now)
    return Answer({**shape.purchase(business, name), **shape.happened(receipt)})


def achieve(platform: Platform, ask: Ask) -> Answer:
    """Record an achievement."""
    business, body = here(platform, ask), read(ask, Achievement)
    found(business.contacts, body.contact_id, "contact", UNPROCESSABLE)
    name = body.id or ask.request_id
    receipt = trading.achieve(business, body, name, ask.now)
    return made({"id": name, **shape.happened(receipt)}, new=not receipt.repeated)


def draw(platform: Platform, ask: Ask) -> Answer:
    """Draw the winners of a lottery and pay them."""
    business, row = offer_of(platform, ask)
    body = read(ask, Draw)
    if row.given.type is not OfferType.LOTTERY:
        raise Refused(f"offer {row.id} is no lottery", "offer")
    winners = trading.hold_draw(business, row, body.seed, ask.now)
    return Answer({"offer_id": row.id, "draw": row.draws, "winners": winners}, CREATED)


def refunds(platform: Platform, ask: Ask) -> Answer:
    """List the back-end refunds as they stand."""
    rows = trading.refunds(here(platform, ask))
    return Answer({"refunds": [shape.refund(name, row) for name, row in rows.items()]})


def reconcile(platform: Platform, ask: Ask) -> Answer:
    """Mark a refund as paid; reconciling twice pays nothing more."""
    business, name = purchase_of(platform, ask)
    if name not in trading.refunds(business):
        raise Refused(f"purchase {name} has no refund due", "purchase_id", NOT_FOUND)
    receipt = trading.reconcile(business, name, ask.request_id, ask.now)
    state = shape.refund(name, trading.refunds(business)[name])
    return Answer({**state, "paid_now": state["amount"] if receipt.records else "0.00"})


VISIT = {
    "id": "visit-1",
    "contact_id": "ann",
    "lines": [{"id": "1", "product": "massage", "amount": "80.00"}, {"id": "2", "product": "tea", "amount": "5.00"}],
    "merchant": "Zen & Aura Limassol",
    "city": "Limassol",
    "classification": "visit",
    "wallet_spend": "0.00",
}
POSTED = {"id": "visit-1", "state": "posted", "amount": "85.00", "amount_due": "85.00"}
PREVIEWED = {
    "total_award": "4.25",
    "total_instant_spend": "0.00",
    "total_automatic_spend": "0.00",
    "additional_amount_that_could_be_spent": "5.00",
    "wallet_balance": "5.00",
    "reduction_method": "FRONT_END_REDUCTION",
    "amount_due": "85.00",
}
REFUND = {"purchase_id": "visit-1", "amount": "6.00", "method": "card", "state": "reconciled", "paid_now": "6.00"}

ROWS = (
    Row("POST", f"{HERE}/purchases/preview", preview, "What a purchase would do", Purchase, VISIT, PREVIEWED),
    Row("POST", f"{HERE}/purchases", buy, "Post a purchase", Purchase, VISIT, POSTED),
    Row("GET", PURCHASE, read_purchase, "A purchase", example=POSTED),
    Row("POST", f"{PURCHASE}/cancel", cancel, "Cancel a purchase", example={"id": "visit-1", "state": "cancelled"}),
    Row(
        "POST",
        f"{PURCHASE}/returns",
        take_back,
        "Take back some lines of a purchase",
        Return,
        {"id": "r-1", "lines": [{"id": "2", "amount": "5.00"}]},
        POSTED,
    ),
    Row(
        "POST",
        f"{HERE}/achievements",
        achieve,
        "Record an achievement, which a thank-you gift may reward",
        Achievement,
        {"id": "a-1", "contact_id": "ann", "name": "five-years"},
        {"id": "a-1", "entries": []},
    ),
    Row(
        "POST",
        f"{HERE}/offers/{{offer}}/draws",
        draw,
        "Draw the winners of a lottery",
        Draw,
        {"seed": 1},
        {"offer_id": "raffle", "draw": 1, "winners": ["ann"]},
    ),
    Row("GET", f"{HERE}/refunds", refunds, "Back-end refunds", example={"refunds": [REFUND]}),
    Row("POST", f"{PURCHASE}/reconcile", reconcile, "Mark a back-end refund as paid", example=REFUND),
)
