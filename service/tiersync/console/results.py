"""Pure. What a job came to: one sentence, and each of its figures with what it means."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tiersync.console.words import count
from tiersync.store import Job, JobKind

MEANINGS: Final[Mapping[JobKind, Mapping[str, str]]] = {
    JobKind.REPLAY: {
        "due": "due again",
        "converges": "overtaken meanwhile: their groups go to the newest tier",
        "unchanged": "still dead, quarantined or ignored; or removed meanwhile",
    },
    JobKind.PURGE: {
        "removed": "gone for ever",
        "kept": "not finished, the newest of their primary, or too young",
    },
    JobKind.RECONCILE: {
        "in_step": "secondaries that hold their primary's tier",
        "spared": "secondaries that differ and by policy stay: above their primary, or led by another group",
        "drifted": "secondaries found elsewhere than their primary; the log has their groups, at reconcile.drift_found",
        "under_way": "of those, in a group whose work was not finished: left to it",
        "repaired": "of those, brought to their primary's tier",
        "skipped": "of those, not owed it any more: the member left, or stays by policy",
        "left": "of those, not done yet or given up: see below",
        "unread": "secondaries or groups that could not be compared; the log says why, at reconcile.unread",
        "without_group": "customers who lead no active group any more",
    },
}
_UNIT: Final = {JobKind.REPLAY: "event", JobKind.PURGE: "event", JobKind.RECONCILE: "group"}
_DID: Final = {JobKind.REPLAY: "replayed", JobKind.PURGE: "looked at", JobKind.RECONCILE: "compared"}


@dataclass(frozen=True, slots=True)
class Figure:
    """A word of the result, how many, and what it means."""

    word: str
    number: int
    means: str


def figures(job: Job) -> list[Figure]:
    """What a job counted, in the order in which it is best read."""
    means = MEANINGS[job.kind]
    ordered = [*(word for word in means if word in job.counts), *(word for word in job.counts if word not in means)]
    return [Figure(word.replace("_", " "), job.counts[word], means.get(word, "")) for word in ordered]


def sentence(job: Job) -> str:
    """What it came to, or how far it is."""
    return "; ".join(_said(job)) + "."


def _said(job: Job) -> Iterator[str]:
    unit, did, found = _UNIT[job.kind], _DID[job.kind], job.counts
    if job.done == job.matched:
        yield f"{count(job.done, unit)} {did}"
    else:
        yield f"{job.done:,} of {count(job.matched, unit)} {did}"
    if job.kind is not JobKind.RECONCILE:
        return
    if drifted := found.get("drifted", 0):
        became = [f"{found[word]:,} {said}" for word, said in _BECAME if found.get(word)]
        told = "nobody was changed" if job.selection.get("dry_run") else ", ".join(became) or "orders are on their way"
        yield f"{count(drifted, 'secondary', 'secondaries')} drifted: {told}"
    elif job.done and not found.get("unread"):
        yield "no secondary is elsewhere than its primary"
    if unread := found.get("unread", 0):
        yield f"{unread:,} could not be read"


_BECAME: Final = (
    ("repaired", "repaired"),
    ("skipped", "not owed it any more"),
    ("left", "left"),
    ("under_way", "under way"),
)
