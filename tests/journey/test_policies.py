"""Each policy of design section 7, carried out by the real service: what it does, and that the other value differs."""

from pathlib import Path
from typing import Any

import pytest

from tests.journey.kit import PROGRAM, Family, town


@pytest.mark.parametrize(
    ("above", "tier", "ending"),
    [("match", "Gold", ("done", "applied")), ("leave", "Diamond", ("skipped", "above_primary"))],
)
async def test_a_secondary_above_its_primary(tmp_path: Path, above: str, tier: str, ending: tuple[str, str]) -> None:
    """`match` brings it down to the primary's tier, `leave` leaves it; the others follow either way."""
    async with town(tmp_path, secondary_above_primary=above) as here:
        people = here.newcomers(secondaries=2, exited=0)
        high, low = people.secondaries
        await here.seed(people.seed("Silver"))
        await here.decide(high, "Diamond")
        await here.quiet()

        [event_id] = await here.decide(people.primary, "Gold")
        await here.quiet()

        assert {people.primary: "Gold", low: "Gold", high: tier} == await here.tiers(people)
        assert {high: ending, low: ("done", "applied")} == await here.owed(event_id)


async def test_an_overtaken_downgrade_is_carried_out_even_where_those_above_are_left(tmp_path: Path) -> None:
    """With `leave`, an upgrade that overtakes an unfinished downgrade inherits it: nobody stays up there."""
    async with town(tmp_path, secondary_above_primary="leave") as here:
        people = here.newcomers()
        await here.seed(people.seed("Diamond"))
        await here.switch(groups={"server_error": {"first": 4}})

        await here.deliver(here.tier_event(people.primary, 1, "tierDowngraded"))
        await here.deliver(here.tier_event(people.primary, 2, "tierUpgraded"))
        await here.quiet()

        assert {"Gold"} == await here.followers(people)


@pytest.mark.parametrize(("source", "tier"), [("event", "Gold"), ("live", "Diamond")])
async def test_which_tier_is_meant(tmp_path: Path, source: str, tier: str) -> None:
    """`event` takes the tier that the event names, `live` the one that the primary holds when the work is done."""
    async with town(tmp_path, tier_source=source) as here:
        people = here.newcomers()
        await here.seed(people.seed("Silver", "Diamond"))

        await here.deliver(here.tier_event(people.primary, 2))
        await here.quiet()

        assert {tier} == await here.followers(people)


async def test_a_tier_moves_nobody_in_another_program(tmp_path: Path) -> None:
    """An event of one program leaves the tiers of every other program as they are."""
    async with town(tmp_path, default_program=PROGRAM) as here:
        people = here.newcomers()
        await here.seed(people.seed("Silver"), programmes=[{"id": 974, "tiers": ["Base", "Top"]}])

        await here.decide(people.primary, "Top", programId=974)
        await here.quiet()

        assert {"Silver"} == await here.followers(people)
        assert {"Top"} == await here.followers(Family(people.primary, people.secondaries, people.exited, 974))


async def test_a_default_program_makes_dead_events_replayable(tmp_path: Path) -> None:
    """An event that names no program is dead and says which setting is missing; once set, a replay carries it out."""
    async with town(tmp_path) as here:
        people = here.newcomers()
        await here.seed(people.seed("Silver"))
        event = here.tier_event(people.primary, 2)
        del event["data"]["loyaltyProgramId"], event["data"]["loyaltyProgramDetails"]["id"]

        await here.deliver(event)
        await here.quiet()

        stored = await here.event(event["eventId"])
        assert ("dead", "program_unknown") == (stored["status"], stored["reason"])
        assert "TIERSYNC_DEFAULT_PROGRAM" in stored["detail"]
        assert set() == await here.touched()

        await here.stop()
        await here.replay(event["eventId"], TIERSYNC_DEFAULT_PROGRAM=str(PROGRAM))
        await here.start(default_program=PROGRAM)
        await here.quiet()

        assert {"Gold"} == await here.followers(people)


@pytest.mark.parametrize(("renewal", "reads"), [("converge", 3), ("plain", 0)])
async def test_a_renewal_reads_first_or_does_not(tmp_path: Path, renewal: str, reads: int) -> None:
    """`converge` reads each secondary before it renews, `plain` renews at once; in a group in step both renew all."""
    async with town(tmp_path, renewal=renewal) as here:
        people = here.newcomers(secondaries=3)
        await here.seed(people.seed("Gold"))

        await here.deliver(here.tier_event(people.primary, 2, "tierRenewed"))
        await here.quiet()

        assert ["RENEWAL"] * 3 == [call["action"] for call in await here.calls("adjust")]
        assert reads == len(await here.calls("tiers"))


@pytest.mark.parametrize(("validity", "mirrored"), [("strategy", False), ("mirror", True)])
async def test_until_when_a_tier_is_valid(tmp_path: Path, validity: str, mirrored: bool) -> None:  # noqa: FBT001
    """`mirror` gives the secondaries the expiry of the event, `strategy` the one that their own tier has."""
    async with town(tmp_path, validity=validity) as here:
        people = here.newcomers()
        await here.seed(people.seed("Silver"))

        await here.deliver(here.tier_event(people.primary, 2, expiry="2033-05-17"))
        await here.quiet()

        standings = [row for row in await here.standings(people) if row["customer"] in people.secondaries]
        assert [mirrored] * 3 == [row["expires"].startswith("2033-05-17") for row in standings]
        assert {"Gold"} == {row["tier"] for row in standings}


@pytest.mark.parametrize(
    ("several", "first", "then", "tier"),
    [
        ("default_group", ("own", "Gold"), ("other", "Diamond"), "Gold"),
        ("default_group", ("other", "Diamond"), ("own", "Gold"), "Gold"),
        ("latest", ("own", "Diamond"), ("other", "Gold"), "Gold"),
        ("latest", ("other", "Gold"), ("own", "Diamond"), "Diamond"),
        ("highest", ("own", "Diamond"), ("other", "Gold"), "Diamond"),
        ("highest", ("other", "Gold"), ("own", "Diamond"), "Diamond"),
    ],
)
async def test_a_secondary_in_several_groups(
    tmp_path: Path, several: str, first: tuple[str, str], then: tuple[str, str], tier: str
) -> None:
    """Its default group leads it, or the highest of its primaries, or the one that changed last."""
    async with town(tmp_path, several_groups=several, on_join="off") as here:
        groups = {"own": here.newcomers(secondaries=1), "other": here.newcomers(secondaries=1)}
        shared = groups["own"].secondaries[0]
        await here.seed(*(people.seed("Silver") for people in groups.values()))
        await here.join(groups["other"], shared, default=False)

        for name, decided in (first, then):
            await here.decide(groups[name].primary, decided)
            await here.quiet()

        assert tier == (await here.tiers(groups["own"]))[shared]


@pytest.mark.parametrize("joiner_tier", ["Silver", "Diamond"])
async def test_a_joiner_is_brought_to_the_primary_s_tier(tmp_path: Path, joiner_tier: str) -> None:
    """Whoever joins is adjusted to the tier that the primary holds, up or down; nobody else is."""
    async with town(tmp_path, default_program=PROGRAM) as here:
        people, joining = here.newcomers(), here.newcomers(secondaries=0)
        await here.seed(people.seed("Gold"), joining.seed(joiner_tier, joiner_tier))

        await here.join(people, joining.primary)
        await here.quiet()

        assert "Gold" == (await here.tiers(joining))[joining.primary]
        assert {joining.primary} == await here.touched()


async def test_a_joiner_is_left_alone_if_so_set(tmp_path: Path) -> None:
    """With `off` a join is recorded as ignored, and Capillary is asked nothing."""
    async with town(tmp_path, default_program=PROGRAM, on_join="off") as here:
        people, joining = here.newcomers(), here.newcomers(secondaries=0)
        await here.seed(people.seed("Gold"), joining.seed("Silver"))

        await here.join(people, joining.primary)
        await here.quiet()

        assert [("ignored", "join_off")] == [(event["status"], event["reason"]) for event in await here.events()]
        assert set() == await here.touched()
        assert "Silver" == (await here.tiers(joining))[joining.primary]


@pytest.mark.parametrize(("depth", "below"), [(0, "Silver"), (1, "Gold")])
async def test_a_secondary_who_leads_a_group_of_its_own(tmp_path: Path, depth: int, below: str) -> None:
    """Its own secondaries follow it only as far as the cascade depth allows; no call is made for what is cut off."""
    async with town(tmp_path, cascade_depth_max=depth, on_join="off") as here:
        upper, lower = here.newcomers(secondaries=1), here.newcomers(secondaries=2)
        await here.seed(upper.seed("Silver"), lower.seed("Silver"))
        await here.join(upper, lower.primary)

        await here.decide(upper.primary, "Gold")
        await here.quiet()

        assert "Gold" == (await here.tiers(upper))[lower.primary]
        assert {below} == await here.followers(lower)
        assert set(upper.secondaries) | {lower.primary} | (set(lower.secondaries) if depth else set()) == (
            await here.touched()
        )


async def test_two_primaries_who_follow_each_other_come_to_rest(tmp_path: Path) -> None:
    """Where each leads the other, and both change at once, the adjustments do not go on for ever."""
    async with town(tmp_path, cascade_depth_max=3, several_groups="latest", on_join="off") as here:
        one, other = here.newcomers(secondaries=0), here.newcomers(secondaries=0)
        await here.seed(one.seed("Silver"), other.seed("Silver"))
        await here.join(one, other.primary)
        await here.join(other, one.primary)

        await here.decide(one.primary, "Gold")
        await here.decide(other.primary, "Diamond")
        await here.quiet()

        assert {one.primary, other.primary} == await here.touched()


@pytest.mark.parametrize(("window", "calls"), [(300, 1), (0, 4)])
async def test_an_echo_that_is_not_recognised_is_harmless(tmp_path: Path, window: int, calls: int) -> None:
    """Within the echo window an echo costs nothing; without one each costs a look at Capillary, and no adjustment."""
    async with town(tmp_path, echo_window_s=window) as here:
        people = here.newcomers(secondaries=3)
        await here.seed(people.seed("Silver"))

        await here.decide(people.primary, "Gold")
        await here.quiet()

        assert calls == len(await here.calls("groups"))
        assert 3 == len(await here.calls("adjust"))


@pytest.mark.parametrize(
    ("credentials", "calls"),
    [
        ({}, 0),
        ({"capillary_key": "sandbox-key", "capillary_secret": "sandbox-secret"}, 1),
    ],
    ids=["basic", "oauth"],
)
async def test_either_kind_of_credentials(tmp_path: Path, credentials: dict[str, Any], calls: int) -> None:
    """Basic needs no token, OAuth fetches one for all calls; with both the group follows."""
    async with town(tmp_path, **credentials) as here:
        people = here.newcomers()
        await here.seed(people.seed("Silver"))

        await here.decide(people.primary, "Gold")
        await here.quiet()

        assert {"Gold"} == await here.followers(people)
        assert calls == len(await here.calls("token"))
