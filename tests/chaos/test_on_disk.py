"""On disk before the answer, one server per file, and a full disk that loses nothing."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.conftest import ServiceFactory
from tests.journey.processes import answers, end, running

SECRET = "secret-of-the-disk-tests"
BODY = Path("tests/journey/examples/tier-upgraded.json")


@pytest.fixture
def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted by this user")
    yield folder
    subprocess.run(["umount", folder], check=True)


def environment(folder: Path, port: int) -> dict[str, str]:
    """Settings of a service whose Capillary does not answer: only the way in matters here."""
    return {
        "TIERSYNC_CAPILLARY_URL": "http://127.0.0.1:9",
        "TIERSYNC_CAPILLARY_USERNAME": "till",
        "TIERSYNC_CAPILLARY_PASSWORD": "password",
        "TIERSYNC_WEBHOOK_SECRETS": SECRET,
        "TIERSYNC_DATABASE_URL": f"sqlite:///{folder / 'tiersync.db'}",
        "TIERSYNC_PORT": str(port),
        "TIERSYNC_LOG_FORMAT": "json",
    }


async def deliver(port: int, body: bytes) -> httpx.Response:
    """Post a webhook to a service of this machine."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        return await client.post(
            f"http://127.0.0.1:{port}/webhooks/capillary", content=body, headers={"Authorization": SECRET}
        )


def tracer() -> str:
    """Find strace, if it may watch a process here."""
    path = shutil.which("strace")
    if path is None or subprocess.run([path, "-o", os.devnull, "true"], check=False, capture_output=True).returncode:
        pytest.skip("strace is not installed or may not trace: nobody can watch the system calls")
    return path


async def test_the_event_is_synced_to_disk_before_the_sender_is_answered(tmp_path: Path, free_port: int) -> None:
    """Between the last write to the log of the database and the 200 there is an fsync or fdatasync of that log."""
    strace, trace, log = tracer(), tmp_path / "trace", tmp_path / "log"
    calls = "trace=openat,close,write,pwrite64,writev,sendto,sendmsg,fsync,fdatasync"
    with log.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            strace, "-f", "-ttt", "-y", "-s", "64", "-e", calls, "-o", str(trace),
            sys.executable, "-m", "tiersync", "serve", "--role", "receiver",
            env={**os.environ, **environment(tmp_path, free_port)}, stdout=written, stderr=written,
        )  # fmt: skip
    try:
        await answers(f"http://127.0.0.1:{free_port}/livez", process, log)
        before = len(trace.read_text(errors="replace").splitlines())

        response = await deliver(free_port, BODY.read_bytes())
    finally:
        await end(process)

    assert 200 == response.status_code
    lines = trace.read_text(errors="replace").splitlines()[before:]
    answered = next(number for number, line in enumerate(lines) if "HTTP/1.1 200 OK" in line)
    written_at = [
        n for n, line in enumerate(lines[:answered]) if re.search(r"pwrite64\(\d+<[^>]*tiersync\.db-wal>", line)
    ]
    synced_at = [
        n for n, line in enumerate(lines[:answered]) if re.search(r"f(data)?sync\(\d+<[^>]*tiersync\.db-wal>", line)
    ]
    assert written_at, "the event was answered before it was written"
    assert synced_at, "the event was answered before the log was synced"
    assert written_at[-1] < synced_at[-1]


async def test_a_killed_service_has_every_event_that_it_answered(tmp_path: Path, free_port: int) -> None:
    """What was answered 200 is in the database after SIGKILL."""
    url, log = f"http://127.0.0.1:{free_port}/livez", tmp_path / "log"
    ids = [f"event-{number}" for number in range(20)]
    async with running(
        "serve", "--role", "receiver", environment=environment(tmp_path, free_port), url=url, log=log
    ) as process:
        bodies = [BODY.read_bytes().replace(b"00c8084c-0db4-4411-875b-21249dbfc4d8", name.encode()) for name in ids]

        responses = await asyncio.gather(*(deliver(free_port, body) for body in bodies))
        process.send_signal(signal.SIGKILL)
        await process.wait()

    listed = subprocess.run(
        [sys.executable, "-m", "tiersync", "events", "list", "--json"],
        env={**os.environ, **environment(tmp_path, free_port)}, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert {200} == {response.status_code for response in responses}
    assert [] == [name for name in ids if name not in listed]


async def test_a_second_server_on_the_same_file_refuses_and_says_why(tmp_path: Path, free_port: int) -> None:
    """One SQLite file has one server: the second ends at once, naming the file and the process that has it."""
    variables = environment(tmp_path, free_port)
    url = f"http://127.0.0.1:{free_port}/livez"
    async with running("serve", environment=variables, url=url, log=tmp_path / "log") as first:
        second = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tiersync", "serve", "--port", "0",
            env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(30):
            _, said = await second.communicate()

    assert 1 == second.returncode
    assert f"{tmp_path / 'tiersync.db'} is served already, by process {first.pid}" in said.decode()


async def test_a_full_disk_is_answered_later_and_the_event_is_taken_when_there_is_room(
    service: ServiceFactory, disk: Path
) -> None:
    """While nothing can be written the sender is told to come back; afterwards the same event is accepted, once."""
    filler = disk / "filler"
    async with service(database_url=f"sqlite:///{disk / 'tiersync.db'}") as running_service:
        await running_service.deliver({"eventName": "customerUpdated", "eventId": "first"})
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(b"x" * 4096):
                pass
        big = {"eventName": "customerUpdated", "eventId": "second", "padding": "x" * 200_000}

        refused = await running_service.deliver(big)
        unready = await running_service.client.get("/readyz")
        filler.unlink()
        accepted = await running_service.deliver(big)
        ready = await running_service.client.get("/readyz")
        listed = await running_service.ask("/api/events")

    assert (429, 503) == (refused.status_code, unready.status_code)
    assert int(refused.headers["Retry-After"]) > 0
    assert (200, 200) == (accepted.status_code, ready.status_code)
    assert ["second", "first"] == [event["event_id"] for event in listed.json()["events"]]
