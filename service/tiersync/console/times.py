"""Pure. Instants and durations in words. Instants are epoch milliseconds; whatever is shown is UTC."""

from datetime import UTC, datetime
from typing import Final

_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000))


def iso(instant: int) -> str:
    """For `<time datetime>`."""
    return _moment(instant).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def typed(instant: int) -> str:
    """As it is typed into a form, UTC."""
    return iso(instant).removesuffix("Z")


def clock(instant: int, now: int) -> str:
    """The time of day; with the date if it is another day's."""
    moment = _moment(instant)
    if moment.date() == _moment(now).date():
        return f"{moment:%H:%M:%S}"
    return f"{moment:%d %b %H:%M}" if moment.year == _moment(now).year else f"{moment:%d %b %Y %H:%M}"


def minute(instant: int) -> str:
    """The time of day to the minute."""
    return f"{_moment(instant):%H:%M}"


def since(instant: int, now: int) -> str:
    """Since when something is so, UTC: the time of day; with the date if it is another day's."""
    moment = _moment(instant)
    same_day = moment.date() == _moment(now).date()
    return f"{moment:%H:%M} UTC" if same_day else f"{moment:%d %b %H:%M} UTC"


def ago(instant: int, now: int) -> str:
    """How far back or ahead of `now`."""
    return f"in {span(instant - now)}" if instant > now else f"{span(now - instant)} ago"


def span(duration_ms: int) -> str:
    """A duration in its largest unit, rounded down."""
    for unit, length in _UNITS:
        if duration_ms >= length:
            return f"{duration_ms // length} {unit}"
    return "0 s"


def _moment(instant: int) -> datetime:
    return datetime.fromtimestamp(instant / 1000, UTC)
