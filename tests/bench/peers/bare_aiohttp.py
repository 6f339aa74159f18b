"""Bare aiohttp on both sides. It stores nothing and repeats nothing: as fast as plain Python gets, and as forgetful."""

import asyncio
import sys
from typing import Any

import uvloop
from aiohttp import ClientSession, TCPConnector, web

from tests.bench import world
from tests.bench.peers import job


async def application(capillary_url: str) -> web.Application:
    """Build the whole service."""
    client = ClientSession(capillary_url, headers=job.HEADERS, connector=TCPConnector(limit=job.CALLS))
    running: set[asyncio.Task[None]] = set()

    async def adjust(customer: int, program: int, tier: str) -> None:
        async with client.post(job.adjust_path(customer), json=job.adjustment(program, tier)) as response:
            response.raise_for_status()
            await response.json()

    async def sync(event: dict[str, Any]) -> None:
        primary, program, tier = job.change(event)
        async with client.get(job.group_path(primary)) as response:
            group = await response.json()
        await asyncio.gather(*(adjust(customer, program, tier) for customer in job.secondaries(group)))

    async def receive(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != world.SECRET:
            return web.json_response({"status": "unauthorized"}, status=401)
        task = asyncio.create_task(sync(await request.json()))
        running.add(task)
        task.add_done_callback(running.discard)
        return web.json_response({"status": "accepted"})

    found = web.Application()
    found.router.add_post(world.WEBHOOK_PATH, receive)
    return found


if __name__ == "__main__":
    port, url, *_ = sys.argv[1:]
    uvloop.install()
    web.run_app(application(url), host="127.0.0.1", port=int(port), access_log=None, print=None)
