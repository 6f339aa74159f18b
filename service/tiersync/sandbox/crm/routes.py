"""The routes of the CRM.COM face, under `/crm`."""

from tiersync.sandbox.crm import routes_business, routes_contacts, routes_purchases
from tiersync.sandbox.crm.platform import Platform
from tiersync.sandbox.faces import verbs as verbs_of
from tiersync.sandbox.verbs import Verb


def verbs(platform: Platform) -> tuple[Verb, ...]:
    """Return the routes of a platform."""
    return verbs_of("crm", platform, (*routes_business.ROWS, *routes_contacts.ROWS, *routes_purchases.ROWS))
