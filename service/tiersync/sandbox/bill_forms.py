"""Pure. Transactions and returns as v2 and v1.1 send them, read into one form.

A field that is missing or malformed is refused with 400; the pages give no codes for them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from tiersync.errors import LoyaltyError
from tiersync.sandbox.amounts import amount_of

INVALID = 400
TEXT_MAX = 200
ITEMS_MAX = 1_000
QUANTITY_MAX = 1_000_000
KINDS = ("REGULAR", "RETURN")
RETURN_TYPES = ("FULL", "LINE_ITEM", "AMOUNT", "CANCELLED_TRANSACTION")

Item = tuple[str, int, Decimal]


@dataclass(frozen=True, slots=True)
class Form:
    """One transaction. `return_type` is None for a purchase; `names` are the raw fields naming customer and group."""

    number: str
    amount: Decimal | None
    items: tuple[Item, ...]
    fields: Mapping[str, str]
    return_type: str | None
    names: Mapping[str, object]


def read_v2(body: object) -> Form:
    """Read an item of `/v2/transactions`."""
    if not isinstance(body, dict):
        raise LoyaltyError("a transaction must be an object", INVALID)
    kind, back = body.get("type", "REGULAR"), body.get("returnType")
    if kind not in KINDS:
        raise LoyaltyError("type must be REGULAR or RETURN", INVALID)
    return_type = _return_type(back) if kind == "RETURN" or back else None
    lines = body.get("lineItemsV2")
    return Form(
        number=_text(body.get("billNumber"), "billNumber"),
        amount=_amount(body.get("billAmount"), return_type),
        items=_items(lines, "itemCode", "qty", "amount"),
        fields=fields_of(body.get("extendedFields")),
        return_type=return_type,
        names=body,
    )


def read_v1(item: object) -> Form:
    """Read an item of `/v1.1/transaction/add`."""
    if not isinstance(item, dict):
        raise LoyaltyError("transaction must be an object", INVALID)
    kind, back = str(item.get("type", "regular")).upper(), item.get("return_type")
    if kind not in KINDS:
        raise LoyaltyError("type must be regular or return", INVALID)
    customer, fields, lines = item.get("customer"), item.get("extended_fields"), item.get("line_items")
    return_type = _return_type(back.upper() if isinstance(back, str) else back) if kind == "RETURN" else None
    return Form(
        number=_text(item.get("number"), "number"),
        amount=_amount(item.get("amount"), return_type),
        items=_items(lines.get("line_item") if isinstance(lines, dict) else None, "item_code", "qty", "amount"),
        fields=fields_of(fields.get("field") if isinstance(fields, dict) else None),
        return_type=return_type,
        names={**item, **(customer if isinstance(customer, dict) else {})},
    )


def fields_of(value: object) -> dict[str, str]:
    """Read extended fields: an object, or a list of name and value. What is null was not passed at all (4.5)."""
    pairs: list[tuple[object, object]] = []
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = [(each.get("name"), each.get("value")) for each in value if isinstance(each, dict)]
    elif value is not None:
        raise LoyaltyError("extended fields must be an object or a list of name and value", INVALID)
    return {
        name[:TEXT_MAX]: str(given)[:TEXT_MAX]
        for name, given in pairs
        if isinstance(name, str) and isinstance(given, str | int | float)
    }


def _return_type(value: object) -> str:
    if value not in RETURN_TYPES:
        raise LoyaltyError(f"returnType must be one of {', '.join(RETURN_TYPES)}", INVALID)
    return str(value)


def _amount(value: object, return_type: str | None) -> Decimal | None:
    """The amount: mandatory for a purchase and for a return of an amount."""
    if return_type in {"FULL", "LINE_ITEM", "CANCELLED_TRANSACTION"}:
        return None
    return amount_of(value, "bill amount", INVALID)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not value or len(value) > TEXT_MAX:
        raise LoyaltyError(f"{name} is mandatory, text of at most {TEXT_MAX} characters", INVALID)
    return value


def _items(value: object, code: str, quantity: str, amount: str) -> tuple[Item, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > ITEMS_MAX:
        raise LoyaltyError(f"line items must be a list of at most {ITEMS_MAX}", INVALID)
    return tuple(_item(each, code, quantity, amount) for each in value)


def _item(value: object, code: str, quantity: str, amount: str) -> Item:
    if not isinstance(value, dict):
        raise LoyaltyError("a line item must be an object", INVALID)
    count = amount_of(value.get(quantity, 1), quantity, INVALID)
    if count != int(count) or count > QUANTITY_MAX:
        raise LoyaltyError(f"{quantity} must be a whole number", INVALID)
    return _text(value.get(code), code), int(count), amount_of(value.get(amount), amount, INVALID)
