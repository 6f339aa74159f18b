"""Pure. Reading ids and other whole numbers out of what callers send."""

from tiersync.loyalty.groups import CustomerId, GroupId

ID_DIGITS_MAX = 18  # ids are 64-bit


def number(value: object) -> int | None:
    """Read a whole number that is not negative from an int or from its digits, None if it is anything else."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) <= ID_DIGITS_MAX else None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**ID_DIGITS_MAX:
        return None
    return value


def customer_id(value: object) -> CustomerId | None:
    """Read a customer id."""
    found = number(value)
    return None if found is None else CustomerId(found)


def group_id(value: object) -> GroupId | None:
    """Read a group id."""
    found = number(value)
    return None if found is None else GroupId(found)
