"""What was answered survives: the disk has it before the sender hears of it, and no crash or clock takes it away."""

import asyncio
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.contract.server_kit import END_S_MAX, serving, start
from tests.contract.store_kit import ANN, BOB, LEASE_MS, NOW, Hand, outcome, owed, tier_change
from tests.ports import free_port
from tiersync.engine import WorkQueue
from tiersync.fanout import AdjustmentStatus
from tiersync.store import Claim, Store, Want

HOUR_MS = 3_600_000


def event(number: int) -> dict[str, Any]:
    """A tier change."""
    data = {"customerIdentifiers": {"customerId": number}, "loyaltyProgramId": 1427, "upgradedTierNumber": 2}
    return {"eventName": "tierUpgraded", "eventId": f"e{number}", "orgId": 1, "createdAt": NOW, "data": data}


TRACED = "read,recvfrom,recvmsg,pwrite64,write,writev,sendto,sendmsg,fsync,fdatasync"


@pytest.fixture(scope="module")
def strace(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Find strace, and see that it may watch."""
    found = shutil.which("strace")
    if found is None:
        pytest.skip("strace is not installed: apt-get install strace")
    trial = [found, "-f", "-o", str(tmp_path_factory.mktemp("strace") / "trial"), "true"]
    if subprocess.run(trial, capture_output=True, check=False, timeout=60).returncode:
        pytest.skip("this user may not trace processes (ptrace is not permitted here)")
    return found


@dataclass(frozen=True, slots=True)
class Call:
    """One system call as it was traced: `what` it was called with; begun and ended at these lines."""

    name: str
    what: str
    begun: int
    ended: int


def calls(trace: Path) -> Iterator[Call]:
    """Read a trace of several threads, in which a call may be told in two lines."""
    open_calls: dict[str, tuple[str, str, int]] = {}
    for number, line in enumerate(trace.read_text("utf-8", "replace").splitlines()):
        if begun := re.match(r"(\d+) +(\w+)\((.*)", line):
            thread, name, rest = begun.groups()
            if rest.endswith("<unfinished ...>"):
                open_calls[thread] = (name, rest, number)
            else:
                yield Call(name, rest, number, number)
        elif (resumed := re.match(r"(\d+) +<\.\.\. (\w+) resumed>(.*)", line)) and resumed[1] in open_calls:
            name, rest, first = open_calls.pop(resumed[1])
            yield Call(name, rest + resumed[3], first, number)


def test_the_disk_has_it_before_the_sender_hears_of_it(tmp_path: Path, strace: str) -> None:
    """Between a delivery and its 200 its bytes are written to the log of the database, and that log is synced."""
    trace = tmp_path / "trace"
    watched = [strace, "-f", "-y", "--seccomp-bpf", "-s", "65536", "-e", f"trace={TRACED}", "-o", str(trace)]
    with serving(tmp_path, before=watched) as server:
        for number in range(1, 6):
            answer = server.deliver({**event(number), "mark": f"mark-{number}-"})
            assert "accepted" == answer.json()["status"]

    told = sorted(calls(trace), key=lambda call: call.ended)
    for number in range(1, 6):
        came = next(
            call for call in told if call.name in {"read", "recvfrom", "recvmsg"} and f"mark-{number}-" in call.what
        )
        answered = next(
            call
            for call in told
            if call.begun > came.ended
            and call.name in {"write", "writev", "sendto", "sendmsg"}
            and "HTTP/1.1 200" in call.what
        )
        between = [call for call in told if came.ended < call.begun and call.ended < answered.begun]
        logged = [call for call in between if call.name == "pwrite64" and "tiersync.db-wal>" in call.what]
        synced = [call for call in between if call.name in {"fsync", "fdatasync"} and "tiersync.db-wal>" in call.what]
        assert any(f"mark-{number}-" in call.what for call in logged), "the body was not written before the answer"
        assert synced, "the log was not synced before the answer"
        assert max(call.ended for call in logged) < max(call.begun for call in synced), "written after the sync"
        assert all(call.what.rstrip().endswith("= 0") for call in synced)


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    """After SIGKILL in the middle of deliveries, every one that was answered is there, once, and is worked on."""
    with serving(tmp_path) as server:
        answered = [server.deliver(event(number)).json()["event_id"] for number in range(1, 51)]
        assert -signal.SIGKILL == server.end(signal.SIGKILL)

    with serving(tmp_path) as server:
        again = {server.deliver(event(number)).json()["status"] for number in range(1, 51)}
        rows = server.ask("/api/events", limit=200).json()["events"]

    assert {"duplicate"} == again
    assert sorted(answered) == sorted(row["event_id"] for row in rows)
    assert {"pending"} == {row["status"] for row in rows}


def test_one_file_has_one_server(tmp_path: Path) -> None:
    """A second server on the same file ends by itself, not with 0, in one sentence; the first goes on undisturbed."""
    with serving(tmp_path) as first:
        port = free_port()
        second = start(tmp_path, port)
        code = second.wait(END_S_MAX)
        said = (tmp_path / f"server-{port}.log").read_text()
        answer = first.deliver(event(1))

        assert 1 == code
        assert re.fullmatch(rf"tiersync: \S+tiersync\.db is served already, by process {first.process.pid}\..*\n", said)
        assert "accepted" == answer.json()["status"]
    with serving(tmp_path) as third:
        assert "duplicate" == third.deliver(event(1)).json()["status"]


def test_a_server_ends_in_order(tmp_path: Path) -> None:
    """On SIGTERM a server ends with 0, and leaves one file that holds everything."""
    with serving(tmp_path, log_format="json") as server:
        server.deliver(event(1))
        code = server.end()
        log = [json.loads(line)["event"] for line in server.log.read_text().splitlines()]

    assert 0 == code
    assert "service.stopping" in log
    assert "service.stopped" == log[-1]
    assert not (tmp_path / "tiersync.db-wal").exists()


@dataclass
class Clock:
    """A clock that somebody sets."""

    now: int = NOW

    def __call__(self) -> int:
        """Tell the time."""
        return self.now


async def test_a_clock_set_back_loses_no_event(hand: Hand) -> None:
    """What comes after the clock was set back is due at once, be its key new, waiting or held."""
    waiting = await hand.due(tier_change("e1", customer=1))
    await hand.released(await hand.claimed(waiting), retry_at=NOW + 1000)
    held = await hand.due(tier_change("e2", customer=2))
    claim = await hand.claimed(held)
    back = NOW - HOUR_MS

    arrivals = [tier_change(f"late{n}", NOW + 1, customer=n, received_at=back) for n in (1, 2, 3)]
    await hand.received(*arrivals)
    released = await hand.released(claim, back)

    assert back == released
    for key in await hand.due_keys(back):
        await hand.finished(key, [ANN], back)
    assert ["done", "done", "done"] == [(await hand.status(f"late{n}"))[0] for n in (1, 2, 3)]


async def test_a_lease_from_the_future_does_not_outlive_its_process(hand: Hand) -> None:
    """A claim made before the clock was set back is freed when the next process begins."""
    key = await hand.due(tier_change("e1"))
    await hand.claimed(key)
    back = NOW - HOUR_MS

    await hand.store.reclaim(back)

    assert await hand.finished(key, [ANN], back) is None
    assert ("done", None) == await hand.status("e1")


async def test_work_ends_though_the_clock_jumps(store: Store) -> None:
    """Engine and store come to the end of everything with a clock that is set back again and again meanwhile."""
    hand, clock = Hand(store), Clock()

    async def turn(key: int) -> int | None:
        clock.now += 10
        claim = await store.claim(Want(key, "hand", clock(), clock() + LEASE_MS))
        if claim is None:
            return None
        if claim.planned != claim.generation:
            await hand.planned(claim, owed(ANN, BOB), clock())
        await _attempt_one(hand, claim, clock)
        return await hand.released(claim, clock())

    engine = WorkQueue(work=turn, sweep=store.sweep, now=clock, waiting_max=100, concurrent_max=4, sweep_s=0.005)
    engine.start()
    async with asyncio.timeout(END_S_MAX):
        for number in range(1, 21):
            answer = await store.receive(tier_change(f"e{number}", customer=number, received_at=clock()))
            engine.wake(answer.sync or 0, answer.org)
            clock.now += 500 if number % 4 else -1500
        while "pending" in (await store.counts())["events"]:
            clock.now += 100
            await asyncio.sleep(0.005)
    await engine.stop(END_S_MAX)

    counts = await store.counts()
    assert {"done": 20} == counts["events"]
    assert {"applied": 40} == counts["adjustments"]


async def _attempt_one(hand: Hand, claim: Claim, clock: Clock) -> None:
    """Make one of the calls that are due; a first attempt fails and is to be tried again in a second."""
    for due in await hand.store.owed(claim, clock(), 1):
        first = due.attempts == 0
        status = AdjustmentStatus.DUE if first else AdjustmentStatus.DONE
        due_at = clock() + 1000 if first else None
        await hand.store.settle(outcome(claim, due, status, clock(), due_at=due_at))
