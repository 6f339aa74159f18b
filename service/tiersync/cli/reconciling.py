"""The verb that compares groups with their primaries in Capillary, and has repaired what differs."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiersync.cli import screen, showing
from tiersync.cli.asking import INT32_MAX, Json, instant, whole
from tiersync.cli.filters import OrgOption, ProgramOption, whoever, with_store
from tiersync.errors import SettingsError
from tiersync.intake import ANY_ORG
from tiersync.store import Job, Keys, OrgState, Store

if TYPE_CHECKING:
    from tiersync.capillary import Capillary
    from tiersync.reconcile import Findings
    from tiersync.settings import Settings

_LOOK_S = 0.2


@dataclass(slots=True)
class _Report:
    """What the jobs of one command found, and what became of it."""

    dry_run: bool
    jobs: list[Job] = field(default_factory=list)
    members: list[dict[str, Any]] = field(default_factory=list)
    unread: list[dict[str, Any]] = field(default_factory=list)
    orgs: list[OrgState] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """As JSON."""
        counts: Counter[str] = Counter()
        for job in self.jobs:
            counts.update(job.counts)
        results = Counter(row["result"] for row in self.members)
        return {
            "dry_run": self.dry_run,
            "jobs": [
                {"job": job.id, "status": job.status, "done": job.done, "of": job.matched, "why": self._waits_for(job)}
                for job in self.jobs
            ],
            "groups": sum(job.done for job in self.jobs),
            "in_step": counts["in_step"],
            "spared": counts["spared"] + results["skipped"],
            "drifted": counts["drifted"],
            "repaired": results["repaired"],
            "left": results["left"],
            "unread": counts["unread"],
            "without_group": counts["without_group"],
            "members": self.members,
            "not_read": self.unread,
        }

    def _waits_for(self, job: Job) -> str | None:
        """What keeps a job from going on, if it is known."""
        if job.status == "running":
            for state in self.orgs:
                if state.org in {ANY_ORG, job.selection.get("org", ANY_ORG)}:
                    if state.paused_at is not None:
                        return "paused"
                    if state.breaker != "closed":
                        return f"Capillary away, {state.breaker_reason}"
        return None

    @property
    def is_well(self) -> bool:
        """Whether everything was compared, and nothing is left."""
        found = self.told()
        return not found["left"] and not found["unread"] and all(job.status == "done" for job in self.jobs)


def reconcile(  # noqa: PLR0913 - one per filter
    org: OrgOption = None,
    program: ProgramOption = None,
    group: Annotated[
        int | None, typer.Option(parser=whole(1), metavar="ID", help="One group, by its id in Capillary.")
    ] = None,
    primary: Annotated[
        int | None,
        typer.Option(parser=whole(1), metavar="ID", help="One primary's group, also if nothing was ever heard of it."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Primaries of whom an event came since, e.g. 2026-01-31.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Compare only: no adjustment, nothing ordered.")] = False,
    rate: Annotated[
        int | None, typer.Option(parser=whole(1, INT32_MAX), metavar="N", help="Calls a minute at the most.")
    ] = None,
    wait: Annotated[
        int, typer.Option(parser=whole(0, INT32_MAX), metavar="SECONDS", help="How long to wait for the repairs.")
    ] = 60,
    background: Annotated[bool, typer.Option("--background", help="Leave the work to the running server.")] = False,
    as_json: Json = False,
) -> None:
    """Compare secondaries with their primaries in Capillary, and have repaired what differs by the running server.

    Exits 0 if nothing is left, 1 if some drift is left or could not be read.
    """
    if group is not None and primary is not None:
        raise typer.BadParameter("name either --group or --primary")
    from tiersync import settings, telemetry

    keys = Keys(org, program, primary, group, instant(since, "--since"), dry_run)

    async def work(store: Store, loaded: "Settings") -> _Report:
        wanted = _of_each(keys, loaded)
        report = _Report(dry_run)
        if background:
            report.jobs = [await store.begin_reconcile(each, by=whoever(), now=_now(), rate=rate) for each in wanted]
            report.orgs = await store.orgs()
            return report
        if missing := settings.missing_to_serve(loaded):
            raise SettingsError("\n".join(missing))
        telemetry.configure_logging("error", loaded.log_format)  # what it finds is the report
        async with _comparing(loaded, store, report, quiet=as_json) as comparing:
            for each in wanted:
                report.jobs.append(await _carry_out(store, comparing, each, rate))
            report.orgs = await store.orgs()
        await _see_repairs(store, report, wait)
        return report

    report = with_store(work)
    if as_json:
        typer.echo(json.dumps(report.told()))
    else:
        showing.reconciled(report.told())
    if not background and not report.is_well:
        raise typer.Exit(1)


def _of_each(keys: Keys, loaded: "Settings") -> list[Keys]:
    try:
        return keys.of_each(loaded.by_org())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="'--org'") from None


def _now() -> int:
    from tiersync import app

    return app.now()


@asynccontextmanager
async def _comparing(loaded: "Settings", store: Store, report: _Report, *, quiet: bool) -> AsyncIterator[Any]:
    """Whoever compares, with connections of its own; it obeys pauses and takes over open breakers."""
    from tiersync import app
    from tiersync.watch import Watch

    watch = Watch(store, now=app.now, monotonic=time.monotonic, every_s=loaded.sweep_s)
    apis: dict[int, Capillary] = {}
    with screen.progress(quiet=quiet) as bar:
        task = bar.add_task("Reconcile", total=None)

        def told(job: Job, found: "Findings") -> None:
            bar.update(task, completed=job.done, total=max(job.done, job.matched))
            _take_down(report, found)

        watching = asyncio.create_task(asyncio.sleep(0))
        try:
            for number, values in loaded.by_org().items():
                limit = values.calls_per_minute_max
                budget = store.budget(number, limit, app.now) if limit else None
                apis[number] = app.capillary(values, changed=watch.changed, budget=budget)
                await watch.begin(number, apis[number])
            watching = asyncio.create_task(watch.run())
            yield app.reconciler(loaded, store, apis, app.now, told=told)
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            for api in apis.values():
                await api.close()


def _take_down(report: _Report, found: "Findings") -> None:
    key = found.key
    whose = {"org": key.org, "program": key.program, "primary": key.customer}
    for one in found.drifted:
        held = one.held.name if one.held else None
        row = {**whose, "member": one.member, "held": held, "tier": one.tier.name, "result": "left"}
        report.members.append({**row, "reason": "under_way" if one.under_way else "dry_run"})
    report.unread += [{**whose, "member": one.member, "reason": one.reason} for one in found.unread]


async def _carry_out(store: Store, comparing: Any, keys: Keys, rate: int | None) -> Job:
    job = await store.begin_reconcile(
        keys, by=whoever(), now=_now(), rate=rate, owner=comparing.owner, until=comparing.until
    )
    try:
        ended = await comparing.work_off(job)
    except asyncio.CancelledError:
        screen.complain(
            f"job {job.id} is not over: a running server goes on with it; `tiersync jobs cancel {job.id}` ends it"
        )
        raise
    return ended or await store.job(job.id) or job


async def _see_repairs(store: Store, report: _Report, wait_s: int) -> None:
    """Look until the repairs are over, or for so long; then say of each what became of it."""
    if report.dry_run:
        return
    until = time.monotonic() + wait_s
    while True:
        made = [row for job in report.jobs for row in await store.repairs(job.id)]
        if time.monotonic() >= until or not any(row["status"] == "due" for row in made):
            break
        await asyncio.sleep(_LOOK_S)
    report.members = list(_joined(report.members, made))


def _joined(found: Sequence[dict[str, Any]], made: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was found, with what became of it; and what an earlier holder of the job ordered."""

    def named(row: Mapping[str, Any]) -> tuple[Any, ...]:
        return row["org"], row["program"], row["primary"], row["member"]

    by_name = {named(row): row for row in found}
    for row in made:
        before = by_name.get(named(row), {"held": None})
        reason = row["reason"] or (row["status"] if row["result"] == "left" else None)
        by_name[named(row)] = {
            **{name: row[name] for name in ("org", "program", "primary", "member")},
            "held": before["held"],
            "tier": row["tier_name"],
            "result": row["result"],
            "reason": reason,
        }
    return list(by_name.values())
