"""Who is to be adjusted to what, and which call comes next."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tiersync import fanout
from tiersync.fanout import Above, Goal, Group, Held, Member, Move, Owed, Policy, Renewal, SeveralGroups, Tier
from tiersync.retry import Already, Applied, Outcome, Refused, Skipped, TryAgain
from tiersync.webhook import INT64_MAX, Action

SILVER, GOLD, DIAMOND = Tier(1, "Silver"), Tier(2, "Gold"), Tier(3, "Diamond")
PRIMARY = Member(1, primary=True, active=True, default_group=True)


def secondary(customer: int, *, active: bool = True, default_group: bool = True) -> Member:
    """Build a member who is no primary."""
    return Member(customer, primary=False, active=active, default_group=default_group)


def plan(
    *members: Member,
    action: Action = Action.UPGRADE,
    policy: Policy = Policy(),  # noqa: B008 - frozen
    inherits: bool = False,
    lowers: bool = False,
    led_elsewhere: Mapping[int, Tier] = {},
) -> list[Owed]:
    """Plan a change to Gold for a group of these members and its primary."""
    group = Group(5, active=True, members=(PRIMARY, *members))
    return list(fanout.plan(action, GOLD, group, policy, inherits=inherits, lowers=lowers, led_elsewhere=led_elsewhere))


@pytest.mark.parametrize(
    ("members", "adjusted"),
    [
        pytest.param([], [], id="nobody but the primary"),
        pytest.param([secondary(2), secondary(3)], [2, 3], id="every secondary"),
        pytest.param([secondary(2, active=False), secondary(3)], [3], id="who has left is listed but left alone"),
        pytest.param([secondary(2), secondary(2)], [2], id="listed twice, adjusted once"),
        pytest.param([secondary(2, active=False), secondary(2)], [2], id="left and came back"),
        pytest.param([secondary(1)], [], id="the primary listed as a member too"),
        pytest.param([Member(4, primary=True, active=True, default_group=True)], [], id="a second primary"),
        pytest.param([Member(4, primary=True, active=False, default_group=True)], [], id="a former primary"),
    ],
)
def test_exactly_the_active_secondaries_are_adjusted(members: list[Member], adjusted: list[int]) -> None:
    """The member list holds past members too: raising somebody who left would give a tier away."""
    assert adjusted == [owed.member for owed in plan(*members)]


@pytest.mark.parametrize(
    ("member", "leads"),
    [
        (PRIMARY, True),
        (Member(1, primary=True, active=False, default_group=True), False),
        (secondary(1), False),
        (Member(2, primary=True, active=True, default_group=True), False),
    ],
)
def test_a_group_is_led_by_its_active_primary_only(member: Member, leads: bool) -> None:  # noqa: FBT001
    """A group may be left without a primary for ever."""
    assert leads == Group(5, active=True, members=(secondary(3), member)).led_by(1)


LEAVE = Policy(secondary_above_primary=Above.LEAVE)
NOTHING: Mapping[str, bool] = {}
A_RISE = {"inherits": True}
A_FALL = {"inherits": True, "lowers": True}


@pytest.mark.parametrize(
    ("action", "policy", "inherited", "verify", "may_lower"),
    [
        (Action.UPGRADE, Policy(), NOTHING, False, True),
        (Action.DOWNGRADE, Policy(), NOTHING, False, True),
        (Action.RENEW, Policy(), NOTHING, True, True),
        (Action.RENEW, Policy(renewal=Renewal.PLAIN), NOTHING, False, True),
        (Action.UPGRADE, LEAVE, NOTHING, False, False),
        (Action.RENEW, LEAVE, NOTHING, True, False),
        (Action.DOWNGRADE, LEAVE, NOTHING, False, True),
        (Action.UPGRADE, Policy(), A_RISE, True, True),
        (Action.RENEW, Policy(renewal=Renewal.PLAIN), A_RISE, True, True),
        (Action.RENEW, LEAVE, A_RISE, True, False),
        (Action.RENEW, LEAVE, A_FALL, True, True),
    ],
)
def test_the_policy_says_whether_to_read_first_and_whether_to_lower(
    action: Action,
    policy: Policy,
    inherited: Mapping[str, bool],
    verify: bool,  # noqa: FBT001
    may_lower: bool,  # noqa: FBT001
) -> None:
    """Who overtook an unfinished change does not know where the members stand, and lowers them if that one would."""
    planned = plan(secondary(2), action=action, policy=policy, **inherited)

    assert [Owed(2, action, GOLD, verify, may_lower)] == planned


TO_GOLD = Owed(2, Action.DOWNGRADE, GOLD, verify=False, may_lower=True)


@pytest.mark.parametrize(
    ("several", "rival", "expected"),
    [
        (SeveralGroups.DEFAULT_GROUP, DIAMOND, replace(TO_GOLD, skip="not_default_group")),
        (SeveralGroups.LATEST, DIAMOND, TO_GOLD),
        (SeveralGroups.HIGHEST, None, TO_GOLD),
        (SeveralGroups.HIGHEST, SILVER, TO_GOLD),
        (SeveralGroups.HIGHEST, GOLD, TO_GOLD),
        (SeveralGroups.HIGHEST, DIAMOND, replace(TO_GOLD, tier=DIAMOND, verify=True)),
    ],
)
def test_a_member_of_several_groups_follows_the_policy(
    several: SeveralGroups, rival: Tier | None, expected: Owed
) -> None:
    """Two primaries pull at one secondary: one rule decides, and a skipped member is on record with the reason."""
    led_elsewhere = {2: rival} if rival else {}

    planned = plan(
        secondary(2, default_group=False),
        action=Action.DOWNGRADE,
        policy=Policy(several_groups=several),
        led_elsewhere=led_elsewhere,
    )

    assert [expected] == planned


@pytest.mark.parametrize("several", SeveralGroups)
def test_a_member_whose_default_group_this_is_is_always_adjusted(several: SeveralGroups) -> None:
    """The usual case does not depend on the policy."""
    planned = plan(secondary(2), action=Action.DOWNGRADE, policy=Policy(several_groups=several))

    assert planned == [TO_GOLD]


@pytest.mark.parametrize(
    ("action", "verify", "move"),
    [
        (Action.UPGRADE, False, Move.UPGRADE),
        (Action.DOWNGRADE, False, Move.DOWNGRADE),
        (Action.RENEW, False, Move.RENEW),
        (Action.UPGRADE, True, Move.READ),
        (Action.RENEW, True, Move.READ),
    ],
)
def test_an_attempt_opens_with_its_action_unless_it_must_read_first(action: Action, verify: bool, move: Move) -> None:  # noqa: FBT001
    """After a call in doubt nothing is sent before it is known where the member stands."""
    assert move == fanout.first_move(action, verify=verify)


UP, DOWN, RENEW, LEAVE = (
    Goal(Action.UPGRADE, GOLD, may_lower=True),
    Goal(Action.DOWNGRADE, GOLD, may_lower=True),
    Goal(Action.RENEW, GOLD, may_lower=True),
    Goal(Action.UPGRADE, GOLD, may_lower=False),
)
NOT_HIGHER = Refused("not_higher", 8925)
UNNAMED = Refused("refused", 400)
BARRED = Refused("customer_barred", 3045)
LOST = TryAgain("no_answer", in_doubt=True)
LOCKED = TryAgain("customer_locked", 521)
UNCLEAR = TryAgain("not_converging")
AT_SILVER, AT_GOLD, AT_DIAMOND, AT_NOTHING = Held(SILVER), Held(GOLD), Held(DIAMOND), Held(None)
AT_A_NUMBERLESS_GOLD = Held(Tier(INT64_MAX, "gold"))
DONE = Applied("Gold")
read, up, down, renew = Move.READ, Move.UPGRADE, Move.DOWNGRADE, Move.RENEW

BRANCHES: list[tuple[str, Goal, list[tuple[Move, Outcome | Held]], Move | Outcome]] = [
    ("said to be there", UP, [(up, DONE)], DONE),
    ("the name in another case", UP, [(up, Applied("GOLD"))], Applied("GOLD")),
    ("no side effect", UP, [(up, Applied())], read),
    ("another tier than asked for", UP, [(up, Applied("Silver"))], read),
    ("already there or above", UP, [(up, NOT_HIGHER)], read),
    ("refused without a code", UP, [(up, UNNAMED)], read),
    ("refused for good", UP, [(up, BARRED)], BARRED),
    ("locked", UP, [(up, LOCKED)], LOCKED),
    ("lost", UP, [(up, LOST)], LOST),
    ("unverified, read back", UP, [(up, Applied()), (read, AT_GOLD)], DONE),
    ("unverified, and not so", UP, [(up, Applied()), (read, AT_SILVER)], UNCLEAR),
    ("unverified, now above", UP, [(up, Applied()), (read, AT_DIAMOND)], down),
    ("read-back failed", UP, [(up, Applied()), (read, LOST)], LOST),
    ("8925, there", UP, [(up, NOT_HIGHER), (read, AT_GOLD)], Already()),
    ("8925, above", UP, [(up, NOT_HIGHER), (read, AT_DIAMOND)], down),
    ("8925, above, left there", LEAVE, [(up, NOT_HIGHER), (read, AT_DIAMOND)], Skipped("above_primary")),
    ("8925, yet below", UP, [(up, NOT_HIGHER), (read, AT_SILVER)], UNCLEAR),
    ("8925, there by its name", UP, [(up, NOT_HIGHER), (read, AT_A_NUMBERLESS_GOLD)], Already()),
    ("no code, there", UP, [(up, UNNAMED), (read, AT_GOLD)], Already()),
    ("no code, below", UP, [(up, UNNAMED), (read, AT_SILVER)], UNNAMED),
    ("8925, lowered", UP, [(up, NOT_HIGHER), (read, AT_DIAMOND), (down, DONE)], DONE),
    ("8925, lowered unseen", UP, [(up, NOT_HIGHER), (read, AT_DIAMOND), (down, Applied())], read),
    ("and seen", UP, [(up, NOT_HIGHER), (read, AT_DIAMOND), (down, Applied()), (read, AT_GOLD)], DONE),
    ("read first, below", UP, [(read, AT_SILVER)], up),
    ("read first, in no tier", UP, [(read, AT_NOTHING)], up),
    ("read first, there", UP, [(read, AT_GOLD)], Already()),
    ("read first, above", UP, [(read, AT_DIAMOND)], down),
    ("read first, above, left there", LEAVE, [(read, AT_DIAMOND)], Skipped("above_primary")),
    ("read first, failed", UP, [(read, LOCKED)], LOCKED),
    ("raised after reading", UP, [(read, AT_SILVER), (up, Applied()), (read, AT_GOLD)], DONE),
    ("lowered", DOWN, [(down, DONE)], DONE),
    ("no downgrade, no code", DOWN, [(down, UNNAMED)], read),
    ("no downgrade, 8925", DOWN, [(down, NOT_HIGHER)], read),
    ("no downgrade, barred", DOWN, [(down, BARRED)], BARRED),
    ("no downgrade needed", DOWN, [(down, UNNAMED), (read, AT_GOLD)], Already()),
    ("downgrade to a higher tier", DOWN, [(down, UNNAMED), (read, AT_SILVER)], up),
    ("downgrade refused for good", DOWN, [(down, UNNAMED), (read, AT_DIAMOND)], UNNAMED),
    ("downgrade 8925, yet above", DOWN, [(down, NOT_HIGHER), (read, AT_DIAMOND)], UNCLEAR),
    ("renewed", RENEW, [(renew, DONE)], DONE),
    ("renewed unseen", RENEW, [(renew, Applied())], read),
    ("renewed unseen, there", RENEW, [(renew, Applied()), (read, AT_GOLD)], DONE),
    ("renewed, but drifted down", RENEW, [(renew, Applied("Silver")), (read, AT_SILVER)], up),
    ("renewed, but drifted up", RENEW, [(renew, Applied("Diamond")), (read, AT_DIAMOND)], down),
    ("renewal refused", RENEW, [(renew, UNNAMED)], UNNAMED),
    ("read, there: renew", RENEW, [(read, AT_GOLD)], renew),
    ("read, below: raise", RENEW, [(read, AT_SILVER)], up),
    ("read, above: lower", RENEW, [(read, AT_DIAMOND)], down),
    (
        "renewed below, raised by others",
        RENEW,
        [(renew, Applied("Silver")), (read, AT_SILVER), (up, NOT_HIGHER), (read, AT_GOLD)],
        DONE,
    ),
    (
        "refused, and no reading is left",
        UP,
        [(read, AT_SILVER), (up, NOT_HIGHER), (read, AT_DIAMOND), (down, UNNAMED)],
        UNCLEAR,
    ),
    (
        "unseen, and no reading is left",
        RENEW,
        [(read, AT_SILVER), (up, NOT_HIGHER), (read, AT_GOLD), (renew, Applied())],
        UNCLEAR,
    ),
]


@pytest.mark.parametrize(
    ("goal", "steps", "expected"), [pytest.param(*branch[1:], id=branch[0]) for branch in BRANCHES]
)
def test_each_answer_leads_to_the_next_call_or_to_the_outcome(
    goal: Goal, steps: list[tuple[Move, Outcome | Held]], expected: Move | Outcome
) -> None:
    """What is known decides; what is not known is read; what was refused for good is not asked again."""
    assert expected == fanout.next_move(goal, steps)
