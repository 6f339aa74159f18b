"""Leases: prolonged by whoever works, taken over from whoever does not, and what was sent meanwhile is read back."""

from tests.contract.store_kit import ANN, BOB, LEASE_MS, NOW, Hand, owed, tier_change
from tiersync.fanout import AdjustmentStatus
from tiersync.store import Renewal, Want

DATABASES = ("sqlite", "postgresql")


async def test_a_lease_that_is_prolonged_does_not_end(hand: Hand) -> None:
    """Nobody else gets the key before the new end, and then somebody does."""
    claim = await hand.claimed(await hand.due(tier_change("e1")))

    held = await hand.store.renew(Renewal(claim.sync, claim.fence, NOW + 2 * LEASE_MS))
    early = await hand.store.claim(Want(claim.sync, "other", NOW + LEASE_MS, NOW + 9 * LEASE_MS))
    late = await hand.store.claim(Want(claim.sync, "other", NOW + 2 * LEASE_MS, NOW + 9 * LEASE_MS))

    assert held
    assert early is None
    assert late is not None


async def test_who_was_overtaken_prolongs_nothing(hand: Hand) -> None:
    """After somebody else's claim, and after a release, a renewal is refused and changes nothing."""
    claim = await hand.claimed(await hand.due(tier_change("e1")))
    later = await hand.claimed(claim.sync, NOW + LEASE_MS, "other")

    overtaken = await hand.store.renew(Renewal(claim.sync, claim.fence, NOW + 99 * LEASE_MS))
    await hand.planned(later, [], NOW + LEASE_MS)
    await hand.released(later, NOW + LEASE_MS)
    released = await hand.store.renew(Renewal(later.sync, later.fence, NOW + 99 * LEASE_MS))

    assert not overtaken
    assert not released
    assert [] == await hand.due_keys(NOW + 99 * LEASE_MS)


async def test_what_a_lost_worker_may_have_sent_is_read_back(hand: Hand) -> None:
    """Who takes a key over reads first where each member stands whose adjustment was under way; after a release not."""
    claim = await hand.claimed(await hand.due(tier_change("e1")))
    await hand.planned(claim, owed(ANN, BOB))
    ann, _ = first = await hand.store.owed(claim, NOW, 10)
    await hand.settled(claim, status=AdjustmentStatus.DUE, due_at=NOW + 1)
    await hand.released(claim)
    again = await hand.claimed(claim.sync, NOW + 1)
    normal = await hand.store.owed(again, NOW + 1, 10)

    taken = await hand.claimed(claim.sync, NOW + 1 + LEASE_MS, "other")
    doubted = await hand.store.owed(taken, NOW + 1 + LEASE_MS, 10)

    assert ann.member == ANN
    assert [False] * 4 == [due.verify for due in [*first, *normal]]
    assert [True] * 2 == [due.verify for due in doubted]


async def test_what_was_not_due_yet_is_not_in_doubt(hand: Hand) -> None:
    """An adjustment that waits for its next attempt was not under way when its worker was lost."""
    claim = await hand.claimed(await hand.due(tier_change("e1")))
    await hand.planned(claim, owed(ANN))
    await hand.settled(claim, status=AdjustmentStatus.DUE, due_at=NOW + 5 * LEASE_MS)

    taken = await hand.claimed(claim.sync, NOW + LEASE_MS, "other")
    later = await hand.store.owed(taken, NOW + 5 * LEASE_MS, 10)

    assert [False] == [due.verify for due in later]


async def test_what_a_dead_process_may_have_sent_is_read_back(hand: Hand) -> None:
    """The only server of a file, when it starts again, doubts what it had under way."""
    claim = await hand.claimed(await hand.due(tier_change("e1")))
    await hand.planned(claim, owed(ANN))

    await hand.store.reclaim(NOW + 1)
    again = await hand.claimed(claim.sync, NOW + 1)

    assert [True] == [due.verify for due in await hand.store.owed(again, NOW + 1, 10)]
