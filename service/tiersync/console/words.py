"""Pure. How things stand, in sentences that somebody understands at three in the morning."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Final

from tiersync.capillary.codes import CODES
from tiersync.console.asking import link
from tiersync.console.reasons import why
from tiersync.console.times import ago, minute, span
from tiersync.intake import EventStatus
from tiersync.store import OrgState
from tiersync.store.looking import Standing, Trouble, Waiting

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


def health(standing: Standing, orgs: Sequence[OrgState], calls: Sequence[Calls], now: int) -> Health:
    """Say how things stand."""
    findings = [*_held_back(orgs, now), *_trouble(standing.trouble), *_waits(standing.waiting), *_held(calls)]
    late = standing.oldest_at is not None and now - standing.oldest_at > PATIENCE_MS
    worst = {finding.level for finding in findings}
    if Level.TROUBLE in worst:
        level = Level.TROUBLE
    elif late or worst:
        level = Level.BEHIND
    else:
        level = Level.BUSY if standing.groups or standing.pending else Level.WELL
    said = [*_work(standing, now, late=late or bool(worst)), *why_held(orgs), *_dead(standing.trouble)]
    return Health(
        level, "; ".join(said) + ".", sorted(findings, key=lambda finding: finding.level is not Level.TROUBLE)
    )


def why_held(orgs: Sequence[OrgState]) -> Iterator[str]:
    """Say of each org for which no call goes out that it is so, and since when."""
    for org in orgs:
        if org.paused_at is not None:
            yield f"{named(org.org)} is paused since {minute(org.paused_at)} UTC"
        elif org.breaker != CLOSED and org.breaker_at is not None:
            yield f"Capillary is away for {named(org.org)} since {minute(org.breaker_at)} UTC"


def _held_back(orgs: Sequence[OrgState], now: int) -> Iterator[Finding]:
    for org in orgs:
        if org.paused_at is not None:
            because = f": {org.pause_reason}" if org.pause_reason else ""
            what = f"{org.paused_by} paused {named(org.org)} {ago(org.paused_at, now)}{because}"
            press = (Press("Resume …", f"/console/orgs/{org.org}/resume"),)
            yield Finding(Level.BEHIND, what, "no call goes out until it is resumed; nothing is lost meanwhile", press)
        if org.breaker != CLOSED:
            cause = why(org.breaker_reason).what or "calls failed in a row"
            probe = (
                f" {ago(org.breaker_until, now)}" if org.breaker_until is not None and org.breaker_until > now else ""
            )
            what = f"The breaker of {named(org.org)} is {org.breaker.replace('_', ' ')}: {cause}"
            do = f"one call probes{probe}; it closes by itself when Capillary is well"
            yield Finding(Level.BEHIND, what, do)


def named(org: int) -> str:
    """An org in a sentence; 0 stands for every one."""
    return f"org {org}" if org else "every org"


def _work(standing: Standing, now: int, *, late: bool) -> Iterator[str]:
    if not standing.groups and not standing.pending:
        if not standing.trouble:
            yield "All secondaries are in their primary's tier"
        else:
            yield "Nothing is waiting"
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
    sentence = f"{who} {are} {'behind' if late else 'being worked on'}{age if late else ''}"
    yield sentence[:1].upper() + sentence[1:]
    for wait in standing.waiting[:1]:
        yield f"{_answer(wait, short=True)} since {minute(wait.since)} UTC"


def _dead(trouble: Sequence[Trouble]) -> Iterator[str]:
    for status in (EventStatus.DEAD, EventStatus.QUARANTINED):
        if many := sum(found.count for found in trouble if found.status == status):
            yield f"{count(many, 'event')} {'are' if many > 1 else 'is'} {status}"


def _trouble(trouble: Sequence[Trouble]) -> Iterator[Finding]:
    by_reason = sorted(trouble, key=lambda found: (found.status, found.reason or ""))
    findings = []
    for (status, reason), found in groupby(by_reason, key=lambda one: (one.status, one.reason)):
        many = sum(one.count for one in found)
        explained, query = why(reason), {"status": status, "reason": reason}
        press = (Press("Look", link("/console/events", query)), Press("Replay …", link("/console/replay", query)))
        what = f"{count(many, 'event')} {status}: {explained.what or 'no reason is known'}"
        findings.append((many, Finding(Level.TROUBLE, what, explained.do, press)))
    yield from (finding for _, finding in sorted(findings, key=lambda pair: -pair[0]))


def _waits(waiting: Sequence[Waiting]) -> Iterator[Finding]:
    for wait in waiting:
        what = (
            f"{_answer(wait)}: {count(wait.count, 'secondary', 'secondaries')} of org {wait.org} "
            f"{'waits' if wait.count == 1 else 'wait'} since {minute(wait.since)} UTC, and will be tried again"
        )
        yield Finding(Level.BEHIND, what, why(wait.reason).do, (Press("Look", "/console/events?status=pending"),))


def _held(calls: Sequence[Calls]) -> Iterator[Finding]:
    for org in calls:
        if org.held_s > 0:
            whose = f" of org {org.org}" if org.org else ""
            yield Finding(
                Level.BEHIND, f"Capillary said later: no call{whose} goes out for {max(1, int(org.held_s))} s"
            )


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
