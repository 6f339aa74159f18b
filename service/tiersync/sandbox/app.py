"""Wires the sandbox: settings → desk → routes. Only here are the clock, sleeping, ids and the HTTP client named.

build(SandboxSettings())    the ASGI application
serve(SandboxSettings())    the same on a port, until interrupted
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import uvicorn
from httpx_aiohttp import AiohttpTransport
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tiersync import __version__
from tiersync.errors import LoyaltyError
from tiersync.sandbox import (
    routes_adjust,
    routes_clock,
    routes_companies,
    routes_control,
    routes_customers,
    routes_groups,
    routes_members,
    routes_points,
    routes_registration,
    routes_tier_log,
    routes_token,
    routes_transactions,
    routes_transfers,
    routes_webhooks,
    routes_world,
)
from tiersync.sandbox.answers import error_own, error_v2, error_v3
from tiersync.sandbox.crm import routes as crm
from tiersync.sandbox.crm.platform import Platform
from tiersync.sandbox.desk import Desk, Seams
from tiersync.sandbox.front import Front, again
from tiersync.sandbox.pages import front_page, openapi, welcome
from tiersync.sandbox.seeds import example
from tiersync.sandbox.sessionm import routes as sessionm
from tiersync.sandbox.sessionm.club import Club
from tiersync.sandbox.settings import SandboxSettings
from tiersync.sandbox.state import Kept
from tiersync.sandbox.verbs import Verb
from tiersync.sandbox.wire import TRANSPORT

#: The busiest first: routes are tried in this order.
VERBS: tuple[Verb, ...] = (
    *routes_adjust.VERBS,
    *routes_registration.VERBS,  # before customers: bulk is not the id of one
    *routes_customers.VERBS,
    *routes_groups.VERBS,
    *routes_members.VERBS,
    *routes_tier_log.VERBS,
    *routes_companies.VERBS,
    *routes_transactions.VERBS,
    *routes_points.VERBS,
    *routes_transfers.VERBS,
    *routes_token.VERBS,
    *routes_webhooks.VERBS,
    *routes_control.VERBS,
    *routes_clock.VERBS,
    *routes_world.VERBS,
)
SHUTDOWN_S = 2


class Sandbox(Starlette):
    """The application; it shows the server's transport to the routes, so that they can cut connections."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note the transport and go on."""
        scope[TRANSPORT] = getattr(getattr(send, "__self__", None), "transport", None)
        await super().__call__(scope, receive, send)


def build(settings: SandboxSettings, seams: Seams | None = None) -> Starlette:
    """Build the application. `seams` replaces clock, sleep, ids or HTTP client; its desk is `app.state.desk`."""
    desk = Desk(settings, seams or real_seams(), example)
    club, platform = Club(example=settings.example), Platform(example=settings.example)
    desk.companions = (club, platform)
    verbs_here = (*VERBS, *sessionm.verbs(club), *crm.verbs(platform))
    paths: dict[str, dict[str, Verb]] = {}
    for verb in verbs_here:
        paths.setdefault(verb.path, {})[verb.method] = verb
    desk.replay(lambda call: again(desk, _verb(paths, call), call))
    busy: set[int] = set()
    page = front_page(verbs_here, settings)

    async def home(_: Request) -> Response:
        return PlainTextResponse(page)

    async def described(_: Request) -> Response:
        return JSONResponse(openapi(verbs_here, __version__))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        desk.open()
        try:
            yield
        finally:
            await desk.aclose()

    app = Sandbox(
        routes=[
            *(Route(path, Front(desk, verbs, busy)) for path, verbs in paths.items()),
            Route("/", home),
            Route("/openapi.json", described),
        ],
        exception_handlers={404: _not_found},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.desk = desk
    return app


def _verb(paths: Mapping[str, Mapping[str, Verb]], call: Kept) -> Verb:
    verb = paths.get(call.route, {}).get(call.method)
    if verb is None:
        raise LoyaltyError(f"the state file has a call of {call.method} {call.route}, which is not served here")
    return verb


class Server(uvicorn.Server):
    """A server that says where it listens as soon as it does, also when its output goes to a file."""

    def __init__(self, config: uvicorn.Config, settings: SandboxSettings) -> None:
        super().__init__(config)
        self._settings = settings

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            print(welcome(self._settings, port), flush=True)  # noqa: T201 - told to whoever started it


def serve(settings: SandboxSettings) -> None:
    """Run on `settings.host` and `settings.port` until interrupted."""
    config = uvicorn.Config(
        build(settings),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        use_colors=False,
        ws="none",
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    with suppress(KeyboardInterrupt):
        Server(config, settings).run()


def real_seams() -> Seams:
    """Return the world's own clock, sleep, ids and HTTP client."""
    return Seams(clock=lambda: datetime.now(UTC), sleep=asyncio.sleep, new_id=lambda: str(uuid4()), client=_client)


def _client() -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=1_000, max_keepalive_connections=1_000)
    transport = AiohttpTransport(limits=limits)
    # The emitter limits the whole delivery itself; settings of the environment must not redirect it.
    return httpx.AsyncClient(transport=transport, timeout=httpx.Timeout(None), follow_redirects=False, trust_env=False)


async def _not_found(request: Request, _: Exception) -> Response:
    path = request.url.path
    make = error_v2 if path.startswith("/v2/") else error_v3 if path.startswith("/v3/") else None
    answer = make(404, "no such resource", 404) if make else error_own("no such page; GET / lists what is here", 404)
    return JSONResponse(answer.body, answer.status)
