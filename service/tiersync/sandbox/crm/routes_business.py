"""Businesses and what they define: schemes, codes, spend conditions, offers, settings, tiers; settlement and runs."""

from tiersync.loyalty.events import ProgrammeId
from tiersync.sandbox.answers import Answer
from tiersync.sandbox.ask import Ask
from tiersync.sandbox.crm import answers as shape
from tiersync.sandbox.crm.business import Business, OfferRow, SchemeRow
from tiersync.sandbox.crm.example import OFFERS, SCHEMES, SPA
from tiersync.sandbox.crm.models import Business as Given
from tiersync.sandbox.crm.models import Codes, Run, Settings, SettlementTerms, Tiers
from tiersync.sandbox.crm.offers import Offer, Scheme, SpendCondition
from tiersync.sandbox.crm.platform import Platform
from tiersync.sandbox.faces import CREATED, NOT_FOUND, Refused, Row, about, found, read, stamp

HERE = "/businesses/{business}"


def here(platform: Platform, ask: Ask) -> Business:
    """Find the business a path names."""
    business: Business = found(platform.businesses, ask.params["business"], "business")
    business.catch_up(ask.now)
    return business


def scheme_of(platform: Platform, ask: Ask) -> tuple[Business, SchemeRow]:
    """Find the scheme a path names."""
    business = here(platform, ask)
    return business, found(business.schemes, ask.params["scheme"], "scheme")


def offer_of(platform: Platform, ask: Ask) -> tuple[Business, OfferRow]:
    """Find the offer a path names."""
    business = here(platform, ask)
    return business, found(business.offers, ask.params["offer"], "offer")


def made(body: object, *, new: bool) -> Answer:
    """Answer 201 for what is new and 200 for what was there just so."""
    return Answer(body, CREATED if new else 200)


def create_business(platform: Platform, ask: Ask) -> Answer:
    """Add a business; it starts with an inactive scheme and four inactive offers."""
    business, new = platform.add(read(ask, Given), ask.request_id)
    return made(shape.business(business), new=new)


def list_businesses(platform: Platform, ask: Ask) -> Answer:  # noqa: ARG001 - a handler
    """List the businesses."""
    rows = [{"id": row.id, "name": row.given.name} for row in platform.businesses.values()]
    return Answer({"businesses": rows})


def read_business(platform: Platform, ask: Ask) -> Answer:
    """Return a business and everything it defined."""
    return Answer(shape.business(here(platform, ask)))


def change_settings(platform: Platform, ask: Ask) -> Answer:
    """Set how contacts are awarded from now on; what is not given falls back to its default."""
    business = here(platform, ask)
    business.settings = read(ask, Settings)
    return Answer(business.settings.model_dump(mode="json"))


def set_tiers(platform: Platform, ask: Ask) -> Answer:
    """Set the reward tiers, before the first contact."""
    business = here(platform, ask)
    business.set_tiers(read(ask, Tiers))
    return Answer(shape.business(business)["tiers"])


def create_scheme(platform: Platform, ask: Ask) -> Answer:
    """Add a reward scheme; it is inactive."""
    business, body = here(platform, ask), read(ask, Scheme)
    name = body.id or ask.request_id
    new = business.add_scheme(body, name)
    return made(shape.scheme(business.schemes[name]), new=new)


def activate_scheme(platform: Platform, ask: Ask) -> Answer:
    """Let people in, and let its active offers award."""
    return _switched(*scheme_of(platform, ask), ask, active=True)


def deactivate_scheme(platform: Platform, ask: Ask) -> Answer:
    """Let nobody in, and award nothing; members stay members."""
    return _switched(*scheme_of(platform, ask), ask, active=False)


def _switched(business: Business, row: SchemeRow | OfferRow, ask: Ask, *, active: bool) -> Answer:
    business.switch(row, ask.request_id, ask.now, active=active)
    return Answer(shape.scheme(row) if isinstance(row, SchemeRow) else shape.offer(row))


def import_codes(platform: Platform, ask: Ask) -> Answer:
    """Import sign-up codes."""
    business, row = scheme_of(platform, ask)
    body = read(ask, Codes)
    if row.given.sign_up.type != "closed_codes":
        raise Refused(f"scheme {row.id} is not joined by code", "scheme_id")
    business.import_codes(row.id, body, ask.request_id, ask.now)
    return _codes(business, row, CREATED)


def view_codes(platform: Platform, ask: Ask) -> Answer:
    """List the sign-up codes, each with who used it."""
    return _codes(*scheme_of(platform, ask), 200)


def delete_code(platform: Platform, ask: Ask) -> Answer:
    """Delete a sign-up code; whoever used it stays a member."""
    business, row = scheme_of(platform, ask)
    code = ask.params["code"]
    if code not in business.engine.codes(ProgrammeId(row.id)):
        raise Refused(f"scheme {row.id} has no code {code[:80]!r}", "code", NOT_FOUND)
    business.delete_code(row.id, code, ask.request_id, ask.now)
    return _codes(business, row, 200)


def _codes(business: Business, row: SchemeRow, status: int) -> Answer:
    codes = business.engine.codes(ProgrammeId(row.id))
    listed = [{"code": code, "used_by": holder} for code, holder in codes.items()]
    return Answer({"scheme_id": row.id, "codes": listed}, status)


def create_condition(platform: Platform, ask: Ask) -> Answer:
    """Add a spend condition rule."""
    business, body = here(platform, ask), read(ask, SpendCondition)
    name = body.id or ask.request_id
    new = business.add_condition(body, name)
    return made({**body.model_dump(mode="json"), "id": name}, new=new)


def create_offer(platform: Platform, ask: Ask) -> Answer:
    """Add a reward offer; it is inactive."""
    business, body = here(platform, ask), read(ask, Offer)
    name = body.id or ask.request_id
    with about("offer"):
        new = business.add_offer(body, name)
    return made(shape.offer(business.offers[name]), new=new)


def read_offer(platform: Platform, ask: Ask) -> Answer:
    """Return an offer."""
    return Answer(shape.offer(offer_of(platform, ask)[1]))


def change_offer(platform: Platform, ask: Ask) -> Answer:
    """Change an offer; of one that has been active only what is displayed."""
    business, row = offer_of(platform, ask)
    business.change_offer(row, read(ask, Offer))
    return Answer(shape.offer(row))


def activate_offer(platform: Platform, ask: Ask) -> Answer:
    """Let an offer award."""
    return _switched(*offer_of(platform, ask), ask, active=True)


def deactivate_offer(platform: Platform, ask: Ask) -> Answer:
    """Let an offer award nothing any more."""
    return _switched(*offer_of(platform, ask), ask, active=False)


def fill_scheme(platform: Platform, ask: Ask) -> Answer:
    """Let everybody who registered before the scheme was active into it."""
    business, row = scheme_of(platform, ask)
    joined = business.fill(row.id, ask.request_id, ask.now)
    return Answer({"scheme_id": row.id, "joined": joined})


def set_settling(platform: Platform, ask: Ask) -> Answer:
    """Set when merchants are settled, and by which payment method."""
    business = here(platform, ask)
    business.settling = read(ask, SettlementTerms)
    return Answer(business.settling.model_dump(mode="json"))


def settle(platform: Platform, ask: Ask) -> Answer:
    """Settle with the merchants what happened since the last settlement."""
    business = here(platform, ask)
    row = business.settle()
    return Answer(shape.settlement(business, len(business.settlements), row), CREATED)


def settlements(platform: Platform, ask: Ask) -> Answer:
    """List the settlements."""
    business = here(platform, ask)
    rows = [shape.settlement(business, number, row) for number, row in enumerate(business.settlements, 1)]
    return Answer({"settlements": rows})


def run(platform: Platform, ask: Ask) -> Answer:
    """Do what fell due at every business: expiry, tier evaluations. Running twice changes nothing."""
    as_of = read(ask, Run).as_of or ask.now
    done = {name: shape.happened(receipt) for name, receipt in platform.advance(as_of).items()}
    return Answer({"as_of": stamp(as_of), "businesses": done})


SCHEME = {"id": "club", "name": "Aura Club", "state": "inactive"}
OFFER = {"id": "quiet-hours", "goal": "increase_visits", "type": "happy_hour", "state": "inactive"}
CODES = {"scheme_id": "vip", "codes": [{"code": "K1", "used_by": None}]}

ROWS = (
    Row("POST", "/businesses", create_business, "Add a business with its defaults", Given, SPA, {"id": "spa"}),
    Row("GET", "/businesses", list_businesses, "The businesses", example={"businesses": [{"id": "spa"}]}),
    Row("GET", HERE, read_business, "A business and everything it defined", example={"id": "spa"}),
    Row(
        "PUT",
        f"{HERE}/settings",
        change_settings,
        "Reward resolution, classifications, refund method; from the next purchase on",
        Settings,
        {"resolution": "best_per_scheme", "best_instant_discount_only": True, "no_award_while_spending": True},
        {"resolution": "best_per_scheme"},
    ),
    Row("PUT", f"{HERE}/tiers", set_tiers, "Reward tiers", Tiers, SPA["tiers"], {"months": 12}),
    Row("POST", f"{HERE}/schemes", create_scheme, "Add a reward scheme, inactive", Scheme, SCHEMES[1], SCHEME),
    Row("POST", f"{HERE}/schemes/{{scheme}}/activate", activate_scheme, "Activate a scheme", example=SCHEME),
    Row("POST", f"{HERE}/schemes/{{scheme}}/deactivate", deactivate_scheme, "Deactivate a scheme", example=SCHEME),
    Row(
        "POST",
        f"{HERE}/schemes/{{scheme}}/fill",
        fill_scheme,
        "Let everybody registered into a scheme that is joined automatically",
        example={"scheme_id": "default", "joined": ["ann"]},
    ),
    Row(
        "POST",
        f"{HERE}/schemes/{{scheme}}/codes",
        import_codes,
        "Import sign-up codes",
        Codes,
        {"codes": ["K1", "K2"], "until": "2026-12-31T00:00:00Z"},
        CODES,
    ),
    Row("GET", f"{HERE}/schemes/{{scheme}}/codes", view_codes, "Sign-up codes and who used them", example=CODES),
    Row("DELETE", f"{HERE}/schemes/{{scheme}}/codes/{{code}}", delete_code, "Delete a sign-up code", example=CODES),
    Row(
        "POST",
        f"{HERE}/spend-conditions",
        create_condition,
        "Add a spend condition rule",
        SpendCondition,
        {"id": "massages", "name": "Massages only", "products": ["massage"]},
        {"id": "massages"},
    ),
    Row("POST", f"{HERE}/offers", create_offer, "Add a reward offer, inactive", Offer, OFFERS[0], OFFER),
    Row("GET", f"{HERE}/offers/{{offer}}", read_offer, "An offer", example=OFFER),
    Row(
        "PUT",
        f"{HERE}/offers/{{offer}}",
        change_offer,
        "Change an offer; once it has been active, only what is displayed",
        Offer,
        OFFERS[0],
        OFFER,
    ),
    Row("POST", f"{HERE}/offers/{{offer}}/activate", activate_offer, "Activate an offer", example=OFFER),
    Row("POST", f"{HERE}/offers/{{offer}}/deactivate", deactivate_offer, "Deactivate an offer", example=OFFER),
    Row(
        "POST",
        f"{HERE}/settlements",
        settle,
        "Settle with the merchants",
        example={"number": 1, "lines": [{"party": "Limassol", "amount": "2.00", "direction": "charge"}]},
    ),
    Row(
        "PUT",
        f"{HERE}/settlements/terms",
        set_settling,
        "When merchants are settled by themselves, and by which payment method",
        SettlementTerms,
        {"every": "week", "payment_methods": {"Harbour Beauty": "account"}},
        {"every": "week"},
    ),
    Row("GET", f"{HERE}/settlements", settlements, "The settlements so far", example={"settlements": []}),
    Row(
        "POST",
        "/run",
        run,
        "Expiry and tier evaluations up to a date",
        Run,
        {"as_of": "2027-01-01T00:00:00Z"},
        {"as_of": "2027-01-01T00:00:00Z", "businesses": {}},
    ),
)
