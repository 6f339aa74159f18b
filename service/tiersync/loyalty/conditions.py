"""Pure. Conditions rules are made of: predicates over a context, joined by `every` and `either`."""

from collections.abc import Callable
from datetime import date, time
from decimal import ROUND_DOWN, Decimal

from tiersync.loyalty.events import ZERO
from tiersync.loyalty.periods import is_anniversary
from tiersync.loyalty.records import LadderId
from tiersync.loyalty.rules import Context, When


def every(*conditions: When) -> When:
    """All of them hold, each satisfied on its own: different lines may satisfy different ones."""
    return lambda context: all(condition(context) for condition in conditions)


def either(*conditions: When) -> When:
    """At least one of them holds."""
    return lambda context: any(condition(context) for condition in conditions)


def spent(least: Decimal | int) -> When:
    """The event's amount is at least this."""
    return lambda context: context.event.amount >= least


def bought(*items: str) -> When:
    """One of these items, or something tagged so, is in the basket."""
    wanted = set(items)
    return lambda context: any(wanted & {line.item, *line.tags} for line in context.event.lines)


def between(start: time, end: time) -> When:
    """The local time of day lies in `[start, end)`."""
    return lambda context: start <= context.local.time() < end


def at_place(*places: str) -> When:
    """The event happened at one of these places; none means anywhere."""
    return lambda context: not places or bool(context.event.places & set(places))


def classified(*labels: str) -> When:
    """The sender's label (attribute `class`) is one of these; none means any, also no label."""
    return lambda context: not labels or context.event.option("class") in labels


def in_segment(*segments: str) -> When:
    """The holder is in one of these segments by the profile's list; none means everyone."""

    def holds(context: Context) -> bool:
        own = context.me.profile.get("segments")
        return not segments or (isinstance(own, list) and bool(set(own) & set(segments)))

    return holds


def on_birthday(attribute: str = "born") -> When:
    """The event happened on the yearly return of the date in the profile."""

    def holds(context: Context) -> bool:
        born = context.me.profile.get(attribute)
        return isinstance(born, str) and is_anniversary(date.fromisoformat(born), context.local.date())

    return holds


def completes(*required: str) -> When:
    """With what the event brings, the profile has every required attribute."""
    return lambda context: all({**context.me.profile, **context.event.attrs}.get(name) for name in required)


def on_level(ladder: LadderId, *levels: str) -> When:
    """The holder stood on one of these levels before the event."""
    return lambda context: context.me.levels.get(ladder) in levels


def entering(ladder: LadderId, level: str) -> When:
    """The event is a move up that crosses into this level."""
    return lambda context: context.event.option("ladder") == ladder and level in context.event.names("crossed")


def measure(
    *items: str, hurdle: Decimal | int = 0, precision: int | None = None, pieces: bool = False, free: bool = False
) -> Callable[[Context], Decimal]:
    """What a dynamic award is computed from: the spend, or the number of `pieces`, of these items; none means all.

    Pieces that cost nothing count only if `free`. Below the hurdle nothing counts, from the hurdle on the whole measure
    does. `precision` cuts its decimals first.
    """
    wanted = set(items)

    def of(context: Context) -> Decimal:
        lines = [line for line in context.event.lines if not wanted or wanted & {line.item, *line.tags}]
        if pieces:
            measured = Decimal(sum(line.quantity for line in lines if line.amount or free))
        else:
            measured = sum((line.amount for line in lines), ZERO) if wanted else context.event.amount
        if measured < hurdle:
            return ZERO
        return measured if precision is None else measured.quantize(Decimal(1).scaleb(-precision), ROUND_DOWN)

    return of
