"""The demo's hands: play the steps of a scenario, one after the other."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Final, assert_never

from tiersync.demo.processes import Child, DemoError
from tiersync.demo.scenario import Act, Crash, Decide, Replay, Restart, Scenario, Settle, Step, Switch
from tiersync.demo.timeline import Timeline
from tiersync.demo.views import Sandbox
from tiersync.demo.watcher import Watcher

STEP_S_MAX: Final = 60
LOOK_S: Final = 0.04

Operator = Callable[[tuple[str, ...]], str]
"""Runs a `tiersync` command and returns what it printed."""


class Stage:
    """One performance. `service` is the running service, `operator` whoever replays."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        sandbox: Sandbox,
        service: Child,
        operator: Operator,
        watcher: Watcher,
        line: Timeline,
    ) -> None:
        self._scenario, self._sandbox, self._service, self._operator = scenario, sandbox, service, operator
        self._watcher, self._line = watcher, line
        self._decided: list[str] = []
        self._calls_before = 0
        self.restarts = 0

    def play(self) -> None:
        """Play every step. Raises `DemoError` if one does not come to its end in time."""
        for step in self._scenario.steps:
            self._play(step)
        self._watch(lambda: self._sandbox.deliveries_pending() == 0, "every webhook to be delivered")

    def _play(self, step: Step) -> None:
        match step:
            case Act(title=title):
                self._line.act(title)
            case Switch(text=text, switches=switches):
                self._sandbox.ask("PUT", "/sandbox/faults", dict(switches))
                self._line.say("Capillary", text)
            case Decide(tier=tier):
                self._decide(tier)
            case Settle(dead=dead):
                self._watch(lambda: self._settled(dead), "the tier changes to settle")
            case Crash(adjusted=adjusted):
                self._watch(lambda: self._in_the_middle(adjusted), "the work to be half done")
                self._watcher.service_is_up = False
                killed = self._service.kill()
                self._line.say("demo", f"kill -9 {killed}", "the service is gone; calls were still out", bad=True)
            case Restart():
                started = self._service.start()
                self._line.say("demo", "the service is started again", f"process {started}; no webhook is sent again")
                self._watch(self._service.is_ready, "the service to come back")
                self._watcher.service_is_up = True
                self.restarts += 1
            case Replay(arguments=arguments):
                self._line.say("operator", f"$ tiersync replay {' '.join(arguments)}")
                self._line.say("operator", self._operator(("replay", *arguments)).splitlines()[0])
            case _:  # pragma: no cover
                assert_never(step)

    def _decide(self, tier: str | None) -> None:
        primary = self._scenario.primary
        self._calls_before = self._sandbox.calls_total()
        decided = self._sandbox.decide(primary.customer, self._scenario.program, tier)
        self._decided.append(decided["eventIds"][0])
        way = f" from {decided['previous']} to {decided['tier']}" if tier else f" in {decided['tier']}"
        self._line.say("Capillary", f"{primary.name} is {decided['direction']}{way}", "sends the webhook")

    def _watch(self, until: Callable[[], bool], what: str) -> None:
        """Tell what happens, until something has happened, and what had happened by then."""
        deadline = time.monotonic() + STEP_S_MAX
        over = False
        while not over:
            if time.monotonic() > deadline:
                raise DemoError(f"waited {STEP_S_MAX} s in vain for {what}")
            over = until()
            self._watcher.look()
            time.sleep(0 if over else LOOK_S)

    def _settled(self, dead: int) -> bool:
        events = self._watcher.events
        statuses = Counter(events[name]["status"] for name in self._decided if name in events)
        return statuses["dead"] == dead and statuses["done"] + statuses["superseded"] == len(self._decided) - dead

    def _in_the_middle(self, adjusted: int) -> bool:
        calls = [call for call in self._sandbox.calls(self._calls_before) if call["family"] == "adjust"]
        done = sum(call["finished"] and call["effect"] for call in calls)
        return done >= adjusted and not all(call["finished"] for call in calls)
