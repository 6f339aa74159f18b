"""What the sandbox's tests stand on: a sandbox in-process or on a real port, a scripted webhook receiver, a clock."""

import asyncio
import gzip
import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import uvicorn
from pydantic_core import from_json
from starlette.types import ASGIApp

from tiersync.sandbox.app import build, real_seams
from tiersync.sandbox.credentials import basic
from tiersync.sandbox.desk import Seams
from tiersync.sandbox.settings import SandboxSettings

START = datetime(2026, 3, 10, 12, 0, 0, tzinfo=UTC)
PRIMARY, MOTHER, DAUGHTER, SON, GRANDMOTHER, UNCLE = 566998132, 564662499, 564662500, 564662501, 567219877, 567219878
SECONDARIES = (MOTHER, DAUGHTER, SON, GRANDMOTHER)
GROUP = 3918893
PROGRAM = 973
RECEIVER = "http://receiver.test/webhook"
ADJUST = "/v2/slab/manualSlabAdjustment"

Json = dict[str, Any]


@dataclass
class Clock:
    """A clock that stands still unless it is moved."""

    now: datetime = START

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.now

    def forward(self, seconds: float) -> None:
        """Move on."""
        self.now += timedelta(seconds=seconds)


@dataclass
class Receiver:
    """A webhook receiver that answers as told and remembers what came."""

    answer: Callable[[httpx.Request], httpx.Response] = field(default=lambda _: httpx.Response(200))
    requests: list[httpx.Request] = field(default_factory=list)
    running: int = 0
    running_max: int = 0
    wait_s: float = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Take one delivery."""
        self.requests.append(request)
        self.running += 1
        self.running_max = max(self.running_max, self.running)
        try:
            await asyncio.sleep(self.wait_s)
            return self.answer(request)
        finally:
            self.running -= 1

    def script(self, *statuses: int) -> None:
        """Answer with these statuses in turn, then with 200."""
        answers = itertools.chain(statuses, itertools.repeat(200))
        self.answer = lambda _: httpx.Response(next(answers))

    @property
    def events(self) -> list[Any]:
        """The bodies that came, in order."""
        return [
            from_json(gzip.decompress(request.content) if "content-encoding" in request.headers else request.content)
            for request in self.requests
        ]


@dataclass
class Lab:
    """A running sandbox and everything around it."""

    app: ASGIApp
    client: httpx.AsyncClient
    clock: Clock
    receiver: Receiver
    settings: SandboxSettings
    slept: list[float] = field(default_factory=list)

    async def switch(self, **sections: Any) -> None:
        """Change switches: `switch(adjust={"latency": {"ms": 1}})`."""
        answer = await self.client.put("/sandbox/faults", json=sections)
        assert answer.status_code == 200, answer.text

    async def adjust(self, customer: object = MOTHER, name: str = "id", **body: Any) -> httpx.Response:
        """Send a manual adjustment: UPGRADE to Gold per strategy unless told otherwise; None removes a field."""
        query = {"source": "INSTORE", "identifierName": name, "identifierValue": str(customer)}
        whole = {
            "programId": PROGRAM,
            "slabAction": "UPGRADE",
            "toSlabName": "Gold",
            "manualSlabActionValidity": "AS_PER_TIER_STRATEGY",
            **body,
        }
        sent = {key: value for key, value in whole.items() if value is not None}
        return await self.client.post(ADJUST, params=query, json=sent)

    async def decide(self, tier: object = "Gold", customer: int = PRIMARY, **body: Any) -> Json:
        """Let the core decide a tier."""
        answer = await self.client.post(f"/sandbox/customers/{customer}/tier", json={"tier": tier, **body})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def tier(self, customer: int = MOTHER) -> Json:
        """Read a customer's tier in the default programme."""
        answer = await self.client.get(f"/v2/customers/{customer}/tierDetails")
        return dict(answer.json()["programTiers"][0])

    async def group(self, **query: Any) -> Json:
        """Read a group, the example family by default."""
        answer = await self.client.get("/v2/userGroup2", params=query or {"id": GROUP})
        return dict(answer.json())

    async def seed(self, **scene: Any) -> Json:
        """Plant a scene."""
        answer = await self.client.post("/sandbox/seed", json=scene)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def calls(self) -> Json:
        """Read the call log."""
        return dict((await self.client.get("/sandbox/calls")).json())

    async def last_call(self) -> Json:
        """Read the newest entry of the call log."""
        return dict((await self.calls())["calls"][-1])

    async def deliveries(self) -> Json:
        """Read the delivery log."""
        return dict((await self.client.get("/sandbox/deliveries")).json())

    async def settled(self) -> list[Any]:
        """Wait until nothing is on its way; returns what the receiver got."""
        await until(self._nothing_pending)
        return self.receiver.events

    async def _nothing_pending(self) -> bool:
        return not (await self.deliveries())["pending"]


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something has become true; everything waited for here is seen only by asking."""
    async with asyncio.timeout(10):
        while not await true():
            await asyncio.sleep(0.002)


def login(settings: SandboxSettings) -> dict[str, str]:
    """Return the header of the configured Basic credentials."""
    return {"Authorization": basic(settings.username, settings.password).decode()}


@asynccontextmanager
async def in_process(**settings: Any) -> AsyncIterator[Lab]:
    """Run a sandbox in this process, with a clock that stands still and a receiver without a network."""
    chosen = SandboxSettings(**{"webhook_url": RECEIVER, "retry_base_ms": 1, "webhook_timeout_ms": 200, **settings})
    clock, receiver, ids = Clock(), Receiver(), itertools.count(1)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(seconds)

    seams = Seams(
        clock=clock,
        sleep=sleep,
        new_id=lambda: f"00000000-0000-4000-8000-{next(ids):012}",
        client=lambda: httpx.AsyncClient(transport=httpx.MockTransport(receiver), follow_redirects=False),
    )
    app = build(chosen, seams)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://sandbox.test", headers=login(chosen)) as client,
    ):
        yield Lab(app, client, clock, receiver, chosen, slept)


@asynccontextmanager
async def on_a_port(**settings: Any) -> AsyncIterator[Lab]:
    """Run a sandbox on a free loopback port, with the real clock and the real HTTP client."""
    chosen = SandboxSettings(**{"retry_base_ms": 1, **settings})
    app = build(chosen, real_seams())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        config = uvicorn.Config(app, log_level="critical", ws="none", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve([listening]))

        async def started() -> bool:
            return server.started

        await until(started)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=login(chosen), timeout=5) as client:
            yield Lab(app, client, Clock(), Receiver(), chosen)
        server.should_exit = True
        await running
