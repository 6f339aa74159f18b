"""A machine that lives any life in the whole core, and asks for the invariants of section D7 after each step."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.loyalty.building import ANN, everything
from tests.unit.loyalty.world import (
    HOLDERS,
    KINDS,
    PEOPLE,
    TIERS,
    Life,
    Step,
    amounts,
    attempt,
    check_ledger,
    live_lots,
    world,
)
from tiersync.loyalty.engine import Engine
from tiersync.loyalty.events import PURCHASE, EventId, HolderId
from tiersync.loyalty.records import LevelMove, Move, Reason, Record
from tiersync.loyalty.settlement import settle

AGAIN = EventId("again")

people = st.sampled_from(PEOPLE)
hours = st.integers(0, 300)


class Lifetime(RuleBasedStateMachine):
    """Join, leave, buy, return, redeem, transfer, expire and be reviewed, in any order, time never standing still."""

    @initialize(negative=st.booleans())
    def begin(self, *, negative: bool) -> None:
        """Everybody registers, in the world and in one whose rules were written down the other way round."""
        setup = world(negative=negative)
        self.life, self.mirror = Life(setup), Life(replace(setup, rules=setup.rules[::-1]))
        self.taken = 0
        self.charged: dict[str, Decimal] = {}
        self.settled = 0

    @rule(hours=hours, who=people, amounts=amounts, how=st.sampled_from(["buy", "pay", "family"]))
    def buy(self, hours: int, who: HolderId, amounts: tuple[int, ...], how: str) -> None:
        """Buy for oneself, partly in points, or for the group."""
        self.happens(Step(hours, how, who, amounts))

    @precondition(lambda self: self.life.bought)
    @rule(hours=hours, who=people, amounts=amounts, how=st.sampled_from(["return", "cancel"]))
    def give_back(self, hours: int, who: HolderId, amounts: tuple[int, ...], how: str) -> None:
        """Return a line of a purchase, or all of it, perhaps once too often."""
        self.happens(Step(hours, how, who, amounts))

    @rule(hours=hours, who=people, amounts=amounts, how=st.sampled_from(["redeem", "reward", "transfer", "adjust"]))
    def part_with(self, hours: int, who: HolderId, amounts: tuple[int, ...], how: str) -> None:
        """Spend, hand over, or lose points by hand."""
        self.happens(Step(hours, how, who, amounts))

    @rule(hours=hours, who=people, amounts=amounts, how=st.sampled_from(["deposit", "level", "switch"]))
    def intervene(self, hours: int, who: HolderId, amounts: tuple[int, ...], how: str) -> None:
        """Deposit, set a level, or switch a rule."""
        self.happens(Step(hours, how, who, amounts))

    @rule(hours=hours, who=people, amounts=amounts, how=st.sampled_from(["join", "enter", "invite", "verify", "leave"]))
    def come_and_go(self, hours: int, who: HolderId, amounts: tuple[int, ...], how: str) -> None:
        """Join a programme by its gate, verify an invitation, or leave."""
        self.happens(Step(hours, how, who, amounts))

    @rule(days=st.integers(1, 70), midway=st.integers(0, 70))
    def time_passes(self, days: int, midway: int) -> None:
        """Expiries and reviews fall due: a run on the way there changes nothing, and running twice neither."""
        known, twin = len(self.life.engine.records), self.life.copy()
        twin.engine.run(twin.now + timedelta(days=min(midway, days)))
        for life in (self.life, self.mirror):
            life.take(Step(days * 24, "run", ANN, (1,)), "run")
        twin.engine.run(self.life.now)
        engine, now = self.life.engine, self.life.now

        assert engine.records == twin.engine.records == self.mirror.engine.records
        assert engine.run(now).records == ()
        assert falls(engine.records[known:]) <= {Reason.REVIEW}
        assert all((until := engine.standing(holder, TIERS).until) and until > now for holder in HOLDERS)
        assert not any(lot.dead(now) for lot in live_lots(engine))

    @precondition(lambda self: self.life.bought)
    @rule(which=st.integers(0, 99), apart=st.booleans())
    def undo(self, which: int, *, apart: bool) -> None:
        """A purchase made once more and taken back at once, whole or line by line, was never there (in a twin life)."""
        twin = self.life.copy()
        before, levels = twin.sums(), standing(twin)
        bought = twin.engine.event(self.life.bought[which % len(self.life.bought)])
        twin.engine.submit(replace(bought, id=AGAIN, at=twin.now, spend=Decimal(0)))
        for part in [[line] for line in bought.lines] if apart and bought.lines else [None]:
            twin.engine.reverse(AGAIN, twin.now, part)

        # What entering a level paid belongs to the level, which stays.
        assert levels != standing(twin) or before == twin.sums()

    def happens(self, step: Step) -> None:
        """Let it happen in both worlds: as previewed, once however often it is sent, or else not at all."""
        self.taken += 1
        engine, mirror = self.life.engine, self.mirror.engine
        self.life.now += timedelta(hours=step.hours)
        self.mirror.now = self.life.now
        event = self.life.happening(step, EventId(f"s{self.taken}"))
        records, log, before = engine.records, engine.log(), everything(engine)

        shown = attempt(engine.preview, event)
        untouched = everything(engine) == before
        done = attempt(engine.submit, event)
        mirrored = attempt(mirror.submit, event)

        assert untouched
        assert not isinstance(done, str) or everything(engine) == before
        assert shown == done == mirrored
        written = () if isinstance(done, str) else done.records
        assert engine.records == records + written
        assert len(engine.log()) == len(log) + (not isinstance(done, str))
        if not isinstance(done, str):
            assert engine.submit(event).records == written
            assert engine.records == records + written
            self.life.bought += [event.id] if event.type == PURCHASE else []
        assert falls(written) <= ({Reason.MANUAL} if step.what == "level" else set())

    @invariant()
    def the_ledger_is_sound(self) -> None:
        """Balances are folds, and lots within their bounds."""
        if hasattr(self, "life"):
            check_ledger(self.life.engine, self.life.now)

    @invariant()
    def settlement_adds_up(self) -> None:
        """Settling after every step comes to what settling once comes to."""
        if hasattr(self, "life"):
            window = settle(self.life.engine.records, after=self.settled)
            self.settled = window.upto
            for party, amount in window.charged.items():
                self.charged[party] = self.charged.get(party, Decimal(0)) + amount
            assert settle(self.life.engine.records).charged == self.charged

    @invariant()
    def the_log_tells_it_all(self) -> None:
        """The log survives JSON and leads to the same ledger, byte for byte."""
        if hasattr(self, "life"):
            engine = self.life.engine
            again = Engine.replay(engine.setup, json.loads(json.dumps(engine.log())))
            assert repr(again.records) == repr(engine.records)


def standing(life: Life) -> list[str]:
    """Who stands where."""
    return [life.engine.level(holder, TIERS) for holder in HOLDERS]


def falls(records: Sequence[Record]) -> set[Reason]:
    """Why levels fell."""
    return {row.reason for row in records if isinstance(row, LevelMove) and row.move is Move.DOWN}


TestLifetime = Lifetime.TestCase
TestLifetime.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


def test_the_machine_does_everything() -> None:
    """Every kind of step that a life is made of can succeed, so that the machine is not about refusals."""
    life = Life()
    story = [
        *(("buy", 60), ("family", 30), ("pay", 8), ("return", 1), ("cancel", 1), ("redeem", 3), ("reward", 1)),
        *(("deposit", 5), ("transfer", 4), ("adjust", 2), ("join", 1), ("enter", 1), ("invite", 1), ("verify", 1)),
        *(("leave", 1), ("level", 1), ("switch", 1), ("run", 1)),
    ]

    receipts = {
        what: life.take(Step(number, what, PEOPLE[0], (amount,)), what) for number, (what, amount) in enumerate(story)
    }

    assert set(KINDS) == set(receipts)
    assert [] == [what for what, receipt in receipts.items() if receipt is None]
