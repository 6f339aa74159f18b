"""What the operator's verbs share: the filters of events, and the store that they work on."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, TypeVar

import typer

from tiersync.errors import StoreError
from tiersync.intake import EventStatus
from tiersync.store import Selection, Store

T = TypeVar("T")

_SECONDS: Final = {"d": 86_400, "h": 3_600, "m": 60}


def _status(value: str) -> EventStatus:
    try:
        return EventStatus(value)
    except ValueError:
        raise typer.BadParameter(f"{value!r} is none of {', '.join(EventStatus)}") from None


StatusOption = Annotated[
    EventStatus | None, typer.Option(parser=_status, metavar=f"[{'|'.join(EventStatus)}]", help="Where it stands.")
]
ReasonOption = Annotated[str | None, typer.Option(help="Why it stands there.")]
OrgOption = Annotated[int | None, typer.Option(help="The org's id.")]
ProgramOption = Annotated[int | None, typer.Option(help="The program's id.")]
CustomerOption = Annotated[int | None, typer.Option(help="The primary's customer id.")]
SinceOption = Annotated[str | None, typer.Option(help="Received at or after, e.g. 2026-01-31 or 2026-01-31T08:00Z.")]
UntilOption = Annotated[str | None, typer.Option(help="Received before.")]
EventIds = Annotated[list[str] | None, typer.Argument(metavar="[EVENT_ID]...", help="Which events.")]
RateOption = Annotated[int | None, typer.Option(min=1, help="Events a second at the most.")]


def selected(  # noqa: PLR0913 - one per filter
    event_ids: list[str] | None,
    status: EventStatus | None,
    reason: str | None,
    org: int | None,
    program: int | None,
    customer: int | None,
    since: str | None,
    until: str | None,
) -> Selection:
    """The filters as a selection."""
    ids = tuple(dict.fromkeys(event_ids or ()))
    times = instant(since, "--since"), instant(until, "--until")
    return Selection(ids, status, reason, org, program, customer, *times)


def instant(value: str | None, option: str) -> int | None:
    """An ISO date or time as epoch milliseconds; without an offset it is UTC."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise typer.BadParameter(
            f"{value!r} is no ISO date or time. Example: {option} 2026-01-31T08:00Z", param_hint=option
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def age(value: str | None, option: str) -> timedelta | None:
    """An age such as 30d, 12h or 45m."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,6})([dhm])", value)
    if found is None:
        raise typer.BadParameter(f"{value!r} is no age. Example: {option} 30d (or 12h, 45m)", param_hint=option)
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]])


def with_store(work: Callable[[Store, Any], Awaitable[T]]) -> T:
    """Work on the store that the settings name; it hears the settings too."""
    from tiersync import app, settings
    from tiersync.store import database

    loaded = settings.load()
    path = database.address(loaded.database_url)
    if not database.exists(path):
        raise StoreError(
            f"there is no database at {path.database} yet: start `tiersync serve`, or set TIERSYNC_DATABASE_URL"
        )

    async def run() -> T:
        async with app.store(loaded) as store:
            return await work(store, loaded)

    return asyncio.run(run())
