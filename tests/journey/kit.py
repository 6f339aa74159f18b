"""What the journeys stand on: a town, that is the real service beside the real sandbox, on loopback ports."""

import asyncio
import itertools
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import uvicorn
from starlette.types import ASGIApp

from tests.ports import free_port
from tiersync import app
from tiersync.sandbox.app import build
from tiersync.sandbox.credentials import basic
from tiersync.sandbox.settings import SandboxSettings
from tiersync.settings import load

ORG: Final = 50_614
PROGRAM: Final = 973
TIERS: Final = ("Silver", "Gold", "Diamond")
SECRET: Final = "journey-webhook-secret"
TOKEN: Final = "journey-operator-token"
QUIET_S_MAX: Final = 30.0
LOGIN: Final = {"capillary_username": "till.sandbox", "capillary_password": "sandbox"}
FAST: Final[Mapping[str, Any]] = {
    "retry_delays_s": [0.05],
    "retry_attempts_max": 200,
    "retry_jitter_share": 0,
    "breaker_pause_s": 0.05,
    "breaker_pause_s_max": 0.2,
    "sweep_s": 0.05,
    "call_s_max": 1,
    "connect_s_max": 1,
    "attempt_s_max": 2,
    "shutdown_s_max": 2,
}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Family:
    """A group: its primary, who follows, who has left, and the programme in which their tiers are looked at."""

    primary: int
    secondaries: tuple[int, ...]
    exited: tuple[int, ...] = ()
    program: int = PROGRAM

    @property
    def name(self) -> str:
        """Its external id."""
        return f"family_{self.primary}"

    def seed(self, tier: object = None, primary_tier: object = None) -> Json:
        """Write it down for `POST /sandbox/seed`."""
        return {
            "externalId": self.name,
            "primary": self.primary,
            "secondaries": list(self.secondaries),
            "exited": list(self.exited),
            "tier": tier,
            "primaryTier": primary_tier,
            "programId": self.program,
        }


def family(number: int, secondaries: int = 3, exited: int = 1) -> Family:
    """Make up a family; numbers that differ share nobody."""
    first = 100_000 * number
    gone = first + 1 + secondaries
    return Family(first, tuple(range(first + 1, gone)), tuple(range(gone, gone + exited)))


class _Server(uvicorn.Server):
    """uvicorn that leaves the signals to pytest."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listening(port: int = 0) -> socket.socket:
    """Open a loopback port. Its protocol is named: only then does asyncio send small answers without delay."""
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("127.0.0.1", port))
    found.listen(1024)
    return found


@asynccontextmanager
async def serving(application: ASGIApp, at: socket.socket) -> AsyncIterator[None]:
    """Serve an application for the time of the block."""
    config = uvicorn.Config(application, log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=1)
    server = _Server(config)
    running = asyncio.create_task(server.serve([at]))
    try:
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.002)
        yield
    finally:
        server.should_exit = True
        await running
        at.close()


@dataclass(slots=True)
class Town:
    """A running sandbox, and a service that can be stopped and started. `here` talks to the one, `there` to the other.

    Everything goes over HTTP, so a town may as well have its service in another process.
    """

    sandbox: httpx.AsyncClient
    service: httpx.AsyncClient
    database_url: str
    settings: Json
    port: int
    _running: AsyncExitStack | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    # The service.

    async def start(self, **overrides: Any) -> None:
        """Start the service, on the store and the port it had before."""
        stack = AsyncExitStack()
        loaded = load(**{**self.settings, **overrides, "database_url": self.database_url, "port": self.port})
        application = await stack.enter_async_context(app.service(loaded))
        await stack.enter_async_context(serving(application, listening(self.port)))
        self._running = stack

    async def stop(self) -> None:
        """Stop the service, if it runs."""
        if self._running is not None:
            stack, self._running = self._running, None
            await stack.aclose()

    async def deliver(self, body: object, **headers: str) -> httpx.Response:
        """Post a webhook, as Capillary would; bytes go as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.service.post(
            "/webhooks/capillary", content=content, headers={"Authorization": SECRET, **headers}
        )

    async def events(self, **query: Any) -> list[Json]:
        """List the stored events, the newest first."""
        answer = await self.service.get("/api/events", params={"limit": 200, **query})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["events"])

    async def event(self, event_id: str, org: int = ORG) -> Json:
        """Show one event with its adjustments."""
        answer = await self.service.get(f"/api/events/{org}/{event_id}", params={"limit": 200})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def owed(self, event_id: str, org: int = ORG) -> dict[int, tuple[str, str | None]]:
        """Tell of each adjustment of an event where it stands, and its outcome or why there is none."""
        rows = (await self.event(event_id, org))["adjustments"]
        return {row["member"]: (row["status"], row["reason"] or row["outcome"]) for row in rows}

    # The sandbox.

    async def clear(self) -> None:
        """Empty the sandbox, its logs and its switches; leave the programme 973 (Silver, Gold, Diamond)."""
        await self._control("POST", "/sandbox/reset?example=false")
        await self.seed(programmes=[{"id": PROGRAM, "name": "Town", "default": True, "tiers": list(TIERS)}])

    async def seed(self, *groups: Json, **scene: Any) -> None:
        """Plant groups, programmes and customers, without events."""
        await self._control("POST", "/sandbox/seed", {"groups": list(groups), **scene})

    async def switch(self, **sections: Any) -> None:
        """Change switches: `switch(adjust={"locked": {"first": 1}})`."""
        await self._control("PUT", "/sandbox/faults", sections)

    async def decide(self, customer: int, tier: object, **body: Any) -> list[str]:
        """Let the core decide a tier, which emits an event; returns the ids of what it emitted."""
        return list(
            (await self._control("POST", f"/sandbox/customers/{customer}/tier", {"tier": tier, **body}))["eventIds"]
        )

    async def standings(self, of: Family) -> list[Json]:
        """List where every member of a family stands, former ones too."""
        state = await self._control("GET", f"/sandbox/state?group={of.name}")
        return [row for row in state["standings"] if row["programId"] == of.program]

    async def tiers(self, of: Family) -> dict[int, str]:
        """Tell the tier of every member of a family, of former ones too."""
        return {row["customer"]: row["tier"] for row in await self.standings(of)}

    async def followers(self, of: Family) -> set[str]:
        """Tell the tiers in which the active secondaries of a family are."""
        found = await self.tiers(of)
        return {found[secondary] for secondary in of.secondaries}

    async def calls(self, family: str | None = None) -> list[Json]:
        """List the API calls that the sandbox received, of one family of calls or all."""
        found = (await self._control("GET", "/sandbox/calls?limit=100000"))["calls"]
        return [call for call in found if family in (None, call["family"])]

    async def touched(self) -> set[int]:
        """Tell who was the subject of an adjustment call, whatever it was answered."""
        return {call["customer"] for call in await self.calls("adjust")}

    async def join(self, of: Family, customer: int, *, default: bool = True, primary: bool = False) -> None:
        """Let a customer join a group, which emits an event."""
        item = {"userId": customer, "permissions": [], "primaryMember": primary, "defaultGroup": default}
        answer = await self.sandbox.post("/v2/userGroup2/join", params={"externalId": of.name}, json=[item])
        assert answer.json()["failureCount"] == 0, answer.text

    async def leave(self, of: Family, external_id: str) -> None:
        """Let a customer leave a group, which emits an event; who leaves is known by external id."""
        state = await self._control("GET", f"/sandbox/state?group={of.name}")
        query = {"source": "INSTORE", "identifierName": "externalId", "identifierValue": external_id}
        answer = await self.sandbox.delete(f"/v2/userGroup2/{state['groups'][0]['id']}/leave", params=query)
        assert answer.status_code == 200, answer.text

    # Both.

    def newcomers(self, secondaries: int = 3, exited: int = 1) -> Family:
        """Make up a family that this town has not seen."""
        return family(next(self._numbers), secondaries, exited)

    async def settled(self, event_id: str, member: int) -> bool:
        """Say whether an event has arrived, and a member's adjustment by it is not due any more."""
        if event_id not in {event["event_id"] for event in await self.events()}:
            return False
        return (await self.owed(event_id)).get(member, ("due", None))[0] != "due"

    async def until(self, true: Callable[[], Awaitable[bool]]) -> None:
        """Wait until something is true."""
        try:
            async with asyncio.timeout(QUIET_S_MAX):
                while not await true():
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"not so after {QUIET_S_MAX:g} s: {true}") from None

    async def quiet(self, within_s: float = QUIET_S_MAX) -> None:
        """Wait until nothing is on its way: no call, no delivery, no pending event, and none began meanwhile."""
        waits: object = "nothing looked at yet"
        try:
            async with asyncio.timeout(within_s):
                while waits := await self.on_its_way():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"not quiet after {within_s:g} s: {waits}") from None

    async def on_its_way(self) -> Json:
        """Name what is on its way; nothing else is asked for then."""
        before = await self._control("GET", "/sandbox/calls?limit=1")
        if pending := await self.events(status="pending", limit=1):
            return {"pending": pending}
        flying = (await self._control("GET", "/sandbox/deliveries?limit=1"))["pending"]
        late = await self.events(status="pending", limit=1)
        after = await self._control("GET", "/sandbox/calls?limit=1")
        waits = {"pending": late, "deliveries": flying, "calls": after["running"]}
        if any(waits.values()):
            return waits
        return {"calls meanwhile": after["total"] - before["total"]} if before["total"] != after["total"] else {}

    def tier_event(
        self,
        primary: int,
        tier: int,
        name: str = "tierUpgraded",
        created_at: int | None = None,
        event_id: str | None = None,
        expiry: str = "2031-03-31",
    ) -> Json:
        """Build the body of a tier event of the default programme. Without more, each is newer than the one before."""
        number = next(self._numbers)
        field_name = {"tierUpgraded": "upgraded", "tierDowngraded": "downgraded", "tierRenewed": "current"}[name]
        return {
            "eventName": name,
            "eventId": event_id or f"journey-{number}",
            "orgId": ORG,
            "createdAt": 1_760_000_000_000 + number if created_at is None else created_at,
            "data": {
                "customerIdentifiers": {"customerId": primary},
                "loyaltyProgramDetails": {"id": PROGRAM, "tiers": tier_list(TIERS)},
                "loyaltyProgramId": PROGRAM,
                f"{field_name}TierNumber": tier,
                "tierExpiryDate": expiry,
            },
        }

    async def replay(self, *arguments: str, **environment: str) -> Json:
        """Run `tiersync replay --json`, as an operator does beside the service or without it."""
        return dict(json.loads(await self.command("replay", "--json", *arguments, **environment)))

    async def json(self, *arguments: str) -> Any:
        """Run a verb with `--json`; returns what it says."""
        return json.loads(await self.command(*arguments, "--json"))

    async def command(self, *arguments: str, **environment: str) -> str:
        """Run a verb of `tiersync` on this store; returns what it says on stdout."""
        code, said, complained = await self._run(arguments, environment)
        assert code == 0, complained
        return said

    async def failing(self, *arguments: str, **environment: str) -> tuple[str, str]:
        """Run a verb that does not end well; returns what it says on stdout and on stderr."""
        code, said, complained = await self._run(arguments, environment)
        assert code in {1, 2}, said
        return said, complained

    async def _run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tiersync", *arguments,
            env={**os.environ, "TIERSYNC_DATABASE_URL": self.database_url, **environment},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(QUIET_S_MAX):
            said, complained = await process.communicate()
        return process.returncode, said.decode(), complained.decode()

    async def _control(self, method: str, path: str, body: object = None) -> Json:
        answer = await self.sandbox.request(method, path, json=body)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        return dict(answer.json())


def tier_list(names: Sequence[str]) -> list[Json]:
    """List tiers as events do, the lowest first."""
    return [{"tierNumber": number, "tierName": name} for number, name in enumerate(names, start=1)]


@asynccontextmanager
async def town(
    database: Path | str, *, started: bool = True, sandbox: Mapping[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Town]:
    """Found a town: a sandbox with nothing but the programme 973, and a service on an empty store.

    The store is a file in a folder, or the database of an address.
    """
    url = f"sqlite:///{database / 'town.db'}" if isinstance(database, Path) else database
    port, at = free_port(), listening()
    here = f"http://127.0.0.1:{at.getsockname()[1]}"
    chosen = SandboxSettings(
        webhook_url=f"http://127.0.0.1:{port}/webhooks/capillary",
        webhook_secret=SECRET,
        retry_base_ms=20,
        retry_max_ms=100,
        org_id=ORG,
        **(sandbox or {}),
    )
    values = {**FAST, **LOGIN, "capillary_url": here, "webhook_secrets": [SECRET], "operator_token": TOKEN, **settings}
    login = {"Authorization": basic(chosen.username, chosen.password).decode()}
    async with (
        serving(build(chosen), at),
        httpx.AsyncClient(base_url=here, headers=login, timeout=30, trust_env=False) as to_sandbox,
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=30,
            trust_env=False,
        ) as to_service,
    ):
        found = Town(to_sandbox, to_service, url, values, port)
        await found.clear()
        try:
            if started:
                await found.start()
            yield found
        finally:
            await found.stop()
