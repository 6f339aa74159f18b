"""The only place where the parts meet, and the only one that names the clock, the dice and the network."""

import asyncio
import gc
import os
import random
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import tiersync
from tiersync import jobs, receiver, reconcile, retention, worker
from tiersync.capillary import (
    Basic,
    Breaks,
    Budget,
    Capillary,
    Gate,
    HttpxTransport,
    Limits,
    Line,
    OAuth,
    PyreqwestTransport,
    State,
    Transport,
)
from tiersync.clock import SharedClock, unstoppable
from tiersync.console import Brake, Calls, Console, page
from tiersync.engine import Engine, PgQueuer, WorkQueue
from tiersync.errors import SettingsError, StoreUnavailable
from tiersync.fanout import Policy
from tiersync.intake import EventStatus
from tiersync.listening import bounded
from tiersync.settings import OrgSettings, Settings, missing_to_serve, unknown_variables
from tiersync.store import Job, Store, database, open_store
from tiersync.store.writer import Step, Timed, untimed
from tiersync.telemetry import Metrics, Traces, traces
from tiersync.watch import Watch

Observe = Callable[[str, float, str], None]


class Role(StrEnum):
    """What a process does: receive, work, or both."""

    ALL = "all"
    RECEIVER = "receiver"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Telling:
    """How the service says what it does."""

    metrics: Metrics
    traces: Traces

    def called(self, call: str, seconds: float, answer: str) -> None:
        """Hear of a call to Capillary."""
        self.metrics.called(call, seconds, answer)
        self.traces.called(call, seconds, answer)


def now() -> int:
    """Epoch milliseconds of this machine."""
    return time.time_ns() // 1_000_000


def policies(settings: Settings) -> Mapping[int, Policy]:
    """Each org's policies."""
    return {org: values.policy for org, values in settings.by_org().items()}


def clerk(
    settings: Settings, opened: Store, clock: Callable[[], int], told: Callable[[Job], None] = lambda _: None
) -> jobs.Clerk:
    """Whoever works on stored jobs in this process."""
    return jobs.Clerk(
        opened, policies(settings), purging(settings), owner=_owner(), now=clock, sleep=asyncio.sleep, told=told
    )


def purging(settings: Settings) -> jobs.Limits:
    """What a purge spares."""
    echo_s = max(values.echo_window_s for values in settings.by_org().values())
    return jobs.Limits(settings.lease_s, settings.duplicates_days, echo_s, settings.purge_batch_max)


def reconciler(
    settings: Settings,
    opened: Store,
    apis: Mapping[int, Capillary],
    clock: Callable[[], int],
    counted: Callable[[str, int], None] = lambda _name, _count: None,
    told: Callable[[Job, reconcile.Findings], None] = lambda _job, _found: None,
) -> reconcile.Reconciler:
    """Whoever compares groups with their primaries in this process."""
    orgs = {
        org: reconcile.Org(
            apis[org],
            values.policy,
            values.attempt_s_max,
            values.members_max,
            values.reconcile_calls_per_minute_max,
            values.reconcile_every_h,
            values.reconcile_keys_max,
        )
        for org, values in settings.by_org().items()
    }
    return reconcile.Reconciler(
        opened,
        orgs,
        owner=_owner(),
        lease_s=settings.lease_s,
        now=clock,
        monotonic=time.monotonic,
        sleep=asyncio.sleep,
        counted=counted,
        told=told,
    )


def _owner() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def capillary(
    values: OrgSettings,
    *,
    observe: Observe = lambda *_: None,
    waited: Callable[[float], None] = lambda _: None,
    changed: Callable[[], None] = lambda: None,
    budget: Budget | None = None,
) -> Capillary:
    """One org's API, with credentials, limits and connections of its own.

    `observe` hears of each call (its name, its seconds, how it was answered), `waited` how long each was held back,
    `changed` of the breaker.
    """
    url = str(values.capillary_url).rstrip("/")
    transport = _transport(values)
    auth: Basic | OAuth
    if values.capillary_key and values.capillary_secret:
        auth = OAuth(
            transport=transport,
            url=url,
            key=values.capillary_key,
            secret=values.capillary_secret.get_secret_value(),
            timeout_s=values.call_s_max,
            now=time.monotonic,
        )
    else:
        password = values.capillary_password.get_secret_value() if values.capillary_password else ""
        auth = Basic(values.capillary_username or "", password)
    return Capillary(
        url=url,
        source=values.capillary_source,
        transport=transport,
        auth=auth,
        gate=Gate(
            concurrent_max=values.calls_concurrent_max,
            per_minute_max=values.calls_per_minute_max,
            now=time.monotonic,
            sleep=asyncio.sleep,
            waited=waited,
            budget=budget,
        ),
        limits=Limits(
            values.call_s_max,
            values.attempt_s_max,
            values.burst_tries_max,
            Breaks(
                values.breaker_failures_max, values.breaker_pause_s, values.breaker_pause_s_max, values.attempt_s_max
            ),
        ),
        now=time.monotonic,
        sleep=asyncio.sleep,
        observe=observe,
        changed=changed,
    )


def _transport(values: OrgSettings) -> Transport:
    line = Line(
        connections_max=values.calls_concurrent_max,
        connect_s_max=values.connect_s_max,
        response_bytes_max=values.response_bytes_max,
        proxy=str(values.capillary_proxy.get_secret_value()) if values.capillary_proxy else None,
        ca_file=values.capillary_ca_file,
    )
    try:
        return PyreqwestTransport(line) if values.transport == "pyreqwest" else HttpxTransport(line)
    except (OSError, ValueError) as error:
        raise SettingsError(f"TIERSYNC_CAPILLARY_CA_FILE: there are no authorities to trust: {error}") from None


@asynccontextmanager
async def store(
    settings: Settings, *, migrate: bool = False, step: Step = lambda _: None, timed: Timed = untimed
) -> AsyncIterator[Store]:
    """The store alone, for the CLI."""
    url = database.address(settings.database_url)
    limits = database.Limits(settings.database_connections_max, settings.database_statement_s_max)
    async with open_store(
        url, batch_max=settings.commit_batch_max, migrate=migrate, step=step, limits=limits, timed=timed
    ) as opened:
        yield opened


@asynccontextmanager
async def service(settings: Settings, role: Role = Role.ALL, step: Step = lambda _: None) -> AsyncIterator[Starlette]:
    """The running service as an ASGI application; it ends with the block.

    Raises `SettingsError`, `StoreBusy` or `StoreUnavailable` before anything is served. `step` hears the name of each
    point that the work passes.
    """
    if missing := missing_to_serve(settings, receives=role is not Role.WORKER, works=role is not Role.RECEIVER):
        raise SettingsError("\n".join(missing))
    async with AsyncExitStack() as stack:
        stack.enter_context(database.only_server(database.address(settings.database_url)))
        telling = Telling(Metrics(), await stack.enter_async_context(traces(tiersync.__version__, time.time_ns)))
        metrics = telling.metrics
        metrics.build.info({"version": tiersync.__version__, "role": role})
        opened = await stack.enter_async_context(store(settings, migrate=True, step=step, timed=metrics.commit))
        clock = await _clock(settings, opened, stack)
        apis: dict[int, Capillary] = {}
        engine = None
        if role is not Role.RECEIVER:
            engine = await _engine(settings, opened, apis, telling, clock, step, stack)
        taking = _receiver(settings, opened, telling, engine, clock) if role is not Role.WORKER else None
        console = Console(
            store=opened,
            metrics=metrics,
            token=settings.operator_token.get_secret_value() if settings.operator_token else None,
            orgs=settings.by_org(),
            page_rows_max=settings.page_rows_max,
            now=clock,
            version=tiersync.__version__,
        )
        metrics.gauge("tiersync_commits_waiting", "Operations that wait for a commit.", lambda: opened.writer.waiting)
        metrics.gauge("tiersync_store_reads_open", "Reads that run or wait for a place.", lambda: opened.reads_open)
        routes = [*console.routes(), *_page(settings, opened, apis, clock)]
        if taking is not None:
            metrics.gauge("tiersync_deliveries_open", "Deliveries that are being answered.", lambda: taking.taken)

            async def deliver(request: Request) -> JSONResponse:
                return await taking(request)

            routes.append(Route("/webhooks/capillary", deliver, methods=["POST"]))
        application = Starlette(routes=routes)
        application.router.redirect_slashes = False  # a sender that does not follow a redirect would lose the event
        yield application


def _is_shared(settings: Settings) -> bool:
    return database.is_shared(database.address(settings.database_url))


async def _clock(settings: Settings, opened: Store, stack: AsyncExitStack) -> Callable[[], int]:
    """Choose the clock of the work: replicas share the database's, and follow it."""
    if not _is_shared(settings):
        alone = unstoppable()
        await opened.reclaim(alone())  # whoever held a claim is gone: this process is the file's only server
        return alone
    clock = SharedClock(opened.clock)
    await clock.follow()
    await stack.enter_async_context(_beside(_follow(clock, settings.lease_s / 4), "clock"))
    return clock


async def _follow(clock: SharedClock, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        with suppress(StoreUnavailable):  # it goes on by itself
            await clock.follow()


async def _engine(  # noqa: PLR0913 - what the engine stands on; each org's API is written into `apis`
    settings: Settings,
    opened: Store,
    apis: dict[int, Capillary],
    telling: Telling,
    clock: Callable[[], int],
    step: Step,
    stack: AsyncExitStack,
) -> Engine:
    orgs, apis, metrics = {}, {}, telling.metrics
    watch = Watch(opened, now=clock, monotonic=time.monotonic, every_s=settings.sweep_s)
    for org, values in settings.by_org().items():
        waited = metrics.gate_wait_seconds.labels(org).observe
        budget = opened.budget(org, values.calls_per_minute_max, clock) if values.calls_per_minute_max else None
        api = capillary(values, observe=telling.called, waited=waited, changed=watch.changed, budget=budget)
        stack.push_async_callback(api.close)
        await watch.begin(org, api)
        apis[org] = api
        orgs[org] = worker.Org(api, values.policy, values.attempt_s_max, values.members_max)
        _measure(metrics, org, api)
    await stack.enter_async_context(_beside(watch.run(), "watch"))
    await stack.enter_async_context(_beside(clerk(settings, opened, clock).serve(settings.sweep_s), "jobs"))
    comparing = reconciler(settings, opened, apis, clock, metrics.compared)
    await stack.enter_async_context(_beside(comparing.serve(settings.sweep_s), "reconcile"))
    await stack.enter_async_context(_beside(_forgetting(settings, opened, clock), "retention"))
    working = worker.Worker(
        store=opened,
        orgs=orgs,
        schedule=settings.schedule,
        limits=worker.Limits(
            settings.lease_s,
            settings.plan_batch_max,
            settings.owed_batch_max,
            settings.key_calls_concurrent_max,
            settings.turn_s_max,
        ),
        owner=_owner(),
        now=clock,
        monotonic=time.monotonic,
        dice=random.random,
        settled=metrics.settled,
        traces=telling.traces,
        repaired=metrics.compared,
        step=step,
    )
    engine: Engine
    if _is_shared(settings):
        engine = PgQueuer(
            work=working.turn,
            rebuild=lambda: opened.rebuild(clock(), settings.keys_waiting_max),
            open_queue=opened.open_queue,
            concurrent_max=settings.keys_concurrent_max,
            sweep_s=settings.sweep_s,
            lease_s=settings.lease_s,
        )
    else:
        engine = WorkQueue(
            work=working.turn,
            sweep=opened.sweep,
            now=clock,
            waiting_max=settings.keys_waiting_max,
            concurrent_max=settings.keys_concurrent_max,
            sweep_s=settings.sweep_s,
        )
    metrics.gauge("tiersync_keys_waiting", "Keys that wait in the engine.", lambda: engine.waiting)
    metrics.gauge("tiersync_keys_running", "Keys that are worked on.", lambda: engine.running)
    await stack.enter_async_context(_beside(working.keep_leases(asyncio.sleep), "leases"))
    engine.start()
    stack.push_async_callback(engine.stop, settings.shutdown_s_max)
    stack.callback(working.wind_down)
    return engine


@asynccontextmanager
async def _beside(work: Coroutine[None, None, None], name: str) -> AsyncIterator[None]:
    """Have something go on beside the block; it ends with it."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def _forgetting(settings: Settings, opened: Store, clock: Callable[[], int]) -> Coroutine[None, None, None]:
    done, dead = settings.retention_done_days, settings.retention_dead_days
    return retention.keep_house(
        opened,
        {
            EventStatus.DONE: done,
            EventStatus.IGNORED: done,
            EventStatus.SUPERSEDED: done,
            EventStatus.DEAD: dead,
            EventStatus.QUARANTINED: dead,
        },
        horizon=purging(settings).horizon,
        rows_max=settings.purge_batch_max,
        every_s=settings.retention_s,
        now=clock,
    )


def _page(settings: Settings, opened: Store, apis: Mapping[int, Capillary], clock: Callable[[], int]) -> list[Route]:
    def calls() -> list[Calls]:
        return [
            Calls(
                org=org,
                held_s=apis[org].gate.closed_s if org in apis else 0.0,
                per_minute_max=values.calls_per_minute_max,
                concurrent_max=values.calls_concurrent_max,
            )
            for org, values in settings.by_org().items()
        ]

    return page(
        store=opened,
        token=settings.operator_token.get_secret_value() if settings.operator_token else None,
        session_s_max=settings.session_s_max,
        brake=Brake(settings.sign_in_failures_max, settings.sign_in_wait_s, time.monotonic),
        calls=calls,
        horizon=lambda: purging(settings).horizon(clock()),
        now=clock,
    )


_BREAKER_STATES: Final = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


def _measure(metrics: Metrics, org: int, api: Capillary) -> None:
    metrics.gate_closed_seconds.labels(org).set_function(lambda: api.gate.closed_s)
    metrics.calls_open.labels(org).set_function(lambda: api.gate.entered)
    metrics.breaker_state.labels(org).set_function(lambda: _BREAKER_STATES[api.breaker.state])
    metrics.org_paused.labels(org).set_function(lambda: api.paused)


def _signing_keys(settings: Settings) -> list[bytes]:
    try:
        return [receiver.Secrets.signing_key(secret.get_secret_value()) for secret in settings.webhook_signing_secrets]
    except ValueError:
        raise SettingsError(
            "TIERSYNC_WEBHOOK_SIGNING_SECRETS: each must be whsec_ and base64. "
            "Example: TIERSYNC_WEBHOOK_SIGNING_SECRETS=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
        ) from None


def _receiver(
    settings: Settings, opened: Store, telling: Telling, engine: Engine | None, clock: Callable[[], int]
) -> receiver.Receiver:
    return receiver.Receiver(
        store=opened,
        secrets=receiver.Secrets(
            header=settings.webhook_header,
            values=[secret.get_secret_value().encode() for secret in settings.webhook_secrets],
            signing_keys=_signing_keys(settings),
            signature_s_max=settings.webhook_signature_s_max,
        ),
        orgs=policies(settings),
        limits=receiver.Limits(
            settings.body_bytes_max,
            settings.body_read_s_max,
            settings.deliveries_concurrent_max,
            settings.overload_retry_s,
        ),
        now=clock if _is_shared(settings) else now,
        monotonic=time.monotonic,
        wake=engine.wake if engine is not None else lambda _key, _org: None,
        answered=telling.metrics.answered,
        traces=telling.traces,
    )


class _Server(uvicorn.Server):
    """uvicorn that leaves signals to us: it would raise them again before the store is closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _collect_rarely() -> None:
    """A burst makes much that dies at once and little of it in cycles: looking for those cost a fifth of the CPU."""
    gc.collect()
    gc.freeze()
    # Python's own thresholds are 700, 10, 10. Ten times this one stops the answers for 90 ms every other second.
    gc.set_threshold(5_000, 20, 100)


async def serve(settings: Settings, role: Role = Role.ALL, step: Step = lambda _: None) -> None:
    """Serve until SIGTERM or SIGINT: then stop accepting, finish what is in flight, close the store."""
    log = structlog.get_logger("tiersync")
    if role is not Role.ALL and not _is_shared(settings):
        raise SettingsError(
            f"--role {role}: an SQLite file has one server, which does all. Run without --role, or give every process "
            f"one PostgreSQL database. Example: TIERSYNC_DATABASE_URL=postgresql://tiersync@db.internal/tiersync"
        )
    for line in unknown_variables(os.environ):
        log.warning("settings.unknown", problem=line)
    async with service(settings, role, step) as application:
        server = _Server(
            uvicorn.Config(
                application,
                host=settings.host,
                port=settings.port,
                http=bounded(settings.head_read_s_max, settings.head_bytes_max),
                ws="none",
                log_config=None,
                access_log=False,
                proxy_headers=False,  # nothing here asks who the client is
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=max(1, int(settings.shutdown_s_max)),
            )
        )

        def stop() -> None:
            log.info("service.stopping")
            server.should_exit = True

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        _collect_rarely()
        log.info("service.starting", role=role, host=settings.host, port=settings.port, version=tiersync.__version__)
        await server.serve()
    log.info("service.stopped")
