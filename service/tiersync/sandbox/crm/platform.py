"""One running CRM.COM face: the businesses on the platform, and the invitations that are under way."""

import re
from dataclasses import dataclass, field
from datetime import datetime

from tiersync.loyalty.state import Receipt
from tiersync.sandbox.crm.business import Business
from tiersync.sandbox.crm.example import CONDITIONS, OFFERS, SCHEMES, SPA
from tiersync.sandbox.crm.models import Business as Given
from tiersync.sandbox.crm.offers import Offer, Scheme, SpendCondition
from tiersync.sandbox.faces import CONFLICT, Refused, about


@dataclass(slots=True)
class Platform:
    """All the businesses. Each has contacts, schemes and wallets of its own; the `example` is the spa."""

    example: bool = True
    businesses: dict[str, Business] = field(init=False)
    invitations: dict[str, tuple[Business, str, str]] = field(init=False)

    def __post_init__(self) -> None:
        self.reset(example=self.example)

    def reset(self, *, example: bool) -> None:
        """Start again, with the example or with no business."""
        self.businesses, self.invitations = {}, {}
        if not example:
            return
        spa, _ = self.add(Given.model_validate(SPA), "")
        for scheme in SCHEMES:
            spa.add_scheme(Scheme.model_validate(scheme), scheme["id"])
        for condition in CONDITIONS:
            spa.add_condition(SpendCondition.model_validate(condition), condition["id"])
        for offer in OFFERS:
            spa.add_offer(Offer.model_validate(offer), offer["id"])

    def add(self, given: Given, otherwise: str) -> tuple[Business, bool]:
        """Add a business under its id, else under its name; the very same one again is no news."""
        name = given.id or re.sub(r"[^a-z0-9]+", "-", given.name.lower()).strip("-")[:80] or otherwise
        known = self.businesses.get(name)
        if known is not None:
            if known.given != given:
                raise Refused(f"there is another business {name!r} already", "id", CONFLICT)
            return known, False
        with about("tiers"):
            self.businesses[name] = Business(name, given)
        return self.businesses[name], True

    def advance(self, now: datetime) -> dict[str, Receipt]:
        """Let everything happen that falls due by then, at every business."""
        return {name: business.engine.run(now) for name, business in self.businesses.items()}
