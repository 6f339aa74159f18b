"""The measures: each starts what it needs afresh, warms it up, sends webhooks and asks the stub what arrived."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench import world
from tests.bench.processes import MEASURED_CORE, OTHER_CORE, Running, ask, core_busy_s, output_of, running
from tests.ports import free_port

CONNECTIONS: Final = 64
WARM_UP: Final = 100
ANSWERS: Final = 8000
STEADY_RATE: Final = 500
STEADY_S: Final = 4
BURST: Final = 1000
GROUP_SIZE: Final = 5
IDLE: Final = 100
IDLE_RATE: Final = 20
ARRIVED_S_MAX: Final = 90
_QUIET_S: Final = 0.3  # after the last adjustment, for what is still written about it and for a call too many


@dataclass(frozen=True, slots=True)
class Answers:
    """What the receiver alone does. `lost` deliveries were answered 200 and are not in the database."""

    per_s: float
    p99_ms: float
    lost: int


@dataclass(frozen=True, slots=True)
class Work:
    """What one burst came to.

    `missing` adjustments never arrived, `needless` ones arrived again or were not owed. `disturbed` is the share of the
    time in which somebody else (the kernel's threads included) had the measured core.
    """

    seconds: float
    per_s: float
    cpu_s_per_1000: float
    rss_mb: float
    missing: int
    needless: int
    disturbed: float


@dataclass(frozen=True, slots=True)
class FirstCall:
    """From a webhook's first byte to the first call that it causes, while nothing else is to be done."""

    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Bench:
    """The stub of Capillary, and a folder for one run's files."""

    stub: Running
    folder: Path

    @contextmanager
    def service(self, name: str, **settings: str) -> Iterator[Running]:
        """The service with its default settings and a new database; what is named is set otherwise."""
        port = free_port()
        env = {
            "TIERSYNC_CAPILLARY_URL": f"http://127.0.0.1:{self.stub.port}",
            "TIERSYNC_CAPILLARY_USERNAME": "till.user",
            "TIERSYNC_CAPILLARY_PASSWORD": "password",
            "TIERSYNC_WEBHOOK_SECRETS": world.SECRET,
            "TIERSYNC_DATABASE_URL": f"sqlite:///{self.database(name)}",
            "TIERSYNC_PORT": str(port),
            **settings,
        }
        log = self.folder / f"{name}.log"
        with running(MEASURED_CORE, ["tiersync", "serve"], port, env, log) as service:
            yield service

    @contextmanager
    def recipe(self, name: str, calls_max: int) -> Iterator[Running]:
        """The literal recipe."""
        port = free_port()
        arguments = ["tests.bench.recipe", str(port), f"http://127.0.0.1:{self.stub.port}", str(calls_max)]
        with running(MEASURED_CORE, arguments, port, {}, self.folder / f"{name}.log") as recipe:
            yield recipe

    def database(self, name: str) -> Path:
        """Where the service of that name keeps its events."""
        return self.folder / f"{name}.db"

    def pause(self, name: str) -> None:
        """Have the service of that name work for nobody; it goes on receiving."""
        env = {**os.environ, "TIERSYNC_DATABASE_URL": f"sqlite:///{self.database(name)}"}
        command = [sys.executable, "-m", "tiersync", "pause", "0", "--reason", "bench"]
        subprocess.run(command, check=True, capture_output=True, env=env)

    def forget(self, group_size: int) -> None:
        """Have the stub forget what it saw."""
        ask(self.stub.port, "PUT", f"/bench/groups/{group_size}")

    def slow_down(self, latency_ms: int) -> None:
        """Have the stub take so long for each answer."""
        ask(self.stub.port, "PUT", f"/bench/latency/{latency_ms}")

    def calls(self) -> dict[str, Any]:
        """What the stub saw."""
        seen: dict[str, Any] = json.loads(ask(self.stub.port, "GET", "/bench/calls"))
        return seen

    def arrived(self, owed: int) -> float:
        """Wait until so many adjustments arrived, or no longer than is allowed; return when the last one did."""
        until = time.monotonic() + ARRIVED_S_MAX
        while (seen := self._count())["count"] < owed and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(_QUIET_S)
        return float(seen["last_at"])

    def _count(self) -> dict[str, Any]:
        seen: dict[str, Any] = json.loads(ask(self.stub.port, "GET", "/bench/count"))
        return seen


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """Run the stub."""
    port = free_port()
    with running(OTHER_CORE, ["tests.bench.stub", str(port)], port, {}, folder / "stub.log") as stub:
        yield Bench(stub, folder)


def _send(to: Running, numbers: range, rate: float = 0) -> dict[str, Any]:
    arguments = ["tests.bench.load", "--port", str(to.port), "--connections", str(CONNECTIONS)]
    arguments += ["--first", str(numbers.start), "--count", str(len(numbers)), "--rate", str(rate)]
    result: dict[str, Any] = json.loads(output_of(OTHER_CORE, arguments, timeout_s=ARRIVED_S_MAX))
    if result["statuses"] != {"200": len(numbers)}:
        raise RuntimeError(f"webhooks were not accepted: {result['statuses']}")
    return result


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent of all do not exceed."""
    return sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]


def answers(here: Bench, name: str) -> Answers:
    """Durable answers of the receiver alone: as many as it can, then a steady rate."""
    with here.service(name) as service:
        here.pause(name)
        _send(service, range(WARM_UP))
        full = _send(service, range(WARM_UP, WARM_UP + ANSWERS))
        sent = WARM_UP + ANSWERS + STEADY_RATE * STEADY_S
        steady = _send(service, range(WARM_UP + ANSWERS, sent), STEADY_RATE)
    with closing(sqlite3.connect(here.database(name))) as database:
        (stored,) = database.execute("SELECT count(*) FROM events").fetchone()
    return Answers(
        per_s=ANSWERS / (full["ended"] - full["began"]),
        p99_ms=1000 * percentile(steady["seconds"], 99),
        lost=sent - stored,
    )


def work(here: Bench, running: Running, numbers: range, group_size: int = GROUP_SIZE) -> Work:
    """A burst of these primaries' webhooks, from the first byte until the last adjustment arrived."""
    here.forget(group_size)
    owed = {customer for number in numbers for customer in world.secondaries(world.primary(number), group_size)}
    cpu_before, busy_before, watched_from = running.cpu_s(), core_busy_s(MEASURED_CORE), time.monotonic()
    began = _send(running, numbers)["began"]
    seconds = here.arrived(len(owed)) - began
    cpu_s = running.cpu_s() - cpu_before
    others_s = core_busy_s(MEASURED_CORE) - busy_before - cpu_s
    disturbed = max(0.0, others_s / (time.monotonic() - watched_from))
    adjusted = here.calls()["adjusted"]
    met = len(owed & {customer for customer, tier, _ in adjusted if tier == world.WANTED})
    return Work(
        seconds=seconds,
        per_s=met / seconds,
        cpu_s_per_1000=1000 * cpu_s / max(1, met),
        rss_mb=running.rss_peak_mb(),
        missing=len(owed) - met,
        needless=sum(times for _, _, times in adjusted) - met,
        disturbed=disturbed,
    )


def burst(here: Bench, running: Running, webhooks: int = BURST) -> Work:
    """The burst that the others are compared by, after a warm-up."""
    work(here, running, range(WARM_UP))
    return work(here, running, range(WARM_UP, WARM_UP + webhooks))


def first_call(here: Bench, running: Running) -> FirstCall:
    """The way of single webhooks through an idle process."""
    here.forget(GROUP_SIZE)
    first = 10 * BURST
    sent_at = _send(running, range(first, first + IDLE), IDLE_RATE)["sent_at"]
    here.arrived(IDLE * (GROUP_SIZE - 1))
    called_at = dict(here.calls()["first_calls"])
    waits = [1000 * (called_at[world.primary(first + place)] - at) for place, at in enumerate(sent_at)]
    return FirstCall(percentile(waits, 50), percentile(waits, 99))


def large_group(here: Bench, running: Running, size: int) -> Work:
    """One webhook for one large group."""
    work(here, running, range(WARM_UP))
    return work(here, running, range(WARM_UP, WARM_UP + 1), size)
