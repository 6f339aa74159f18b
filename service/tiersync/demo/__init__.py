"""The demo: service and sandbox as child processes on loopback, and a scenario played on them.

scenario   who there is and what happens, as data
processes  the children, ended by their own process id
views      what both halves show over HTTP
watcher    what is new since the last look
stage      the steps, one after the other
outcome    the figures at the end, and whether all is well
timeline   how it is shown

Scenarios that users can copy are files (`scenarios/`); family, the main demo, is a stage of its own.

repertoire which there are, and playing one or all of them
script     reading a file, and what may stand in it
asking     from a happening to the call it stands for, and what an answer says
player     the happenings, one after the other
rehearsal  a whole performance of a file
"""

import json
import secrets
import sys
import tempfile
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Final

from tiersync.demo import outcome
from tiersync.demo.outcome import Outcome
from tiersync.demo.processes import Child, DemoError, command, environment, free_ports, interruptible
from tiersync.demo.scenario import SCENARIOS, Scenario
from tiersync.demo.stage import Stage
from tiersync.demo.timeline import Timeline
from tiersync.demo.views import Sandbox, Service
from tiersync.demo.watcher import Watcher

__all__ = ["play", "run"]

_INTERRUPTED: Final = 130


def run(name: str, *, as_json: bool) -> int:
    """Play the scenario `name`, a file's path, or all; return 0 well, 1 not, 2 no such scenario, 130 interrupted."""
    from tiersync.demo import repertoire

    if name == repertoire.ALL:
        return repertoire.run_all(tuple(SCENARIOS), partial(run, as_json=as_json), as_json=as_json)
    scenario = SCENARIOS.get(name)
    if scenario is None:
        return repertoire.run(name, tuple(SCENARIOS), as_json=as_json)
    return play(scenario, as_json=as_json)


def play(scenario: Scenario, *, as_json: bool) -> int:
    """Play a scenario; return the exit code as `run` does."""
    try:
        with (
            interruptible(),
            tempfile.TemporaryDirectory(prefix="tiersync-demo-") as folder,
            Timeline(quiet=as_json) as line,
        ):
            return _perform(scenario, Path(folder), line, as_json=as_json)
    except KeyboardInterrupt:
        _complain("interrupted; service and sandbox were ended")
        return _INTERRUPTED


def _perform(scenario: Scenario, folder: Path, line: Timeline, *, as_json: bool) -> int:
    sandbox_port, service_port = free_ports(2)
    sandbox_url, service_url = f"http://127.0.0.1:{sandbox_port}", f"http://127.0.0.1:{service_port}"
    password, secret, token = (secrets.token_urlsafe(16) for _ in range(3))
    variables = environment(
        sandbox_port=sandbox_port,
        sandbox_username="demo",
        sandbox_password=password,
        sandbox_webhook_url=f"{service_url}/webhooks/capillary",
        sandbox_webhook_secret=secret,
        sandbox_retry_base_ms=200,
        sandbox_example="false",
    )
    core = Child(folder, "sandbox", variables, sandbox_url, "/sandbox/faults")
    variables = environment(
        capillary_url=sandbox_url,
        capillary_username="demo",
        capillary_password=password,
        webhook_secrets=secret,
        operator_token=token,
        port=service_port,
        database_url=f"sqlite:///{folder}/tiersync.db",
        # Somebody watches: a shorter wait for an answer, and between two attempts, than in earnest.
        call_s_max=4,
        retry_delays_s="0.5,1,2",
        breaker_pause_s=0.5,
        created_ahead_s_max=0,  # the sandbox's clock may have been moved
    )
    serve = Child(folder, "serve", variables, service_url, "/readyz")
    with ExitStack() as stack:
        sandbox = stack.enter_context(closing(Sandbox(sandbox_url)))
        service = stack.enter_context(closing(Service(service_url, token)))
        try:
            for child in (core, serve):
                stack.callback(child.end)
                child.start()
            for child, what in ((core, "the sandbox stands in for Capillary"), (serve, "the service is up")):
                line.say("demo", what, f"process {child.wait_until_ready()}, {child.url}")
            sandbox.ask("POST", "/sandbox/seed", scenario.seed())
            watcher = Watcher(scenario, sandbox, service, line)
            stage = Stage(
                scenario,
                sandbox=sandbox,
                service=serve,
                operator=partial(command, folder=folder, variables=variables),
                watcher=watcher,
                line=line,
            )
            stage.play()
            came_to = outcome.gather(scenario, sandbox, service, watcher)
        except DemoError as error:
            _complain(f"the demo failed: {error}")
            for child in (core, serve):
                _complain(f"the end of {child.log.name}:", *child.last_lines())
            return 1
    if as_json:
        print(json.dumps(_figures(scenario, came_to, stage.restarts, line.seconds)))  # noqa: T201 - the result
    else:
        outcome.tell(came_to, scenario, watcher, stage.restarts, line)
    for wrong in came_to.wrong if as_json else ():
        _complain(wrong)
    return 1 if came_to.wrong else 0


def _figures(scenario: Scenario, came_to: Outcome, restarts: int, seconds: float) -> dict[str, object]:
    return {
        "scenario": scenario.name,
        "events": came_to.events,
        "adjustments": dict(came_to.adjustments),
        "calls": came_to.calls,
        "restarts": restarts,
        "converged": not came_to.wrong,
        "seconds": round(seconds, 1),
    }


def _complain(*lines: str) -> None:
    for text in lines:
        print(f"tiersync: {text}", file=sys.stderr)  # noqa: T201 - stdout holds results only
