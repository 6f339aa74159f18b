"""The service: receiver, operator's routes and the work behind them, on one store."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from enum import StrEnum

from starlette.applications import Starlette
from starlette.routing import Route

import tiersync
from tiersync import receiver
from tiersync.app import working
from tiersync.app.household import beside, policies, purging
from tiersync.app.working import Telling, is_shared
from tiersync.capillary import Capillary
from tiersync.clock import SharedClock, now, unstoppable
from tiersync.console import Brake, Calls, Console, page
from tiersync.errors import SettingsError, StoreUnavailable
from tiersync.settings import Settings, missing_to_serve
from tiersync.store import Commits, Store, database, open_store
from tiersync.store.writer import Step, Timed, untimed
from tiersync.telemetry import Metrics, traces


class Role(StrEnum):
    """What a process does: receive, work, or both."""

    ALL = "all"
    RECEIVER = "receiver"
    WORKER = "worker"


@asynccontextmanager
async def store(
    settings: Settings, *, migrate: bool = False, step: Step = lambda _: None, timed: Timed = untimed
) -> AsyncIterator[Store]:
    """The store alone, for the CLI."""
    url = database.address(settings.database_url)
    limits = database.Limits(settings.database_connections_max, settings.database_statement_s_max)
    async with open_store(
        url,
        commits=Commits(settings.commit_batch_max, settings.commit_gather_s_max),
        migrate=migrate,
        step=step,
        limits=limits,
        timed=timed,
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
        for org, values in settings.by_org().items():
            metrics.scheduled(org, 3600 * values.reconcile_every_h, clock())
        apis: dict[int, Capillary] = {}
        engine = None
        if role is not Role.RECEIVER:
            engine = await working.begin(settings, opened, apis, telling, clock, step, stack)
        wake = working.waking(engine, apis)
        taking = _receiver(settings, opened, telling, wake, clock) if role is not Role.WORKER else None
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
        routes: list[Route] = []
        if taking is not None:
            metrics.gauge("tiersync_deliveries_open", "Deliveries that are being answered.", lambda: taking.taken)
            routes.append(Route("/webhooks/capillary", taking, methods=["POST"]))  # the first one is found soonest
        routes += [*console.routes(), *_page(settings, opened, apis, clock)]
        application = Starlette(routes=routes)
        application.router.redirect_slashes = False  # a sender that does not follow a redirect would lose the event
        yield application


async def _clock(settings: Settings, opened: Store, stack: AsyncExitStack) -> Callable[[], int]:
    """Choose the clock of the work: replicas share the database's, and follow it."""
    if not is_shared(settings):
        alone = unstoppable()
        await opened.reclaim(alone())  # whoever held a claim is gone: this process is the file's only server
        return alone
    clock = SharedClock(opened.clock)
    await clock.follow()
    await stack.enter_async_context(beside(_follow(clock, settings.lease_s / 4), "clock"))
    return clock


async def _follow(clock: SharedClock, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        with suppress(StoreUnavailable):  # it goes on by itself
            await clock.follow()


def _page(settings: Settings, opened: Store, apis: Mapping[int, Capillary], clock: Callable[[], int]) -> list[Route]:
    def calls() -> list[Calls]:
        return [
            Calls(
                org=org,
                held_s=apis[org].gate.closed_s if org in apis else 0.0,
                per_minute_max=values.calls_per_minute_max,
                concurrent_max=values.calls_concurrent_max,
                reconcile_per_minute_max=values.reconcile_calls_per_minute_max,
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


def _signing_keys(settings: Settings) -> list[bytes]:
    try:
        return [receiver.Secrets.signing_key(secret.get_secret_value()) for secret in settings.webhook_signing_secrets]
    except ValueError:
        raise SettingsError(
            "TIERSYNC_WEBHOOK_SIGNING_SECRETS: each must be whsec_ and base64. "
            "Example: TIERSYNC_WEBHOOK_SIGNING_SECRETS=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
        ) from None


def _receiver(
    settings: Settings, opened: Store, telling: Telling, wake: Callable[[int, int], None], clock: Callable[[], int]
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
        now=clock if is_shared(settings) else now,
        monotonic=time.monotonic,
        wake=wake,
        answered=telling.metrics.answered,
        traces=telling.traces,
    )
