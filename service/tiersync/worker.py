"""From a claimed key to adjusted secondaries: claim → plan → send → settle → release.

`Worker.turn` is one turn at one key. It reads the group afresh, writes down what is owed if that has not been done yet,
and makes the calls that are due until there are none or the turn is long enough. While it lasts, its lease is prolonged
again and again. Outcomes are written down many at a time, the last ones together with the release: whoever dies before
leaves a claim without a release, and what that one owed is read back before anything is sent again. What could not be
done stays due in the tables; nothing is remembered here.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Final, TypeVar

import structlog

from tiersync import fanout, retry
from tiersync.capillary import NotPrimary, NotTried, OneAtATime
from tiersync.errors import StoreUnavailable
from tiersync.fanout import AdjustmentStatus, Group, Held, Owed, SeveralGroups, Tier, TierSource
from tiersync.intake import ANY_ORG, EventStatus
from tiersync.retry import Again, Dead, Done, Refused, Schedule, TryAgain
from tiersync.settling import settlement
from tiersync.store import Claim, Due, Plan, Release, Renewal, Store, Want
from tiersync.telemetry import Ids, Traces
from tiersync.turn import Made, Org, Step, Turn

log: Final = structlog.get_logger("tiersync.worker")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one turn takes on."""

    lease_s: float
    plan_batch_max: int
    owed_batch_max: int
    key_calls_concurrent_max: int
    settle_batch_max: int = 250
    settle_s_max: float = 0.25
    turn_s_max: float = 60


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
        self._turns: dict[int, Turn] = {}
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
        org, made = self._orgs.get(claim.org) or self._orgs.get(ANY_ORG), list[Made]()
        if org is None:
            release = self._close(claim, EventStatus.DEAD, "org_unknown", "orgId: not configured")
        else:
            turn = Turn(claim, org, began + self._limits.turn_s_max)
            turn.may_call(began, self._limits.lease_s)
            self._turns[claim.sync] = turn
            try:
                release = await self._work(turn)
            finally:
                del self._turns[claim.sync]
            async with turn.settling:  # what is being written down comes first
                made = self._take(turn)
        self._step("before release")
        due_at = await self._store.release(replace(release, settlements=[one.settlement for one in made]))
        self._tell(claim, made)
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

    async def _prolong(self, turn: Turn) -> None:
        began, until = self._monotonic(), self._now() + int(1000 * self._limits.lease_s)
        try:
            held = await self._store.renew(Renewal(turn.claim.sync, turn.claim.fence, until))
        except StoreUnavailable as error:  # then no further call begins once the lease draws to its end
            log.warning("lease.not_prolonged", sync=turn.claim.sync, error=str(error))
            return
        except Exception:
            log.exception("lease.not_prolonged", sync=turn.claim.sync)
            return
        if held:
            turn.may_call(began, self._limits.lease_s)
        else:
            turn.over = True

    async def settle_late(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Write down what was made a while ago by turns that go on, for ever."""
        while True:
            await sleep(self._limits.settle_s_max / 2)
            before = self._monotonic() - self._limits.settle_s_max / 2
            late = [turn for turn in self._turns.values() if turn.made and turn.made[0].ended <= before]
            await asyncio.gather(*(self._settle(turn) for turn in late))

    async def _work(self, turn: Turn) -> Release:
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
        turn.members = {member.customer: member for member in found.secondaries()}
        if claim.planned == claim.generation:
            await self._fan_out(turn, await self._owed(turn))
            return self._later(turn)
        due = await self._plan(turn, found)
        if isinstance(due, Release):
            return due
        await self._fan_out(turn, due)
        return self._later(turn)

    async def _plan(self, turn: Turn, group: Group) -> Sequence[Due] | Release:
        """Write down what the tier change owes; return what is due, or a `Release` if that cannot be done now."""
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
        due: Sequence[Due] = ()
        for place, batch in enumerate(batches):
            self._step("before plan")
            first, last = place == 0, place == len(batches) - 1
            plan = Plan(claim, tier, group.id, batch, first, last, self._now(), self._limits.owed_batch_max)
            written = await self._store.plan(plan)
            if written is None:
                return Release(claim, self._now())
            due = written
        return due

    async def _tier(self, turn: Turn) -> Tier | Release:
        """Name the tier: from the event, else from the primary itself if it holds the tier that the event means."""
        claim = turn.claim
        if turn.org.policy.tier_source is TierSource.EVENT and claim.tier_name and claim.tier_number is not None:
            return Tier(claim.tier_number, claim.tier_name)
        held = await turn.primary()
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

    async def _fan_out(self, turn: Turn, page: Sequence[Due]) -> None:
        """Make the calls that are due, a few at a time, until there are none or the turn is over."""
        limits = self._limits
        while page and not (turn.over or self._winding_down):
            rest = iter(page)
            try:
                async with asyncio.TaskGroup() as lanes:
                    for _ in range(min(len(page), limits.key_calls_concurrent_max)):
                        lanes.create_task(self._lane(turn, rest))
            except ExceptionGroup as group:
                raise group.exceptions[0] from None
            if len(page) < limits.owed_batch_max:  # what fell due meanwhile is the next turn's
                return
            if not await self._settle(turn):
                return
            page = await self._owed(turn)

    async def _owed(self, turn: Turn) -> Sequence[Due]:
        return await self._store.owed(turn.claim, self._now(), self._limits.owed_batch_max)

    async def _lane(self, turn: Turn, rest: Iterator[Due]) -> None:
        for due in rest:
            if turn.over or self._winding_down:
                return
            with self._traces.adjustment(due.traceparent, first=due.first, ids=partial(_ids, turn.claim, due)):
                await self._adjust(turn, due)

    async def _adjust(self, turn: Turn, due: Due) -> None:
        """One attempt at one adjustment, from the decision what to call to what it came to."""
        began = self._monotonic()
        async with self._customers.lock((turn.claim.org, due.member)):
            outcome, sent = await turn.attempt(due, self._step)
        if isinstance(outcome, NotTried):
            turn.over = True
            return
        attempt, now = due.attempts + 1, self._now()
        decision = retry.decide(outcome, attempt, now, self._schedule, self._dice())
        written = settlement(turn.claim, due, outcome, decision, now, *sent)
        made = Made(due, outcome, decision, written, began, self._monotonic())
        turn.made.append(made)
        self._traces.ended(
            lambda: {"outcome": written.outcome, "reason": made.reason, "code": written.code, "attempt": attempt},
            well=not isinstance(decision, Dead),
        )
        if len(turn.made) >= self._limits.settle_batch_max:
            await self._settle(turn)

    def _take(self, turn: Turn) -> list[Made]:
        """What is to be written down now."""
        made, turn.made = turn.made, []
        if made:
            self._step("before settle")
        return made

    async def _settle(self, turn: Turn) -> bool:
        """Write down what was made so far, and say whether the turn goes on.

        If it cannot be written, no further call begins, and it goes with the release.
        """
        async with turn.settling:
            made, written = self._take(turn), False
            if not made:
                return not turn.over
            try:
                turn.over = not await self._store.settle(*(one.settlement for one in made)) or turn.over
                written = True
            except StoreUnavailable as error:
                log.warning("settle.not_written", sync=turn.claim.sync, error=str(error))
            except Exception:
                log.exception("settle.not_written", sync=turn.claim.sync)
            finally:
                if not written:
                    turn.made[:0], turn.over = made, True
        if written:
            self._tell(turn.claim, made)
        return not turn.over

    def _tell(self, claim: Claim, made: Sequence[Made]) -> None:
        """Say what was made, now that it is on disk, or that the key is another's who reads it back."""
        now = self._monotonic()
        for one in made:
            written, seconds = one.settlement, now - one.began
            dead = isinstance(one.decision, Dead)
            self._settled("dead" if dead else written.outcome, one.reason, written.code, written.attempts, seconds)
            if one.due.repairs and not isinstance(one.decision, Again):
                self._repaired("repaired" if written.status is AdjustmentStatus.DONE else written.status)
            log.info(
                "adjustment.settled",
                org=claim.org,
                program=claim.program,
                customer=claim.customer,
                member=written.member,
                event_row=written.event,
                outcome=written.outcome,
                decision=type(one.decision).__name__.lower(),
                reason=one.reason or None,
                code=written.code,
                attempt=written.attempts,
                seconds=round(seconds, 4),
            )

    def _later(self, turn: Turn) -> Release:
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
