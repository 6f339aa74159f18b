"""Pure. An event's trip as the steps of a timeline, and a group's members as they are known to stand."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from tiersync.console.reasons import why
from tiersync.console.words import count, meaning
from tiersync.fanout import AdjustmentStatus
from tiersync.intake import EventStatus
from tiersync.store.looking import Trip

_CALLS_SHOWN: Final = 12  # more than these are told as one step


class Mark(StrEnum):
    """How a step went."""

    GOOD = "good"
    BAD = "bad"
    WAITING = "waiting"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `at` is epoch milliseconds, or None if it has no time of its own."""

    mark: Mark
    what: str
    at: int | None = None
    detail: str = ""


def timeline(
    event: Mapping[str, Any], trip: Trip, calls: Sequence[Mapping[str, Any]], held: Sequence[str] = ()
) -> list[Step]:
    """Tell an event's trip; `calls` are its adjustments, the first page, `held` is why no call goes out."""
    return [*_arrival(event), *_planning(event, trip), *_calls(event, trip, calls), _end(event, trip, held)]


def _arrival(event: Mapping[str, Any]) -> Iterator[Step]:
    detail = "stored on disk before the answer"
    if duplicates := event["duplicates"]:
        detail += f"; came {count(duplicates, 'more time')}"
    yield Step(Mark.GOOD, "Received", event["received_at"], detail)


def _planning(event: Mapping[str, Any], trip: Trip) -> Iterator[Step]:
    if trip.planned_at is not None:
        total = sum(event["adjustment_counts"].values())
        yield Step(Mark.GOOD, "Planned", trip.planned_at, f"{count(total, 'secondary', 'secondaries')} to look after")


def _calls(event: Mapping[str, Any], trip: Trip, calls: Sequence[Mapping[str, Any]]) -> Iterator[Step]:
    if trip.first_at is None:
        return
    tried = [call for call in calls if call["last_at"] is not None]
    if sum(event["adjustment_counts"].values()) <= _CALLS_SHOWN:
        for call in sorted(tried, key=lambda call: (call["last_at"], call["member"])):
            yield Step(_mark(call["status"]), f"Secondary {call['member']}", call["last_at"], outcome(call))
        return
    yield Step(Mark.GOOD, "First call", trip.first_at)
    counts = event["adjustment_counts"]
    bad = AdjustmentStatus.DEAD in counts
    told = ", ".join(f"{number:,} {status}" for status, number in sorted(counts.items()))
    yield Step(Mark.BAD if bad else Mark.GOOD, "Last call", trip.last_at, f"{count(trip.attempts, 'attempt')}: {told}")


def _end(event: Mapping[str, Any], trip: Trip, held: Sequence[str]) -> Step:
    at, reason = event["finished_at"], why(event["reason"]).what
    match EventStatus(event["status"]):
        case EventStatus.PENDING:
            waits = f"no call goes out: {'; '.join(held)}" if held else ""
            if trip.next_at is not None:
                return Step(Mark.WAITING, "Next try", trip.next_at, waits)
            return Step(Mark.WAITING, "Waiting", None, waits or "to be worked on")
        case EventStatus.DONE:
            return Step(Mark.GOOD, "Done", at, "nothing more is owed")
        case EventStatus.DEAD:
            return Step(Mark.BAD, "Dead", at, reason)
        case EventStatus.QUARANTINED:
            return Step(Mark.BAD, "Quarantined", at, event["detail"] or reason)
        case EventStatus.SUPERSEDED:
            return Step(Mark.PLAIN, "Superseded", at, reason)
        case EventStatus.IGNORED:
            return Step(Mark.PLAIN, "Ignored", at, reason)


def outcome(call: Mapping[str, Any]) -> str:
    """What became of an adjustment, in words."""
    attempts = f" after {call['attempts']} attempts" if (call["attempts"] or 0) > 1 else ""
    match AdjustmentStatus(call["status"]):
        case AdjustmentStatus.DONE:
            said = "was in the tier already" if call["outcome"] == "already" else "adjusted"
            return said + attempts
        case AdjustmentStatus.DEAD:
            return (meaning(call["code"]) or why(call["reason"]).what or "given up") + attempts
        case AdjustmentStatus.SKIPPED:
            return why(call["reason"]).what or "left alone"
        case AdjustmentStatus.SUPERSEDED:
            return "overtaken by a newer tier change"
        case AdjustmentStatus.DUE:
            failed = why(call["reason"]).what or "failed"
            return f"{failed}{attempts}; tried again" if call["attempts"] else "not tried yet"


def _mark(status: str) -> Mark:
    match AdjustmentStatus(status):
        case AdjustmentStatus.DONE:
            return Mark.GOOD
        case AdjustmentStatus.DEAD:
            return Mark.BAD
        case AdjustmentStatus.DUE:
            return Mark.WAITING
        case AdjustmentStatus.SKIPPED | AdjustmentStatus.SUPERSEDED:
            return Mark.PLAIN


class Follows(StrEnum):
    """Where a secondary stands against its primary, as last known."""

    FOLLOWS = "follows"
    WAITS = "waits"
    DRIFTED = "drifted"
    LEFT_ALONE = "left alone"


def follows(member: Mapping[str, Any]) -> Follows:
    """Where a secondary stands, by its newest adjustment."""
    match AdjustmentStatus(member["status"]):
        case AdjustmentStatus.DONE:
            return Follows.FOLLOWS
        case AdjustmentStatus.DUE:
            return Follows.WAITS
        case AdjustmentStatus.DEAD:
            return Follows.DRIFTED
        case AdjustmentStatus.SKIPPED | AdjustmentStatus.SUPERSEDED:
            return Follows.LEFT_ALONE
