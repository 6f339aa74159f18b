"""Reconciling from the page: what is said before, what is begun, what is refused, and what a job came to."""

import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.conftest import Service, ServiceFactory
from tests.contract.store_kit import (
    ANN,
    BOB,
    EVE,
    GOLD,
    GROUP,
    LEASE_MS,
    NOW,
    ORG,
    PRIMARY,
    PROGRAM,
    Hand,
    outcome,
    tier_change,
)
from tests.contract.test_console_page import form_token, signed_in
from tiersync import drift, intake
from tiersync.drift import Leader
from tiersync.fanout import AdjustmentStatus, Policy
from tiersync.store import Advance, Comparison, JobStatus, Keys, Store, database, open_store

OTHER, ELSEWHERE = 50_952, 7
ONE = {"org": str(ORG), "program": str(PROGRAM), "primary": str(PRIMARY)}
ORGS = {str(org): {"default_program": PROGRAM} for org in (ORG, OTHER)}


@pytest.fixture
async def running(service: ServiceFactory, database_url: str) -> AsyncIterator[Service]:
    """Run a service on a store that knows a group of three secondaries, and another of one of another org."""
    async with known(database_url) as hand:
        await hand.finished(await hand.due(tier_change("e1")), [ANN, BOB, EVE])
        await hand.finished(await hand.due(tier_change("e2", org=OTHER, customer=ELSEWHERE)), [ANN])
    async with service() as found:
        yield found


@asynccontextmanager
async def known(database_url: str) -> AsyncIterator[Hand]:
    """Work on the store before, or beside, the service."""
    async with open_store(database.address(database_url), migrate=True) as store:
        yield Hand(store)


async def text_of(client: httpx.AsyncClient, path: str, status: int = 200, **query: str) -> str:
    """What a view says, without its markup."""
    answer = await client.get(path, params=query or None)
    assert status == answer.status_code, answer.text
    return words(answer.text)


def words(page: str) -> str:
    """The words of a page, with single spaces between them."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


async def jobs(running: Service) -> list[tuple[object, ...]]:
    """What is on record, the oldest first."""
    found = (await running.ask("/api/jobs")).json()["jobs"]
    return [(job["kind"], job["by"], job["selection"], job["rate"]) for job in reversed(found)]


async def test_the_preview_says_what_is_read_how_fast_and_that_it_repairs(running: Service) -> None:
    """Before anything happens: how many calls, at which rate, for how long, and that tiers will change."""
    client = await signed_in(running)

    said = await text_of(client, "/console/reconcile", **ONE)

    assert "Reconcile 1 group?" in said
    assert "About 5 reading calls, at most 120 a minute: 2 s or more." in said
    assert "2 for the group and 1 for each secondary, of whom 3 are known here." in said
    assert "is brought to the tier that the primary holds now" in said
    assert "can be watched and cancelled" in said
    assert [] == await jobs(running)


async def test_the_preview_of_a_dry_run_says_that_nobody_changes(running: Service) -> None:
    """What only compares says so, in the question, in the list and on the button; and its own rate is told."""
    client = await signed_in(running)

    said = await text_of(client, "/console/reconcile", **ONE, dry_run="1", rate="5")

    assert "Compare 1 group and change nothing?" in said
    assert "About 5 reading calls, at most 5 a minute: 1 min or more." in said
    assert "Nobody's tier changes" in said
    assert "is brought to the tier" not in said
    assert "Compare 1 group Repair too …" in said


async def test_the_preview_counts_every_group_that_is_meant(running: Service) -> None:
    """Without a condition it is every group of whose primary an event came; by program or since, those that match."""
    client = await signed_in(running)

    everybody = await text_of(client, "/console/reconcile")
    nobody = await text_of(client, "/console/reconcile", program="1")
    lately = await text_of(client, "/console/reconcile", since="2027-01-15T09:00")

    assert "Reconcile 2 groups? Every group of whose primary an event ever came." in everybody
    assert "About 8 reading calls" in everybody
    for empty in (nobody, lately):
        assert "Reconcile 0 groups?" in empty
        assert "What will happen" not in empty


async def test_the_preview_says_what_stands_in_the_way(service: ServiceFactory, database_url: str) -> None:
    """A pause, work that is under way, and a primary of whom nothing was ever heard, are said before pressing."""
    async with known(database_url) as hand:
        await hand.due(tier_change("e1"))
        await hand.store.pause(ORG, by="Ann", reason=None, now=NOW)
    async with service() as running:
        client = await signed_in(running)
        busy = await text_of(client, "/console/reconcile", **ONE)
        unknown = await text_of(client, "/console/reconcile", primary="424242")
        named = await text_of(client, "/console/reconcile", primary="424242", program=str(PROGRAM))

    assert f"Org {ORG} is paused since 15 Jan 08:00 UTC: it waits until that is over." in busy
    assert "In 1 group work is under way: what differs there is left to it." in busy
    assert "About 2 reading calls" in unknown
    assert "Nothing was ever heard of this primary here." in unknown
    assert "name the program" in unknown
    assert "name the program" not in named


async def test_what_is_confirmed_is_a_job_on_record(running: Service) -> None:
    """A confirmed reconcile is a stored job with its keys, its rate and who asked; it is seen, and can be cancelled."""
    client = await signed_in(running)
    token = await form_token(client)

    answer = await client.post("/console/reconcile", data={"csrf": token, **ONE, "rate": "30", "dry_run": "1"})
    [job] = (await running.ask("/api/jobs")).json()["jobs"]
    listed, shown = await text_of(client, "/console/jobs"), await text_of(client, answer.headers["location"])
    await client.post(f"/console/jobs/{job['id']}/cancel", data={"csrf": token})
    ended = await text_of(client, f"/console/jobs/{job['id']}")

    assert (303, f"/console/jobs/{job['id']}") == (answer.status_code, answer.headers["location"])
    keys = {"org": ORG, "program": PROGRAM, "primary": PRIMARY, "dry_run": True}
    assert [("reconcile", "Ann", keys, 30)] == await jobs(running)
    assert (
        f"reconcile 1 org {ORG} program {PROGRAM} primary {PRIMARY} dry run at most 30 calls a minute Ann running"
        in listed
    )
    assert "0 of 1 group compared." in shown
    assert "Cancel" in shown
    assert "cancelled" in ended
    assert "By Ann." in ended
    assert "Reconcile again …" in ended


async def test_each_org_has_a_job_of_its_own(service: ServiceFactory, database_url: str) -> None:
    """Where several orgs are configured the preview tells of each, and each has a job; a group has to say whose."""
    async with known(database_url) as hand:
        await hand.finished(await hand.due(tier_change("e1")), [ANN, BOB])
    async with service(orgs=ORGS) as running:
        client = await signed_in(running)
        said = await text_of(client, "/console/reconcile", program=str(PROGRAM))
        answer = await client.post(
            "/console/reconcile", data={"csrf": await form_token(client), "program": str(PROGRAM)}
        )
        unsaid = await text_of(client, "/console/reconcile", 422, primary=str(PRIMARY))

        assert f"For org {ORG} about 4 reading calls" in said
        assert f"For org {OTHER} about 0 reading calls" in said
        assert "a job for each org" in said
        assert "/console/jobs" == answer.headers["location"]
        assert [ORG, OTHER] == [selection["org"] for _, _, selection, _ in await jobs(running)]  # type: ignore[index]
        assert f"org: several orgs are configured ({ORG}, {OTHER}): name the group's" in unsaid


WRONG: dict[str, tuple[dict[str, str], str]] = {
    "an org in letters": ({"org": "acme"}, "org: must be a whole number, such as 50614"),
    "a negative org": ({"org": "-1"}, "org: must be a whole number"),
    "an org beyond all numbers": ({"org": str(2**63)}, "org: must be a whole number"),
    "an unknown org": ({"org": "1"}, f"org: 1 is not configured ({ORG})"),
    "a program in letters": ({"program": "gold"}, "program: must be a whole number"),
    "a primary in letters": ({"primary": "ann"}, "primary: must be an id: a whole number, such as 566998132"),
    "primary 0": ({"primary": "0"}, "primary: must be an id"),
    "a group in other digits": ({"group": "\u0661\u0662"}, "group: must be an id"),
    "group and primary": ({"group": "1", "primary": "2"}, "group: name the group or its primary, not both"),
    "rate 0": ({"rate": "0"}, "rate: must be a whole number of calls a minute, from 1 to 100000"),
    "a rate in words": ({"rate": "fast"}, "rate: must be a whole number of calls a minute"),
    "half a rate": ({"rate": "0.5"}, "rate: must be a whole number of calls a minute"),
    "a rate beyond all limits": ({"rate": "100001"}, "rate: must be a whole number of calls a minute"),
    "since in words": ({"since": "yesterday"}, "since: must be a date or time such as 2026-01-31T08:00"),
    "since before time": ({"since": "0001-01-01"}, "since: "),
    "a dry run of another kind": ({"dry_run": "perhaps"}, "dry_run: "),
}


@pytest.mark.parametrize(("query", "complaint"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_is_asked_wrongly_is_named_and_begins_nothing(
    service: ServiceFactory, method: str, query: dict[str, str], complaint: str
) -> None:
    """A wrong field is named with what it has to be, what was typed is still there, and no job is begun."""
    async with service(org=ORG) as running:
        client = await signed_in(running)

        if method == "GET":
            answer = await client.get("/console/reconcile", params=query)
        else:
            answer = await client.post("/console/reconcile", data={"csrf": await form_token(client), **query})

        field, typed = next(iter(query.items()))
        assert 422 == answer.status_code
        assert complaint in words(answer.text)
        assert 'role="alert"' in answer.text
        if field != "dry_run":
            assert re.search(rf'name="{field}" value="{typed}"[^>]*aria-invalid="true"', answer.text)
        assert [] == await jobs(running)


async def test_the_form_repeats_what_was_chosen(running: Service) -> None:
    """Change leads from the preview back to the form, filled in as it was."""
    client = await signed_in(running)
    asked = {**ONE, "since": "2026-01-31T08:00", "rate": "30", "dry_run": "1"}

    preview = (await client.get("/console/reconcile", params=asked)).text
    change = re.search(r'href="(/console/reconcile/choose[^"]*)"', preview)
    assert change is not None
    form = (await client.get(html.unescape(change[1]))).text

    values = dict(re.findall(r'<input type="[^"]+" name="(\w+)" value="([^"]*)"', form))
    assert {**{name: value for name, value in asked.items() if name != "dry_run"}, "group": ""} == {
        name: value for name, value in values.items() if name != "csrf"
    }
    assert '<option value="1" selected>' in form


async def test_the_ways_there(running: Service) -> None:
    """From a group straight to the preview of that one group; from the front and the jobs to the form."""
    client = await signed_in(running)

    group, front, listed = [
        (await client.get(path)).text for path in ("/console/groups/1", "/console", "/console/jobs")
    ]

    assert f'href="/console/reconcile?org={ORG}&amp;program={PROGRAM}&amp;primary={PRIMARY}"' in group
    assert 'href="/console/reconcile/choose"' in front
    assert 'href="/console/reconcile/choose"' in listed


@pytest.mark.parametrize("query", [ONE, {"org": str(ORG), "group": str(GROUP)}], ids=["primary", "group"])
async def test_doing_nothing_leads_back_to_the_group(running: Service, query: dict[str, str]) -> None:
    """Whoever came from a group, and does nothing, is there again."""
    client = await signed_in(running)

    said = (await client.get("/console/reconcile", params=query)).text

    assert '<a class="button" href="/console/groups/1">Do nothing</a>' in said


async def compared(store: Store, counts: dict[str, int], *members: int) -> int:
    """Reconcile as the server does: one group with this result and these members to bring back; return the job."""
    job = await store.begin_reconcile(Keys(org=ORG), by="ops", now=NOW, owner="hand", until=NOW + LEASE_MS)
    leader = Leader(ORG, PROGRAM, PRIMARY, GROUP, GOLD, None, may_lower=True)
    body = drift.repair(leader, members, event_id=f"reconcile:{job.id}", changed_at=NOW)
    step = Comparison(1, counts, [intake.admit(body, NOW, {ORG: Policy()})])
    await store.advance_job(Advance(job.id, "hand", 1, step, NOW, NOW + LEASE_MS))
    await store.end_job(job.id, JobStatus.DONE, now=NOW, owner="hand")
    return job.id


async def test_a_job_says_what_it_found_and_what_became_of_it(service: ServiceFactory, database_url: str) -> None:
    """Drift that was found, repaired and left is told in one sentence, in figures, and by name with the reason."""
    async with known(database_url) as hand:
        key = await hand.due(tier_change("e1"))
        await hand.finished(key, [ANN, BOB, EVE])
        found = {"drifted": 3, "under_way": 1, "in_step": 7, "unread": 2}
        number = await compared(hand.store, found, ANN, BOB)
        claim = await hand.claimed(key)
        ann, bob = await hand.store.owed(claim, NOW, 10)
        await hand.store.settle(outcome(claim, ann))
        await hand.store.settle(outcome(claim, bob, AdjustmentStatus.DEAD, reason="customer_barred", code=3045))
    async with service(org=ORG) as running:
        client = await signed_in(running)
        page = (await client.get(f"/console/jobs/{number}")).text

    said = words(page)
    assert "1 group compared; 3 secondaries drifted: 1 repaired, 1 left, 1 under way; 2 could not be read." in said
    assert "in step 7 Secondaries that hold their primary's tier" in said
    assert f"{BOB} {PRIMARY} Gold dead" in said
    assert [BOB, ANN] == [int(member) for member in re.findall(r'id="member-\d+-(\d+)"', page)]
    assert "Adjustments are not allowed for this customer, by its status code 3045 customer_barred" in said
    assert 'href="/console/groups/1"' in page


async def test_what_was_only_compared_can_be_repaired_from_there(service: ServiceFactory, database_url: str) -> None:
    """A dry run that found drift leads to the preview of the same reconcile, now with repairs."""
    async with known(database_url) as hand:
        await hand.finished(await hand.due(tier_change("e1")), [ANN])
        keys = Keys(org=ORG, program=PROGRAM, since=1_769_846_400_000, dry_run=True)
        job = await hand.store.begin_reconcile(keys, by="ops", now=NOW, rate=30, owner="hand", until=NOW + LEASE_MS)
        await hand.store.advance_job(Advance(job.id, "hand", 1, Comparison(1, {"drifted": 1}), NOW, NOW + LEASE_MS))
        await hand.store.end_job(job.id, JobStatus.DONE, now=NOW, owner="hand")
    async with service(org=ORG) as running:
        client = await signed_in(running)
        page = (await client.get(f"/console/jobs/{job.id}")).text
        repair = re.search(r'id="again" href="([^"]+)">Repair …<', page)
        assert repair is not None
        preview = await text_of(client, html.unescape(repair[1]))

    assert "1 group compared; 1 secondary drifted: nobody was changed." in words(page)
    assert f"Reconcile 1 group? org {ORG} program {PROGRAM} since 2026-01-31T08:00:00.000 rate 30" in preview


@pytest.mark.parametrize("number", ["999", str(10**30)])
async def test_a_job_that_is_not_there_is_404(running: Service, number: str) -> None:
    """A job's number that was never given is answered 404, in a page."""
    client = await signed_in(running)

    assert "There is no such job." in await text_of(client, f"/console/jobs/{number}", 404)
