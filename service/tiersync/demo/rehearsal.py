"""A scenario file performed: the sandbox, and where it goes through it the service, started, watched and ended."""

import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from tiersync.demo.player import Player
from tiersync.demo.processes import Child, DemoError, environment, free_ports
from tiersync.demo.script import Script
from tiersync.demo.timeline import console, say_beside, say_line
from tiersync.demo.views import Sandbox, Service

USERNAME = "demo"


def rehearse(script: Script, *, quiet: bool) -> tuple[dict[str, Any], list[str]]:
    """Perform a scenario; return its result object and what went wrong, which is nothing if all is well."""
    out = console(quiet=quiet)
    say_line(out, f"\n{script.name}: {script.title}", "bold")
    began = time.monotonic()
    result: dict[str, Any] = {"scenario": script.name}
    with tempfile.TemporaryDirectory(prefix="tiersync-demo-") as folder, ExitStack() as stack:
        stage = _Stage(script, Path(folder), stack)
        try:
            wrong = stage.perform(out)
        except DemoError as error:
            wrong = [*stage.wrong, str(error), *stage.last_lines()]
        result |= stage.result(met=not wrong)
    result["seconds"] = round(time.monotonic() - began, 1)
    for each in wrong:
        say_line(out, f"WRONG: {each}", "bold red")
    if not wrong:
        say_line(out, _well(result), "bold green")
    return result, wrong


class _Stage:
    """The processes of one performance, and what it came to."""

    def __init__(self, script: Script, folder: Path, stack: ExitStack) -> None:
        self._script, self._stack = script, stack
        self._figures: dict[str, Any] = {}
        self._player: Player | None = None
        sandbox_port, service_port = free_ports(2)
        self._password, secret, self._token = (secrets.token_urlsafe(16) for _ in range(3))
        sandbox_url, service_url = f"http://127.0.0.1:{sandbox_port}", f"http://127.0.0.1:{service_port}"
        served = script.through == "service"
        hook = {
            "sandbox_webhook_url": f"{service_url}/webhooks/capillary",
            "sandbox_webhook_secret": secret,
            "sandbox_retry_base_ms": 200,
        }
        self._core = Child(
            folder,
            "sandbox",
            environment(
                sandbox_port=sandbox_port,
                sandbox_username=USERNAME,
                sandbox_password=self._password,
                sandbox_example="false",
                **(hook if served else {}),
            ),
            sandbox_url,
            "/sandbox/faults",
        )
        variables = environment(
            capillary_url=sandbox_url,
            capillary_username=USERNAME,
            capillary_password=self._password,
            webhook_secrets=secret,
            operator_token=self._token,
            port=service_port,
            database_url=f"sqlite:///{folder}/tiersync.db",
            call_s_max=2.5,
            retry_delays_s="0.5,1,2",
            created_ahead_s_max=0,  # the sandbox's clock runs ahead on purpose
            default_program=script.default_program,
        )
        self._serve = Child(folder, "serve", variables, service_url, "/readyz") if served else None

    @property
    def wrong(self) -> list[str]:
        """What was not as expected so far."""
        return [] if self._player is None else list(self._player.failures)

    def perform(self, out: Console) -> list[str]:
        """Start everything and play; return what went wrong. Raises `DemoError` where it cannot go on."""
        for child in (self._core, self._serve):
            if child is not None:
                self._stack.callback(child.end)
                child.start()
        self._core.wait_until_ready()
        sandbox = self._stack.enter_context(closing(Sandbox(self._core.url)))
        service = None
        if self._serve is not None:
            self._serve.wait_until_ready()
            service = self._stack.enter_context(closing(Service(self._serve.url, self._token)))
        player = Player(self._script, sandbox, service, (USERNAME, self._password))
        self._player = self._stack.enter_context(closing(player))
        player.play(lambda when, text, wrong: _tell(out, when, text, wrong))
        wrong = list(player.failures)
        if service is not None:
            differing = _differing(self._script, sandbox)
            self._figures = {**_worked(service), "calls": sandbox.calls_total(), "converged": not differing}
            wrong += [*differing, *_left_over(service)]
        return wrong

    def result(self, *, met: bool) -> dict[str, Any]:
        """Return the figures; a scenario that broke off has not converged."""
        player = self._player
        counts = {
            "happenings": 0 if player is None else player.happenings,
            "expectations": 0 if player is None else player.expectations,
            "expectations_met": met,
        }
        broken_off = {"converged": False} if self._serve is not None else {}
        return {**counts, **broken_off, **self._figures}

    def last_lines(self) -> list[str]:
        """The end of what the processes wrote."""
        return [line for child in (self._core, self._serve) if child is not None for line in child.last_lines()]


def _tell(out: Console, when: str, text: str, wrong: str) -> None:
    line = Text(text)
    if wrong:
        line.append(f"  WRONG: {wrong}", style="bold red")
    say_beside(out, Text(f"{when}  ", style="dim"), line)


def _differing(script: Script, sandbox: Sandbox) -> list[str]:
    """Every active secondary that is not in its primary's tier, in any programme."""
    return [
        f"member {row['member']} of group {row['group']} is in {row['actual']}, its primary in {row['expected']}"
        for programme in script.programmes
        for row in sandbox.ask("GET", "/sandbox/converged", programId=programme.id)["differing"]
    ]


def _worked(service: Service) -> Mapping[str, Any]:
    events = service.events()
    rows = [row for event in events if event["status"] != "ignored" for row in service.adjustments(event)]
    counts = Counter(row["outcome"] if row["status"] == "done" else row["status"] for row in rows)
    return {
        "events": len(events),
        "adjustments": {name: counts[name] for name in ("applied", "already", "skipped", "dead")},
    }


def _left_over(service: Service) -> list[str]:
    finished = {"done", "ignored", "superseded"}
    return [
        f"event {event['event_id']} is {event['status']}: {event['reason']}"
        for event in service.events()
        if event["status"] not in finished
    ]


def _well(result: Mapping[str, Any]) -> str:
    said = f"{result['happenings']} happenings, {result['expectations']} expectations met."
    return f"{said} Every secondary is where its primary is." if result.get("converged") else said
