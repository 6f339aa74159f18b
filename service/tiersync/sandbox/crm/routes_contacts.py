"""Contacts: registering, profiles, joining schemes, what an app shows them, and their wallets."""

from tiersync.sandbox.answers import Answer
from tiersync.sandbox.ask import Ask
from tiersync.sandbox.crm import answers as shape
from tiersync.sandbox.crm import trading
from tiersync.sandbox.crm.business import Business
from tiersync.sandbox.crm.models import Collection, Contact, Join, Profile, WalletTransaction
from tiersync.sandbox.crm.platform import Platform
from tiersync.sandbox.crm.routes_business import HERE, here, made, scheme_of
from tiersync.sandbox.faces import UNPROCESSABLE, Refused, Row, found, read

CONTACT = f"{HERE}/contacts/{{contact}}"


def contact_of(platform: Platform, ask: Ask) -> tuple[Business, str]:
    """Find the contact a path names."""
    business, name = here(platform, ask), ask.params["contact"]
    found(business.contacts, name, "contact")
    return business, name


def register(platform: Platform, ask: Ask) -> Answer:
    """Register a contact; active schemes open to all are joined with it."""
    business, body = here(platform, ask), read(ask, Contact)
    name = body.id or ask.request_id
    new = business.register(body, name, ask.now)
    return made(shape.contact(business, name), new=new)


def read_contact(platform: Platform, ask: Ask) -> Answer:
    """Return a contact: profile, schemes, tier."""
    return Answer(shape.contact(*contact_of(platform, ask)))


def update_profile(platform: Platform, ask: Ask) -> Answer:
    """Change what is given of a profile; null clears."""
    business, name = contact_of(platform, ask)
    receipt = business.update_profile(name, read(ask, Profile), ask.request_id, ask.now)
    return Answer({**shape.contact(business, name), **shape.happened(receipt)})


def join(platform: Platform, ask: Ask) -> Answer:
    """Join a scheme, or be sent a verification link."""
    business, row = scheme_of(platform, ask)
    body = read(ask, Join)
    found(business.contacts, body.contact_id, "contact", UNPROCESSABLE)
    before = business.is_member(body.contact_id, row.id)
    token = ask.request_id
    receipt = business.join(row.id, body, token, ask.now)
    if business.is_member(body.contact_id, row.id):
        return Answer({"state": "joined", "new": not before, **shape.happened(receipt)})
    platform.invitations[token] = (business, row.id, body.contact_id)
    return Answer({"state": "invited", "sent_to": body.email, "verification_link": f"/crm/invitations/{token}"})


def verify(platform: Platform, ask: Ask) -> Answer:
    """Complete an invitation by its link, which works once."""
    token = ask.params["token"]
    business, scheme, contact = found(platform.invitations, token, "invitation")
    receipt = business.verify(scheme, contact, token, ask.request_id, ask.now)
    return Answer({"state": "joined", "scheme_id": scheme, "contact_id": contact, **shape.happened(receipt)})


def leave(platform: Platform, ask: Ask) -> Answer:
    """Leave a scheme; balances stay."""
    business, row = scheme_of(platform, ask)
    body = read(ask, Join)
    found(business.contacts, body.contact_id, "contact", UNPROCESSABLE)
    business.leave(row.id, body.contact_id, ask.request_id, ask.now)
    return Answer({"state": "left", "scheme_id": row.id, "contact_id": body.contact_id})


def app_schemes(platform: Platform, ask: Ask) -> Answer:
    """List what an app shows of the schemes."""
    return Answer({"schemes": shape.visible_schemes(here(platform, ask))})


def app_offers(platform: Platform, ask: Ask) -> Answer:
    """List what an app shows of the offers, featured ones first; with `contact_id` those of the contact's schemes."""
    business, name = here(platform, ask), ask.query.get("contact_id")
    if name is not None:
        found(business.contacts, name, "contact")
    return Answer({"offers": shape.visible_offers(business, name, ask.now)})


def wallet(platform: Platform, ask: Ask) -> Answer:
    """Return a wallet with its pockets."""
    return Answer(shape.wallet(*contact_of(platform, ask), ask.now))


def move_money(platform: Platform, ask: Ask) -> Answer:
    """Post a wallet transaction."""
    business, name = contact_of(platform, ask)
    body = read(ask, WalletTransaction)
    if body.to_contact_id is not None and body.to_contact_id not in business.contacts:
        raise Refused(f"there is no contact {body.to_contact_id!r}", "to_contact_id")
    return Answer({"id": body.id, **shape.happened(trading.move_money(business, name, body, ask.now))})


def collect(platform: Platform, ask: Ask) -> Answer:
    """Hand out complimentary items."""
    business, name = contact_of(platform, ask)
    body = read(ask, Collection)
    return Answer({"id": body.id, **shape.happened(trading.collect(business, name, body, ask.now))})


def void(platform: Platform, ask: Ask) -> Answer:
    """Reverse a wallet transaction."""
    business, name = contact_of(platform, ask)
    transaction = ask.params["transaction"]
    owner, _ = found(business.wallet, transaction, "transaction")
    if owner != name:
        raise Refused(f"there is no transaction {transaction!r} of contact {name}", "transaction_id", 404)
    return Answer({"id": transaction, **shape.happened(trading.void(business, transaction, ask.now))})


ANN = {"id": "ann", "name": "Ann", "email": "ann@uni.example", "born": "1990-05-20"}
JOINED = {"state": "joined", "new": True}

ROWS = (
    Row("POST", f"{HERE}/contacts", register, "Register a contact", Contact, ANN, {"id": "ann", "schemes": []}),
    Row("GET", CONTACT, read_contact, "A contact: profile, schemes, tier", example={"id": "ann", "schemes": []}),
    Row(
        "PUT",
        f"{CONTACT}/profile",
        update_profile,
        "Change a profile",
        Profile,
        {"phone": "+35799000000"},
        {"id": "ann", "entries": []},
    ),
    Row(
        "POST",
        f"{HERE}/schemes/{{scheme}}/join",
        join,
        "Join a scheme: by asking, by code, or by an address that gets a verification link",
        Join,
        {"contact_id": "ann", "email": "ann@uni.example"},
        {"state": "invited", "verification_link": "/crm/invitations/0d6a1c52-0000-4000-8000-000000000000"},
    ),
    Row("POST", "/invitations/{token}", verify, "The verification link of an invitation", example=JOINED),
    Row(
        "POST",
        f"{HERE}/schemes/{{scheme}}/leave",
        leave,
        "Leave a scheme",
        Join,
        {"contact_id": "ann"},
        {"state": "left"},
    ),
    Row("GET", f"{HERE}/app/schemes", app_schemes, "What an app shows of the schemes", example={"schemes": []}),
    Row(
        "GET",
        f"{HERE}/app/offers",
        app_offers,
        "What an app shows of the offers",
        example={"offers": []},
        query=(("contact_id", "ann"),),
    ),
    Row("GET", f"{CONTACT}/wallet", wallet, "A wallet with its pockets", example={"pockets": {}, "entries": []}),
    Row(
        "POST",
        f"{CONTACT}/wallet/transactions",
        move_money,
        "Credit, debit, reimburse or transfer money",
        WalletTransaction,
        {"id": "w-1", "kind": "credit", "pocket": "cash", "amount": "20.00"},
        {"id": "w-1", "entries": []},
    ),
    Row(
        "POST",
        f"{CONTACT}/wallet/items",
        collect,
        "Hand out complimentary items",
        Collection,
        {"id": "c-1", "product": "tea", "quantity": 1},
        {"id": "c-1", "entries": []},
    ),
    Row(
        "POST",
        f"{CONTACT}/wallet/transactions/{{transaction}}/void",
        void,
        "Reverse a wallet transaction",
        example={"id": "w-1", "entries": []},
    ),
)
