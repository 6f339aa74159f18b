"""Pure. What callers send to the SessionM face."""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from tiersync.loyalty.events import Line
from tiersync.sandbox.faces import Body, Id, Moment, Money, Text
from tiersync.sandbox.sessionm.economy import Points

Flat = str | bool | int | float | None
Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$")]


class Customer(Body):
    """A customer of the client's; `external_id` is the client's own id."""

    external_id: Id
    email: Text | None = None
    first_name: Text | None = None
    last_name: Text | None = None


class Who(Body):
    """A body about one customer, by either id."""

    user_id: Id | None = None
    external_id: Id | None = None

    @model_validator(mode="after")
    def _one_id(self) -> Self:
        if (self.user_id is None) == (self.external_id is None):
            raise ValueError("name the customer by either user_id or external_id")
        return self


class CustomEvent(Body):
    """One custom event: `qty` says how often it happened, without `date` it happens now (A2)."""

    transaction_id: Id
    qty: Annotated[int, Field(ge=1, le=10_000)] = 1
    date: Moment | None = None
    context: dict[str, Flat] = Field(default_factory=dict, max_length=100)


class Events(Who):
    """Custom events by their names."""

    events: Annotated[dict[Text, CustomEvent], Field(min_length=1, max_length=50)]


class Item(Body):
    """One line of a purchase; `tags` are its family, type or brand."""

    id: Id
    sku: str = Field(default="", max_length=200)
    amount: Money
    quantity: Annotated[int, Field(ge=0, le=10_000)] = 1
    tags: tuple[Text, ...] = Field(default=(), max_length=20)

    def line(self) -> Line:
        """Return the line as the core has it."""
        return Line(self.id, self.amount, self.quantity, self.sku, self.tags)


class Transaction(Who):
    """A purchase; sent again with less in it, it is a return."""

    transaction_id: Id
    date: Moment | None = None
    items: Annotated[tuple[Item, ...], Field(max_length=1_000)]

    @model_validator(mode="after")
    def _ids_differ(self) -> Self:
        if len({item.id for item in self.items}) != len(self.items):
            raise ValueError("two items share one id")
        return self


class DepositLine(Body):
    """So many points from a source into an account; the reference makes a repeat harmless (A13)."""

    point_source_id: Id
    point_account_id: Id
    amount: Points
    reference_id: Reference | None = None
    reference_type: Reference = "reference"
    rank: Annotated[int, Field(ge=-1000, le=1000)] = 0

    @property
    def reference(self) -> str | None:
        """The line's own name, if it has one."""
        return None if self.reference_id is None else f"{self.reference_type}:{self.reference_id}"


class Deposit(Who):
    """A direct deposit: no rules, no limits, but the promotion check."""

    retailer_id: str = Field(default="", max_length=200)
    deposit_details: Annotated[tuple[DepositLine, ...], Field(min_length=1, max_length=100)]
    allow_partial_success: bool = False
    disable_event_publishing: bool = False
    culture: str = Field(default="", max_length=20)


class Balance(Who):
    """Which balances are wanted; none named means all."""

    retailer_id: str = Field(default="", max_length=200)
    point_account_ids: tuple[Id, ...] = Field(default=(), max_length=50)


class Spend(Who):
    """Points to spend, from the default accounts unless others are named."""

    transaction_id: Id
    amount: Points
    point_account_ids: tuple[Id, ...] = Field(default=(), max_length=50)


class AccountState(Body):
    """Whether a point account takes credits."""

    active: bool


class LevelByHand(Body):
    """A level given by hand; levels jumped over pay their entrance outcomes unless `pay_skipped` is false (A10)."""

    tier_system_id: Id
    level: Id
    pay_skipped: bool = True


class Run(Body):
    """Up to when expiry and maintenance are done; now unless it is given."""

    as_of: Moment | None = None
