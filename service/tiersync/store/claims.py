"""The verb `claim`, and who still holds what.

A claim carries a fence: whoever was overtaken by a later claim of the same key changes nothing any more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, select, update

from tiersync.intake import EventStatus
from tiersync.store import leases, queue
from tiersync.store.orgs import is_worked_for
from tiersync.store.statements import Many, among
from tiersync.store.tables import events, syncs
from tiersync.webhook import Action


@dataclass(frozen=True, slots=True)
class Want:
    """Somebody wants to work on a key from `now` until `until` at the latest, epoch milliseconds."""

    sync: int
    owner: str
    now: int
    until: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A key, held. `event` is None while only joins are known of it; then there is nothing to plan.

    `event_id` and `traceparent` are those of the tier change that is worked on; `first` if no claim was made since it
    came, `alone` if nothing else of this key is pending.
    """

    sync: int
    org: int
    program: int
    customer: int
    fence: int
    until: int
    generation: int
    planned: int
    event: int | None
    action: Action | None
    tier_number: int | None
    tier_name: str | None
    expiry: date | None
    inherits: bool
    attempt: int
    depth: int
    lowers: bool = False
    newest: int = 0  # events.id of the last event of this key, when it was claimed
    traceparent: str | None = None
    first: bool = False
    event_id: str = ""
    alone: bool = False


def claim(connection: Connection, wants: Sequence[Want]) -> list[Claim | None]:
    """Hold the keys that are due and free, and whose org is not held back. None for one that is not."""
    ids = {want.sync for want in wants}
    now = max(want.now for want in wants)
    due = {"_ids": leases.lock_due(connection, ids, now), "_now": now}
    free = {row.id: row for row in connection.execute(_DUE_AND_FREE, due)}
    leases.doubt(connection, [row.id for row in free.values() if row.owner is not None], now)
    answers: list[Claim | None] = []
    held: list[dict[str, Any]] = []
    for want in wants:
        row = free.pop(want.sync, None)
        answers.append(None if row is None else _claimed(row, want))
        if row is not None:
            held.append({"_id": row.id, "owner": want.owner, "due_at": want.until})
    _HOLD(connection, held)
    queue.drop(connection, ids - {one["_id"] for one in held})
    return answers


_arrived: Final = events.alias()
_PENDING: Final = (
    select(func.max(_arrived.c.id))
    .where(_arrived.c.sync == syncs.c.id, _arrived.c.status == EventStatus.PENDING)
    .correlate(syncs)
)
_DUE_AND_FREE: Final = (
    select(
        syncs,
        events.c.event_id,
        events.c.depth,
        events.c.traceparent,
        events.c.fence.label("came_at"),
        _PENDING.scalar_subquery().label("newest"),
        _PENDING.with_only_columns(func.min(_arrived.c.id)).scalar_subquery().label("oldest"),
    )
    .outerjoin(events, events.c.id == syncs.c.event)
    .where(among(syncs.c.id, "_ids"), syncs.c.due_at <= bindparam("_now"), is_worked_for())
)
_HOLD: Final = Many(
    lambda _: (
        update(syncs)
        .where(syncs.c.id == bindparam("_id"))
        .values(owner=bindparam("owner"), due_at=bindparam("due_at"), fence=syncs.c.fence + 1)
    )
)


def _claimed(row: Any, want: Want) -> Claim:
    return Claim(
        sync=row.id,
        fence=row.fence + 1,
        until=want.until,
        action=Action(row.action) if row.action else None,
        depth=row.depth or 0,
        newest=row.newest or 0,
        traceparent=None if row.settled else row.traceparent,
        first=row.came_at == row.fence,
        event_id=row.event_id or "",
        alone=row.newest == row.oldest == row.event,
        **{name: getattr(row, name) for name in _AS_IT_STANDS},
    )


_READ_OTHERWISE: Final = frozenset(
    {"sync", "fence", "until", "action", "depth", "newest", "traceparent", "first", "event_id", "alone"}
)
_AS_IT_STANDS: Final = [name for name in Claim.__dataclass_fields__ if name not in _READ_OTHERWISE]


def holding(connection: Connection, claims: Iterable[Claim]) -> dict[int, Any]:
    """The rows of these claims' keys, locked; a claim is good while its fence is still the row's."""
    ids = {claim.sync for claim in claims}
    return {row.id: row for row in connection.execute(_HOLDING, {"_ids": list(ids)})}


_HOLDING: Final = (
    select(syncs.c.id, syncs.c.fence, syncs.c.generation, syncs.c.planned, syncs.c.event, syncs.c.settled)
    .where(among(syncs.c.id, "_ids"))
    .order_by(syncs.c.id)
    .with_for_update()
)


def is_current(claim: Claim, row: Any) -> bool:
    """Say whether a claim holds its key, and for the tier change that is still the newest."""
    return bool(row is not None and row.fence == claim.fence and row.generation == claim.generation)
