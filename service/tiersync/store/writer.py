"""One group-commit writer: what is asked for while a commit runs goes into the next one.

Each operation is a verb with its item. A batch runs its verbs in a fixed order in one transaction and nobody hears of
a result before the commit is on disk. If a batch fails, its items are tried one by one, so that one bad item never
harms its neighbours.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tiersync.errors import StoreUnavailable
from tiersync.store.database import Database
from tiersync.store.locking import lock_ahead
from tiersync.store.postgresql import is_conflict, is_unavailable

Apply = Callable[[Connection, Sequence[Any]], Sequence[Any]]
"""Carries out one verb for many items inside a transaction; answers one result per item, in order."""

Step = Callable[[str], None]
"""Told the name of each point that the work passes; the chaos tests kill the process at one of them."""

Timed = Callable[[int], AbstractContextManager[None]]
"""Surrounds each commit of so many operations; the metrics measure it."""


def untimed(_operations: int) -> AbstractContextManager[None]:
    """Measure nothing."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Commits:
    """How much goes into one commit: operations, and the seconds for which it waits while more of them come."""

    batch_max: int = 512
    gather_s_max: float = 0.02


class Writer:
    """Owns the only writing connection of this process."""

    def __init__(
        self, database: Database, verbs: Mapping[str, Apply], commits: Commits, step: Step, timed: Timed
    ) -> None:
        """`verbs` in the order in which they run within a batch."""
        self._database, self._verbs, self._commits = database, verbs, commits
        self._step, self._timed = step, timed
        self._waiting: list[tuple[str, Any, asyncio.Future[Any]]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many operations wait for the next commit."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin to commit."""
        self._task = asyncio.create_task(self._run(), name="store-writer")

    async def stop(self) -> None:
        """Commit what is waiting, then end."""
        if self._task is not None:
            self._wake.set()
            task, self._task = self._task, None
            await task

    def submit(self, verb: str, item: Any) -> asyncio.Future[Any]:
        """Run `verb` on `item`; the result is there once it is committed.

        What is submitted before other work is committed with it or earlier. Raises `StoreUnavailable` if the database
        cannot be written. Cancelling the caller does not undo the operation.
        """
        if self._task is None:
            raise StoreUnavailable("the store is closed")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((verb, item, future))
        self._wake.set()
        return future

    async def _run(self) -> None:
        while self._task is not None or self._waiting:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._gather()
            batch, self._waiting = self._waiting[: self._commits.batch_max], self._waiting[self._commits.batch_max :]
            await self._commit(batch)

    async def _gather(self) -> None:
        """Let whoever is about to ask do so: while each round of the loop brings more, the commit is worth waiting."""
        loop = asyncio.get_running_loop()
        seen, until = 0, loop.time() + self._commits.gather_s_max
        while seen < len(self._waiting) < self._commits.batch_max and loop.time() < until:
            seen = len(self._waiting)
            await asyncio.sleep(0)

    async def _commit(self, batch: list[tuple[str, Any, asyncio.Future[Any]]]) -> None:
        by_verb: dict[str, list[tuple[Any, asyncio.Future[Any]]]] = defaultdict(list)
        for verb, item, future in batch:
            by_verb[verb].append((item, future))
        names = "+".join(verb for verb in self._verbs if verb in by_verb)
        try:
            with self._timed(len(batch)):
                results = await self._database.write(partial(self._apply, names, by_verb))
            self._step(f"after commit: {names}")
        except Exception as error:  # noqa: BLE001 - whatever it is must reach the callers, not end the writer
            if _is_of_the_database(error) or (len(batch) == 1 and is_conflict(error)):
                self._fail(batch, StoreUnavailable(f"the database cannot be written: {_first_line(error)}"))
            else:
                await self._one_by_one(batch, error)
        else:
            for verb, entries in by_verb.items():
                for (_, future), result in zip(entries, results[verb], strict=False):
                    if not future.done():
                        future.set_result(result)

    def _apply(
        self, names: str, by_verb: Mapping[str, Sequence[tuple[Any, asyncio.Future[Any]]]], connection: Connection
    ) -> dict[str, Sequence[Any]]:
        lock_ahead(connection, {verb: [item for item, _ in entries] for verb, entries in by_verb.items()})
        results = {
            verb: apply(connection, [item for item, _ in by_verb[verb]])
            for verb, apply in self._verbs.items()
            if verb in by_verb
        }
        self._step(f"before commit: {names}")
        return results

    async def _one_by_one(self, batch: list[tuple[str, Any, asyncio.Future[Any]]], error: Exception) -> None:
        if len(batch) == 1:
            self._fail(batch, error)
            return
        for operation in batch:
            await self._commit([operation])

    @staticmethod
    def _fail(batch: list[tuple[str, Any, asyncio.Future[Any]]], error: Exception) -> None:
        for _, _, future in batch:
            if not future.done():
                future.set_exception(error)


def _is_of_the_database(error: Exception) -> bool:
    """Tell a database that cannot be written (full, locked, damaged, gone) from an item that it does not accept."""
    # SQLite calls a damaged file a plain DatabaseError, and nothing else that.
    if isinstance(error, (OperationalError, InterfaceError, InternalError, OSError, PoolTimeout)):
        return True
    return type(error) is DatabaseError or (isinstance(error, DBAPIError) and is_unavailable(error))


def _first_line(error: BaseException) -> str:
    """The driver's own words without the statement and its parameters, which may hold a body."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return str(cause).splitlines()[0] if str(cause) else type(cause).__name__
