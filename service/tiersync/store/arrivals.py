"""The verb `receive`: what deliveries do to the tables.

Runs inside the writer's transaction and handles many deliveries with few statements: event row and sync row change in
the same commit, before anybody is answered.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Executable, and_, bindparam, exists, func, insert, or_, select, update

from tiersync.fanout import AdjustmentStatus
from tiersync.intake import Arrival, EventStatus, Kind
from tiersync.store import queue
from tiersync.store.forward import Key, SyncRow, hold, insert_for, save, supersede
from tiersync.store.tables import adjustments, events, syncs
from tiersync.webhook import INT64_MAX, Action


class Receipt(StrEnum):
    """What the sender is told."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Received:
    """The answer for one delivery; `sync` is the key that it made due, `reason` why it made none."""

    receipt: Receipt
    org: int
    sync: int | None = None
    reason: str | None = None


_RECEIPTS: Final = {EventStatus.IGNORED: Receipt.IGNORED, EventStatus.QUARANTINED: Receipt.QUARANTINED}


def key_of(arrival: Arrival) -> Key | None:
    """The key that a delivery moves, or None if it moves none."""
    if arrival.status is not EventStatus.PENDING or arrival.program is None or arrival.customer is None:
        return None
    return (arrival.org, arrival.program, arrival.customer)


def event_values(arrival: Arrival) -> dict[str, Any]:
    """What an arrival says, as columns of `events`."""
    return {
        "kind": arrival.kind,
        "name": arrival.name,
        "status": arrival.status,
        "reason": arrival.reason,
        "detail": arrival.detail,
        "program": arrival.program,
        "customer": arrival.customer,
        "member": arrival.member,
        "group_id": arrival.group,
        "action": arrival.action,
        "tier_number": arrival.tier_number,
        "tier_name": arrival.tier_name,
        "expiry": arrival.expiry,
        "changed_at": arrival.changed_at,
        "event_log_id": arrival.event_log_id,
    }


@dataclass(slots=True)
class _Batch:
    """What one transaction still has to write once every delivery of it has been looked at."""

    held: dict[Key, SyncRow]
    statuses: list[dict[str, Any]] = field(default_factory=list)
    depths: list[dict[str, int]] = field(default_factory=list)
    overtaken: list[int] = field(default_factory=list)
    joiners: list[dict[str, Any]] = field(default_factory=list)

    def place(self, arrival: Arrival, event: int, depth: int) -> Received:
        """Let a stored event have its effect on its sync."""
        key, now = key_of(arrival), arrival.received_at
        if key is None:
            return Received(_RECEIPTS.get(arrival.status, Receipt.ACCEPTED), arrival.org, reason=arrival.reason)
        if depth:
            self.depths.append({"_id": event, "depth": depth})
        if depth > arrival.policy.cascade_depth_max:
            self.close(event, EventStatus.IGNORED, "echo", now)
            return Received(Receipt.IGNORED, arrival.org, reason="echo")
        sync = self.held[key]
        if arrival.kind in BY_MEMBER:
            self.joiners.extend(member_values(arrival, event, sync))
            if arrival.kind is Kind.RECONCILE:
                _take_note(sync, arrival)
            sync.wake(now)
        elif sync.is_overtaken_by(arrival, event):
            if (old := sync.move_to(arrival, event, now)) is not None:
                self.overtaken.append(old)
        else:
            self.close(event, EventStatus.SUPERSEDED, "stale", now)
            return Received(Receipt.ACCEPTED, arrival.org, reason="stale")
        return Received(Receipt.ACCEPTED, arrival.org, sync.id)

    def close(self, event: int, status: EventStatus, reason: str, now: int) -> None:
        """Finish an event that owes nothing."""
        self.statuses.append({"_id": event, "status": status, "reason": reason, "finished_at": now})


def receive(connection: Connection, arrivals: Sequence[Arrival]) -> list[Received]:
    """Store deliveries and move their syncs forward. One answer per delivery, in order."""
    batch = _Batch(hold(connection, {key for arrival in arrivals if (key := key_of(arrival))}))
    arrivals = list(_in_time(arrivals, batch.held))
    inserted = _insert(connection, arrivals, batch.held)
    depths = _echo_depths(connection, arrivals)
    answers: list[Received] = []
    duplicates: list[Arrival] = []
    for arrival in arrivals:
        event = inserted.pop((arrival.org, arrival.event_id), None)
        if event is None:
            duplicates.append(arrival)
            answers.append(Received(Receipt.DUPLICATE, arrival.org))
        else:
            answers.append(batch.place(arrival, event, depths.get(_caused(arrival), 0)))
    now = arrivals[-1].received_at
    save(connection, batch.held.values())
    supersede(connection, batch.overtaken, now)
    if batch.joiners:
        connection.execute(insert(adjustments), batch.joiners)
    if batch.statuses:
        connection.execute(_CLOSE, batch.statuses)
    if batch.depths:
        connection.execute(_DEEPEN, batch.depths)
    if duplicates:
        ordered = sorted((row.org, row.event_id) for row in duplicates)  # two replicas must not wait for each other
        connection.execute(_COUNT, [{"_org": org, "_event_id": event_id} for org, event_id in ordered])
    for arrival in arrivals:
        if arrival.kind is Kind.LEAVE:
            wake_owing(connection, arrival, now)
    return answers


def _in_time(arrivals: Sequence[Arrival], held: dict[Key, SyncRow]) -> Iterator[Arrival]:
    """Of events that bear no date the last to come is the newest, even if our clock was set back meanwhile."""
    newest = {key: row.changed_at for key, row in held.items()}
    for arrival in arrivals:
        key = key_of(arrival)
        if arrival.kind is not Kind.TIER or key is None:
            yield arrival
            continue
        changed_at = arrival.changed_at if arrival.dated else max(arrival.changed_at, newest[key] + 1)
        newest[key] = max(newest[key], changed_at)
        changed_at = min(changed_at, INT64_MAX)
        yield arrival if changed_at == arrival.changed_at else replace(arrival, changed_at=changed_at)


_CLOSE: Final = (
    update(events)
    .where(events.c.id == bindparam("_id"))
    .values({name: bindparam(name) for name in ("status", "reason", "finished_at")})
)
_DEEPEN: Final = update(events).where(events.c.id == bindparam("_id")).values(depth=bindparam("depth"))
_COUNT: Final = (
    update(events)
    .where(events.c.event_id == bindparam("_event_id"), events.c.org == bindparam("_org"))
    .values(duplicates=events.c.duplicates + 1)
)


def _insert(
    connection: Connection, arrivals: Sequence[Arrival], held: dict[Key, SyncRow]
) -> dict[tuple[int, str], int]:
    """Insert the deliveries that are new; map (org, event id) to the row's id for those and no others."""
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    for arrival in arrivals:
        key = key_of(arrival)
        rows.setdefault(
            (arrival.org, arrival.event_id),
            {
                "org": arrival.org,
                "event_id": arrival.event_id,
                "sync": held[key].id if key else None,
                "received_at": arrival.received_at,
                "finished_at": None if arrival.status is EventStatus.PENDING else arrival.received_at,
                "body": arrival.body,
                "traceparent": arrival.traceparent,
                "fence": held[key].fence if key else None,
                **event_values(arrival),
            },
        )
    # Two replicas may hold the same deliveries, and each waits for the other's rows. Those of a key have its lock; the
    # others come first, in one order for everybody. A key's own stay in the order of arrival.
    ordered = sorted(rows.values(), key=lambda row: (1,) if row["sync"] else (0, row["org"], row["event_id"]))
    found = connection.execute(_insert_new(connection.dialect.name), ordered)
    return {(row.org, row.event_id): row.id for row in found}


@cache
def _insert_new(dialect: str) -> Executable:
    statement = insert_for(dialect, events).on_conflict_do_nothing()
    return statement.returning(events.c.id, events.c.org, events.c.event_id)


_Caused = tuple[Key | None, int | None, Action | None]
"""What our own adjustment made of a customer, and what its event says in turn: whose, which tier, by which change."""


def _caused(arrival: Arrival) -> _Caused:
    return key_of(arrival), arrival.tier_number, arrival.action


def _echo_depths(connection: Connection, arrivals: Sequence[Arrival]) -> dict[_Caused, int]:
    """Find the deliveries that our own adjustments caused: the same change of the same customer, program and tier.

    It was sent within the echo window, or is on its way. Maps each to how many adjustments in a row led to it.
    """
    asked = [
        (arrival, key)
        for arrival in arrivals
        if arrival.kind is Kind.TIER and arrival.policy.echo_window_s and (key := key_of(arrival))
    ]
    if not asked:
        return {}
    since = min(_echo_since(arrival) for arrival, _ in asked)
    members = list({customer for _, (_, _, customer) in asked})
    made: dict[tuple[Key, int | None], list[Any]] = {}
    for row in connection.execute(_MADE, {"_members": members, "_since": since}):
        made.setdefault(((row.org, row.program, row.member), row.tier_number), []).append(row)
    depths: dict[_Caused, int] = {}
    for arrival, key in asked:
        for row in made.get((key, arrival.tier_number), ()):
            sent = row.sent == arrival.action and row.last_at >= _echo_since(arrival)
            if sent or row.on_its_way:
                depths[_caused(arrival)] = max(row.depth + 1, depths.get(_caused(arrival), 0))
    return depths


def _echo_since(arrival: Arrival) -> int:
    return arrival.received_at - 1000 * arrival.policy.echo_window_s


_made: Final = adjustments.c
# What is worked on now may have been sent a moment ago: its echo can be here before its outcome is written down.
_on_its_way: Final = and_(_made.status == AdjustmentStatus.DUE, syncs.c.owner.is_not(None))
_sent_lately: Final = and_(
    _made.status.in_([AdjustmentStatus.DUE, AdjustmentStatus.DONE]),
    _made.last_at >= bindparam("_since"),
    _made.sent.is_not(None),
)
_MADE: Final = (
    select(
        _made.org,
        _made.program,
        _made.member,
        # Of a call to the primary's own tier that is on its way, the key knows the tier.
        func.coalesce(_made.tier_number, syncs.c.tier_number).label("tier_number"),
        _made.depth,
        _made.last_at,
        _made.sent,
        _on_its_way.label("on_its_way"),
    )
    .join(syncs, syncs.c.id == _made.sync)
    .where(_made.member.in_(bindparam("_members", expanding=True)), or_(_sent_lately, _on_its_way))
)


BY_MEMBER: Final = frozenset({Kind.JOIN, Kind.RECONCILE})
"""Kinds of events that name whom they are about; whoever it is goes to the tier that the primary holds then."""


def member_values(arrival: Arrival, event: int, sync: SyncRow) -> list[dict[str, Any]]:
    """The adjustments owed to who joined, or to whom a reconcile found elsewhere."""
    members = arrival.members if arrival.kind is Kind.RECONCILE else (arrival.member,)
    return [
        {
            "event": event,
            "member": member,
            "sync": sync.id,
            "org": sync.org,
            "program": sync.program,
            "group_id": arrival.group,
            "action": Action.UPGRADE,
            "expiry": arrival.expiry,
            "verify": True,
            "may_lower": arrival.may_lower,
            "status": AdjustmentStatus.DUE,
            "due_at": arrival.received_at,
            "planned_at": arrival.received_at,
        }
        for member in members
    ]


def _take_note(sync: SyncRow, arrival: Arrival) -> None:
    """The primary holds a tier that no event told of: a replay of what is known leads there from now on.

    Not if a tier change came since it was compared.
    """
    if sync.due_at is None and (sync.event is None or arrival.changed_at == sync.changed_at):
        sync.tier_number, sync.tier_name, sync.expiry = arrival.tier_number, arrival.tier_name, arrival.expiry


def wake_owing(connection: Connection, arrival: Arrival, now: int) -> None:
    """Make a primary's keys due that still owe calls: who left is found by reading the group, not by this event."""
    owes = exists().where(adjustments.c.sync == syncs.c.id, adjustments.c.status == AdjustmentStatus.DUE)
    woken = connection.execute(
        update(syncs)
        .where(syncs.c.org == arrival.org, syncs.c.customer == arrival.customer, syncs.c.owner.is_(None), owes)
        .where(syncs.c.attempt == 0)  # after a failed attempt the wait stays
        .values(due_at=now)
        .returning(syncs.c.id)
    )
    queue.enqueue(connection, woken.scalars().all())
