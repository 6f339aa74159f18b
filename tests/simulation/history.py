"""Histories: what happens when, drawn from a seed; playing one; and finding the smallest that still fails."""

import asyncio
import json
import random
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Engine, func, select

from tests.simulation.capillary import PROGRAM, TIERS, Capillary, Group, process_name
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.plant import EPOCH_MS, LEASE_S, Database, Plant, emptied
from tiersync.capillary.gate import MINUTE_S
from tiersync.errors import StoreUnavailable
from tiersync.store.tables import adjustments, events, syncs

QUIET_S_MAX: Final = 3600.0
CALLS_PER_MINUTE_MAX: Final = 20
NAMES: Final = {True: "tierUpgraded", False: "tierDowngraded", None: "tierRenewed"}


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happens `at` so many virtual seconds: its kind, to whom, and how much or how long."""

    at: float
    kind: str
    whom: int = 0
    much: float = 0.0


@dataclass(frozen=True, slots=True)
class History:
    """Everything that a run depends on: the same history runs the same way, always."""

    seed: int
    replicas: int
    happenings: tuple[Happening, ...]
    calls_per_minute_max: int = 0

    def __str__(self) -> str:
        """Show it as it can be played again."""
        lines = "".join(f"\n    {happening}," for happening in self.happenings)
        limit = f"calls_per_minute_max={self.calls_per_minute_max}"
        return f"History(seed={self.seed}, replicas={self.replicas}, {limit}, happenings=({lines}\n))"


def draw(seed: int) -> History:
    """Draw a history: two families, their tier changes in any order and number, and troubles."""
    dice = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    replicas = dice.choice((1, 1, 2))
    found = [Happening(0.0, "faults", much=dice.choice((0, 0, 3, 8, 15)))]
    for _ in range(dice.randint(1, 6)):
        at, family = round(dice.uniform(0, 4), 3), dice.choice((1, 2))
        kind = dice.choice(("tier", "tier", "tier", "tier", "renewal", "join", "leave"))
        found.append(Happening(at, kind, family, dice.randint(1, len(TIERS))))
    busy = [one.at for one in found]
    for _ in range(dice.choice((0, 1, 1, 2))):
        # In the midst of the work, which is over soon after something happened; or while it is taken up again.
        at, length = dice.choice(busy) + dice.uniform(0, 0.8), dice.choice((0.0, 0.3, 2.0, LEASE_S + 1, 3 * LEASE_S))
        busy.append(at + length)
        found.append(
            Happening(round(at, 3), dice.choice(("kill", "freeze", "outage")), dice.randrange(replicas), length)
        )
    limit = dice.choice((*[0] * 7, CALLS_PER_MINUTE_MAX))
    return History(seed, replicas, tuple(sorted(found, key=lambda one: one.at)), limit)


class Play:
    """One run of a history. `wrong` is what was not as promised."""

    def __init__(self, history: History, engine: Engine) -> None:
        """Found the world: two families of a primary, three secondaries and one who left long ago."""
        self.history, self.engine = history, engine
        self.wrong: list[str] = []
        self.loop = SimulatedLoop()
        self.dice = random.Random(self.history.seed)  # noqa: S311 - as above
        groups = {
            primary: Group(
                number, primary, {primary + 1: True, primary + 2: True, primary + 3: True, primary + 4: False}
            )
            for number, primary in ((1, 100), (2, 200))
        }
        tiers = {customer: 1 for group in groups.values() for customer in (group.primary, *group.members)}
        self.world = Capillary(self.loop, self.dice, groups, tiers, watch=self._watch)
        self.world.left_at = {primary + 4: -1000.0 for primary in groups}
        self.plants: dict[int, Plant] = {}
        self.lives = 0
        self.away_until = 0.0
        self.outside = copy_context()  # of no process
        self.disturbed = any(one.kind in {"kill", "freeze", "outage"} for one in self.history.happenings)
        self.answered: dict[str, bytes] = {}
        self.flying = 0

    def run(self) -> list[str]:
        """Play it to the end; returns what was wrong."""
        emptied(self.engine)
        random.seed(self.history.seed)  # tenacity draws its waits from there
        self.loop.set_exception_handler(self._complain)
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._play())
        except AssertionError as error:
            self.wrong.append(f"{type(error).__name__}: {error}")
        finally:
            self._bury()
            asyncio.set_event_loop(None)
            self.loop.close()
        return self.wrong

    def _complain(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        self.wrong.append(f"{context['message']}: {context.get('exception')!r}")

    def _bury(self) -> None:
        for task in self.loop.tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - the dead do not complain
            with suppress(RuntimeError):  # of one that waits again when it is told to end
                task.get_coro().close()

    async def _play(self) -> None:
        for number in range(self.history.replicas):
            self._start(number)
        for number, happening in enumerate(self.history.happenings):
            self.loop.call_later(happening.at, self._happen, number, happening)
        await asyncio.sleep(max(one.at for one in self.history.happenings) + 0.001)
        while not self._quiet():
            if self.loop.time() > QUIET_S_MAX:
                self.wrong.append(f"not quiet after {QUIET_S_MAX:g} s: {self._unfinished()}")
                break
            await asyncio.sleep(1.0)
        self._judge()

    def _start(self, number: int) -> None:
        self.lives += 1
        process = Process(f"replica {number}, life {self.lives}")
        context = process.context
        limit = self.history.calls_per_minute_max
        database = Database(self.engine, self.dice, self._database_is_away)
        plant = context.run(Plant, process, self.loop, database, self.world, self.dice, limit)
        self.plants[number] = plant
        self.loop.create_task(self._begin(number, plant), context=context)

    async def _begin(self, number: int, plant: Plant) -> None:
        try:
            await plant.start(alone=self.history.replicas == 1)
        except StoreUnavailable:  # it ends, and whoever supervises it starts it again
            plant.process.alive = False
            self.loop.call_later(1.0, self._start, number, context=self.outside)

    # What happens.

    def _happen(self, number: int, happening: Happening) -> None:
        getattr(self, f"_{happening.kind}")(number, happening)

    def _faults(self, _number: int, happening: Happening) -> None:
        self.world.faults = int(happening.much)

    def _tier(self, number: int, happening: Happening) -> None:
        primary, tier = 100 * happening.whom, int(happening.much)
        before = self.world.tiers[primary]
        self.world.tiers[primary] = tier
        name = NAMES[None if before == tier else before < tier]
        self._emit(number, {"eventName": name, "data": _tier_data(primary, tier, name)})

    def _renewal(self, number: int, happening: Happening) -> None:
        primary = 100 * happening.whom
        data = _tier_data(primary, self.world.tiers[primary], "tierRenewed")
        self._emit(number, {"eventName": "tierRenewed", "data": data})

    def _join(self, number: int, happening: Happening) -> None:
        group = self.world.groups[100 * happening.whom]
        joining = group.primary + 10 + number
        group.members[joining] = True
        self.world.tiers[joining] = int(happening.much)
        self._emit(number, {"eventName": "groupMemberAdded", "data": _member_data(group, "memberAdded", joining)})

    def _leave(self, number: int, happening: Happening) -> None:
        group = self.world.groups[100 * happening.whom]
        staying = [member for member, active in group.members.items() if active]
        if len(staying) > 1:
            leaving = staying[0]
            group.members[leaving] = False
            self.world.left_at[leaving] = self.loop.time()
            self._emit(
                number, {"eventName": "groupMemberRemoved", "data": _member_data(group, "memberRemoved", leaving)}
            )

    def _kill(self, _number: int, happening: Happening) -> None:
        plant = self.plants.get(happening.whom)
        if plant is not None and plant.process.alive and not plant.process.frozen:
            plant.process.alive = False
            self.loop.call_later(happening.much, self._start, happening.whom)

    def _freeze(self, _number: int, happening: Happening) -> None:
        process = self.plants[happening.whom].process
        # A single server is not frozen beside another that takes its work: only replicas are.
        if process.alive and not process.frozen:
            process.frozen = True
            self.loop.call_later(happening.much, self.loop.thaw, process)

    def _outage(self, _number: int, happening: Happening) -> None:
        self.away_until = max(self.away_until, self.loop.time() + happening.much)

    def _database_is_away(self) -> bool:
        return self.loop.time() < self.away_until

    # How Capillary delivers: late, more than once, in any order, until it is answered.

    def _emit(self, number: int, event: dict[str, object]) -> None:
        now = EPOCH_MS + int(1000 * self.loop.time())
        event_id = f"{self.history.seed}-{number}"
        whole = {**event, "eventId": event_id, "orgId": 50614, "createdAt": now}
        body = json.dumps(whole).encode()
        for _ in range(self.dice.choice((1, 1, 2))):
            self.flying += 1
            self.loop.create_task(self._deliver(event_id, body, self.dice.choice((0.0, 0.0, 0.1, 1.0, 3.0))))

    async def _deliver(self, event_id: str, body: bytes, late_s: float) -> None:
        await asyncio.sleep(late_s)
        while True:
            plant = self.plants[self.dice.randrange(self.history.replicas)]
            if plant.process.alive:
                answer = self.loop.create_task(plant.deliver(body), context=plant.process.context)
                await asyncio.wait([answer], timeout=3)
                if answer.done() and answer.result() == 200:
                    break
            await asyncio.sleep(0.2)
        self.answered[event_id] = body
        self.flying -= 1

    # What must be true.

    def _watch(self, member: int, primary: int) -> None:
        """See an adjustment that is being called."""
        now, who = self.loop.time(), process_name()
        if now > self.world.left_at.get(member, now) + LEASE_S:
            self.wrong.append(f"{now:.3f}: {who} adjusts {member}, who has left")
        if self.world.in_flight[member] and not self.disturbed:
            self.wrong.append(f"{now:.3f}: {who} adjusts {member}, whom another call adjusts just now")
        with self.engine.begin() as connection:
            held = connection.execute(
                select(syncs.c.owner, syncs.c.due_at).where(syncs.c.customer == primary, syncs.c.program == PROGRAM)
            ).one()
        if held.owner != who and held.owner is not None and held.due_at > EPOCH_MS + int(1000 * now):
            self.wrong.append(f"{now:.3f}: {who} adjusts {member} although {held.owner} holds the key")

    def _quiet(self) -> bool:
        up = all(plant.process.alive and not plant.process.frozen for plant in self.plants.values())
        return up and not self.flying and not self._unfinished()

    def _unfinished(self) -> int:
        with self.engine.begin() as connection:
            due = select(func.count()).select_from(adjustments).where(adjustments.c.status == "due")
            pending = select(func.count()).select_from(events).where(events.c.status == "pending")
            return int(connection.execute(due).scalar_one() + connection.execute(pending).scalar_one())

    def _judge(self) -> None:
        with self.engine.begin() as connection:
            stored = {row.event_id: row.body for row in connection.execute(select(events.c.event_id, events.c.body))}
            dead = connection.execute(select(events.c.event_id, events.c.reason).where(events.c.status == "dead")).all()
        self.wrong += [f"lost: {lost}" for lost in self.answered.keys() - stored.keys()]
        self.wrong += [
            f"not the bytes that came: {one}" for one, body in self.answered.items() if stored.get(one) != body
        ]
        self.wrong += [f"dead: {one}" for one in dead]
        self.wrong += self.world.sent_in_doubt
        if limit := self.history.calls_per_minute_max:
            times = self.world.called_at
            self.wrong += [
                f"{one:.3f}: more than {limit} calls in the minute that begins then"
                for number, one in enumerate(times)
                if bisect_left(times, one + MINUTE_S) - number > limit
            ]
        for group in self.world.groups.values():
            wanted = self.world.tiers[group.primary]
            self.wrong += [
                f"{member} is in tier {self.world.tiers[member]}, its primary {group.primary} in {wanted}"
                for member, active in group.members.items()
                if active and self.world.tiers[member] != wanted
            ]


def smallest(history: History, fails: Callable[[History], bool]) -> History:
    """Leave out whatever can be left out of a history that fails, until every happening is needed."""
    needed: Sequence[Happening] = history.happenings
    shorter = True
    while shorter:
        shorter = False
        for one in range(len(needed)):
            fewer = (*needed[:one], *needed[one + 1 :])
            if fewer and fails(replace(history, happenings=fewer)):
                needed, shorter = fewer, True
                break
    return replace(history, happenings=tuple(needed))


def check(seeds: Iterable[int], engine: Engine) -> str | None:
    """Play the histories of all seeds; returns the smallest form of the first that fails, with what was wrong."""
    for seed in seeds:
        history = draw(seed)
        if Play(history, engine).run():
            found = smallest(history, lambda shorter: bool(Play(shorter, engine).run()))
            return f"{found}\n" + "\n".join(Play(found, engine).run())
    return None


def _tier_data(primary: int, tier: int, name: str) -> dict[str, object]:
    field_name = {"tierUpgraded": "upgraded", "tierDowngraded": "downgraded", "tierRenewed": "current"}[name]
    tiers = [{"tierNumber": number, "tierName": name} for number, name in enumerate(TIERS, start=1)]
    return {
        "customerIdentifiers": {"customerId": primary},
        "loyaltyProgramDetails": {"id": PROGRAM, "tiers": tiers},
        "loyaltyProgramId": PROGRAM,
        f"{field_name}TierNumber": tier,
    }


def _member_data(group: Group, role: str, member: int) -> dict[str, object]:
    return {
        "groupId": group.number,
        "primaryMember": {"customerIdentifiers": {"customerId": group.primary}},
        role: {"customerIdentifiers": {"customerId": member}},
    }
