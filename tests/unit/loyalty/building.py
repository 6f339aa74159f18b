"""What the tests of the loyalty core build with: instants, members, purchases."""

from collections.abc import Callable
from dataclasses import is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tiersync.loyalty.accounts import AccountName
from tiersync.loyalty.engine import Engine, Occasion
from tiersync.loyalty.events import (
    DEPOSIT,
    PURCHASE,
    REGISTER,
    Event,
    EventId,
    HolderId,
    Json,
    Line,
    ProgrammeId,
)
from tiersync.loyalty.records import LadderId
from tiersync.loyalty.rules import Context
from tiersync.loyalty.setup import Setup
from tiersync.loyalty.state import Receipt

ANN, BOB = HolderId("ann"), HolderId("bob")
HOUSE = ProgrammeId("house")


def at(text: str) -> datetime:
    """An instant in UTC: `2025-03-01` or `2025-03-01 09:00`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def account(name: str) -> AccountName:
    """The name of an account."""
    return AccountName(name)


def register(engine: Engine, holder: str = ANN, when: str = "2024-01-01", **profile: Json) -> Receipt:
    """Register a holder."""
    return engine.submit(Event(EventId(f"register:{holder}"), REGISTER, HolderId(holder), at(when), attrs=profile))


def event(name: str, kind: str, when: str, holder: str = ANN, /, **attrs: Json) -> Event:
    """Any event without an amount."""
    return Event(EventId(name), kind, HolderId(holder), at(when), attrs=attrs)


def purchase(name: str, when: str, amount: str, holder: str = ANN, spend: str = "0", **attrs: Json) -> Event:
    """A purchase without lines."""
    return Event(
        EventId(name), PURCHASE, HolderId(holder), at(when), Decimal(amount), attrs=attrs, spend=Decimal(spend)
    )


def basket(name: str, when: str, *lines: Line, holder: str = ANN, **attrs: Json) -> Event:
    """A purchase with lines."""
    return Event(EventId(name), PURCHASE, HolderId(holder), at(when), lines=lines, attrs=attrs)


def line(name: str, amount: str, item: str = "", quantity: int = 1) -> Line:
    """A line of a basket."""
    return Line(name, Decimal(amount), quantity, item)


def by_level(ladder: LadderId, rates: dict[str, Decimal | int]) -> Callable[[Context], Decimal]:
    """The spend times the rate of the level held before the event; a level without a rate earns nothing."""
    return lambda context: rates.get(context.me.levels.get(ladder, ""), 0) * context.event.amount


def deposit(name: str, when: str, amount: str, into: str, holder: str = ANN, **attrs: Json) -> Event:
    """A deposit of one line."""
    told = Line("1", Decimal(amount), item=into)
    return Event(EventId(name), DEPOSIT, HolderId(holder), at(when), lines=(told,), attrs=attrs)


def occasion(name: str, when: str, *lines: Line, **attrs: Any) -> Occasion:
    """An occasion to spend."""
    return Occasion(EventId(name), at(when), lines, attrs)


def everything(engine: Engine) -> str:
    """All that a core remembers, as text: what a refusal or a preview must leave as it was.

    The agenda is left out: what nobody scheduled in the end stays on it and is skipped when its time comes.
    """
    return repr((engine.log(), _inside(engine._state)))  # noqa: SLF001 - nothing may hide from this


def _inside(value: Any) -> Any:
    if isinstance(value, Setup | Engine):
        return ()
    if isinstance(value, dict):
        return [(key, _inside(row)) for key, row in value.items()]
    if type(value).__module__.startswith("tiersync.") and not is_dataclass(value) and hasattr(value, "__slots__"):
        left_out = {"_agenda", "_accounts", "_ladders", "_zone", "_balance_of"}
        return [(name, _inside(getattr(value, name))) for name in type(value).__slots__ if name not in left_out]
    return value


def balances(engine: Engine, when: str, holder: str = ANN) -> dict[str, Decimal]:
    """Every balance that is not zero."""
    found = {row.name: engine.balance(HolderId(holder), row.name, at(when)) for row in engine.setup.accounts}
    return {str(name): value for name, value in found.items() if value}
