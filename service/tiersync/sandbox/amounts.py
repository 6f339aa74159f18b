"""Pure. Amounts of money and points: read from what callers send, written as JSON numbers.

Inside they are decimals; a JSON number is read by its digits, never by its binary value.
"""

from decimal import Decimal, InvalidOperation

from tiersync.errors import LoyaltyError

AMOUNT_MAX = Decimal(10) ** 12
DIGITS_MAX = 40


def amount_of(value: object, name: str, code: int, places_max: int = 4) -> Decimal:
    """Read an amount from a number or its text. Refuses with `code` what is no amount, below zero or too long."""
    try:
        text = "" if isinstance(value, bool) or not isinstance(value, str | int | float) else str(value)
        amount = Decimal(text) if len(text) <= DIGITS_MAX and text.isascii() else None
    except InvalidOperation:
        amount = None
    if amount is None or not amount.is_finite() or not 0 <= amount <= AMOUNT_MAX:
        raise LoyaltyError(f"{name} value is invalid: a number from 0 to {AMOUNT_MAX:.0e} is needed", code)
    if -int(amount.normalize().as_tuple().exponent) > places_max:
        raise LoyaltyError(f"{name} has more than {places_max} decimal places", code)
    return amount


def plain(amount: Decimal) -> int | float:
    """Return an amount as a JSON number: whole where it is whole."""
    return int(amount) if amount == amount.to_integral_value() else float(amount)
