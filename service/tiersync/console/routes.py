"""Health for the platform, metrics for Prometheus, events for the operator.

`/livez`, `/readyz`, `/metrics` and `/openapi.json` are open and say nothing about anybody; `/api/` wants the operator
token.
"""

import hmac
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import asdict
from functools import wraps
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tiersync import telemetry
from tiersync.console.openapi import document
from tiersync.errors import StoreError, StoreUnavailable
from tiersync.intake import EventStatus
from tiersync.store import Selection, Store, known_orgs, looking

INT64_MAX: Final = 2**63 - 1

Handler = Callable[[Request], Awaitable[Response]]


class _EventsQuery(BaseModel):
    """The query of `GET /api/events`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: EventStatus | None = None
    reason: str | None = Field(None, max_length=200, pattern=r"^[^\x00]*$")
    org: int | None = Field(None, ge=0, le=INT64_MAX)
    program: int | None = Field(None, ge=0, le=INT64_MAX)
    customer: int | None = Field(None, ge=0, le=INT64_MAX)
    since: int | None = Field(None, ge=0, le=INT64_MAX)
    until: int | None = Field(None, ge=0, le=INT64_MAX)
    limit: int = Field(50, ge=1)
    before: int | None = Field(None, ge=0, le=INT64_MAX)


class _EventQuery(BaseModel):
    """The query of `GET /api/events/{org}/{event_id}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(50, ge=1)
    after: int = Field(0, ge=0, le=INT64_MAX)
    body: bool = False


class _JobsQuery(BaseModel):
    """The query of `GET /api/jobs`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(50, ge=1)
    before: int | None = Field(None, ge=0, le=INT64_MAX)


class _NoQuery(BaseModel):
    """The query of a route that takes none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Console:
    """The operator's routes. Without a token the operator API is closed."""

    def __init__(  # noqa: PLR0913 - put together in app, and only there
        self,
        *,
        store: Store,
        metrics: telemetry.Metrics,
        token: str | None,
        orgs: Collection[int],
        page_rows_max: int,
        now: Callable[[], int],
        version: str,
    ) -> None:
        """`orgs` are those that are configured; `now` is epoch milliseconds."""
        self._orgs_known = orgs
        self._store, self._metrics, self._page_rows_max, self._now = store, metrics, page_rows_max, now
        self._token = f"Bearer {token}".encode() if token else None
        self._document = document(version, page_rows_max)

    def routes(self) -> list[Route]:
        """Every route of this room."""
        shown = Route("/api/events/{org}/{event_id:path}", self._guarded(self._event))
        shown.path_regex = re.compile(shown.path_regex.pattern, re.DOTALL)  # an event id may hold a line break
        return [
            Route("/livez", self._livez),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics_text),
            Route("/openapi.json", self._openapi),
            Route("/api/events", self._guarded(self._events)),
            shown,
            Route("/api/orgs", self._guarded(self._orgs)),
            Route("/api/jobs", self._guarded(self._jobs)),
        ]

    def _guarded(self, handler: Handler) -> Handler:
        @wraps(handler)
        async def guarded(request: Request) -> Response:
            if self._token is None:
                return _problem(401, "the operator API is closed: set TIERSYNC_OPERATOR_TOKEN")
            given = request.headers.get("authorization", "").encode("latin-1")
            if not hmac.compare_digest(given, self._token):
                return _problem(401, "send Authorization: Bearer and the operator token")
            try:
                return await handler(request)
            except ValidationError as error:
                first = error.errors(include_input=False, include_url=False)[0]
                field = ".".join(str(part) for part in first["loc"])
                return _problem(422, f"{field}: {first['msg']}")
            except StoreUnavailable as error:
                return _problem(503, str(error))

        return guarded

    async def _livez(self, _request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def _readyz(self, _request: Request) -> Response:
        try:
            await self._store.probe()
        except StoreError as error:
            return JSONResponse({"status": "not ready", "store": str(error)}, status_code=503)
        return JSONResponse({"status": "ready", "store": "writable"})

    async def _metrics_text(self, _request: Request) -> Response:
        try:
            now = self._now()
            waiting = await self._store.backlog(now)
            self._metrics.backlog(now, waiting.keys_due, waiting.due_since, waiting.pending_since)
            self._metrics.dead(waiting.dead)
            self._metrics.passed(await self._store.look(looking.last_passes))
        except StoreUnavailable:
            pass  # the other metrics are wanted most when the store is away
        return Response(self._metrics.text(), media_type=telemetry.CONTENT_TYPE)

    async def _openapi(self, _request: Request) -> Response:
        return JSONResponse(self._document)

    async def _events(self, request: Request) -> Response:
        query = _EventsQuery.model_validate(dict(request.query_params))
        wanted = query.model_dump(exclude={"limit", "before"}, exclude_none=True)
        limit = min(query.limit, self._page_rows_max)
        rows = await self._store.list_events(Selection(**wanted), limit, query.before)
        following = rows[-1]["id"] if len(rows) == limit else None
        return JSONResponse({"events": [_shown(row) for row in rows], "next": following})

    async def _event(self, request: Request) -> Response:
        query = _EventQuery.model_validate(dict(request.query_params))
        org, event_id = request.path_params["org"], request.path_params["event_id"]
        if not (org.isascii() and org.isdigit() and len(org) <= len(str(INT64_MAX)) and int(org) <= INT64_MAX):
            return _problem(422, "org: must be a whole number")
        limit = min(query.limit, self._page_rows_max)
        event = await self._store.show_event(int(org), event_id, limit, query.after)
        if event is None:
            return _problem(404, f"no event {event_id} of org {org}")
        owed = [_shown(row) for row in event.pop("adjustments")]
        body = event.pop("body")
        following = owed[-1]["member"] if len(owed) == limit else None
        shown = {**_shown(event), "adjustments": owed, "next": following}
        if query.body:  # it may hold personal data: only when asked for
            shown["body"] = body.decode("utf-8", "replace")
        return JSONResponse(shown)

    async def _orgs(self, request: Request) -> Response:
        _NoQuery.model_validate(dict(request.query_params))
        states = known_orgs(await self._store.orgs(), self._orgs_known)
        return JSONResponse({"orgs": [asdict(state) for state in states]})

    async def _jobs(self, request: Request) -> Response:
        query = _JobsQuery.model_validate(dict(request.query_params))
        limit = min(query.limit, self._page_rows_max)
        found = await self._store.jobs(limit, query.before)
        following = found[-1].id if len(found) == limit else None
        return JSONResponse({"jobs": [asdict(job) for job in found], "next": following})


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}


def _problem(status: int, detail: str) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None  # noqa: PLR2004
    return JSONResponse({"detail": detail}, status_code=status, headers=headers)
