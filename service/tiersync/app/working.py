"""The work: the engine, the worker, and each org's API under it."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from tiersync import turn, worker
from tiersync.app.apis import capillary
from tiersync.app.household import beside, clerk, forgetting, owner, reconciler
from tiersync.capillary import Capillary, State
from tiersync.engine import Engine, PgQueuer, WorkQueue
from tiersync.intake import ANY_ORG
from tiersync.settings import Settings
from tiersync.store import Store, database
from tiersync.store.writer import Step
from tiersync.telemetry import Metrics, Traces
from tiersync.watch import Watch


@dataclass(frozen=True, slots=True)
class Telling:
    """How the service says what it does."""

    metrics: Metrics
    traces: Traces

    def called(self, call: str, seconds: float, answer: str) -> None:
        """Hear of a call to Capillary."""
        self.metrics.called(call, seconds, answer)
        self.traces.called(call, seconds, answer)


def is_shared(settings: Settings) -> bool:
    """Say whether several processes may work on the store."""
    return database.is_shared(database.address(settings.database_url))


async def begin(  # noqa: PLR0913 - what the work stands on
    settings: Settings,
    opened: Store,
    apis: dict[int, Capillary],
    telling: Telling,
    clock: Callable[[], int],
    step: Step,
    stack: AsyncExitStack,
) -> Engine:
    """Have the work go on until the stack ends; every org's API is written into `apis`."""
    orgs, metrics = {}, telling.metrics
    watch = Watch(opened, now=clock, monotonic=time.monotonic, every_s=settings.sweep_s)
    for org, values in settings.by_org().items():
        waited = metrics.gate_wait_seconds.labels(org).observe
        budget = opened.budget(org, values.calls_per_minute_max, clock) if values.calls_per_minute_max else None
        api = capillary(values, observe=telling.called, waited=waited, changed=watch.changed, budget=budget)
        stack.push_async_callback(api.close)
        await watch.begin(org, api)
        apis[org] = api
        orgs[org] = turn.Org(api, values.policy, values.attempt_s_max, values.members_max)
        _measure(metrics, org, api)
    await stack.enter_async_context(beside(watch.run(), "watch"))
    await stack.enter_async_context(beside(clerk(settings, opened, clock, step=step).serve(settings.sweep_s), "jobs"))
    comparing = reconciler(settings, opened, apis, clock, metrics.compared, step=step)
    await stack.enter_async_context(beside(comparing.serve(settings.sweep_s), "reconcile"))
    await stack.enter_async_context(beside(forgetting(settings, opened, clock), "retention"))
    working = worker.Worker(
        store=opened,
        orgs=orgs,
        schedule=settings.schedule,
        limits=worker.Limits(
            settings.lease_s,
            settings.plan_batch_max,
            settings.owed_batch_max,
            settings.key_calls_concurrent_max,
            settings.settle_batch_max,
            settings.settle_s_max,
            settings.turn_s_max,
        ),
        owner=owner(),
        now=clock,
        monotonic=time.monotonic,
        dice=random.random,
        settled=metrics.settled,
        traces=telling.traces,
        repaired=metrics.compared,
        step=step,
    )
    engine: Engine
    if is_shared(settings):
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
    await stack.enter_async_context(beside(working.keep_leases(asyncio.sleep), "leases"))
    await stack.enter_async_context(beside(working.settle_late(asyncio.sleep), "settle"))
    engine.start()
    stack.push_async_callback(engine.stop, settings.shutdown_s_max)
    stack.callback(working.wind_down)
    return engine


def waking(engine: Engine | None, apis: Mapping[int, Capillary]) -> Callable[[int, int], None]:
    """Tell the engine of (key, org): not while the org is paused, for then the sweep finds the key afterwards."""

    def wake(key: int, org: int) -> None:
        api = apis.get(org) or apis.get(ANY_ORG)
        if engine is not None and not (api is not None and api.paused):
            engine.wake(key, org)

    return wake


_BREAKER_STATES: Final = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


def _measure(metrics: Metrics, org: int, api: Capillary) -> None:
    metrics.gate_closed_seconds.labels(org).set_function(lambda: api.gate.closed_s)
    metrics.calls_open.labels(org).set_function(lambda: api.gate.entered)
    metrics.breaker_state.labels(org).set_function(lambda: _BREAKER_STATES[api.breaker.state])
    metrics.org_paused.labels(org).set_function(lambda: api.paused)
