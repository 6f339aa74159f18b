"""What the store's tests stand on: deliveries made by hand, and a hand that works on keys as a worker does.

Time is a number that each test states; `NOW` is where it begins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tiersync.fanout import AdjustmentStatus, Owed, Policy, Tier
from tiersync.intake import Arrival, EventStatus, Kind
from tiersync.store import (
    Advance,
    Claim,
    Due,
    JobKind,
    JobStatus,
    Plan,
    Received,
    Release,
    Replay,
    Replayed,
    Selection,
    Settlement,
    Store,
    Want,
)
from tiersync.webhook import Action

NOW = 1_800_000_000_000
LEASE_MS = 30_000
FAR = NOW + 10**12
ORG, PROGRAM, PRIMARY, GROUP = 50_614, 973, 566_998_132, 3_918_893
ANN, BOB, EVE = 564_662_499, 564_662_500, 564_662_501
SILVER, GOLD, DIAMOND = Tier(1, "Silver"), Tier(2, "Gold"), Tier(3, "Diamond")


def tier_change(event_id: str, changed_at: int = NOW, tier: Tier = GOLD, **other: Any) -> Arrival:
    """A delivery that says: the primary has this tier since then."""
    arrival = Arrival(
        org=ORG,
        event_id=event_id,
        status=EventStatus.PENDING,
        reason=None,
        detail=None,
        kind=Kind.TIER,
        name="tierUpgraded",
        received_at=NOW,
        changed_at=changed_at,
        dated=True,
        body=b'{"eventName": "tierUpgraded"}',
        policy=Policy(),
        program=PROGRAM,
        customer=PRIMARY,
        action=Action.UPGRADE,
        tier_number=tier.number,
        tier_name=tier.name,
    )
    return replace(arrival, **other)


def join(event_id: str, member: int, **other: Any) -> Arrival:
    """A delivery that says: somebody joined the primary's group."""
    return replace(
        tier_change(event_id),
        kind=Kind.JOIN,
        name="groupMemberAdded",
        action=None,
        tier_number=None,
        tier_name=None,
        member=member,
        group=GROUP,
        **other,
    )


def leave(event_id: str, member: int, **other: Any) -> Arrival:
    """A delivery that says: somebody left the primary's group."""
    gone = join(event_id, member, status=EventStatus.DONE)
    return replace(gone, kind=Kind.LEAVE, name="groupMemberRemoved", **other)


def without_key(event_id: str, status: EventStatus, reason: str) -> Arrival:
    """A delivery that moves no key: ignored, quarantined, or dead for want of a program."""
    return tier_change(event_id, status=status, reason=reason, program=None)


def owed(*members: int, tier: Tier = GOLD, **other: Any) -> list[Owed]:
    """Adjustments that bring `members` to `tier`."""
    usual = Owed(0, Action.UPGRADE, tier, verify=False, may_lower=True)
    return [replace(usual, member=member, **other) for member in members]


def outcome(
    claim: Claim, due: Due, status: AdjustmentStatus = AdjustmentStatus.DONE, now: int = NOW, **other: Any
) -> Settlement:
    """What an attempt came to: applied, unless told otherwise; a `due_at` is due again."""
    settlement = Settlement(
        claim=claim,
        event=due.event,
        member=due.member,
        status=status,
        outcome="applied",
        reason=None,
        code=None,
        message=None,
        attempts=due.attempts + 1,
        verify=due.verify,
        due_at=None,
        now=now,
        sent=due.action,
    )
    return replace(settlement, **other)


@dataclass(frozen=True, slots=True)
class Hand:
    """Works on the keys of a store as a worker does."""

    store: Store

    async def received(self, *arrivals: Arrival) -> Received:
        """Receive one after the other; return the last answer."""
        *_, last = [await self.store.receive(arrival) for arrival in arrivals]
        return last

    async def due(self, arrival: Arrival) -> int:
        """Receive what makes its key due; return the key."""
        answer = await self.store.receive(arrival)
        assert answer.sync is not None, answer
        return answer.sync

    async def claimed(self, key: int, now: int = NOW, owner: str = "hand") -> Claim:
        """Claim a key that must be due and free."""
        claim = await self.store.claim(Want(key, owner, now, now + LEASE_MS))
        assert claim is not None, "the key is not due, or not free"
        return claim

    async def planned(self, claim: Claim, items: Sequence[Owed], now: int = NOW, *, last: bool = True) -> bool:
        """Write down what the claim's tier change owes."""
        assert claim.tier_number is not None
        tier = Tier(claim.tier_number, claim.tier_name or "")
        due = await self.store.plan(Plan(claim, tier, GROUP, items, first=True, last=last, now=now, due_max=100))
        # What comes back is what one would read, whether the store looked or knew without looking.
        assert due is None or due == (await self.store.owed(claim, now, 100) if last else [])
        return due is not None

    async def settled(
        self, claim: Claim, now: int = NOW, status: AdjustmentStatus = AdjustmentStatus.DONE, **other: Any
    ) -> list[bool]:
        """Attempt everything that is due, each with the same outcome."""
        due = await self.store.owed(claim, now, 100)
        return [await self.store.settle(outcome(claim, item, status, now, **other)) for item in due]

    async def released(self, claim: Claim, now: int = NOW, **other: Any) -> int | None:
        """Give a key back."""
        return await self.store.release(Release(claim, now, **other))

    async def finished(self, key: int, members: Sequence[int], now: int = NOW) -> int | None:
        """Work a due key off: plan for `members`, adjust whoever is due, release."""
        claim = await self.claimed(key, now)
        if claim.planned != claim.generation:
            await self.planned(claim, owed(*members, tier=Tier(claim.tier_number or 0, claim.tier_name or "")), now)
        await self.settled(claim, now)
        return await self.released(claim, now)

    async def replayed(self, item: Replay) -> Replayed:
        """Replay a stored event as a job does."""
        job = await self.store.begin_job(
            JobKind.REPLAY,
            Selection(ids=(item.arrival.event_id,)),
            by="hand",
            now=item.now,
            owner="hand",
            until=item.now + LEASE_MS,
        )
        step = Advance(job.id, "hand", item.event, [item], item.now, item.now + LEASE_MS)
        advanced = await self.store.advance_job(step)
        assert advanced is not None
        (result,) = advanced.counts
        await self.store.end_job(job.id, JobStatus.DONE, now=item.now, owner="hand")
        return Replayed(result)

    async def event(self, event_id: str, org: int = ORG) -> dict[str, Any]:
        """One stored event, as the operator sees it."""
        found = await self.store.show_event(org, event_id, 1000)
        assert found is not None, f"{event_id} is not stored"
        return found

    async def status(self, event_id: str) -> tuple[str, str | None]:
        """Where an event stands, and why."""
        found = await self.event(event_id)
        return found["status"], found["reason"]

    async def adjustments(self, event_id: str) -> Mapping[int, str]:
        """Where each member's adjustment of an event stands."""
        return {row["member"]: row["status"] for row in (await self.event(event_id))["adjustments"]}

    async def due_keys(self, now: int = NOW) -> list[int]:
        """The keys that are due, the longest waiting first."""
        return [key for key, _ in await self.store.sweep(now, 100)]
