"""The literal recipe: what a brand would write today from Capillary's guide. It stores nothing.

Starlette's BackgroundTasks answer first and work afterwards; stock httpx makes the calls, tenacity repeats them, one
semaphore bounds them (without it, stock httpx gets stuck).
"""

import asyncio
import hashlib
import sys
from base64 import b64encode
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from tenacity import retry, stop_after_attempt, wait_random_exponential

from tests.bench import world


def application(capillary_url: str, calls_max: int) -> Starlette:
    """The whole service of the recipe."""
    password = hashlib.md5(b"password", usedforsecurity=False).hexdigest()
    credentials = "Basic " + b64encode(f"till.user:{password}".encode()).decode()
    client = httpx.AsyncClient(base_url=capillary_url, headers={"Authorization": credentials}, timeout=8)
    calls = asyncio.Semaphore(calls_max)

    @retry(stop=stop_after_attempt(3), wait=wait_random_exponential(multiplier=0.2, max=1), reraise=True)
    async def call(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        async with calls:
            response = await client.request(method, path, json=body)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        if answer.get("errors"):
            raise RuntimeError(answer["errors"])
        return answer

    async def adjust(customer: int, program: int, tier: str) -> None:
        await call(
            "POST",
            f"/v2/slab/manualSlabAdjustment?source=INSTORE&identifierName=id&identifierValue={customer}",
            {
                "programId": program,
                "slabAction": "UPGRADE",
                "toSlabName": tier,
                "manualSlabActionValidity": "AS_PER_TIER_STRATEGY",
                "reassessTierOnNextActivity": False,
                "slabChangeReason": "group sync",
            },
        )

    async def sync(data: dict[str, Any]) -> None:
        names = {tier["tierNumber"]: tier["tierName"] for tier in data["loyaltyProgramDetails"]["tiers"]}
        tier, primary = names[data["upgradedTierNumber"]], data["customerIdentifiers"]["customerId"]
        group = await call("GET", f"/v2/userGroup2?primaryUserId={primary}")
        secondaries = [
            user["userId"] for user in group["fleetGroupUsers"] if user["active"] and not user["primaryMember"]
        ]
        await asyncio.gather(*(adjust(customer, data["loyaltyProgramId"], tier) for customer in secondaries))

    async def receive(request: Request) -> JSONResponse:
        if request.headers.get("Authorization") != world.SECRET:
            return JSONResponse({"status": "unauthorized"}, 401)
        event = await request.json()
        return JSONResponse({"status": "accepted"}, background=BackgroundTask(sync, event["data"]))

    return Starlette(routes=[Route(world.WEBHOOK_PATH, receive, methods=["POST"])])


if __name__ == "__main__":
    port, url, calls = sys.argv[1:]
    uvicorn.run(application(url, int(calls)), port=int(port), loop="uvloop", access_log=False, log_level="warning")
