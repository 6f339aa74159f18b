"""The store's model: what the design says of keys, events and adjustments, in plain Python without a database."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tiersync.fanout import AdjustmentStatus
from tiersync.intake import Arrival, EventStatus, Kind
from tiersync.store import Release, Replayed

DUE, DONE, SKIPPED, DEAD, SUPERSEDED = AdjustmentStatus


@dataclass
class Owing:
    """What one member is owed because of one event."""

    status: AdjustmentStatus
    due_at: int | None


@dataclass
class Event:
    """One accepted delivery. `number` is the order of arrival."""

    number: int
    arrival: Arrival
    status: EventStatus = EventStatus.PENDING
    owing: dict[int, Owing] = field(default_factory=dict)

    @property
    def age(self) -> tuple[int, int, int]:
        """What is greater is newer."""
        log_id = self.arrival.event_log_id
        return (self.arrival.changed_at, -1 if log_id is None else log_id, self.number)

    def owe(self, now: int, *, only: tuple[AdjustmentStatus, ...] = tuple(AdjustmentStatus)) -> None:
        """Make adjustments due again."""
        for item in self.owing.values():
            if item.status in only:
                item.status, item.due_at = DUE, now

    def drop(self, status: AdjustmentStatus) -> None:
        """End what is due."""
        for item in self.owing.values():
            if item.status is DUE:
                item.status, item.due_at = status, None


@dataclass
class Key:
    """What is known of one primary."""

    newest: Event | None = None
    high: tuple[int, int] = (-1, -1)
    generation: int = 0
    planned: int = 0
    settled: bool = False
    attempt: int = 0
    due_at: int | None = None
    held: bool = False
    fence: int = 0

    def is_overtaken_by(self, event: Event) -> bool:
        """Say whether an event is newer than all that was known."""
        return event.age > (*self.high, self.newest.number if self.newest else 0)

    def move_to(self, event: Event, now: int) -> None:
        """Let a tier change be what should be true."""
        if self.newest is not None and not self.settled:
            if self.newest.status is EventStatus.PENDING:
                self.newest.status = EventStatus.SUPERSEDED
            self.newest.drop(SUPERSEDED)
        self.newest = event
        self.high = max(self.high, event.age[:2])
        self.again(now)

    def again(self, now: int) -> None:
        """Have the newest tier change planned once more."""
        self.generation += 1
        self.settled, self.attempt = False, 0
        self.wake(now)

    def wake(self, now: int) -> None:
        """Be due, unless somebody holds the key (the release looks again) or a failed attempt is being waited out."""
        if not self.held and (self.attempt == 0 or self.due_at is None):
            self.due_at = now

    def end(self, release: Release, pending: Sequence[Event]) -> None:
        """End the claim that holds the key; `pending` are its open events in the order of arrival."""
        claim, now, moved = release.claim, release.now, release.claim.generation != self.generation
        close = None if moved else release.close
        self.held = False
        if close:
            self.planned = self.generation
        next_at = [now] if moved else []
        for event in pending:
            due = [item.due_at for item in event.owing.values() if item.status is DUE and item.due_at is not None]
            if close and event.number <= claim.newest:
                event.drop(DEAD if close is EventStatus.DEAD else SKIPPED)
                event.status = close
            elif event is self.newest and self.planned != self.generation:
                next_at.append(now)
            elif due:
                next_at.append(min(due))
            else:
                dead = any(item.status is DEAD for item in event.owing.values())
                event.status = EventStatus.DEAD if dead else EventStatus.DONE
            if event is self.newest and event.status is not EventStatus.PENDING:
                self.settled = event.status is not EventStatus.DEAD
        failed = release.retry_at is not None and not moved
        self.due_at = release.retry_at if failed else min(next_at, default=None)
        self.attempt = claim.attempt + 1 if failed else 0

    def replay(self, event: Event, now: int, *, force: bool) -> Replayed:
        """Make an event of this key due again, or what overtook it."""
        if event.arrival.kind is Kind.JOIN:
            event.owe(now)
            self.attempt = 0
            self.wake(now)
        elif self.newest is event:
            unfinished = event.status in {EventStatus.DEAD, EventStatus.PENDING}
            event.owe(now, only=(DEAD, DUE) if unfinished else tuple(AdjustmentStatus))
            self.again(now)
        elif force or self.newest is None or self.is_overtaken_by(event):
            self.move_to(event, now)
            event.owe(now)
        else:
            for item in event.owing.values():
                item.status = SUPERSEDED if item.status is DEAD else item.status
            event.status = EventStatus.SUPERSEDED
            self.newest.owe(now)
            self.newest.status = EventStatus.PENDING
            self.again(now)
            return Replayed.CONVERGES
        event.status = EventStatus.PENDING
        return Replayed.DUE
