"""The verbs that carry events out and in: export and import, as JSON Lines."""

import json
import signal
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tiersync.cli import showing
from tiersync.cli.asking import Json
from tiersync.cli.filters import (
    CustomerOption,
    OrgOption,
    ProgramOption,
    ReasonOption,
    SinceOption,
    StatusOption,
    UntilOption,
    selected,
    with_store,
)
from tiersync.cli.helping import Command, Group
from tiersync.cli.screen import complain
from tiersync.errors import StoreError
from tiersync.store import Store

export = typer.Typer(cls=Group, help="Write what is stored as JSON Lines.", no_args_is_help=True, rich_markup_mode=None)

_PAGE: Final = 500


@export.command("events", cls=Command)
def export_events(  # noqa: PLR0913 - one per filter
    status: StatusOption = None,
    reason: ReasonOption = None,
    org: OrgOption = None,
    program: ProgramOption = None,
    customer: CustomerOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    bodies: Annotated[
        bool, typer.Option("--bodies", help="With the raw bodies, base64; they may hold personal data.")
    ] = False,
) -> None:
    """Write events to stdout, the oldest first. With --bodies, `tiersync import` takes them back."""
    selection = selected(None, status, reason, org, program, customer, since, until)

    async def pages(store: Store) -> AsyncIterator[list[dict[str, Any]]]:
        after = 0
        while page := await store.export_events(selection, _PAGE, after, bodies=bodies):
            yield page
            after = page[-1]["id"]

    _write(pages)


@export.command("adjustments", cls=Command)
def export_adjustments(  # noqa: PLR0913 - one per filter
    status: StatusOption = None,
    reason: ReasonOption = None,
    org: OrgOption = None,
    program: ProgramOption = None,
    customer: CustomerOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
) -> None:
    """Write the adjustments of the selected events to stdout, the oldest event first."""
    selection = selected(None, status, reason, org, program, customer, since, until)

    async def pages(store: Store) -> AsyncIterator[list[dict[str, Any]]]:
        after = (0, 0)
        while page := await store.export_adjustments(selection, _PAGE, after):
            yield page
            after = page[-1]["event"], page[-1]["member"]

    _write(pages)


def _write(pages: Any) -> None:
    async def work(store: Store, _: Any) -> None:
        async for page in pages(store):
            for row in page:
                sys.stdout.write(json.dumps(_line(row)) + "\n")

    with_store(work)


def _line(row: dict[str, Any]) -> dict[str, Any]:
    shown = showing.plain({name: value for name, value in row.items() if name != "body"})
    return {**shown, "body": b64encode(row["body"]).decode("ascii")} if "body" in row else shown


def import_events(
    file: Annotated[Path, typer.Argument(metavar="FILE", allow_dash=True, help="JSON Lines; - is stdin.")],
    as_json: Json = False,
) -> None:
    """Take events in from JSON Lines: exported ones with their bodies, or bodies of webhooks as they are.

    Each goes through the door of a delivery: what is stored already counts as a duplicate, so run it again if it was
    interrupted. A line that cannot be taken is reported, and the rest goes on.
    """
    counts: Counter[str] = Counter()
    bare: list[int] = []

    async def work(store: Store, loaded: Any) -> None:
        from tiersync import app
        from tiersync.importing import NO_BODY, take_in

        with _opened(file) as lines:
            orgs, bytes_max = app.policies(loaded), loaded.body_bytes_max
            async for line in take_in(store, lines, orgs, bytes_max=bytes_max, now=app.now):
                counts[line.result] += 1
                if line.problem == NO_BODY:
                    bare.append(line.number)
                elif line.problem:
                    complain(f"line {line.number}: {line.problem}")

    with _interrupted_at_once():
        with_store(work)
    if bare:
        complain(f"{_lines(bare)} no body: export with --bodies")
    if as_json:
        typer.echo(json.dumps(counts))
    else:
        showing.imported(counts)
    if counts["refused"]:
        raise typer.Exit(1)


def _lines(numbers: Sequence[int]) -> str:
    return f"line {numbers[0]} has" if len(numbers) == 1 else f"{len(numbers)} lines have"


@contextmanager
def _interrupted_at_once() -> Iterator[None]:
    """Let Ctrl-C end the wait for a line too: asyncio would only cancel the task, which hears of it after the line."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # what is ignored stays ignored
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _opened(file: Path) -> Any:
    try:
        return sys.stdin.buffer if str(file) == "-" else file.open("rb")
    except OSError as error:
        raise StoreError(f"{file}: cannot be read: {error.strerror}") from None
