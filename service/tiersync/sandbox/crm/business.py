"""One business: what it defined, who registered, and the core that knows the rest.

Every definition starts inactive, so the core can be rebuilt from its own log under the enlarged set-up: nothing that
happened before changes. Settings travel in the purchases, so they hold from the next purchase on.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tiersync.loyalty import crm
from tiersync.loyalty.engine import Engine
from tiersync.loyalty.events import (
    DELETE_CODE,
    IMPORT_CODES,
    JOIN,
    LEAVE,
    NOBODY,
    PROFILE,
    REGISTER,
    VERIFY,
    Event,
    EventId,
    HolderId,
    ProgrammeId,
)
from tiersync.loyalty.ladders import Ladder
from tiersync.loyalty.periods import window
from tiersync.loyalty.settlement import Settlement, settle
from tiersync.loyalty.setup import Setup
from tiersync.loyalty.state import Receipt
from tiersync.sandbox.crm import rules
from tiersync.sandbox.crm.models import (
    Achievement,
    Codes,
    Collection,
    Contact,
    Join,
    Profile,
    Purchase,
    Return,
    Settings,
    SettlementTerms,
    Tiers,
    WalletTransaction,
)
from tiersync.sandbox.crm.models import Business as Given
from tiersync.sandbox.crm.offers import ANYWHERE, Award, Offer, OfferType, Scheme, SpendCondition, Targeting
from tiersync.sandbox.faces import CONFLICT, FIRST, UNPROCESSABLE, Refused, about, found

DISPLAYED = {"name", "description", "avatar", "hero", "featured"}
"""What may be changed about an offer that has been active."""


@dataclass(slots=True)
class SchemeRow:
    """A scheme and whether it is active."""

    id: str
    given: Scheme
    active: bool = False


@dataclass(slots=True)
class OfferRow:
    """An offer, whether it is active, whether it ever was, and how many draws were held."""

    id: str
    given: Offer
    active: bool = False
    ever_active: bool = False
    draws: int = 0


@dataclass(frozen=True, slots=True)
class Settled:
    """A settlement, and the period it was due for by schedule; nothing if somebody asked for it."""

    of: Settlement
    period: str | None


@dataclass(slots=True)
class Business:
    """One business on the platform."""

    id: str
    given: Given
    settings: Settings = field(init=False)
    tiers: Tiers | None = field(init=False)
    schemes: dict[str, SchemeRow] = field(default_factory=dict)
    offers: dict[str, OfferRow] = field(default_factory=dict)
    conditions: dict[str, SpendCondition] = field(default_factory=dict)
    contacts: dict[str, Contact] = field(default_factory=dict)
    purchases: dict[str, Purchase] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    wallet: dict[str, tuple[str, WalletTransaction]] = field(default_factory=dict)
    collected: dict[str, tuple[str, Collection]] = field(default_factory=dict)
    returned: dict[tuple[str, str], Return] = field(default_factory=dict)
    achieved: dict[str, Achievement] = field(default_factory=dict)
    settlements: list[Settled] = field(default_factory=list)
    settling: SettlementTerms = field(default_factory=SettlementTerms)
    looked_at: datetime = FIRST
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self.settings, self.tiers = self.given.settings, self.given.tiers
        self.conditions[ANYWHERE] = SpendCondition(id=ANYWHERE, name="Spend Anywhere")
        scheme = SchemeRow("default", Scheme(id="default", name=f"{self.given.name} Scheme"))
        self.schemes[scheme.id] = scheme
        for offer in DEFAULT_OFFERS:
            self.offers[offer.id or ""] = OfferRow(offer.id or "", offer)
        self.engine = Engine(self._setup())

    # -- what is defined

    def add_scheme(self, scheme: Scheme, name: str) -> bool:
        """Add an inactive scheme; false if the very same is there already."""
        known = self.schemes.get(name)
        if known is not None:
            return _same(known.given == scheme, "scheme", name)
        self.schemes[name] = SchemeRow(name, scheme)
        self._rebuild()
        return True

    def add_condition(self, condition: SpendCondition, name: str) -> bool:
        """Add a spend condition rule; false if the very same is there already."""
        if name in self.conditions:
            return _same(self.conditions[name] == condition, "spend condition", name)
        self.conditions[name] = condition
        return True

    def add_offer(self, offer: Offer, name: str) -> bool:
        """Add an inactive offer; false if the very same is there already."""
        known = self.offers.get(name)
        if known is not None:
            return _same(known.given == offer, "offer", name)
        self._check(offer)
        self.offers[name] = OfferRow(name, offer)
        self._rebuild()
        return True

    def change_offer(self, row: OfferRow, offer: Offer) -> None:
        """Change an offer; of one that has been active only what is displayed."""
        offer = offer.model_copy(update={"id": row.given.id})
        if row.ever_active and _core(offer) != _core(row.given):
            raise Refused(f"offer {row.id} has been active: only {sorted(DISPLAYED)} can change", "offer", CONFLICT)
        self._check(offer)
        row.given = offer
        self._rebuild()

    def set_tiers(self, tiers: Tiers | None) -> None:
        """Set the reward tiers, as long as nobody stands on them."""
        if self.contacts and tiers != self.tiers:
            raise Refused("tiers are set before the first contact registers", "tiers", CONFLICT)
        before, self.tiers = self.tiers, tiers
        try:
            for offer in self.offers.values():
                self._check(offer.given)
            with about("levels"):
                self._rebuild()
        except Refused:
            self.tiers = before
            raise

    def switch(self, row: SchemeRow | OfferRow, request: str, now: datetime, *, active: bool) -> None:
        """Activate or deactivate a scheme or an offer."""
        what = "programme" if isinstance(row, SchemeRow) else "rule"
        self.engine.submit(crm.switched(EventId(f"switch:{request}"), what, row.id, now, on=active))
        row.active = active
        if isinstance(row, OfferRow):
            row.ever_active = row.ever_active or active

    def _check(self, offer: Offer) -> None:
        found(self.schemes, offer.scheme_id, "scheme", UNPROCESSABLE)
        found(self.conditions, offer.award.spend_condition, "spend condition", UNPROCESSABLE)
        levels = {} if self.tiers is None else {level.name: level for level in self.tiers.levels}
        for tier in offer.targeting.tiers:
            found(levels, tier, "tier", UNPROCESSABLE)

    def _setup(self) -> Setup:
        built = []
        for rank, row in enumerate(self.offers.values()):
            spend = rules.condition(self.conditions[row.given.award.spend_condition])
            built.append(rules.rule(row.id, row.given, self.schemes[row.given.scheme_id].given, spend, rank))
        return Setup(
            accounts=(*crm.POCKETS, *(crm.items_of(product) for product in self.products)),
            programmes=tuple(crm.scheme(row.id, rules.gate(row.given)) for row in self.schemes.values()),
            rules=tuple(built),
            ladders=self._ladders(),
            resolver=crm.as_stamped,
        )

    @property
    def products(self) -> list[str]:
        """Of which products there are complimentary items."""
        items = (row.given.award.item for row in self.offers.values())
        return sorted({item.product for item in items if item is not None})

    def _ladders(self) -> tuple[Ladder, ...]:
        if self.tiers is None:
            return ()
        tiers = self.tiers
        levels = [(level.name, level.value_units) for level in tiers.levels]
        ladder = crm.reward_tiers(
            levels, tiers.currency_per_unit, months=tiers.months, start=tiers.starts, immediate=tiers.immediate_advance
        )
        return (ladder,)

    def _rebuild(self) -> None:
        self.engine = Engine.replay(self._setup(), self.engine.log())

    # -- contacts and their memberships

    def register(self, contact: Contact, name: str, now: datetime) -> bool:
        """Register a contact; schemes open to all are joined with it. False if it is registered just so already."""
        if name in self.contacts:
            return _same(self.contacts[name] == contact, "contact", name)
        attrs: dict[str, Any] = contact.attributes()
        if contact.referral_code is not None:
            referrer = contact.referral_code.removeprefix("R-")
            if contact.referral_code != referral_code(referrer) or referrer not in {*self.contacts, name}:
                raise Refused(f"there is no referral code {contact.referral_code!r}", "referral_code")
            attrs["referrer"] = referrer
        with about("referral_code"):
            self.engine.submit(Event(EventId(f"contact:{name}"), REGISTER, HolderId(name), now, attrs=attrs))
        self.contacts[name] = contact
        return True

    def update_profile(self, contact: str, profile: Profile, request: str, now: datetime) -> Receipt:
        """Change what is given of a contact's profile."""
        attrs = profile.attributes()
        return self.engine.submit(Event(EventId(f"profile:{request}"), PROFILE, HolderId(contact), now, attrs=attrs))

    def join(self, scheme: str, body: Join, token: str, now: datetime) -> Receipt:
        """Ask to join a scheme; `token` is the secret of the invitation, where one is sent."""
        gate = self.schemes[scheme].given.sign_up.type
        asks = {"closed_codes": "code", "closed_email_domain": "email"}.get(gate)
        if asks is not None and getattr(body, asks) is None:
            raise Refused(f"scheme {scheme} asks for {asks}", asks)
        attrs: dict[str, Any] = {"programme": scheme, "token": token, "email": body.email, "code": body.code}
        with about(asks if asks and self.schemes[scheme].active else "scheme_id"):
            return self._of(JOIN, f"join:{token}", body.contact_id, attrs, now)

    def verify(self, scheme: str, contact: str, token: str, request: str, now: datetime) -> Receipt:
        """Complete an invitation; its link works once."""
        with about("token"):
            return self._of(VERIFY, f"verify:{request}", contact, {"programme": scheme, "token": token}, now)

    def leave(self, scheme: str, contact: str, request: str, now: datetime) -> Receipt:
        """Leave a scheme; balances stay."""
        with about("contact_id"):
            return self._of(LEAVE, f"leave:{request}", contact, {"programme": scheme}, now)

    def import_codes(self, scheme: str, body: Codes, request: str, now: datetime) -> Receipt:
        """Import sign-up codes; one that is there already is left alone."""
        attrs: dict[str, Any] = {"programme": scheme, "codes": list(body.codes)}
        if body.until is not None:
            attrs["until"] = body.until.isoformat()
        return self._of(IMPORT_CODES, f"codes:{request}", NOBODY, attrs, now)

    def delete_code(self, scheme: str, code: str, request: str, now: datetime) -> Receipt:
        """Delete a sign-up code; whoever used it stays a member."""
        return self._of(DELETE_CODE, f"delete:{request}", NOBODY, {"programme": scheme, "code": code}, now)

    def fill(self, scheme: str, request: str, now: datetime) -> list[str]:
        """Let everybody who is registered into a scheme that is joined automatically, and say who is new in it."""
        row = self.schemes[scheme]
        if row.given.sign_up.type != "open_auto":
            raise Refused(f"scheme {scheme} is not joined automatically: its contacts join by themselves", "scheme_id")
        new = [contact for contact in self.contacts if not self.is_member(contact, scheme)]
        with about("scheme_id"):
            for contact in new:
                self._of(JOIN, f"fill:{request}:{contact}", contact, {"programme": scheme}, now)
        return new

    def is_member(self, contact: str, scheme: str) -> bool:
        """Whether a contact joined a scheme."""
        return self.engine.is_member(HolderId(contact), ProgrammeId(scheme))

    def _of(self, kind: str, name: str, holder: str, attrs: dict[str, Any], now: datetime) -> Receipt:
        return self.engine.submit(Event(EventId(name), kind, HolderId(holder), now, attrs=attrs))

    # -- settlement

    def settle(self, period: str | None = None) -> Settled:
        """Settle what happened since the last settlement; by schedule for a `period`, where empty ones are left out."""
        after = self.settlements[-1].of.upto if self.settlements else 0
        settled = Settled(settle(self.engine.records, after), period)
        if settled.of.charged or period is None:
            self.settlements.append(settled)
        return settled

    def catch_up(self, now: datetime) -> None:
        """Settle by schedule: at the first call of a new period what was recorded in the one before."""
        before = window(self.looked_at, self.settling.every, UTC)
        if before != window(now, self.settling.every, UTC):
            self.settle(before)
        self.looked_at = now


def referral_code(contact: str) -> str:
    """Return the code a contact gives to others."""
    return f"R-{contact}"


def _same(same: bool, what: str, name: str) -> bool:  # noqa: FBT001 - the question itself
    if not same:
        raise Refused(f"there is another {what} {name!r} already", "id", CONFLICT)
    return False


def _core(offer: Offer) -> dict[str, Any]:
    return offer.model_dump(exclude=DISPLAYED)


DEFAULT_OFFERS = (
    Offer(
        id="registration",
        scheme_id="default",
        name="€5 Registration Offer",
        type=OfferType.SIGN_UP,
        award=Award.model_validate({"amount": "5.00"}),
    ),
    Offer(
        id="birthday",
        scheme_id="default",
        name="20% Birthday Offer",
        type=OfferType.MONETARY_DISCOUNT,
        targeting=Targeting(occasion="birthday"),
        award=Award.model_validate({"percent": "20", "kind": "instant_discount"}),
    ),
    Offer(
        id="cashback",
        scheme_id="default",
        name="5% Cashback on all Purchases",
        type=OfferType.CASHBACK,
        award=Award.model_validate({"percent": "5"}),
    ),
    Offer(
        id="referral",
        scheme_id="default",
        name="€1 Referral Cashback",
        type=OfferType.REFERRAL,
        award=Award.model_validate({"amount": "1.00"}),
    ),
)
"""What a new business starts with (B4)."""
