"""The store against a model of itself: any interleaving of arrivals, work, failures, crashes and replays.

After each step the store must show what the model says; at the end an honest worker follows the sweep, and everything
that was ever accepted must come to an end.
"""

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.contract.store_kit import FAR, LEASE_MS, NOW, Hand, join, outcome, owed, tier_change
from tests.contract.store_model import Event, Key, Owing
from tiersync.fanout import AdjustmentStatus, Tier
from tiersync.intake import Arrival, EventStatus
from tiersync.store import Claim, Receipt, Release, Replay, Selection, Want, database, open_store

T = TypeVar("T")
CUSTOMERS, MEMBERS = (1, 2), (101, 102, 103)
DUE, DONE, SKIPPED, DEAD, _ = AdjustmentStatus

CRASHES_MAX = 2
customers = st.sampled_from([1, 1, 1, 2])  # most of it happens to one key
members = st.sampled_from(MEMBERS)
delays = st.sampled_from([0, 500, LEASE_MS])


class StoreMachine(RuleBasedStateMachine):
    """Does to the store and to the model whatever hypothesis thinks of, and compares."""

    template: Path

    def __init__(self) -> None:
        """Open a store on a fresh copy of an empty database."""
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="tiersync-model-"))
        self.path = self.folder / "tiersync.db"
        shutil.copy(self.template, self.path)
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.now = NOW
        self.events: dict[str, Event] = {}
        self.keys = {customer: Key() for customer in CUSTOMERS}
        self.ids: dict[int, int] = {}
        self.claims: list[Claim] = []
        self.numbers = itertools.count(1)
        self.crashes = 0

    def run(self, what: Awaitable[T]) -> T:
        """Wait for something of the store."""

        async def bounded() -> T:
            return await asyncio.wait_for(what, 20)

        return self.runner.run(bounded())

    @initialize()
    def open(self) -> None:
        """Open the store as a process does that knows it is the only one."""
        url = database.address(f"sqlite:///{self.path}")
        self.hand = Hand(self.run(self.stack.enter_async_context(open_store(url))))
        self.run(self.hand.store.reclaim(self.now))

    # What the world does

    @rule(customer=customers, age=st.integers(0, 6), log_id=st.sampled_from([None, 1, 2]), count=st.integers(1, 3))
    def new_events(self, customer: int, age: int, log_id: int | None, count: int) -> None:
        """Newer, older and equal tier changes arrive, some of them in one commit."""
        arrivals = []
        for step in range(count):
            number = next(self.numbers)
            tier = Tier(1 + number, f"Tier {number}")
            arrivals.append(
                tier_change(
                    f"e{number}", NOW + age + step, tier, event_log_id=log_id, customer=customer, received_at=self.now
                )
            )
        answers = self.together([self.hand.store.receive(arrival) for arrival in arrivals])
        for arrival, answer in zip(arrivals, answers, strict=True):
            event, key = self.accept(arrival), self.keys[customer]
            assert answer.receipt is Receipt.ACCEPTED
            if key.is_overtaken_by(event):
                key.move_to(event, self.now)
                self.ids[customer] = answer.sync or 0
            else:
                event.status = EventStatus.SUPERSEDED
            assert (answer.reason == "stale") == (event.status is EventStatus.SUPERSEDED and answer.sync is None)

    @rule(customer=customers, member=members)
    def new_join(self, customer: int, member: int) -> None:
        """Somebody joins."""
        arrival = join(f"e{next(self.numbers)}", member, customer=customer, received_at=self.now)
        answer = self.run(self.hand.store.receive(arrival))
        self.accept(arrival).owing[member] = Owing(DUE, self.now)
        self.keys[customer].wake(self.now)
        self.ids[customer] = answer.sync or 0

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def duplicate(self, data: st.DataObject) -> None:
        """A delivery comes again."""
        event = self.events[data.draw(st.sampled_from(sorted(self.events)))]
        answer = self.run(self.hand.store.receive(event.arrival))
        assert answer.receipt is Receipt.DUPLICATE

    @rule(ms=st.sampled_from([1, 500, LEASE_MS]))
    def time_passes(self, ms: int) -> None:
        """Time passes."""
        self.now += ms

    @precondition(lambda self: any(key.held for key in self.keys.values()))
    @rule(data=st.data())
    def a_lease_ends(self, data: st.DataObject) -> None:
        """A worker takes too long, and another one claims its key."""
        customer = data.draw(st.sampled_from([customer for customer in CUSTOMERS if self.keys[customer].held]))
        self.now = max(self.now, self.keys[customer].due_at or 0)
        self.claim(customer, 1)

    @precondition(lambda self: self.claims and self.crashes < CRASHES_MAX)
    @rule()
    def crash(self) -> None:
        """The process dies and is started again: no claim outlives it."""
        self.run(self.stack.aclose())
        self.stack = AsyncExitStack()
        self.claims.clear()
        self.crashes += 1
        for key in self.keys.values():
            if key.held:
                key.held, key.due_at = False, self.now
        self.open()

    # What a worker does

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), rivals=st.integers(1, 3))
    def rivals_want(self, data: st.DataObject, rivals: int) -> None:
        """One or several want a key, due or not."""
        self.claim(data.draw(st.sampled_from(sorted(self.ids))), rivals)

    @precondition(lambda self: self.due())
    @rule(data=st.data())
    def worker_wants(self, data: st.DataObject) -> None:
        """A worker claims a key that the sweep found."""
        self.claim(data.draw(st.sampled_from(self.due())), 1)

    def claim(self, customer: int, rivals: int) -> None:
        """One of those who want the key gets it if it is due, and works on the newest tier change."""
        key = self.keys[customer]
        wants = [Want(self.ids[customer], f"hand {n}", self.now, self.now + LEASE_MS) for n in range(rivals)]
        claims = [claim for claim in self.together([self.hand.store.claim(want) for want in wants]) if claim]

        assert len(claims) == self.due().count(customer)
        for claim in claims:
            assert claim.fence > key.fence
            key.held, key.due_at, key.fence = True, claim.until, claim.fence
            newest = key.newest.arrival.tier_name if key.newest else None
            assert (newest, key.attempt) == (claim.tier_name, claim.attempt)
            assert (key.generation, key.planned) == (claim.generation, claim.planned)
            self.claims.append(claim)

    @precondition(lambda self: self.unplanned())
    @rule(data=st.data(), whom=st.sets(members), last=st.booleans())
    def plan(self, data: st.DataObject, whom: set[int], last: bool) -> None:  # noqa: FBT001
        """A claim plans, though it may have been overtaken."""
        claim = data.draw(st.sampled_from(self.unplanned()))
        key = self.keys[claim.customer]
        good = claim.fence == key.fence and claim.generation == key.generation
        assert good == self.run(self.hand.planned(claim, owed(*sorted(whom)), self.now, last=last))
        if good and key.newest:
            for member in whom:
                key.newest.owing.setdefault(member, Owing(DUE, self.now))
            if last:
                key.planned, key.attempt = key.generation, 0

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), status=st.sampled_from([DONE, DONE, DEAD, SKIPPED, DUE]), delay=delays)
    def settle(self, data: st.DataObject, status: AdjustmentStatus, delay: int) -> None:
        """A claim attempts one of those that are due, though it may have been overtaken meanwhile."""
        claim = self.a_claim(data)
        key = self.keys[claim.customer]
        found = self.run(self.hand.store.owed(claim, self.now, 100))
        mine = [(event, event.owing) for event in self.events.values() if event.arrival.customer == claim.customer]
        due = {
            (event.arrival.event_id, member)
            for event, owing in mine
            for member, item in owing.items()
            if item.status is DUE and item.due_at is not None and item.due_at <= self.now
        }
        assert due == {(item.event_id, item.member) for item in found}
        if not found:
            return
        item = data.draw(st.sampled_from(found))
        due_at = self.now + delay if status is DUE else None
        goes_on = self.run(self.hand.store.settle(outcome(claim, item, status, self.now, due_at=due_at)))
        assert goes_on == (claim.fence == key.fence and claim.generation == key.generation)
        if claim.fence == key.fence:
            self.events[item.event_id].owing[item.member] = Owing(status, due_at)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        """A claim ends without more."""
        self.release(Release(self.a_claim(data), self.now))

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), delay=delays)
    def put_off(self, data: st.DataObject, delay: int) -> None:
        """A claim ends because the group could not be read."""
        self.release(Release(self.a_claim(data), self.now, retry_at=self.now + delay))

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), status=st.sampled_from([EventStatus.IGNORED, EventStatus.DEAD]))
    def close(self, data: st.DataObject, status: EventStatus) -> None:
        """A claim ends because nothing of it is to be done."""
        self.release(Release(self.a_claim(data), self.now, close=status, reason="because"))

    def release(self, release: Release) -> None:
        """A claim ends, though it may have been overtaken."""
        key = self.keys[release.claim.customer]
        self.claims.remove(release.claim)
        answer = self.run(self.hand.store.release(release))
        if release.claim.fence != key.fence:
            assert answer is None
        else:
            key.end(release, self.pending(release.claim.customer))
            assert key.due_at == answer

    # What an operator does

    @precondition(lambda self: self.events)
    @rule(data=st.data(), force=st.booleans())
    def replay(self, data: st.DataObject, force: bool) -> None:  # noqa: FBT001
        """Any event is replayed, whatever became of it."""
        event = self.events[data.draw(st.sampled_from(sorted(self.events)))]
        key = self.keys[event.arrival.customer or 0]
        row = self.run(self.hand.event(event.arrival.event_id))["id"]
        answer = self.run(self.hand.replayed(Replay(row, event.arrival, force, self.now)))
        assert key.replay(event, self.now, force=force) == answer

    # What must always be true

    @invariant()
    def nothing_is_lost(self) -> None:
        """Every accepted event stands where the model says, and the sweep finds each key that has a pending one."""
        rows, due = self.run(self.look())
        assert {event_id: event.status.value for event_id, event in self.events.items()} == {
            row["event_id"]: row["status"] for row in rows
        }
        swept = {key for key, _ in due}
        assert {self.ids[customer] for customer in self.ids if self.keys[customer].due_at is not None} == swept
        assert {self.ids[customer] for customer in self.ids if self.pending(customer)} <= swept

    def teardown(self) -> None:
        """Let an honest worker follow the sweep until nothing is due: then everything must have come to an end."""
        try:
            if hasattr(self, "hand"):
                self.adjustments_stand_where_the_model_says()
                self.run(self.hand.store.reclaim(self.now))
                self.run(self.work_off())
                self.everything_ended_well()
        finally:
            self.run(self.stack.aclose())
            self.runner.close()
            shutil.rmtree(self.folder)

    def adjustments_stand_where_the_model_says(self) -> None:
        """Every adjustment has the status of the model, and nothing finished owes a call."""
        for event_id, event in self.events.items():
            shown = self.run(self.hand.adjustments(event_id))
            assert {member: item.status.value for member, item in event.owing.items()} == shown
            assert event.status is EventStatus.PENDING or "due" not in shown.values()

    async def work_off(self) -> None:
        """Follow the sweep, adjusting every member of every group."""
        for _ in range(10):
            keys = await self.hand.due_keys(FAR)
            for key in keys:
                await self.hand.finished(key, MEMBERS, FAR)
            if not keys:
                return
        raise AssertionError("the sweep finds work for ever")

    def everything_ended_well(self) -> None:
        """No event is pending; the newest tier change was finished for everybody, unless it had been given up."""
        rows = {row["event_id"]: row["status"] for row in self.run(self.hand.store.list_events(Selection(), 1000))}
        assert "pending" not in rows.values()
        for key in self.keys.values():
            if key.newest and key.newest.status is EventStatus.PENDING:
                newest = key.newest.arrival.event_id
                assert rows[newest] in {"done", "dead"}
                planned = set(key.newest.owing) | (set(MEMBERS) if key.planned != key.generation else set())
                assert planned == set(self.run(self.hand.adjustments(newest)))

    # How it is done

    async def look(self) -> tuple[Sequence[dict[str, Any]], Sequence[tuple[int, int]]]:
        """All events, and all keys that are due or held."""
        return await self.hand.store.list_events(Selection(), 1000), await self.hand.store.sweep(FAR, 100)

    def together(self, calls: list[Awaitable[T]]) -> list[T]:
        """Ask for several things at once, which the store does in one commit."""

        async def gathered() -> list[T]:
            return list(await asyncio.gather(*calls))

        return self.run(gathered())

    def accept(self, arrival: Arrival) -> Event:
        """Note an event that the store must never lose from here on."""
        event = self.events[arrival.event_id] = Event(len(self.events) + 1, arrival)
        return event

    def due(self) -> list[int]:
        """The customers whose key is due."""
        return [customer for customer, key in self.keys.items() if key.due_at is not None and key.due_at <= self.now]

    def unplanned(self) -> list[Claim]:
        """The claims of a tier change that was not planned when they began."""
        return [claim for claim in self.claims if claim.event is not None and claim.planned != claim.generation]

    def pending(self, customer: int) -> list[Event]:
        """The open events of a key, in the order of arrival."""
        mine = [event for event in self.events.values() if event.arrival.customer == customer]
        return [event for event in mine if event.status is EventStatus.PENDING]

    def a_claim(self, data: st.DataObject) -> Claim:
        """Any claim that was given out and not given back, overtaken ones too."""
        return data.draw(st.sampled_from(self.claims))


@pytest.mark.timeout(600)
def test_the_store_does_what_the_model_says(tmp_path: Path) -> None:
    """Whatever interleaving: nothing accepted is lost, one holder a key, the newest tier counts, and work ends."""
    template = tmp_path / "template.db"

    async def migrate() -> None:
        async with open_store(database.address(f"sqlite:///{template}"), migrate=True):
            pass

    asyncio.run(migrate())
    StoreMachine.template = template

    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=20, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
