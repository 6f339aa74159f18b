"""Pure. Calendar mathematics: months that clamp, windows that have a name, turns that do not drift.

One time zone per set-up decides what "day" and "month" mean; instants are kept in UTC.
"""

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum

from tiersync.errors import LoyaltyError

MONTHS_PER_YEAR = 12


class Span(StrEnum):
    """The calendar windows in which things are counted; a week starts on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
    FOREVER = "forever"


def instant(at: datetime) -> datetime:
    """`at` in UTC; a naive datetime is refused, because it names no instant."""
    if at.tzinfo is None:
        raise LoyaltyError(f"{at.isoformat()} has no time zone: pass an aware datetime, for example in UTC")
    return at.astimezone(UTC)


def midnight(day: date, zone: tzinfo) -> datetime:
    """The instant at which `day` begins."""
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def after_day(day: date, zone: tzinfo) -> datetime:
    """The first instant that no longer belongs to `day`."""
    return midnight(day + timedelta(days=1), zone)


def add_months(day: date, months: int) -> date:
    """`day` some months on, clamped to the end of a shorter month."""
    years, month = divmod(day.month - 1 + months, MONTHS_PER_YEAR)
    return on_day(day.year + years, month + 1, day.day)


def on_day(year: int, month: int, day: int) -> date:
    """That day, or the month's last one when it is shorter."""
    return date(year, month, min(day, monthrange(year, month)[1]))


def window(at: datetime, span: Span, zone: tzinfo) -> str:
    """The name of the calendar window `at` lies in; two instants share a window exactly if they share its name."""
    day = at.astimezone(zone).date()
    match span:
        case Span.DAY:
            return day.isoformat()
        case Span.WEEK:
            return (day - timedelta(days=day.weekday())).isoformat()
        case Span.MONTH:
            return f"{day:%Y-%m}"
        case Span.YEAR:
            return f"{day:%Y}"
        case Span.FOREVER:
            return ""


def next_turn(anchor: date, months: int, after: datetime, zone: tzinfo) -> datetime:
    """The first multiple of `months` from `anchor` that begins later than `after`.

    Each turn is computed from the anchor, so 31 January turns on 29 February and then on 31 March.
    """
    day = after.astimezone(zone).date()
    passed = (day.year - anchor.year) * MONTHS_PER_YEAR + day.month - anchor.month
    turn = max(1, passed // months)
    while midnight(add_months(anchor, turn * months), zone) <= after:
        turn += 1
    return midnight(add_months(anchor, turn * months), zone)


def is_anniversary(born: date, today: date) -> bool:
    """Whether `today` is the yearly return of `born`; 29 February is kept on the 28th in common years."""
    return on_day(today.year, born.month, born.day) == today
