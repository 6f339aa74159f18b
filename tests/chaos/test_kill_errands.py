"""SIGKILL at every named point of replays, purges, reconciles, imports, joins and leaves, on both databases.

A reference life tells which points there are. An errand is done by a command, which is killed alone or beside the
service, or by the service; on PostgreSQL also with a replica beside the one that is killed. The short form kills each
errand at a seeded sample of the points that are its own. `TIERSYNC_CHAOS=long` kills it twice at every point: at its
first and at its last passing, alone and beside somebody.
"""

import asyncio
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.chaos.errands import ERRANDS
from tests.chaos.judge import wrongs
from tests.chaos.kit import LONG, QUIET_S_MAX, SEED, City, city, city_with_lines, lend_a_hand, side_by_side
from tests.chaos.progress import Progress
from tests.chaos.stage import Stage
from tests.journey.kit import PROGRAM
from tests.postgres import Postgres

SAMPLE: Final = 2
SAMPLE_ON_POSTGRESQL: Final = 1
CITIES: Final = 4
CALLS_MAX: Final = 150
MINUTE_S: Final = 2.0
TROUBLES: Final = {"applied_then_timeout": {"share": 0.2, "seed": 1, "hold_ms": 5}, "locked": {"share": 0.2, "seed": 2}}
SETTINGS: Final[dict[str, Any]] = {
    "default_program": PROGRAM, "burst_tries_max": 1, "calls_per_minute_max": CALLS_MAX,
    # Who died is replaced when its lease has ended.
    "call_s_max": 1.5, "connect_s_max": 1.5, "attempt_s_max": 1.5, "lease_s": 3, "sweep_s": 0.2,
}  # fmt: skip
ORDER: Final = {"minute_s": MINUTE_S, "step_max": 2}
KILLED: Final = -9


@dataclass(frozen=True, slots=True)
class Death:
    """One death: of whom, beside whom, at which passing of which point. Without a `point` nobody dies."""

    errand: str
    by: str
    beside: bool = False
    point: str | None = None
    passing: int = 0


@dataclass(slots=True)
class Happening:
    """An errand that is being done in a city, whoever dies."""

    here: City
    stage: Stage
    death: Death
    points: Path | None = None

    @property
    def _died(self) -> Path:
        return self.here.folder / "died"

    def _order(self, by: str) -> dict[str, Any]:
        """What a process is told that is to die, or to write down its points, or neither."""
        order: dict[str, Any] = {**ORDER, "settings": self.stage.settings}
        if by != self.death.by:
            return order
        if self.points is not None:
            return {**order, "points": str(self.points)}
        return {**order, "kill": [self.death.point, self.death.passing], "once": str(self._died)}

    async def take_place(self) -> bool:
        """Have it done to its end; say whether anybody was killed."""
        self._died.unlink(missing_ok=True)
        async with asyncio.timeout(QUIET_S_MAX):
            if self.death.by == "command":
                await self._by_command()
            else:
                await self._by_service()
        return self._died.exists()

    async def _by_command(self) -> None:
        here, command = self.here, self.stage.command
        assert command is not None
        if self.death.beside:
            await self._begin_all()
        status = await here.run(command, **self._order("command"))
        assert (KILLED if self._died.exists() else 0) == status
        if self._died.exists() and (self.stage.repeats or len(await self._on_record()) < self.stage.jobs):
            assert 0 == await here.run(command, **self._order("nobody"))
        async with asyncio.TaskGroup() as going_on:
            guard = going_on.create_task(self._keep_one_alive())
            await self._until_over()
            guard.cancel()

    async def _by_service(self) -> None:
        if self.stage.command is not None:
            assert 0 == await self.here.run({**self.stage.command, "background": True}, **self._order("nobody"))
        await self._begin_all()
        async with asyncio.TaskGroup() as going_on:
            guard = going_on.create_task(self._keep_one_alive())
            await self.stage.happen()
            await self._until_over()
            guard.cancel()

    async def _begin_all(self) -> None:
        for replica in self.here.replicas[: None if self.death.beside else 1]:
            await replica.begin(**self._order("service"))

    async def _keep_one_alive(self) -> None:
        """Start a service when there is none; whoever has ended must have been killed."""
        order = self._order("nobody")
        while True:
            ended = [each.over.result() for each in self.here.replicas if each.over is not None and each.over.done()]
            assert set(ended) <= {KILLED}, "it ended by something else than its own SIGKILL"
            if not any(replica.lives for replica in self.here.replicas):
                await self.here.replicas[0].begin(**order)
            await asyncio.sleep(0.02)

    async def _until_over(self) -> None:
        town = self.here.town
        while True:
            with suppress(httpx.TransportError):  # whoever was asked has just died
                jobs = [job["status"] for job in (await town.service.get("/api/jobs")).json()["jobs"]]
                if "running" not in jobs and len(jobs) >= self.stage.jobs and not await town.on_its_way():
                    return
            await asyncio.sleep(0.03)

    async def _on_record(self) -> Sequence[object]:
        return await self.here.rows("SELECT id FROM jobs")


async def is_done(here: City, death: Death, points: Path | None = None) -> bool:
    """Set the stage, have the errand done in spite of a death, and see that all is well; say whether it was reached."""
    try:
        await here.clear()
        stage = await ERRANDS[death.errand].stage(here)
        if death.errand != "leave":
            await here.town.switch(adjust=TROUBLES)
        killed = await Happening(here, stage, death, points).take_place()
        wrong = await wrongs(here, stage.may_be_touched, CALLS_MAX, MINUTE_S) + await stage.wrongs()
        if points is not None:
            await here.end()
        assert [] == wrong
    except BaseException as error:
        error.add_note(f"seed {SEED}, {death}\n{here.tail()}")
        raise
    finally:
        await here.end(signal.SIGKILL)
    return killed


async def deaths(cities: Sequence[City], *, shared: bool) -> list[Death]:
    """Choose where to kill: in the long form at each point that an errand passes, alone and beside somebody."""
    lives = [Death(name, by) for name, errand in ERRANDS.items() for by in errand.by]
    passed = dict[Death, dict[str, int]]()

    async def live(here: City, life: Death) -> None:
        points = here.folder / "points.json"
        await is_done(here, life, points)
        passed[life] = here.passed(points)

    await side_by_side(cities, lives, live)
    dice, chosen = random.Random(SEED), list[Death]()  # noqa: S311 - repeatable
    for life in lives:
        beside = cycle((False, shared or life.by == "command"))  # a file has one service
        every = [Death(life.errand, life.by, next(beside), *where) for where in ends(passed[life])]
        own = [*filter(is_own, every)]
        assert own, f"{life} passes none of its own points"
        sure = [death for death in own if death.passing == 1]  # a last passing may not be come to again
        chosen += every if LONG else dice.sample(sure, SAMPLE_ON_POSTGRESQL if shared else SAMPLE)
    return chosen


def ends(passed: dict[str, int]) -> Iterator[tuple[str, int]]:
    """The first and the last passing of each point, in turns which of them comes first."""
    for number, (point, count) in enumerate(sorted(passed.items())):
        yield from [(point, 1), (point, count)][:: -1 if number % 2 else 1]


async def killed_everywhere(cities: Sequence[City], *, shared: bool) -> None:
    """Die at all the chosen points, in several cities at once."""
    chosen = await deaths(cities, shared=shared)
    told, reached = Progress(f"errands on {'PostgreSQL' if shared else 'SQLite'}", len(chosen)), set[Death]()

    async def die(here: City, death: Death) -> None:
        if await is_done(here, death):
            reached.add(death)
        told.one_more()

    await side_by_side(cities, chosen, die)

    # In the long form each point was come to, at its first passing or at its last.
    wanted, found = (
        {(death.errand, death.by, death.point if LONG else None) for death in some if is_own(death)}
        for some in (chosen, reached)
    )
    assert set() == wanted - found, "never reached"


def is_own(death: Death) -> bool:
    """Say whether the point is one of the errand's own."""
    return death.point in ERRANDS[death.errand].points


def _cities(folder: Path, postgres: Postgres | None) -> Iterator[Any]:
    for number in range(CITIES):
        if postgres is None:
            yield city(folder / f"city-{number}", **SETTINGS)
        else:
            yield city_with_lines(folder / f"city-{number}", postgres, replicas=2, **SETTINGS)


@pytest.mark.slow
@pytest.mark.timeout(3600 if LONG else 300)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_every_errand_is_done_whoever_dies(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Nothing is replayed twice or gone that was needed; reports add up; every file is taken; all are in step."""
    postgres = request.getfixturevalue("own_postgres") if kind == "postgresql" else None
    async with AsyncExitStack() as stack:
        founded = [await stack.enter_async_context(each) for each in _cities(tmp_path, postgres)]
        cities = [await lend_a_hand(here, stack) for here in founded]
        await killed_everywhere(cities, shared=postgres is not None)
