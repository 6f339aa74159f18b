"""DBOS on PostgreSQL: a durable workflow for the event, a step for each call; receiver and worker in one process."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from aiohttp import ClientSession, TCPConnector
from dbos import DBOS, Queue
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.bench import world
from tests.bench.peers import job

POLL_S = 0.05  # its own default of a second would hold it to 64 workflows a second
QUEUE: list[Queue] = []
CLIENT: list[ClientSession] = []
URL = ""


def client() -> ClientSession:
    """Give the connections; queued workflows run on a loop of DBOS's own, so they are opened there."""
    if not CLIENT:
        CLIENT.append(ClientSession(URL, headers=job.HEADERS, connector=TCPConnector(limit=job.CALLS)))
    return CLIENT[0]


@DBOS.step(retries_allowed=True, max_attempts=10)
async def read_group(primary: int) -> list[int]:
    """Read who is to be adjusted."""
    async with client().get(job.group_path(primary)) as response:
        return job.secondaries(await response.json())


@DBOS.step(retries_allowed=True, max_attempts=10)
async def adjust(customer: int, program: int, tier: str) -> None:
    """Adjust one."""
    async with client().post(job.adjust_path(customer), json=job.adjustment(program, tier)) as response:
        response.raise_for_status()
        await response.json()


@DBOS.workflow()
async def sync(event: dict[str, Any]) -> None:
    """Adjust the group."""
    primary, program, tier = job.change(event)
    for customer in await read_group(primary):
        await adjust(customer, program, tier)


async def receive(request: Request) -> JSONResponse:
    """Answer when the workflow is enqueued."""
    if request.headers.get("Authorization") != world.SECRET:
        return JSONResponse({"status": "unauthorized"}, 401)
    await QUEUE[0].enqueue_async(sync, await request.json())
    return JSONResponse({"status": "accepted"})


def application(postgres_url: str) -> Starlette:
    """Build the whole service."""

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        DBOS(config={"name": "bench", "system_database_url": postgres_url, "log_level": "WARNING"})
        await asyncio.to_thread(DBOS.launch)
        queue = DBOS.register_queue_async("syncs", worker_concurrency=job.CALLS, polling_interval_sec=POLL_S)
        QUEUE.append(await queue)
        yield
        await asyncio.to_thread(DBOS.destroy)

    return Starlette(routes=[Route(world.WEBHOOK_PATH, receive, methods=["POST"])], lifespan=life)


if __name__ == "__main__":
    port, URL, postgres = sys.argv[1:]
    uvicorn.run(application(postgres), port=int(port), access_log=False, log_level="warning")
