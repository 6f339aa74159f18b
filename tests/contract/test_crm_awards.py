"""Complimentary items, benefits of tiers, filling a scheme, settling by schedule, and starting without the example."""

from typing import Any

import pytest

from tests.contract.crm_kit import Json, refused, spa

TEA = {"kind": "complimentary_item", "item": {"product": "tea", "quantity": 2, "worth": "4.00"}}


def items(wallet: Json) -> list[tuple[str, int]]:
    """Return the complimentary items of a wallet."""
    return [(row["product"], row["quantity"]) for row in wallet["items"]]


async def test_complimentary_items_wait_until_they_are_collected() -> None:
    """A gift of two teas is in the wallet, beside the money; each is handed out once, and a third is refused."""
    async with spa() as here:
        await here.open("default")
        await here.offer("thanks", "thank_you_gift", TEA, achievement="loyal")
        await here.contacts("ann")
        given = await here.done("/achievements", id="a", contact_id="ann", name="loyal")
        wallet = await here.get("/contacts/ann/wallet")
        await here.done("/contacts/ann/wallet/items", id="c1", product="tea")
        again = await here.done("/contacts/ann/wallet/items", id="c1", product="tea")
        left = await here.get("/contacts/ann/wallet")
        too_many = await here.post("/contacts/ann/wallet/items", id="c2", product="tea", quantity=2)
        unknown = await here.post("/contacts/ann/wallet/items", id="c3", product="cake")
        other = await here.post("/contacts/ann/wallet/items", id="c1", product="tea", quantity=2)
        after = await here.get("/contacts/ann/wallet")

    assert [(row["product"], row["quantity"], row["offer_id"]) for row in given["entries"]] == [("tea", 2, "thanks")]
    assert items(wallet) == [("tea", 2)]
    assert wallet["items"][0]["expires"] == "2027-03-11T00:00:00Z"
    assert wallet["pockets"]["commerce"]["balance"] == "0.00"
    assert (again["repeated"], items(left)) == (True, [("tea", 1)])
    assert [refused(each) for each in (too_many, unknown, other)] == [(422, "quantity"), (422, "product"), (409, "id")]
    assert items(after) == [("tea", 1)]


@pytest.mark.parametrize(
    ("cashback", "settings", "spend", "expected"),
    [
        ("3.00", {"resolution": "best"}, "0.00", ({}, [("tea", 2)])),
        ("5.00", {"resolution": "best"}, "0.00", ({"money": "5.00"}, [])),
        ("3.00", {}, "0.00", ({"money": "3.00"}, [("tea", 2)])),
        ("9.00", {"resolution": "best", "no_award_while_spending": True}, "1.00", ({}, [("tea", 2)])),
    ],
)
async def test_an_item_competes_by_its_worth(cashback: str, settings: Json, spend: str, expected: Any) -> None:
    """Tea worth four beats three of cashback and loses to five; it is no cashback, so spending does not forbid it."""
    async with spa() as here:
        await here.open("default")
        await here.offer("money", "cashback", {"amount": cashback})
        await here.offer("tea", "happy_hour", TEA)
        await here.put("/settings", **settings)
        await here.contacts("ann")
        await here.done("/contacts/ann/wallet/transactions", id="w", kind="credit", pocket="commerce", amount="9.00")
        preview = await here.done("/purchases/preview", contact_id="ann", amount="50.00", wallet_spend=spend)
        bill = await here.buy("1", "50.00", wallet_spend=spend)
        wallet = await here.get("/contacts/ann/wallet")
        await here.done("/purchases/1/cancel")
        cancelled = await here.get("/contacts/ann/wallet")

    money = {row["offer_id"]: row["amount"] for row in bill["entries"] if row["kind"] == "earn" and "pocket" in row}
    assert (money, items(wallet)) == expected
    assert preview["total_award"] == money.get("money", "0.00")
    assert items(cancelled) == []


@pytest.mark.parametrize(
    ("kind", "award"),
    [
        ("monetary_discount", TEA),
        ("cashback", TEA),
        ("happy_hour", {"item": {"product": "tea", "worth": "1.00"}}),
        ("happy_hour", {"amount": "1.00", "kind": "complimentary_item"}),
        ("happy_hour", {"kind": "complimentary_item", "item": {"product": "tea"}}),
    ],
)
async def test_an_item_that_makes_no_sense_is_refused(kind: str, award: Json) -> None:
    """An item belongs to awards of its kind, to types that can give one, and has a worth."""
    async with spa() as here:
        answer = await here.post("/offers", id="o", scheme_id="club", name="N", type=kind, award=award)

    assert answer.status_code == 422


async def test_an_item_costs_no_merchant_anything() -> None:
    """Pieces are no money: a settlement after a gift of tea has no line for them."""
    async with spa() as here:
        await here.open("default")
        await here.offer("tea", "happy_hour", TEA)
        await here.contacts("ann")
        await here.buy("1", merchant="M")
        settled = await here.done("/settlements")

    assert settled["lines"] == []


async def test_a_tier_has_benefits_as_soon_as_it_is_reached() -> None:
    """An offer for Gold pays nothing to Silver, nor for the purchase that makes Gold, and everything after it."""
    async with spa() as here:
        await here.open("default")
        await here.offer("gold", "cashback", {"amount": "5.00"}, targeting={"tiers": ["Gold", "Platinum"]})
        await here.contacts("ann")
        paid = await here.paid("1", "2", "3", "4")
        wrong = await here.post(
            "/offers",
            id="x",
            scheme_id="default",
            name="X",
            type="cashback",
            award={"percent": "1"},
            targeting={"tiers": ["Iron"]},
        )

    assert paid == [{}, {}, {}, {"gold": "5.00"}]
    assert refused(wrong) == (422, "tier_id")


async def test_tiers_cannot_lose_a_level_that_offers_are_for() -> None:
    """Before the first contact tiers may change, but not so that an offer is for a tier that is gone."""
    async with spa() as here:
        await here.offer("gold", "cashback", {"amount": "5.00"}, targeting={"tiers": ["Gold"]})
        answer = await here.put("/tiers", levels=[{"name": "Blue", "value_units": 0}])
        kept = (await here.get())["tiers"]["levels"]

    assert refused(answer) == (422, "tier_id")
    assert [row["name"] for row in kept] == ["Silver", "Gold", "Platinum"]


async def test_a_scheme_activated_late_is_filled_on_request() -> None:
    """Those who registered before are in after filling, once, without a sign-up award; self sign-up is not filled."""
    async with spa() as here:
        await here.contacts("ann", "bob")
        early = await here.post("/schemes/default/fill")
        await here.open("default", "registration", "cashback")
        before = (await here.get("/contacts/ann"))["schemes"]
        first = await here.done("/schemes/default/fill")
        second = await here.done("/schemes/default/fill")
        await here.open("club")
        not_auto = await here.post("/schemes/club/fill")
        paid = await here.paid("1")

    assert [refused(early), refused(not_auto)] == [(422, "scheme_id"), (422, "scheme_id")]
    assert (before, first["joined"], second["joined"]) == ([], ["ann", "bob"], [])
    assert paid == [{"cashback": "5.00"}]


async def test_merchants_are_settled_by_schedule() -> None:
    """At the turn of the week what it brought is settled, once, by each one's payment method; quiet weeks are not."""
    async with spa() as here:
        await here.open("default", "cashback")
        await here.put("/settlements/terms", every="week", payment_methods={"M": "bank transfer"})
        await here.contacts("ann")
        await here.buy("1", merchant="M")
        await here.buy("2", merchant="M", wallet_spend="3.00")
        await here.lab.client.put("/sandbox/clock", json={"now": "2026-03-15T23:59:59Z"})
        before = (await here.get("/settlements"))["settlements"]
        await here.lab.client.put("/sandbox/clock", json={"now": "2026-03-16T00:00:00Z"})
        await here.buy("3", merchant="M")
        for quiet in ("2026-03-23T00:00:00Z", "2026-04-16T00:00:00Z"):
            await here.lab.client.put("/sandbox/clock", json={"now": quiet})
            await here.get("/contacts/ann")
        after = (await here.get("/settlements"))["settlements"]

    house = {"party": "business", "direction": "charge", "payment_method": "account"}
    assert before == []
    assert after == [
        {
            "number": 1,
            "period": "2026-03-09",
            "lines": [
                {"party": "M", "amount": "3.00", "direction": "rebate", "payment_method": "bank transfer"},
                {**house, "amount": "10.00"},
            ],
        },
        {"number": 2, "period": "2026-03-16", "lines": [{**house, "amount": "5.00"}]},
    ]


async def test_without_its_examples_the_sandbox_has_no_business() -> None:
    """A reset without examples leaves no business; one that is added then has its defaults."""
    async with spa() as here:
        await here.lab.client.post("/sandbox/reset", params={"example": "false"})
        empty = (await here.lab.client.get("/crm/businesses")).json()["businesses"]
        gone = await here.lab.client.get(here.path)
        await here.lab.client.post("/crm/businesses", json={"id": "spa", "name": "Spa"})
        schemes = [row["name"] for row in (await here.get())["schemes"]]

    assert (empty, gone.status_code, schemes) == ([], 404, ["Spa Scheme"])


async def test_a_sandbox_without_examples_starts_with_no_business() -> None:
    """The setting that leaves out the examples leaves out the spa and the coffee club."""
    async with spa(example=False) as here:
        businesses = (await here.lab.client.get("/crm/businesses")).json()["businesses"]
        economy = (await here.lab.client.get("/sessionm/api/1.0/economy")).json()

    assert (businesses, economy["name"]) == ([], "Bare")
