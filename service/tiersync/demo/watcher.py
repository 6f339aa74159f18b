"""The demo's eyes: look at both halves again and again, tell the timeline what is new, and count it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tiersync.demo import words
from tiersync.demo.scenario import Scenario
from tiersync.demo.timeline import Timeline
from tiersync.demo.views import Sandbox, Service


class Watcher:
    """What was seen so far. `events` are the primary's, by event id; `called` counts calls by customer."""

    def __init__(self, scenario: Scenario, sandbox: Sandbox, service: Service, line: Timeline) -> None:
        self._scenario, self._sandbox, self._service, self._line = scenario, sandbox, service, line
        self._names = {person.customer: person.name for person in scenario.people}
        self._told: set[int] = set()
        self._told_up_to = 0
        self.service_is_up = True
        self.events: dict[str, dict[str, Any]] = {}
        self.dead_letters: list[str] = []
        self.faults: Counter[str] = Counter()
        self.called: Counter[int] = Counter()

    def look(self) -> None:
        """Tell what has happened since the last look."""
        events = self._changed_events()
        for event in events:
            self._tell_arrival(event, self.events.get(event["event_id"]))
        self._look_at_calls()
        for event in events:
            self._tell_end(event, self.events.get(event["event_id"]))
            self.events[event["event_id"]] = event
        tiers = self._sandbox.tiers(self._scenario.group, self._scenario.program)
        people = {person: tiers[person.customer] for person in self._scenario.people}
        self._line.standings(people, people[self._scenario.primary])

    def _changed_events(self) -> list[dict[str, Any]]:
        if not self.service_is_up:
            return []
        events = self._service.events(customer=self._scenario.primary.customer)
        return [event for event in events if event != self.events.get(event["event_id"])]

    def _look_at_calls(self) -> None:
        for call in self._sandbox.calls(self._told_up_to):
            if call["finished"] and call["sequence"] not in self._told:
                self._told.add(call["sequence"])
                self._tell_call(call)
        while self._told_up_to + 1 in self._told:
            self._told_up_to += 1

    def _tell_call(self, call: Mapping[str, Any]) -> None:
        if call["family"] in {"adjust", "tiers"}:
            self.called[call["customer"]] += 1
        if call["fault"]:
            self.faults[call["fault"].partition(".")[2]] += 1
        answer, bad = words.answered(call)
        self._line.say("tiersync", words.asked(call, self._names), answer, bad=bad)

    def _tell_arrival(self, event: Mapping[str, Any], before: Mapping[str, Any] | None) -> None:
        if before is None:
            self._line.say("tiersync", f"{self._called(event)} is on disk", "answers 200")
        if event["duplicates"] > (before["duplicates"] if before else 0):
            self._line.say("tiersync", f"{self._called(event)} came again", "answers 200, does nothing")

    def _tell_end(self, event: Mapping[str, Any], before: Mapping[str, Any] | None) -> None:
        if event["status"] == "pending" or (before is not None and event["status"] == before["status"]):
            return
        told = words.happened(self._service.adjustments(event), self._names)
        if dead := event["status"] == "dead":
            self.dead_letters.append(f"{self._called(event)}, {told}")
        self._line.say("tiersync", f"{self._called(event)} is {event['status']}", told, bad=dead)

    def _called(self, event: Mapping[str, Any]) -> str:
        return f"{event['name']} of {self._names[event['customer']]}"
