"""Pure. What conditions may talk about: profiles, their attributes, and functions on values.

A value that was not passed is null. Null is equal to nothing, larger than nothing, and swallows arithmetic, so a
condition about a missing value is false unless it asks `isNull()`. Section 4.5 of `contracts/capillary.md`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, TypeAlias

Value: TypeAlias = Decimal | str | bool | date | None
"""What an expression computes with."""

LEAP_YEAR = 2000


class Type(StrEnum):
    """The types of values; `ANY` is an extended field, which compares with everything."""

    TRUTH = "a truth value"
    NUMBER = "a number"
    TEXT = "a text"
    DATE = "a date"
    ANY = "anything"

    def accepts(self, other: "Type") -> bool:
        """Whether a value of the other type can stand where this one is wanted; a date may be written as a text."""
        return self is other or Type.ANY in {self, other} or (self is Type.DATE and other is Type.TEXT)


@dataclass(frozen=True, slots=True)
class Profile:
    """The attributes of one profile; an `extended` one also has whatever begins with `extField_`."""

    attributes: Mapping[str, Type]
    extended: bool = False

    def type_of(self, name: str) -> Type | None:
        """The type of an attribute, nothing if there is no such attribute."""
        if self.extended and name.startswith("extField_"):
            return Type.ANY
        return self.attributes.get(name)


Vocabulary: TypeAlias = Mapping[str, Profile]


@dataclass(frozen=True, slots=True)
class Function:
    """A function on a value: what it is called on, what it takes, what it makes."""

    on: Type
    takes: tuple[Type, ...]
    makes: Type
    compute: Callable[..., Value] = field(repr=False)


def as_date(value: Value) -> date | None:
    """A date out of a date or an ISO text; null if it is neither."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return datetime.fromisoformat(str(value)).date()
    except ValueError:
        return None


def as_number(value: Value) -> Decimal | None:
    """A number out of a number or a text; null if it is neither."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def as_truth(value: Value) -> bool | None:
    """A truth value, also out of Yes, No, true and false as texts; null if it is none of them."""
    if isinstance(value, bool):
        return value
    return {"yes": True, "true": True, "no": False, "false": False}.get(str(value).casefold())


def alike(left: Value, right: Value) -> tuple[Any, Any]:
    """Both values in one type that they can be compared in; a null where there is none."""
    if left is None or right is None:
        return (None, None)
    for kind, convert in ((bool, as_truth), (Decimal, as_number), (date, as_date)):
        if isinstance(left, kind) or isinstance(right, kind):
            return (convert(left), convert(right))
    return (left, right)


def _on_dates(compute: Callable[[date, date], Value]) -> Callable[[Value, Value], Value]:
    def on(left: Value, right: Value) -> Value:
        first, second = as_date(left), as_date(right)
        return None if first is None or second is None else compute(first, second)

    return on


def _day_of_year(day: date) -> int:
    return day.replace(year=LEAP_YEAR).timetuple().tm_yday


def _part(name: str) -> Callable[[Value], Value]:
    def part(value: Value) -> Value:
        day = as_date(value)
        return None if day is None else Decimal(getattr(day, name))

    return part


def _is_date(value: Value) -> bool:
    return value is not None and as_date(value) is not None


def _given(value: Value) -> bool:
    return value is not None


def _missing(value: Value) -> bool:
    return value is None


_days_ignoring_year = _on_dates(lambda left, right: Decimal(_day_of_year(left) - _day_of_year(right)))

FUNCTIONS: Mapping[str, Function] = {
    "contains": Function(Type.TEXT, (Type.TEXT,), Type.TRUTH, lambda text, part: str(part) in str(text)),
    "matches": Function(
        Type.TEXT, (Type.TEXT,), Type.TRUTH, lambda text, pattern: re.fullmatch(str(pattern), str(text)) is not None
    ),
    "exists": Function(Type.ANY, (), Type.TRUTH, _given),
    "notExists": Function(Type.ANY, (), Type.TRUTH, _missing),
    "isNull": Function(Type.ANY, (), Type.TRUTH, _missing),
    "isNotNull": Function(Type.ANY, (), Type.TRUTH, _given),
    "isEmpty": Function(Type.TEXT, (), Type.TRUTH, lambda text: text is None or text == ""),
    "isValidDate": Function(Type.TEXT, (), Type.TRUTH, _is_date),
    "isValid": Function(Type.DATE, (), Type.TRUTH, _is_date),
    "dateDiff": Function(Type.DATE, (Type.DATE,), Type.NUMBER, _on_dates(lambda a, b: Decimal((a - b).days))),
    "daysDiff": Function(Type.DATE, (Type.DATE,), Type.NUMBER, _days_ignoring_year),
    "daysDiffFromString": Function(Type.DATE, (Type.TEXT,), Type.NUMBER, _days_ignoring_year),
    "isAfter": Function(Type.DATE, (Type.DATE,), Type.TRUTH, _on_dates(lambda a, b: a > b)),
    "isBefore": Function(Type.DATE, (Type.DATE,), Type.TRUTH, _on_dates(lambda a, b: a < b)),
    "year": Function(Type.DATE, (), Type.NUMBER, _part("year")),
    "month": Function(Type.DATE, (), Type.NUMBER, _part("month")),
    "dayOfMonth": Function(Type.DATE, (), Type.NUMBER, _part("day")),
}

NULL_SAFE = frozenset({"exists", "notExists", "isNull", "isNotNull", "isEmpty", "isValidDate", "isValid"})
"""Functions that have an answer for null; for all others null stays null."""

DATE_PARTS = frozenset({"year", "month", "dayOfMonth"})
"""Functions that may be written without parentheses."""
