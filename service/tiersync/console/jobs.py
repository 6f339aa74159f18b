"""The jobs on the page: which there are, how far each is, what it came to; and the end of one before its time."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import ValidationError
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tiersync.console import results, times
from tiersync.console.asking import Page, link
from tiersync.console.door import Door, seen_other
from tiersync.console.reconciling import group_of
from tiersync.console.rendering import Renderer
from tiersync.console.session import Session
from tiersync.console.story import outcome
from tiersync.store import Job, JobKind, JobStatus, Keys, Store, looking
from tiersync.webhook import INT64_MAX

_ROWS: Final = 20
_REPAIRS: Final = 50


class Jobs:
    """The views of jobs. `now` is epoch milliseconds."""

    def __init__(self, *, store: Store, door: Door, renderer: Renderer, now: Callable[[], int]) -> None:
        """Every view and form is behind the door."""
        self._store, self._door, self._render, self._now = store, door, renderer, now

    def routes(self) -> list[Route]:
        """All jobs, one of them, and its cancelling."""
        view, form = self._door.view, self._door.form
        return [
            Route("/console/jobs", view(self._jobs)),
            Route("/console/jobs/{job:int}", view(self._job)),
            Route("/console/jobs/{job:int}/cancel", form(self._cancel), methods=["POST"]),
        ]

    async def _jobs(self, request: Request, session: Session) -> Response:
        try:
            before = Page.model_validate(dict(request.query_params)).before
        except ValidationError:
            before = None
        jobs = await self._store.jobs(_ROWS + 1, before)
        return self._render.view(
            request, session, "jobs.html", title="Jobs", now=self._now(), jobs=jobs[:_ROWS], figures=results.figures,
            older=link(request.url.path, {}, before=jobs[_ROWS - 1].id) if len(jobs) > _ROWS else None,
        )  # fmt: skip

    async def _job(self, request: Request, session: Session) -> Response:
        number = request.path_params["job"]
        job = await self._store.job(number) if number <= INT64_MAX else None
        if job is None:
            return self._render.missing(request, session, "job", perhaps="")
        repairs: list[dict[str, Any]] = []
        group = again = None
        if job.kind is JobKind.RECONCILE:
            repairs = await self._store.look(looking.repairs, number, _REPAIRS + 1)
            group = await group_of(self._store, Keys(**job.selection))
            again = link("/console/reconcile", _asked_again(job)) if job.status is not JobStatus.RUNNING else None
        return self._render.view(
            request, session, "job.html", title=f"{job.kind.capitalize()} {job.id}", now=self._now(), job=job,
            said=results.sentence(job), figures=results.figures(job), group=group, again=again,
            to_repair=bool(job.selection.get("dry_run") and job.counts.get("drifted")),
            repairs=[{**row, "said": outcome(row)} for row in repairs[:_REPAIRS]], more=len(repairs) > _REPAIRS,
        )  # fmt: skip

    async def _cancel(self, request: Request, session: Session, _form: FormData) -> Response:
        if (job := request.path_params["job"]) <= INT64_MAX:
            await self._store.cancel_job(job, by=session.by, now=self._now())
        return seen_other("/console/jobs")


def _asked_again(job: Job) -> Mapping[str, Any]:
    """A reconcile as it was asked for, in the words of the form; what was only compared may be repaired now."""
    asked = {**job.selection, "rate": job.rate, "dry_run": None}
    return {**asked, "since": times.typed(asked["since"])} if "since" in asked else asked
