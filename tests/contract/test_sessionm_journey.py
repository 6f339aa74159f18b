"""The use case of the coffee club, step by step as its sequence diagram has it."""

from tests.contract.sandbox_kit import in_process

API = "/sessionm/api/1.0"


async def test_signing_in_qualifies_a_customer_for_the_next_tier() -> None:
    """Signing in earns points in the call that reports it; the third day's call promotes, and the tier can be read."""
    async with in_process(webhook_url=None) as lab:
        created = await lab.client.post(f"{API}/customers", json={"external_id": "ann"})
        user_id = created.json()["user"]["user_id"]
        moves = []
        for day in range(3):
            login = {"web_login": {"transaction_id": f"login-{day}", "qty": "1", "context": {"channel": "web"}}}
            processed = await lab.client.post(f"{API}/events", json={"external_id": "ann", "events": login})
            moves.append([(row["from"], row["to"]) for row in processed.json()["events"][0]["tier_changes"]])
            await lab.client.put("/sandbox/clock", json={"advance": {"days": 1}})

        level = (await lab.client.get(f"{API}/customers/{user_id}/tiers")).json()["tier_levels"][0]

    assert moves == [[], [], [("Bronze", "Silver")]]
    assert (level["tier_overview"]["name"], level["tier_overview"]["rank"]) == ("Silver", 2)
    assert level["tier_progress"] == [{"next": "Gold", "required": 100, "current": 30, "remaining": 70}]
    assert level["join_date"].startswith("2026-03-12")


async def test_points_may_be_deposited_past_the_rules_instead() -> None:
    """The alternative path: a deposit alone brings the promotion, and the profile shows tier and balances."""
    async with in_process(webhook_url=None) as lab:
        await lab.client.post(f"{API}/customers", json={"external_id": "ann"})
        line = {"point_source_id": "service", "point_account_id": "status", "amount": 100}

        answer = await lab.client.post(
            f"{API}/user_points/deposit", json={"external_id": "ann", "deposit_details": [line]}
        )
        profile = (await lab.client.get(f"{API}/customers/external/ann")).json()

    assert answer.json()["payload"]["details"] == [{"point_account_id": "status", "amount": 100}]
    assert profile["tier_levels"][0]["tier_overview"]["name"] == "Gold"
    assert profile["tier_levels"][0]["tier_progress"][0]["next"] is None
    assert profile["point_account_balances"]["summary"] == {"total_points": 125, "life_time_points": 125}
    assert profile["point_account_balances"]["worth"] == {"amount": "0.25", "currency": "EUR"}
