"""The operator's page at `/console`: what is wrong, why, and what to press.

Every view is plain HTML behind the door; a part of it asks for itself anew every few seconds.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog
from pydantic import ValidationError
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tiersync.console import asking, picture
from tiersync.console.asking import Filter, Page, link
from tiersync.console.door import Door
from tiersync.console.masking import masked, plain
from tiersync.console.reasons import REASONS, why
from tiersync.console.rendering import Renderer
from tiersync.console.session import Session
from tiersync.console.story import follows, outcome, timeline
from tiersync.console.words import Calls, health, why_held
from tiersync.intake import ANY_ORG, EventStatus
from tiersync.store import Store, known_orgs, looking
from tiersync.webhook import INT64_MAX

log: Final = structlog.get_logger("tiersync.console")

MINUTES: Final = 60
_ROWS: Final = 50
_RECENT: Final = 5
_KEYS: Final = 10
_JOBS: Final = 50
_DAY_MS: Final = 86_400_000


class OperatorPage:
    """The views. `now` is epoch milliseconds; `calls` says how each org's calls stand."""

    def __init__(
        self,
        *,
        store: Store,
        door: Door,
        renderer: Renderer,
        calls: Callable[[], Sequence[Calls]],
        now: Callable[[], int],
    ) -> None:
        """The views; what can be pressed is in `actions`."""
        self._store, self._door, self._render, self._calls, self._now = store, door, renderer, calls, now

    def routes(self) -> list[Route]:
        """Every route of the page. Static files and the way in are open; everything else is behind the door."""
        view, form = self._door.view, self._door.form
        return [
            Route("/console/static/{name}", self._static),
            Route("/console/sign-in", self._door.ask),
            Route("/console/sign-in", self._door.sign_in, methods=["POST"]),
            Route("/console/sign-out", form(self._door.sign_out), methods=["POST"]),
            Route("/console/theme", form(self._door.theme), methods=["POST"]),
            Route("/console", view(self._overview)),
            Route("/console/flow", view(self._flow)),
            Route("/console/events", view(self._events)),
            Route("/console/events/{row:int}", view(self._event)),
            Route("/console/events/{row:int}/body", form(self._body), methods=["POST"]),
            Route("/console/groups/{sync:int}", view(self._group)),
        ]

    async def _static(self, request: Request) -> Response:
        return self._render.asset(request.path_params["name"])

    # Overview

    async def _overview(self, request: Request, session: Session) -> Response:
        now, calls = self._now(), {org.org: org for org in self._calls()}
        orgs = known_orgs(await self._store.orgs(), calls)
        standing = await self._store.look(looking.standing)
        backlog = await self._store.backlog(now)
        since, minutes = await self._last_hour(now)
        recent = await self._store.look(looking.trouble, _RECENT)
        unwell = await self._store.look(looking.unwell_jobs, now - _DAY_MS, _JOBS)
        dead: dict[int, int] = {}
        for found in standing.trouble:
            if found.status == EventStatus.DEAD:
                for org in (found.org, ANY_ORG):
                    dead[org] = dead.get(org, 0) + found.count
        return self._render.view(
            request, session, "overview.html", now=self._now(), title="Overview",
            health=health(standing, orgs, [*calls.values()], unwell, now), picture=picture.draw(minutes, since),
            standing=standing, due=backlog.keys_due, overdue_at=backlog.due_since, recent=recent,
            orgs=orgs, calls=calls, dead={org.org: dead.get(org.org, 0) for org in orgs},
        )  # fmt: skip

    async def _last_hour(self, now: int) -> tuple[int, Sequence[looking.Minute]]:
        since = now - now % 60_000 - (MINUTES - 1) * 60_000
        return since, await self._store.look(looking.flow, since, MINUTES)

    async def _flow(self, request: Request, session: Session) -> Response:
        since, minutes = await self._last_hour(self._now())
        told = [
            (since + 60_000 * number, [getattr(one, name) for name in picture.SERIES])
            for number, one in enumerate(minutes)
        ]
        return self._render.view(
            request,
            session,
            "flow.html",
            now=self._now(),
            title="The last hour",
            minutes=told[::-1],
            series=[*picture.SERIES],
        )

    # Events

    async def _events(self, request: Request, session: Session) -> Response:
        asked = asking.given(request.query_params)
        wanted, wrong = asking.read(asked, Filter)
        try:
            before = Page.model_validate(dict(request.query_params)).before
        except ValidationError as error:
            wanted, wrong, before = None, asking.problem(error), None
        rows: list[dict[str, Any]] = []
        keys: list[dict[str, Any]] = []
        if wanted is not None:
            rows = await self._store.list_events(wanted.selection, _ROWS + 1, before)
            if wanted.customer is not None or wanted.group is not None:
                keys = await self._store.look(looking.keys, wanted.customer, wanted.group, wanted.org, _KEYS)
        older = link(request.url.path, asked, before=rows[_ROWS - 1]["id"]) if len(rows) > _ROWS else None
        return self._render.view(
            request, session, "events.html", now=self._now(), title="Events",
            before="filters.html", around=_filters(asked, wrong),
            rows=rows[:_ROWS], keys=keys, older=older,
            newest=link(request.url.path, asked) if before is not None else None,
            replay_at=link("/console/replay", asked) if asked else None, purge_at=link("/console/purge", asked),
        )  # fmt: skip

    async def _event(self, request: Request, session: Session) -> Response:
        return await self._show_event(request, session, unmasked=False)

    async def _body(self, request: Request, session: Session, _form: FormData) -> Response:
        return await self._show_event(request, session, unmasked=True)

    async def _show_event(self, request: Request, session: Session, *, unmasked: bool) -> Response:
        row = request.path_params["row"]
        try:
            after = Page.model_validate(dict(request.query_params)).after
        except ValidationError:
            after = 0
        event = await self._store.show_row(row, _ROWS, after) if row <= INT64_MAX else None
        if event is None:
            return self._render.missing(request, session, "event")
        trip = await self._store.look(looking.trip, row)
        calls, body = event["adjustments"], event["body"]
        held = await self._held(event["org"]) if event["status"] == EventStatus.PENDING else ()
        if unmasked:
            log.info("body.shown", org=event["org"], event_id=event["event_id"], event_row=row)
        replay = {"id": event["event_id"], "org": event["org"]}
        return self._render.view(
            request, session, "event.html", now=self._now(), title="Event", after="body.html",
            around={"row": row, "unmasked": unmasked, "body": plain(body) if unmasked else masked(body)},
            event=event, steps=timeline(event, trip, calls, held), explained=why(event["reason"]),
            calls=[{**call, "said": outcome(call)} for call in calls],
            more=link(request.url.path, {}, after=calls[-1]["member"]) if len(calls) == _ROWS else None,
            replay_at=link("/console/replay", replay) if event["status"] != EventStatus.PENDING else None,
        )  # fmt: skip

    async def _held(self, org: int) -> Sequence[str]:
        """Why no call goes out for an org, if none does."""
        return [*why_held(await self._store.orgs(), self._now(), org)]

    # Groups

    async def _group(self, request: Request, session: Session) -> Response:
        sync = request.path_params["sync"]
        try:
            after = Page.model_validate(dict(request.query_params)).after
        except ValidationError:
            after = 0
        key = await self._store.look(looking.key, sync) if sync <= INT64_MAX else None
        if key is None:
            return self._render.missing(request, session, "group")
        found = await self._store.look(looking.members, sync, key["event"], _ROWS, after)
        drifted = await self._store.look(looking.drifted, sync, key["event"], _ROWS + 1)
        more = link(request.url.path, {}, after=found[-1]["member"]) if len(found) == _ROWS else None
        return self._render.view(
            request, session, "group.html", now=self._now(), title="Group", key=key, first=not after,
            members=_told(found), drifted=_told(drifted[:_ROWS]), most=len(drifted) > _ROWS, more=more,
            paged=bool(after or more), held=await self._held(key["org"]) if key["due_at"] is not None else (),
        )  # fmt: skip


def _told(members: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Where secondaries stand, in words."""
    return [{**one, "follows": follows(one), "said": outcome(one)} for one in members]


def _filters(asked: Mapping[str, str], wrong: str) -> dict[str, Any]:
    """What the filter form shows."""
    chips = [("All", "/console/events")]
    chips += [(status.capitalize(), link("/console/events", {"status": status})) for status in EventStatus]
    return {
        "asked": {name: asked.get(name, "") for name in asking.FILTERS},
        "wrong": wrong,
        "chips": chips,
        "chosen": link("/console/events", asked),
        "statuses": [*EventStatus],
        "reasons": sorted(REASONS),
    }
