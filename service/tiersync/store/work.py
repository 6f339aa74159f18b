"""The verbs of the work: `claim`, `plan`, `settle`, `release`.

Each runs inside the writer's transaction for many items at once. A claim carries a fence: whoever was overtaken by a
later claim of the same key changes nothing any more.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiersync.fanout import AdjustmentStatus, Owed, Tier
from tiersync.intake import EventStatus
from tiersync.store.forward import insert_for
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
    """A key, held. `event` is None while only joins are known of it; then there is nothing to plan."""

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
    """What one attempt at one adjustment came to. `due_at` is None unless it is to be tried again."""

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


@dataclass(frozen=True, slots=True)
class Release:
    """The end of a claim.

    Without more, the key is due when its next adjustment is. `retry_at`: the attempt failed before anything could be
    planned. `close`: nothing of it is to be done, for `reason`.
    """

    claim: Claim
    now: int
    retry_at: int | None = None
    close: EventStatus | None = None
    reason: str | None = None
    detail: str | None = None


async def claim(connection: AsyncConnection, wants: Sequence[Want]) -> list[Claim | None]:
    """Hold the keys that are due and free. None for one that is not."""
    ids = {want.sync for want in wants}
    now = max(want.now for want in wants)
    free = {
        row.id: row
        for row in await connection.execute(
            select(syncs, events.c.depth)
            .outerjoin(events, events.c.id == syncs.c.event)
            .where(syncs.c.id.in_(ids), syncs.c.due_at <= now)
            .order_by(syncs.c.id)
            .with_for_update(of=syncs, skip_locked=True)
        )
    }
    answers: list[Claim | None] = []
    held = []
    for want in wants:
        row = free.pop(want.sync, None)
        answers.append(None if row is None else _claimed(row, want))
        if row is not None:
            held.append({"_id": row.id, "owner": want.owner, "due_at": want.until})
    if held:
        await connection.execute(_HOLD, held)
    return answers


_HOLD: Final = (
    update(syncs)
    .where(syncs.c.id == bindparam("_id"))
    .values(owner=bindparam("owner"), due_at=bindparam("due_at"), fence=syncs.c.fence + 1)
)


def _claimed(row: Any, want: Want) -> Claim:
    return Claim(
        sync=row.id,
        org=row.org,
        program=row.program,
        customer=row.customer,
        fence=row.fence + 1,
        until=want.until,
        generation=row.generation,
        planned=row.planned,
        event=row.event,
        action=Action(row.action) if row.action else None,
        tier_number=row.tier_number,
        tier_name=row.tier_name,
        expiry=row.expiry,
        inherits=row.inherits,
        attempt=row.attempt,
        depth=row.depth or 0,
    )


async def _holding(connection: AsyncConnection, claims: Iterable[Claim]) -> dict[int, Any]:
    """The rows of these claims' keys, locked; a claim is good while its fence is still the row's."""
    ids = {claim.sync for claim in claims}
    columns = (syncs.c.id, syncs.c.fence, syncs.c.generation, syncs.c.planned, syncs.c.event, syncs.c.settled)
    found = await connection.execute(select(*columns).where(syncs.c.id.in_(ids)).order_by(syncs.c.id).with_for_update())
    return {row.id: row for row in found}


def _is_current(claim: Claim, row: Any) -> bool:
    return bool(row is not None and row.fence == claim.fence and row.generation == claim.generation)


async def plan(connection: AsyncConnection, plans: Sequence[Plan]) -> list[bool]:
    """Write adjustments down. False for a claim that was overtaken: its batch is not written."""
    rows = await _holding(connection, (item.claim for item in plans))
    answers = [_is_current(item.claim, rows.get(item.claim.sync)) for item in plans]
    good = [item for item, current in zip(plans, answers, strict=True) if current]
    if owed := [_owed_values(item, owed) for item in good for owed in item.owed]:
        # A plan that is made again (after a crash, by a replay) corrects what is still due and leaves the rest alone.
        statement = insert_for(connection, adjustments)
        corrected = {name: statement.excluded[name] for name in ("tier_number", "tier_name", "may_lower", "expiry")}
        await connection.execute(
            statement.on_conflict_do_update(
                index_elements=["event", "member"],
                set_=corrected,
                where=adjustments.c.status == AdjustmentStatus.DUE,
            ),
            owed,
        )
    if complete := [item for item in good if item.last]:
        await connection.execute(
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


async def settle(connection: AsyncConnection, settlements: Sequence[Settlement]) -> list[bool]:
    """Write outcomes down. False tells the worker to stop: its claim or its tier change was overtaken.

    An outcome is kept even then, but only on an adjustment that is still due: what was superseded stays so.
    """
    rows = await _holding(connection, (item.claim for item in settlements))
    held = [item for item in settlements if (row := rows.get(item.claim.sync)) and row.fence == item.claim.fence]
    if held:
        await connection.execute(_SETTLE, [_settled_values(item) for item in held])
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
    )
)


def _settled_values(item: Settlement) -> dict[str, Any]:
    return {
        "_event": item.event,
        "_member": item.member,
        "_now": item.now,
        **{name: getattr(item, name) for name in _SETTLED},
    }


@dataclass(slots=True)
class _Tally:
    """What the adjustments of one pending event come to: when the next is due, and whether and why any is dead."""

    next_at: int | None = None
    dead: bool = False
    reason: str | None = None


async def release(connection: AsyncConnection, releases: Sequence[Release]) -> list[int | None]:
    """End claims: finish the events that owe nothing more, and say when the key is due next (None: not at all)."""
    rows = await _holding(connection, (item.claim for item in releases))
    held = [item for item in releases if (row := rows.get(item.claim.sync)) and row.fence == item.claim.fence]
    pending = await _pending_events(connection, {item.claim.sync for item in held})
    tallies = await _tallies(connection, [event for of in pending.values() for event in of])
    ended: list[dict[str, Any]] = []
    dropped: list[dict[str, Any]] = []
    freed: list[dict[str, Any]] = []
    due: dict[int, int | None] = {}
    for item in held:
        row = rows[item.claim.sync]
        closing = item.close is not None and row.generation == item.claim.generation
        settled, next_at = row.settled, []
        for event in pending[row.id]:
            tally = tallies[event]
            if closing:
                status, reason = item.close, item.reason
                dropped.append({"_event": event, "reason": item.reason})
            elif event == row.event and row.planned != row.generation:
                next_at.append(item.now)
                continue
            elif tally.next_at is not None:
                next_at.append(tally.next_at)
                continue
            else:
                status, reason = (EventStatus.DEAD, tally.reason) if tally.dead else (EventStatus.DONE, None)
            settled = settled if event != row.event else status is not EventStatus.DEAD
            ended.append({"_id": event, "status": status, "reason": reason, "detail": item.detail, "at": item.now})
        moved = row.generation != item.claim.generation
        retry = [item.retry_at] if item.retry_at is not None else []
        due[row.id] = item.now if moved else min(retry or next_at, default=None)
        attempt = item.claim.attempt + 1 if retry and not moved else 0
        freed.append({"_id": row.id, "due_at": due[row.id], "settled": settled, "attempt": attempt})
    for statement, values in ((_END, ended), (_DROP, dropped), (_FREE, freed)):
        if values:
            await connection.execute(statement, values)
    return [due.get(item.claim.sync) for item in releases]


_END: Final = (
    update(events)
    .where(events.c.id == bindparam("_id"))
    .values(
        status=bindparam("status"), reason=bindparam("reason"), detail=bindparam("detail"), finished_at=bindparam("at")
    )
)
_DROP: Final = (
    update(adjustments)
    .where(adjustments.c.event == bindparam("_event"), adjustments.c.status == AdjustmentStatus.DUE)
    .values(status=AdjustmentStatus.SKIPPED, reason=bindparam("reason"), due_at=None)
)
_FREE: Final = (
    update(syncs)
    .where(syncs.c.id == bindparam("_id"))
    .values(owner=None, due_at=bindparam("due_at"), settled=bindparam("settled"), attempt=bindparam("attempt"))
)


async def _pending_events(connection: AsyncConnection, ids: set[int]) -> dict[int, list[int]]:
    found = await connection.execute(
        select(events.c.id, events.c.sync)
        .where(events.c.sync.in_(ids), events.c.status == EventStatus.PENDING)
        .order_by(events.c.id)
    )
    pending: dict[int, list[int]] = defaultdict(list)
    for row in found:
        pending[row.sync].append(row.id)
    return pending


async def _tallies(connection: AsyncConnection, ids: Sequence[int]) -> dict[int, _Tally]:
    tallies = {event: _Tally() for event in ids}
    columns = adjustments.c
    found = await connection.execute(
        select(columns.event, columns.status, func.min(columns.due_at), func.min(columns.reason))
        .where(columns.event.in_(ids), columns.status.in_([AdjustmentStatus.DUE, AdjustmentStatus.DEAD]))
        .group_by(columns.event, columns.status)
    )
    for event, status, next_at, reason in found:
        if status == AdjustmentStatus.DUE:
            tallies[event].next_at = next_at
        else:
            tallies[event].dead, tallies[event].reason = True, reason
    return tallies
