"""What the receiver does not take on, and what it cannot store: nothing of it is answered 2xx."""

import asyncio
import gzip
import json
import resource
import shutil
import subprocess
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest

from tests.conftest import WEBHOOK_SECRET, Listen, Service, ServiceFactory

LIMIT = 4096
STEP_S_MAX = 20


def event(number: int = 1, padding: int = 0) -> bytes:
    """A tier change, so many bytes longer than it has to be."""
    data = {"customerIdentifiers": {"customerId": number}, "loyaltyProgramId": 1427, "upgradedTierNumber": 2}
    return json.dumps(
        {"eventName": "tierUpgraded", "eventId": f"e{number}", "orgId": 1, "data": data, "padding": "x" * padding}
    ).encode()


def exactly(size: int) -> bytes:
    """A tier change of this many bytes."""
    return event(padding=size - len(event()))


async def kept(running: Service) -> list[dict[str, Any]]:
    """What is stored, the newest first."""
    return list((await running.ask("/api/events", limit=200)).json()["events"])


def comes_later(response: httpx.Response) -> bool:
    """Say whether an answer asks the sender to come again, and when."""
    return response.status_code == 429 and int(response.headers["Retry-After"]) == 5


@dataclass
class Stream:
    """A body that comes in pieces, without a length; it notes how much of it was read."""

    pieces: list[bytes]
    again: bool = False
    until: asyncio.Event | None = None
    read: int = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Send the pieces, for ever if `again`, and not before `until`."""
        while True:
            for piece in self.pieces:
                self.read += len(piece)
                yield piece
            if not self.again:
                break
        if self.until:
            await self.until.wait()


@pytest.mark.parametrize(("size", "status"), [(LIMIT, 200), (LIMIT + 1, 413), (100 * LIMIT, 413)])
async def test_a_body_has_its_limit(service: ServiceFactory, size: int, status: int) -> None:
    """A body of exactly the limit is taken, one byte more is answered 413 and not kept."""
    async with service(body_bytes_max=LIMIT) as running:
        response = await running.deliver(exactly(size))

        assert status == response.status_code
        assert (status == 200) == bool(await kept(running))


async def test_an_endless_body_is_cut_off(service: ServiceFactory) -> None:
    """A body that names no length is read only up to the limit."""
    endless = Stream([b"x" * 512], again=True)
    async with service(body_bytes_max=LIMIT) as running:
        response = await running.deliver(endless)

        assert 413 == response.status_code
        assert LIMIT + 2 * 512 >= endless.read


async def test_a_body_that_says_that_it_is_too_large_is_not_read(service: ServiceFactory) -> None:
    """A body whose declared length is beyond the limit is refused before any of it is read."""
    declared = Stream([event()])
    async with service(body_bytes_max=LIMIT) as running:
        response = await running.deliver(declared, **{"Content-Length": str(LIMIT + 1)})

        assert (413, 0) == (response.status_code, declared.read)


async def test_a_body_in_pieces_is_one_body(service: ServiceFactory) -> None:
    """A body that comes in pieces without a length is stored as one."""
    body = event()
    async with service() as running:
        response = await running.deliver(Stream([body[n : n + 7] for n in range(0, len(body), 7)]))

        assert "accepted" == response.json()["status"]


PACKED = {
    "gzip": ("gzip", gzip.compress(event())),
    "gzip by its old name": ("x-gzip", gzip.compress(event())),
    "in capitals": (" GZIP ", gzip.compress(event())),
    "gzip in several members": ("gzip", gzip.compress(event()[:9]) + gzip.compress(event()[9:])),
    "deflate": ("deflate", zlib.compress(event())),
    "identity": ("identity", event()),
}


@pytest.mark.parametrize(("encoding", "body"), PACKED.values(), ids=PACKED)
async def test_a_compressed_body_is_stored_as_it_reads(service: ServiceFactory, encoding: str, body: bytes) -> None:
    """Whatever the content encoding, the event is understood, and what is stored can be read again."""
    async with service() as running:
        response = await running.deliver(body, **{"Content-Encoding": encoding})

        assert "accepted" == response.json()["status"]
        shown = (await running.ask("/api/events/1/e1", body=True)).json()
        assert event().decode() == shown["body"]


BROKEN = {
    "corrupt": ("gzip", b"\x1f\x8b" + event()),
    "cut off": ("gzip", gzip.compress(event())[:-9]),
    "rubbish behind it": ("gzip", gzip.compress(event()) + b"rubbish"),
    "not compressed": ("gzip", event()),
    "nothing": ("gzip", b""),
    "unknown": ("br", event()),
    "twice": ("gzip, gzip", gzip.compress(gzip.compress(event()))),
    "very many members": ("gzip", gzip.compress(b" ") * 100),
}


@pytest.mark.parametrize(("encoding", "body"), BROKEN.values(), ids=BROKEN)
async def test_what_cannot_be_unpacked_is_quarantined_as_it_came(
    service: ServiceFactory, encoding: str, body: bytes
) -> None:
    """An authentic body whose encoding cannot be undone is kept with the bytes of the wire and a reason."""
    async with service() as running:
        response = await running.deliver(body, **{"Content-Encoding": encoding})

        told = response.json()
        assert (200, "quarantined", "content_encoding") == (response.status_code, told["status"], told["reason"])
        shown = (await running.ask(f"/api/events/{told['org']}/{told['event_id']}", body=True)).json()
        assert body.decode("utf-8", "replace") == shown["body"]


async def test_a_bomb_does_not_go_off(service: ServiceFactory) -> None:
    """A small body that unpacks to 256 MiB is answered 413 without ever being held."""
    zipping = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    bomb = b"".join([*(zipping.compress(bytes(2**20)) for _ in range(256)), zipping.flush()])
    async with service() as running:
        assert len(bomb) < running.settings.body_bytes_max
        tracemalloc.start()
        response = await running.deliver(bomb, **{"Content-Encoding": "gzip"})
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert 413 == response.status_code
        assert 16 * 2**20 > peak


async def test_a_slow_body_is_asked_to_come_later(service: ServiceFactory) -> None:
    """A sender who does not finish in time is answered 429, and his place is free again."""
    async with service(body_read_s_max=0.05, deliveries_concurrent_max=1) as running:
        slow = await running.deliver(Stream([event()[:20]], until=asyncio.Event()))
        after = await running.deliver(event())

        assert comes_later(slow)
        assert 200 == after.status_code
        assert ["e1"] == [row["event_id"] for row in await kept(running)]


async def test_only_so_many_are_taken_at_once(service: ServiceFactory) -> None:
    """Beyond the limit a delivery is answered 429 at once; those that were taken are not harmed by it."""
    finish = asyncio.Event()
    bodies = [Stream([event(number)], until=finish) for number in (1, 2)]
    async with service(deliveries_concurrent_max=2) as running:
        taken = [asyncio.create_task(running.deliver(body)) for body in bodies]
        async with asyncio.timeout(STEP_S_MAX):
            while not all(body.read for body in bodies):
                await asyncio.sleep(0)

        refused = await running.deliver(event(3))
        finish.set()
        answers = await asyncio.gather(*taken)
        again = await running.deliver(event(3))

        assert comes_later(refused)
        assert [200, 200, 200] == [answer.status_code for answer in (*answers, again)]
        assert ["e1", "e2", "e3"] == sorted(row["event_id"] for row in await kept(running))


HEAD = f"POST /webhooks/capillary HTTP/1.1\r\nHost: x\r\nAuthorization: {WEBHOOK_SECRET}\r\n".encode()


async def test_an_endless_body_is_cut_off_on_the_wire(service: ServiceFactory, listen: Listen) -> None:
    """Over a real connection too the answer to a body without end comes while the sender is still sending."""
    async with service(body_bytes_max=LIMIT) as running, listen(running.application) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        answer = asyncio.create_task(reader.readline())
        async with asyncio.timeout(STEP_S_MAX):
            with suppress(ConnectionError):
                while not answer.done():
                    writer.write(b"400\r\n" + bytes(1024) + b"\r\n")
                    await writer.drain()
                    await asyncio.sleep(0)
            status = await answer
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

        assert b"HTTP/1.1 413" == status[:12]


async def test_whoever_hangs_up_leaves_nothing_behind(service: ServiceFactory, listen: Listen) -> None:
    """A connection that breaks in the middle of a body stores nothing and frees its place."""
    async with service(deliveries_concurrent_max=1) as running, listen(running.application) as url:
        _, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
        writer.write(HEAD + b"Content-Length: 1000\r\n\r\n" + event())
        await writer.drain()
        await _until(running, "tiersync_deliveries_open 1.0")
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        await _until(running, "tiersync_deliveries_open 0.0")

        response = await running.deliver(event(2))

        assert 200 == response.status_code
        assert ["e2"] == [row["event_id"] for row in await kept(running)]


async def _until(running: Service, line: str) -> None:
    """Wait until the metrics say this."""
    async with asyncio.timeout(STEP_S_MAX):
        while line not in (await running.client.get("/metrics")).text:
            await asyncio.sleep(0.01)


class Disk(Protocol):
    """A disk that can be full."""

    folder: Path

    def fill(self) -> None:
        """Leave no room."""

    def free(self) -> None:
        """Give the room back."""


@dataclass
class SmallDisk:
    """A file system of 16 MiB; a file takes all the room that is left."""

    folder: Path

    def fill(self) -> None:
        """Leave no room."""
        with suppress(OSError), (self.folder / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(4096)):
                pass

    def free(self) -> None:
        """Give the room back."""
        (self.folder / "filler").unlink()


@dataclass
class FailingWrites:
    """Any disk; this process may not make files longer than the log is."""

    folder: Path
    usual: tuple[int, int] = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        """Leave no room."""
        longest = (self.folder / "tiersync.db-wal").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (longest, self.usual[1]))

    def free(self) -> None:
        """Give the room back."""
        resource.setrlimit(resource.RLIMIT_FSIZE, self.usual)


@pytest.fixture(params=["small disk", "failing writes"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """Give a disk that is full for real, where this user may mount one, and one on which writing fails."""
    if request.param == "failing writes":
        failing = FailingWrites(tmp_path)
        yield failing
        failing.free()
        return
    folder = tmp_path / "disk"
    folder.mkdir()
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=16m", "tiersync-test", str(folder)]
    if not (mount and unmount) or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small file system; the failing writes are tested all the same")
    yield SmallDisk(folder)
    subprocess.run([unmount, str(folder)], check=True)


async def test_a_full_disk_loses_nothing(service: ServiceFactory, disk: Disk) -> None:
    """Without room deliveries are answered 429 and the service is not ready; with room again all of them are taken."""
    async with service(database_url=f"sqlite:///{disk.folder / 'tiersync.db'}") as running:
        before = await running.deliver(event(1, 1000))

        disk.fill()
        # The log may have some room of its own left; it cannot have this much.
        statuses = {number: (await running.deliver(event(number, 100_000))).status_code for number in range(2, 12)}
        refused = [number for number, status in statuses.items() if status == 429]
        last = await running.deliver(event(12, 100_000))
        ready = await running.client.get("/readyz")
        stored = {row["event_id"] for row in await kept(running)}
        disk.free()
        again = [(await running.deliver(event(number, 100_000))).json()["status"] for number in refused]

        assert 200 == before.status_code
        assert refused
        assert {200, 429} >= set(statuses.values())
        assert comes_later(last)
        assert {"e1", *(f"e{number}" for number in statuses if number not in refused)} == stored
        assert 503 == ready.status_code
        assert {"accepted"} == set(again)
        assert 200 == (await running.client.get("/readyz")).status_code
