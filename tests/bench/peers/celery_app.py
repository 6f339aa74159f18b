"""Celery on Redis: a task for the event, one for each call. `serve` starts the receiver and beside it the worker."""

import os
import subprocess
import sys
from typing import Any

import uvicorn
from celery import Celery, Task
from celery import group as together
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from urllib3 import HTTPConnectionPool
from urllib3.util import parse_url

from tests.bench import world
from tests.bench.peers import job

CAPILLARY = parse_url(os.environ.get("BENCH_CAPILLARY", "http://127.0.0.1:9"))
HTTP = HTTPConnectionPool(CAPILLARY.host or "", CAPILLARY.port, maxsize=job.CALLS, block=True, headers=job.HEADERS)

app = Celery("bench", broker=os.environ.get("BENCH_REDIS", "redis://127.0.0.1:9"))
app.conf.update(task_ignore_result=True, task_acks_late=True, worker_prefetch_multiplier=4)


@app.task(name="adjust", autoretry_for=(Exception,), retry_backoff=True, max_retries=10)
def adjust(customer: int, program: int, tier: str) -> None:
    """Adjust one."""
    answer = HTTP.request("POST", job.adjust_path(customer), json=job.adjustment(program, tier))
    if answer.status >= 400:
        raise RuntimeError(answer.status)


@app.task(name="sync", autoretry_for=(Exception,), retry_backoff=True, max_retries=10)
def sync(event: dict[str, Any]) -> None:
    """Adjust the group."""
    primary, program, tier = job.change(event)
    members = job.secondaries(HTTP.request("GET", job.group_path(primary)).json())
    signature: Task = adjust
    together(signature.s(customer, program, tier) for customer in members).apply_async()


async def receive(request: Request) -> JSONResponse:
    """Answer when the task is in Redis."""
    if request.headers.get("Authorization") != world.SECRET:
        return JSONResponse({"status": "unauthorized"}, 401)
    sync.delay(await request.json())
    return JSONResponse({"status": "accepted"})


web = Starlette(routes=[Route(world.WEBHOOK_PATH, receive, methods=["POST"])])


def serve(port: int, capillary_url: str, redis_url: str) -> None:
    """Run receiver and worker until ended."""
    os.environ.update(BENCH_CAPILLARY=capillary_url, BENCH_REDIS=redis_url)
    arguments = ["-A", "tests.bench.peers.celery_app", "worker", "-P", "threads", "-c", "16", "-l", "error"]
    worker = subprocess.Popen([sys.executable, "-m", "celery", *arguments])
    try:
        app.conf.broker_url = redis_url
        uvicorn.run(web, port=port, access_log=False, log_level="warning")
    finally:
        worker.terminate()
        worker.wait(20)


if __name__ == "__main__":
    port_, url, redis = sys.argv[1:]
    serve(int(port_), url, redis)
