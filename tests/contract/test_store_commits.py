"""The writer: what is asked for while the event loop is busy is committed together, and nothing waits for long."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL

from tests.contract.store_kit import tier_change
from tiersync.store import Commits, open_store

CROWD = 50


async def test_a_busy_loop_fills_the_commits(tmp_path: Path) -> None:
    """Deliveries that come within a few rounds of the loop are one commit; each of them is answered by it."""
    sizes: list[int] = []

    @contextmanager
    def timed(operations: int) -> Iterator[None]:
        sizes.append(operations)
        yield

    async with open_store(address(tmp_path), migrate=True, commits=Commits(gather_s_max=10), timed=timed) as store:

        async def deliver(number: int) -> None:
            for _ in range(number // 10):  # some come a few rounds later
                await asyncio.sleep(0)
            await store.receive(tier_change(f"e{number}", customer=number + 1))

        await asyncio.gather(*(deliver(number) for number in range(CROWD)))

    assert [CROWD] == sizes


async def test_a_loop_that_never_rests_holds_up_no_commit(tmp_path: Path) -> None:
    """However much more comes, a commit begins when it has waited long enough."""
    async with open_store(address(tmp_path), migrate=True, commits=Commits(gather_s_max=0.05)) as store:
        going = True

        async def never_rest() -> None:
            number = 0
            while going:
                number += 1
                store.writer.submit("probe", None).add_done_callback(lambda done: done.exception())
                await asyncio.sleep(0)

        busy, began = asyncio.create_task(never_rest()), time.monotonic()
        await store.receive(tier_change("e1"))
        waited, going = time.monotonic() - began, False
        await busy

    assert waited < 10  # it would be for ever


def address(tmp_path: Path) -> URL:
    """A database of this test's own."""
    return URL.create("sqlite", database=str(tmp_path / "test.db"))
