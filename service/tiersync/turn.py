"""One turn at one key: what it knows, what it has made and not yet written down, and one attempt at one secondary."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tiersync import fanout
from tiersync.capillary import Capillary, NotTried
from tiersync.fanout import Goal, Held, Member, Move, Policy, SeveralGroups, Tier, Validity
from tiersync.retry import Decision, Outcome, Refused, Skipped, TryAgain
from tiersync.store import Claim, Due, Settlement
from tiersync.webhook import Action

Step = Callable[[str], None]
"""Told the name of each point that the work passes."""


@dataclass(frozen=True, slots=True)
class Org:
    """What the worker needs of one org."""

    capillary: Capillary
    policy: Policy
    attempt_s_max: float
    members_max: int


Sent = tuple[Action, int] | tuple[()]
"""The change that was sent, and the number of the tier that it leads to: how its echo is known."""


@dataclass(frozen=True, slots=True)
class Made:
    """An attempt that was made and is to be written down. `began` and `ended` are monotonic seconds."""

    due: Due
    outcome: Outcome
    decision: Decision
    settlement: Settlement
    began: float
    ended: float

    @property
    def reason(self) -> str:
        """Why it came to that, if there is a reason to name."""
        return getattr(self.outcome, "reason", "")


@dataclass(slots=True)
class Turn:
    """A turn. `until` is the monotonic second after which no call may begin: the fence of the lease.

    Whoever takes what was `made` holds `settling` until it is on disk or back: the release must not overtake it.
    """

    claim: Claim
    org: Org
    ends: float
    until: float = 0.0
    members: Mapping[int, Member] = field(default_factory=dict)
    over: bool = False
    made: list[Made] = field(default_factory=list)
    settling: asyncio.Lock = field(default_factory=asyncio.Lock)
    _primary: Held | TryAgain | Refused | NotTried | None = None
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    def may_call(self, held_from: float, lease_s: float) -> None:
        """Let calls begin as long as they end within the lease, and the turn is not too long."""
        self.until = min(held_from + lease_s - self.org.attempt_s_max, self.ends)

    async def primary(self) -> Held | TryAgain | Refused | NotTried:
        """The primary's own tier, read once in a turn."""
        async with self._reading:
            if self._primary is None:
                self._primary = await self.org.capillary.tier(self.claim.customer, self.claim.program, self.until)
            return self._primary

    async def attempt(self, due: Due, step: Step) -> tuple[Outcome | NotTried, Sent]:
        """Make the calls of one attempt; return what it came to, and the change that was sent last."""
        member = self.members.get(due.member)
        if member is None:
            # Somebody who joined since the claim is not in the group as it was read: the next turn reads it again.
            return NotTried() if due.event > self.claim.newest else Skipped("left"), ()
        tier = due.tier or await self._joiners_tier(member)
        if not isinstance(tier, Tier):
            return tier, ()
        capillary, program = self.org.capillary, self.claim.program
        sent: Sent = ()
        expiry = due.expiry if self.org.policy.validity is Validity.MIRROR else None
        goal, why = Goal(due.action, tier, due.may_lower), f"tiersync {due.event_id}"
        steps: list[tuple[Move, Outcome | Held]] = []
        move: Move | Outcome = fanout.first_move(due.action, verify=due.verify)
        while isinstance(move, Move):
            step("before call")
            answer: Outcome | Held | NotTried
            if move is Move.READ:
                answer = await capillary.tier(due.member, program, self.until)
            else:
                sent = (Action(move.value), tier.number)
                answer = await capillary.adjust(due.member, program, move, tier.name, expiry, why, self.until)
            step("after call")
            if isinstance(answer, NotTried):
                return answer, sent
            steps.append((move, answer))
            move = fanout.next_move(goal, steps)
        return move, sent

    async def _joiners_tier(self, member: Member) -> Tier | Outcome | NotTried:
        """Whoever joined is owed whatever tier the primary holds now."""
        if self.org.policy.several_groups is SeveralGroups.DEFAULT_GROUP and not member.default_group:
            return Skipped("not_default_group")
        held = await self.primary()
        if not isinstance(held, Held):
            return held
        return held.tier or Refused("primary_without_tier")
