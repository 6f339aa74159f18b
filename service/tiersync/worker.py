"""From a claimed key to adjusted secondaries: claim → plan → send → settle → release.

`Worker.turn` is one turn at one key. It reads the group afresh, writes down what is owed if that has not been done yet,
and makes the calls that are due until there are none or the turn is long enough. While it lasts, its lease is prolonged
again and again. What could not be done stays due in the tables; nothing is remembered here.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Final, TypeVar

import structlog

from tiersync import fanout, retry
from tiersync.capillary import Capillary, NotPrimary, NotTried, OneAtATime
from tiersync.errors import StoreUnavailable
from tiersync.fanout import (
    AdjustmentStatus,
    Goal,
    Group,
    Held,
    Member,
    Move,
    Owed,
    Policy,
    SeveralGroups,
    Tier,
    TierSource,
    Validity,
)
from tiersync.intake import ANY_ORG, EventStatus
from tiersync.retry import Again, Dead, Done, Outcome, Refused, Schedule, Skipped, TryAgain
from tiersync.settling import name_of, settlement
from tiersync.store import Claim, Due, Plan, Release, Renewal, Store, Want
from tiersync.store.writer import Step
from tiersync.telemetry import Ids, Traces
from tiersync.webhook import Action

log: Final = structlog.get_logger("tiersync.worker")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Org:
    """What the worker needs of one org."""

    capillary: Capillary
    policy: Policy
    attempt_s_max: float
    members_max: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one turn takes on."""

    lease_s: float
    plan_batch_max: int
    owed_batch_max: int
    key_calls_concurrent_max: int
    turn_s_max: float = 60


@dataclass(slots=True)
class _Turn:
    """One turn at one key. `until` is the monotonic second after which no call may begin: the fence of the lease."""

    claim: Claim
    org: Org
    ends: float
    until: float = 0.0
    members: Mapping[int, Member] = field(default_factory=dict)
    over: bool = False
    primary: Held | TryAgain | Refused | NotTried | None = None
    reading_primary: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A change that was sent, and the number of the tier that it leads to: how its echo is known."""

    action: Action
    tier: int


class Worker:
    """Takes turns at keys. `now` is epoch milliseconds, `monotonic` seconds, `dice` a number in [0, 1)."""

    def __init__(  # noqa: PLR0913 - put together in app, and only there
        self,
        *,
        store: Store,
        orgs: Mapping[int, Org],
        schedule: Schedule,
        limits: Limits,
        owner: str,
        now: Callable[[], int],
        monotonic: Callable[[], float],
        dice: Callable[[], float],
        settled: Callable[[str, str, int | None, int, float], None],
        traces: Traces,
        step: Step,
        repaired: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`settled` hears of each outcome: its name, reason and code, which attempt it was, and its seconds.

        `repaired` hears how it ended for somebody whom a reconcile found elsewhere.
        """
        self._store, self._orgs, self._schedule, self._limits, self._owner = store, orgs, schedule, limits, owner
        self._now, self._monotonic, self._dice, self._settled, self._step = now, monotonic, dice, settled, step
        self._traces, self._repaired = traces, repaired
        self._customers = OneAtATime()
        self._turns: dict[int, _Turn] = {}
        self._winding_down = False

    def wind_down(self) -> None:
        """Begin no further call; what is not done stays due."""
        self._winding_down = True

    async def turn(self, sync: int) -> int | None:
        """Work on one key; return when it is due again (epoch milliseconds), or None."""
        began, now = self._monotonic(), self._now()
        claim = await self._store.claim(Want(sync, self._owner, now, now + int(1000 * self._limits.lease_s)))
        if claim is None:
            return None
        with self._traces.turn(claim.traceparent, first=claim.first, ids=partial(_ids, claim)):
            return await self._turn(claim, began)

    async def _turn(self, claim: Claim, began: float) -> int | None:
        org = self._orgs.get(claim.org) or self._orgs.get(ANY_ORG)
        if org is None:
            release = self._close(claim, EventStatus.DEAD, "org_unknown", "orgId: not configured")
        else:
            turn = _Turn(claim, org, began + self._limits.turn_s_max)
            self._may_call(turn, began)
            self._turns[claim.sync] = turn
            try:
                release = await self._work(turn)
            finally:
                del self._turns[claim.sync]
        self._step("before release")
        due_at = await self._store.release(release)
        log.info(
            "turn.ended",
            org=claim.org,
            program=claim.program,
            customer=claim.customer,
            event_row=claim.event,
            generation=claim.generation,
            closed=release.close,
            reason=release.reason,
            due_at=due_at,
            seconds=round(self._monotonic() - began, 4),
        )
        self._traces.ended(
            lambda: {"closed": release.close, "reason": release.reason}, well=release.close is not EventStatus.DEAD
        )
        return due_at

    async def keep_leases(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Prolong the leases of the turns that run, for ever."""
        while True:
            await sleep(self._limits.lease_s / 4)
            await asyncio.gather(*(self._prolong(turn) for turn in self._turns.values()))

    async def _prolong(self, turn: _Turn) -> None:
        began, until = self._monotonic(), self._now() + int(1000 * self._limits.lease_s)
        try:
            held = await self._store.renew(Renewal(turn.claim.sync, turn.claim.fence, until))
        except StoreUnavailable as error:  # then no further call begins once the lease draws to its end
            log.warning("lease.not_prolonged", sync=turn.claim.sync, error=str(error))
            return
        if held:
            self._may_call(turn, began)
        else:
            turn.over = True

    def _may_call(self, turn: _Turn, held_from: float) -> None:
        """Let calls begin as long as they end within the lease, and the turn is not too long."""
        turn.until = min(held_from + self._limits.lease_s - turn.org.attempt_s_max, turn.ends)

    async def _work(self, turn: _Turn) -> Release:
        claim = turn.claim
        found = await turn.org.capillary.members(claim.customer, turn.until)
        match found:
            case NotTried():
                return self._later(turn)
            case TryAgain() | Refused():
                return self._put_off(claim, found)
            case NotPrimary():
                return self._close(claim, EventStatus.IGNORED, "not_primary")
            case Group() if not found.active:
                return self._close(claim, EventStatus.IGNORED, "group_inactive")
            case Group() if not found.led_by(claim.customer):
                return self._close(claim, EventStatus.IGNORED, "not_primary")
            case Group() if len(found.members) > turn.org.members_max:
                detail = f"{len(found.members)} members; TIERSYNC_MEMBERS_MAX is {turn.org.members_max}"
                return self._close(claim, EventStatus.DEAD, "group_too_large", detail)
        if claim.planned != claim.generation and (release := await self._plan(turn, found)) is not None:
            return release
        turn.members = {member.customer: member for member in found.secondaries()}
        await self._fan_out(turn)
        return self._later(turn)

    async def _plan(self, turn: _Turn, group: Group) -> Release | None:
        """Write down what the tier change owes; a `Release` if that cannot be done in this turn."""
        claim, policy = turn.claim, turn.org.policy
        tier = await self._tier(turn)
        if isinstance(tier, Release):
            return tier
        assert claim.action is not None  # noqa: S101 - a generation begins with a tier change
        elsewhere: Mapping[int, Tier] = {}
        if policy.several_groups is SeveralGroups.HIGHEST:
            for members in _batched((member.customer for member in group.secondaries()), self._limits.plan_batch_max):
                elsewhere = {**elsewhere, **await self._store.led_elsewhere(claim, members)}
        owed = fanout.plan(
            claim.action, tier, group, policy, inherits=claim.inherits, lowers=claim.lowers, led_elsewhere=elsewhere
        )
        batches: list[Sequence[Owed]] = [*_batched(owed, self._limits.plan_batch_max)] or [()]
        for number, batch in enumerate(batches, start=1):
            last = number == len(batches)
            self._step("before plan")
            if not await self._store.plan(Plan(claim, tier, group.id, batch, last, self._now())):
                return Release(claim, self._now())
        return None

    async def _tier(self, turn: _Turn) -> Tier | Release:
        """Name the tier: from the event, else from the primary itself if it holds the tier that the event means."""
        claim = turn.claim
        if turn.org.policy.tier_source is TierSource.EVENT and claim.tier_name and claim.tier_number is not None:
            return Tier(claim.tier_number, claim.tier_name)
        held = await self._primary(turn)
        match held:
            case NotTried():
                return self._later(turn)
            case TryAgain() | Refused():
                return self._put_off(claim, held)
            case Held(tier=Tier() as tier) if (
                turn.org.policy.tier_source is TierSource.LIVE or tier.number == claim.tier_number
            ):
                return tier
            case Held(tier=tier):
                now = f"tier {tier.number}" if tier else "no tier"
                detail = (
                    f"data.loyaltyProgramDetails.tiers: does not name tier {claim.tier_number}, "
                    f"and the primary holds {now} in program {claim.program}"
                )
                return self._close(claim, EventStatus.DEAD, "tier_name_unknown", detail)

    async def _primary(self, turn: _Turn) -> Held | TryAgain | Refused | NotTried:
        """The primary's own tier, read once in a turn."""
        async with turn.reading_primary:
            if turn.primary is None:
                turn.primary = await turn.org.capillary.tier(turn.claim.customer, turn.claim.program, turn.until)
            return turn.primary

    async def _fan_out(self, turn: _Turn) -> None:
        """Make the calls that are due, a few at a time, until there are none or the turn is over."""
        limits, full = self._limits, True
        while full and not (turn.over or self._winding_down):
            page = await self._store.owed(turn.claim, self._now(), limits.owed_batch_max)
            full = len(page) == limits.owed_batch_max  # what fell due meanwhile is the next turn's
            rest = iter(page)
            try:
                async with asyncio.TaskGroup() as lanes:
                    for _ in range(min(len(page), limits.key_calls_concurrent_max)):
                        lanes.create_task(self._lane(turn, rest))
            except ExceptionGroup as group:
                raise group.exceptions[0] from None

    async def _lane(self, turn: _Turn, rest: Iterator[Due]) -> None:
        for due in rest:
            if turn.over or self._winding_down:
                return
            with self._traces.adjustment(due.traceparent, first=due.first, ids=partial(_ids, turn.claim, due)):
                await self._adjust(turn, due)

    async def _adjust(self, turn: _Turn, due: Due) -> None:
        """One attempt at one adjustment, from the decision what to call to the outcome on disk."""
        began = self._monotonic()
        async with self._customers.lock((turn.claim.org, due.member)):
            outcome, sent = await self._attempt(turn, due)
        if isinstance(outcome, NotTried):
            turn.over = True
            return
        attempt, now = due.attempts + 1, self._now()
        decision = retry.decide(outcome, attempt, now, self._schedule, self._dice())
        self._step("before settle")
        written = settlement(turn.claim, due, outcome, decision, attempt, now)
        if sent is not None:
            written = replace(written, sent=sent.action, sent_tier=sent.tier)
        if not await self._store.settle(written):
            turn.over = True
        seconds = self._monotonic() - began
        name, reason, code = name_of(outcome), getattr(outcome, "reason", ""), getattr(outcome, "code", None)
        dead = isinstance(decision, Dead)
        self._settled("dead" if dead else name, reason, code, attempt, seconds)
        self._traces.ended(lambda: {"outcome": name, "reason": reason, "code": code, "attempt": attempt}, well=not dead)
        if due.repairs and not isinstance(decision, Again):
            self._repaired("repaired" if written.status is AdjustmentStatus.DONE else written.status)
        log.info(
            "adjustment.settled",
            org=turn.claim.org,
            program=turn.claim.program,
            customer=turn.claim.customer,
            member=due.member,
            event_row=due.event,
            outcome=name,
            decision=type(decision).__name__.lower(),
            reason=reason or None,
            code=code,
            attempt=attempt,
            seconds=round(seconds, 4),
        )

    async def _attempt(self, turn: _Turn, due: Due) -> tuple[Outcome | NotTried, _Sent | None]:
        """Make the calls of one attempt; return what it came to, and the change that was sent last."""
        member = turn.members.get(due.member)
        if member is None:
            # Somebody who joined since the claim is not in the group as it was read: the next turn reads it again.
            return NotTried() if due.event > turn.claim.newest else Skipped("left"), None
        tier = due.tier or await self._joiners_tier(turn, member)
        if not isinstance(tier, Tier):
            return tier, None
        policy, program, sent = turn.org.policy, turn.claim.program, None
        expiry = due.expiry if policy.validity is Validity.MIRROR else None
        goal = Goal(due.action, tier, due.may_lower)
        steps: list[tuple[Move, Outcome | Held]] = []
        move: Move | Outcome = fanout.first_move(due.action, verify=due.verify)
        while isinstance(move, Move):
            capillary, why = turn.org.capillary, f"tiersync {due.event_id}"
            self._step("before call")
            answer: Outcome | Held | NotTried
            if move is Move.READ:
                answer = await capillary.tier(due.member, program, turn.until)
            else:
                sent = _Sent(Action(move.value), tier.number)
                answer = await capillary.adjust(due.member, program, move, tier.name, expiry, why, turn.until)
            self._step("after call")
            if isinstance(answer, NotTried):
                return answer, sent
            steps.append((move, answer))
            move = fanout.next_move(goal, steps)
        return move, sent

    async def _joiners_tier(self, turn: _Turn, member: Member) -> Tier | Outcome | NotTried:
        """Whoever joined is owed whatever tier the primary holds now."""
        if turn.org.policy.several_groups is SeveralGroups.DEFAULT_GROUP and not member.default_group:
            return Skipped("not_default_group")
        held = await self._primary(turn)
        if not isinstance(held, Held):
            return held
        return held.tier or Refused("primary_without_tier")

    def _later(self, turn: _Turn) -> Release:
        """Give the key back with what is still owed: due when that is, but not while Capillary is away."""
        now, away_s = self._now(), turn.org.capillary.away_s
        return Release(turn.claim, now, not_before=now + math.ceil(1000 * away_s) if away_s else 0)

    def _put_off(self, claim: Claim, failure: TryAgain | Refused) -> Release:
        """The group or the tier could not be read: try the whole key again, or give the tier change up."""
        now = self._now()
        match retry.decide(failure, claim.attempt + 1, now, self._schedule, self._dice()):
            case Again(due_at=due_at):
                return Release(claim, now, retry_at=due_at)
            case Dead(reason=reason):
                return self._close(claim, EventStatus.DEAD, reason, f"code {failure.code}: {failure.message}")
            case Done():  # pragma: no cover - a failure is never done
                return Release(claim, now)

    def _close(self, claim: Claim, status: EventStatus, reason: str, detail: str | None = None) -> Release:
        return Release(claim, self._now(), close=status, reason=reason, detail=detail)


def _ids(claim: Claim, due: Due | None = None) -> Ids:
    """What the span of a turn carries, or that of an adjustment."""
    ids: dict[str, int | str | None] = {"org": claim.org, "program": claim.program, "customer": claim.customer}
    if due is None:
        return {**ids, "event_row": claim.event, "generation": claim.generation}
    return {**ids, "event_id": due.event_id, "member": due.member}


def _batched(items: Iterable[T], size: int) -> Iterator[Sequence[T]]:
    iterator = iter(items)
    while batch := tuple(islice(iterator, size)):
        yield batch
