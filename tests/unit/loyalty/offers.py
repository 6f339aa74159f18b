"""Offers of CRM.COM as the core's examples need them: bare rules, without the face's forms."""

from decimal import Decimal

from tiersync.loyalty.conditions import completes
from tiersync.loyalty.crm import CASHBACK, COMMERCE, INSTANT, PERFORMANCE, REFERRAL, referred, to_referrer
from tiersync.loyalty.events import PROFILE, PURCHASE, ProgrammeId
from tiersync.loyalty.records import RuleId
from tiersync.loyalty.rules import Limit, Rule, When, always, flat, off, share


def cashback(name: str, scheme_id: str, rate: str, when: When = always) -> Rule:
    """A share of the purchase back into the commerce pocket (B5)."""
    give = share(COMMERCE, Decimal(rate))
    return Rule(RuleId(name), ProgrammeId(scheme_id), PURCHASE, give, when, kind=CASHBACK)


def instant_discount(name: str, scheme_id: str, rate: str, when: When = always) -> Rule:
    """A share off this purchase (B5)."""
    return Rule(RuleId(name), ProgrammeId(scheme_id), PURCHASE, off(Decimal(rate)), when, kind=INSTANT)


def profile_completion(name: str, scheme_id: str, amount: str, *required: str) -> Rule:
    """Once, for the update that makes the profile complete (CR-10)."""
    give = flat(COMMERCE, Decimal(amount))
    return Rule(RuleId(name), ProgrammeId(scheme_id), PROFILE, give, completes(*required), Limit(1), kind=PERFORMANCE)


def referral(name: str, scheme_id: str, amount: str) -> Rule:
    """To whoever referred the buyer, for the buyer's first purchase (CR-11)."""
    give = to_referrer(Decimal(amount))
    return Rule(RuleId(name), ProgrammeId(scheme_id), PURCHASE, give, referred, Limit(1), kind=REFERRAL)
