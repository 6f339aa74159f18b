"""Outcomes on their way to the disk: what a call came to is kept, however the commits before the release end."""

import asyncio
import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sqlalchemy import URL
from sqlalchemy.exc import OperationalError

from tests.contract.store_kit import GROUP, NOW, PRIMARY, PROGRAM, tier_change
from tiersync.capillary import Basic, Breaks, Capillary, Gate
from tiersync.capillary import Limits as CallLimits
from tiersync.capillary.outcome import Answer
from tiersync.capillary.transport import NoAnswer
from tiersync.fanout import Policy
from tiersync.intake import ANY_ORG
from tiersync.retry import Schedule
from tiersync.store import Store, Want, open_store
from tiersync.telemetry import Traces
from tiersync.turn import Org
from tiersync.worker import Limits, Worker

SILENT, SLOW = 11, 12


class FarEnd:
    """Answers for Capillary: never after a change of SILENT, and of SLOW only once it is let."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()

    async def send(
        self, _method: str, url: str, _headers: Mapping[str, str], _body: bytes | None, _timeout_s: float
    ) -> Answer:
        """A group of two secondaries; both may be adjusted."""
        if "userGroup2" in url:
            users = [
                {"userId": user, "active": True, "primaryMember": user == PRIMARY, "defaultGroup": True}
                for user in (PRIMARY, SILENT, SLOW)
            ]
            return Answer(200, {}, json.dumps({"id": GROUP, "fleetGroupUsers": users}).encode())
        if f"identifierValue={SILENT}" in url:
            raise NoAnswer("the line is dead")
        await self.may_answer.wait()
        return Answer(200, {}, b'{"sideEffects": [{"upgradedSlabName": "Gold"}]}')

    async def close(self) -> None:
        """Nothing to close."""


class Outage:
    """Fails the first commit of outcomes, after the turn has had the time to come to its end meanwhile."""

    POINT: Final = "before commit: settle"

    def __init__(self) -> None:
        self.is_under_way, self.may_end, self._once = asyncio.Event(), threading.Event(), True

    def step(self, point: str, loop: asyncio.AbstractEventLoop) -> None:
        """Hear each point that the work passes; called in the thread that writes."""
        if point == self.POINT and self._once:
            self._once = False
            loop.call_soon_threadsafe(self.is_under_way.set)
            self.may_end.wait(10)
            raise OperationalError("", None, Exception("the connection is lost"))


async def test_what_could_not_be_written_goes_with_the_release(tmp_path: Path) -> None:
    """A call in doubt is read back next time, though the commit of its outcome failed while the turn was ending."""
    outage, far_end, loop = Outage(), FarEnd(), asyncio.get_running_loop()
    address = URL.create("sqlite", database=str(tmp_path / "test.db"))
    async with open_store(address, migrate=True, step=lambda point: outage.step(point, loop)) as store:
        worker = _worker(store, far_end)
        key = (await store.receive(tier_change("e1"))).sync or 0
        late = asyncio.create_task(worker.settle_late(asyncio.sleep))
        turn = asyncio.create_task(worker.turn(key))

        await outage.is_under_way.wait()
        far_end.may_answer.set()  # the turn has nothing more to wait for than that commit
        await asyncio.sleep(0.1)
        outage.may_end.set()
        due_at = await turn
        late.cancel()
        assert due_at is not None
        claim = await store.claim(Want(key, "next", due_at, due_at + 60_000))
        assert claim is not None
        owed = await store.owed(claim, due_at, 10)

    assert [(SILENT, 1, True)] == [(due.member, due.attempts, due.verify) for due in owed]


def _worker(store: Store, far_end: FarEnd) -> Worker:
    client = Capillary(
        url="http://capillary",
        source="INSTORE",
        transport=far_end,
        auth=Basic("till", "password"),
        gate=Gate(concurrent_max=8, per_minute_max=0, now=time.monotonic, sleep=asyncio.sleep),
        limits=CallLimits(5, 5, 1, Breaks(0, 1, 1, 1)),
        now=time.monotonic,
        sleep=asyncio.sleep,
        observe=lambda *_: None,
    )
    return Worker(
        store=store,
        orgs={ANY_ORG: Org(client, Policy(), 5, 100)},
        schedule=Schedule(),
        limits=Limits(20, 100, 100, 8, settle_s_max=0.02),
        owner=f"program {PROGRAM}",
        now=lambda: NOW,
        monotonic=time.monotonic,
        dice=lambda: 0.5,
        settled=lambda *_: None,
        traces=Traces(),
        step=lambda _: None,
    )
