"""Programmes with rules come by `POST /sandbox/seed`, or not at all."""

from typing import Any

import pytest

from tests.contract.sandbox_earning import RULED, buy, everything, moved, plant
from tests.contract.sandbox_kit import GROUP, MOTHER, PRIMARY, PROGRAM, in_process


def branches(*rows: tuple[str, str]) -> dict[str, Any]:
    """Build one workflow of one point per currency."""
    return {
        "workflows": [
            {"name": "w", "branches": [{"condition": condition, "action": action} for condition, action in rows]}
        ]
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (branches(("currentTxn.amount >", "both")), "column 20"),
        (branches(("currentTxn.colour==1", "both")), "column 1: unknown attribute"),
        (branches(("currentTxn.amount", "both")), "column"),
        (branches(("true", "everybody")), "action everybody is unknown"),
        ({"promotions": [{"name": "p", "condition": "&&", "points": 1}]}, "promotion p, column 1"),
        ({"promotions": [{"name": "p"}]}, "either points or an action"),
        ({"promotions": [{"name": "p", "points": 1, "action": "group"}]}, "either points or an action"),
        ({"promotions": [{"name": "p", "action": "everybody"}]}, "action everybody is unknown"),
        (
            {"redemption": {"workflow": [{"condition": "currentEvent.", "action": "Redeem Points"}]}},
            "redemption workflow, branch 1",
        ),
        (
            {"transfer": {"workflow": [{"condition": "currentEvent.", "action": "Transfer Points"}]}},
            "transfer workflow, branch 1",
        ),
        ({"transfer": {"workflow": [{"condition": "true", "action": "Give"}]}}, "transfer.workflow.0.action"),
        (
            {"redemption": {"workflow": [{"condition": "true", "action": "Redeem Points", "strategy": "x"}]}},
            "no redemption strategy 'x'",
        ),
        ({"tiers": [{"name": "A"}, {"name": "B", "threshold": 0}]}, "thresholds must rise"),
        ({"tiers": [{"name": "A", "threshold": 5}]}, "begins at 0"),
        ({"tiers": ["A", {"name": "B", "threshold": 1}]}, "or none"),
        ({"tiers": ["A", "A"]}, "names a tier twice"),
        ({"tiers": ["A", "B"]}, "a strategy needs tiers with thresholds"),
        ({"strategy": {"validity": {"from": "DATE"}}}, "needs start"),
        ({"strategy": {"basis": "LUCK"}}, "strategy.basis"),
        ({"pointsExpiry": {"days": 1, "months": 1}}, "one of days, months and on"),
        ({"pointsPerCurrency": -1, "workflows": []}, "pointsPerCurrency"),
    ],
)
async def test_a_programme_that_cannot_be_read_changes_nothing(change: dict[str, Any], says: str) -> None:
    """What is wrong with a programme is said, with the column in a condition, and no programme is added."""
    async with in_process() as lab:
        before = await everything(lab)
        good = {"id": 1, "tiers": ["Only"]}
        answer = await lab.client.post("/sandbox/seed", json={"programmes": [good, {**RULED, **change}]})
        after = await everything(lab)

    assert answer.status_code == 422
    assert says in answer.json()["error"]["message"]
    assert before == after


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("true", True),
        ("currentTxn.amount>=40 && currentTxn.amount<41", True),
        ("(currentTxn.amount+2)*2==84 || false", True),
        ("currentCustomer.isGroupMember==Yes", True),
        ("currentCustomer.isGroupMember==true", True),
        ("currentUserGroup.memberCount==5", True),
        ('currentCustomer.slabName=="Silver" && currentCustomer.slabNumber==1', True),
        ('currentUserGroup.slabName=="Gold"', False),
        ('currentTxn.extField_shop.contains("port")', True),
        ("currentTxn.extField_empty.isNull()", False),
        ("currentTxn.extField_other.isNull()", True),
        ("currentTxn.date.year()==2026", True),
    ],
)
async def test_conditions_see_the_transaction(condition: str, *, holds: bool) -> None:
    """A condition is judged by the transaction, its customer and its group as they stood before it."""
    async with in_process() as lab:
        await plant(lab, **branches((condition, "individual")))
        answer = await buy(lab, "b", 40, extendedFields={"shop": "airport", "empty": ""})

    assert moved(answer) == ([(MOTHER, 40)] if holds else [])


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("individual", [(MOTHER, 40)]),
        ("group", [(GROUP, 40)]),
        ("both", [(MOTHER, 40), (GROUP, 40)]),
        ("Transaction point allocation for user groups", [(GROUP, 40)]),
    ],
)
async def test_actions_credit_whom_they_name(action: str, expected: list[Any]) -> None:
    """Points go to the individual, to the group, or to both."""
    async with in_process() as lab:
        await plant(lab, **branches(("true", action)))
        answer = await buy(lab, "b", 40)

    assert moved(answer) == expected


async def test_branches_exclude_one_another() -> None:
    """Of a workflow only the first branch that holds counts; two workflows both do."""
    async with in_process() as lab:
        first = branches(("true", "individual"), ("true", "group"))["workflows"][0]
        await plant(lab, workflows=[first, {**first, "name": "second"}])
        answer = await buy(lab, "b", 40)

    assert moved(answer) == [(MOTHER, 40), (MOTHER, 40)]


async def test_promotional_points_stay_with_the_individual() -> None:
    """A promotion on a group's transaction pays the member, and the job that moves points leaves them there."""
    async with in_process() as lab:
        await plant(lab, promotions=[{"name": "p", "condition": "currentTxn.amount>=100", "points": 7}])
        await buy(lab, "mine", 300, swiped="No")
        await buy(lab, "ours", 200)
        job = await lab.client.post("/sandbox/jobs/move-points", json={"customer": MOTHER})
        shown = (await lab.client.get(f"/sandbox/customers/{MOTHER}")).json()["programmes"][0]

    assert job.json() == {"customer": MOTHER, "group": GROUP, "moved": 30}
    assert (shown["points"], shown["promotionalPoints"]) == (0, 14)


async def test_a_promotion_may_credit_the_group() -> None:
    """A promotion scoped to group members allocates a transaction's points to the group besides the workflow."""
    promotion = {"name": "p", "condition": "currentCustomer.isGroupMember==true", "action": "group"}
    async with in_process() as lab:
        await plant(lab, **branches(("true", "individual")), promotions=[{**promotion, "pointsPerCurrency": 2}])
        answer = await buy(lab, "b", 40)

    assert sorted(moved(answer)) == sorted([(MOTHER, 40), (GROUP, 80)])


async def test_a_replaced_programme_starts_anew() -> None:
    """A programme seeded again under its id forgets tiers and points, and goes by its new rules only."""
    async with in_process() as lab:
        await plant(lab)
        await buy(lab, "b1", 3000)
        await plant(lab, **branches(("true", "individual")))
        tiers = [(await lab.tier(each))["currentTierName"] for each in (MOTHER, PRIMARY)]
        answer = await buy(lab, "b2", 10)

    assert tiers == ["Silver", "Silver"]
    assert moved(answer) == [(MOTHER, 10)]


async def test_a_second_programme_keeps_its_own_tiers() -> None:
    """A transaction counts in the programme it names, and moves nobody in another one."""
    async with in_process() as lab:
        await plant(lab, {**RULED, "id": 983, "default": False})
        answer = await buy(lab, "b1", 3000, programId=983)
        shown = (await lab.client.get(f"/sandbox/customers/{PRIMARY}")).json()["programmes"]

    assert {row["programId"]: row["tier"] for row in shown} == {PROGRAM: "Silver", 983: "Gold"}
    assert {each["programId"] for each in answer.json()["sideEffects"]} == {983}
