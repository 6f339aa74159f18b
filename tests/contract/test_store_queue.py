"""PgQueuer's queue: in step with the tables, one job for a key, rebuilt when it was lost."""

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from pgqueuer.domain.types import QueueEntrypoint, QueueManagerId
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.queries import Queries

from tests.contract.store_kit import ANN, ORG, Hand, leave, owed, tier_change
from tiersync.fanout import AdjustmentStatus
from tiersync.intake import EventStatus
from tiersync.store import Want

DATABASES = ("postgresql",)

LEASE = timedelta(seconds=20)


def now() -> int:
    """Tell the time: PgQueuer goes by the database's clock."""
    return time.time_ns() // 1_000_000


def change(event_id: str, **other: Any) -> Any:
    """Deliver a tier change now."""
    moment = now() - 1
    return tier_change(event_id, moment, received_at=moment, **other)


@pytest.fixture
async def queue(hand: Hand) -> AsyncIterator[Queries]:
    """Open the queue, as an engine does."""
    async with hand.store.open_queue() as opened:
        yield opened


async def fetched(queue: Queries, org: int = ORG) -> list[int]:
    """Take the jobs of an org that are ready; returns their keys."""
    lane = {QueueEntrypoint(str(org)): EntrypointExecutionParameter(0)}
    jobs = await queue.dequeue(100, lane, QueueManagerId(uuid4()), None, LEASE)
    return [int(job.payload or b"") for job in jobs]


async def waiting(queue: Queries) -> list[str]:
    """List the keys in the queue, whatever becomes of them."""
    rows = await queue.driver.fetch("SELECT dedupe_key FROM pgqueuer ORDER BY id")
    return [str(row["dedupe_key"]) for row in rows]


async def test_the_schema_is_what_the_installed_pgqueuer_wants(queue: Queries) -> None:
    """Our migrations leave nothing for PgQueuer's own upgrade to do: a new PgQueuer needs a migration of ours."""
    plan = await queue.plan_upgrade()

    assert ((), ()) == (plan.statements, plan.notes)


async def test_a_key_has_one_job_however_many_events_come(hand: Hand, queue: Queries) -> None:
    """The job is there when the delivery is answered; further events of the key add none."""
    key = await hand.due(change("e1"))
    await hand.received(change("e2"), change("e3"))

    assert [key] == await fetched(queue)
    assert [] == await fetched(queue)


async def test_an_event_that_moves_no_key_makes_no_job(hand: Hand, queue: Queries) -> None:
    """Nor does one that is older than what is known."""
    key = await hand.due(change("e1"))
    await fetched(queue)
    await hand.finished(key, [], now())
    await hand.received(
        tier_change("old", 5, received_at=now()), change("e2", status=EventStatus.IGNORED, program=None)
    )

    assert [] == await waiting(queue)


async def test_a_job_ends_with_the_turn(hand: Hand, queue: Queries) -> None:
    """Once a key owes nothing, it has no job."""
    key = await hand.due(change("e1"))
    await fetched(queue)

    await hand.finished(key, [ANN], now())

    assert [] == await waiting(queue)


async def test_an_event_during_the_turn_is_not_lost(hand: Hand, queue: Queries) -> None:
    """Whoever holds the key enqueues it again when it lets go."""
    key = await hand.due(change("e1"))
    await fetched(queue)
    claim = await hand.claimed(key, now())
    await hand.received(change("e2", tier_number=3))

    during = await fetched(queue)
    await hand.released(claim, now())

    assert [] == during
    assert [key] == await fetched(queue)


async def test_an_event_between_fetch_and_claim_is_not_lost(hand: Hand, queue: Queries) -> None:
    """A job that brought a key to a worker in vain is forgotten, but not if the key was enqueued again meanwhile."""
    key = await hand.due(change("e1"))
    await fetched(queue)
    await hand.finished(key, [], now())
    await hand.received(change("e2", tier_number=3))
    await fetched(queue)
    await hand.received(change("e3"))  # the job is back in the queue

    in_vain = await hand.store.claim(Want(key, "early", 0, LEASE.seconds))

    assert in_vain is None
    assert [key] == await fetched(queue)


async def test_what_is_due_soon_is_deferred_and_what_is_due_later_is_not_there_yet(hand: Hand, queue: Queries) -> None:
    """A retry within two seconds waits in the queue for its time; a later one is the sweep's."""
    soon, later = await hand.due(change("e1")), await hand.due(change("e2", customer=7))
    await fetched(queue)
    for key, wait_ms in ((soon, 1500), (later, 60_000)):
        claim = await hand.claimed(key, now())
        await hand.planned(claim, owed(ANN), now())
        await hand.settled(claim, now(), AdjustmentStatus.DUE, due_at=now() + wait_ms)
        await hand.released(claim, now())

    assert [str(soon)] == await waiting(queue)
    assert [] == await fetched(queue)


async def test_a_wake_up_brings_a_job_forward(hand: Hand, queue: Queries) -> None:
    """A newer event does not wait for the retry of the one before."""
    key = await hand.due(change("e1"))
    claim = await hand.claimed(key, now())
    await hand.planned(claim, owed(ANN), now())
    await hand.settled(claim, now(), AdjustmentStatus.DUE, due_at=now() + 1900)
    await hand.released(claim, now())

    await hand.received(change("e2"))

    assert [key] == await fetched(queue)


async def test_who_left_is_looked_at_at_once(hand: Hand, queue: Queries) -> None:
    """A departure enqueues the keys that still owe calls."""
    key = await hand.due(change("e1"))
    await fetched(queue)
    claim = await hand.claimed(key, now())
    await hand.planned(claim, owed(ANN), now())
    await hand.settled(claim, now(), AdjustmentStatus.DUE, due_at=now() + 60_000)
    await hand.released(claim, now())
    before = await waiting(queue)

    await hand.received(leave("gone", ANN, received_at=now() - 1))

    assert [] == before
    assert [key] == await fetched(queue)


async def test_the_sweep_rebuilds_the_queue_from_the_tables(hand: Hand, queue: Queries) -> None:
    """Whatever the queue lost is found again, also a key whose lease ended; so many keys of each org at the most."""
    dead = await hand.due(change("e1", customer=1))
    await hand.store.claim(Want(dead, "dead", now(), now() - 1))
    keys = [dead] + [await hand.due(change(f"e{number}", customer=number)) for number in (2, 3)]
    other = await hand.due(change("e4", org=7))
    held = await hand.claimed(await hand.due(change("e5", customer=5)), now())
    await queue.clear_queue()

    orgs = await hand.store.rebuild(now(), 2)
    some = await waiting(queue)
    await fetched(queue)
    await hand.store.rebuild(now(), 2)
    await hand.store.rebuild(now(), 10)

    assert [7, ORG] == orgs
    assert 3 == len(some)
    assert {str(key) for key in [*keys, other]} == set(await waiting(queue))
    assert str(held.sync) not in some


async def test_a_job_without_heartbeats_is_taken_over(hand: Hand, queue: Queries) -> None:
    """The queue gives a dead replica's job to another one."""
    key = await hand.due(change("e1"))
    await fetched(queue)
    await queue.driver.execute("UPDATE pgqueuer SET heartbeat = heartbeat - interval '21 seconds'")

    assert [key] == await fetched(queue)
