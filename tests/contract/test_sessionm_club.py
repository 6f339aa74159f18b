"""The SessionM face over HTTP: customers, events, transactions, deposits, tiers."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.sandbox_kit import Lab
from tests.contract.sessionm_kit import ANN, API, balances, buy, coffee_club, deposit, login, post, tier


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    """A sandbox with the coffee club, and Ann in it."""
    async with coffee_club() as running:
        yield running


async def test_a_customer_has_two_ids_and_exists_once(lab: Lab) -> None:
    """Creating the very same customer again gives the same user id; another one under its external id is refused."""
    known = (await lab.client.get(f"{API}/customers/external/ann")).json()["user"]

    again = await post(lab, "customers", external_id="ann", email="ann@example.com")
    other = await post(lab, "customers", external_id="ann", email="other@example.com")
    by_user_id = await lab.client.get(f"{API}/customers/{known['user_id']}")

    assert (again.status_code, again.json()["user"]["user_id"]) == (200, known["user_id"])
    assert (other.status_code, other.json()["error"]["field"]) == (409, "external_id")
    assert by_user_id.json()["user"] == known


async def test_an_event_sent_twice_pays_once(lab: Lab) -> None:
    """A repeat of a transaction id gets the first result and writes nothing."""
    first = await login(lab, "t1")
    second = await login(lab, "t1")

    assert first.json()["events"][0]["points"] == second.json()["events"][0]["points"]
    assert second.json()["events"][0]["repeated"] is True
    assert await balances(lab) == {"status": 10, "beans": 10}


async def test_context_means_nothing_to_the_core(lab: Lab) -> None:
    """Keys of a context that the core has words for are only context, and decimals are fine."""
    answer = await login(lab, "t1", qty="1", context={"group": "nobody", "accounts": "all", "quiet": True, "v": 1.5})

    assert answer.status_code == 200
    assert await balances(lab) == {"status": 10, "beans": 10}


async def test_a_purchase_sent_again_with_less_is_a_return(lab: Lab) -> None:
    """What came back is judged anew, the same purchase again is no news, and the tier stays."""
    await deposit(lab, {"amount": 20})

    bought = await buy(lab, "p1", coffee="18.00", cup="10.00")
    resent = await buy(lab, "p1", coffee="18.00", cup="10.00")
    after_resending = await balances(lab)
    returned = await buy(lab, "p1", coffee="18.00")

    assert bought.json()["tier_changes"][0]["to"] == "Silver"
    assert resent.json()["repeated"] is True
    assert after_resending == {"status": 48, "beans": 28 + 5}
    assert [row["amount"] for row in returned.json()["points"]] == [-10, -10]
    assert await tier(lab) == "Silver"


async def test_what_came_back_cannot_come_back_again(lab: Lab) -> None:
    """After a whole return, a transaction with items is refused, and nothing changes."""
    await buy(lab, "p1", coffee="18.00")
    await buy(lab, "p1")
    before = await balances(lab)

    refused = await buy(lab, "p1", coffee="18.00")

    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "items")
    assert before == {"status": 0, "beans": 0}
    assert await balances(lab) == before


async def test_a_deposit_is_all_or_nothing_unless_told_otherwise(lab: Lab) -> None:
    """A line into an unknown account spoils the deposit, or with partial success is listed as failed."""
    bad = {"point_account_id": "nowhere", "amount": 40}

    refused = await deposit(lab, {"amount": 30}, bad)
    nothing = await balances(lab)
    partly = await deposit(lab, {"amount": 30}, bad, allow_partial_success=True)

    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "deposit_details")
    assert nothing == {"status": 0, "beans": 0}
    assert [row["line"] for row in partly.json()["payload"]["failures"]] == ["1"]
    assert partly.json()["tier_changes"][0]["to"] == "Silver"
    assert await balances(lab) == {"status": 30, "beans": 5}


async def test_a_reference_is_deposited_once(lab: Lab) -> None:
    """The same deposit again is a repeat; its reference in another deposit is refused."""
    await deposit(lab, {"reference_id": "case-7"})

    again = await deposit(lab, {"reference_id": "case-7"})
    mixed = await deposit(lab, {"reference_id": "case-7"}, {"reference_id": "case-8"})

    assert again.json()["repeated"] is True
    assert (mixed.status_code, mixed.json()["error"]["field"]) == (409, "deposit_details")
    assert await balances(lab) == {"status": 10, "beans": 0}


async def test_points_are_spent_and_the_audit_tells_all(lab: Lab) -> None:
    """A spend draws on the spendable account only, and every change is listed with what gave it."""
    await login(lab, "t1")
    user_id = (await lab.client.get(f"{API}/customers/external/ann")).json()["user"]["user_id"]

    await post(lab, "user_points/spend", **ANN, transaction_id="s1", amount=4)
    audit = (await lab.client.get(f"{API}/customers/{user_id}/points")).json()["entries"]

    assert [(row["point_account_id"], row["kind"], row["amount"], row["behavior"]) for row in audit] == [
        ("status", "earn", 10, "sign-in#1"),
        ("beans", "earn", 10, "sign-in#1"),
        ("beans", "spend", -4, None),
    ]


async def test_an_inactive_account_takes_no_credits(lab: Lab) -> None:
    """Switched off, an account is passed over by rules and refuses deposits; switched on again it takes them."""
    await lab.client.put(f"{API}/economy/accounts/beans", json={"active": False})

    await login(lab, "t1")
    refused = await deposit(lab, {"point_account_id": "beans"})
    await lab.client.put(f"{API}/economy/accounts/beans", json={"active": True})
    taken = await deposit(lab, {"point_account_id": "beans"})

    assert (refused.status_code, taken.status_code) == (422, 200)
    assert await balances(lab) == {"status": 10, "beans": 10}


async def test_only_maintenance_takes_a_level_away(lab: Lab) -> None:
    """Spending everything leaves the level; the clock's move past the review of an idle year takes one level."""
    await deposit(lab, {"amount": 40})
    await post(lab, "user_points/spend", **ANN, transaction_id="s", amount=40, point_account_ids=["status"])
    after_spending = await tier(lab)

    await lab.client.put("/sandbox/clock", json={"advance": {"days": 370}})
    after_the_year = await tier(lab)
    await lab.client.put("/sandbox/clock", json={"advance": {"days": 370}})

    assert (after_spending, after_the_year) == ("Silver", "Silver")
    assert await tier(lab) == "Bronze"


async def test_a_run_up_to_a_date_changes_nothing_the_second_time(lab: Lab) -> None:
    """Rolling points expire a year after their issue, once."""
    await login(lab, "t1")
    body = {"as_of": "2027-03-10T12:00:00Z"}

    first = await lab.client.post("/sessionm/run", json=body)
    second = await lab.client.post("/sessionm/run", json=body)

    assert [(row["kind"], row["amount"]) for row in first.json()["points"]] == [("expire", -10)]
    assert (second.json()["points"], second.json()["tier_changes"]) == ([], [])


async def test_a_reset_of_the_sandbox_starts_the_club_anew(lab: Lab) -> None:
    """Customers are gone after a reset, and the coffee club is in force."""
    await lab.client.put(f"{API}/economy/accounts/beans", json={"active": False})

    await lab.client.post("/sandbox/reset")
    gone = await lab.client.get(f"{API}/customers/external/ann")
    await post(lab, "customers", external_id="ann")
    await login(lab, "t1")

    assert gone.status_code == 404
    assert await balances(lab) == {"status": 10, "beans": 10}
