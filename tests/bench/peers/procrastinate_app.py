"""Procrastinate on PostgreSQL: one job for the event, one for each call; receiver and worker in one process."""

import asyncio
import sys
from typing import Any

import uvicorn
from aiohttp import ClientSession, TCPConnector
from procrastinate import App, PsycopgConnector, RetryStrategy
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.bench import world
from tests.bench.peers import job


async def serve(port: int, capillary_url: str, postgres_url: str) -> None:
    """Run the whole service until it is ended."""
    client = ClientSession(capillary_url, headers=job.HEADERS, connector=TCPConnector(limit=job.CALLS))
    app = App(connector=PsycopgConnector(conninfo=postgres_url, max_size=20))
    retry = RetryStrategy(max_attempts=10, exponential_wait=2)

    @app.task(name="adjust", retry=retry)
    async def adjust(customer: int, program: int, tier: str) -> None:
        async with client.post(job.adjust_path(customer), json=job.adjustment(program, tier)) as response:
            response.raise_for_status()
            await response.json()

    @app.task(name="sync", retry=retry)
    async def sync(event: dict[str, Any]) -> None:
        primary, program, tier = job.change(event)
        async with client.get(job.group_path(primary)) as response:
            group = await response.json()
        owed = [{"customer": one, "program": program, "tier": tier} for one in job.secondaries(group)]
        await adjust.batch_defer_async(*owed)

    async def receive(request: Request) -> JSONResponse:
        if request.headers.get("Authorization") != world.SECRET:
            return JSONResponse({"status": "unauthorized"}, 401)
        await sync.defer_async(event=await request.json())
        return JSONResponse({"status": "accepted"})

    web = Starlette(routes=[Route(world.WEBHOOK_PATH, receive, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(web, port=port, access_log=False, log_level="warning"))
    async with client, app.open_async():
        await app.schema_manager.apply_schema_async()
        worker = asyncio.create_task(
            app.run_worker_async(concurrency=job.CALLS, delete_jobs="successful", install_signal_handlers=False)
        )
        await server.serve()
        worker.cancel()


if __name__ == "__main__":
    port, url, postgres = sys.argv[1:]
    with asyncio.Runner() as runner:
        runner.run(serve(int(port), url, postgres))
