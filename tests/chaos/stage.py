"""A stage for an errand: how it is set while no service runs, and what can be found out in the end."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.kit import City
from tests.contract.store_kit import Hand, outcome, owed
from tests.journey.kit import ORG, PROGRAM, Family, Json
from tiersync import intake
from tiersync.fanout import AdjustmentStatus, Policy, Tier
from tiersync.intake import ANY_ORG, Arrival


async def nothing() -> None:
    """Do nothing: the service finds the errand by itself."""


async def nothing_wrong() -> list[str]:
    """Find nothing wrong."""
    return []


@dataclass(frozen=True, slots=True)
class Stage:
    """One errand on a stage that is set.

    `command` is who carries it out, alone or by leaving it to the service; without one the service is told by `happen`,
    or by its `settings`. `jobs` are on record in the end. A command that `repeats` is given once more if it was killed.
    """

    may_be_touched: set[int]
    wrongs: Callable[[], Awaitable[list[str]]] = nothing_wrong
    happen: Callable[[], Awaitable[None]] = nothing
    command: Json | None = None
    jobs: int = 1
    repeats: bool = False
    settings: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Errand:
    """How a stage is set, and which points are this errand's own: commits of these verbs, and some that are named."""

    stage: Callable[[City], Awaitable[Stage]]
    own: frozenset[str]
    named: frozenset[str] = frozenset()
    by: tuple[str, ...] = ("command", "service")

    @property
    def points(self) -> frozenset[str]:
        """All the points that are its own."""
        return self.named.union(f"{when} commit: {verb}" for verb in self.own for when in ("before", "after"))


def hand_in(here: City) -> Hand:
    """Give the hand that sets stages in this city."""
    assert here.hand is not None
    return here.hand


def arrival(body: Json | bytes, at: int, **policy: Any) -> Arrival:
    """A delivery as the service understands it."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return intake.admit(raw, at, {ANY_ORG: Policy(**{"default_program": PROGRAM, **policy})})


def membership(primary: int, member: int, event_id: str) -> Json:
    """The body of a join of somebody who is in the group by now."""
    customers = {
        "primaryMember": {"customerIdentifiers": {"customerId": primary}},
        "memberAdded": {"customerIdentifiers": {"customerId": member}},
    }
    return {"eventName": "groupMemberAdded", "eventId": event_id, "orgId": ORG, "data": {"groupId": 1, **customers}}


async def moved(here: City, tiers: Mapping[int, str]) -> None:
    """Put customers into tiers by hand; no event tells of it."""
    await here.town.switch(events={"lost": True})
    for customer, tier in tiers.items():
        await here.town.decide(customer, tier)
    await here.town.switch(events={"lost": False})


async def tried(by: Hand, change: Arrival, came_to: Mapping[int, AdjustmentStatus]) -> None:
    """An event each of whose adjustments was tried once, and came to this."""
    now = change.received_at
    claim = await by.claimed(await by.due(change), now)
    if claim.planned != claim.generation:
        tier = Tier(change.tier_number or 0, change.tier_name or "")
        await by.planned(claim, owed(*came_to, tier=tier), now)
    for due in await by.store.owed(claim, now, len(came_to)):
        status = came_to[due.member]
        again = now if status is AdjustmentStatus.DUE else None
        await by.store.settle(outcome(claim, due, status, now, due_at=again))
    await by.released(claim, now)


async def done(by: Hand, change: Arrival, people: Family) -> None:
    """A tier change that was carried out."""
    await tried(by, change, dict.fromkeys(people.secondaries, AdjustmentStatus.DONE))


def unlike(what: str, expected: object, found: object) -> list[str]:
    """Say what is not as it should be."""
    return [] if expected == found else [f"{what}: {found}, and not {expected}"]


async def audit(here: City, matched: int, counts: Mapping[str, int]) -> list[str]:
    """Compare the one job that is on record with what it was to do."""
    found = await here.rows("SELECT status, matched, done, counts FROM jobs")
    jobs = [(status, of, done, json.loads(told)) for status, of, done, told in found]
    return unlike("jobs on record", [("done", matched, matched, dict(counts))], jobs)


async def stored(here: City) -> set[str]:
    """List the events that are stored."""
    return {row[0] for row in await here.rows("SELECT event_id FROM events")}
