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


async def publish(lab: Lab, **economy: Any) -> None:
    """Start anew with an economy of one source `s` into one account `a`, unless told otherwise, and Ann in it."""
    blank = {"name": "E", "sources": [{"id": "s", "accounts": ["a"]}], "accounts": [{"id": "a"}]}
    answer = await lab.client.put(f"{API}/economy", params={"replace": "true"}, json={**blank, **economy})
    assert answer.status_code == 201, answer.text
    await post(lab, "customers", **ANN)


def behavior(name: str, event: str, *outcomes: Any, **more: Any) -> dict[str, Any]:
    """Build a behaviour; a number stands for so many points from `s`."""
    given = [{"source": "s", "points": each} if isinstance(each, int) else each for each in outcomes]
    return {"id": name, "event": event, "outcomes": given, **more}


async def happen(lab: Lab, event: str, transaction: str, who: str = "ann", **detail: Any) -> dict[str, Any]:
    """Send an event of somebody's that must be taken."""
    answer = await post(lab, "events", external_id=who, events={event: {"transaction_id": transaction, **detail}})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def clock(lab: Lab, to: str) -> None:
    """Move the sandbox's clock."""
    answer = await lab.client.put("/sandbox/clock", json={"now": to})
    assert answer.status_code == 200, answer.text


async def profile(lab: Lab, kind: str = "combined") -> dict[str, Any]:
    """Read Ann's profile."""
    return dict((await lab.client.get(f"{API}/customers/external/ann", params={"profile": kind})).json())
