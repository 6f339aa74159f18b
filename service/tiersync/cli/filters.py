"""What the operator's verbs share: the filters of events, the settings, the store that they work on, who asks."""

import asyncio
import getpass
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

import typer

from tiersync import settings
from tiersync.cli.asking import INT32_MAX, instant, text, whole
from tiersync.cli.screen import complain
from tiersync.errors import StoreError, StoreUnavailable
from tiersync.intake import EventStatus
from tiersync.store import Selection, Store, database

T = TypeVar("T")


def _status(value: str) -> EventStatus:
    try:
        return EventStatus(value)
    except ValueError:
        raise typer.BadParameter(f"{value!r} is none of {', '.join(EventStatus)}") from None


StatusOption = Annotated[
    EventStatus | None,
    typer.Option(parser=_status, metavar="STATUS", help=f"Where it stands: {', '.join(EventStatus)}."),
]
ReasonOption = Annotated[str | None, typer.Option(parser=text, metavar="REASON", help="Why it stands there.")]
OrgOption = Annotated[int | None, typer.Option(parser=whole(0), metavar="ID", help="The org's id.")]
ProgramOption = Annotated[int | None, typer.Option(parser=whole(1), metavar="ID", help="The program's id.")]
CustomerOption = Annotated[int | None, typer.Option(parser=whole(1), metavar="ID", help="The primary's customer id.")]
SinceOption = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Received at or after, e.g. 2026-01-31 or 2026-01-31T08:00Z."),
]
UntilOption = Annotated[str | None, typer.Option(metavar="TIME", help="Received before.")]
EventIds = Annotated[list[str] | None, typer.Argument(parser=text, metavar="EVENT_ID", help="Which events.")]
RateOption = Annotated[
    int | None, typer.Option(parser=whole(1, INT32_MAX), metavar="N", help="Events a second at the most.")
]
LimitOption = Annotated[int, typer.Option(parser=whole(1, INT32_MAX), metavar="N", help="How many, the newest first.")]


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


def configured() -> settings.Settings:
    """The settings; a variable that looks like one and is none is named on stderr."""
    loaded = settings.load()
    for line in settings.unknown_variables(os.environ):
        complain(line)
    return loaded


def with_store(work: Callable[[Store, Any], Awaitable[T]]) -> T:
    """Work on the store that the settings name; it hears the settings too."""
    from tiersync import app

    loaded = configured()
    path = database.address(loaded.database_url)
    if not database.exists(path):
        raise StoreError(
            f"{database.VARIABLE}: there is no database at {path.database} yet: start `tiersync serve`, or name another"
        )

    async def run() -> T:
        async with app.store(loaded) as store:
            return await work(store, loaded)

    with naming_the_database():
        return asyncio.run(run())


@contextmanager
def naming_the_database() -> Iterator[None]:
    """Whoever reads that the database cannot be used reads which setting names it."""
    try:
        yield
    except StoreUnavailable as error:
        named = str(error).startswith(database.VARIABLE)
        raise StoreUnavailable(str(error) if named else f"{database.VARIABLE}: {error}") from None


def whoever() -> str:
    """The name of whoever runs the command, for the record; a container may run under a number without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
