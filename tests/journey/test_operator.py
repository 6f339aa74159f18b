"""What an operator does by hand: pause and resume, purge, export and import, cancel. Through the real commands."""

import json
from base64 import b64encode
from pathlib import Path

import pytest

from tests.journey.kit import Town, town

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_paused_org_is_left_alone_until_it_is_resumed(here: Town) -> None:
    """While paused, events are accepted and wait, and Capillary hears nothing; afterwards the group comes in step."""
    people = here.newcomers()
    await here.seed(people.seed("Silver"))
    await here.command("pause", "0", "--reason", "migration")
    await here.until(lambda: _says(here, 'tiersync_org_paused{org="0"} 1.0'))
    before = len(await here.calls())

    [event_id] = await here.decide(people.primary, "Gold")
    await here.until(lambda: _stored(here, event_id))
    [state] = await here.json("orgs")
    calls = len(await here.calls()) - before
    await here.command("resume", "0")
    await here.quiet()

    assert (0, "migration") == (calls, state["pause_reason"])
    assert {"Gold"} == await here.followers(people)
    assert {1} == {item["attempts"] for item in (await here.event(event_id))["adjustments"]}


async def _says(here: Town, line: str) -> bool:
    return line in (await here.service.get("/metrics")).text.splitlines()


async def _stored(here: Town, event_id: str) -> bool:
    return any(event["event_id"] == event_id for event in await here.events(status="pending"))


async def test_a_job_left_to_the_server_is_done_by_it(here: Town) -> None:
    """With --background the command only asks, and the running server carries the job out."""
    people = here.newcomers()
    await here.seed(people.seed("Silver"))
    [event_id] = await here.decide(people.primary, "Gold")
    await here.quiet()

    asked = await here.replay("--background", event_id)

    async def ended() -> bool:
        return ("done", {"due": 1}) in [(job["status"], job["counts"]) for job in await here.json("jobs")]

    assert ("running", 0) == (asked["status"], asked["done"])
    await here.until(ended)
    await here.quiet()


async def test_what_was_exported_is_taken_in_elsewhere(here: Town, tmp_path: Path) -> None:
    """Into an empty database all events come once, however often imported; a bad line is named and left out."""
    people = here.newcomers()
    await here.seed(people.seed("Silver"))
    await here.decide(people.primary, "Gold")
    await here.quiet()
    lines = (await here.command("export", "events", "--bodies", "--customer", str(people.primary))).splitlines()
    bare = json.loads((await here.command("export", "events", "--customer", str(people.primary))).splitlines()[0])
    owed = (await here.command("export", "adjustments", "--customer", str(people.primary))).splitlines()
    webhook = json.dumps(here.tier_event(people.primary, 3, event_id="as-it-came"))
    broken = (bare, {"body": "?", "received_at": 1}, {"body": "", "received_at": -1})
    bad = ["{", *(json.dumps(line) for line in broken)]
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join([*bad, *lines, webhook, ""]), "utf-8")
    elsewhere = {"TIERSYNC_DATABASE_URL": f"sqlite:///{tmp_path / 'elsewhere.db'}"}
    await here.command("migrate", **elsewhere)

    first, complaints = await _imported(here, file, elsewhere)
    second, _ = await _imported(here, file, elsewhere)

    assert {"refused": 4, "accepted": len(lines) + 1} == first
    assert {"refused": 4, "duplicate": len(lines) + 1} == second
    assert "body" not in bare
    assert len(people.secondaries) == len(owed)
    for number, field in ((1, "not JSON"), (3, "body: is not base64"), (4, "received_at: ")):
        assert f"line {number}: {field}" in complaints
    assert "line 2 has no body: export with --bodies" in complaints
    again = await here.command("export", "events", "--bodies", **elsewhere)
    kept = {json.loads(line)["body"] for line in again.splitlines()}
    assert {json.loads(line)["body"] for line in lines} | {b64encode(webhook.encode()).decode()} == kept


async def _imported(here: Town, file: Path, environment: dict[str, str]) -> tuple[dict[str, int], str]:
    """Import a file that has lines which cannot be taken; return the counts and what was said of those."""
    said, complained = await here.failing("import", str(file), "--json", **environment)
    return json.loads(said), complained


async def test_a_purge_removes_what_is_over_and_keeps_the_newest(tmp_path: Path) -> None:
    """The dry run says what will go, the purge removes it, and the group follows its primary as before."""
    async with town(tmp_path, duplicates_days=0, echo_window_s=0, default_program=973) as here:
        people = here.newcomers()
        await here.seed(people.seed("Silver"))
        for tier in ("Gold", "Diamond"):
            await here.decide(people.primary, tier)
            await here.quiet()
        settings = {"TIERSYNC_DUPLICATES_DAYS": "0", "TIERSYNC_ECHO_WINDOW_S": "0"}
        asked = ["purge", "--json", "--yes", "--customer", str(people.primary)]

        foreseen = json.loads(await here.command(*asked, "--dry-run", **settings))
        done = json.loads(await here.command(*asked, **settings))
        left = [event["customer"] for event in await here.events() if event["customer"] == people.primary]

        assert (1, 1) == (foreseen["removed"], foreseen["kept"])
        assert ("done", 1, 1) == (done["status"], done["removed"], done["kept"])
        assert 1 == len(left)
        await here.decide(people.primary, "Gold")
        await here.quiet()
        assert {"Gold"} == await here.followers(people)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["pause", "77"], "no org is configured by its id: pause 0, or set TIERSYNC_ORG"),
        (["resume", "77"], "no org is configured by its id: resume 0, or set TIERSYNC_ORG"),
        (["purge"], "--all takes everything"),
        (["purge", "--older-than", "soon"], "Example: --older-than 30d"),
        (["jobs", "cancel", "999"], "there is no job 999"),
        (["events", "list", "--status", "wat"], "Invalid value for '--status': 'wat' is none of pending, done"),
        (["import", "/nowhere/events.jsonl"], "/nowhere/events.jsonl: cannot be read"),
    ],
)
async def test_what_cannot_be_done_is_said_in_a_sentence(here: Town, arguments: list[str], complaint: str) -> None:
    """A wrong argument names itself and what would be right."""
    _, complained = await here.failing(*arguments, COLUMNS="200")

    assert complaint in complained
