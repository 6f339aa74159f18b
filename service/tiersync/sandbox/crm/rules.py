"""Pure. From a reward offer to a rule of the core, from a sign-up to a gate, from a spend condition to a lot's."""

from collections.abc import Callable
from decimal import Decimal

from tiersync.loyalty import crm
from tiersync.loyalty.accounts import AfterMonths, Condition, Expiry, Through
from tiersync.loyalty.conditions import (
    at_place,
    between,
    classified,
    completes,
    every,
    in_segment,
    on_birthday,
    on_level,
    spent,
)
from tiersync.loyalty.events import JOIN, PROFILE, PURCHASE, REGISTER, VERIFY, ZERO, ProgrammeId
from tiersync.loyalty.programmes import Codes, EmailDomain, Gate, OpenAuto, OpenSelf
from tiersync.loyalty.records import RuleId, Share
from tiersync.loyalty.rules import Context, Credit, Give, Limit, Off, Rule, When, always
from tiersync.sandbox.crm.offers import (
    Award,
    CodesSignUp,
    EmailDomainSignUp,
    Offer,
    OfferType,
    OpenSelfSignUp,
    Scheme,
    SpendCondition,
    Targeting,
)

ACHIEVEMENT = "achievement"
MERCHANT, HOUSE = "merchant", "business"

SIGN_UP_TRIGGERS = {
    "open_auto": REGISTER,
    "open_self": JOIN,
    "closed_codes": JOIN,
    "closed_email_domain": VERIFY,
}
"""With which event somebody is in for the first time."""


def gate(scheme: Scheme) -> Gate:
    """Return who may join."""
    match scheme.sign_up:
        case OpenSelfSignUp():
            return OpenSelf()
        case EmailDomainSignUp(domains=domains):
            return EmailDomain(frozenset(domains))
        case CodesSignUp():
            return Codes()
        case _:
            return OpenAuto()


def condition(spend: SpendCondition) -> Condition:
    """Return what a lot may be spent on."""
    return Condition(frozenset(spend.days), spend.hours, frozenset(spend.locations), frozenset(spend.products))


def rule(offer_id: str, offer: Offer, scheme: Scheme, spend: Condition, rank: int) -> Rule:
    """Return an offer as an inactive rule of its scheme; older offers have the lower rank."""
    start, end = offer.available_from, offer.available_to
    built = Rule(
        id=RuleId(offer_id),
        programme=ProgrammeId(offer.scheme_id),
        trigger=_trigger(offer_id, offer, scheme),
        give=_give(offer),
        when=_when(offer_id, offer),
        limit=_limit(offer),
        rank=rank,
        kind=_kind(offer),
        active=False,
    )
    return _funded(crm.spend_condition(crm.available(built, start, end, _targeted(offer.targeting)), spend), offer)


def lottery_event(offer_id: str) -> str:
    """Return the type of the event that is a prize of this lottery."""
    return f"lottery:{offer_id}"


def _trigger(offer_id: str, offer: Offer, scheme: Scheme) -> str:
    match offer.type:
        case OfferType.LOTTERY:
            return lottery_event(offer_id)
        case OfferType.THANK_YOU_GIFT:
            return ACHIEVEMENT
        case OfferType.SIGN_UP:
            return SIGN_UP_TRIGGERS[scheme.sign_up.type]
        case OfferType.PROFILE_COMPLETION:
            return PROFILE
        case _:
            return PURCHASE


def _when(offer_id: str, offer: Offer) -> When:
    match offer.type:
        case OfferType.THANK_YOU_GIFT:
            wanted = offer.achievement or offer_id
            return lambda context: context.event.option("name") == wanted
        case OfferType.SIGN_UP:
            return lambda context: context.event.option("programme") in {"", offer.scheme_id}
        case OfferType.PROFILE_COMPLETION:
            return completes(*offer.required)
        case OfferType.REFERRAL:
            return crm.referred
        case _:
            return always


def _give(offer: Offer) -> Give:
    award, expiry = offer.award, _expiry(offer.award)
    if offer.type is OfferType.REFERRAL:
        return crm.to_referrer(award.amount or ZERO, expiry)
    if award.item is not None:
        pocket = crm.items_of(award.item.product).name
        pieces = Credit(pocket, Decimal(award.item.quantity), expiry=expiry, worth=award.item.worth)
        return lambda _context: (pieces,)
    measure = _measure(award)
    if award.kind == "instant_discount" or offer.type in {OfferType.MONETARY_DISCOUNT, OfferType.PRODUCTS_DISCOUNT}:
        return lambda context: (Off(measure(context)),)
    return lambda context: (Credit(crm.COMMERCE, measure(context), expiry=expiry),)


def _measure(award: Award) -> Callable[[Context], Decimal]:
    """The computed amount: a share of what is eligible, or a fixed amount, off which no more than that."""

    def eligible(context: Context) -> Decimal:
        wanted = set(award.products)
        if not wanted:
            return context.event.amount
        return sum((row.amount for row in context.event.lines if wanted & {row.item, *row.tags}), ZERO)

    def measure(context: Context) -> Decimal:
        if award.percent is not None:
            return eligible(context) * award.percent / 100
        amount = award.amount or ZERO
        return min(amount, eligible(context)) if award.products or award.kind == "instant_discount" else amount

    return measure


def _expiry(award: Award) -> Expiry | None:
    if award.expires_on is not None:
        return Through(award.expires_on)
    return None if award.valid_months is None else AfterMonths(award.valid_months)


def _kind(offer: Offer) -> str:
    if offer.award.item is not None:
        return crm.ITEM
    match offer.type:
        case OfferType.MONETARY_DISCOUNT | OfferType.PRODUCTS_DISCOUNT:
            return crm.INSTANT
        case OfferType.CASHBACK | OfferType.HAPPY_HOUR:
            return crm.INSTANT if offer.award.kind == "instant_discount" else crm.CASHBACK
        case OfferType.REFERRAL:
            return crm.REFERRAL
        case _:
            return crm.PERFORMANCE


ONCE = {OfferType.SIGN_UP, OfferType.REFERRAL, OfferType.PROFILE_COMPLETION}


def _limit(offer: Offer) -> Limit | None:
    if offer.type in ONCE:
        return Limit(1)
    return None if offer.limit is None else Limit(offer.limit.count, offer.limit.per)


def _targeted(targeting: Targeting) -> When:
    parts: list[When] = [
        in_segment(*targeting.segments),
        at_place(*targeting.locations),
        classified(*targeting.classifications),
    ]
    if targeting.tiers:
        parts.append(on_level(crm.TIERS, *targeting.tiers))
    if targeting.days:
        parts.append(lambda context: context.local.isoweekday() in targeting.days)
    if targeting.hours is not None:
        parts.append(between(targeting.hours.start, targeting.hours.end))
    if targeting.occasion is not None:
        parts.append(on_birthday("born" if targeting.occasion == "birthday" else "name_day"))
    if targeting.on_pass is not None:
        parts.append(lambda context: targeting.on_pass in (context.me.profile.get("passes") or ()))  # type: ignore[operator]
    if targeting.min_amount is not None:
        parts.append(spent(targeting.min_amount))
    return every(*parts)


def _funded(built: Rule, offer: Offer) -> Rule:
    """Say on every credit of money who funds it: the business, unless the offer shares it out."""
    if offer.award.item is not None:
        return built
    shares = [(share.party, share.percent / 100) for share in offer.funding] or [(HOUSE, Decimal(1))]

    def by(context: Context) -> tuple[Share, ...]:
        merchant = context.event.option("merchant") or HOUSE
        return tuple(Share(merchant if party == MERCHANT else party, part) for party, part in shares)

    return crm.funded(built, by)
