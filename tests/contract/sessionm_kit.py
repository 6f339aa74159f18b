"""What the tests of the SessionM face stand on: the coffee club with Ann in it, and her calls."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.contract.sandbox_kit import Lab, in_process

API = "/sessionm/api/1.0"
ANN = {"external_id": "ann"}


@asynccontextmanager
async def coffee_club() -> AsyncIterator[Lab]:
    """Run a sandbox with the coffee club, and Ann in it."""
    async with in_process(webhook_url=None) as running:
        await post(running, "customers", external_id="ann", email="ann@example.com")
        yield running


async def post(lab: Lab, path: str, **body: Any) -> httpx.Response:
    """Post to the API."""
    return await lab.client.post(f"{API}/{path}", json=body)


async def login(lab: Lab, transaction: str, **detail: Any) -> httpx.Response:
    """Send a sign-in of Ann's."""
    return await post(lab, "events", **ANN, events={"web_login": {"transaction_id": transaction, **detail}})


async def buy(lab: Lab, transaction: str, **amounts: str) -> httpx.Response:
    """Send a purchase of Ann's, or send it again."""
    items = [{"id": name, "amount": amount} for name, amount in amounts.items()]
    return await post(lab, "transactions", **ANN, transaction_id=transaction, items=items)


async def deposit(lab: Lab, *lines: Mapping[str, Any], **body: Any) -> httpx.Response:
    """Put points into Ann's accounts, from `service` into `status` unless told otherwise."""
    blank = {"point_source_id": "service", "point_account_id": "status", "amount": 10}
    return await post(lab, "user_points/deposit", **ANN, deposit_details=[{**blank, **line} for line in lines], **body)


async def balances(lab: Lab) -> dict[str, int]:
    """Read Ann's balances."""
    answer = await post(lab, "user_points/balance", **ANN)
    return {row["point_account_id"]: row["available_balance"] for row in answer.json()["payload"]["details"]}


async def tier(lab: Lab) -> str:
    """Read Ann's level in the coffee club."""
    profile = (await lab.client.get(f"{API}/customers/external/ann")).json()
    return str(profile["tier_levels"][0]["tier_overview"]["name"])
