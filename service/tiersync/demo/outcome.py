"""What the performance came to: counted from the store, the sandbox and the call log, then said in plain words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from tiersync.demo.scenario import Person, Scenario
from tiersync.demo.timeline import Timeline, say_beside, say_line
from tiersync.demo.views import Sandbox, Service
from tiersync.demo.watcher import Watcher


@dataclass(frozen=True, slots=True)
class Outcome:
    """The figures. `adjustments` counts where the adjustments stand at the end; `wrong` says what must not be."""

    events: int
    changes: int
    duplicates: int
    echoes: int
    adjustments: Mapping[str, int]
    calls: int
    tiers: Mapping[Person, str]
    wrong: Sequence[str]


def gather(scenario: Scenario, sandbox: Sandbox, service: Service, watcher: Watcher) -> Outcome:
    """Look at everything once more, at rest."""
    events = service.events()
    adjustments = [row for event in events if event["status"] != "ignored" for row in service.adjustments(event)]
    tiers = sandbox.tiers(scenario.group, scenario.program)
    people = {person: tiers[person.customer] for person in scenario.people}
    counts = Counter(row["outcome"] if row["status"] == "done" else row["status"] for row in adjustments)
    return Outcome(
        events=len(events),
        changes=len(watcher.events),
        duplicates=sum(event["duplicates"] for event in events),
        echoes=sum(event["reason"] == "echo" for event in events),
        adjustments={name: counts[name] for name in ("applied", "already", "skipped", "dead")},
        calls=sandbox.calls_total(),
        tiers=people,
        wrong=[
            *_not_following(scenario, people),
            *_touched(scenario, people, watcher),
            *_left_over(events, adjustments),
            *([] if sandbox.converged(scenario.program) else ["the sandbox finds secondaries that do not follow"]),
        ],
    )


def _not_following(scenario: Scenario, people: Mapping[Person, str]) -> list[str]:
    wanted = people[scenario.primary]
    return [
        f"{person.name} is in {tier}, {scenario.primary.name} in {wanted}"
        for person, tier in people.items()
        if person.place == "secondary" and tier != wanted
    ]


def _touched(scenario: Scenario, people: Mapping[Person, str], watcher: Watcher) -> list[str]:
    return [
        f"{person.name} has left, but was called {watcher.called[person.customer]} times and is in {tier}"
        for person, tier in people.items()
        if person.place == "left" and (watcher.called[person.customer] or tier != scenario.tiers[0])
    ]


def _left_over(events: Sequence[Mapping[str, Any]], adjustments: Sequence[Mapping[str, Any]]) -> list[str]:
    unfinished = [event for event in events if event["status"] not in {"done", "ignored", "superseded"}]
    owed = [row for row in adjustments if row["status"] in {"due", "dead"}]
    return [f"event {event['event_id']} is {event['status']}" for event in unfinished] + [
        f"the adjustment of {row['member']} is {row['status']}" for row in owed
    ]


def tell(outcome: Outcome, scenario: Scenario, watcher: Watcher, restarts: int, line: Timeline) -> None:
    """Say it to a person."""
    line.end_footer()
    line.act("What happened")
    made = ", ".join(f"{count} {name}" for name, count in outcome.adjustments.items())
    for what, text in (
        ("tier changes", f"{outcome.changes} of {scenario.primary.name}"),
        (
            "events stored",
            f"{outcome.events}, of which {outcome.echoes} are echoes of our own calls; {outcome.duplicates} came twice",
        ),
        ("adjustments", made),
        ("calls to Capillary", f"{outcome.calls}; faults met: {_listed(watcher.faults)}"),
        ("dead letters", f"{'; '.join(watcher.dead_letters) or 'none'}; now dead: {outcome.adjustments['dead']}"),
        ("restarts", f"{restarts} after kill -9"),
    ):
        say_beside(line.console, Text(f"  {what:<20}"), Text(text))
    line.act("Where everybody is")
    for person, tier in outcome.tiers.items():
        remark = _remark(person, tier, scenario, outcome)
        say_beside(line.console, Text(f"  {person.name:<20}"), Text(f"{person.place:<12}{tier:<10}{remark}".rstrip()))
    line.console.print()
    for wrong in outcome.wrong:
        say_line(line.console, f"WRONG: {wrong}", "bold red")
    if not outcome.wrong:
        say_line(line.console, "Every secondary is where the primary is. Nothing is owed to anybody.", "bold green")


def _remark(person: Person, tier: str, scenario: Scenario, outcome: Outcome) -> str:
    match person.place:
        case "primary":
            return ""
        case "secondary":
            return "follows" if tier == outcome.tiers[scenario.primary] else "DOES NOT FOLLOW"
        case "left":
            return "not touched" if tier == scenario.tiers[0] else "TOUCHED"


def _listed(faults: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}x" for name, count in faults.items()) or "none"
