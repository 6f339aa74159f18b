"""Pure. How things stand, in sentences that somebody understands at three in the morning."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Final

from tiersync.capillary.codes import CODES
from tiersync.console.asking import link
from tiersync.console.reasons import THEN_REPLAY, why
from tiersync.console.times import ago, since, span
from tiersync.intake import ANY_ORG, EventStatus
from tiersync.store import OrgState
from tiersync.store.looking import Standing, Trouble, UnwellJob, Waiting

CLOSED: Final = "closed"
PATIENCE_MS: Final = 60_000  # work in hand is younger than this, or something is wrong


class Level(StrEnum):
    """How things are, as one word."""

    WELL = "well"
    BUSY = "busy"
    BEHIND = "behind"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class Press:
    """What to press: a label and where it leads."""

    label: str
    href: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, what to do about it, and what to press."""

    level: Level
    what: str
    do: str = ""
    press: Sequence[Press] = ()


@dataclass(frozen=True, slots=True)
class Health:
    """The sentence, its level, and the findings behind it, the worst first."""

    level: Level
    sentence: str
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class Calls:
    """How an org's calls stand in this process. None goes out for `held_s` seconds, because Capillary said later.

    A reconcile makes `reconcile_per_minute_max` of them, unless it is asked for with another rate.
    """

    org: int
    held_s: float
    per_minute_max: int
    concurrent_max: int
    reconcile_per_minute_max: int


def health(
    standing: Standing, orgs: Sequence[OrgState], calls: Sequence[Calls], unwell: Sequence[UnwellJob], now: int
) -> Health:
    """Say how things stand. What holds everything up stands first, then what waits for somebody, then what passes."""
    held, trouble = [*_held_back(orgs, now)], [*_trouble(standing.trouble, now)]
    findings = [*held, *trouble, *_waits(standing.waiting, now), *_held(calls), *_unwell(unwell)]
    late = standing.oldest_at is not None and now - standing.oldest_at > PATIENCE_MS
    worst = {finding.level for finding in findings}
    if Level.TROUBLE in worst:
        level = Level.TROUBLE
    elif late or worst:
        level = Level.BEHIND
    else:
        level = Level.BUSY if standing.groups or standing.pending else Level.WELL
    work = [*_work(standing, now, late=late or bool(worst))]
    said = [*why_held(orgs, now), *work, *_dead(standing.trouble)]
    if not work:
        said.append(_rest(standing))
    sentence = "; ".join(said) + "."
    return Health(level, sentence[:1].upper() + sentence[1:], findings)


def why_held(states: Sequence[OrgState], now: int, only: int | None = None) -> Iterator[str]:
    """Say of each org for which no call goes out that it is so, and since when; or only of what holds one org back.

    A breaker's instant is that of its last probe.
    """
    for org in states:
        if only is not None and org.org not in {only, ANY_ORG}:
            continue
        if org.paused_at is not None:
            yield f"{named(org.org)} is paused since {since(org.paused_at, now)}"
        elif org.breaker != CLOSED and org.breaker_at is not None:
            yield f"Capillary is away for {named(org.org)}, tried last at {since(org.breaker_at, now)}"


def _held_back(orgs: Sequence[OrgState], now: int) -> Iterator[Finding]:
    for org in orgs:
        if org.paused_at is not None:
            because = f": {org.pause_reason}" if org.pause_reason else ""
            what = f"{org.paused_by} paused {named(org.org)} {ago(org.paused_at, now)}{because}"
            press = (Press("Resume …", f"/console/orgs/{org.org}/resume"),)
            yield Finding(Level.BEHIND, what, "no call goes out until it is resumed; nothing is lost meanwhile", press)
        if org.breaker != CLOSED:
            explained = why(org.breaker_reason)
            probe = (
                f" {ago(org.breaker_until, now)}" if org.breaker_until is not None and org.breaker_until > now else ""
            )
            cause = explained.what or "calls failed in a row"
            what = f"The breaker of {named(org.org)} is {org.breaker.replace('_', ' ')}: {cause}"
            remedy = explained.do.removesuffix(THEN_REPLAY) or "wait until Capillary is well"
            do = f"{remedy}; one call probes{probe}, and it closes by itself; nothing is lost meanwhile"
            waiting = link("/console/events", {"status": EventStatus.PENDING, "org": org.org or None})
            yield Finding(Level.BEHIND, what, do, (Press("Look", waiting),))


def named(org: int) -> str:
    """An org in a sentence; 0 stands for every one."""
    return f"org {org}" if org else "every org"


def _work(standing: Standing, now: int, *, late: bool) -> Iterator[str]:
    if not standing.groups and not standing.pending:
        return
    least = "at least " if standing.more else ""
    if standing.secondaries:
        who = f"{least}{count(standing.secondaries, 'secondary', 'secondaries')} of {count(standing.groups, 'group')}"
        several = standing.secondaries > 1
    elif standing.groups:
        who, several = count(standing.groups, "group"), standing.groups > 1
    else:
        who, several = count(standing.pending, "event"), standing.pending > 1
    are = "are" if several else "is"
    age = f", oldest {span(now - standing.oldest_at)}" if standing.oldest_at is not None else ""
    yield f"{who} {are} {'behind' if late else 'being worked on'}{age if late else ''}"
    for wait in standing.waiting[:1]:
        yield f"{_answer(wait, short=True)} since {since(wait.since, now)}"


def _rest(standing: Standing) -> str:
    """What there is to say where nothing waits."""
    if standing.trouble:
        return "nothing else is waiting"
    if standing.newest_at is None:
        return "no event has come yet: see that the webhook is registered and switched on"
    return "every tier change that came has reached its secondaries"


def _dead(trouble: Sequence[Trouble]) -> Iterator[str]:
    for status in (EventStatus.DEAD, EventStatus.QUARANTINED):
        if many := sum(found.count for found in trouble if found.status == status):
            yield f"{count(many, 'event')} {'are' if many > 1 else 'is'} {status}"


def _trouble(trouble: Sequence[Trouble], now: int) -> Iterator[Finding]:
    by_reason = sorted(trouble, key=lambda found: (found.status, found.reason or ""))
    findings = []
    for (status, reason), group in groupby(by_reason, key=lambda one: (one.status, one.reason)):
        found = [*group]
        many, newest = sum(one.count for one in found), max(one.newest_at for one in found)
        explained, query = why(reason), {"status": status, "reason": reason}
        press = (Press("Look", link("/console/events", query)), Press("Replay …", link("/console/replay", query)))
        came = f"came {ago(newest, now)}" if many == 1 else f"the newest came {ago(newest, now)}"
        what = f"{count(many, 'event')} {status}: {explained.what or 'no reason is known'}; {came}"
        findings.append((many, Finding(Level.TROUBLE, what, explained.do, press)))
    yield from (finding for _, finding in sorted(findings, key=lambda pair: -pair[0]))


def _waits(waiting: Sequence[Waiting], now: int) -> Iterator[Finding]:
    for wait in waiting:
        whose = f" of org {wait.org}" if wait.org else ""
        what = (
            f"{_answer(wait)}: {count(wait.count, 'secondary', 'secondaries')}{whose} "
            f"{'waits' if wait.count == 1 else 'wait'} since {since(wait.since, now)}, and will be tried again"
        )
        yield Finding(Level.BEHIND, what, why(wait.reason).do, (Press("Look", "/console/events?status=pending"),))


def _held(calls: Sequence[Calls]) -> Iterator[Finding]:
    for org in calls:
        if org.held_s > 0:
            whose = f" of org {org.org}" if org.org else ""
            yield Finding(
                Level.BEHIND, f"Capillary said later: no call{whose} goes out for {max(1, int(org.held_s))} s"
            )


def _unwell(jobs: Sequence[UnwellJob]) -> Iterator[Finding]:
    for job in jobs:
        whole, press = f"{job.kind.capitalize()} {job.id}", (Press("Look", f"/console/jobs/{job.id}"),)
        if job.failed:
            yield Finding(Level.BEHIND, f"{whole} failed: {job.detail or 'no reason is known'}", press=press)
        else:
            what = f"{whole} could not read {count(job.unread, 'secondary or group', 'secondaries or groups')}"
            yield Finding(Level.BEHIND, what, "the log says why, at reconcile.unread", press)


def _answer(wait: Waiting, *, short: bool = False) -> str:
    if wait.code is not None:
        meant = f" ({meaning(wait.code)})" if not short and meaning(wait.code) else ""
        return f"Capillary answers {wait.code}{meant}"
    return why(wait.reason).what or "a call failed"


def meaning(code: int | None) -> str:
    """A code of Capillary's in words; empty if it is not documented."""
    return CODES[code].meaning if code is not None and code in CODES else ""


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
