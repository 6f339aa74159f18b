"""A year at the spa: from the defaults of a new business to a visit paid with what the first one earned."""

from pathlib import Path

from tests.contract.crm_kit import Spa, awards, spa
from tests.contract.sandbox_kit import in_process


async def test_a_visit_earns_and_the_next_one_spends() -> None:
    """Activated, the defaults award registering, referring and visiting; the till previews, reduces, and settles."""
    async with spa() as here:
        await here.open("default", "registration", "birthday", "cashback", "referral")
        await here.contacts("ann", born="1990-05-20")
        await here.contacts("bob", referral_code="R-ann")

        visit = await here.buy("visit", "85.00", "bob", city="Limassol", classification="visit", merchant="Limassol")
        shown = await here.done("/purchases/preview", contact_id="ann", amount="60.00")
        spent = await here.buy("second", "60.00", "ann", wallet_spend="6.00", merchant="Limassol")
        settled = await here.done("/settlements")
        await here.lab.client.put("/sandbox/clock", json={"now": "2026-05-20T10:00:00Z"})
        birthday = await here.buy("birthday", "30.00", "ann")

    assert awards(visit) == {"cashback": "4.25", "referral": "1.00"}
    assert shown["additional_amount_that_could_be_spent"] == "6.00"
    assert (spent["amount_due"], awards(spent)) == ("54.00", {"cashback": "3.00"})
    assert {row["party"]: (row["direction"], row["amount"]) for row in settled["lines"]} == {
        "business": ("charge", "18.25"),
        "Limassol": ("rebate", "6.00"),
    }
    assert (birthday["instant_discount"], birthday["amount_due"]) == ("6.00", "24.00")


async def test_a_spa_survives_a_restart_with_a_state_file(tmp_path: Path) -> None:
    """The state file brings back definitions, contacts, wallets and open invitations as they were."""
    state = tmp_path / "state.jsonl"
    async with in_process(webhook_url=None, state=state) as lab:
        here = Spa(lab)
        await here.open("default", "registration", "cashback")
        await here.open("students")
        await here.contacts("ann")
        await here.buy("p", "100.00", wallet_spend="5.00")
        link = (await here.done("/schemes/students/join", contact_id="ann", email="a@uni.example"))["verification_link"]
        before = (await here.get(), await here.get("/contacts/ann/wallet"))

    async with in_process(webhook_url=None, state=state) as lab:
        here = Spa(lab)
        after = (await here.get(), await here.get("/contacts/ann/wallet"))
        joined = await lab.client.post(link)

    assert after == before
    assert joined.json()["state"] == "joined"
