"""Reward schemes by HTTP: the defaults, the four ways in, what is visible, and what is refused."""

from tests.contract.crm_kit import awards, refused, spa
from tests.contract.sandbox_kit import in_process


async def test_a_new_business_has_a_scheme_and_four_offers_all_inactive() -> None:
    """Registration, birthday, cashback and referral offers wait in a scheme of the business's name; none is shown."""
    async with in_process(webhook_url=None) as lab:
        made = await lab.client.post("/crm/businesses", json={"name": "Salt & Pine"})
        again = await lab.client.post("/crm/businesses", json={"name": "Salt & Pine"})
        other = await lab.client.post("/crm/businesses", json={"name": "Salt & Pine", "currency": "USD"})
        shown = await lab.client.get("/crm/businesses/salt-pine/app/schemes")

    business = made.json()
    assert (made.status_code, business["id"]) == (201, "salt-pine")
    assert [(row["name"], row["sign_up"]["type"], row["state"]) for row in business["schemes"]] == [
        ("Salt & Pine Scheme", "open_auto", "inactive")
    ]
    assert [(row["id"], row["goal"], row["state"]) for row in business["offers"]] == [
        ("registration", "improve_memberships", "inactive"),
        ("birthday", "increase_spend", "inactive"),
        ("cashback", "increase_spend", "inactive"),
        ("referral", "improve_memberships", "inactive"),
    ]
    assert again.status_code == 200
    assert refused(other) == (409, "id")
    assert shown.json() == {"schemes": []}


async def test_nothing_is_awarded_until_scheme_and_offer_are_active() -> None:
    """An inactive scheme, an inactive offer, and a contact who did not join each keep a purchase unrewarded."""
    async with spa() as here:
        await here.contacts("ann")
        none = awards(await here.buy("1"))
        await here.open("default", "cashback")
        not_joined = awards(await here.buy("2"))
        await here.done("/schemes/default/join", contact_id="ann")
        paid = awards(await here.buy("3"))
        await here.done("/offers/cashback/deactivate")
        over = awards(await here.buy("4"))

    assert [none, not_joined, paid, over] == [{}, {}, {"cashback": "5.00"}, {}]


async def test_an_open_scheme_is_joined_by_registering_or_by_asking() -> None:
    """Auto sign-up comes with registering, self sign-up on asking, asking twice changes nothing, and one may leave."""
    async with spa() as here:
        await here.open("default")
        await here.open("club")
        await here.contacts("ann")
        registered = (await here.get("/contacts/ann"))["schemes"]
        joined = [(await here.done("/schemes/club/join", contact_id="ann"))["new"] for _ in range(2)]
        both = (await here.get("/contacts/ann"))["schemes"]
        await here.done("/schemes/default/leave", contact_id="ann")
        left = (await here.get("/contacts/ann"))["schemes"]

        assert refused(await here.post("/schemes/default/leave", contact_id="ann")) == (422, "contact_id")

    assert (registered, joined, both, left) == (["default"], [True, False], ["default", "club"], ["club"])


async def test_an_inactive_scheme_is_closed() -> None:
    """Nobody joins an inactive scheme, whatever they bring."""
    async with spa() as here:
        await here.contacts("ann")
        await here.done("/schemes/vip/codes", codes=["K1"])

        answers = [
            await here.post(f"/schemes/{name}/join", contact_id="ann", code="K1", email="a@uni.example")
            for name in ("default", "club", "students", "vip")
        ]

    assert [refused(answer) for answer in answers] == [(422, "scheme_id")] * 4


async def test_an_address_in_the_domain_gets_a_link_that_works_once() -> None:
    """Asking is not joining: the verification link is, once; other domains are refused."""
    async with spa() as here:
        await here.open("students", "student-discount")
        await here.contacts("ann", "bob")
        invited = await here.done("/schemes/students/join", contact_id="ann", email="ann@UNI.example")
        before = (await here.get("/contacts/ann"))["schemes"]
        link = invited["verification_link"]

        verified = await here.lab.client.post(link)
        again = await here.lab.client.post(link)
        unknown = await here.lab.client.post("/crm/invitations/made-up")
        others = [
            await here.post("/schemes/students/join", contact_id="bob", email=email)
            for email in ("bob@notuni.example", "bob@x.uni.example")
        ]
        nothing = await here.post("/schemes/students/join", contact_id="bob")
        after = (await here.get("/contacts/ann"))["schemes"]

    assert (invited["state"], before, verified.json()["state"], after) == ("invited", [], "joined", ["students"])
    assert refused(again) == (422, "token")
    assert refused(unknown) == (404, "invitation_id")
    assert [refused(answer) for answer in (*others, nothing)] == [(422, "email")] * 3


async def test_an_imported_code_works_once_and_can_be_viewed_and_deleted() -> None:
    """A used, deleted, expired or unknown code is refused; deleting a used one keeps the member."""
    async with spa() as here:
        await here.open("vip")
        await here.contacts("ann", "bob")
        await here.done("/schemes/vip/codes", codes=["K1", "K2"])
        await here.done("/schemes/vip/codes", codes=["OLD"], until="2026-03-10T12:00:00Z")
        await here.done("/schemes/vip/join", contact_id="ann", code="K1")
        listed = (await here.get("/schemes/vip/codes"))["codes"]
        for code in ("K1", "K2"):
            deleted = await here.lab.client.delete(f"{here.path}/schemes/vip/codes/{code}")
            assert deleted.status_code == 200

        answers = [
            await here.post("/schemes/vip/join", contact_id="bob", code=code) for code in ("K1", "K2", "OLD", "X")
        ]
        missing = await here.post("/schemes/vip/join", contact_id="bob")
        gone = await here.lab.client.delete(f"{here.path}/schemes/vip/codes/K2")
        member = (await here.get("/contacts/ann"))["schemes"]

    assert listed == [
        {"code": "K1", "used_by": "ann"},
        {"code": "K2", "used_by": None},
        {"code": "OLD", "used_by": None},
    ]
    assert [refused(answer) for answer in answers] == [(422, "code")] * 4
    assert "expired" in answers[2].json()["error"]["message"]
    assert (refused(missing), refused(gone)) == ((422, "code"), (404, "code"))
    assert member == ["vip"]


async def test_what_is_defined_later_changes_nothing_that_happened() -> None:
    """Adding schemes and offers keeps wallets, memberships and tiers as they were."""
    async with spa() as here:
        await here.open("default", "registration", "cashback")
        await here.contacts("ann")
        await here.buy("1", "310.00", wallet_spend="3.00")
        before = (await here.get("/contacts/ann"), await here.get("/contacts/ann/wallet"))

        await here.done("/schemes", id="late", name="Late", sign_up={"type": "open_self"})
        await here.done("/offers", id="late", scheme_id="late", name="L", type="cashback", award={"percent": "50"})
        after = (await here.get("/contacts/ann"), await here.get("/contacts/ann/wallet"))

    assert before[0]["tier"]["name"] == "Gold"
    assert after == before


async def test_unknown_ids_are_not_found() -> None:
    """A path to nothing is 404 and names what is missing; a body that names nothing known is 422."""
    async with spa() as here:
        client, path = here.lab.client, here.path
        paths = {
            "business_id": await client.get("/crm/businesses/nowhere"),
            "scheme_id": await client.post(f"{path}/schemes/nowhere/activate"),
            "offer_id": await client.get(f"{path}/offers/nowhere"),
            "contact_id": await client.get(f"{path}/contacts/nobody/wallet"),
            "purchase_id": await client.post(f"{path}/purchases/none/cancel"),
        }
        body = await here.post("/purchases", contact_id="nobody", amount="1.00")
        referral = await here.post("/contacts", id="ann", referral_code="R-nobody")
        oneself = await here.post("/contacts", id="ann", referral_code="R-ann")

    assert [refused(answer) for answer in paths.values()] == [(404, field) for field in paths]
    assert refused(body) == (422, "contact_id")
    assert [refused(answer) for answer in (referral, oneself)] == [(422, "referral_code")] * 2
