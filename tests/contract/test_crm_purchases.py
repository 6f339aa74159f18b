"""Purchases by HTTP: preview, spending, reduction, return, cancel; wallets, tiers, settlement, runs."""

import pytest

from tests.contract.crm_kit import Json, refused, spa

CREDIT = {"kind": "credit", "pocket": "commerce", "amount": "10.00"}
LINES = [{"id": "1", "product": "massage", "amount": "60.00"}, {"id": "2", "product": "tea", "amount": "40.00"}]


async def test_a_preview_says_what_posting_then_does() -> None:
    """The till sees award, discount and what may be spent; nothing is written; posting does just that."""
    async with spa() as here:
        await here.open("default", "cashback")
        await here.contacts("ann")
        await here.done("/contacts/ann/wallet/transactions", id="w", **CREDIT)
        sent = {"contact_id": "ann", "amount": "40.00", "wallet_spend": "6.00"}
        shown = await here.done("/purchases/preview", **sent)
        untouched = await here.commerce()
        posted = await here.done("/purchases", id="p", **sent)

    assert shown == {
        "total_award": "2.00",
        "total_instant_spend": "0.00",
        "total_automatic_spend": "6.00",
        "additional_amount_that_could_be_spent": "4.00",
        "wallet_balance": "10.00",
        "reduction_method": "FRONT_END_REDUCTION",
        "amount_due": "34.00",
    }
    assert (untouched, posted["amount_due"]) == ("10.00", "34.00")
    assert [(row["pocket"], row["kind"], row["amount"]) for row in posted["entries"]] == [
        ("commerce", "move", "-6.00"),
        ("business", "move", "6.00"),
        ("business", "spend", "-6.00"),
        ("commerce", "earn", "2.00"),
    ]


async def test_a_purchase_is_posted_once() -> None:
    """The same purchase again is answered as before with 200; another one under its id is refused."""
    async with spa() as here:
        await here.open("default", "cashback")
        await here.contacts("ann")
        answers = [await here.post("/purchases", id="p", contact_id="ann", amount="100.00") for _ in range(2)]
        other = await here.post("/purchases", id="p", contact_id="ann", amount="99.00")
        balance = await here.commerce()

    assert [answer.status_code for answer in answers] == [201, 200]
    assert refused(other) == (409, "id")
    assert balance == "5.00"


async def test_an_award_is_spent_where_its_condition_allows() -> None:
    """Happy-hour money for massages cannot pay for tea, and what more there is can be seen before."""
    async with spa() as here:
        await here.open("default")
        await here.offer("m", "cashback", {"percent": "10", "spend_condition": "massages"})
        await here.contacts("ann")
        await here.buy("1", "1000.00")
        tea = [{"id": "1", "product": "tea", "amount": "50.00"}]
        refusal = await here.post("/purchases", id="2", contact_id="ann", lines=tea, wallet_spend="1.00")
        shown = await here.done("/purchases/preview", contact_id="ann", lines=LINES)
        spent = await here.done("/purchases", id="3", contact_id="ann", lines=LINES, wallet_spend="60.00")

    assert refused(refusal) == (422, "wallet_spend")
    assert (shown["additional_amount_that_could_be_spent"], spent["amount_due"]) == ("60.00", "40.00")


@pytest.mark.parametrize(
    ("method", "due", "refunds"),
    [("FRONT_END_REDUCTION", "34.00", []), ("BACK_END_REDUCTION", "40.00", [("6.00", "settle", "pending")])],
)
async def test_a_spend_lowers_the_bill_now_or_is_refunded_later(
    method: str, due: str, refunds: list[tuple[str, str, str]]
) -> None:
    """Front-end: less is due and no refund. Back-end: all is due, and a refund waits. The wallet pays in both."""
    async with spa() as here:
        await here.put("/settings", refund_method="settle")
        await here.contacts("ann")
        await here.done("/contacts/ann/wallet/transactions", id="w", **CREDIT)
        bill = await here.buy("p", "40.00", wallet_spend="6.00", reduction_method=method)
        rows = (await here.get("/refunds"))["refunds"]
        balance = await here.commerce()

    assert bill["amount_due"] == due
    assert [(row["amount"], row["method"], row["state"]) for row in rows] == refunds
    assert balance == "4.00"


async def test_a_refund_is_paid_once_and_owed_after_a_cancel() -> None:
    """Reconciling pays, reconciling again pays nothing, and cancelling afterwards makes the customer owe it."""
    async with spa() as here:
        await here.contacts("ann")
        await here.done("/contacts/ann/wallet/transactions", id="w", **CREDIT)
        await here.buy("p", "40.00", wallet_spend="6.00", reduction_method="BACK_END_REDUCTION")
        await here.buy("q", "40.00")
        paid = [(await here.done("/purchases/p/reconcile"))["paid_now"] for _ in range(2)]
        await here.done("/purchases/p/cancel")
        state = (await here.get("/refunds"))["refunds"][0]["state"]
        nothing_due = await here.post("/purchases/q/reconcile")
        balance = await here.commerce()

    assert (paid, state, balance) == (["6.00", "0.00"], "owed", "10.00")
    assert refused(nothing_due) == (404, "purchase_id")


async def test_cancelling_reverts_awards_and_spends_once() -> None:
    """Award and spend are undone, the state says so, and cancelling twice changes nothing."""
    async with spa() as here:
        await here.open("default", "cashback")
        await here.contacts("ann")
        await here.done("/contacts/ann/wallet/transactions", id="w", **CREDIT)
        await here.buy("p", "100.00", wallet_spend="8.00")
        states = [(await here.done("/purchases/p/cancel"))["state"] for _ in range(2)]
        wallet = (await here.get("/contacts/ann/wallet"))["pockets"]

    assert states == ["cancelled", "cancelled"]
    assert {name: pocket["balance"] for name, pocket in wallet.items()} == {
        "cash": "0.00",
        "business": "0.00",
        "commerce": "10.00",
    }


async def test_a_line_comes_back_once() -> None:
    """A return takes its share of the award; the same return again is no news; the line a second time is refused."""
    async with spa() as here:
        await here.open("default", "cashback")
        await here.contacts("ann")
        await here.buy("p", lines=LINES)
        back = {"lines": [{"id": "2", "amount": "40.00"}]}
        first = await here.done("/purchases/p/returns", id="r1", **back)
        same = await here.done("/purchases/p/returns", id="r1", **back)
        double = await here.post("/purchases/p/returns", id="r2", **back)
        other = await here.post("/purchases/p/returns", id="r1", lines=[{"id": "1", "amount": "1.00"}])
        kept = (await here.get("/purchases/p"))["lines"]
        balance = await here.commerce()

    assert (first["amount"], same["repeated"], balance) == ("60.00", True, "3.00")
    assert [refused(double), refused(other)] == [(422, "lines"), (409, "id")]
    assert [row["product"] for row in kept] == ["massage"]


async def test_money_moves_between_pockets_contacts_and_out() -> None:
    """Credit, transfer, debit and reimburse move what is there and no more, once each, and a void undoes one."""
    async with spa() as here:
        await here.contacts("ann", "bob")
        path = "/contacts/ann/wallet/transactions"
        await here.done(path, id="1", kind="credit", pocket="cash", amount="20.00")
        await here.done(path, id="1", kind="credit", pocket="cash", amount="20.00")
        await here.done(path, id="2", kind="transfer", pocket="cash", amount="5.00", to_contact_id="bob")
        await here.done(path, id="3", kind="reimburse", pocket="cash", amount="4.00")
        refusals = [
            await here.post(path, id="1", kind="credit", pocket="cash", amount="21.00"),
            await here.post(path, id="4", kind="debit", pocket="cash", amount="99.00"),
            await here.post(path, id="5", kind="credit", pocket="cash", amount="-1.00"),
            await here.post(path, id="6", kind="transfer", pocket="cash", amount="1.00", to_contact_id="nobody"),
        ]
        before = [await here.get(f"/contacts/{name}/wallet") for name in ("ann", "bob")]
        await here.done(f"{path}/2/void")
        await here.done(f"{path}/2/void")
        after = [await here.get(f"/contacts/{name}/wallet") for name in ("ann", "bob")]
        paid = await here.buy("p", "10.00", wallet_spend="10.00", pocket="cash")

    assert [refused(answer) for answer in refusals] == [
        (409, "id"),
        (422, "amount"),
        (422, "amount"),
        (422, "to_contact_id"),
    ]
    assert [row["pockets"]["cash"]["balance"] for row in before] == ["11.00", "5.00"]
    assert [row["pockets"]["cash"]["balance"] for row in after] == ["16.00", "0.00"]
    assert paid["amount_due"] == "0.00"


@pytest.mark.parametrize(
    ("immediate", "levels"), [(True, ["Gold", "Gold", "Silver"]), (False, ["Silver", "Gold", "Silver"])]
)
async def test_tiers_follow_value_units_at_reviews(levels: list[str], *, immediate: bool) -> None:
    """31 units make Gold, at once or at the review; then it holds for the whole next interval, and 0 units end it."""
    async with spa() as here:
        tiers: Json = {**(await here.get())["tiers"], "starts": "2026-01-01", "immediate_advance": immediate}
        await here.put("/tiers", **tiers)
        await here.contacts("ann")
        await here.buy("p", "310.00")
        seen = [(await here.get("/contacts/ann"))["tier"]["name"]]
        for as_of in ("2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"):
            await here.lab.client.post("/crm/run", json={"as_of": as_of})
            seen.append((await here.get("/contacts/ann"))["tier"]["name"])
        late = await here.put("/tiers", **{**tiers, "months": 6})

    assert seen == levels
    assert refused(late) == (409, "tiers")


async def test_unspent_awards_expire_on_their_day_once() -> None:
    """Usable to the end of its last day, an award is gone with the run of the next, and not a second time."""
    async with spa() as here:
        await here.open("default")
        await here.offer("may", "cashback", {"percent": "10", "expires_on": "2026-05-31"})
        await here.contacts("ann")
        await here.buy("p", "100.00")
        await here.buy("q", "20.00", wallet_spend="7.00")
        runs = [
            (await here.lab.client.post("/crm/run", json={"as_of": f"{day}T00:00:00Z"})).json()["businesses"]["spa"]
            for day in ("2026-05-31", "2026-06-01", "2026-06-02")
        ]

    assert [[row["amount"] for row in run["entries"]] for run in runs] == [[], ["-3.00", "-2.00"], []]


async def test_settlement_charges_who_funds_and_rebates_who_accepts() -> None:
    """An award shared 60/40 with the merchant, less what the merchant accepted; and nothing is settled twice."""
    async with spa() as here:
        await here.open("default")
        shares = [{"party": "business", "percent": "60"}, {"party": "merchant", "percent": "40"}]
        await here.offer("shared", "cashback", {"percent": "5"}, funding=shares)
        await here.contacts("ann")
        await here.buy("p", "100.00", merchant="M")
        await here.buy("q", "3.00", merchant="M", wallet_spend="3.00")
        first = await here.done("/settlements")
        second = await here.done("/settlements")
        listed = (await here.get("/settlements"))["settlements"]

    assert first["lines"] == [
        {"party": "M", "amount": "0.94", "direction": "rebate", "payment_method": "account"},
        {"party": "business", "amount": "3.09", "direction": "charge", "payment_method": "account"},
    ]
    assert second["lines"] == []
    assert listed == [first, second]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": "-1.00"}, "amount"),
        ({"amount": None}, "body"),
        ({"wallet_spend": "200.00"}, "wallet_spend"),
        ({"wallet_spend": "50.00"}, "wallet_spend"),
        ({"classification": "dine-in"}, "classification"),
        ({"at": "2026-03-10T12:00:00"}, "at"),
        ({"at": "2199-01-01T00:00:00Z"}, "at"),
        ({"amount": "0.001"}, "amount"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_purchase_that_makes_no_sense_is_refused(changes: Json, field: str) -> None:
    """It is refused by its field, and not posted."""
    async with spa() as here:
        await here.contacts("ann")
        answer = await here.post("/purchases", **{"id": "p", "contact_id": "ann", "amount": "100.00", **changes})
        missing = await here.lab.client.get(f"{here.path}/purchases/p")

    assert refused(answer) == (422, field)
    assert missing.status_code == 404
