"""The verbs that look: events, doctor. They work on the tables, whether a server runs or not."""

import asyncio
import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from tiersync.cli import showing
from tiersync.cli.asking import INT32_MAX, Json, text, whole
from tiersync.cli.filters import (
    CustomerOption,
    LimitOption,
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
from tiersync.errors import StoreError
from tiersync.store import Selection, Store

events = typer.Typer(
    cls=Group, help="Look at what was received and what became of it.", no_args_is_help=True, rich_markup_mode=None
)


@events.command("list", cls=Command)
def list_events(  # noqa: PLR0913 - one per filter
    status: StatusOption = None,
    reason: ReasonOption = None,
    org: OrgOption = None,
    program: ProgramOption = None,
    customer: CustomerOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: LimitOption = 50,
    as_json: Json = False,
) -> None:
    """List events, the newest first."""
    selection = selected(None, status, reason, org, program, customer, since, until)

    async def work(store: Store, _: Any) -> tuple[list[dict[str, Any]], int]:
        return await store.list_events(selection, limit), await store.count_events(selection)

    rows, matched = with_store(work)
    if as_json:
        typer.echo(json.dumps([showing.plain(row) for row in rows]))
    else:
        showing.events(rows, matched)


@events.command("show", cls=Command)
def show_event(
    event_id: Annotated[str, typer.Argument(parser=text, metavar="EVENT_ID", help="The event's id.")],
    org: OrgOption = None,
    body: Annotated[bool, typer.Option("--body", help="Show the raw body too; it may hold personal data.")] = False,
    limit: Annotated[int, typer.Option(parser=whole(1, INT32_MAX), metavar="N", help="How many adjustments.")] = 100,
    as_json: Json = False,
) -> None:
    """Show one event: where it stands, and each secondary's adjustment."""

    async def work(store: Store, _: Any) -> dict[str, Any] | None:
        found = await store.list_events(Selection(ids=(event_id,), org=org), 2)
        if len(found) > 1:
            raise typer.BadParameter("several orgs have this event: name one", param_hint="'--org'")
        return await store.show_event(found[0]["org"], event_id, limit) if found else None

    event = with_store(work)
    if event is None:
        of = f" of org {org}" if org is not None else ""
        raise StoreError(f"there is no event {event_id}{of}: see `tiersync events list`")
    raw = event.pop("body")
    if body:
        event["body"] = raw.decode("utf-8", "replace")
    if as_json:
        typer.echo(json.dumps(showing.plain(event)))
    else:
        showing.event(event)


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
