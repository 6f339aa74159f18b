"""Points are redeemed and moved: whose, by whom, out of which programmes, and never twice."""

from typing import Any

import pytest

from tests.contract.sandbox_earning import (
    SHORT_LIVED,
    buy,
    code_of,
    everything,
    group_summary,
    plant,
    points_of,
    redeem,
)
from tests.contract.sandbox_kit import DAUGHTER, GROUP, MOTHER, PRIMARY, PROGRAM, SON, UNCLE, Lab, in_process

OUT_OF_GROUP = {"type": "USERGROUP2", "id": GROUP}
BLOCKED = "allow_points_redemption,allow_points_transfer,block_points_redemption,block_points_transfer"


async def stock(lab: Lab, **changes: Any) -> None:
    """30 points of the daughter's in the fashion programme, 50 in the short-lived one, 120 of the group's."""
    await plant(lab, SHORT_LIVED, **changes)
    await buy(lab, "b1", 300, DAUGHTER, "No")
    await buy(lab, "b2", 50, DAUGHTER, "No", programId=983)
    await buy(lab, "b3", 1200, PRIMARY)


def out_of_group(points: Any, by: int = PRIMARY, to: Any = None) -> dict[str, Any]:
    """Build a transfer out of the family's wallet."""
    return {
        "pointsTobeTransferred": points,
        "programId": PROGRAM,
        "fromEntity": OUT_OF_GROUP,
        "toEntity": to or {"type": "CUSTOMER", "id": MOTHER},
        "transferredBy": {"id": by},
    }


async def test_a_group_redemption_draws_on_what_dies_first() -> None:
    """Over all programmes the soonest expiry goes first; the history says how much came from where."""
    async with in_process() as lab:
        await stock(lab)
        done = await redeem(lab, 60, DAUGHTER, group_redemption=True)
        answer = await lab.client.get("/v1.1/customer/redemptions", params={"id": DAUGHTER})
        left = [await points_of(lab, DAUGHTER, program) for program in (PROGRAM, 983)]

    assert (done["points_redeemed"], done["is_group_redemption"], done["balance"]) == ("60", True, 20)
    point = answer.json()["response"]["customer"]["redemptions"]["points"]["point"][0]
    assert point["redemption_breakup_by_program"] == [
        {"programId": 983, "pointsRedeemed": 50, "programCurrentPoints": 0},
        {"programId": PROGRAM, "pointsRedeemed": 10, "programCurrentPoints": 20},
    ]
    assert left == [20, 0]


async def test_a_single_redemption_stays_in_its_programme() -> None:
    """Without group_redemption only the named programme pays, by its own ratio."""
    async with in_process() as lab:
        await stock(lab, pointsToCurrencyRatio="0.5")
        done = await redeem(lab, 30, DAUGHTER)
        other = await redeem(lab, 20, DAUGHTER, {"program_id": 983})
        left = [await points_of(lab, DAUGHTER, program) for program in (PROGRAM, 983)]

    assert (done["redeemed_value"], other["redeemed_value"]) == (15, 20)
    assert left == [0, 30]


async def test_is_redeemable_asks_without_taking() -> None:
    """The question gets the answer the redemption would get, and takes nothing."""
    query = {"id": DAUGHTER, "points": 30, "program_id": PROGRAM}
    async with in_process() as lab:
        await stock(lab)
        yes = await lab.client.get("/v1.1/points/isredeemable", params=query)
        no = await lab.client.get("/v1.1/points/isredeemable", params={**query, "points": 31})
        both = await lab.client.get(
            "/v1.1/points/isredeemable", params={**query, "points": 80, "group_redemption": "true"}
        )
        left = await points_of(lab, DAUGHTER)

    redeemable = yes.json()["response"]["points"]["redeemable"]
    assert (redeemable["is_redeemable"], redeemable["points_redeem_value"]) == ("true", 30)
    assert [code_of(each) for each in (yes, no, both)] == [800, 818, 800]
    assert left == 30


async def test_a_reference_counts_once() -> None:
    """The same external_reference_number gets the first answer again and takes nothing more."""
    async with in_process() as lab:
        await stock(lab)
        first = await redeem(lab, 10, DAUGHTER, external_reference_number="ref-1")
        again = await redeem(lab, 10, DAUGHTER, external_reference_number="ref-1")
        left = await points_of(lab, DAUGHTER)

    assert first == again
    assert left == 20


REFUSED: list[tuple[Any, int, dict[str, Any], dict[str, Any], int]] = [
    (0, DAUGHTER, {}, {}, 801),
    (-1, DAUGHTER, {}, {}, 801),
    ("many", DAUGHTER, {}, {}, 801),
    (3, DAUGHTER, {}, {}, 801),
    (1.2345, DAUGHTER, {}, {}, 878),
    (31, DAUGHTER, {}, {}, 818),
    (5, UNCLE, {}, {}, 818),
    (85, DAUGHTER, {}, {"group_redemption": True}, 818),
    (5, DAUGHTER, {"program_id": 1}, {}, 1101),
    (5, DAUGHTER, {"program_id": 983}, {"group_redemption": True}, 1101),
    (5, 5, {}, {}, 8015),
    (5, DAUGHTER, {"user_group2_id": 5}, {}, 1632),
    (5, UNCLE, {"user_group2_id": GROUP}, {}, 1620),
    (5, UNCLE, {"use_default_user_group2": "true"}, {}, 1647),
    (5, SON, {"user_group2_id": GROUP}, {}, 830),
]


@pytest.mark.parametrize(("points", "customer", "query", "item", "code"), REFUSED)
async def test_refused_redemptions_take_nothing(
    points: Any, customer: int, query: dict[str, Any], item: dict[str, Any], code: int
) -> None:
    """Each refusal has its code, comes with HTTP 200 in v1.1, and leaves every balance as it was."""
    async with in_process() as lab:
        await stock(lab, redemption={"least": 5})
        await lab.client.put(
            "/v2/userGroup2/members/permissions", params={"id": GROUP}, json=[{"userId": SON, "permissions": BLOCKED}]
        )
        before = [*await everything(lab), await points_of(lab, DAUGHTER)]
        refused = await redeem(lab, points, customer, query, **item)
        after = [*await everything(lab), await points_of(lab, DAUGHTER)]

    assert (refused["item_status"]["code"], refused["item_status"]["success"]) == (code, "false")
    assert before == after


@pytest.mark.parametrize(
    ("switch", "workflow", "grouped", "code"),
    [
        (False, None, True, 889),
        (True, [{"condition": "true", "action": "Redeem Group Points"}], False, 3316),
        (True, [{"condition": "true", "action": "Redeem Points"}], False, 800),
    ],
)
async def test_group_redemption_is_guarded(switch: Any, workflow: Any, grouped: Any, code: int) -> None:
    """Without the flag it fails; its action met by a payload without group_redemption is refused."""
    async with in_process() as lab:
        await stock(lab, redemption={"workflow": workflow})
        await lab.switch(organisation={"ENABLE_GROUP_PROGRAMS_REDEMPTION": switch})
        done = await redeem(lab, 5, DAUGHTER, group_redemption=grouped)

    assert done["item_status"]["code"] == code


@pytest.mark.parametrize(
    ("permissions", "may"),
    [
        ("allow_points_redemption", True),
        ("allow_points_transfer", False),
        ("block_points_redemption", False),
        (BLOCKED, False),
    ],
)
async def test_a_secondary_redeems_by_permission(permissions: str, *, may: bool) -> None:
    """The primary always redeems the group's points, a secondary only where allowed, and a block wins."""
    change = [{"userId": MOTHER, "permissions": permissions}]
    async with in_process() as lab:
        await stock(lab)
        await lab.client.put("/v2/userGroup2/members/permissions", params={"id": GROUP}, json=change)
        hers = await redeem(lab, 20, MOTHER, {"user_group2_id": GROUP})
        his = await redeem(lab, 20, PRIMARY, {"use_default_user_group2": "true"})
        left = (await group_summary(lab))["loyaltyPoints"]

    assert (hers["item_status"]["code"], his["item_status"]["code"]) == (800 if may else 830, 800)
    assert left == (80 if may else 100)


async def test_an_inactive_group_keeps_its_points() -> None:
    """When the primary has left, the points stay on the group and nobody redeems them."""
    left = {"source": "INSTORE", "identifierName": "email", "identifierValue": "father@example.com"}
    async with in_process() as lab:
        await stock(lab)
        await lab.client.delete(f"/v2/userGroup2/{GROUP}/leave", params=left)
        hers = await redeem(lab, 20, MOTHER, {"user_group2_id": GROUP})
        summary = await group_summary(lab)

    assert hers["item_status"]["code"] == 1645
    assert summary["loyaltyPoints"] == 120


async def test_points_move_between_group_and_member() -> None:
    """The primary moves the group's points to a member, and a member gives them back; the check moves nothing."""
    async with in_process() as lab:
        await stock(lab)
        check = await lab.client.post("/v2/points/userGroup2/transferrable", json=out_of_group(40))
        out = await lab.client.post("/v2/points/userGroup2/transfer", json=out_of_group(40))
        back = {
            "pointsToBeTransferred": "15",
            "fromEntity": {"type": "CUSTOMER", "id": MOTHER},
            "toEntity": {"type": "USERGROUP2", "identifierName": "externalId", "identifierValue": "family_001"},
        }
        returned = await lab.client.post("/v2/points/userGroup2/transfer", json=back)
        left = (await points_of(lab), (await group_summary(lab))["loyaltyPoints"])

    assert check.json()["transferrable"] is True
    data = out.json()["data"][0]
    assert (data["fromEntityId"], data["toEntityId"], data["pointsTransferred"]) == (GROUP, MOTHER, 40)
    assert data["pointsTransferBreakupByEarningPrograms"] == [
        {"programId": PROGRAM, "deductedPoints": 40, "programCurrentPoints": 80}
    ]
    assert returned.status_code == 200
    assert left == (25, 95)


@pytest.mark.parametrize("path", ["transfer", "transferrable"])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (out_of_group(0), 422),
        (out_of_group("x"), 422),
        (out_of_group(121), 818),
        (out_of_group(5, MOTHER), 830),
        (out_of_group(5, UNCLE), 1651),
        (out_of_group(5, 5), 8015),
        ({**out_of_group(5), "programId": 1}, 1101),
        ({**out_of_group(5), "fromEntity": {"type": "USERGROUP2", "id": 5}}, 1632),
        ({**out_of_group(5), "fromEntity": {"type": "USER", "id": 5}}, 1646),
        ({**out_of_group(5, UNCLE), "fromEntity": {"type": "USERGROUP2"}}, 1647),
        ({**out_of_group(5), "fromEntity": {"type": "USERGROUP2"}, "transferredBy": None}, 1635),
        (out_of_group(5, to={"type": "CUSTOMER"}), 8015),
        (out_of_group(5, to=OUT_OF_GROUP), 422),
    ],
)
async def test_refused_transfers_move_nothing(path: str, body: dict[str, Any], code: int) -> None:
    """Each refusal of a transfer, or of the question whether it would work, has its code and moves nothing."""
    async with in_process() as lab:
        await stock(lab)
        before = await everything(lab)
        answer = await lab.client.post(f"/v2/points/userGroup2/{path}", json=body)
        after = await everything(lab)

    assert (answer.status_code, code_of(answer)) == (400, code)
    assert before == after


@pytest.mark.parametrize(
    ("flag", "receiver"),
    [({}, [0, 40]), ({"group_transfer": True}, [60, 0]), ({"groupProgramTransfer": "true"}, [60, 0])],
)
async def test_points_move_between_customers(flag: dict[str, Any], receiver: list[int]) -> None:
    """A single transfer arrives in its programme; a group transfer draws on all and arrives in the default one."""
    body = {
        "pointsTobeTransferred": 60 if flag else 40,
        "programId": 983,
        "fromCustomerIdentifier": {"type": "ID", "value": str(DAUGHTER)},
        "toCustomerIdentifier": {"type": "EMAIL", "value": "son@example.com"},
        **flag,
    }
    async with in_process() as lab:
        await stock(lab)
        answer = await lab.client.post("/v2/points/transfer", json=body)
        arrived = [await points_of(lab, SON, program) for program in (PROGRAM, 983)]

    assert answer.status_code == 200, answer.text
    assert arrived == receiver


@pytest.mark.parametrize(
    ("points", "grouped", "code"), [(4, True, 801), (6, True, 801), (10, True, 800), (4, False, 800), (7, False, 801)]
)
async def test_the_workflow_chooses_the_redemption_strategy(points: int, grouped: Any, code: int) -> None:
    """A group redemption is validated by the strategy its branch names, a single one by the programme's own."""
    redemption = {
        "most": 6,
        "strategies": {"in fives": {"least": 5, "multiple": 5}},
        "workflow": [
            {
                "condition": "currentEvent.isGroupProgramRedemption==true",
                "action": "Redeem Group Points",
                "strategy": "in fives",
            },
            {"condition": "true", "action": "Redeem Points"},
        ],
    }
    async with in_process() as lab:
        await stock(lab, redemption=redemption)
        done = await redeem(lab, points, DAUGHTER, group_redemption=grouped)

    assert done["item_status"]["code"] == code


ALWAYS_GROUP = [{"condition": "true", "action": "Transfer Group Points"}]
NEVER_GROUP = [{"condition": "currentEvent.isGroupTransfer==true", "action": "Transfer Points"}]


@pytest.mark.parametrize(
    ("workflow", "grouped", "code", "arrived"),
    [
        (None, True, None, [60, 0]),
        (None, False, 818, [0, 0]),
        (NEVER_GROUP, True, 818, [0, 0]),
        (ALWAYS_GROUP, False, 3316, [0, 0]),
        (
            [{"condition": "currentEvent.isGroupProgramRedemption==true", "action": "Transfer Points"}],
            False,
            818,
            [0, 0],
        ),
    ],
)
async def test_a_group_transfer_is_guarded_by_the_default_programmes_workflow(
    workflow: Any, grouped: Any, code: int | None, arrived: list[int]
) -> None:
    """Only where the workflow says Transfer Group Points are all programmes drawn on; the check says the same."""
    body = {
        "pointsTobeTransferred": 60,
        "program_id": PROGRAM,
        "group_transfer": grouped,
        "fromCustomerIdentifier": {"type": "ID", "value": str(DAUGHTER)},
        "toCustomerIdentifier": {"type": "ID", "value": str(SON)},
    }
    async with in_process() as lab:
        await stock(lab, transfer={"workflow": workflow})
        check = await lab.client.post("/v2/points/transferrable", json=body)
        untouched = [await points_of(lab, SON, program) for program in (PROGRAM, 983)]
        done = await lab.client.post("/v2/points/transfer", json=body)
        received = [await points_of(lab, SON, program) for program in (PROGRAM, 983)]

    assert untouched == [0, 0]
    if code is None:
        assert (check.json()["transferrable"], done.status_code) == (True, 200)
    else:
        assert (code_of(check), code_of(done)) == (code, code)
    assert received == arrived


@pytest.mark.parametrize(
    ("body", "code"),
    [({"customer": UNCLE}, 1647), ({"customer": UNCLE, "group": GROUP}, 1620), ({"customer": 5}, 8015), ({}, 0)],
)
async def test_the_job_that_moves_points_refuses(body: dict[str, Any], code: int) -> None:
    """Points move only of a member, to a group there is."""
    async with in_process() as lab:
        await stock(lab)
        answer = await lab.client.post("/sandbox/jobs/move-points", json=body)

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)
