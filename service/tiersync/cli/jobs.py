"""The verbs about many events at once: replay, purge, jobs. Each leaves a job on record."""

import asyncio
import json
from dataclasses import asdict, replace
from typing import Annotated, Any

import typer

from tiersync.cli import screen, showing
from tiersync.cli.asking import INT32_MAX, Json, age, agrees, whole
from tiersync.cli.filters import (
    CustomerOption,
    EventIds,
    LimitOption,
    OrgOption,
    ProgramOption,
    RateOption,
    ReasonOption,
    SinceOption,
    StatusOption,
    UntilOption,
    selected,
    whoever,
    with_store,
)
from tiersync.cli.helping import Command, Group
from tiersync.errors import StoreError
from tiersync.store import Job, JobKind, Selection, Store

jobs = typer.Typer(
    cls=Group,
    help="List replays, purges and reconciles, the newest first; or cancel one.",
    subcommand_metavar="[COMMAND [ARGS]...]",
    rich_markup_mode=None,
)

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and end.")]
Background = Annotated[bool, typer.Option("--background", help="Leave the work to the running server.")]


def replay(  # noqa: PLR0913 - one per filter
    event_ids: EventIds = None,
    status: StatusOption = None,
    reason: ReasonOption = None,
    org: OrgOption = None,
    program: ProgramOption = None,
    customer: CustomerOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    every: Annotated[bool, typer.Option("--all", help="Every stored event.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Go back to the tier of an event that was overtaken.")] = False,
    dry_run: DryRun = False,
    rate: RateOption = None,
    background: Background = False,
    as_json: Json = False,
) -> None:
    """Make stored events due again, through the same door as the first time.

    An event that was overtaken brings its group to the newest tier, not back to its own, unless --force is given.
    """
    selection = selected(event_ids, status, reason, org, program, customer, since, until)
    if selection == Selection() and not every:
        raise typer.BadParameter("name events or a filter, e.g. --status dead; --all replays everything")

    async def work(store: Store, loaded: Any) -> dict[str, Any]:
        if dry_run:
            return {"dry_run": True, "matched": await store.count_events(selection)}
        return await _carry_out(
            store, loaded, JobKind.REPLAY, selection, force=force, rate=rate, background=background, quiet=as_json
        )

    report = with_store(work)
    if as_json:
        typer.echo(json.dumps(report))
    else:
        showing.replayed(report)
    if (missing := len(selection.ids) - report["matched"]) > 0:
        few = selection.ids[0] if len(selection.ids) == 1 else f"{missing} of these events"
        raise StoreError(f"{few}: not stored, or left out by a filter; see `tiersync events list`")


def purge(  # noqa: PLR0913 - one per filter
    event_ids: EventIds = None,
    status: StatusOption = None,
    reason: ReasonOption = None,
    org: OrgOption = None,
    program: ProgramOption = None,
    customer: CustomerOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Received so long ago, e.g. 30d or 12h.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every event that may go.")] = False,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    rate: RateOption = None,
    background: Background = False,
    as_json: Json = False,
) -> None:
    """Remove stored events with their adjustments, for good.

    What is not finished, the newest tier change of each primary, and what is too young (TIERSYNC_DUPLICATES_DAYS) stay.
    """
    from tiersync import app

    asked = selected(event_ids, status, reason, org, program, customer, since, until)
    old = age(older_than, "--older-than")
    if asked == Selection() and old is None and not every:
        raise typer.BadParameter("name events or a filter, e.g. --status dead --older-than 30d; --all takes everything")
    cutoff = None if old is None else app.now() - int(1000 * old.total_seconds())
    selection = replace(asked, until=min((at for at in (asked.until, cutoff) if at is not None), default=None))

    async def look(store: Store, loaded: Any) -> dict[str, Any]:
        matched = await store.count_events(selection)
        may_go = await store.purgeable(selection, app.purging(loaded).horizon(app.now()))
        return {"dry_run": True, "matched": matched, "removed": may_go, "kept": matched - may_go}

    async def work(store: Store, loaded: Any) -> dict[str, Any]:
        return await _carry_out(
            store, loaded, JobKind.PURGE, selection, force=False, rate=rate, background=background, quiet=as_json
        )

    report = with_store(look)
    if not dry_run and report["removed"]:
        if not yes and not agrees(f"Remove {showing.counted(report['removed'], 'event')} for good?"):
            raise StoreError("nothing was removed; --yes does not ask")
        report = with_store(work)
    if as_json:
        typer.echo(json.dumps(report))
    else:
        showing.purged(report)


async def _carry_out(  # noqa: PLR0913 - what goes on record
    store: Store,
    loaded: Any,
    kind: JobKind,
    selection: Selection,
    *,
    force: bool,
    rate: int | None,
    background: bool,
    quiet: bool,
) -> dict[str, Any]:
    """Write a job down, and work it off here unless it is left to the server."""
    from tiersync import app

    with screen.progress(quiet=quiet or background) as bar:
        task = bar.add_task(kind.title(), total=None)
        clerk = app.clerk(
            loaded, store, app.now, lambda job: bar.update(task, completed=job.done, total=max(job.done, job.matched))
        )
        job = await store.begin_job(
            kind,
            selection,
            by=whoever(),
            now=app.now(),
            force=force,
            rate=rate,
            owner=None if background else clerk.owner,
            until=None if background else clerk.until,
        )
        if background:
            return _report(job)
        try:
            ended = await clerk.work_off(job)
        except asyncio.CancelledError:
            screen.complain(
                f"job {job.id} is not over: a server goes on with it within {loaded.lease_s:g} s; "
                f"`tiersync jobs cancel {job.id}` ends it"
            )
            raise
    return _report(ended or await store.job(job.id) or job)


def _report(job: Job) -> dict[str, Any]:
    results = ("due", "converges", "unchanged") if job.kind is JobKind.REPLAY else ("removed", "kept")
    counts = {name: job.counts.get(name, 0) for name in results}
    return {"job": job.id, "status": job.status, "matched": job.matched, "done": job.done, **counts}


@jobs.callback(invoke_without_command=True)
def list_jobs(
    context: typer.Context,
    limit: LimitOption = 20,
    as_json: Json = False,
) -> None:
    """List replays, purges and reconciles, the newest first."""
    if context.invoked_subcommand is not None:
        return

    async def work(store: Store, _: Any) -> list[Job]:
        return await store.jobs(limit)

    found = with_store(work)
    if as_json:
        typer.echo(json.dumps([asdict(job) for job in found]))
    else:
        showing.jobs(found)


@jobs.command("cancel", cls=Command)
def cancel_job(
    job: Annotated[int, typer.Argument(parser=whole(1, INT32_MAX), metavar="ID", help="The job's number.")],
) -> None:
    """End a job before its time; what it did stays done."""

    async def work(store: Store, _: Any) -> tuple[Job | None, Job | None]:
        from tiersync import app

        return await store.cancel_job(job, by=whoever(), now=app.now()), await store.job(job)

    cancelled, found = with_store(work)
    if found is None:
        raise StoreError(f"there is no job {job}: see `tiersync jobs`")
    if cancelled is None:
        raise StoreError(f"job {job} is over already: {found.status}")
    typer.echo(f"Job {job} is cancelled: {found.done} of {found.matched} were done.")
