"""Where a secondary stands beside its primary, and what is written to bring it back."""

from dataclasses import replace
from datetime import date

import pytest

from tiersync import drift, intake
from tiersync.drift import Leader, Standing
from tiersync.fanout import Above, Member, Policy, SeveralGroups, Tier
from tiersync.intake import EventStatus, Kind

SILVER, GOLD, DIAMOND = Tier(1, "Silver"), Tier(2, "Gold"), Tier(3, "Diamond")
LEADER = Leader(50_614, 973, 566_998_132, 3_918_893, GOLD, date(2031, 3, 31), may_lower=True)
OF_SEVERAL = Member(564_662_499, primary=False, active=True, default_group=False)


@pytest.mark.parametrize(
    ("held", "may_lower", "expected"),
    [
        (None, False, Standing.DRIFTED),
        (SILVER, False, Standing.DRIFTED),
        (GOLD, True, Standing.IN_STEP),
        (Tier(9, "gold"), True, Standing.IN_STEP),
        (DIAMOND, True, Standing.DRIFTED),
        (DIAMOND, False, Standing.SPARED),
    ],
)
def test_a_secondary_differs_unless_it_holds_the_primarys_tier(
    held: Tier | None, *, may_lower: bool, expected: Standing
) -> None:
    """Below it has drifted, above only if it may come down; the name decides where numbers differ."""
    assert expected == drift.standing(held, replace(LEADER, may_lower=may_lower))


@pytest.mark.parametrize(
    ("above", "known", "expected"),
    [(Above.MATCH, None, True), (Above.LEAVE, None, False), (Above.LEAVE, 2, False), (Above.LEAVE, 3, True)],
)
def test_a_downgrade_nobody_told_of_lowers(above: Above, known: int | None, *, expected: bool) -> None:
    """Even where secondaries may stay above, they come down with a primary that did since it was last heard of."""
    assert expected == drift.may_lower(GOLD, known, Policy(secondary_above_primary=above))


@pytest.mark.parametrize(
    ("policy", "rival", "expected"),
    [
        (SeveralGroups.DEFAULT_GROUP, None, False),
        (SeveralGroups.HIGHEST, None, True),
        (SeveralGroups.HIGHEST, SILVER, True),
        (SeveralGroups.HIGHEST, DIAMOND, False),
        (SeveralGroups.LATEST, None, True),
        (SeveralGroups.LATEST, SILVER, False),
    ],
)
def test_who_is_led_by_another_group_is_left_to_it(
    policy: SeveralGroups, rival: Tier | None, *, expected: bool
) -> None:
    """Two groups must not pull a member to and fro: the policy says whose it is."""
    assert expected == drift.is_led_here(OF_SEVERAL, GOLD, rival, Policy(several_groups=policy))


@pytest.mark.parametrize(("changed_at", "expected"), [(1_760_000_000_000, 1_760_000_000_000), (-1, 0)])
def test_the_order_is_read_as_it_was_meant(changed_at: int, expected: int) -> None:
    """What is written comes back whole, once for each member, and is no newer than the last change that is known."""
    body = drift.repair(LEADER, [7, 8, 7], event_id="reconcile:1:973:566998132", changed_at=changed_at)

    read = intake.admit(body, 1_800_000_000_000, {50_614: Policy()})

    assert (Kind.RECONCILE, EventStatus.PENDING, "reconcile:1:973:566998132") == (read.kind, read.status, read.event_id)
    assert (50_614, 973, 566_998_132, 3_918_893) == (read.org, read.program, read.customer, read.group)
    assert ((7, 8), GOLD, LEADER.expiry, True) == (
        read.members,
        Tier(read.tier_number or 0, read.tier_name or ""),
        read.expiry,
        read.may_lower,
    )
    assert expected == read.changed_at
