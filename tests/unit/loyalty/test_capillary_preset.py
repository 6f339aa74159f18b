"""The core in Capillary's words: workflows, wallets, slabs, group redemption (seeds 001 and 002)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from tests.unit.loyalty.building import ANN, BOB, at, balances, basket, deposit, event, line, purchase, register
from tiersync.errors import LoyaltyError
from tiersync.loyalty import capillary, group_redemption
from tiersync.loyalty.accounts import AfterMonths, Through
from tiersync.loyalty.capillary import Allocation, Branch, SlabAction
from tiersync.loyalty.engine import Engine
from tiersync.loyalty.events import ADJUST_LEVEL, EventId, HolderId, ProgrammeId
from tiersync.loyalty.group_redemption import MultiProgramme
from tiersync.loyalty.ladders import Anchor, Ladder, Level, Review
from tiersync.loyalty.programmes import Programme, Redemption
from tiersync.loyalty.records import Move, Reason, RuleId
from tiersync.loyalty.rules import Rule, flat
from tiersync.loyalty.setup import Setup

SWIPED = "currentTxn.extField_member_card_swiped"
FAMILY = HolderId("family")
SEED_BRANCHES = (
    Branch(f'{SWIPED}=="No" || {SWIPED}.isNull()', Allocation.INDIVIDUALS),
    Branch(f'{SWIPED}=="Yes"', Allocation.GROUPS),
)
LEVELS = (
    Level("Silver", Decimal(0)),
    Level("Gold", Decimal(100), stay=Decimal(50)),
    Level("Platinum", Decimal(300), stay=Decimal(200), falls_to="Silver"),
)


def build(*rules: Rule, ladders: Sequence[Ladder] = (), programs: Sequence[str] = ("973",)) -> Engine:
    """A Capillary engine with a customer, a group, and another customer."""
    accounts = [account for program in programs for account in capillary.wallets(program, AfterMonths(12))]
    redemption = Redemption(Decimal("0.5"), least=Decimal(10))
    bundles = [Programme(ProgrammeId(programs[0]), redemption=redemption)]
    bundles += [Programme(ProgrammeId(program)) for program in programs[1:]]
    engine = Engine(Setup(tuple(accounts), tuple(bundles), rules, tuple(ladders), capillary.RESOLVER))
    for holder in (ANN, FAMILY, BOB):
        register(engine, holder)
    return engine


@pytest.mark.parametrize(
    ("attrs", "ann", "family"),
    [
        ({"extField_member_card_swiped": "No"}, 40, 0),
        ({}, 40, 0),
        ({"extField_member_card_swiped": "Yes"}, 0, 40),
        ({"extField_member_card_swiped": "maybe"}, 0, 0),
    ],
)
def test_a_workflow_credits_the_individual_or_the_group(attrs: dict[str, Any], ann: int, family: int) -> None:
    """The two conditions of the seed exclude one another and decide whose wallet is credited."""
    engine = build(*capillary.workflow("973", "TransactionAdd", SEED_BRANCHES))

    engine.submit(purchase("t", "2025-01-01", "40", group=FAMILY, **attrs))

    assert engine.posted(ANN, capillary.points("973")) == ann
    assert engine.posted(FAMILY, capillary.points("973")) == family


def test_only_the_first_branch_that_holds_is_taken() -> None:
    """A branch whose condition holds too comes too late, even if it would give more."""
    branches = [
        Branch("currentCustomer.isGroupMember==Yes", Allocation.BOTH),
        Branch("true", Allocation.INDIVIDUALS, Decimal(9)),
    ]
    engine = build(*capillary.workflow("973", "TransactionAdd", branches))

    engine.submit(purchase("t", "2025-01-01", "40", group=FAMILY))

    assert engine.posted(ANN, capillary.points("973")) == 40
    assert engine.posted(FAMILY, capillary.points("973")) == 40


def test_promotional_points_stay_with_the_individual() -> None:
    """On a group's transaction the bonus is the member's own, and the joining job moves all points but the bonus."""
    seven = capillary.bonus("973", 7)
    promotion = capillary.promotion("973", "bonus", "currentUserGroup.currentPoints >= 0", seven)
    engine = build(*capillary.workflow("973", "TransactionAdd", SEED_BRANCHES), promotion)
    engine.submit(purchase("own", "2025-01-01", "30"))
    engine.submit(purchase("group", "2025-01-02", "40", group=FAMILY, extField_member_card_swiped="Yes"))

    for move in capillary.move_to_group(engine, EventId("job"), ANN, FAMILY, at("2025-01-03")):
        engine.submit(move)

    assert balances(engine, "2025-01-03") == {"promotional@973": 7}
    assert balances(engine, "2025-01-03", FAMILY) == {"points@973": 70}


def test_a_promotion_may_credit_the_group_besides_the_workflow() -> None:
    """Seed 001 lets a promotion allocate a member's points to the group; the workflow still pays, and nobody else."""
    give = capillary.allocate("973", Allocation.GROUPS, Decimal("0.5"))
    promotion = capillary.promotion("973", "stores", "currentCustomer.isGroupMember==true", give)
    engine = build(*capillary.workflow("973", "TransactionAdd", SEED_BRANCHES), promotion)

    engine.submit(purchase("group", "2025-01-01", "40", group=FAMILY))
    engine.submit(purchase("own", "2025-01-02", "10"))

    assert balances(engine, "2025-01-03") == {"points@973": 50}
    assert balances(engine, "2025-01-03", FAMILY) == {"points@973": 20}


def test_a_bad_condition_is_refused_when_the_workflow_is_defined() -> None:
    """No event ever meets an expression that cannot be read."""
    with pytest.raises(LoyaltyError, match="column 12"):
        capillary.workflow("973", "TransactionAdd", [Branch("currentTxn.?", Allocation.GROUPS)])


def test_members_pool_their_transactions_for_an_upgrade() -> None:
    """Purchases of two members lead the group and its primary up, and each member only by their own."""
    engine = build(ladders=[capillary.tiers("973", LEVELS, pool=True)])
    slabs = capillary.slabs("973")

    engine.submit(purchase("1", "2025-01-01", "60", ANN, group=FAMILY, primary=ANN))
    engine.submit(purchase("2", "2025-01-02", "60", BOB, group=FAMILY, primary=ANN))

    assert [engine.level(holder, slabs) for holder in (FAMILY, ANN, BOB)] == ["Gold", "Gold", "Silver"]


def test_a_return_reverses_points_and_the_upgrade_it_led_to() -> None:
    """The return of what led to Gold takes the points back and moves down at once; other returns do not."""
    ladder = capillary.tiers("973", LEVELS)
    engine = build(*capillary.workflow("973", "TransactionAdd", SEED_BRANCHES), ladders=[ladder])
    engine.submit(basket("1", "2025-01-01", line("a", "90"), line("b", "60")))

    harmless = engine.reverse(EventId("1"), at("2025-01-02"), [line("a", "40", quantity=0)])
    harmful = engine.reverse(EventId("1"), at("2025-01-03"), [line("a", "20", quantity=0)])

    assert harmless.moves == ()
    assert [(row.move, row.reason, row.after) for row in harmful.moves] == [(Move.DOWN, Reason.RETURN, "Silver")]
    assert balances(engine, "2025-01-03") == {"points@973": 90}


@pytest.mark.parametrize(
    ("reached", "kept", "level", "move"),
    [(100, 60, "Gold", Move.RENEW), (100, 40, "Silver", Move.DOWN), (300, 100, "Silver", Move.DOWN)],
)
def test_the_batch_renews_or_downgrades(reached: int, kept: int, level: str, move: Move) -> None:
    """At the end of a validity period one is renewed, or falls to the slab configured; the base slab is left alone."""
    ladder = capillary.tiers("973", LEVELS, Review(12, Anchor.LEVEL))
    engine = build(ladders=[ladder])
    engine.submit(purchase("up", "2024-06-15", str(reached)))
    engine.run(at("2025-06-15"))
    engine.submit(purchase("stay", "2025-07-01", str(kept)))

    early = engine.run(at("2026-06-14")).records
    receipt = engine.run(at("2026-06-15"))

    assert early == ()
    assert [(ANN, move, level)] == [(row.holder, row.move, row.after) for row in receipt.moves]


ORGANISATION = MultiProgramme(("973", "983", "990"))
EXPIRIES = {"973": "2025-12-31", "983": "2025-06-30", "990": "2025-06-30"}


def conglomerate(organisation: MultiProgramme = ORGANISATION) -> Engine:
    """Ann with 100 points in each of three programmes; 990 was awarded before 983, and both die before 973."""
    rules = [
        Rule(
            RuleId(program),
            ProgrammeId(program),
            f"visit {program}",
            flat(capillary.points(program), 100, expiry=Through(date.fromisoformat(day))),
        )
        for program, day in EXPIRIES.items()
    ]
    engine = build(*rules, programs=organisation.programs)
    for program, day in (("973", "2025-01-01"), ("990", "2025-01-02"), ("983", "2025-01-03")):
        engine.submit(event(program, f"visit {program}", day))
    return engine


def redeem(body: dict[str, Any], organisation: MultiProgramme = ORGANISATION) -> Any:
    """A redemption by Ann."""
    return organisation.redeem(EventId("r"), ANN, at("2025-02-01"), body)


def test_a_group_redemption_takes_the_earliest_expiry_then_the_first_awarded() -> None:
    """Across programmes the soonest to die goes first, then what was awarded first, by the default's ratio."""
    engine = conglomerate()

    receipt = engine.submit(redeem({"points": 220, "program_id": "973", "group_redemption": True}))

    taken = [(row.account, -row.amount) for row in receipt.entries]
    assert taken == [("points@990", 100), ("points@983", 100), ("points@973", 20)]
    assert balances(engine, "2025-02-01") == {"points@973": 80}
    assert engine.setup.programmes[0].redemption.worth(receipt.event.spend) == Decimal("110.00")


def test_a_single_redemption_stays_within_its_programme() -> None:
    """Only the programme named is drawn on, however much lies in others."""
    engine = conglomerate()

    receipt = engine.submit(redeem({"points": 60, "program_id": "983", "group_redemption": False}))

    assert [(row.account, row.amount) for row in receipt.entries] == [("points@983", -60)]
    assert balances(engine, "2025-02-01") == {"points@973": 100, "points@983": 40, "points@990": 100}
    with pytest.raises(LoyaltyError, match="at most 40"):
        engine.submit(replace(redeem({"points": 41, "program_id": "983"}), id=EventId("r2")))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"points": 5, "group_redemption": True}, 801),
        ({"points": 20, "program_id": "983", "group_redemption": True}, 1101),
        ({"points": 20, "program_id": "1"}, 1101),
        ({"points": 400, "group_redemption": True}, 818),
    ],
)
def test_a_redemption_is_validated_by_its_programme(body: dict[str, Any], code: int) -> None:
    """Too few, an unknown programme, a group redemption outside the default one: refused with Capillary's code."""
    engine = conglomerate()
    before = engine.records

    with pytest.raises(LoyaltyError) as refused:
        engine.submit(redeem(body))

    assert refused.value.code == code
    assert engine.records == before


def test_the_group_action_refuses_a_single_redemption() -> None:
    """An organisation whose workflow always redeems group points refuses a single redemption with 3316."""
    organisation = replace(
        ORGANISATION, redemption=(group_redemption.Redeeming("true", group_redemption.Redeem.GROUP),)
    )

    with pytest.raises(LoyaltyError) as refused:
        redeem({"points": 20}, organisation)

    assert refused.value.code == 3316


@pytest.mark.parametrize(
    ("body", "arrived"),
    [
        ({"points": 150, "to": BOB, "group_transfer": True}, {"points@973": 150}),
        ({"points": 50, "to": BOB, "program_id": "983"}, {"points@983": 50}),
    ],
)
def test_a_transfer_arrives_where_it_should(body: dict[str, Any], arrived: dict[str, int]) -> None:
    """A group transfer arrives in the default programme, a single one in its own, and dates of death are kept."""
    engine = conglomerate()
    request = ORGANISATION.transfer(EventId("t"), ANN, at("2025-02-01"), body)

    engine.submit(request)

    assert balances(engine, "2025-02-02", BOB) == arrived
    assert balances(engine, "2025-07-01", BOB) == {}


@pytest.mark.parametrize(
    ("action", "held", "wanted", "lower_only", "code"),
    [
        (SlabAction.UPGRADE, 1, 2, True, 0),
        (SlabAction.UPGRADE, 2, 2, True, 8925),
        (SlabAction.UPGRADE, 3, 2, False, 8925),
        (SlabAction.DOWNGRADE, 3, 1, True, 0),
        (SlabAction.DOWNGRADE, 2, 2, True, 8925),
        (SlabAction.DOWNGRADE, 2, 3, False, 0),
        (SlabAction.RENEWAL, 2, 2, True, 0),
        (SlabAction.EXTEND, 2, 2, True, 0),
    ],
)
def test_a_slab_moves_by_hand_only_where_the_action_says(
    action: SlabAction, held: int, wanted: int, *, lower_only: bool, code: int
) -> None:
    """An upgrade leads higher and a downgrade lower, else 8925; what must not move is not asked for a direction."""
    refused = 0
    try:
        capillary.check_slab_move(action, held, wanted, lower_only=lower_only)
    except LoyaltyError as error:
        refused = error.code

    assert code == refused


def test_a_slab_set_by_hand_lasts_as_long_as_told() -> None:
    """An adjustment with a date holds until then, one without until the ladder's own review."""
    engine = build(ladders=[capillary.tiers("973", LEVELS, Review(12, Anchor.LEVEL))])
    ladder, until = str(capillary.slabs("973")), at("2025-09-01").isoformat()

    told = engine.submit(event("1", ADJUST_LEVEL, "2025-02-01", ladder=ladder, level="Gold", until=until))
    own = engine.submit(event("2", ADJUST_LEVEL, "2025-03-01", ladder=ladder, level="Platinum"))

    assert [(Move.UP, "Gold", at("2025-09-01"))] == [(row.move, row.after, row.until) for row in told.moves]
    assert [(Move.UP, "Platinum", at("2026-03-01"))] == [(row.move, row.after, row.until) for row in own.moves]


def test_a_deposit_is_not_a_purchase() -> None:
    """Goodwill points do not count towards a slab that measures purchases."""
    engine = build(ladders=[capillary.tiers("973", LEVELS)])

    engine.submit(deposit("d", "2025-01-01", "500", "points@973"))

    assert engine.level(ANN, capillary.slabs("973")) == "Silver"
