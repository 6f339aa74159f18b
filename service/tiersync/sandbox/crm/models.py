"""Pure. What callers send to the CRM.COM face about businesses, contacts, wallets and purchases."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from tiersync.loyalty.crm import Mode
from tiersync.loyalty.events import Line
from tiersync.loyalty.periods import Span
from tiersync.sandbox.crm.offers import Names
from tiersync.sandbox.faces import Body, Id, Moment, Money, Sum, Text

Code = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,80}$")]
Pocket = Literal["cash", "business", "commerce"]


class Tier(Body):
    """One reward tier, from so many value units in a period on."""

    name: Text
    value_units: Annotated[int, Field(ge=0, le=10**9)]


class Tiers(Body):
    """Reward tiers, the lowest first (B9); with `starts` on a common cycle, else from each contact's sign-up."""

    levels: Annotated[tuple[Tier, ...], Field(min_length=1, max_length=20)]
    currency_per_unit: Sum = Decimal(1)
    months: Annotated[int, Field(ge=1, le=1200)] = 12
    starts: date | None = None
    immediate_advance: bool = False


class Settings(Body):
    """How contacts are awarded, the classifications there are, and how back-end spends are refunded (B6, B8, B11)."""

    resolution: Mode = Mode.ALL
    best_instant_discount_only: bool = False
    no_award_while_spending: bool = False
    classifications: Names = ()
    refund_method: Literal["card", "settle"] = "card"


class Business(Body):
    """A new business; it starts with one scheme of its name and four offers, all inactive (B4)."""

    id: Id | None = None
    name: Annotated[str, StringConstraints(min_length=1, max_length=150)]
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = "EUR"
    settings: Settings = Settings()
    tiers: Tiers | None = None


class Profile(Body):
    """What is known of a contact; what is null or missing is not known."""

    name: Text | None = None
    email: Text | None = None
    phone: Text | None = None
    born: date | None = None
    name_day: date | None = None
    address: Text | None = None
    segments: Names | None = None
    passes: Names | None = None

    def attributes(self) -> dict[str, Any]:
        """Return what was given, as the core keeps it; null clears."""
        plain = self.model_dump(mode="json", exclude_unset=True, exclude={"id", "referral_code"})
        return {key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()}


class Contact(Profile):
    """A contact who registers with a business, perhaps by somebody's referral code."""

    id: Id | None = None
    referral_code: Text | None = None


class Join(Body):
    """Who wants to join a scheme, with what its gate asks for."""

    contact_id: Id
    email: Text | None = None
    code: Code | None = None


class Codes(Body):
    """Sign-up codes to import, usable before `until`."""

    codes: Annotated[tuple[Code, ...], Field(min_length=1, max_length=10_000)]
    until: Moment | None = None


class PurchaseLine(Body):
    """One line; `tags` are its family, type or brand."""

    id: Id
    product: str = Field(default="", max_length=200)
    amount: Money
    quantity: Annotated[int, Field(ge=0, le=10_000)] = 1
    tags: Names = ()

    def line(self) -> Line:
        """Return the line as the core has it."""
        return Line(self.id, self.amount, self.quantity, self.product, self.tags)


class Purchase(Body):
    """A purchase event: who, where, when, what, and how much of it is paid out of which pocket (B7, B11)."""

    id: Id | None = None
    contact_id: Id
    at: Moment | None = None
    amount: Money | None = None
    lines: Annotated[tuple[PurchaseLine, ...], Field(max_length=1_000)] = ()
    merchant: Text | None = None
    venue: Text | None = None
    city: Text | None = None
    country: Text | None = None
    classification: Text | None = None
    wallet_spend: Money = Decimal(0)
    pocket: Pocket = "commerce"
    reduction_method: Literal["FRONT_END_REDUCTION", "BACK_END_REDUCTION"] = "FRONT_END_REDUCTION"

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        if (self.amount is None) != bool(self.lines):
            raise ValueError("a purchase has either an amount or lines")
        if len({line.id for line in self.lines}) != len(self.lines):
            raise ValueError("two lines share one id")
        return self


class ReturnedLine(Body):
    """So much of one line."""

    id: Id
    amount: Money
    quantity: Annotated[int, Field(ge=0, le=10_000)] = 1


class Return(Body):
    """What came back of a purchase."""

    id: Id
    lines: Annotated[tuple[ReturnedLine, ...], Field(min_length=1, max_length=1_000)]


class Achievement(Body):
    """Something a contact did that is not a purchase."""

    id: Id | None = None
    contact_id: Id
    name: Text
    at: Moment | None = None


class Draw(Body):
    """One draw of a lottery; the same seed draws the same winners."""

    seed: Annotated[int, Field(ge=0, le=2**63)] = 0


class WalletTransaction(Body):
    """Money into, out of, or between wallets (B1); `reimburse` goes out to the contact's own account."""

    id: Id
    kind: Literal["credit", "debit", "reimburse", "transfer"]
    pocket: Pocket
    amount: Sum
    to_contact_id: Id | None = None

    @model_validator(mode="after")
    def _target(self) -> Self:
        if (self.kind == "transfer") != (self.to_contact_id is not None):
            raise ValueError("to_contact_id belongs to transfers, and they need it")
        return self


class Collection(Body):
    """Complimentary items that are handed out."""

    id: Id
    product: Text
    quantity: Annotated[int, Field(ge=1, le=1_000)] = 1


class SettlementTerms(Body):
    """When merchants are settled by themselves, and how each is charged or rebated (B12)."""

    every: Span = Field(default=Span.FOREVER, description="at the turn of each; forever: only on request")
    payment_methods: dict[Text, Text] = Field(
        default_factory=dict, max_length=1_000, description="primary ones by merchant; else its account"
    )


class Run(Body):
    """Up to when expiry and tier evaluations are done; now unless it is given."""

    as_of: Moment | None = None
