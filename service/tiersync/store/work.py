"""The verbs of the work: `claim`, `plan`, `settle`. The last one, `release`, has `releasing` for itself.

Each runs inside the writer's transaction for many items at once. A claim carries a fence: whoever was overtaken by a
later claim of the same key changes nothing any more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Executable, bindparam, case, func, select, update

from tiersync.fanout import AdjustmentStatus, Owed, Tier
from tiersync.intake import EventStatus
from tiersync.store import leases, queue
from tiersync.store.forward import insert_for
from tiersync.store.orgs import is_worked_for
from tiersync.store.tables import adjustments, events, syncs
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

    `traceparent` is that of the tier change that is worked on; `first` if no claim was made since it came.
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


@dataclass(frozen=True, slots=True)
class Plan:
    """A batch of the adjustments that a claim's tier change owes; `last` completes the plan."""

    claim: Claim
    tier: Tier
    group: int
    owed: Sequence[Owed]
    last: bool
    now: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one attempt at one adjustment came to.

    `due_at` is None unless it is to be tried again. `sent` is the change that was sent last, if one was, and
    `sent_tier` the number of the tier that was meant.
    """

    claim: Claim
    event: int
    member: int
    status: AdjustmentStatus
    outcome: str
    reason: str | None
    code: int | None
    message: str | None
    attempts: int
    verify: bool
    due_at: int | None
    now: int
    sent: Action | None = None
    sent_tier: int | None = None


def claim(connection: Connection, wants: Sequence[Want]) -> list[Claim | None]:
    """Hold the keys that are due and free, and whose org is not held back. None for one that is not."""
    ids = {want.sync for want in wants}
    now = max(want.now for want in wants)
    due = {"_ids": leases.lock_due(connection, ids, now), "_now": now}
    free = {row.id: row for row in connection.execute(_DUE_AND_FREE, due)}
    leases.doubt(connection, [row.id for row in free.values() if row.owner is not None], now)
    answers, held = list[Claim | None](), list[dict[str, Any]]()
    for want in wants:
        row = free.pop(want.sync, None)
        answers.append(None if row is None else _claimed(row, want))
        if row is not None:
            held.append({"_id": row.id, "owner": want.owner, "due_at": want.until})
    if held:
        connection.execute(_HOLD, held)
    queue.drop(connection, ids - {one["_id"] for one in held})
    return answers


_arrived: Final = events.alias()
_NEWEST: Final = (
    select(func.max(_arrived.c.id))
    .where(_arrived.c.sync == syncs.c.id, _arrived.c.status == EventStatus.PENDING)
    .correlate(syncs)
    .scalar_subquery()
    .label("newest")
)
_DUE_AND_FREE: Final = (
    select(syncs, events.c.depth, events.c.traceparent, events.c.fence.label("came_at"), _NEWEST)
    .outerjoin(events, events.c.id == syncs.c.event)
    .where(syncs.c.id.in_(bindparam("_ids", expanding=True)), syncs.c.due_at <= bindparam("_now"), is_worked_for())
)
_HOLD: Final = (
    update(syncs)
    .where(syncs.c.id == bindparam("_id"))
    .values(owner=bindparam("owner"), due_at=bindparam("due_at"), fence=syncs.c.fence + 1)
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
        **{name: getattr(row, name) for name in _AS_IT_STANDS},
    )


_READ_OTHERWISE: Final = frozenset({"sync", "fence", "until", "action", "depth", "newest", "traceparent", "first"})
_AS_IT_STANDS: Final = [name for name in Claim.__dataclass_fields__ if name not in _READ_OTHERWISE]


def holding(connection: Connection, claims: Iterable[Claim]) -> dict[int, Any]:
    """The rows of these claims' keys, locked; a claim is good while its fence is still the row's."""
    ids = {claim.sync for claim in claims}
    return {row.id: row for row in connection.execute(_HOLDING, {"_ids": list(ids)})}


_HOLDING: Final = (
    select(syncs.c.id, syncs.c.fence, syncs.c.generation, syncs.c.planned, syncs.c.event, syncs.c.settled)
    .where(syncs.c.id.in_(bindparam("_ids", expanding=True)))
    .order_by(syncs.c.id)
    .with_for_update()
)


def _is_current(claim: Claim, row: Any) -> bool:
    return bool(row is not None and row.fence == claim.fence and row.generation == claim.generation)


def plan(connection: Connection, plans: Sequence[Plan]) -> list[bool]:
    """Write adjustments down. False for a claim that was overtaken: its batch is not written."""
    rows = holding(connection, (item.claim for item in plans))
    answers = [_is_current(item.claim, rows.get(item.claim.sync)) for item in plans]
    good = [item for item, current in zip(plans, answers, strict=True) if current]
    if owed := [_owed_values(item, owed) for item in good for owed in item.owed]:
        connection.execute(_write_owed(connection.dialect.name), owed)
    if complete := [item for item in good if item.last]:
        connection.execute(
            _PLANNED,
            [
                {
                    "_id": item.claim.sync,
                    "planned": item.claim.generation,
                    "tier_number": item.tier.number,
                    "tier_name": item.tier.name,
                    "group_id": item.group,
                }
                for item in complete
            ],
        )
    return answers


@cache
def _write_owed(dialect: str) -> Executable:
    """A plan that is made again (after a crash, by a replay) corrects what is still due and leaves the rest alone."""
    statement = insert_for(dialect, adjustments)
    corrected: dict[str, ColumnElement[Any]] = {name: statement.excluded[name] for name in _CORRECTED}
    corrected["due_at"] = case((statement.excluded.due_at.is_not(None), adjustments.c.due_at))
    corrected["reason"] = func.coalesce(statement.excluded.reason, adjustments.c.reason)
    return statement.on_conflict_do_update(
        index_elements=["event", "member"], set_=corrected, where=adjustments.c.status == AdjustmentStatus.DUE
    )


_CORRECTED: Final = ("tier_number", "tier_name", "may_lower", "expiry", "status")
_PLANNED: Final = (
    update(syncs)
    .where(syncs.c.id == bindparam("_id"))
    .values({name: bindparam(name) for name in ("planned", "tier_number", "tier_name", "group_id")} | {"attempt": 0})
)


def _owed_values(item: Plan, owed: Owed) -> dict[str, Any]:
    skipped = owed.skip is not None
    return {
        "event": item.claim.event,
        "member": owed.member,
        "sync": item.claim.sync,
        "org": item.claim.org,
        "program": item.claim.program,
        "group_id": item.group,
        "action": owed.action,
        "tier_number": owed.tier.number,
        "tier_name": owed.tier.name,
        "expiry": item.claim.expiry,
        "verify": owed.verify,
        "may_lower": owed.may_lower,
        "depth": item.claim.depth,
        "status": AdjustmentStatus.SKIPPED if skipped else AdjustmentStatus.DUE,
        "reason": owed.skip,
        "due_at": None if skipped else item.now,
        "planned_at": item.now,
    }


def settle(connection: Connection, settlements: Sequence[Settlement]) -> list[bool]:
    """Write outcomes down. False tells the worker to stop: its claim or its tier change was overtaken.

    An outcome is kept even then, but only on an adjustment that is still due: what was superseded stays so.
    """
    rows = holding(connection, (item.claim for item in settlements))
    held = [item for item in settlements if (row := rows.get(item.claim.sync)) and row.fence == item.claim.fence]
    if held:
        connection.execute(_SETTLE, [_settled_values(item) for item in held])
    return [_is_current(item.claim, rows.get(item.claim.sync)) for item in settlements]


_SETTLED: Final = ("status", "outcome", "reason", "code", "message", "attempts", "verify", "due_at")
_SETTLE: Final = (
    update(adjustments)
    .where(
        adjustments.c.event == bindparam("_event"),
        adjustments.c.member == bindparam("_member"),
        adjustments.c.status == AdjustmentStatus.DUE,
    )
    .values(
        {name: bindparam(name) for name in _SETTLED}
        | {"last_at": bindparam("_now"), "first_at": func.coalesce(adjustments.c.first_at, bindparam("_now"))}
        | {"sent": func.coalesce(bindparam("_sent"), adjustments.c.sent)}
        | {"tier_number": func.coalesce(bindparam("_sent_tier"), adjustments.c.tier_number)}
    )
)


def _settled_values(item: Settlement) -> dict[str, Any]:
    return {
        "_event": item.event,
        "_member": item.member,
        "_now": item.now,
        "_sent": item.sent,
        "_sent_tier": item.sent_tier,
        **{name: getattr(item, name) for name in _SETTLED},
    }
