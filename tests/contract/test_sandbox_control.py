"""The control API: switches, logs, seeding, state, convergence, reset; and what newcomers read."""

from typing import Any

import pytest

from tests.contract.sandbox_kit import (
    DAUGHTER,
    GROUP,
    MOTHER,
    PRIMARY,
    PROGRAM,
    SECONDARIES,
    Lab,
    in_process,
)

FAULTS = "/sandbox/faults"


async def test_every_switch_is_listed_with_default_and_meaning() -> None:
    """GET /sandbox/faults names every switch, its default, its meaning, and the values or parameters it takes."""
    async with in_process() as lab:
        listed = (await lab.client.get(FAULTS)).json()

    names = {f"{section}.{switch}" for section, kept in listed["now"].items() for switch in kept}
    assert set(listed["switches"]) == names
    assert all(entry["meaning"] for entry in listed["switches"].values())
    assert listed["switches"]["events.tiers"]["values"] == ["present", "null", "absent"]
    assert listed["switches"]["adjust.latency"]["parameters"]["ms"] == 200
    assert listed["switches"]["organisation.CONF_MAX_FLEET_GROUP_SIZE"]["default"] == 30_000


async def test_a_patch_merges_and_null_brings_the_default_back() -> None:
    """What a PUT does not name stays; null is the default again."""
    async with in_process() as lab:
        await lab.switch(events={"tiers": "null", "numbers": "float"})
        await lab.switch(adjust={"latency": {"ms": 5}})
        await lab.switch(events={"tiers": None})
        now = (await lab.client.get(FAULTS)).json()["now"]

    assert (now["events"]["tiers"], now["events"]["numbers"]) == ("present", "float")
    assert now["adjust"]["latency"]["ms"] == 5


@pytest.mark.parametrize(
    ("patch", "unknown", "says"),
    [
        ({"adjust": {"rate_limitd": {}}}, ["adjust.rate_limitd"], "adjust.rate_limited"),
        ({"adjst": {"busy": {}}}, ["adjst.busy"], "adjust.busy"),
        ({"weather": "fine"}, ["weather"], "unknown switch weather"),
        ({"adjust": {"latency": {"millis": 5}}}, ["adjust.latency.millis"], "adjust.latency.millis"),
    ],
)
async def test_an_unknown_switch_is_named_and_the_known_ones_listed(
    patch: dict[str, Any], unknown: list[str], says: str
) -> None:
    """422 names what nobody knows, guesses what was meant, and lists all switches."""
    async with in_process() as lab:
        answer = await lab.client.put(FAULTS, json=patch)

    error = answer.json()["error"]
    assert answer.status_code == 422
    assert error["unknown"] == unknown
    assert says in error["message"]
    assert "adjust.rate_limited" in error["known"]


@pytest.mark.parametrize(
    "patch",
    [
        {"events": {"tiers": "maybe"}},
        {"events": {"echo": "yes"}},
        {"events": 5},
        {"adjust": {"latency": {"ms": -1}}},
        {"adjust": {"latency": {"ms": 1.5}}},
        {"adjust": {"busy": {"every": 0}}},
        {"adjust": {"busy": {"share": 2}}},
        {"adjust": {"busy": 3}},
        {"adjust": {"refuse": {"1": "x"}}},
        [],
        "x",
        None,
    ],
)
async def test_unusable_values_change_nothing(patch: Any) -> None:
    """A patch that cannot be used is refused whole with 422 and a sentence."""
    async with in_process() as lab:
        before = (await lab.client.get(FAULTS)).json()["now"]
        answer = await lab.client.put(FAULTS, json=patch)
        after = (await lab.client.get(FAULTS)).json()["now"]

    assert answer.status_code == 422
    assert answer.json()["error"]["message"]
    assert before == after


async def test_the_call_log_tells_what_came() -> None:
    """Each API call is in the log with whom and what it was about; control calls are not."""
    async with in_process() as lab:
        await lab.adjust()
        await lab.group(primaryUserId=PRIMARY)
        log = await lab.calls()

    first, second = log["calls"]
    assert first == {
        "sequence": 1,
        "at": "2026-03-10T12:00:00.000Z",
        "method": "POST",
        "path": "/v2/slab/manualSlabAdjustment",
        "family": "adjust",
        "customer": MOTHER,
        "action": "UPGRADE",
        "tier": "Gold",
        "program": PROGRAM,
        "status": 200,
        "code": None,
        "fault": None,
        "effect": True,
        "finished": True,
    }
    assert (second["family"], second["customer"], second["effect"]) == ("groups", PRIMARY, False)
    assert (log["total"], log["running"], log["maxConcurrent"]) == (2, 0, 1)
    assert log["perMinute"] == {"2026-03-10T12:00Z": 2}


async def test_the_call_log_is_a_ring_read_in_pages() -> None:
    """Only the last calls are kept; `since` and `limit` page through them by sequence."""
    async with in_process(call_log_max=5) as lab:
        for _ in range(8):
            await lab.tier()
        pages = [
            (await lab.client.get("/sandbox/calls", params=query)).json()
            for query in ({}, {"since": 6}, {"since": 4, "limit": 2}, {"since": 100}, {"limit": 0})
        ]

    sequences = [[call["sequence"] for call in page["calls"]] for page in pages]
    assert sequences == [[4, 5, 6, 7, 8], [7, 8], [5, 6], [], []]
    assert pages[0]["total"] == 8


async def test_deliveries_are_paged_alike() -> None:
    """The delivery log pages by sequence too."""
    async with in_process(delivery_log_max=3) as lab:
        for tier in ("Gold", "Diamond", "Gold", "Silver"):
            await lab.decide(tier)
        await lab.settled()
        page = (await lab.client.get("/sandbox/deliveries", params={"since": 2, "limit": 1})).json()

    assert [delivery["sequence"] for delivery in page["deliveries"]] == [3]
    assert page["counts"]["delivered"] == 4


@pytest.mark.parametrize("path", ["/sandbox/calls?since=x", "/sandbox/calls?limit=-1", "/sandbox/deliveries?since=1.5"])
async def test_bad_pages_are_told_kindly(path: str) -> None:
    """A page that is no number is refused with a sentence."""
    async with in_process() as lab:
        answer = await lab.client.get(path)

    assert answer.status_code == 422
    assert "must be a whole number" in answer.json()["error"]["message"]


# Deciding tiers.


@pytest.mark.parametrize(
    ("start", "tier", "action", "direction"),
    [
        ("Silver", "Gold", "auto", "upgraded"),
        ("Silver", 3, "upgrade", "upgraded"),
        ("Silver", "3", "auto", "upgraded"),
        ("Diamond", "Gold", "auto", "downgraded"),
        ("Diamond", "Silver", "downgrade", "downgraded"),
        ("Gold", "Gold", "auto", "renewed"),
        ("Gold", None, "renew", "renewed"),
        ("Gold", None, "auto", "renewed"),
    ],
)
async def test_the_core_decides(start: str, tier: Any, action: str, direction: str) -> None:
    """A decision says what happened and which event tells it."""
    async with in_process() as lab:
        await lab.seed(groups=[{"externalId": "x", "primary": 5, "tier": start}])
        decided = await lab.decide(tier, 5, programId=PROGRAM, action=action)
        events = await lab.settled()

    assert (decided["direction"], decided["previous"]) == (direction, start)
    assert [event["eventId"] for event in events] == decided["eventIds"]
    assert events[0]["eventName"] == f"tier{direction.capitalize()}"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (str(PRIMARY), {"tier": "Platinum"}),
        (str(PRIMARY), {"tier": 9}),
        (str(PRIMARY), {"tier": True}),
        (str(PRIMARY), {"tier": "Gold", "action": "renew"}),
        (str(PRIMARY), {"tier": "Silver", "action": "upgrade"}),
        (str(PRIMARY), {"tier": "Gold", "action": "fly"}),
        (str(PRIMARY), {"tier": "Gold", "programId": 1}),
        (str(PRIMARY), {"tier": "Gold", "programId": "x"}),
        ("1", {"tier": "Gold"}),
        ("x", {"tier": "Gold"}),
        (str(PRIMARY), []),
    ],
)
async def test_decisions_that_cannot_be(path: str, body: Any) -> None:
    """A decision that makes no sense is refused with a sentence and changes nothing."""
    async with in_process() as lab:
        answer = await lab.client.post(f"/sandbox/customers/{path}/tier", json=body)
        tier = await lab.tier(PRIMARY)

    assert answer.status_code == 422
    assert answer.json()["error"]["message"]
    assert tier["currentTierName"] == "Silver"


# Seeding and state.


async def test_a_scene_is_planted_without_events() -> None:
    """Programmes, customers and groups come in one call; nothing is emitted."""
    scene = {
        "programmes": [{"id": 974, "name": "Fleet", "tiers": ["Base", "Top"]}],
        "customers": [{"id": 50, "mobile": "9150", "firstName": "Ada"}],
        "groups": [
            {
                "externalId": "fleet",
                "primary": 50,
                "secondaries": [51, 52],
                "exited": [53],
                "tier": "Base",
                "primaryTier": "Top",
                "programId": 974,
            },
            {"externalId": "empty"},
        ],
    }
    async with in_process() as lab:
        planted = await lab.seed(**scene)
        state = (await lab.client.get("/sandbox/state", params={"group": "fleet"})).json()
        by_id = (await lab.client.get("/sandbox/state", params={"group": planted["groups"][0]["id"]})).json()
        events = await lab.settled()

    tiers = {(row["customer"], row["programId"]): row["tier"] for row in state["standings"]}
    assert (planted["programmes"], [group["members"] for group in planted["groups"]]) == (1, [3, 0])
    assert state == by_id
    assert [member["customer"] for member in state["groups"][0]["members"] if member["active"]] == [50, 51, 52]
    assert [tiers[(each, 974)] for each in (50, 51, 52)] == ["Top", "Base", "Base"]
    assert tiers[(50, 973)] == "Silver"
    assert events == []


@pytest.mark.parametrize(
    "scene",
    [
        {"groups": [{"primary": 1}]},
        {"groups": [{"externalId": "x", "tier": "Nowhere"}]},
        {"groups": [{"externalId": "x", "tier": 1, "programId": 5}]},
        {"groups": [{"externalId": "family_001"}]},
        {"groups": [{"externalId": "x", "primary": PRIMARY}]},
        {"groups": [{"externalId": "x", "primary": 1, "secondaries": [1]}]},
        {"groups": [{"externalId": "x", "secondaries": {"from": 1, "count": 30_001}}]},
        {"groups": [{"externalId": "x", "secondaries": {"from": 1}}]},
        {"groups": [{"externalId": "x", "colour": "red"}]},
        {"programmes": [{"id": 1, "tiers": []}]},
        {"programmes": [{"id": 1, "tiers": ["A", "A"]}]},
        {"customers": [{"id": 1, "mobile": "919988123456"}]},
        {"x": 1},
        [],
    ],
)
async def test_scenes_that_cannot_be_planted(scene: Any) -> None:
    """A scene that makes no sense is refused with a sentence."""
    async with in_process() as lab:
        answer = await lab.client.post("/sandbox/seed", json=scene)

    assert answer.status_code == 422
    assert answer.json()["error"]["message"]


async def test_the_whole_state() -> None:
    """Without a group the state has everything that was decided."""
    async with in_process() as lab:
        await lab.adjust()
        state = (await lab.client.get("/sandbox/state")).json()
        missing = await lab.client.get("/sandbox/state", params={"group": "none"})

    assert state["programmes"][0]["tiers"][2] == {"number": 3, "name": "Diamond"}
    assert [group["id"] for group in state["groups"]] == [GROUP]
    assert [(row["customer"], row["tier"]) for row in state["standings"]] == [(MOTHER, "Gold")]
    assert missing.status_code == 422


async def differing(lab: Lab, **query: Any) -> list[int]:
    """Return the members that are not in their primary's tier."""
    answer = (await lab.client.get("/sandbox/converged", params=query)).json()
    assert answer["converged"] is (not answer["differing"])
    return [each["member"] for each in answer["differing"]]


async def test_convergence() -> None:
    """Converged means that every active secondary has its primary's tier, both ways; former members do not count."""
    async with in_process() as lab:
        at_first = await differing(lab)
        await lab.decide("Gold")
        after = await differing(lab)
        for member in SECONDARIES:
            await lab.adjust(member)
        synced = await differing(lab, programId=PROGRAM)
        await lab.adjust(MOTHER, toSlabName="Diamond")
        above = (await lab.client.get("/sandbox/converged")).json()["differing"]
        unknown = await lab.client.get("/sandbox/converged", params={"programId": 1})

    assert (at_first, after, synced) == ([], list(SECONDARIES), [])
    assert above == [{"group": GROUP, "primary": PRIMARY, "member": MOTHER, "expected": "Gold", "actual": "Diamond"}]
    assert unknown.status_code == 422


async def test_convergence_goes_by_the_default_group() -> None:
    """A member of two groups counts in its default group only."""
    async with in_process() as lab:
        await lab.seed(groups=[{"externalId": "x", "primary": 5, "secondaries": [DAUGHTER], "primaryTier": "Diamond"}])
        before = await differing(lab)
        item = {"userId": MOTHER, "permissions": ["allow_points_redemption"], "defaultGroup": True}
        await lab.client.post("/v2/userGroup2/join?externalId=x", json=[item])
        after = await differing(lab)

    assert (before, after) == ([], [MOTHER])


async def test_reset_starts_again() -> None:
    """After a reset the example is back, switches are at their defaults and the logs are empty."""
    async with in_process() as lab:
        await lab.switch(events={"tiers": "null"}, organisation={"CONF_USER_GROUP_ENABLED": False})
        await lab.decide("Gold")
        answer = await lab.client.post("/sandbox/reset")
        now = (await lab.client.get(FAULTS)).json()["now"]
        calls = await lab.calls()
        group = await lab.group()
        tier = await lab.tier(PRIMARY)

    assert answer.json() == {"reset": True}
    assert now["events"]["tiers"] == "present"
    assert calls["total"] == 0
    assert (group["totalActiveMembers"], tier["currentTierName"]) == (5, "Silver")


async def test_reset_can_start_empty() -> None:
    """`example=false` leaves nothing, not even a programme."""
    async with in_process() as lab:
        await lab.client.post("/sandbox/reset", params={"example": "false"})
        state = (await lab.client.get("/sandbox/state")).json()
        converged = await lab.client.get("/sandbox/converged")

    assert (state["programmes"], state["groups"], state["customers"]) == ([], [], 0)
    assert converged.status_code == 422


async def test_an_empty_start() -> None:
    """The example is a setting, and without a webhook URL there is no webhook."""
    async with in_process(example=False, webhook_url=None) as lab:
        state = (await lab.client.get("/sandbox/state")).json()
        hooks = (await lab.client.get("/v3/webHooks")).json()

    assert (state["customers"], hooks["data"]) == (0, [])


# What newcomers read.


async def test_the_front_page_works_as_written() -> None:
    """Both curl lines of the front page, taken from it, get an answer."""
    async with in_process() as lab:
        page = (await lab.client.get("/")).text
        lines = [line.strip() for line in page.splitlines() if line.strip().startswith("curl")]
        path = lines[0].split("'")[1].removeprefix("http://127.0.0.1:8090")
        header = lines[0].split("'")[3].removeprefix("Authorization: ")
        read = await lab.client.get(path, headers={"Authorization": header})
        decided = await lab.client.post(
            lines[1].split("'")[1].removeprefix("http://127.0.0.1:8090"), content=lines[1].split("'")[3]
        )

    assert len(lines) == 2
    assert (read.status_code, decided.status_code) == (200, 200)


async def test_openapi_describes_every_route_with_an_example() -> None:
    """The document names each route, its parameters and bodies with examples, and each example request is accepted."""
    async with in_process() as lab:
        document = (await lab.client.get("/openapi.json")).json()
        page = (await lab.client.get("/")).text
        statuses = {}
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                assert f"{method.upper():<6} {path}" in page
                assert operation["summary"]
                content = operation["responses"]["2XX"]["content"]["application/json"]
                assert "example" in content
                parameters: dict[str, dict[str, Any]] = {"path": {}, "query": {}}
                for parameter in operation["parameters"]:
                    parameters[parameter["in"]][parameter["name"]] = parameter["example"]
                body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
                answer = await lab.client.request(
                    method, path.format(**parameters["path"]), params=parameters["query"], json=body
                )
                statuses[f"{method} {path}"] = answer.status_code

    odd = {route: status for route, status in statuses.items() if status != 200}
    assert len({o["operationId"] for ops in document["paths"].values() for o in ops.values()}) == len(statuses)
    assert all(status < 500 for status in odd.values()), odd


async def test_customers_are_seeded_together_or_not_at_all() -> None:
    """A mobile that two customers claim is refused; who came before in the same body is as before it."""
    async with in_process() as lab:
        await lab.seed(customers=[{"id": 5, "mobile": "111"}])
        clash = [{"id": 5, "mobile": "222"}, {"id": 6, "mobile": "333"}, {"id": 7, "mobile": "333"}]
        answer = await lab.client.post("/sandbox/seed", json={"customers": clash})
        gone = await lab.client.get("/sandbox/customers/6")
        found = await lab.client.get(
            "/v2/customers/lookup/tierDetails",
            params={"source": "INSTORE", "identifierName": "mobile", "identifierValue": "111"},
        )

    assert 422 == answer.status_code
    assert "mobile 333 belongs to another customer" == answer.json()["error"]["message"]
    assert 8015 == gone.json()["error"]["code"]
    assert 5 == found.json()["entityId"]
