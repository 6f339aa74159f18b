"""Pure. Reward schemes, reward offers and spend conditions as they are defined (B2 to B6).

Sections of `contracts/loyalty-systems.md`. Goal and type are labels; trigger, conditions and award say what happens.
"""

from datetime import date, time
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tiersync.loyalty.periods import Span
from tiersync.sandbox.faces import Body, Id, Moment, Money, Percent, Sum, Text

ANYWHERE = "spend-anywhere"
Names = Annotated[tuple[Text, ...], Field(max_length=200)]
Day = Annotated[int, Field(ge=1, le=7)]


class OfferType(StrEnum):
    """What an offer is for; cashback is what a default offer uses on its own."""

    LOTTERY = "lottery"
    THANK_YOU_GIFT = "thank_you_gift"
    MONETARY_DISCOUNT = "monetary_discount"
    PRODUCTS_DISCOUNT = "products_discount"
    CASHBACK = "cashback"
    SIGN_UP = "sign_up"
    REFERRAL = "referral"
    PROFILE_COMPLETION = "profile_completion"
    HAPPY_HOUR = "happy_hour"


GOALS = {
    OfferType.LOTTERY: "reward_achievement",
    OfferType.THANK_YOU_GIFT: "reward_achievement",
    OfferType.MONETARY_DISCOUNT: "increase_spend",
    OfferType.PRODUCTS_DISCOUNT: "increase_spend",
    OfferType.CASHBACK: "increase_spend",
    OfferType.SIGN_UP: "improve_memberships",
    OfferType.REFERRAL: "improve_memberships",
    OfferType.PROFILE_COMPLETION: "improve_memberships",
    OfferType.HAPPY_HOUR: "increase_visits",
}
ON_PURCHASE = {
    OfferType.MONETARY_DISCOUNT,
    OfferType.PRODUCTS_DISCOUNT,
    OfferType.CASHBACK,
    OfferType.HAPPY_HOUR,
}


MONEY_ONLY = {OfferType.MONETARY_DISCOUNT, OfferType.PRODUCTS_DISCOUNT, OfferType.CASHBACK, OfferType.REFERRAL}


class OpenAutoSignUp(Body):
    """Open to all: joined on registering with the business."""

    type: Literal["open_auto"] = "open_auto"


class OpenSelfSignUp(Body):
    """Open to all who ask."""

    type: Literal["open_self"]


class EmailDomainSignUp(Body):
    """Closed: an address in one of these domains gets a verification link."""

    type: Literal["closed_email_domain"]
    domains: Annotated[tuple[Text, ...], Field(min_length=1, max_length=100)]


class CodesSignUp(Body):
    """Closed: an imported code that nobody used yet."""

    type: Literal["closed_codes"]


SignUp = Annotated[
    OpenAutoSignUp | OpenSelfSignUp | EmailDomainSignUp | CodesSignUp,
    Field(discriminator="type"),
]


class Scheme(Body):
    """A reward scheme; a new one is inactive."""

    id: Id | None = None
    name: Text
    description: str = Field(default="", max_length=2_000)
    terms: str = Field(default="", max_length=20_000, description="terms and conditions, as apps show them")
    sign_up: SignUp = OpenAutoSignUp()


class Hours(Body):
    """A time of day, `[start, end)`."""

    start: time
    end: time

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.start.tzinfo or self.end.tzinfo or self.start >= self.end:
            raise ValueError("start must be before end, both without a time zone")
        return self


class SpendCondition(Body):
    """What an award may be spent on; a restriction that is not set always holds (B2)."""

    id: Id | None = None
    name: Text
    days: Annotated[tuple[Day, ...], Field(max_length=7, description="1 is Monday")] = ()
    hours: Annotated[tuple[int, int] | None, Field(description="whole hours, [from, to)")] = None
    locations: Names = ()
    products: Names = ()

    @model_validator(mode="after")
    def _hours_of_a_day(self) -> Self:
        if self.hours is not None and not 0 <= self.hours[0] < self.hours[1] <= 24:  # noqa: PLR2004 - hours
            raise ValueError("hours must be two whole hours of a day, the first before the second")
        return self


class Targeting(Body):
    """Who, where, when and what kind of purchase; all that is set must hold, listed values are alternatives (B6)."""

    segments: Names = ()
    locations: Names = ()
    classifications: Names = ()
    tiers: Names = Field(default=(), description="the contact's reward tier before the event")
    days: Annotated[tuple[Day, ...], Field(max_length=7)] = ()
    hours: Hours | None = None
    occasion: Literal["birthday", "name_day"] | None = None
    on_pass: Text | None = Field(default=None, alias="pass", description="the contact holds this pass")
    min_amount: Money | None = None


class Funding(Body):
    """Who carries how much of the award; `merchant` is where the purchase was made."""

    party: Text
    percent: Percent


class Item(Body):
    """Complimentary pieces of a product, which wait to be collected; `worth` is what other awards are compared with."""

    product: Text
    quantity: Annotated[int, Field(ge=1, le=1_000)] = 1
    worth: Sum


class Award(Body):
    """A share of the purchase, a fixed amount, or a complimentary item; into the wallet, or at once off the bill."""

    percent: Percent | None = None
    amount: Sum | None = None
    item: Item | None = None
    kind: Literal["cashback", "instant_discount", "complimentary_item"] = "cashback"
    products: Names = ()
    valid_months: Annotated[int, Field(ge=1, le=1200)] | None = None
    expires_on: date | None = None
    spend_condition: Id = ANYWHERE

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if sum(each is not None for each in (self.percent, self.amount, self.item)) != 1:
            raise ValueError("an award is one of percent, amount and item")
        if (self.item is None) == (self.kind == "complimentary_item"):
            raise ValueError("item belongs to awards of kind complimentary_item, and they need it")
        if self.valid_months is not None and self.expires_on is not None:
            raise ValueError("an award is valid for months or up to a day, not both")
        return self


class Lottery(Body):
    """Who takes part in a draw, and how many win; `repeated` draws may be held again."""

    winners: Annotated[int, Field(ge=1, le=10_000)] = 1
    repeated: bool = False
    min_events: Annotated[int, Field(ge=0, le=10**6)] = 1
    max_events: Annotated[int, Field(ge=0, le=10**6)] | None = None
    min_total: Money = Decimal(0)
    max_total: Money | None = None


class Limit(Body):
    """At most so many awards per contact and calendar window."""

    count: Annotated[int, Field(ge=1, le=10**6)]
    per: Span = Span.FOREVER


class Offer(Body):
    """A reward offer of one scheme; a new one is inactive."""

    id: Id | None = None
    scheme_id: Id
    name: Text
    description: str = Field(default="", max_length=2_000)
    avatar: str = Field(default="", max_length=2_000)
    hero: str = Field(default="", max_length=2_000)
    type: OfferType
    featured: bool = False
    available_from: Moment | None = None
    available_to: Moment | None = None
    targeting: Targeting = Targeting()
    award: Award
    funding: Annotated[tuple[Funding, ...], Field(max_length=20)] = ()
    limit: Limit | None = None
    required: Names = Field(default=(), description="profile_completion: the attributes that make it complete")
    achievement: Text | None = Field(default=None, description="thank_you_gift: the achievement it thanks for")
    lottery: Lottery | None = None

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if self.type not in ON_PURCHASE and self.award.percent is not None:
            raise ValueError(f"a {self.type} offer awards an amount, not a percent")
        if self.type not in ON_PURCHASE and self.award.kind == "instant_discount":
            raise ValueError(f"a {self.type} offer awards into the wallet, not off a bill")
        if self.award.item is not None and self.type in MONEY_ONLY:
            raise ValueError(f"a {self.type} offer awards money, no item")
        if self.award.item is not None and self.funding:
            raise ValueError("funding shares money; a complimentary item is not shared")
        if (self.type is OfferType.PROFILE_COMPLETION) != bool(self.required):
            raise ValueError("required belongs to profile_completion offers, and they need it")
        if self.type is OfferType.PRODUCTS_DISCOUNT and not self.award.products:
            raise ValueError("a products_discount offer names its products in award.products")
        if self.funding and sum(share.percent for share in self.funding) != 100:  # noqa: PLR2004 - percent
            raise ValueError("the shares in funding must come to 100 percent")
        if self.available_from and self.available_to and self.available_from >= self.available_to:
            raise ValueError("available_from must be before available_to")
        return self
