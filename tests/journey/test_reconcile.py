"""Drift that no event told of: what `tiersync reconcile` and its schedule find, repair and leave."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.journey.kit import LOGIN, PROGRAM, SECRET, Family, Json, Town, town
from tiersync.store import database, open_store
from tiersync.store.tables import slices

pytestmark = pytest.mark.asyncio(loop_scope="module")

WELL, LEFT = 0, 1


def surroundings(here: Town, **settings: Any) -> dict[str, str]:
    """The settings of a town as the environment of a command; it makes as many calls as it likes."""
    chosen = {"capillary_url": here.settings["capillary_url"], "webhook_secrets": SECRET, **LOGIN, **settings}
    return {f"TIERSYNC_{name.upper()}": str(value) for name, value in chosen.items()}


async def reconcile(here: Town, *arguments: str, exit_code: int = WELL, **settings: Any) -> Json:
    """Run `tiersync reconcile --json`, which must end with this code; returns what it found."""
    asked = ["reconcile", "--json", "--rate", "60000", *arguments]
    if exit_code == WELL:
        return dict(json.loads(await here.command(*asked, **surroundings(here, **settings))))
    said, complained = await here.failing(*asked, **surroundings(here, **settings))
    assert said, complained
    return dict(json.loads(said))


def figures(report: Json) -> dict[str, int]:
    """The figures of a report that are not zero."""
    named = ("in_step", "spared", "drifted", "repaired", "left", "unread")
    return {name: report[name] for name in named if report[name]}


async def known(here: Town, tier: str = "Gold", **options: Any) -> Family:
    """A family in step that the service has seen change once."""
    people = here.newcomers(**options)
    await here.seed(people.seed("Silver"))
    await here.decide(people.primary, tier)
    await here.quiet()
    return people


async def leased(here: Town) -> int:
    """Count the calls that were leased."""
    async with open_store(database.address(here.database_url)) as store:
        return await store.look(lambda connection: connection.execute(select(func.sum(slices.c.calls))).scalar_one())


def of(people: Family) -> tuple[str, str]:
    """Ask for one family only: others of the same town are not meant."""
    return "--primary", str(people.primary)


async def test_an_event_that_was_lost_is_made_up_for(here: Town) -> None:
    """The primary's tier is not the one last heard of: its group goes where it is, and who has left stays."""
    people = await known(here)
    await here.switch(events={"lost": True})
    await here.decide(people.primary, "Diamond")

    report = await reconcile(here, *of(people))

    assert {"drifted": 3, "repaired": 3} == figures(report)
    assert {"Diamond"} == await here.followers(people)
    assert set(people.secondaries) == await here.touched()
    assert {("Gold", "Diamond", "repaired")} == {(row["held"], row["tier"], row["result"]) for row in report["members"]}
    [job] = [job for job in await here.json("jobs") if job["id"] == report["jobs"][0]["job"]]
    assert ("reconcile", "done", {"drifted": 3, "repaired": 3}) == (job["kind"], job["status"], job["counts"])


async def test_a_lost_downgrade_comes_down_even_where_who_is_above_may_stay(tmp_path: Path) -> None:
    """With `leave` a secondary that is above by itself stays there; one that was left behind above comes down."""
    async with town(tmp_path, secondary_above_primary="leave") as here:
        people = await known(here, "Diamond")
        await here.switch(events={"lost": True})
        await here.decide(people.primary, "Gold")

        brought_down = await reconcile(here, *of(people), secondary_above_primary="leave")
        await here.decide(people.secondaries[0], "Diamond")
        left_above = await reconcile(here, *of(people), secondary_above_primary="leave")

        assert {"drifted": 3, "repaired": 3} == figures(brought_down)
        assert {"in_step": 2, "spared": 1} == figures(left_above)
        assert {"Diamond", "Gold"} == await here.followers(people)


async def test_drift_planted_by_hand_is_repaired_by_the_fewest_calls(here: Town) -> None:
    """One secondary below and one above are brought back by one adjustment each; the rest is only read."""
    people = await known(here)
    low, high, _ = people.secondaries
    await here.switch(events={"lost": True})
    await here.decide(low, "Silver")
    await here.decide(high, "Diamond")
    before = len(await here.calls("adjust"))

    report = await reconcile(here, *of(people))

    made = [(call["customer"], call["action"]) for call in (await here.calls("adjust"))[before:]]
    assert {"in_step": 1, "drifted": 2, "repaired": 2} == figures(report)
    assert {"Gold"} == await here.followers(people)
    assert [(low, "UPGRADE"), (high, "DOWNGRADE")] == sorted(made)


async def test_it_keeps_the_limit_that_it_shares_with_the_server(here: Town) -> None:
    """Where an org's calls of a minute are limited, the command leases its own from the same store."""
    people = await known(here)

    report = await reconcile(here, *of(people), calls_per_minute_max=6000)

    assert {"in_step": 3} == figures(report)
    assert await leased(here)


async def test_a_dry_run_only_reads(here: Town) -> None:
    """It says who is elsewhere, changes nobody in Capillary and nothing in the store but the record of itself."""
    people = await known(here)
    await here.switch(events={"lost": True})
    await here.decide(people.primary, "Diamond")
    before, events, adjusted = await here.tiers(people), await here.events(), len(await here.calls("adjust"))

    report = await reconcile(here, *of(people), "--dry-run", exit_code=LEFT)

    assert {"drifted": 3, "left": 3} == figures(report)
    assert {"dry_run"} == {row["reason"] for row in report["members"]}
    assert (before, events, adjusted) == (
        await here.tiers(people),
        await here.events(),
        len(await here.calls("adjust")),
    )
    assert {"primary": people.primary, "dry_run": True} == (await here.json("jobs"))[0]["selection"]


async def test_a_join_that_was_missed_is_made_up_for(here: Town) -> None:
    """Somebody joined and no event told of it: the group as it is now is what counts."""
    people = await known(here)
    joiner = 100_000 * 7_000 + people.primary
    await here.seed(customers=[{"id": joiner}])
    await here.switch(events={"lost": True})
    await here.join(people, joiner)

    report = await reconcile(here, *of(people))

    assert {"in_step": 3, "drifted": 1, "repaired": 1} == figures(report)
    assert "Gold" == (await here.tiers(people))[joiner]


@pytest.mark.parametrize("by", ["primary", "group"])
async def test_a_primary_nobody_heard_of_is_compared_by_name(here: Town, by: str) -> None:
    """Neither an event nor a key is needed: the primary or its group and the program are."""
    people = here.newcomers()
    await here.seed(people.seed("Silver", primary_tier="Gold"))
    state = (await here.sandbox.get("/sandbox/state", params={"group": people.name})).json()
    number = people.primary if by == "primary" else state["groups"][0]["id"]

    report = await reconcile(here, f"--{by}", str(number), "--program", str(PROGRAM))
    unnamed = await reconcile(here, "--primary", "424242", exit_code=LEFT)

    assert {"drifted": 3, "repaired": 3} == figures(report)
    assert {"Gold"} == await here.followers(people)
    assert ["program_unknown"] == [row["reason"] for row in unnamed["not_read"]]


async def test_what_it_does_comes_back_as_an_echo(here: Town) -> None:
    """The events of its own adjustments are known as such, and set nothing off."""
    people = await known(here)
    await here.switch(events={"lost": {"customers": [people.primary]}})
    await here.decide(people.primary, "Diamond")

    await reconcile(here, *of(people))
    await here.quiet()

    echoes = [event for event in await here.events() if event["customer"] in people.secondaries]
    assert {("echo", "Diamond")} == {(event["reason"], event["tier_name"]) for event in echoes[:3]}
    assert {"Diamond"} == await here.followers(people)


async def test_a_late_event_still_wins(here: Town) -> None:
    """What was newer than the last known event is newer than the reconcile too, whenever it comes."""
    people = await known(here)
    await here.switch(events={"lost": True})
    await here.decide(people.primary, "Diamond")
    await reconcile(here, *of(people))

    await here.decide(people.primary, "Silver")
    await here.switch(events={"lost": False})
    await here.decide(people.primary, "Gold")
    await here.quiet()

    assert {"Gold"} == await here.followers(people)


async def test_what_cannot_be_read_is_left_and_said(here: Town) -> None:
    """A member whose tier cannot be read is named with the reason, and the exit code says so."""
    people = await known(here)
    one = people.secondaries[0]
    await here.switch(tiers={"server_error": {"customers": [one]}})

    report = await reconcile(here, *of(people), exit_code=LEFT)

    assert {"in_step": 2, "unread": 1} == figures(report)
    assert [(one, "server_error")] == [(row["member"], row["reason"]) for row in report["not_read"]]


async def test_a_paused_org_is_not_called(here: Town) -> None:
    """The job waits, and the server goes on with it when the org is resumed."""
    people = await known(here)
    await here.switch(events={"lost": True})
    await here.decide(people.primary, "Diamond")
    await here.command("pause", "0")
    await here.until(lambda: _says(here, 'tiersync_org_paused{org="0"} 1.0'))
    before = len(await here.calls())

    waiting = await reconcile(here, *of(people), exit_code=LEFT)
    calls = len(await here.calls()) - before
    await here.command("resume", "0")

    async def in_step() -> bool:
        return {"Diamond"} == await here.followers(people)

    assert (0, "running", 0) == (calls, waiting["jobs"][0]["status"], waiting["groups"])
    await here.until(in_step)


async def _says(here: Town, line: str) -> bool:
    return line in (await here.service.get("/metrics")).text.splitlines()


async def test_an_outage_puts_it_off(here: Town) -> None:
    """While the breaker is open nothing is compared and nothing is lost; afterwards a server finishes the job."""
    people = await known(here)
    await here.switch(events={"lost": True})
    await here.decide(people.primary, "Diamond")
    await here.switch(groups={"server_error": True})

    waiting = await reconcile(here, *of(people), exit_code=LEFT, breaker_failures_max=2, breaker_pause_s=0.5)
    await here.switch(groups={"server_error": False})

    async def in_step() -> bool:
        return {"Diamond"} == await here.followers(people)

    assert "running" == waiting["jobs"][0]["status"]
    await here.until(in_step)


async def test_since_leaves_out_whom_nothing_was_heard_of(here: Town) -> None:
    """Only primaries of whom an event came since then are compared."""
    await known(here)
    assert 0 == (await reconcile(here, "--since", "2099-01-01"))["groups"]
    assert 0 < (await reconcile(here, "--since", "2001-01-01"))["groups"]


async def test_the_schedule_compares_by_itself(tmp_path: Path) -> None:
    """With an interval set the server finds and repairs drift, a few keys a pass, and leaves its jobs on record."""
    async with town(tmp_path) as here:
        people = [await known(here) for _ in range(3)]
        await here.stop()
        await here.switch(events={"lost": True})
        for family in people:
            await here.decide(family.primary, "Diamond")
        await here.start(reconcile_every_h=0.0001, reconcile_keys_max=2, reconcile_calls_per_minute_max=60000)

        async def in_step() -> bool:
            return all([{"Diamond"} == await here.followers(family) for family in people])

        await here.until(in_step)

        passes = await here.json("jobs")
        assert {("reconcile", "schedule")} == {(job["kind"], job["by"]) for job in passes}
        assert 2 == max(job["matched"] for job in passes)
        assert await _says_some(here, 'tiersync_reconciled_members_total{result="repaired"}')


async def _says_some(here: Town, name: str) -> bool:
    return any(line.startswith(name) for line in (await here.service.get("/metrics")).text.splitlines())


async def test_a_dead_repair_is_left_with_its_reason(here: Town) -> None:
    """What Capillary refuses for good is said, and is a dead letter like any other: a replay mends it."""
    people = await known(here)
    barred = people.secondaries[0]
    await here.switch(events={"lost": True}, adjust={"refuse": {str(barred): 3045}})
    await here.decide(people.primary, "Diamond")

    report = await reconcile(here, *of(people), exit_code=LEFT)
    await here.switch(adjust={"refuse": {}})
    replayed = await here.replay("--status", "dead", "--customer", str(people.primary))
    await here.quiet()

    assert {"drifted": 3, "repaired": 2, "left": 1} == figures(report)
    assert [(barred, "customer_barred")] == [
        (row["member"], row["reason"]) for row in report["members"] if row["result"] == "left"
    ]
    assert 1 == replayed["due"]
    assert {"Diamond"} == await here.followers(people)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--group", "1", "--primary", "2"], "name either --group or --primary"),
        (["--since", "soon"], "is no ISO date or time"),
    ],
)
async def test_a_wrong_question_is_refused(here: Town, arguments: list[str], complaint: str) -> None:
    """A wrong argument names itself and what would be right."""
    _, complained = await here.failing("reconcile", *arguments, COLUMNS="200", **surroundings(here))

    assert complaint in complained
