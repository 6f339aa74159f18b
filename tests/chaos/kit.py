"""What the chaos stands on: a town whose services are other processes, that can be killed and started again."""

import asyncio
import atexit
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from tests.chaos.fence import Fence
from tests.chaos.proxy import Proxy, line
from tests.contract.store_kit import Hand
from tests.journey.kit import TOKEN, Json, Town, town
from tests.ports import free_port
from tests.postgres import Postgres
from tiersync.store import database, open_store

LIFE_S_MAX: Final = 60.0
QUIET_S_MAX: Final = 90.0
SEED: Final = int(os.environ.get("TIERSYNC_CHAOS_SEED", "20261122"))
LONG: Final = os.environ.get("TIERSYNC_CHAOS") == "long"

EMPTIED: Final = ("adjustments", "events", "syncs", "jobs", "orgs", "slices", "budgets")

Rows = list[tuple[Any, ...]]
Ask = Callable[..., Rows]
"""Carries out SQL statements, and returns the rows of the last one."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Nursery:
    """The line to whoever forks a process for each order: `child.care`."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def order(self, order: Json) -> None:
        """Have an order carried out; pid and exit status are said when there is one."""
        self.writer.write(json.dumps(order).encode() + b"\n")

    async def said(self) -> int:
        """Hear the next number."""
        return int(await self.reader.readline())


@dataclass(slots=True)
class Replica:
    """One service at a time, in a process of its own. `settings` are what it is told besides its port."""

    nursery: Nursery
    settings: Json
    port: int
    log: Path
    order: Json = field(default_factory=dict)
    pid: int | None = None
    over: asyncio.Task[int] | None = None

    async def begin(self, **order: Any) -> None:
        """Start it; ready when it listens, or when it ended before. `order` is what `child.Steps` reads."""
        over = await self.give(order)
        async with asyncio.timeout(LIFE_S_MAX):
            while not over.done():
                with suppress(OSError):  # it listens when everything else is there
                    _, there = await asyncio.open_connection("127.0.0.1", self.port)
                    there.close()
                    return
                await asyncio.sleep(0.005)

    async def begin_again(self, **order: Any) -> None:
        """Start it unless it is there."""
        if not self.lives:
            await self.begin(**order)

    async def give(self, order: Json) -> "asyncio.Task[int]":
        """Have an order carried out by a new process; it is over with its exit status."""
        told = {**self.settings, "port": self.port, **order.pop("settings", {})}
        self.order = {"settings": told, "log": str(self.log), **order}
        self.nursery.order(self.order)
        self.pid = await self.nursery.said()
        self.over = asyncio.create_task(self.nursery.said())
        return self.over

    @property
    def lives(self) -> bool:
        """Say whether a process is there."""
        return self.over is not None and not self.over.done()

    async def stopped(self) -> bool:
        """Say whether it was stopped, and not continued since."""
        return self.lives and Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is there."""
        if self.lives and self.pid is not None:
            with suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(self.pid, number)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal, unless it has ended; returns its exit status, 0 if there was none since the last end."""
        if self.over is None:
            return 0
        self.send(number)
        async with asyncio.timeout(LIFE_S_MAX):
            status, self.over = await self.over, None
        return status


@dataclass(frozen=True, slots=True)
class Lines:
    """The disturbable lines of one replica: to Capillary, and to its database if that is across a network."""

    api: Proxy
    database: Proxy | None


@dataclass(slots=True)
class City:
    """A sandbox in this process, and services in processes of their own; what is asked of one is asked of the first.

    `command` is whoever works beside them on the same store.
    `lines` stand between each of them and what it talks to, `sender` between Capillary and all of them; both only in a
    city that was founded with lines. With a `hand` work can be left in the store before a service begins.
    """

    town: Town
    folder: Path
    replicas: list[Replica]
    command: Replica
    ask: Ask
    lines: list[Lines] = field(default_factory=list)
    sender: Proxy | None = None
    fence: Fence | None = None
    hand: Hand | None = None

    async def clear(self) -> None:
        """Empty the sandbox and the store, which nobody works on: also of the calls that were leased lately."""
        await self.town.clear()
        await self.rows(*(f"DELETE FROM {table}" for table in EMPTIED))  # noqa: S608 - no name comes from outside

    async def begin(self, **order: Any) -> None:
        """Start the service."""
        await self.replicas[0].begin(**order)

    async def run(self, command: Json, **order: Any) -> int:
        """Run a command beside the service or without it (`child.carry_out`); returns its exit status."""
        over = await self.command.give({"command": command, **order})
        async with asyncio.timeout(LIFE_S_MAX):
            return await over

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End every service that is there; returns the first one's exit status."""
        first, *_ = [await replica.end(number) for replica in (*self.replicas, self.command)]
        return first

    async def quiet_or_dead(self) -> bool:
        """Wait until nothing is on its way or the service has ended; say whether it has ended."""
        over = self.replicas[0].over
        assert over is not None
        quiet = asyncio.create_task(self.town.quiet(QUIET_S_MAX))
        await asyncio.wait({quiet, over}, return_when=asyncio.FIRST_COMPLETED)
        if not quiet.done():
            quiet.cancel()
        with suppress(asyncio.CancelledError, httpx.TransportError):
            await quiet
            return False
        async with asyncio.timeout(LIFE_S_MAX):
            await over
        return True

    async def lost(self) -> set[str]:
        """Tell the events that were answered 200 and are not in the store."""
        answer = await self.town.sandbox.get("/sandbox/deliveries", params={"limit": 100_000})
        answered = {
            delivery["eventId"]
            for delivery in answer.json()["deliveries"]
            if any(attempt["status"] == 200 for attempt in delivery["attempts"])
        }
        return answered - {row[0] for row in await self.rows("SELECT event_id FROM events")}

    @staticmethod
    def passed(points: Path) -> dict[str, int]:
        """Tell how often each point was passed by a life that was to write it down."""
        return dict(json.loads(points.read_text()))

    async def rows(self, *statements: str) -> Rows:
        """Carry out SQL statements behind the service's back; returns the rows of the last one."""
        return await asyncio.to_thread(self.ask, *statements)  # this loop is also Capillary's, and that of the lines

    async def unfinished(self) -> dict[str, int]:
        """Count what is not finished in the store; all zero once everything has come to rest."""
        questions = {
            "pending events": "SELECT count(*) FROM events WHERE status = 'pending'",
            "due adjustments": "SELECT count(*) FROM adjustments WHERE status = 'due'",
            "dead adjustments": "SELECT count(*) FROM adjustments WHERE status = 'dead'",
            "due or held keys": "SELECT count(*) FROM syncs WHERE due_at IS NOT NULL OR owner IS NOT NULL",
        }
        [counts] = await self.rows(f"SELECT {', '.join(f'({question})' for question in questions.values())}")
        return dict(zip(questions, counts, strict=True))

    async def differing(self) -> list[Json]:
        """List the secondaries that are not in their primary's tier."""
        return list((await self.town.sandbox.get("/sandbox/converged")).json()["differing"])

    def logged(self, event: str) -> bool:
        """Say whether a life wrote this event into its log."""
        return any(f'"{event}"' in replica.log.read_text() for replica in self.replicas if replica.log.exists())

    def tail(self) -> str:
        """Return what a failure needs to be repeated and understood."""
        told = []
        for replica in (*self.replicas, self.command):
            if not replica.order:
                continue
            log = replica.log.read_text().splitlines()[-30:] if replica.log.exists() else []
            told += [f"order: {json.dumps(replica.order)}", *log]
        return "\n".join(told)


async def side_by_side(cities: Sequence[City], things: Iterable[T], do: Callable[[City, T], Awaitable[None]]) -> None:
    """Do something with each thing in one of the cities, in each city with one at a time."""
    left = iter(things)

    async def work_in(here: City) -> None:
        for thing in left:
            await do(here, thing)

    try:
        async with asyncio.TaskGroup() as going_on:
            for here in cities:
                going_on.create_task(work_in(here))
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


async def lend_a_hand(here: City, stack: AsyncExitStack) -> City:
    """Let a city have a hand for as long as the stack lasts."""
    here.hand = Hand(await stack.enter_async_context(open_store(database.address(here.town.database_url))))
    return here


@asynccontextmanager
async def city(folder: Path, postgres: Postgres | None = None, **settings: Any) -> AsyncIterator[City]:
    """Found a city with one service, not started as yet. Its store is a file in the folder, or a fresh database."""
    async with AsyncExitStack() as stack:
        url, ask = await _store(folder, postgres, stack)
        here = await stack.enter_async_context(town(url, started=False, **settings))
        command = await _command(stack, here, folder)
        service = Replica(await _nursery(stack), command.settings, here.port, folder / "service.log")
        found = City(here, folder, [service], command, ask)
        stack.push_async_callback(found.end, signal.SIGKILL)
        yield found


@asynccontextmanager
async def city_with_lines(
    folder: Path, postgres: Postgres | None = None, *, replicas: int = 1, database_too: bool = False, **settings: Any
) -> AsyncIterator[City]:
    """Found a city whose connections cross lines that can be disturbed; on PostgreSQL with several replicas.

    Those to the database cross one if it is to be disturbed too: it costs whoever makes many statements.
    """
    async with AsyncExitStack() as stack:
        url, ask = await _store(folder, postgres, stack)
        here = await stack.enter_async_context(town(url, started=False, **settings))
        ports = [free_port() for _ in range(replicas)]
        found = City(here, folder, [], await _command(stack, here, folder), ask)
        found.sender = await stack.enter_async_context(line(*(("127.0.0.1", port) for port in ports), port=here.port))
        if postgres is not None:
            found.fence = Fence(here.database_url)
            stack.push_async_callback(found.fence.close)
        for number, port in enumerate(ports, start=1):
            replica = Replica(await _nursery(stack), {}, port, folder / f"service-{number}.log")
            lines = await _lines(stack, here, replica, found.fence, postgres if database_too else None)
            replica.settings = {
                **here.settings,
                "capillary_url": f"http://127.0.0.1:{lines.api.port}",
                "database_url": _through(lines.database, here.database_url),
            }
            found.replicas.append(replica)
            found.lines.append(lines)
        stack.push_async_callback(found.end, signal.SIGKILL)
        yield found


async def _command(stack: AsyncExitStack, here: Town, folder: Path) -> Replica:
    settings = {**here.settings, "database_url": here.database_url}
    return Replica(await _nursery(stack), settings, here.port, folder / "command.log")


async def _lines(
    stack: AsyncExitStack, here: Town, replica: Replica, fence: Fence | None, postgres: Postgres | None
) -> Lines:
    async def heard(piece: bytes) -> None:
        if fence is not None and replica.pid is not None:
            await fence.heard(piece, replica.pid)

    capillary = httpx.URL(here.settings["capillary_url"])
    assert capillary.port is not None
    api = await stack.enter_async_context(line((capillary.host, capillary.port), heard=heard, forgets=True))
    if postgres is None:
        return Lines(api, None)
    return Lines(api, await stack.enter_async_context(line(("127.0.0.1", postgres.port))))


def _through(proxy: Proxy | None, url: str) -> str:
    if proxy is None:
        return url
    before, _, after = url.partition("@127.0.0.1:")
    return f"{before}@127.0.0.1:{proxy.port}/{after.partition('/')[2]}"


async def _store(folder: Path, postgres: Postgres | None, stack: AsyncExitStack) -> tuple[Path | str, Ask]:
    """Make an empty store, and find a way to ask it behind the service's back."""
    folder.mkdir(exist_ok=True)
    place: Path | str = folder if postgres is None else stack.enter_context(postgres.fresh())

    def ask_file(*statements: str) -> Rows:
        with closing(sqlite3.connect(folder / "town.db")) as connection, connection:
            return [connection.execute(statement).fetchall() for statement in statements][-1]

    def ask_server(*statements: str) -> Rows:
        assert postgres is not None
        return [tuple(row) for row in postgres.execute(*statements, database=str(place).rpartition("/")[2])]

    url = f"sqlite:///{folder / 'town.db'}" if postgres is None else str(place)
    async with open_store(database.address(url), migrate=True):
        return place, ask_file if postgres is None else ask_server


async def _nursery(stack: AsyncExitStack) -> Nursery:
    """Have a nursery of one's own."""
    async with asyncio.timeout(LIFE_S_MAX):
        while True:
            with suppress(OSError):  # it is still growing up
                reader, writer = await asyncio.open_unix_connection(_nurseries())
                break
            await asyncio.sleep(0.02)

    async def leave() -> None:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    stack.push_async_callback(leave)
    return Nursery(reader, writer)


@cache
def _nurseries() -> Path:
    """Have the mother of all nurseries of this process; she ends with it. Her address must be short."""
    folder = Path(tempfile.mkdtemp(prefix="tiersync-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    address = folder / "nursery"
    mother = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.child", address, TOKEN], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    atexit.register(mother.wait)
    atexit.register(mother.kill)
    return address
