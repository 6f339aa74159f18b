"""What the chaos stands on: a town whose service is another process, that can be killed and started again."""

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from tests.journey.kit import Json, Town, town

LIFE_S_MAX: Final = 60.0


@dataclass(slots=True)
class City:
    """A sandbox in this process, and one service at a time in a process of its own."""

    town: Town
    folder: Path
    nursery: asyncio.subprocess.Process
    order: Json = field(default_factory=dict)
    pid: int | None = None
    over: asyncio.Task[int] | None = None

    async def begin(self, **order: Any) -> None:
        """Start a service; ready when it answers, or when it ended before. `order` is what `child.Steps` reads."""
        over = await self._give(order)
        async with asyncio.timeout(LIFE_S_MAX):
            while not over.done():
                with suppress(httpx.TransportError):
                    await self.town.service.get("/livez")
                    return
                await asyncio.sleep(0.01)

    async def replay(self, **order: Any) -> int:
        """Replay what is dead, in a process of its own; returns its exit status."""
        over = await self._give({"replay": True, **order})
        async with asyncio.timeout(LIFE_S_MAX):
            return await over

    async def _give(self, order: Json) -> "asyncio.Task[int]":
        chosen = {**self.town.settings, "database_url": self.town.database_url, "port": self.town.port}
        self.order = {"settings": chosen, "log": str(self.folder / "service.log"), **order}
        assert self.nursery.stdin is not None
        self.nursery.stdin.write(json.dumps(self.order).encode() + b"\n")
        self.pid = await self._said()
        self.over = asyncio.create_task(self._said())
        return self.over

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the service a signal, unless it has ended; returns its exit status, 0 if there never was one."""
        if self.over is None or self.pid is None:
            return 0
        if not self.over.done():
            os.kill(self.pid, number)
        async with asyncio.timeout(LIFE_S_MAX):
            return await self.over

    async def quiet_or_dead(self) -> bool:
        """Wait until nothing is on its way or the service has ended; say whether it has ended."""
        assert self.over is not None
        quiet = asyncio.create_task(self.town.quiet())
        await asyncio.wait({quiet, self.over}, return_when=asyncio.FIRST_COMPLETED)
        if not quiet.done():
            quiet.cancel()
        with suppress(asyncio.CancelledError, httpx.TransportError):
            await quiet
            return False
        async with asyncio.timeout(LIFE_S_MAX):
            await self.over
        return True

    async def lost(self) -> set[str]:
        """Tell the events that were answered 200 and are not in the store."""
        answer = await self.town.sandbox.get("/sandbox/deliveries", params={"limit": 100_000})
        answered = {
            delivery["eventId"]
            for delivery in answer.json()["deliveries"]
            if any(attempt["status"] == 200 for attempt in delivery["attempts"])
        }
        return answered - {row[0] for row in self.rows("SELECT event_id FROM events")}

    @staticmethod
    def passed(points: Path) -> dict[str, int]:
        """Tell how often each point was passed by a life that was to write it down."""
        return dict(json.loads(points.read_text()))

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the store file itself."""
        with closing(sqlite3.connect(self.town.database_url.removeprefix("sqlite:///"))) as connection:
            return connection.execute(statement).fetchall()

    def unfinished(self) -> dict[str, int]:
        """Count what is not finished in the store; all zero once everything has come to rest."""
        questions = {
            "pending events": "SELECT count(*) FROM events WHERE status = 'pending'",
            "due adjustments": "SELECT count(*) FROM adjustments WHERE status = 'due'",
            "dead adjustments": "SELECT count(*) FROM adjustments WHERE status = 'dead'",
            "due or held keys": "SELECT count(*) FROM syncs WHERE due_at IS NOT NULL OR owner IS NOT NULL",
        }
        return {name: self.rows(question)[0][0] for name, question in questions.items()}

    async def differing(self) -> list[Json]:
        """List the secondaries that are not in their primary's tier."""
        return list((await self.town.sandbox.get("/sandbox/converged")).json()["differing"])

    def logged(self, event: str) -> bool:
        """Say whether a life wrote this event into its log."""
        return f'"{event}"' in (self.folder / "service.log").read_text()

    def tail(self) -> str:
        """Return what a failure needs to be repeated and understood."""
        log = (self.folder / "service.log").read_text().splitlines()[-30:]
        return "\n".join([f"order: {json.dumps(self.order)}", *log])

    async def _said(self) -> int:
        assert self.nursery.stdout is not None
        return int(await self.nursery.stdout.readline())


@asynccontextmanager
async def city(folder: Path, **settings: Any) -> AsyncIterator[City]:
    """Found a city, without a service as yet."""
    nursery = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.chaos.child", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with town(folder, started=False, **settings) as found:
            built = City(found, folder, nursery)
            try:
                yield built
            finally:
                await built.end(signal.SIGKILL)
    finally:
        assert nursery.stdin is not None
        nursery.stdin.close()
        if nursery.returncode is None:
            nursery.kill()
        await nursery.wait()
