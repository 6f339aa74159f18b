"""The operator's page as HTTP: who gets in, what is refused, what is found, what is hidden."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import structlog
import time_machine
from starlette.applications import Starlette
from starlette.routing import Route

from tests.conftest import OPERATOR_TOKEN, Service, ServiceFactory
from tests.contract.store_kit import (
    ANN,
    BOB,
    EVE,
    GROUP,
    NOW,
    ORG,
    PROGRAM,
    Hand,
    outcome,
    owed,
    tier_change,
    without_key,
)
from tests.contract.test_console_api import execute
from tiersync.fanout import AdjustmentStatus
from tiersync.intake import EventStatus
from tiersync.store import BreakerNews, database, open_store

OPEN = {("/console/static/{name}", "GET"), ("/console/sign-in", "GET"), ("/console/sign-in", "POST")}
PERSONAL = b'{"eventName": "tierUpgraded", "data": {"mobile": "919845600000", "email": "ann@example.com", "id": 7}}'


@pytest.fixture
async def running(service: ServiceFactory, database_url: str) -> AsyncIterator[Service]:
    """Run a service on a store in which something has happened."""
    async with open_store(database.address(database_url), migrate=True) as store:
        hand = Hand(store)
        claim = await hand.claimed(await hand.due(tier_change("e1", body=PERSONAL)))
        await hand.planned(claim, owed(ANN, BOB, EVE))
        ann, bob, _ = await store.owed(claim, NOW, 10)
        await store.settle(outcome(claim, ann))
        await store.settle(outcome(claim, bob, AdjustmentStatus.DEAD, reason="customer_barred", code=3045))
        await hand.received(
            tier_change("e2", NOW - 1),
            tier_change("e3", customer=ANN, program=1, received_at=NOW + 60_000),
            without_key("<script>alert(1)</script>", EventStatus.QUARANTINED, "not_json"),
        )
    async with service() as found:
        yield found


async def signed_in(running: Service, **headers: str) -> httpx.AsyncClient:
    """Sign in; the service's client keeps the cookie."""
    answer = await running.client.post(
        "/console/sign-in", data={"token": OPERATOR_TOKEN, "name": "Ann"}, headers=headers
    )
    assert 303 == answer.status_code, answer.text
    return running.client


async def form_token(client: httpx.AsyncClient) -> str:
    """The token that the page's forms carry."""
    found = re.search(r'name="csrf" value="([^"]+)"', (await client.get("/console")).text)
    assert found is not None
    return found[1]


def routes(application: object) -> list[tuple[str, str]]:
    """Every path and method of the page."""
    assert isinstance(application, Starlette)
    found = [route for route in application.routes if isinstance(route, Route) and route.path.startswith("/console")]
    return [(route.path, method) for route in found for method in sorted(route.methods or ()) if method != "HEAD"]


def address(path: str) -> str:
    """Something in the place of each parameter."""
    return re.sub(r"\{\w+(:\w+)?\}", "1", path)


async def test_every_route_of_the_page_wants_a_session(running: Service) -> None:
    """Whatever the page shows or does, who is not signed in is sent to sign in and gets nothing else."""
    guarded = [one for one in routes(running.application) if one not in OPEN]

    answers = [await running.client.request(method, address(path)) for path, method in guarded]
    polled = await running.client.get("/console", headers={"HX-Request": "true"})

    assert len(guarded) >= 10
    assert {303} == {answer.status_code for answer in answers}
    assert {"/console/sign-in"} == {answer.headers["location"].partition("?")[0] for answer in answers}
    assert {b""} == {answer.content for answer in answers}
    assert (401, "/console/sign-in?next=/console") == (polled.status_code, polled.headers["hx-redirect"])


async def test_no_form_is_taken_without_the_sessions_token(running: Service) -> None:
    """A form without the token, with another one, or from another site changes nothing, though the cookie is there."""
    client = await signed_in(running)
    token = await form_token(client)
    forms = [path for path, method in routes(running.application) if method == "POST" and (path, method) not in OPEN]
    forgeries: list[tuple[dict[str, str], dict[str, str]]] = [
        ({}, {}),
        ({"csrf": token[:-1]}, {}),
        ({"csrf": token}, {"sec-fetch-site": "cross-site"}),
        ({"csrf": token}, {"sec-fetch-site": "same-site"}),
        ({"csrf": token}, {"origin": "https://elsewhere.example"}),
        ({"csrf": token}, {"origin": "null"}),
    ]

    answers = [
        await client.post(address(path), data={**fields, "status": "dead"}, headers=headers)
        for path in forms
        for fields, headers in forgeries
    ]

    assert len(forms) >= 4
    assert {403} == {answer.status_code for answer in answers}
    assert 200 == (await client.get("/console")).status_code


@pytest.mark.parametrize(("proto", "secure"), [("http", False), ("https", True)])
async def test_the_cookie_is_kept_from_scripts_and_other_sites(running: Service, proto: str, secure: bool) -> None:  # noqa: FBT001
    """The session's cookie is HttpOnly, SameSite=Strict, ends by itself, and is Secure where the browser speaks TLS."""
    sent = {"token": OPERATOR_TOKEN}
    answer = await running.client.post("/console/sign-in", data=sent, headers={"X-Forwarded-Proto": proto})

    flags = {flag.strip().lower() for flag in answer.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/console", f"max-age={running.settings.session_s_max}"} <= flags
    assert secure is ("secure" in flags)
    assert OPERATOR_TOKEN not in answer.headers["set-cookie"]


@pytest.mark.parametrize("token", ["", "x", OPERATOR_TOKEN[:-1], f"{OPERATOR_TOKEN} ", "\u00e9\ud800", "x" * 100_000])
async def test_a_wrong_token_lets_nobody_in(running: Service, token: str) -> None:
    """Only the operator token signs in."""
    body = {"token": token.encode("utf-8", "replace").decode()}
    answer = await running.client.post("/console/sign-in", data=body)

    assert 401 == answer.status_code
    assert "set-cookie" not in answer.headers
    assert "That is not the operator token." in answer.text


async def test_a_session_ends(service: ServiceFactory) -> None:
    """A cookie is good for its time, for one operator token, and only as it was given out."""
    async with service(session_s_max=60) as running:
        client = await signed_in(running)
        cookie = client.cookies["tiersync_console"]
        good = await client.get("/console")
        with time_machine.travel(datetime.now(UTC) + timedelta(seconds=61)):
            expired = await client.get("/console")
        altered = await running.client.get("/console", headers={"Cookie": f"tiersync_console={cookie[:-2]}AA"})
    async with service(operator_token="another-token") as other:
        foreign = await other.client.get("/console", headers={"Cookie": f"tiersync_console={cookie}"})

    assert [200, 303, 303, 303] == [answer.status_code for answer in (good, expired, altered, foreign)]


async def test_signing_out_takes_the_cookie_away(running: Service) -> None:
    """After signing out the browser has no session left."""
    client = await signed_in(running)

    answer = await client.post("/console/sign-out", data={"csrf": await form_token(client)})

    assert 303 == answer.status_code
    assert "tiersync_console" not in client.cookies
    assert 303 == (await client.get("/console")).status_code


async def test_who_guesses_has_to_wait(service: ServiceFactory) -> None:
    """After a few wrong tokens not even the right one is looked at for a while, and the answer says how long."""
    async with service(sign_in_failures_max=3, sign_in_wait_s=20) as running:
        wrong = [(await running.client.post("/console/sign-in", data={"token": "x"})).status_code for _ in range(4)]
        right = await running.client.post("/console/sign-in", data={"token": OPERATOR_TOKEN})

    assert [401, 401, 401, 429] == wrong
    assert 429 == right.status_code
    assert 20 >= int(right.headers["retry-after"]) >= 1
    assert "set-cookie" not in right.headers


async def test_without_a_token_the_page_is_closed(service: ServiceFactory) -> None:
    """If no operator token is set nobody signs in, not even with nothing, and the page names the setting."""
    async with service(operator_token=None) as running:
        asked = await running.client.get("/console/sign-in")
        tried = [await running.client.post("/console/sign-in", data={"token": token}) for token in ("", "None")]

    assert 403 == asked.status_code
    assert "TIERSYNC_OPERATOR_TOKEN" in asked.text
    assert {401} == {answer.status_code for answer in tried}


@pytest.mark.parametrize(
    ("asked", "led_to"),
    [
        ("/console/events?status=dead", "/console/events?status=dead"),
        ("https://elsewhere.example", "/console"),
        ("//elsewhere.example/console", "/console"),
        ("/console/..\\\\elsewhere", "/console"),
        ("/consolement", "/console"),
        ("/console/sign-out", "/console"),
        ("", "/console"),
    ],
)
async def test_signing_in_leads_on_inside_only(running: Service, asked: str, led_to: str) -> None:
    """Who signs in comes to the view that was asked for, and never to another site."""
    answer = await running.client.post("/console/sign-in", data={"token": OPERATOR_TOKEN, "next": asked})

    assert led_to == answer.headers["location"]


async def test_every_answer_is_locked_down(running: Service) -> None:
    """No answer of the page lets the browser run, frame, guess or load anything that is not ours."""
    ways = ["/console", "/console/sign-in", "/console/static/console.css", "/console/static/none", "/console/events/9"]
    before = [await running.client.get(path) for path in ways]
    client = await signed_in(running)

    answers = [*before, *[await client.get(path) for path in ways]]

    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert ("nosniff", "DENY") == (answer.headers["x-content-type-options"], answer.headers["x-frame-options"])
    assert {"no-store"} == {
        a.headers["cache-control"] for a in answers if a.headers.get("content-type", "").startswith("text/html")
    }


async def test_markup_in_data_stays_text(running: Service) -> None:
    """What a sender put into an event is shown, never run."""
    client = await signed_in(running)

    texts = [
        (await client.get(path)).text for path in ("/console/events", "/console/events/4", "/console/replay?id=<b>")
    ]

    assert all("<script>alert" not in text and "<b>" not in text for text in texts)
    assert "&lt;script&gt;alert(1)" in texts[1]


async def shown(client: httpx.AsyncClient, path: str, **query: Any) -> list[int]:
    """The rows of the events that a list shows."""
    answer = await client.get(path, params=query)
    assert 200 == answer.status_code
    return [int(row) for row in re.findall(r'id="event-(\d+)"', answer.text)]


FILTERS: dict[str, tuple[dict[str, Any], list[int]]] = {
    "nothing": ({}, [4, 3, 2, 1]),
    "empty fields": ({"status": "", "customer": " "}, [4, 3, 2, 1]),
    "status": ({"status": "superseded"}, [2]),
    "reason": ({"reason": "not_json"}, [4]),
    "org": ({"org": 1}, []),
    "program": ({"program": 1}, [3]),
    "event id": ({"id": "e2"}, [2]),
    "a secondary, as a secondary and as a primary": ({"customer": ANN}, [3, 1]),
    "a secondary": ({"customer": EVE}, [1]),
    "group": ({"group": GROUP}, [2, 1]),
    "since": ({"since": "2027-01-15T08:01"}, [3]),
    "until": ({"until": "2027-01-15T08:01"}, [4, 2, 1]),
    "several": ({"status": "pending", "program": PROGRAM, "org": ORG, "customer": BOB}, [1]),
}


@pytest.mark.parametrize(("query", "expected"), FILTERS.values(), ids=FILTERS)
async def test_events_are_found(running: Service, query: dict[str, Any], expected: list[int]) -> None:
    """Only the events for which every filled field holds are listed, the newest first."""
    client = await signed_in(running)

    assert expected == await shown(client, "/console/events", **query)


@pytest.mark.parametrize(
    ("query", "field"),
    [({"org": "x"}, "org"), ({"customer": "-1"}, "customer"), ({"status": "gone"}, "status"),
     ({"since": "yesterday"}, "since"), ({"group": str(2**63)}, "group"), ({"before": "x"}, "before")],
)  # fmt: skip
async def test_a_wrong_filter_is_named(running: Service, query: dict[str, str], field: str) -> None:
    """What is asked wrongly finds nothing, and the page says which field is wrong."""
    client = await signed_in(running)

    answer = await client.get("/console/events", params=query)

    assert f"{field}: " in answer.text
    assert 'id="event-' not in answer.text


@pytest.mark.parametrize("query", [{}, {"status": "quarantined"}, {"since": "2020-12-31"}], ids=str)
async def test_older_shows_every_event_once(running: Service, query: dict[str, str]) -> None:
    """Following Older from page to page shows every event that matches once, whatever narrows the list."""
    bodies = [f"not json {number}".encode() for number in range(120)]
    for body in bodies:
        await running.deliver(body)
    client = await signed_in(running)
    everything = len(bodies) + (4 if "status" not in query else 1)

    seen, path = list[int](), str(httpx.URL("/console/events", params=query))
    while path and len(seen) <= everything:
        answer = await client.get(path)
        seen += [int(row) for row in re.findall(r'id="event-(\d+)"', answer.text)]
        following = re.search(r'id="older" href="([^"]+)"', answer.text)
        path = following[1].replace("&amp;", "&") if following else ""

    assert everything == len(seen) == len(set(seen))


async def test_personal_data_is_masked_until_asked_for(running: Service) -> None:
    """A body is shown masked; showing it takes a form, and leaves a line in the log with ids and nothing else."""
    client = await signed_in(running)
    masked = (await client.get("/console/events/1")).text
    asked = await client.get("/console/events/1/body")

    with structlog.testing.capture_logs() as lines:
        whole = (await client.post("/console/events/1/body", data={"csrf": await form_token(client)})).text

    assert 405 == asked.status_code
    assert all(secret not in masked for secret in ("919845600000", "ann@example.com"))
    assert all(secret in whole for secret in ("919845600000", "ann@example.com"))
    [line] = [line for line in lines if line["event"] == "body.shown"]
    assert {"event": "body.shown", "log_level": "info", "org": ORG, "event_id": "e1", "event_row": 1} == line


async def test_a_dead_secondary_says_why(running: Service) -> None:
    """An event shows each secondary with what happened in words, the code and the reason."""
    client = await signed_in(running)

    text = (await client.get("/console/events/1")).text

    assert "Adjustments are not allowed for this customer" in text
    assert "code 3045" in text
    assert "customer_barred" in text


async def test_a_group_marks_who_has_drifted(running: Service) -> None:
    """A group shows its primary and each secondary with where it stands, as last known."""
    client = await signed_in(running)

    text = (await client.get("/console/groups/1")).text

    stands = re.findall(r'id="member-(\d+)".*?class="word [^"]*">([^<]+)<', text, re.DOTALL)
    assert {str(ANN): "follows", str(BOB): "drifted", str(EVE): "waits"} == dict(stands)
    assert "1 secondary drifted" in text


async def test_who_has_drifted_is_not_hidden_among_many(service: ServiceFactory, database_url: str) -> None:
    """A large group names who has drifted on its first page, wherever they stand by number."""
    many = [*range(1, 121)]
    async with open_store(database.address(database_url), migrate=True) as store:
        hand = Hand(store)
        claim = await hand.claimed(await hand.due(tier_change("e1")))
        await hand.planned(claim, owed(*many))
        for due in await store.owed(claim, NOW, 200):
            dead = {"status": AdjustmentStatus.DEAD, "reason": "customer_barred"} if due.member in {90, 119} else {}
            await store.settle(outcome(claim, due, **dead))
    async with service() as running:
        client = await signed_in(running)
        text = (await client.get("/console/groups/1")).text

    assert ["90", "119"] == re.findall(r'id="drifted-(\d+)"', text)
    assert [str(number) for number in many[:50]] == re.findall(r'id="member-(\d+)"', text)
    assert "2 secondaries drifted" in text


async def test_what_is_held_back_says_so_where_it_is_looked_at(service: ServiceFactory, database_url: str) -> None:
    """While an org is paused or its Capillary is away, an unfinished event and its group say that no call goes out."""
    async with open_store(database.address(database_url), migrate=True) as store:
        await Hand(store).due(tier_change("e1"))
        await store.tell_breaker(BreakerNews(ORG, "open", "server_error", NOW + 5000, NOW))
    async with service(org=ORG) as running:
        client = await signed_in(running)
        front, event, group = [
            (await client.get(path)).text for path in ("/console", "/console/events/1", "/console/groups/1")
        ]

    assert "No call goes out: Capillary is away for org 50614, tried last at" in event.replace("no call", "No call")
    assert "The group has not been read yet." in event
    assert "<strong>No call goes out:</strong> Capillary is away for org 50614, tried last at" in group
    assert '<span class="word wait">stopped</span>' in front


@pytest.mark.parametrize("path", ["/console/events/999", "/console/groups/999", f"/console/events/{10**30}"])
async def test_what_is_not_there_is_404(running: Service, path: str) -> None:
    """An event or group that is not stored is answered 404, in a page."""
    client = await signed_in(running)

    assert 404 == (await client.get(path)).status_code


async def test_a_view_renews_itself_only_if_it_changed(running: Service) -> None:
    """A live part asks with what it shows: nothing new is an empty answer, something new is the part alone."""
    client = await signed_in(running)
    page = (await client.get("/console/events?status=superseded&until=2027-02-01")).text
    live = re.search(r'hx-get="([^"]+)"', page)
    assert live is not None
    at = live[1].replace("&amp;", "&")

    same = await client.get(at, headers={"HX-Request": "true"})
    changed = await client.get(
        at.replace("superseded", "pending").replace("&until=2027-02-01", ""), headers={"HX-Request": "true"}
    )

    assert 204 == same.status_code
    assert 200 == changed.status_code
    assert changed.text.startswith('<div id="live"')


async def test_a_store_that_is_away_is_said(running: Service, database_url: str) -> None:
    """When the store cannot be read every view says so, and answers 503."""
    client = await signed_in(running)
    execute(database_url, "ALTER TABLE events RENAME TO gone")

    answers = [await client.get(path) for path in ("/console", "/console/events", "/console/events/1")]

    assert {503} == {answer.status_code for answer in answers}
    assert all("The store is away" in answer.text for answer in answers)


@pytest.mark.parametrize(("verb", "counts"), [("replay", "Replay 2 events"), ("purge", "Purge 0 events")])
async def test_what_is_pressed_says_first_what_it_does(running: Service, verb: str, counts: str) -> None:
    """Before anything happens the page says to how many events, and asking alone changes nothing."""
    client = await signed_in(running)

    answer = await client.get(f"/console/{verb}?program={PROGRAM}&org={ORG}")

    assert 200 == answer.status_code
    assert counts in answer.text
    assert "What will happen" in answer.text
    assert [] == (await running.ask("/api/jobs")).json()["jobs"]


async def test_a_replay_is_a_job_on_record(running: Service) -> None:
    """A confirmed replay is a stored job with its filter, its rate and a name, to be seen and cancelled on the page."""
    client = await signed_in(running)
    token = await form_token(client)

    answer = await client.post("/console/replay", data={"csrf": token, "program": PROGRAM, "rate": "5"})
    [job] = (await running.ask("/api/jobs")).json()["jobs"]
    listed = (await client.get("/console/jobs")).text
    await client.post(f"/console/jobs/{job['id']}/cancel", data={"csrf": token})
    [cancelled] = (await running.ask("/api/jobs")).json()["jobs"]

    assert "/console/jobs" == answer.headers["location"]
    assert ("replay", "Ann", {"program": PROGRAM}, 5, 2) == tuple(
        job[name] for name in ("kind", "by", "selection", "rate", "matched")
    )
    assert f'id="cancel-{job["id"]}"' in listed
    assert ("cancelled", "by Ann") == (cancelled["status"], cancelled["detail"])


@pytest.mark.parametrize("verb", ["replay", "purge"])
@pytest.mark.parametrize("form", [{}, {"status": ""}, {"status": "gone"}, {"status": "dead", "rate": "fast"}], ids=str)
async def test_nothing_is_begun_by_a_wrong_form(running: Service, verb: str, form: dict[str, str]) -> None:
    """A form that names no event, or wrongly, begins no job: not even one about every event."""
    client = await signed_in(running)

    answer = await client.post(f"/console/{verb}", data={"csrf": await form_token(client), **form})

    assert 422 == answer.status_code
    assert 'role="alert"' in answer.text
    assert [] == (await running.ask("/api/jobs")).json()["jobs"]


async def test_a_body_that_cannot_be_read_has_a_name(running: Service) -> None:
    """What is quarantined without a name is called not readable, and has no org where none is named."""
    await running.deliver(b"{")
    client = await signed_in(running)

    text = (await client.get("/console/events?status=quarantined&reason=not_json")).text

    assert 1 == text.count(">not readable</a>")
    assert "not named" in text
    [event] = re.findall(r'href="(/console/events/\d+)">not readable<', text)
    assert "not named" in (await client.get(event)).text


async def test_an_org_is_paused_and_resumed(running: Service) -> None:
    """Pausing says what will happen, keeps who and why, is seen on the front, and ends by resuming."""
    client = await signed_in(running)
    token = await form_token(client)
    asked = (await client.get(f"/console/orgs/{ORG}/pause")).text

    await client.post(f"/console/orgs/{ORG}/pause", data={"csrf": token, "reason": "fraud case"})
    front = (await client.get("/console")).text
    paused = [org for org in (await running.ask("/api/orgs")).json()["orgs"] if org["org"] == ORG]
    await client.post(f"/console/orgs/{ORG}/resume", data={"csrf": token})
    resumed = [org for org in (await running.ask("/api/orgs")).json()["orgs"] if org["org"] == ORG]

    assert "2 groups have work ahead" in asked
    assert f"Ann paused org {ORG}" in front
    assert [("Ann", "fraud case")] == [(org["paused_by"], org["pause_reason"]) for org in paused]
    assert [None] == [org["paused_at"] for org in resumed]
