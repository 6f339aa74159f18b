"""A `tiersync serve` in a process of its own: what is proven here is proven of what an operator starts."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from tests.conftest import OPERATOR_TOKEN, WEBHOOK_SECRET
from tests.ports import free_port

START_S_MAX: Final = 60
END_S_MAX: Final = 30


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. Its log is a file."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    log: Path

    def deliver(self, body: Any) -> httpx.Response:
        """Post one webhook as its authentic sender."""
        return self.client.post("/webhooks/capillary", json=body, headers={"Authorization": WEBHOOK_SECRET})

    def ask(self, path: str, **query: Any) -> httpx.Response:
        """Read from the operator API with its token."""
        return self.client.get(path, params=query, headers={"Authorization": f"Bearer {OPERATOR_TOKEN}"})

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; return the exit code."""
        _family(self.process)[-1].send_signal(number)
        return self.process.wait(END_S_MAX)


def start(folder: Path, port: int, before: Sequence[str] = (), **settings: str) -> subprocess.Popen[bytes]:
    """Start a server on the database of `folder`; `before` is a command that runs it. Its stderr goes to a file."""
    usual = {
        "database_url": f"sqlite:///{folder / 'tiersync.db'}",
        "port": str(port),
        "capillary_url": "http://127.0.0.1:9",  # nobody listens there
        "capillary_username": "till",
        "capillary_password": "password",
        "webhook_secrets": WEBHOOK_SECRET,
        "operator_token": OPERATOR_TOKEN,
    }
    environment = {f"TIERSYNC_{name.upper()}": value for name, value in {**usual, **settings}.items()}
    with (folder / f"server-{port}.log").open("ab") as log:
        return subprocess.Popen(
            [*before, sys.executable, "-m", "tiersync", "serve"],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


@contextmanager
def serving(folder: Path, before: Sequence[str] = (), **settings: str) -> Iterator[Server]:
    """Run a server until the block ends; ready when it answers."""
    port = free_port()
    process = start(folder, port, before, **settings)
    log = folder / f"server-{port}.log"
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            give_up_at = time.monotonic() + START_S_MAX
            while not _answers(client):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < give_up_at, log.read_text()
                time.sleep(0.05)
            server = Server(process, client, log)
            yield server
            if process.poll() is None:
                server.end()
    finally:
        if process.poll() is None:
            for one in reversed(_family(process)):
                one.kill()
            process.wait(END_S_MAX)


def _family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The process that was started and, where that one only watches, the server that it runs."""
    first = psutil.Process(process.pid)
    return [first, *first.children()]


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/livez").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
