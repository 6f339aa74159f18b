"""Reward offers by HTTP: each goal and type, targeting, limits, the three resolutions and both filters."""

from typing import Any

import pytest

from tests.contract.crm_kit import Json, awards, refused, spa

FIVE = {"amount": "5.00"}
TEN_OFF = {"percent": "10", "kind": "instant_discount"}
MASSAGE = [{"id": "1", "product": "massage", "amount": "60.00"}, {"id": "2", "product": "tea", "amount": "40.00"}]


async def test_sign_up_pays_once_when_one_gets_in() -> None:
    """Registration pays in an open scheme, the code in a closed one, and coming back pays nothing."""
    async with spa() as here:
        await here.open("default", "registration")
        await here.open("vip", "vip-welcome")
        await here.contacts("ann")
        registered = await here.commerce()
        await here.done("/schemes/vip/codes", codes=["K1", "K2"])
        welcome = awards(await here.done("/schemes/vip/join", contact_id="ann", code="K1"))
        await here.done("/schemes/vip/leave", contact_id="ann")
        back = awards(await here.done("/schemes/vip/join", contact_id="ann", code="K2"))

    assert (registered, welcome, back) == ("5.00", {"vip-welcome": "20.00"}, {})


async def test_a_referral_pays_the_referrer_for_the_first_purchase() -> None:
    """Nothing at registration, one euro to the referrer with the first purchase, nothing with the second."""
    async with spa() as here:
        await here.open("default", "referral")
        await here.put("/settings", resolution="best")
        await here.contacts("ann")
        await here.contacts("bob", referral_code="R-ann")
        balances = [await here.commerce()]
        for name in ("1", "2"):
            await here.buy(name, contact="bob")
            balances.append(await here.commerce())

    assert balances == ["0.00", "1.00", "1.00"]


async def test_a_complete_profile_pays_once() -> None:
    """The update that makes the profile complete is paid; clearing and filling in again is not."""
    async with spa() as here:
        await here.open("default")
        await here.offer("complete", "profile_completion", FIVE, required=["email", "phone", "born"])
        await here.contacts("ann", email="a@example.com", born="1990-05-20")
        paid = [
            awards((await here.put("/contacts/ann/profile", phone=phone)).json()) for phone in ("+357", None, "+358")
        ]

    assert paid == [{"complete": "5.00"}, {}, {}]


async def test_a_thank_you_gift_answers_its_achievement() -> None:
    """The achievement it names is rewarded, another one is not, and the same one again only repeats."""
    async with spa() as here:
        await here.open("default")
        await here.offer("thanks", "thank_you_gift", FIVE, achievement="five-years")
        await here.contacts("ann")
        other = awards(await here.done("/achievements", id="a0", contact_id="ann", name="one-year"))
        first = awards(await here.done("/achievements", id="a1", contact_id="ann", name="five-years"))
        again = await here.done("/achievements", id="a1", contact_id="ann", name="five-years")
        taken = await here.post("/achievements", id="a1", contact_id="ann", name="one-year")
        balance = await here.commerce()

    assert refused(taken) == (409, "id")
    assert (other, first, again["repeated"], balance) == ({}, {"thanks": "5.00"}, True, "5.00")


async def test_a_lottery_draws_among_members_who_bought() -> None:
    """Winners bought within the terms, win once each, the same seed draws the same, and one draw is all there is."""
    async with spa() as here:
        await here.open("default")
        await here.offer("raffle", "lottery", FIVE, lottery={"winners": 1, "min_total": "50.00"})
        await here.contacts("ann", "bob", "cem", "dan")
        for name, amount in (("ann", "100.00"), ("bob", "100.00"), ("cem", "10.00")):
            await here.buy(name, amount, name)

        drawn = await here.done("/offers/raffle/draws", seed=1)
        again = await here.post("/offers/raffle/draws", seed=1)
        balances = {name: await here.commerce(name) for name in ("ann", "bob", "cem", "dan")}

    (winner,) = drawn["winners"]
    assert winner in {"ann", "bob"}
    assert balances == {name: "5.00" if name == winner else "0.00" for name in balances}
    assert refused(again) == (409, "offer")


async def test_instant_discounts_come_off_the_bill() -> None:
    """The birthday discount holds on the day only, the products discount on its products only; the wallet stays."""
    async with spa() as here:
        await here.open("default", "birthday")
        await here.offer("massages", "products_discount", {"percent": "50", "products": ["massage"]})
        await here.contacts("ann", born="1990-03-11")
        before = await here.buy("1")
        await here.lab.client.put("/sandbox/clock", json={"advance": {"days": 1}})
        birthday = await here.buy("2")
        basket = await here.buy("3", lines=MASSAGE)
        wallet = await here.commerce()

    bills = [(row["instant_discount"], row["amount_due"]) for row in (before, birthday, basket)]
    assert bills == [("0.00", "100.00"), ("20.00", "80.00"), ("50.00", "50.00")]
    assert wallet == "0.00"


@pytest.mark.parametrize(
    ("targeting", "matching", "others"),
    [
        ({"segments": ["gold"]}, {"contact": "ann"}, [{"contact": "bob"}]),
        ({"locations": ["Limassol"]}, {"city": "Limassol"}, [{"city": "Nicosia"}, {}]),
        ({"classifications": ["visit"]}, {"classification": "visit"}, [{"classification": "delivery"}, {}]),
        (
            {"hours": {"start": "17:00", "end": "19:00"}},
            {"at": "2026-03-10T17:00:00Z"},
            [{"at": "2026-03-10T16:59:00Z"}, {"at": "2026-03-10T19:00:00Z"}],
        ),
        ({"days": [2]}, {"at": "2026-03-10T12:00:00Z"}, [{"at": "2026-03-11T12:00:00Z"}]),
        ({"pass": "silver pass"}, {"contact": "ann"}, [{"contact": "bob"}]),
        ({"occasion": "name_day"}, {"contact": "ann"}, [{"contact": "bob"}]),
        ({"min_amount": "100.00"}, {}, [{"amount": "99.99"}]),
    ],
)
async def test_targeting_decides_who_is_awarded(targeting: Json, matching: Json, others: list[Json]) -> None:
    """An offer is awarded where its targeting holds, and nowhere else."""
    async with spa() as here:
        await here.open("default")
        await here.offer("happy", "happy_hour", FIVE, targeting=targeting)
        await here.contacts("ann", segments=["gold"], passes=["silver pass"], name_day="2000-03-11")
        await here.contacts("bob", segments=["new"], name_day="2000-08-15")
        await here.lab.client.put("/sandbox/clock", json={"advance": {"days": 1}})
        paid = awards(await here.buy("match", **matching))
        unpaid = [awards(await here.buy(f"other-{number}", **more)) for number, more in enumerate(others)]

    assert paid == {"happy": "5.00"}
    assert unpaid == [{}] * len(others)


async def test_the_app_shows_live_offers_featured_first() -> None:
    """Only active offers of active schemes that are available now are shown, to members, the featured ones on top."""
    async with spa() as here:
        await here.open("default", "cashback")
        await here.offer("top", "cashback", {"percent": "1"}, featured=True, hero="hero.png")
        await here.offer("later", "cashback", {"percent": "1"}, available_from="2026-03-11T00:00:00Z")
        await here.offer("over", "cashback", {"percent": "1"}, available_to="2026-03-10T12:00:00Z")
        await here.contacts("ann")
        await here.done("/offers/quiet-hours/activate")
        shown = (await here.get("/app/offers", contact_id="ann"))["offers"]

    assert [row["id"] for row in shown] == ["top", "cashback"]
    assert shown[0]["avatar"] == "hero.png"


RESOLUTIONS: list[tuple[Json, str, dict[str, str], str]] = [
    ({}, "0.00", {"a": "1.20", "b": "0.80"}, "3.50"),
    ({"best_instant_discount_only": True}, "0.00", {"a": "1.20", "b": "0.80"}, "2.00"),
    ({"resolution": "best"}, "0.00", {}, "2.00"),
    ({"resolution": "best_per_scheme"}, "0.00", {"a": "1.20"}, "2.00"),
    ({"no_award_while_spending": True}, "1.00", {}, "3.50"),
    ({"no_award_while_spending": True, "best_instant_discount_only": True}, "1.00", {}, "2.00"),
    ({"no_award_while_spending": True}, "0.00", {"a": "1.20", "b": "0.80"}, "3.50"),
]


@pytest.mark.parametrize(("chosen", "spend", "cashback", "discount"), RESOLUTIONS)
async def test_rewards_are_resolved_as_set(chosen: Json, spend: str, cashback: dict[str, str], discount: str) -> None:
    """All, the best, or the best of each scheme; with and without each filter, as in the worked example."""
    async with spa() as here:
        await here.open("default")
        await here.open("club")
        offers: list[tuple[str, str, str, str]] = [
            ("a", "default", "cashback", "1.20"),
            ("b", "default", "cashback", "0.80"),
            ("c", "club", "monetary_discount", "2.00"),
            ("d", "club", "monetary_discount", "1.50"),
        ]
        for name, scheme, kind, amount in offers:
            await here.done("/offers", id=name, scheme_id=scheme, name=name, type=kind, award={"amount": amount})
            await here.done(f"/offers/{name}/activate")
        await here.contacts("ann")
        await here.done("/schemes/club/join", contact_id="ann")
        await here.done("/contacts/ann/wallet/transactions", id="w", kind="credit", pocket="commerce", amount="9.00")
        await here.put("/settings", **chosen)

        bill = await here.buy("1", wallet_spend=spend)

    assert (awards(bill), bill["instant_discount"]) == (cashback, discount)


@pytest.mark.parametrize(("pocket", "awarded"), [("commerce", {}), ("cash", {"cashback": "2.50"})])
async def test_paying_with_ones_own_money_is_no_spending_of_rewards(pocket: str, awarded: dict[str, str]) -> None:
    """Where spending rewards forbids cashback, a purchase paid out of the cash pocket still gets it."""
    async with spa() as here:
        await here.open("default", "cashback")
        await here.put("/settings", no_award_while_spending=True)
        await here.contacts("ann")
        await here.done("/contacts/ann/wallet/transactions", id="w", kind="credit", pocket=pocket, amount="9.00")

        bill = await here.buy("1", "50.00", wallet_spend="9.00", pocket=pocket)

    assert (awards(bill), bill["amount_due"]) == (awarded, "41.00")


async def test_a_return_is_judged_by_the_settings_of_its_day() -> None:
    """Changing the resolution after a purchase does not change what a return of it takes back."""
    async with spa() as here:
        await here.open("default", "cashback")
        await here.offer("more", "cashback", {"percent": "10"})
        await here.contacts("ann")
        await here.buy("1", lines=MASSAGE)
        await here.put("/settings", resolution="best")

        back = await here.done("/purchases/1/returns", id="r", lines=[{"id": "2", "amount": "40.00"}])

    assert {row["offer_id"]: row["amount"] for row in back["entries"]} == {"cashback": "-2.00", "more": "-4.00"}


async def test_a_spend_condition_restricts_time_and_place() -> None:
    """An award under a condition of one's own pays in its hours and at its place only; the condition is listed."""
    async with spa() as here:
        await here.open("default")
        condition = {"id": "calm", "name": "Calm", "days": [2], "hours": [9, 12], "locations": ["Limassol"]}
        await here.done("/spend-conditions", **condition)
        await here.offer("o", "cashback", {"percent": "10", "spend_condition": "calm"})
        await here.contacts("ann")
        await here.buy("1", city="Nicosia")
        spendable = [
            (await here.done("/purchases/preview", contact_id="ann", amount="50.00", at=at, city=city))[
                "additional_amount_that_could_be_spent"
            ]
            for at, city in [
                ("2026-03-17T09:00:00Z", "Limassol"),
                ("2026-03-17T12:00:00Z", "Limassol"),
                ("2026-03-18T09:00:00Z", "Limassol"),
                ("2026-03-17T09:00:00Z", "Nicosia"),
            ]
        ]
        wrong = await here.post("/spend-conditions", id="x", name="X", hours=[12, 9])
        listed = [row["id"] for row in (await here.get())["spend_conditions"]]

    assert spendable == ["10.00", "0.00", "0.00", "0.00"]
    assert wrong.status_code == 422
    assert listed == ["spend-anywhere", "massages", "weekdays", "calm"]


async def test_an_offer_that_was_active_is_changed_in_looks_only() -> None:
    """Before activation anything can change; afterwards what is displayed can, and what is awarded cannot."""
    async with spa() as here:
        body: dict[str, Any] = {"scheme_id": "club", "name": "N", "type": "cashback", "award": {"percent": "5"}}
        await here.done("/offers", id="o", **body)
        drafted = await here.put("/offers/o", **{**body, "award": {"percent": "7"}})
        await here.done("/offers/o/activate")

        renamed = await here.put("/offers/o", **{**body, "award": {"percent": "7"}, "name": "New", "featured": True})
        changed = await here.put("/offers/o", **{**body, "award": {"percent": "9"}})

    assert (drafted.status_code, renamed.json()["name"], renamed.json()["state"]) == (200, "New", "active")
    assert refused(changed) == (409, "offer")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"scheme_id": "nowhere"}, "scheme_id"),
        ({"award": {"percent": "5", "spend_condition": "nowhere"}}, "spend_condition_id"),
        ({"award": {"percent": "-5"}}, "award.percent"),
        ({"award": {"percent": "5", "amount": "5.00"}}, "award"),
        ({"type": "lottery"}, "body"),
        ({"type": "products_discount"}, "body"),
        ({"funding": [{"party": "merchant", "percent": "60"}]}, "body"),
        ({"available_from": "2026-02-01T00:00:00Z", "available_to": "2026-01-01T00:00:00Z"}, "body"),
        ({"type": "raffle"}, "type"),
    ],
)
async def test_an_offer_that_makes_no_sense_is_refused(changes: Json, field: str) -> None:
    """What contradicts itself or names nothing known is refused by its field, and not added."""
    async with spa() as here:
        body = {"id": "o", "scheme_id": "club", "name": "N", "type": "cashback", "award": TEN_OFF}
        answer = await here.post("/offers", **{**body, **changes})
        offers = (await here.get())["offers"]

    assert refused(answer) == (422, field)
    assert "o" not in [row["id"] for row in offers]
