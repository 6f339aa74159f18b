"""Point accounts and sources by HTTP: the policies of expiry, bounds, spending order, stock, labels."""

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
    post,
    profile,
    publish,
)

INTO_A = {"point_source_id": "s", "point_account_id": "a"}


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    """A sandbox with the coffee club, and Ann in it, on Tuesday, 10 March 2026."""
    async with coffee_club() as running:
        yield running


async def spend(lab: Lab, name: str, amount: int, **more: Any) -> Any:
    """Spend points of Ann's; the answer may be a refusal."""
    return await post(lab, "user_points/spend", **ANN, transaction_id=name, amount=amount, **more)


@pytest.mark.parametrize(
    ("expiry", "dates", "expected"),
    [
        ({"policy": "none"}, ["2030-01-01T00:00:00Z"], [90]),
        ({"policy": "rolling", "days": 30}, ["2026-04-09T11:59:59Z", "2026-04-09T12:00:00Z"], [90, 0]),
        (
            {"policy": "fixed_date", "every": "week", "day": 1},
            ["2026-03-15T23:59:59Z", "2026-03-16T00:00:00Z"],
            [90, 0],
        ),
        (
            {"policy": "fixed_date", "every": "month", "day": 31},
            ["2026-03-30T23:00:00Z", "2026-03-31T00:00:00Z"],
            [90, 0],
        ),
        (
            {"policy": "fixed_date", "every": "year", "day": 1, "month": 2},
            ["2027-01-31T23:00:00Z", "2027-02-01T00:00:00Z"],
            [90, 0],
        ),
        (
            {"policy": "inactivity", "days": 60, "percent": 50},
            ["2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z"],
            [90, 45, 23],
        ),
    ],
)
async def test_points_die_by_their_accounts_policy(
    lab: Lab, expiry: Any, dates: list[str], expected: list[int]
) -> None:
    """Never, so long after their issue, on a date, or for want of activity; to the second and not before."""
    await publish(lab, accounts=[{"id": "a", "expiry": expiry}], behaviors=[behavior("visit", "visit", 90)])
    await happen(lab, "visit", "v1")

    seen = []
    for date in dates:
        await clock(lab, date)
        seen.append((await balances(lab))["a"])

    assert expected == seen


async def test_any_activity_protects_the_whole_balance(lab: Lab) -> None:
    """An event within the days makes the next check pass, though it earned nothing; a deposit is no activity."""
    inactivity = {"policy": "inactivity", "days": 60, "percent": 100}
    await publish(lab, accounts=[{"id": "a", "expiry": inactivity}])
    await happen(lab, "visit", "v1")
    await deposit(lab, {**INTO_A, "amount": 50})
    await clock(lab, "2026-05-20T00:00:00Z")
    await happen(lab, "visit", "v2")
    await deposit(lab, {**INTO_A, "amount": 5})
    await clock(lab, "2026-07-02T00:00:00Z")
    protected = (await balances(lab))["a"]
    await deposit(lab, {**INTO_A, "amount": 5})
    await clock(lab, "2026-08-02T00:00:00Z")

    assert protected == 55
    assert (await balances(lab))["a"] == 0


async def test_escrow_moves_on_and_a_return_takes_it_first(lab: Lab) -> None:
    """Points wait two weeks in escrow, where a return reaches them, and then are a new lot of the spendable account."""
    await publish(
        lab,
        sources=[{"id": "s", "accounts": ["wait"]}],
        accounts=[
            {"id": "wait", "expiry": {"policy": "rolling", "days": 14, "into": "spend"}},
            {"id": "spend", "allow_negative": False, "expiry": {"policy": "rolling", "days": 30}},
        ],
        behaviors=[behavior("b", "COMPLETE_TRANSACTION", {"source": "s", "points_per": {"rate": "1"}})],
    )
    await buy(lab, "p1", tie="40.00", hat="40.00")
    too_soon = await spend(lab, "s1", 1)
    await clock(lab, "2026-03-19T12:00:00Z")
    await buy(lab, "p1", tie="40.00")
    waiting = await balances(lab)
    await clock(lab, "2026-03-24T12:00:00Z")
    released = await balances(lab)
    await clock(lab, "2026-04-23T12:00:00Z")

    assert waiting == {"wait": 40, "spend": 0}
    assert released == {"wait": 0, "spend": 40}
    assert await balances(lab) == {"wait": 0, "spend": 0}
    assert too_soon.status_code == 422


async def test_an_event_may_expire_an_account(lab: Lab) -> None:
    """A behaviour that expires an account empties it, is listed as such, and leaves other accounts alone."""
    await publish(
        lab,
        sources=[{"id": "s", "accounts": ["a", "b"]}],
        accounts=[{"id": "a"}, {"id": "b"}],
        behaviors=[behavior("visit", "visit", 10), behavior("bye", "unsubscribed", {"expire_account": "a"})],
    )
    await happen(lab, "visit", "v1")

    answer = await happen(lab, "unsubscribed", "u1")

    assert [(row["kind"], row["amount"]) for row in answer["events"][0]["points"]] == [("expire", -10)]
    assert await balances(lab) == {"a": 0, "b": 10}


async def test_default_accounts_are_spent_oldest_first_across_all(lab: Lab) -> None:
    """The oldest points go first whichever default account they lie in; others are spent only when they are named."""
    await publish(
        lab,
        sources=[{"id": "s", "accounts": ["a", "b", "c"]}],
        accounts=[{"id": "a"}, {"id": "b"}, {"id": "c", "default": False, "allow_negative": False}],
    )
    for hour, account in enumerate(("a", "b", "c", "a")):
        await clock(lab, f"2026-03-10T{13 + hour}:00:00Z")
        await deposit(lab, {**INTO_A, "point_account_id": account, "amount": 40})

    answer = await spend(lab, "s1", 100)
    named = await spend(lab, "s2", 15, point_account_ids=["c"])
    again = await spend(lab, "s2", 15, point_account_ids=["c"])

    spent = {row["point_account_id"]: row["amount"] for row in answer.json()["points"]}
    assert spent == {"a": -60, "b": -40}
    assert (named.status_code, again.json()["repeated"]) == (200, True)
    assert await balances(lab) == {"a": 20, "b": 0, "c": 25}


async def test_whether_a_spend_may_overdraw_is_the_accounts_say(lab: Lab) -> None:
    """Allowed, the member owes it and later points pay it off; not allowed, it is refused and nothing changes."""
    await publish(
        lab,
        sources=[{"id": "s", "accounts": ["open", "tight"]}],
        accounts=[{"id": "open"}, {"id": "tight", "allow_negative": False}],
    )
    for account in ("open", "tight"):
        await deposit(lab, {**INTO_A, "point_account_id": account, "amount": 30})

    owed = await spend(lab, "s1", 50, point_account_ids=["open"])
    refused = await spend(lab, "s2", 50, point_account_ids=["tight"])
    after = await balances(lab)
    await deposit(lab, {**INTO_A, "point_account_id": "open", "amount": 25})

    assert (owed.status_code, refused.status_code) == (200, 422)
    assert refused.json()["error"]["field"] == "amount"
    assert "at most 30" in refused.json()["error"]["message"]
    assert after == {"open": -20, "tight": 30}
    assert await balances(lab) == {"open": 5, "tight": 30}


@pytest.mark.parametrize(("name", "field"), [("nowhere", "point_account_id")])
async def test_a_spend_from_nowhere_is_refused(lab: Lab, name: str, field: str) -> None:
    """An account that is not in the economy is 404 by its field, and nothing is spent."""
    await deposit(lab, {"point_account_id": "beans", "amount": 30})

    answer = await spend(lab, "s1", 5, point_account_ids=[name])

    assert (answer.status_code, answer.json()["error"]["field"]) == (404, field)
    assert await balances(lab) == {"status": 0, "beans": 30}


async def test_what_exceeds_the_maximum_is_forfeited_and_listed(lab: Lab) -> None:
    """At 90 of 100, of an award of 25 ten are credited; fifteen are forfeited, and a deposit is bounded likewise."""
    await publish(lab, accounts=[{"id": "a", "maximum_balance": 100}], behaviors=[behavior("b", "visit", 25)])
    await deposit(lab, {**INTO_A, "amount": 90})

    answer = await happen(lab, "visit", "v1")
    await deposit(lab, {**INTO_A, "amount": 7})

    (row,) = answer["events"][0]["points"]
    assert (row["amount"], row["forfeited"]) == (10, 15)
    assert await balances(lab) == {"a": 100}


async def test_a_sources_stock_is_shared_by_all_customers(lab: Lab) -> None:
    """Of 25 points a month two awards of ten are whole, the third is cut, the fourth empty; next month begins anew."""
    await publish(
        lab,
        sources=[{"id": "s", "accounts": ["a", "b"], "stock": {"points": 25, "per": "month"}}],
        accounts=[{"id": "a"}, {"id": "b"}],
        behaviors=[behavior("b", "visit", 10)],
    )
    await post(lab, "customers", external_id="bob")

    paid = []
    for number, who in enumerate(("ann", "bob", "ann", "bob")):
        answer = await happen(lab, "visit", f"v{number}", who)
        paid.append([row["amount"] for row in answer["events"][0]["points"]])
    sources = (await lab.client.get(f"{API}/economy/sources")).json()["sources"]
    await clock(lab, "2026-04-01T00:00:00Z")
    renewed = await happen(lab, "visit", "v9")

    assert paid == [[10, 10], [10, 10], [5, 5], []]
    assert sources == [
        {
            "point_source_id": "s",
            "issued": 50,
            "stock": {"points": 25, "per": "month"},
            "accounts": [{"point_account_id": "a", "stock_left": 0}, {"point_account_id": "b", "stock_left": 0}],
        }
    ]
    assert [row["amount"] for row in renewed["events"][0]["points"]] == [10, 10]


async def test_a_return_refills_the_stock_and_a_deposit_is_past_it(lab: Lab) -> None:
    """What a return takes back can be issued again; service deposits more than there is, and that counts."""
    await publish(
        lab,
        sources=[{"id": "s", "accounts": ["a"], "stock": {"points": 50}}],
        behaviors=[behavior("b", "COMPLETE_TRANSACTION", {"source": "s", "points_per": {"rate": "1"}})],
    )
    await buy(lab, "p1", tie="40.00")
    await buy(lab, "p2", tie="30.00")
    cut = await balances(lab)
    await buy(lab, "p1")
    await buy(lab, "p3", hat="25.00")
    refilled = await balances(lab)
    await deposit(lab, {**INTO_A, "amount": 30})
    await buy(lab, "p4", hat="5.00")

    assert cut == {"a": 50}
    assert refilled == {"a": 10 + 25}
    assert await balances(lab) == {"a": 10 + 25 + 30}


async def test_accounts_of_one_label_are_shown_as_one_balance(lab: Lab) -> None:
    """The profile adds up the accounts of each grouping label, and the audit names the source of each award."""
    await publish(
        lab,
        sources=[{"id": "s", "accounts": ["a", "b"]}, {"id": "t", "accounts": ["c"]}],
        accounts=[
            {"id": "a", "grouping_label": "Coins"},
            {"id": "b", "grouping_label": "Coins"},
            {"id": "c", "grouping_label": "Status"},
        ],
        behaviors=[behavior("b", "visit", 10, {"source": "t", "points": 3})],
    )
    await happen(lab, "visit", "v1")

    shown = await profile(lab)
    audit = (await lab.client.get(f"{API}/customers/{shown['user']['user_id']}/points")).json()["entries"]

    assert shown["point_account_balances"]["groups"] == [
        {"grouping_label": "Coins", "available_balance": 20},
        {"grouping_label": "Status", "available_balance": 3},
    ]
    assert [(row["point_account_id"], row["point_source_id"]) for row in audit] == [("a", "s"), ("b", "s"), ("c", "t")]


async def test_without_its_examples_the_sandbox_has_a_bare_economy(lab: Lab) -> None:
    """A reset without examples leaves one account that takes deposits, no tiers, and no customers."""
    await lab.client.post("/sandbox/reset", params={"example": "false"})

    gone = await lab.client.get(f"{API}/customers/external/ann")
    await post(lab, "customers", **ANN)
    await deposit(lab, {"point_source_id": "service", "point_account_id": "points", "amount": 5})

    assert gone.status_code == 404
    assert (await profile(lab))["tier_levels"] == []
    assert await balances(lab) == {"points": 5}
