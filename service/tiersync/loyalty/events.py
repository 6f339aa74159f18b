"""Pure. Events: the immutable facts that come in, and their plain form in the log.

Purchases, returns, sign-ups, deposits, redemptions and runs are all events. Its id is what makes an event idempotent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NewType, TypeAlias

from tiersync.errors import LoyaltyError
from tiersync.loyalty.periods import instant

HolderId = NewType("HolderId", str)
EventId = NewType("EventId", str)
ProgrammeId = NewType("ProgrammeId", str)

Json: TypeAlias = str | int | bool | list[Any] | dict[str, Any] | None
"""What an attribute may be: plain JSON without floats."""

ZERO = Decimal(0)
NOBODY = HolderId("")

PURCHASE = "purchase"
DEPOSIT = "deposit"
SPEND = "spend"
TRANSFER = "transfer"
ADJUST = "adjust"
ADJUST_LEVEL = "adjust_level"
REVERSE = "reverse"
RUN = "run"
REGISTER = "register"
PROFILE = "profile"
JOIN = "join"
VERIFY = "verify"
LEAVE = "leave"
IMPORT_CODES = "import_codes"
DELETE_CODE = "delete_code"
SWITCH = "switch"
RECONCILE = "reconcile"

POINTS_EARNED = "points_earned"
POINTS_SPENT = "points_spent"
POINTS_EXPIRED = "points_expired"
LEVEL_UP = "level_up"
LEVEL_DOWN = "level_down"
LEVEL_RENEWED = "level_renewed"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an event: so much of one item.

    `item` is a product code, or the account a deposit goes to; `tags` are its family, type or brand. In a return, a
    line says how much of the line of that id came back.
    """

    id: str
    amount: Decimal
    quantity: int = 1
    item: str = ""
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.amount.is_finite() or self.amount < 0 or self.quantity < 0:
            raise LoyaltyError(f"line {self.id!r}: amount and quantity must be finite and not negative")


@dataclass(frozen=True, slots=True)
class Event:
    """An immutable fact.

    `amount` is the sum of the lines where there are lines. `spend` is what the holder pays of it out of their accounts.
    `ref` names the event this one is about.
    """

    id: EventId
    type: str
    holder: HolderId
    at: datetime
    amount: Decimal = ZERO
    lines: tuple[Line, ...] = ()
    attrs: Mapping[str, Json] = field(default_factory=dict)
    ref: EventId | None = None
    spend: Decimal = ZERO

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", instant(self.at))
        if self.lines:
            object.__setattr__(self, "amount", sum((line.amount for line in self.lines), ZERO))
        if len({line.id for line in self.lines}) != len(self.lines):
            raise LoyaltyError(f"event {self.id!r}: two lines share one id")
        if not self.id:
            raise LoyaltyError("an event needs an id: it is what makes a repeat harmless")
        for name, value in (("amount", self.amount), ("spend", self.spend)):
            if not value.is_finite() or value < 0:
                raise LoyaltyError(f"event {self.id!r}: {name} must not be negative, got {value}")
        object.__setattr__(self, "attrs", {name: _plain(self.id, value) for name, value in self.attrs.items()})

    @property
    def occurrences(self) -> int:
        """How often the fact happened: the attribute `qty`, else once."""
        quantity = self.attrs.get("qty", 1)
        if not isinstance(quantity, int) or quantity < 1:
            raise LoyaltyError(f"event {self.id!r}: qty must be a whole number of at least 1, got {quantity!r}")
        return quantity

    @property
    def places(self) -> frozenset[str]:
        """Where it happened: every name of the place (venue, merchant, city) under the attribute `places`."""
        return frozenset(self.names("places"))

    def names(self, attribute: str) -> tuple[str, ...]:
        """A list of names under `attribute`; nothing given is no names."""
        value = self.attrs.get(attribute) or []
        if not isinstance(value, list):
            raise LoyaltyError(f"event {self.id!r}: attribute {attribute!r} must be a list of names")
        return tuple(str(name) for name in value)

    def text(self, attribute: str) -> str:
        """A required textual attribute."""
        value = self.attrs.get(attribute)
        if not isinstance(value, str) or not value:
            raise LoyaltyError(f"event {self.id!r} of type {self.type}: attribute {attribute!r} is missing")
        return value

    def option(self, attribute: str) -> str:
        """An optional textual attribute; empty when it was not given."""
        value = self.attrs.get(attribute)
        return value if isinstance(value, str) else ""

    def without(self, returned: Sequence[Line]) -> "Event":
        """The same event with some of its lines taken back; more than there is left is refused."""
        kept = {line.id: line for line in self.lines}
        for back in returned:
            line = kept.get(back.id)
            if line is None or back.amount > line.amount or back.quantity > line.quantity:
                raise LoyaltyError(
                    f"event {self.id!r}: line {back.id!r} cannot be returned, that much is not left of it"
                )
            kept[back.id] = replace(line, amount=line.amount - back.amount, quantity=line.quantity - back.quantity)
        lines = tuple(line for line in kept.values() if line.amount or line.quantity)
        return replace(self, lines=lines, amount=sum((line.amount for line in lines), ZERO))


def dump(event: Event) -> dict[str, Any]:
    """The plain, JSON-able form of an event; `load` reads it back."""
    return {
        "id": event.id,
        "type": event.type,
        "holder": event.holder,
        "at": event.at.isoformat(),
        "amount": str(event.amount),
        "lines": [
            {
                "id": row.id,
                "amount": str(row.amount),
                "quantity": row.quantity,
                "item": row.item,
                "tags": list(row.tags),
            }
            for row in event.lines
        ],
        "attrs": dict(event.attrs),
        "ref": event.ref,
        "spend": str(event.spend),
    }


def load(plain: Mapping[str, Any]) -> Event:
    """An event from its plain form; anything missing or malformed is refused."""
    try:
        return Event(
            id=EventId(plain["id"]),
            type=plain["type"],
            holder=HolderId(plain["holder"]),
            at=datetime.fromisoformat(plain["at"]),
            amount=Decimal(plain["amount"]),
            lines=tuple(
                Line(row["id"], Decimal(row["amount"]), row["quantity"], row["item"], tuple(row["tags"]))
                for row in plain["lines"]
            ),
            attrs=plain["attrs"],
            ref=plain["ref"],
            spend=Decimal(plain["spend"]),
        )
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise LoyaltyError(f"not an event of the log: {error!r} in {plain!r}") from error


def _plain(event: EventId, value: object) -> Json:
    """A copy that nobody else can change, of nothing but JSON without floats, so that a log reads back as it was."""
    match value:
        case None | bool() | int():
            return value
        case str():
            return str(value)
        case list() | tuple():
            return [_plain(event, part) for part in value]
        case Mapping():
            return {str(name): _plain(event, part) for name, part in value.items()}
        case _:
            raise LoyaltyError(f"event {event!r}: {value!r} is no plain JSON without floats; pass it as text")
