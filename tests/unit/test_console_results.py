"""What a job came to, in words: one sentence, and every figure explained."""

from collections.abc import Mapping
from typing import Any

import pytest

from tiersync.console.results import MEANINGS, figures, sentence
from tiersync.drift import Standing
from tiersync.store import Job, JobKind, JobStatus, Replayed

DONE, RUNNING = JobStatus.DONE, JobStatus.RUNNING
RECONCILE, REPLAY, PURGE = JobKind.RECONCILE, JobKind.REPLAY, JobKind.PURGE


def job(kind: JobKind, counts: Mapping[str, int], done: int = 9, **other: Any) -> Job:
    """A job of nine that counted this."""
    usual: dict[str, Any] = {"status": DONE, "selection": {}, "rate": None, "detail": None, "finished_at": 2}
    held = {"owner": None, "lease_until": None, "upto": 9, "position": done, "force": False}
    return Job(id=1, kind=kind, at=1, by="Ann", matched=9, done=done, counts=counts, **held, **{**usual, **other})


SENTENCES: dict[str, tuple[Job, str]] = {
    "in step": (
        job(RECONCILE, {"in_step": 30}),
        "9 groups compared; no secondary is elsewhere than its primary.",
    ),
    "under way": (
        job(RECONCILE, {"in_step": 4}, 2, status=RUNNING),
        "2 of 9 groups compared; no secondary is elsewhere than its primary.",
    ),
    "not begun": (job(RECONCILE, {}, 0, status=RUNNING), "0 of 9 groups compared."),
    "repaired": (
        job(RECONCILE, {"drifted": 3, "repaired": 2, "skipped": 1}),
        "9 groups compared; 3 secondaries drifted: 2 repaired, 1 not owed it any more.",
    ),
    "left": (
        job(RECONCILE, {"drifted": 1, "left": 1, "unread": 2}),
        "9 groups compared; 1 secondary drifted: 1 left; 2 could not be read.",
    ),
    "only compared": (
        job(RECONCILE, {"drifted": 1200}, selection={"dry_run": True}),
        "9 groups compared; 1,200 secondaries drifted: nobody was changed.",
    ),
    "nothing could be read": (job(RECONCILE, {"unread": 9}), "9 groups compared; 9 could not be read."),
    "replayed": (job(REPLAY, {"due": 9}), "9 events replayed."),
    "purged in part": (
        job(PURGE, {"removed": 1, "kept": 3}, 4, status=JobStatus.CANCELLED),
        "4 of 9 events looked at.",
    ),
}


@pytest.mark.parametrize(("found", "said"), SENTENCES.values(), ids=SENTENCES)
def test_a_job_is_one_sentence(found: Job, said: str) -> None:
    """How far it came, what drifted and what became of that, and what could not be read."""
    assert said == sentence(found)


def test_every_figure_is_explained_in_one_order() -> None:
    """Figures come in the order in which they are read, with what they mean; an unknown one is shown all the same."""
    shown = figures(job(RECONCILE, {"news": 4, "repaired": 1, "drifted": 2, "under_way": 1}))

    assert ["drifted", "under way", "repaired", "news"] == [figure.word for figure in shown]
    assert [True, True, True, False] == [bool(figure.means) for figure in shown]


def test_no_word_of_a_job_is_without_a_meaning() -> None:
    """What the code counts is what the page explains."""
    assert set(Replayed) == set(MEANINGS[REPLAY])
    assert set(Standing) <= set(MEANINGS[RECONCILE])
    assert set(JobKind) == set(MEANINGS)
