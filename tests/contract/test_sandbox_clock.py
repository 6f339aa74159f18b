"""The sandbox's clock moves ahead, and what falls due on the way happens, in order and dated."""

from datetime import timedelta
from typing import Any

import pytest

from tests.contract.sandbox_earning import buy, code_of, everything, group_summary, plant, points_of
from tests.contract.sandbox_kit import MOTHER, PRIMARY, PROGRAM, START, Lab, in_process


async def move(lab: Lab, **setting: Any) -> dict[str, Any]:
    """Move the clock."""
    answer = await lab.client.put("/sandbox/clock", json=setting)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def told(events: list[Any]) -> list[tuple[str, int, int]]:
    """Say of tier events: name, customer, when."""
    return [
        (each["eventName"], each["data"]["customerIdentifiers"]["customerId"], each["createdAt"])
        for each in events
        if each["eventName"].startswith("tier")
    ]


def ms(text: str) -> int:
    """Return the epoch milliseconds of an instant on 10 March 2027 or so."""
    return int(START.fromisoformat(text).timestamp()) * 1000


@pytest.mark.parametrize(
    ("again", "event", "tier", "expires"),
    [(500, "tierRenewed", "Gold", "2028-03-09"), (499, "tierDowngraded", "Silver", None)],
)
async def test_the_nightly_batch_reviews_at_the_end_of_the_validity(
    again: int, event: str, tier: str, expires: str | None
) -> None:
    """With enough purchases in the validity a tier is renewed, with less it is lost, at the batch's hour."""
    async with in_process() as lab:
        await plant(lab)
        await buy(lab, "b1", 1000, PRIMARY, "No")
        await move(lab, advance={"days": 366})
        await lab.settled()
        renewed = await lab.tier(PRIMARY)
        await buy(lab, "b2", again, PRIMARY, "No")
        await move(lab, now="2028-03-10T02:29:59Z")
        before = await lab.tier(PRIMARY)
        await move(lab, advance={"seconds": 1})
        events = await lab.settled()
        after = await lab.tier(PRIMARY)

    assert (renewed["currentTierName"], before["currentTierName"]) == ("Gold", "Gold")
    assert told(events)[1:] == [
        ("tierRenewed", PRIMARY, ms("2027-03-10T02:30:00+00:00")),
        (event, PRIMARY, ms("2028-03-10T02:30:00+00:00")),
    ]
    assert after["currentTierName"] == tier
    assert expires is None or after["tierExpiryDate"].startswith("2029-03-09")


@pytest.mark.parametrize(
    ("downgrade", "lands"), [("ONE_BELOW", "Gold"), ("LOWEST", "Silver"), ("BY_ELIGIBILITY", "Silver")]
)
async def test_how_far_one_falls(downgrade: str, lands: str) -> None:
    """A failed renewal leads one down, to the lowest tier, or to what the period's purchases qualify for."""
    strategy = {"validity": {"months": 12}, "downgrade": downgrade}
    async with in_process() as lab:
        await plant(lab, strategy=strategy)
        await buy(lab, "b1", 6000, PRIMARY, "No")
        await move(lab, advance={"days": 366})
        await move(lab, advance={"days": 366})
        tier = await lab.tier(PRIMARY)

    assert tier["currentTierName"] == lands


async def test_the_batch_runs_at_the_organisations_hour() -> None:
    """The switch says when the batch runs; what is due at midnight waits for it."""
    async with in_process() as lab:
        await lab.switch(organisation={"batch_at": "05:15"})
        await plant(lab)
        await buy(lab, "b1", 1000, PRIMARY, "No")
        early = await move(lab, now="2027-03-10T05:14:00Z")
        late = await move(lab, now="2027-03-10T05:15:00Z")
        events = await lab.settled()

    assert (early["eventIds"], len(late["eventIds"])) == ([], 1)
    assert told(events)[-1] == ("tierRenewed", PRIMARY, ms("2027-03-10T05:15:00+00:00"))


async def test_points_die_on_their_day() -> None:
    """Points are there through their last day and gone after it, the individual's and the group's."""
    async with in_process() as lab:
        await plant(lab)
        await buy(lab, "b1", 100, MOTHER, "No")
        await buy(lab, "b2", 200)
        await move(lab, now="2027-03-10T23:59:59Z")
        last = (await points_of(lab), (await group_summary(lab))["loyaltyPoints"])
        await move(lab, advance={"seconds": 1})
        gone = (await points_of(lab), (await group_summary(lab))["loyaltyPoints"])

    assert (last, gone) == ((10, 20), (0, 0))


async def test_seeded_tiers_end_too() -> None:
    """A tier that was planted renews at the end of its validity like one that was given."""
    async with in_process() as lab:
        await lab.seed(groups=[{"externalId": "g", "primary": 1, "secondaries": [2], "tier": "Gold"}])
        await move(lab, advance={"days": 366})
        events = await lab.settled()

    assert {(name, customer) for name, customer, _ in told(events)} == {("tierRenewed", 1), ("tierRenewed", 2)}


async def test_a_batch_set_for_a_time_runs_when_the_clock_passes_it() -> None:
    """A scheduled batch is shown, runs at its time, and once."""
    async with in_process() as lab:
        await lab.decide("Gold")
        await lab.client.post("/sandbox/batch", json={"action": "renew", "at": "2026-04-01T02:30:00Z"})
        shown = (await lab.client.get("/sandbox/clock")).json()["scheduled"]
        await move(lab, now="2026-05-01T00:00:00Z")
        await move(lab, now="2026-06-01T00:00:00Z")
        events = await lab.settled()
        left = (await lab.client.get("/sandbox/clock")).json()["scheduled"]

    assert shown == ["2026-04-01T02:30:00Z"]
    assert told(events)[1:] == [("tierRenewed", PRIMARY, ms("2026-04-01T02:30:00+00:00"))]
    assert left == []


async def test_the_clock_goes_on_from_where_it_was_set() -> None:
    """After a move the sandbox's time runs with the world's; a token stays valid, and a reset brings it back."""
    async with in_process() as lab:
        keys = {"key": lab.settings.key, "secret": lab.settings.secret}
        token = (await lab.client.post("/v3/oauth/token/generate", json=keys)).json()["data"]["accessToken"]
        await move(lab, advance={"days": 2, "hours": 3})
        lab.clock.forward(60)
        shown = (await lab.client.get("/sandbox/clock")).json()["now"]
        headers = {"X-CAP-API-OAUTH-TOKEN": token, "Authorization": ""}
        answer = await lab.client.get(f"/v2/customers/{MOTHER}", headers=headers)
        await lab.client.post("/sandbox/reset")
        reset = (await lab.client.get("/sandbox/clock")).json()["now"]

    moved = START + timedelta(days=2, hours=3, minutes=1)
    assert shown == moved.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert answer.status_code == 200
    assert reset == "2026-03-10T12:01:00.000Z"


@pytest.mark.parametrize(
    "setting",
    [
        {"now": "2026-03-10T11:59:59Z"},
        {"now": "2026-03-11T00:00:00"},
        {"now": "2036-12-01T00:00:00Z", "advance": {"days": 1}},
        {"advance": {"days": -1}},
        {"advance": {"weeks": 1}},
        {"advance": {"days": 3660, "hours": 1}},
        {"now": "3000-01-01T00:00:00Z"},
        {"to": "tomorrow"},
        [],
    ],
)
async def test_a_clock_that_cannot_be_set_so_stays(setting: object) -> None:
    """Back in time, too far, or not understood: refused, and the clock stands where it stood."""
    async with in_process() as lab:
        before = await everything(lab)
        answer = await lab.client.put("/sandbox/clock", json=setting)
        after = await everything(lab)
        shown = (await lab.client.get("/sandbox/clock")).json()["now"]

    assert answer.status_code == 422
    assert before == after
    assert shown == "2026-03-10T12:00:00.000Z"


async def test_a_strategy_decides_what_as_per_strategy_means() -> None:
    """In a programme with a validity a manual upgrade lasts as long as the ladder says, and its end is reviewed."""
    async with in_process() as lab:
        await plant(lab, strategy={"validity": {"months": 3}})
        answer = await lab.adjust(MOTHER)
        tier = await lab.tier()
        await move(lab, advance={"days": 93})
        later = await lab.tier()
        again = await lab.adjust(MOTHER, programId=PROGRAM + 1)

    assert answer.json()["sideEffects"][0]["slabExpiryDate"] == "9th Jun, 2026"
    assert (tier["tierExpiryDate"], later["currentTierName"]) == ("2026-06-09 23:59:59", "Silver")
    assert code_of(again) == 1101
