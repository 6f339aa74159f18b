"""What the operator can press about events and orgs: replay, purge, pause, resume. Each shows first what it will do.

A job is stored before the answer, worked off by whoever serves, and visible from here with its progress.
"""

from collections.abc import Callable, Mapping
from typing import Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tiersync.console import asking
from tiersync.console.asking import Filter, Pace, link
from tiersync.console.door import Door, seen_other
from tiersync.console.rendering import Renderer
from tiersync.console.session import Session
from tiersync.intake import EventStatus
from tiersync.store import Horizon, JobKind, Store, looking
from tiersync.webhook import INT64_MAX

_REASON_MAX: Final = 200


class Actions:
    """The forms. `now` is epoch milliseconds; `horizon` says what a purge spares."""

    def __init__(
        self, *, store: Store, door: Door, renderer: Renderer, horizon: Callable[[], Horizon], now: Callable[[], int]
    ) -> None:
        """Every view and form is behind the door."""
        self._store, self._door, self._render, self._horizon, self._now = store, door, renderer, horizon, now

    def routes(self) -> list[Route]:
        """A view that says what will happen, and a form that does it, for each."""
        view, form = self._door.view, self._door.form
        return [
            Route("/console/replay", view(self._ask_replay)),
            Route("/console/replay", form(self._replay), methods=["POST"]),
            Route("/console/purge", view(self._ask_purge)),
            Route("/console/purge", form(self._purge), methods=["POST"]),
            Route("/console/orgs/{org:int}/pause", view(self._ask_pause)),
            Route("/console/orgs/{org:int}/pause", form(self._pause), methods=["POST"]),
            Route("/console/orgs/{org:int}/resume", view(self._ask_resume)),
            Route("/console/orgs/{org:int}/resume", form(self._resume), methods=["POST"]),
        ]

    async def _ask_replay(self, request: Request, session: Session) -> Response:
        return await self._preview(request, session, JobKind.REPLAY, asking.given(request.query_params))

    async def _ask_purge(self, request: Request, session: Session) -> Response:
        return await self._preview(request, session, JobKind.PURGE, asking.given(request.query_params))

    async def _replay(self, request: Request, session: Session, form: FormData) -> Response:
        return await self._begin(request, session, JobKind.REPLAY, form)

    async def _purge(self, request: Request, session: Session, form: FormData) -> Response:
        return await self._begin(request, session, JobKind.PURGE, form)

    async def _preview(
        self, request: Request, session: Session, kind: JobKind, asked: Mapping[str, str], wrong: str = ""
    ) -> Response:
        wanted, mistaken = _wanted(asked)
        matched = removed = 0
        if wanted is not None:
            matched = await self._store.count_events(wanted.selection)
        if wanted is not None and kind is JobKind.PURGE:
            removed = await self._store.purgeable(wanted.selection, self._horizon())
        return self._render.page(
            f"{kind}.html", request, session, asked=asked, matched=matched, removed=removed, wrong=wrong or mistaken,
            quarantined=wanted is not None and wanted.status is EventStatus.QUARANTINED,
            back=link("/console/events", asked), status=422 if wrong or mistaken else 200,
        )  # fmt: skip

    async def _begin(self, request: Request, session: Session, kind: JobKind, form: FormData) -> Response:
        asked = asking.given(form)
        wanted, _ = _wanted(asked)
        pace, wrong = asking.read(asking.given(form, ["rate"]), Pace)
        if wanted is None or pace is None:
            return await self._preview(request, session, kind, asked, wrong)
        found = await self._store.list_events(wanted.selection, 2) if wanted.id else []
        await self._store.begin_job(kind, wanted.selection, by=session.by, now=self._now(), rate=pace.rate)
        if kind is JobKind.REPLAY and len(found) == 1:
            return seen_other(f"/console/events/{found[0]['id']}")
        return seen_other("/console/jobs")

    async def _ask_pause(self, request: Request, session: Session) -> Response:
        return await self._ask_org(request, session, "Pause")

    async def _ask_resume(self, request: Request, session: Session) -> Response:
        return await self._ask_org(request, session, "Resume")

    async def _ask_org(self, request: Request, session: Session, verb: str) -> Response:
        org = request.path_params["org"]
        if org > INT64_MAX:
            return seen_other("/console")
        groups = await self._store.look(looking.groups_ahead, org)
        return self._render.page(
            "org.html", request, session, verb=verb, org=org, groups=groups, reason_max=_REASON_MAX
        )

    async def _pause(self, request: Request, session: Session, form: FormData) -> Response:
        if (org := request.path_params["org"]) <= INT64_MAX:
            reason = str(form.get("reason", "")).strip()[:_REASON_MAX] or None
            await self._store.pause(org, by=session.by, reason=reason, now=self._now())
        return seen_other("/console")

    async def _resume(self, request: Request, _session: Session, _form: FormData) -> Response:
        if (org := request.path_params["org"]) <= INT64_MAX:
            await self._store.resume(org)
        return seen_other("/console")


def _wanted(asked: Mapping[str, str]) -> tuple[Filter | None, str]:
    """What was asked for, if it is well asked and does not mean every event there is."""
    wanted, wrong = asking.read(asked, Filter)
    if wanted is not None and wanted.empty:
        return None, "Say which events: choose a filter first."
    return wanted, wrong
