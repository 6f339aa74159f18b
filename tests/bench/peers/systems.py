"""What one would pick instead, each started with all that it needs, on the measured core."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.bench.measures import Bench
from tests.bench.processes import MEASURED_CORE, ROOT, Running, on_core, program
from tests.ports import free_port
from tests.postgres import Postgres, server

PYTHON: Final = ROOT / ".venv-bench" / "bin" / "python"
BULLMQ: Final = Path(__file__).parent / "bullmq"
# Durable: what was answered survives a crash of the machine.
DURABLE: Final[Mapping[str, str]] = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}


@dataclass(frozen=True, slots=True)
class Peer:
    """One system. `webhooks` is the size of its burst; `wanted` how many times as fast the service has to be."""

    name: str
    start: Callable[[Bench, str], AbstractContextManager[Running]]
    webhooks: int = 1000
    wanted: float = 1.0
    keeps: str = "nothing"


def pids(postgres: Postgres) -> tuple[int, ...]:
    """The server's own process; its children are counted with it."""
    return (postgres.process.pid,) if postgres.process is not None else ()


@contextmanager
def redis(here: Bench, name: str) -> Iterator[Running]:
    """A Redis whose log is on disk each second, as BullMQ and Celery have it in production."""
    found = shutil.which("redis-server")
    if found is None:
        raise SystemExit("redis-server is missing: install it, for instance by `apt-get install redis-server`")
    folder, port = here.folder / f"redis-{name}", free_port()
    folder.mkdir()
    command = [found, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    with program(
        MEASURED_CORE, [*command, "--appendonly", "yes", "--appendfsync", "everysec"], port, {}, folder / "log"
    ) as started:
        yield started


@contextmanager
def started(here: Bench, name: str, command: Sequence[str], beside: Sequence[int], port: int) -> Iterator[Running]:
    """Run a peer beside what it needs."""
    env = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "service")])}
    with program(MEASURED_CORE, command, port, env, here.folder / f"{name}.log") as found:
        yield replace(found, beside=tuple(beside))


def _module(name: str, port: int, here: Bench, infrastructure: str, python: Path = PYTHON) -> list[str]:
    capillary = f"http://127.0.0.1:{here.stub.port}"
    return [str(python), "-m", f"tests.bench.peers.{name}", str(port), capillary, infrastructure]


@contextmanager
def bare_aiohttp(here: Bench, name: str) -> Iterator[Running]:
    """Plain asyncio."""
    port = free_port()
    with started(here, name, _module("bare_aiohttp", port, here, "", Path(sys.executable)), (), port) as found:
        yield found


def bullmq(job_per: str) -> Callable[[Bench, str], AbstractContextManager[Running]]:
    """BullMQ with a job for each event, or one more for each call."""

    @contextmanager
    def start(here: Bench, name: str) -> Iterator[Running]:
        port = free_port()
        with redis(here, name) as infrastructure:
            script, capillary = str(BULLMQ / "server.js"), f"http://127.0.0.1:{here.stub.port}"
            command = ["node", script, str(port), capillary, str(infrastructure.port), job_per]
            with started(here, name, command, (infrastructure.pid,), port) as found:
                yield found

    return start


@contextmanager
def celery(here: Bench, name: str) -> Iterator[Running]:
    """Celery with a worker of threads."""
    port = free_port()
    with redis(here, name) as infrastructure:
        command = _module("celery_app", port, here, f"redis://127.0.0.1:{infrastructure.port}/0")
        with started(here, name, command, (infrastructure.pid,), port) as found:
            yield found


def on_postgres(module: str) -> Callable[[Bench, str], AbstractContextManager[Running]]:
    """Start a peer that keeps its work in PostgreSQL."""

    @contextmanager
    def start(here: Bench, name: str) -> Iterator[Running]:
        port = free_port()
        with (
            on_core(MEASURED_CORE),
            server(**DURABLE) as postgres,
            postgres.fresh() as url,
            started(here, name, _module(module, port, here, url), pids(postgres), port) as found,
        ):
            yield found

    return start


@contextmanager
def tiersync_on_postgres(here: Bench, name: str) -> Iterator[Running]:
    """The service itself, on the other database."""
    with (
        on_core(MEASURED_CORE),
        server(**DURABLE) as postgres,
        postgres.fresh() as url,
        here.service(name, TIERSYNC_DATABASE_URL=url) as found,
    ):
        yield replace(found, beside=pids(postgres))


PEERS: Final = (
    Peer("tiersync on PostgreSQL", tiersync_on_postgres, keeps="PostgreSQL, fsync before each answer"),
    Peer("BullMQ + undici, a job for each event", bullmq("event"), wanted=1.2, keeps="Redis, log on disk each second"),
    Peer("BullMQ + undici, a job for each call", bullmq("call"), keeps="Redis, log on disk each second"),
    Peer("bare aiohttp", bare_aiohttp, wanted=2.0),
    Peer("Procrastinate", on_postgres("procrastinate_app"), 250, keeps="PostgreSQL, fsync before each answer"),
    Peer("Celery, 16 threads", celery, 250, keeps="Redis, log on disk each second"),
    Peer("DBOS", on_postgres("dbos_app"), 250, 15.0, keeps="PostgreSQL, fsync before each answer"),
)


def bullmq_versions() -> str:
    """Which versions are installed beside the script."""
    names = ("bullmq", "undici")
    found = (json.loads((BULLMQ / "node_modules" / name / "package.json").read_text())["version"] for name in names)
    return ", ".join(f"{name} {version}" for name, version in zip(names, found, strict=True))
