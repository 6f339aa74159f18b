"""The service of one simulated process: the real receiver, store verbs, engine, worker and client on virtual time.

Only the edges are replaced: the clock, the dice, the HTTP transport, and the threads of the database. Its tables are
real, in SQLite's memory; a transaction is atomic there as it is on disk, takes a drawn while, and may be committed
without that its process hears of it.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, StaticPool, create_engine, event
from sqlalchemy.exc import OperationalError
from starlette.requests import Request

from tests.simulation.capillary import PROGRAM
from tests.simulation.capillary import Capillary as World
from tests.simulation.loop import Process, SimulatedLoop
from tiersync.capillary import Basic, Breaks, Capillary, Gate, Limits
from tiersync.engine import WorkQueue
from tiersync.fanout import Policy
from tiersync.intake import ANY_ORG
from tiersync.receiver import Limits as ReceiverLimits
from tiersync.receiver import Receiver, Secrets
from tiersync.retry import Schedule
from tiersync.store import Commits, Store
from tiersync.store.tables import metadata
from tiersync.telemetry import Traces
from tiersync.turn import Org
from tiersync.worker import Limits as WorkerLimits
from tiersync.worker import Worker

EPOCH_MS: Final = 1_760_000_000_000
SECRET: Final = b"simulated"
LEASE_S: Final = 12.0
TURN_S_MAX: Final = 20.0
ATTEMPT_S_MAX: Final = 2.0
ATTEMPTS_MAX: Final = 60

_AWAY: Final = OperationalError("", None, Exception("the database is away"))

T = TypeVar("T")


def tables() -> Engine:
    """Make an empty store in memory; `emptied` empties it for the next history."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys=ON")

    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    metadata.create_all(engine)
    return engine


def emptied(engine: Engine) -> Engine:
    """Forget everything that a history wrote."""
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    return engine


class Database:
    """What `store.database.Database` promises, without threads."""

    def __init__(self, engine: Engine, dice: random.Random, away: Callable[[], bool]) -> None:
        """While the database is `away`, whoever writes is told so, before the commit or after it."""
        self._engine, self._dice, self._away = engine, dice, away

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Commit at one instant, somewhere within a drawn while."""
        await self._while()
        if self._away() and self._dice.random() < 0.5:
            raise _AWAY
        with self._engine.begin() as connection:
            result = work(connection)
        await self._while()
        if self._away():
            raise _AWAY
        return result

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Read what is committed at one instant."""
        return await self.write(work)

    async def close(self) -> None:
        """Nothing to close."""

    async def _while(self) -> None:
        if (seconds := self._dice.choice((0.0, 0.0, 0.001, 0.01, 0.03))) > 0:
            await asyncio.sleep(seconds)


class Plant:
    """One process, from its start to its end."""

    def __init__(
        self,
        process: Process,
        loop: SimulatedLoop,
        database: Database,
        world: World,
        dice: random.Random,
        calls_per_minute_max: int,
    ) -> None:
        """Put the parts together as `app` does."""
        self.process, self._loop = process, loop
        self._beside: list[asyncio.Task[None]] = []
        policy = Policy(default_program=PROGRAM)
        self.store = Store(database, Commits(64), lambda _: None)  # type: ignore[arg-type]
        client = Capillary(
            url="http://capillary",
            source="INSTORE",
            transport=world,
            auth=Basic("till", "password"),
            gate=Gate(
                concurrent_max=8,
                per_minute_max=calls_per_minute_max,
                now=loop.time,
                sleep=asyncio.sleep,
                budget=self.store.budget(ANY_ORG, calls_per_minute_max, self._now),
            ),
            limits=Limits(0.5, ATTEMPT_S_MAX, 3, Breaks(5, 0.5, 2, ATTEMPT_S_MAX)),
            now=loop.time,
            sleep=asyncio.sleep,
            observe=lambda *_: None,
        )
        self._worker = Worker(
            store=self.store,
            orgs={ANY_ORG: Org(client, policy, ATTEMPT_S_MAX, 1000)},
            schedule=Schedule(delays_s=(0.5, 1, 2, 4), attempts_max=ATTEMPTS_MAX, delay_s_max=8),
            limits=WorkerLimits(LEASE_S, 3, 4, 4, 3, 0.25, TURN_S_MAX),
            owner=process.name,
            now=self._now,
            monotonic=loop.time,
            dice=dice.random,
            settled=lambda *_: None,
            traces=Traces(),
            step=lambda _: None,
        )
        self.queue = WorkQueue(
            work=self._worker.turn,
            sweep=self.store.sweep,
            now=self._now,
            waiting_max=100,
            concurrent_max=4,
            sweep_s=1.0,
        )
        self._receiver = Receiver(
            store=self.store,
            secrets=Secrets("x-secret", [SECRET], [], 300),
            orgs={ANY_ORG: policy},
            limits=ReceiverLimits(100_000, 5, 100, 1),
            now=self._now,
            monotonic=loop.time,
            wake=self.queue.wake,
            answered=lambda *_: None,
            traces=Traces(),
        )

    def _now(self) -> int:
        return EPOCH_MS + int(1000 * self._loop.time())

    async def start(self, *, alone: bool) -> None:
        """Begin to work; `alone` on its tables, it may take back what its former life held."""
        self.store.writer.start()
        if alone:
            await self.store.reclaim(self._now())
        for work in (self._worker.keep_leases(asyncio.sleep), self._worker.settle_late(asyncio.sleep)):
            self._beside.append(asyncio.create_task(work))
        self.queue.start()

    async def deliver(self, body: bytes) -> int:
        """Take one webhook; returns the HTTP status of the answer."""

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": body, "more_body": False}

        headers = [(b"x-secret", SECRET), (b"content-length", str(len(body)).encode())]
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/webhooks/capillary",
            "headers": headers,
            "query_string": b"",
        }
        response = await self._receiver.answer(Request(scope, receive))
        return response.status_code
