"""The verbs between a claim and its release: `plan` and `settle`, for many claims at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Executable, bindparam, case, func, update

from tiersync.fanout import AdjustmentStatus, Owed, Tier
from tiersync.store import owing
from tiersync.store.claims import Claim, holding, is_current
from tiersync.store.forward import insert_for
from tiersync.store.owing import Due
from tiersync.store.statements import Many
from tiersync.store.tables import adjustments, syncs
from tiersync.webhook import Action


@dataclass(frozen=True, slots=True)
class Plan:
    """A batch of the adjustments that a claim's tier change owes: `first` begins the plan, `last` completes it.

    Up to `due_max` of what is due then are handed back with the last one.
    """

    claim: Claim
    tier: Tier
    group: int
    owed: Sequence[Owed]
    first: bool
    last: bool
    now: int
    due_max: int


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


def plan(connection: Connection, plans: Sequence[Plan]) -> list[list[Due] | None]:
    """Write adjustments down; answers what is due then. None for a claim that was overtaken: nothing is written."""
    rows = holding(connection, (item.claim for item in plans))
    current = [is_current(item.claim, rows.get(item.claim.sync)) for item in plans]
    good = [item for item, is_good in zip(plans, current, strict=True) if is_good]
    _WRITE_OWED(connection, [_owed_values(item, owed) for item in good for owed in item.owed])
    _PLANNED(
        connection,
        [
            {
                "_id": item.claim.sync,
                "planned": item.claim.generation,
                "tier_number": item.tier.number,
                "tier_name": item.tier.name,
                "group_id": item.group,
            }
            for item in good
            if item.last
        ],
    )
    return [_due(connection, item) if is_good else None for item, is_good in zip(plans, current, strict=True)]


def _due(connection: Connection, item: Plan) -> list[Due]:
    if not item.last:
        return []
    # Nothing was ever planned for an event that nobody claimed before: what is due is what was written just now.
    if item.first and item.claim.first and item.claim.alone:
        return owing.newly_owed(item.claim, item.owed, item.due_max)
    return owing.owed(connection, item.claim, item.now, item.due_max)


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
_WRITE_OWED: Final = Many(_write_owed)
_AS_PLANNED: Final = ("planned", "tier_number", "tier_name", "group_id")
_PLANNED: Final = Many(
    lambda _: (
        update(syncs)
        .where(syncs.c.id == bindparam("_id"))
        .values({name: bindparam(name) for name in _AS_PLANNED} | {"attempt": 0})
    )
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


def settle(connection: Connection, batches: Sequence[Sequence[Settlement]]) -> list[bool]:
    """Write outcomes down. False tells the worker to stop: a claim or a tier change was overtaken.

    After a newer tier change an outcome is kept, but only on an adjustment that is still due: what was superseded stays
    so. Of a claim that was lost nothing is written: whoever has the key now reads back what it owes.
    """
    rows = holding(connection, (item.claim for batch in batches for item in batch))
    held = [
        item
        for batch in batches
        for item in batch
        if (row := rows.get(item.claim.sync)) and row.fence == item.claim.fence
    ]
    _SETTLE(connection, [_settled_values(item) for item in held])
    return [all(is_current(item.claim, rows.get(item.claim.sync)) for item in batch) for batch in batches]


_SETTLED: Final = ("status", "outcome", "reason", "code", "message", "attempts", "verify", "due_at")
_SETTLE: Final = Many(
    lambda _: (
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
