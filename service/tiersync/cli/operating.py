"""The operator's verbs: events, replay, doctor. They work on the tables, whether a server runs or not."""

import asyncio
import getpass
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer
from rich.progress import Progress

from tiersync.cli import showing
from tiersync.cli.running import Json
from tiersync.errors import SettingsError, StoreError
from tiersync.intake import EventStatus
from tiersync.store import Selection, Store

T = TypeVar("T")

events = typer.Typer(
    help="Look at what was received and what became of it.", no_args_is_help=True, rich_markup_mode=None
)

StatusOption = Annotated[EventStatus | None, typer.Option(help="Where it stands.")]
ReasonOption = Annotated[str | None, typer.Option(help="Why it stands there.")]
OrgOption = Annotated[int | None, typer.Option(help="The org's id.")]
ProgramOption = Annotated[int | None, typer.Option(help="The program's id.")]
CustomerOption = Annotated[int | None, typer.Option(help="The primary's customer id.")]
SinceOption = Annotated[str | None, typer.Option(help="Received at or after, e.g. 2026-01-31 or 2026-01-31T08:00Z.")]
UntilOption = Annotated[str | None, typer.Option(help="Received before.")]


def _instant(value: str | None, option: str) -> int | None:
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


def _with_store(work: Callable[[Store, Any], Awaitable[T]]) -> T:
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


@events.command("list")
def list_events(  # noqa: PLR0913 - one per filter
    status: StatusOption = None,
    reason: ReasonOption = None,
    org: OrgOption = None,
    program: ProgramOption = None,
    customer: CustomerOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 50,
    as_json: Json = False,
) -> None:
    """List events, the newest first."""
    selection = Selection(
        (), status, reason, org, program, customer, _instant(since, "--since"), _instant(until, "--until")
    )

    async def work(store: Store, _: Any) -> tuple[list[dict[str, Any]], int]:
        return await store.list_events(selection, limit), await store.count_events(selection)

    rows, matched = _with_store(work)
    if as_json:
        typer.echo(json.dumps([showing.plain(row) for row in rows]))
    else:
        showing.events(rows, matched)


@events.command("show")
def show_event(
    event_id: Annotated[str, typer.Argument(help="The event's id.")],
    org: OrgOption = None,
    body: Annotated[bool, typer.Option("--body", help="Show the raw body too; it may hold personal data.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many adjustments.")] = 100,
    as_json: Json = False,
) -> None:
    """Show one event: where it stands, and each secondary's adjustment."""

    async def work(store: Store, _: Any) -> dict[str, Any] | None:
        found = await store.list_events(Selection(ids=(event_id,), org=org), 2)
        if len(found) > 1:
            raise typer.BadParameter("several orgs have this event: name one", param_hint="--org")
        return await store.show_event(found[0]["org"], event_id, limit) if found else None

    event = _with_store(work)
    if event is None:
        raise StoreError(f"no event {event_id}" + (f" of org {org}" if org is not None else ""))
    raw = event.pop("body")
    if body:
        event["body"] = raw.decode("utf-8", "replace")
    if as_json:
        typer.echo(json.dumps(showing.plain(event)))
    else:
        showing.event(event)


def replay(  # noqa: PLR0913 - one per filter
    event_ids: Annotated[list[str] | None, typer.Argument(metavar="[EVENT_ID]...", help="Which events.")] = None,
    status: StatusOption = None,
    reason: ReasonOption = None,
    org: OrgOption = None,
    program: ProgramOption = None,
    customer: CustomerOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    every: Annotated[bool, typer.Option("--all", help="Every stored event.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Go back to the tier of an event that was overtaken.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be replayed, and end.")] = False,
    rate: Annotated[int | None, typer.Option(min=1, help="Events a second at the most.")] = None,
    as_json: Json = False,
) -> None:
    """Make stored events due again, through the same door as the first time.

    An event that was overtaken brings its group to the newest tier, not back to its own, unless --force is given.
    """
    selection = Selection(
        tuple(event_ids or ()),
        status,
        reason,
        org,
        program,
        customer,
        _instant(since, "--since"),
        _instant(until, "--until"),
    )
    if selection == Selection() and not every:
        raise typer.BadParameter("name events or a filter, e.g. --status dead; --all replays everything")

    async def work(store: Store, loaded: Any) -> dict[str, Any]:
        if dry_run:
            return {"dry_run": True, "matched": await store.count_events(selection)}
        return await _replay(store, loaded, selection, force=force, rate=rate, quiet=as_json)

    report = _with_store(work)
    if as_json:
        typer.echo(json.dumps(report))
    else:
        showing.replayed(report)
    if event_ids and report["matched"] < len(set(event_ids)):
        raise StoreError(f"{len(set(event_ids)) - report['matched']} of these events are not stored")


async def _replay(
    store: Store, loaded: Any, selection: Selection, *, force: bool, rate: int | None, quiet: bool
) -> dict[str, Any]:
    from tiersync import app
    from tiersync.replay import replay as run

    with Progress(console=showing.progress_console(), transient=True, disable=quiet or not sys.stderr.isatty()) as bar:
        task = bar.add_task("Replaying", total=None)
        report = await run(
            store,
            selection,
            app.policies(loaded),
            by=getpass.getuser(),
            force=force,
            rate=rate,
            now=app.now,
            sleep=asyncio.sleep,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    return asdict(report)


def doctor(as_json: Json = False) -> None:
    """Check settings, store and credentials. Changes nothing."""
    from tiersync.cli.checks import examine

    findings = asyncio.run(examine())
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        showing.findings(findings)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(2 if any(not finding.ok and finding.what == "settings" for finding in findings) else 1)


__all__ = ["SettingsError", "doctor", "events", "replay"]
