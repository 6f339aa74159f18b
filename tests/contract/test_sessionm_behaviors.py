"""Behaviours by HTTP: rules, measures, states, system events, several tier systems, maintenance."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.sandbox_kit import Lab
from tests.contract.sessionm_kit import (
    ANN,
    API,
    balances,
    behavior,
    buy,
    clock,
    coffee_club,
    deposit,
    happen,
    login,
    post,
    profile,
    publish,
    tier,
)

PURCHASE = "COMPLETE_TRANSACTION"
INTO_A = {"point_source_id": "s", "point_account_id": "a"}
LEVELS = [
    {"name": "Bronze"},
    {"name": "Silver", "entrance": {"points": 30}, "maintenance": {"points": 10}},
    {"name": "Gold", "entrance": {"points": 100}, "maintenance": {"points": 10}},
]


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    """A sandbox with the coffee club, and Ann in it, on Tuesday, 10 March 2026."""
    async with coffee_club() as running:
        yield running


def system(name: str = "t", levels: Any = LEVELS, **more: Any) -> dict[str, Any]:
    """Build a tier system over points earned in `a`."""
    return {"id": name, "account": "a", "levels": levels, **more}


def level(name: str, points: int, *outcomes: Any, **more: Any) -> dict[str, Any]:
    """Build a level that one enters at so many points, which pays so many each."""
    given = [{"source": "s", "points": each} if isinstance(each, int) else each for each in outcomes]
    return {"name": name, "entrance": {"points": points, "outcomes": given}, **more}


async def bought(lab: Lab, *lines: tuple[str, str, int]) -> dict[str, int]:
    """Post a purchase of these (item, amount, quantity), and return the balances after it."""
    items = [
        {"id": str(number), "sku": sku, "amount": amount, "quantity": quantity}
        for number, (sku, amount, quantity) in enumerate(lines)
    ]
    answer = await post(lab, "transactions", **ANN, transaction_id="p1", items=items)
    assert answer.status_code == 200, answer.text
    return await balances(lab)


async def by_hand(lab: Lab, **body: Any) -> Any:
    """Put Ann on a level; the answer may be a refusal."""
    user = (await profile(lab))["user"]["user_id"]
    return await lab.client.put(f"{API}/customers/{user}/tiers", json={"tier_system_id": "t", **body})


@pytest.mark.parametrize(
    ("join", "lines", "points"),
    [
        ("and", [("hat", "90.00", 1), ("shoe", "20.00", 1)], 7),
        ("and", [("hat", "120.00", 1)], 0),
        ("and", [("shoe", "20.00", 1)], 0),
        ("or", [("hat", "120.00", 1)], 7),
        ("or", [("shoe", "20.00", 1)], 7),
        ("or", [("hat", "20.00", 1)], 0),
    ],
)
async def test_rules_join_by_and_or_or(lab: Lab, join: str, lines: list[tuple[str, str, int]], points: int) -> None:
    """Under AND each rule holds on its own, by different items if need be; under OR one is enough."""
    rules = [{"min_spend": "100.00"}, {"items": ["shoe"]}]
    await publish(lab, behaviors=[behavior("b", PURCHASE, 7, rules=rules, join=join)])

    after = await bought(lab, *lines)

    assert after == {"a": points}


@pytest.mark.parametrize(
    ("terms", "lines", "points"),
    [
        ({"rate": "2", "hurdle": "40"}, [("tie", "39.99", 1)], 0),
        ({"rate": "2", "hurdle": "40"}, [("tie", "52.50", 1)], 105),
        ({"rate": "2", "hurdle": "40", "precision": 0}, [("tie", "52.50", 1)], 104),
        ({"rate": "3", "measure": "items"}, [("tie", "10.00", 2), ("hat", "5.00", 1)], 9),
        ({"rate": "3", "measure": "items", "hurdle": "4"}, [("tie", "10.00", 3)], 0),
        ({"rate": "3", "measure": "items"}, [("tie", "10.00", 2), ("hat", "0.00", 1)], 6),
        ({"rate": "3", "measure": "items", "free_items": True}, [("tie", "10.00", 2), ("hat", "0.00", 1)], 9),
        ({"rate": "1", "items": ["tie"]}, [("tie", "10.00", 1), ("hat", "5.00", 1)], 10),
        ({"rate": "1", "measure": "items", "items": ["tie"]}, [("tie", "10.00", 2), ("hat", "5.00", 1)], 2),
    ],
)
async def test_points_per_measure(lab: Lab, terms: Any, lines: list[tuple[str, str, int]], points: int) -> None:
    """Spend or items, of everything or of some, from a hurdle on, cut to so many decimals; free items if told."""
    await publish(lab, behaviors=[behavior("b", PURCHASE, {"source": "s", "points_per": terms})])

    after = await bought(lab, *lines)

    assert after == {"a": points}


@pytest.mark.parametrize(
    ("state", "points"),
    [
        ({}, 7),
        ({"state": "paused"}, 0),
        ({"state": "draft"}, 0),
        ({"starts": "2026-03-10T12:00:01Z"}, 0),
        ({"starts": "2026-03-10T12:00:00Z"}, 7),
        ({"ends": "2026-03-10T12:00:00Z"}, 0),
    ],
)
async def test_only_an_active_behaviour_within_its_time_pays(lab: Lab, state: Any, points: int) -> None:
    """Paused, a draft, not begun or over: the event is taken all the same and pays nothing."""
    await publish(lab, behaviors=[behavior("b", "visit", 7, **state)])

    answer = await happen(lab, "visit", "v1")

    assert (answer["status"], await balances(lab)) == ("ok", {"a": points})


async def test_outcomes_are_computed_before_any_is_written(lab: Lab) -> None:
    """The event that promotes is still paid at the old level's rate; the next one at the new level's."""
    visit = behavior("v", "visit", 30)
    better = behavior("v", "visit", 50)
    levels = [{"name": "Bronze", "event": [visit]}, level("Silver", 30, event=[better])]
    await publish(lab, tier_systems=[system(levels=levels)])

    first = await happen(lab, "visit", "v1")
    second = await happen(lab, "visit", "v2")

    assert [row["amount"] for row in first["events"][0]["points"]] == [30]
    assert first["events"][0]["tier_changes"][0]["to"] == "Silver"
    assert [row["amount"] for row in second["events"][0]["points"]] == [50]


async def test_a_late_event_counts_in_the_window_of_its_own_date(lab: Lab) -> None:
    """Today's slot is used up; an event that was yesterday's still finds yesterday's free, once."""
    await login(lab, "t1")
    yesterday = {"date": "2026-03-09T20:00:00Z"}

    for name in ("t2", "t3"):
        await login(lab, name, **yesterday)

    assert await balances(lab) == {"status": 20, "beans": 20}


async def test_one_bad_event_spoils_the_request(lab: Lab) -> None:
    """A reserved name or a nested context beside a good event is refused by its field, and nothing is paid."""
    good = {"web_login": {"transaction_id": "t1"}}

    reserved = await post(lab, "events", **ANN, events={**good, "TIER_PROMOTED": {"transaction_id": "t2"}})
    nested = await post(lab, "events", **ANN, events={**good, "x": {"transaction_id": "t2", "context": {"a": {}}}})

    assert (reserved.status_code, reserved.json()["error"]["field"]) == (422, "events")
    assert nested.status_code == 422
    assert nested.json()["error"]["field"].startswith("events.x.context")
    assert await balances(lab) == {"status": 0, "beans": 0}


async def test_events_sent_together_are_taken_together(lab: Lab) -> None:
    """If the rules of the second feed on one another it is refused, and then the first did not happen either."""
    await publish(
        lab,
        sources=[{"id": "s", "accounts": ["a"]}, {"id": "loop", "accounts": ["b"]}],
        accounts=[{"id": "a"}, {"id": "b"}],
        behaviors=[
            behavior("visit", "visit", 5),
            behavior("endless", "endless", {"source": "loop", "points": 1}),
            behavior("more", "EXPIRE_POINTS", {"source": "loop", "points": 1}, {"expire_account": "b"}),
            behavior("start", "endless", {"source": "loop", "points": 1}, {"expire_account": "b"}),
        ],
    )
    await happen(lab, "visit", "v0")
    await deposit(lab, {"point_source_id": "loop", "point_account_id": "b", "amount": 1})
    two = {"visit": {"transaction_id": "v1"}, "endless": {"transaction_id": "e1"}}

    refused = await post(lab, "events", **ANN, events=two)
    after = await balances(lab)
    again = await happen(lab, "visit", "v1")

    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "events")
    assert after == {"a": 5, "b": 1}
    assert (again["events"][0]["repeated"], await balances(lab)) == (False, {"a": 10, "b": 1})


@pytest.mark.parametrize(
    ("event", "quiet", "bonus"),
    [("EARN_POINTS", False, 3), ("EARN_POINTS", True, 0), ("TIER_PROMOTED", True, 3), ("SPEND_POINTS", False, 0)],
)
async def test_a_deposit_may_be_kept_from_behaviours_but_not_from_promotion(
    lab: Lab, event: str, *, quiet: bool, bonus: int
) -> None:
    """`disable_event_publishing` silences EARN_POINTS; the promotion and what listens to it are not silenced."""
    await publish(
        lab,
        sources=[{"id": "s", "accounts": ["a"]}, {"id": "extra", "accounts": ["b"]}],
        accounts=[{"id": "a"}, {"id": "b"}],
        behaviors=[
            behavior("x", event, {"source": "extra", "points": 3, "limit": {"count": 1, "per": "forever"}}),
        ],
        tier_systems=[system()],
    )

    answer = await deposit(lab, {**INTO_A, "amount": 30}, disable_event_publishing=quiet)

    assert answer.json()["tier_changes"][0]["to"] == "Silver"
    assert await balances(lab) == {"a": 30, "b": bonus}


async def test_behaviours_listen_to_what_happens_to_points_and_tiers(lab: Lab) -> None:
    """Spending, expiring and being demoted each set off the behaviour that listens to it."""
    listening = {"SPEND_POINTS": "spent", "EXPIRE_POINTS": "expired", "TIER_DEMOTED": "demoted"}
    await publish(
        lab,
        accounts=[{"id": "a", "expiry": {"policy": "rolling", "days": 400}}],
        behaviors=[behavior(name, event, {"tag": name}) for event, name in listening.items()],
        tier_systems=[system()],
    )
    await deposit(lab, {**INTO_A, "amount": 40})
    await post(lab, "user_points/spend", **ANN, transaction_id="s1", amount=5)

    tags = [(await profile(lab))["tags"]]
    for date in ("2027-05-01T00:00:00Z", "2028-03-10T00:00:00Z"):
        await clock(lab, date)
        tags.append((await profile(lab))["tags"])

    assert tags == [["spent"], ["expired", "spent"], ["demoted", "expired", "spent"]]


async def test_the_standard_profile_shows_the_primary_system_only(lab: Lab) -> None:
    """Custom and combined show the levels of all systems, the standard one that of the first; others are refused."""
    await publish(lab, tier_systems=[system("first"), system("second", [{"name": "Only"}])])

    shown = {
        kind: [row["tier_system_id"] for row in (await profile(lab, kind))["tier_levels"]]
        for kind in ("standard", "custom", "combined")
    }
    refused = await lab.client.get(f"{API}/customers/external/ann", params={"profile": "full"})

    assert shown == {"standard": ["first"], "custom": ["first", "second"], "combined": ["first", "second"]}
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "profile")


@pytest.mark.parametrize(("pay_skipped", "bonus"), [(True, 25), (False, 20)])
async def test_a_level_given_by_hand_pays_what_it_is_told_to(lab: Lab, *, pay_skipped: bool, bonus: int) -> None:
    """By hand to Gold: its entrance outcome is paid, that of the level jumped over unless told otherwise."""
    await publish(
        lab,
        sources=[{"id": "s", "accounts": ["b"]}],
        accounts=[{"id": "a"}, {"id": "b"}],
        tier_systems=[system(levels=[{"name": "Bronze"}, level("Silver", 30, 5), level("Gold", 100, 20)])],
    )

    answer = await by_hand(lab, level="Gold", pay_skipped=pay_skipped)

    (change,) = answer.json()["tier_changes"]
    assert (change["to"], change["reason"]) == ("Gold", "manual")
    assert await balances(lab) == {"a": 0, "b": bonus}
    assert (await profile(lab))["tier_levels"][0]["tier_overview"]["name"] == "Gold"


@pytest.mark.parametrize(
    ("body", "field"),
    [({"level": "Iron"}, "level"), ({"level": "Gold", "tier_system_id": "x"}, "tier_system_id"), ({}, "level")],
)
async def test_a_level_that_is_not_there_is_refused(lab: Lab, body: Any, field: str) -> None:
    """An unknown system or level is refused by its field, and the tier stays."""
    await publish(lab, tier_systems=[system()])

    answer = await by_hand(lab, **body)

    assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)
    assert await tier(lab) == "Bronze"


async def test_an_outcome_may_change_the_tier(lab: Lab) -> None:
    """An event puts the customer on the level its behaviour names, in the same call."""
    move = {"change_tier": {"tier_system": "t", "level": "Gold"}}
    await publish(lab, behaviors=[behavior("vip", "invited", move)], tier_systems=[system()])

    answer = await happen(lab, "invited", "i1")

    assert [row["to"] for row in answer["events"][0]["tier_changes"]] == ["Gold"]


async def test_each_level_may_have_a_maintenance_interval_of_its_own(lab: Lab) -> None:
    """Gold is looked at each half year and Silver once a year, both from joining; without one a level stays."""
    levels = [
        {"name": "Bronze"},
        level("Silver", 30, maintenance={"points": 1}),
        level("Gold", 100, maintenance={"points": 10, "interval": {"months": 6}}),
        level("Black", 1000),
    ]
    await publish(lab, tier_systems=[system(levels=levels)])
    promoted = (await deposit(lab, {**INTO_A, "amount": 100})).json()["tier_changes"]
    seen = []
    for date in ("2026-09-09", "2026-09-10", "2027-03-09", "2027-03-10", "2027-09-10", "2028-03-10"):
        await clock(lab, f"{date}T00:00:00Z")
        seen.append(await tier(lab))
    await by_hand(lab, level="Black")
    await clock(lab, "2037-03-10T00:00:00Z")

    assert promoted[0]["next_maintenance"] == "2026-09-10T00:00:00Z"
    assert seen == ["Gold", "Gold", "Gold", "Silver", "Silver", "Bronze"]
    assert await tier(lab) == "Black"


async def test_maintenance_may_run_on_a_common_date_and_drop_to_what_was_earned(lab: Lab) -> None:
    """On the common cycle everybody is looked at on one day; `to_qualified` drops past a level not deserved."""
    await publish(lab, tier_systems=[system(maintenance={"months": 12, "starts": "2026-01-01"}, fall="to_qualified")])
    await deposit(lab, {**INTO_A, "amount": 100})
    await clock(lab, "2027-01-01T00:00:00Z")
    kept = await tier(lab)
    await clock(lab, "2027-12-31T23:59:59Z")
    still = await tier(lab)
    await clock(lab, "2028-01-01T00:00:00Z")

    assert (kept, still) == ("Gold", "Gold")
    assert await tier(lab) == "Bronze"


async def test_an_entrance_bonus_limited_to_once_is_not_farmed(lab: Lab) -> None:
    """Demoted by maintenance and back again: the level is entered twice, its bonus is paid once."""
    once = {"source": "extra", "points": 25, "limit": {"count": 1, "per": "forever"}}
    await publish(
        lab,
        sources=[{"id": "s", "accounts": ["a"]}, {"id": "extra", "accounts": ["b"]}],
        accounts=[{"id": "a"}, {"id": "b"}],
        tier_systems=[system(levels=[{"name": "Bronze"}, level("Silver", 30, once, maintenance={"points": 10})])],
    )
    await deposit(lab, {**INTO_A, "amount": 30})
    await clock(lab, "2028-03-11T00:00:00Z")
    demoted = await tier(lab)

    again = await deposit(lab, {**INTO_A, "amount": 30})

    assert (demoted, again.json()["tier_changes"][0]["to"]) == ("Bronze", "Silver")
    assert (await balances(lab))["b"] == 25


async def test_the_newer_deposit_route_is_the_same_door(lab: Lab) -> None:
    """The 2.0 route takes the body of the 1.0 one, and a reference deposited by one is known to the other."""
    line = {"point_source_id": "service", "point_account_id": "status", "amount": 30, "reference_id": "case-7"}
    body = {**ANN, "deposit_details": [line]}

    first = await lab.client.post("/sessionm/api/2.0/user_points/deposit", json=body)
    second = await lab.client.post(f"{API}/user_points/deposit", json=body)

    assert first.json()["tier_changes"][0]["to"] == "Silver"
    assert second.json()["repeated"] is True
    assert (await balances(lab))["status"] == 30


async def test_a_return_reaches_no_tier_and_frees_the_limit(lab: Lab) -> None:
    """After a whole return the purchase of the day may be rewarded again; the level it led to stays."""
    once = {"source": "s", "points": 30, "limit": {"count": 1, "per": "day"}}
    await publish(lab, behaviors=[behavior("b", PURCHASE, once)], tier_systems=[system()])
    await buy(lab, "p1", tie="10.00")
    await buy(lab, "p2", tie="10.00")
    limited = await balances(lab)

    await buy(lab, "p1")
    returned = (await balances(lab), await tier(lab))
    await buy(lab, "p3", tie="10.00")

    assert limited == {"a": 30}
    assert returned == ({"a": 0}, "Silver")
    assert await balances(lab) == {"a": 30}
