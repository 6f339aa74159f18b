"""With a state file the same organisation comes back."""

from pathlib import Path
from typing import Any

import pytest

from tests.contract.sandbox_earning import SHORT_LIVED, buy, everything, give_back, plant, redeem
from tests.contract.sandbox_kit import DAUGHTER, GROUP, MOTHER, PRIMARY, SON, Lab, in_process
from tiersync.errors import LoyaltyError

CARD = {"identifiers": [{"type": "mobile", "value": "919876500009"}]}


async def live(lab: Lab) -> None:
    """Do something of everything, refused calls among it."""
    await plant(lab, SHORT_LIVED)
    await lab.switch(organisation={"FLEET_GROUP_LOYALTY_ENABLED": True})
    await buy(lab, "b1", 1200, DAUGHTER)
    await buy(lab, "b1", 1200, DAUGHTER)
    await lab.adjust(SON)
    await lab.adjust(SON)
    await lab.seed(groups=[{"externalId": "other", "primary": 1000, "secondaries": [1001], "tier": "Gold"}])
    await lab.client.post("/v2/userGroup2/transfer", json=_to_other(lab))
    roles = [{"code": "Owner", "childRoleCode": "Driver", "pointsAggregationRole": True}, {"code": "Driver"}]
    await lab.client.post("/v2/fleetHierarchy", json={"code": "H", "autoGroupCreationEnabled": True, "roles": roles})
    details = {"hierarchyCode": "H", "roleCode": "Owner", "fleetCompany": {"name": "A", "externalId": "a"}}
    await lab.client.post("/v2/customers", json={"profiles": [CARD], "associationDetails": details})
    await lab.client.post("/sandbox/batch", json={"action": "renew", "at": "2026-05-01T00:00:00Z"})
    await lab.client.put("/sandbox/clock", json={"advance": {"days": 40}})
    await buy(lab, "b2", 90, MOTHER, "No")
    await redeem(lab, 5)
    await give_back(lab, "b1", customer=DAUGHTER)
    lab.clock.forward(3600)
    await lab.decide("Gold", PRIMARY)


def _to_other(_lab: Lab) -> dict[str, Any]:
    return {"leaveGroupId": GROUP, "joinGroupId": GROUP + 1, "userIds": [SON]}


def ledger(lab: Lab) -> list[str]:
    """Return the whole ledger as text."""
    return [repr(record) for record in lab.app.state.desk.world.core.engine.records]  # type: ignore[attr-defined]


async def seen(lab: Lab) -> list[Any]:
    """Return all there is to see, without the time of looking."""
    groups = [(await lab.group(externalId=name, programDetails="true")) for name in ("other", "a")]
    return [*await everything(lab), *groups, (await lab.client.get("/sandbox/faults")).json()["now"]]


async def test_the_same_organisation_comes_back(tmp_path: Path) -> None:
    """After a restart groups, points, tiers, switches and clock are as they were, and nothing is delivered again."""
    file = tmp_path / "organisation.jsonl"
    async with in_process(state=file) as lab:
        await live(lab)
        before, entries = await seen(lab), ledger(lab)
        shown = (await lab.client.get("/sandbox/clock")).json()
    async with in_process(state=file) as again:
        after, replayed = await seen(again), ledger(again)
        pending = await again.settled()
        clock = (await again.client.get("/sandbox/clock")).json()
        more = await buy(again, "b3", 10, MOTHER, "No")

    assert before == after
    assert entries == replayed
    assert len(entries) > 20
    assert pending == []
    assert shown["scheduled"] == clock["scheduled"] == ["2026-05-01T00:00:00Z"]
    assert more.status_code == 200


async def test_questions_are_not_kept(tmp_path: Path) -> None:
    """Reads and tokens leave the file as it is; it holds no more than what could change the organisation."""
    file = tmp_path / "organisation.jsonl"
    async with in_process(state=file) as lab:
        size = file.stat().st_size
        await everything(lab)
        query = {"id": PRIMARY, "points": 1, "program_id": 973}
        await lab.client.get("/v1.1/points/isredeemable", params=query)
        await lab.client.post("/v3/oauth/token/generate", json={"key": "sandbox-key", "secret": "sandbox-secret"})
        unchanged = file.stat().st_size
        await lab.adjust(MOTHER)
        grown = file.stat().st_size

    assert size == unchanged < grown


async def test_a_line_cut_off_by_a_crash_is_dropped(tmp_path: Path) -> None:
    """Half a last line is no call; those before it count, and the next one is appended cleanly."""
    file = tmp_path / "organisation.jsonl"
    async with in_process(state=file) as lab:
        await lab.adjust(MOTHER)
    file.write_bytes(file.read_bytes() + b'{"now": "2026-')
    async with in_process(state=file) as second:
        first = await second.tier(MOTHER)
        await second.adjust(DAUGHTER)
    async with in_process(state=file) as third:
        tiers = [(await third.tier(each))["currentTierName"] for each in (MOTHER, DAUGHTER)]

    assert first["currentTierName"] == "Gold"
    assert tiers == ["Gold", "Gold"]


@pytest.mark.parametrize(
    "content",
    [b"hello\n", b'{"founded": "2026-03-10T12:00:00+00:00"}\n[]\n', b'{"founded": "2026-03-10T12:00:00+00:00"}\n{}\n'],
)
async def test_a_file_that_is_no_state_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file of something else stops the start with its line named, and stays as it is."""
    file = tmp_path / "organisation.jsonl"
    file.write_bytes(content)

    with pytest.raises(LoyaltyError, match=r"organisation\.jsonl, line \d"):
        async with in_process(state=file):
            pass

    assert content == file.read_bytes()
