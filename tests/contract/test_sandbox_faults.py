"""Every fault on every API family, and when it hits."""

import gzip
from typing import Any, get_args

import httpx
import pytest

from tests.contract.sandbox_kit import DAUGHTER, GROUP, MOTHER, PRIMARY, SON, Lab, in_process
from tiersync.sandbox.faults import fraction
from tiersync.sandbox.switches import AdjustFaults, AnswerSwitches, CallFaults, EventSwitches, Family

# One harmless call of each family.
CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "adjust": (
        "POST",
        f"/v2/slab/manualSlabAdjustment?source=INSTORE&identifierName=id&identifierValue={MOTHER}",
        {
            "programId": 973,
            "slabAction": "UPGRADE",
            "toSlabName": "Gold",
            "manualSlabActionValidity": "AS_PER_TIER_STRATEGY",
        },
    ),
    "groups": ("GET", f"/v2/userGroup2?id={GROUP}", {}),
    "tiers": ("GET", f"/v2/customers/{MOTHER}/tierDetails", {}),
    "customers": ("GET", f"/v2/customers/{MOTHER}", {}),
    "transactions": (
        "POST",
        f"/v2/transactions?identifierName=id&identifierValue={MOTHER}",
        {"billNumber": "b1", "billAmount": 1},
    ),
    "points": ("GET", f"/v1.1/customer/redemptions?id={MOTHER}", {}),
    "token": ("POST", "/v3/oauth/token/generate", {"key": "sandbox-key", "secret": "sandbox-secret"}),
    "webhooks": ("GET", "/v3/webHooks", {}),
}

# Outcome → HTTP status and code in the error body (None: no JSON error body).
OUTCOMES: dict[str, tuple[int, int | None]] = {
    "unauthorised": (401, 401),
    "forbidden": (403, 4000),
    "rate_limited": (429, 429),
    "locked": (521, 521),
    "busy": (461, 461),
    "server_error": (500, 500),
    "unavailable": (503, 4001),
    "html_error": (502, None),
    "empty_400": (400, None),
}
CUTS = ("reset", "timeout_before_applying", "applied_then_timeout")
MODIFIERS = ("latency", "slow_body", "gzip")

# Where each of the switches that are no faults of calls is tried.
CHOICES = {
    "events": "test_sandbox_events.py and test_sandbox_delivery.py",
    "answers": "below",
    "organisation": "test_sandbox_groups.py, _members.py, _transactions.py, _points.py, _clock.py and _companies.py",
}


async def call(lab: Lab, family: str, **headers: str) -> httpx.Response:
    """Make the harmless call of a family."""
    method, path, body = CALLS[family]
    return await lab.client.request(method, path, json=body or None, headers=headers)


async def adjust_all(lab: Lab, times: int, customer: int = MOTHER) -> list[int]:
    """Renew a customer several times; returns the statuses."""
    return [(await lab.adjust(customer, slabAction="RENEWAL", toSlabName=None)).status_code for _ in range(times)]


def test_every_fault_is_in_a_table_here() -> None:
    """No fault and no family goes untried."""
    assert {*OUTCOMES, *CUTS, *MODIFIERS} == set(CallFaults.model_fields)
    assert set(get_args(Family)) == set(CALLS)
    assert set(AdjustFaults.model_fields) - set(CallFaults.model_fields) == {"overlap", "refuse"}


@pytest.mark.parametrize("family", CALLS)
@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_outcomes(family: str, outcome: str) -> None:
    """Each fault answers with its status and code, changes nothing, and is named in the call log."""
    status, code = OUTCOMES[outcome]
    async with in_process() as lab:
        await lab.switch(**{family: {outcome: True}})
        answer = await call(lab, family)
        log = await lab.last_call()
        await lab.switch(**{family: {outcome: False}})
        after = await call(lab, family)
        tier = (await lab.tier())["currentTierName"] if family != "adjust" else None

    assert answer.status_code == status
    if code is not None:
        body = answer.json()
        assert (body["response"]["status"] if family == "points" else body["errors"][0])["code"] == code
    assert (log["fault"], log["status"], log["effect"]) == (f"{family}.{outcome}", status, False)
    assert after.status_code == 200
    assert tier in (None, "Silver")


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_a_fault_for_all_hits_every_family(outcome: str) -> None:
    """What stands under `all` hits each family."""
    async with in_process() as lab:
        await lab.switch(all={outcome: True})
        statuses = [(await call(lab, family)).status_code for family in CALLS]

    assert statuses == [OUTCOMES[outcome][0]] * len(CALLS)


@pytest.mark.parametrize(
    ("outcome", "media_type", "content"),
    [("html_error", "text/html; charset=utf-8", b"<html>"), ("empty_400", "text/plain; charset=utf-8", b"{}")],
)
async def test_error_bodies_that_are_no_json(outcome: str, media_type: str, content: bytes) -> None:
    """Proxies answer with HTML, and one sample is `{}` as text."""
    async with in_process() as lab:
        await lab.switch(adjust={outcome: {}})
        answer = await call(lab, "adjust")

    assert answer.headers["content-type"] == media_type
    assert answer.content.startswith(content)


@pytest.mark.parametrize("cut", CUTS)
async def test_cut_connections_in_process(cut: str) -> None:
    """Without a server there is no connection to cut: ConnectionResetError stands for it."""
    async with in_process() as lab:
        await lab.switch(adjust={cut: True if cut == "reset" else {"hold_ms": 1}})
        with pytest.raises(ConnectionResetError):
            await call(lab, "adjust")
        log = await lab.last_call()
        tier = await lab.tier()

    applied = cut == "applied_then_timeout"
    assert (log["status"], log["fault"], log["effect"]) == (None, f"adjust.{cut}", applied)
    assert tier["currentTierName"] == ("Gold" if applied else "Silver")


async def test_latency_waits_within_its_bounds() -> None:
    """A call waits `ms` and up to `jitter_ms` more, the same each time it is tried."""
    async with in_process() as first, in_process() as second:
        for lab in (first, second):
            await lab.switch(tiers={"latency": {"ms": 2, "jitter_ms": 5}})
            for _ in range(5):
                await call(lab, "tiers")

    assert first.slept == second.slept
    assert all(0.002 <= waited <= 0.007 for waited in first.slept)
    assert len(set(first.slept)) > 1


async def test_slow_bodies_come_in_pieces() -> None:
    """The body is cut into pieces with a pause before each, and arrives whole."""
    async with in_process() as lab:
        await lab.switch(groups={"slow_body": {"ms": 1, "pieces": 4}})
        answer = await call(lab, "groups")

    assert answer.json()["id"] == GROUP
    assert lab.slept == [0.001] * 4


async def test_gzip_only_for_those_who_accept() -> None:
    """An answer is compressed if the caller says it can read that."""
    async with in_process() as lab:
        await lab.switch(groups={"gzip": True})
        async with lab.client.stream("GET", CALLS["groups"][1]) as answer:
            packed = b"".join([piece async for piece in answer.aiter_raw()])
        plain = await call(lab, "groups", **{"accept-encoding": "identity"})

    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed) == plain.content


# When.


@pytest.mark.parametrize(
    ("when", "hit"),
    [
        ({}, "XXXXXXXX"),
        ({"every": 3}, "..X..X.."),
        ({"first": 2}, "XX......"),
        ({"after": 5}, ".....XXX"),
        ({"after": 2, "first": 4}, "..XX...."),
        ({"every": 2, "after": 2}, "...X.X.X"),
        ({"share": 0}, "........"),
        ({"share": 1}, "XXXXXXXX"),
        ({"customers": [MOTHER]}, "XXXXXXXX"),
        ({"customers": [DAUGHTER]}, "........"),
    ],
)
async def test_when_a_fault_hits(when: dict[str, Any], hit: str) -> None:
    """A fault hits exactly the calls that its `when` says, all conditions together."""
    async with in_process() as lab:
        await lab.switch(adjust={"busy": when})
        statuses = await adjust_all(lab, 8)

    assert "".join("X" if status == 461 else "." for status in statuses) == hit


async def test_calls_are_counted_per_switch_after_the_customers() -> None:
    """A fault for some customers counts only their calls."""
    async with in_process() as lab:
        await lab.switch(adjust={"busy": {"customers": [MOTHER], "first": 1}})
        statuses = [
            *(await adjust_all(lab, 2, DAUGHTER)),
            *(await adjust_all(lab, 2, MOTHER)),
        ]

    assert statuses == [200, 200, 461, 200]


async def test_a_share_is_the_same_for_the_same_seed() -> None:
    """A share hits about so many calls; which ones depends on the seed alone."""
    runs = []
    for seed in (1, 1, 2):
        async with in_process() as lab:
            await lab.switch(adjust={"busy": {"share": 0.3, "seed": seed}})
            runs.append(await adjust_all(lab, 60))

    assert runs[0] == runs[1] != runs[2]
    assert 8 <= runs[0].count(461) <= 28


def test_fractions_are_spread() -> None:
    """The hash behind shares fills its range evenly."""
    values = [fraction(7, "adjust.busy", count) for count in range(10_000)]

    assert all(0 <= value < 1 for value in values)
    assert 0.48 < sum(values) / len(values) < 0.52


async def test_setting_a_switch_starts_its_count_again() -> None:
    """A switch that is set again counts from the start; one that is not named goes on."""
    async with in_process() as lab:
        await lab.switch(adjust={"busy": {"first": 1}, "unavailable": {"after": 2}})
        first = await adjust_all(lab, 2)
        await lab.switch(adjust={"busy": {"first": 1}})
        second = await adjust_all(lab, 2)

    assert (first, second) == ([461, 200], [461, 503])


async def test_of_several_faults_the_first_in_order_decides() -> None:
    """Two faults that hit one call do not mix; the earlier one in the documented order wins, modifiers add."""
    async with in_process() as lab:
        await lab.switch(adjust={"server_error": True, "rate_limited": True, "latency": {"ms": 1}})
        answer = await call(lab, "adjust")
        log = await lab.last_call()

    assert answer.status_code == 429
    assert log["fault"] == "adjust.latency+adjust.rate_limited"
    assert lab.slept == [0.001]


# Rate limit.


async def test_the_minutes_bucket() -> None:
    """With `per_minute` so many calls pass in each clock minute, the rest get 429."""
    async with in_process() as lab:
        await lab.switch(adjust={"rate_limited": {"per_minute": 3}})
        first = await adjust_all(lab, 5)
        lab.clock.forward(59)
        same = await adjust_all(lab, 1)
        lab.clock.forward(1)
        next_minute = await adjust_all(lab, 4)
        per_minute = (await lab.calls())["perMinute"]

    assert (first, same, next_minute) == ([200] * 3 + [429] * 2, [429], [200] * 3 + [429])
    assert per_minute == {"2026-03-10T12:00Z": 6, "2026-03-10T12:01Z": 4}


@pytest.mark.parametrize(("asked", "told"), [(None, None), (7, "7"), (0, "45")])
async def test_retry_after(asked: int | None, told: str | None) -> None:
    """Retry-After is left out, fixed, or (0) the rest of the minute."""
    async with in_process() as lab:
        lab.clock.forward(15)
        await lab.switch(adjust={"rate_limited": {"retry_after_s": asked}})
        answer = await call(lab, "adjust")

    assert answer.headers.get("retry-after") == told


async def test_a_rate_limit_page_can_be_html() -> None:
    """The proxy in front answers with a page."""
    async with in_process() as lab:
        await lab.switch(adjust={"rate_limited": {"body": "html", "retry_after_s": 1}})
        answer = await call(lab, "adjust")

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert answer.headers["content-type"].startswith("text/html")


# Choices about answers.


@pytest.mark.parametrize(
    ("form", "status", "media_type"),
    [
        ("400", 400, "application/json"),
        ("200", 200, "application/json"),
        ("empty", 400, "text/plain; charset=utf-8"),
        ("html", 400, "text/html; charset=utf-8"),
    ],
)
@pytest.mark.parametrize("family", ["adjust", "tiers", "groups"])
async def test_refusals_take_the_form_switched(family: str, form: str, status: int, media_type: str) -> None:
    """A refusal comes as 400 or 200 with errors, as `{}`, or as a page; the log keeps its code."""
    async with in_process() as lab:
        await lab.switch(answers={"refusals": form})
        if family == "adjust":
            answer = await lab.adjust(1)
        else:
            path = "/v2/customers/1/tierDetails" if family == "tiers" else "/v2/userGroup2?id=1"
            answer = await lab.client.get(path)
        log = await lab.last_call()

    code = 1632 if family == "groups" else 8015
    assert (answer.status_code, answer.headers["content-type"]) == (status, media_type)
    if media_type == "application/json":
        assert answer.json()["errors"][0]["code"] == code
    assert log["code"] == code


@pytest.mark.parametrize("status", [200, 400, 409, 521])
async def test_the_status_of_a_lock(status: int) -> None:
    """Which HTTP status carries 521 is not documented, so it is a switch."""
    async with in_process() as lab:
        await lab.switch(answers={"locked_status": status}, adjust={"locked": True})
        answer = await call(lab, "adjust")

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, 521)


async def test_side_effects_can_be_empty() -> None:
    """An adjustment that was applied may not say so."""
    async with in_process() as lab:
        await lab.switch(answers={"side_effects": "empty"})
        answer = await lab.adjust()
        tier = await lab.tier()

    assert (answer.json()["sideEffects"], tier["currentTierName"]) == ([], "Gold")


@pytest.mark.parametrize(
    ("switch", "value", "check"),
    [
        ("exited_members", "absent", lambda group: len(group["fleetGroupUsers"]) == 5),
        ("primary", "absent", lambda group: not any(row["primaryMember"] for row in group["fleetGroupUsers"])),
        ("warnings", "none", lambda group: group["warnings"] == []),
        ("warnings", "[{}]", lambda group: group["warnings"] == [{}]),
    ],
)
async def test_choices_about_groups(switch: str, value: str, check: Any) -> None:
    """Group reads can leave out former members, the primary's mark and the usual warning."""
    async with in_process() as lab:
        before = await lab.group(primaryUserId=PRIMARY)
        await lab.switch(answers={switch: value})
        after = await lab.group(primaryUserId=PRIMARY)

    assert (check(before), check(after)) == (False, True)


async def test_in_active_can_be_plain() -> None:
    """The 2025 page means the field as it is spelt."""
    async with in_process() as lab:
        await lab.switch(answers={"in_active": "plain"})
        query = {"source": "INSTORE", "identifierName": "id", "identifierValue": str(GROUP)}
        listed = await lab.client.get("/v2/userGroup2/members", params=query)

    assert {row["inActive"] for row in listed.json()["data"]} == {False}


async def test_join_answers_can_deny_the_truth() -> None:
    """Older samples answer active false although the member is active."""
    async with in_process() as lab:
        await lab.switch(answers={"join_active": "false"})
        await lab.seed(customers=[{"id": 5}])
        item = {"userId": 5, "permissions": ["allow_points_redemption"], "defaultGroup": True}
        answer = await lab.client.post(f"/v2/userGroup2/join?id={GROUP}", json=[item])
        rows = (await lab.group())["fleetGroupUsers"]

    result = answer.json()["response"][0]["result"]
    assert (result["active"], result["defaultGroup"]) == (False, False)
    assert next(row["active"] for row in rows if row["userId"] == 5)


async def test_choices_about_adjustments() -> None:
    """Source, case of names, mandatory validityUpto and downgrades that are none follow their switches."""
    relaxed = {"source": "optional", "tier_name_case": "ignored", "downgrade_not_lower": "applied"}
    async with in_process() as lab:
        await lab.switch(answers=relaxed)
        query = {"identifierName": "id", "identifierValue": str(SON)}
        body = {**CALLS["adjust"][2], "toSlabName": "gOLD"}
        no_source = await lab.client.post("/v2/slab/manualSlabAdjustment", params=query, json=body)
        same = await lab.adjust(SON, slabAction="DOWNGRADE", toSlabName="Gold")
        await lab.switch(answers={"validity_upto": "always"})
        missing = await lab.adjust(DAUGHTER)
        given = await lab.adjust(DAUGHTER, manualSlabActionValidityUpto=5)

    assert (no_source.status_code, same.status_code, given.status_code) == (200, 200, 200)
    assert missing.json()["errors"][0]["code"] == 8921


def test_every_choice_about_answers_and_events_is_tried() -> None:
    """The choices named in tests are all there are."""
    tried = {
        "refusals",
        "locked_status",
        "side_effects",
        "exited_members",
        "primary",
        "in_active",
        "join_active",
        "warnings",
        "source",
        "validity_upto",
        "tier_name_case",
        "downgrade_not_lower",
        "adjust_type",  # in test_sandbox_flags
    }

    assert tried == set(AnswerSwitches.model_fields)
    assert set(EventSwitches.model_fields) >= {"echo", "duplicate", "reorder", "stale", "lost", "gzip"}
