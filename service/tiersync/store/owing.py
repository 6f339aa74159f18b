"""What a key owes now: its adjustments that are due."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select

from tiersync.fanout import AdjustmentStatus, Owed, Tier
from tiersync.intake import Kind
from tiersync.store.claims import Claim
from tiersync.store.tables import adjustments, events
from tiersync.webhook import Action


@dataclass(frozen=True, slots=True)
class Due:
    """An adjustment to be tried now. `tier` is None for a joiner: then the primary's own tier is meant."""

    event: int
    event_id: str
    member: int
    action: Action
    tier: Tier | None
    expiry: Any
    verify: bool
    may_lower: bool
    attempts: int
    traceparent: str | None = None  # of its event, if that is not the claim's
    first: bool = False  # no claim but this one was made since its event came
    repairs: bool = False  # a reconcile found this member elsewhere


def owed(connection: Connection, claim: Claim, now: int, limit: int) -> list[Due]:
    """The adjustments of a key that are due, the longest waiting first."""
    found = connection.execute(_OWED, {"_sync": claim.sync, "_now": now, "_limit": limit})
    return [
        Due(
            event=row.event,
            event_id=row.event_id,
            member=row.member,
            action=Action(row.action),
            tier=Tier(row.tier_number, row.tier_name) if row.tier_name is not None else None,
            expiry=row.expiry,
            verify=row.verify,
            may_lower=row.may_lower,
            attempts=row.attempts,
            traceparent=None if row.event == claim.event else row.traceparent,
            first=row.fence == claim.fence - 1,
            repairs=row.kind == Kind.RECONCILE,
        )
        for row in found
    ]


_of: Final = adjustments.c
_OWED: Final = (
    select(
        _of.event,
        events.c.event_id,
        events.c.kind,
        _of.member,
        _of.action,
        _of.tier_number,
        _of.tier_name,
        _of.expiry,
        _of.verify,
        _of.may_lower,
        _of.attempts,
        events.c.traceparent,
        events.c.fence,
    )
    .join(events, events.c.id == _of.event)
    .where(_of.sync == bindparam("_sync"), _of.status == AdjustmentStatus.DUE, _of.due_at <= bindparam("_now"))
    .order_by(_of.due_at, _of.event, _of.member)
    .limit(bindparam("_limit"))
)


def newly_owed(claim: Claim, owed: Sequence[Owed], limit: int) -> list[Due]:
    """What `owed` would find, without looking: `owed` was planned just now, and nothing else of this key is pending."""
    due = [
        Due(
            event=claim.event or 0,
            event_id=claim.event_id,
            member=item.member,
            action=item.action,
            tier=item.tier,
            expiry=claim.expiry,
            verify=item.verify,
            may_lower=item.may_lower,
            attempts=0,
            first=claim.first,
        )
        for item in owed
        if item.skip is None
    ]
    return sorted(due, key=lambda item: item.member)[:limit]
