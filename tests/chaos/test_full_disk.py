"""A full disk loses nothing: the sender is told to come back, and is taken when there is room again."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import ServiceFactory


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
