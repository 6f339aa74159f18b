"""What goes on beside the trip of a webhook: stored jobs, comparing, forgetting."""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Final

import structlog

from tiersync import jobs, reconcile, retention
from tiersync.capillary import Capillary
from tiersync.fanout import Policy
from tiersync.intake import EventStatus
from tiersync.settings import Settings
from tiersync.store import Job, Store
from tiersync.store.writer import Step

log: Final = structlog.get_logger("tiersync.app")


def policies(settings: Settings) -> Mapping[int, Policy]:
    """Each org's policies."""
    return {org: values.policy for org, values in settings.by_org().items()}


def clerk(
    settings: Settings,
    opened: Store,
    clock: Callable[[], int],
    told: Callable[[Job], None] = lambda _: None,
    step: Step = lambda _: None,
) -> jobs.Clerk:
    """Whoever works on stored jobs in this process."""
    return jobs.Clerk(
        opened,
        policies(settings),
        purging(settings),
        owner=owner(),
        now=clock,
        sleep=asyncio.sleep,
        told=told,
        step=step,
    )


def purging(settings: Settings) -> jobs.Limits:
    """What a purge spares."""
    echo_s = max(values.echo_window_s for values in settings.by_org().values())
    return jobs.Limits(settings.lease_s, settings.duplicates_days, echo_s, settings.purge_batch_max)


def reconciler(  # noqa: PLR0913 - what it stands on
    settings: Settings,
    opened: Store,
    apis: Mapping[int, Capillary],
    clock: Callable[[], int],
    counted: Callable[[str, int], None] = lambda _name, _count: None,
    told: Callable[[Job, reconcile.Findings], None] = lambda _job, _found: None,
    step: Step = lambda _: None,
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
        owner=owner(),
        lease_s=settings.lease_s,
        now=clock,
        monotonic=time.monotonic,
        sleep=asyncio.sleep,
        counted=counted,
        told=told,
        step=step,
    )


def owner() -> str:
    """Name this process as it signs its leases: no other is called so."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def forgetting(settings: Settings, opened: Store, clock: Callable[[], int]) -> Coroutine[None, None, None]:
    """Forget what is older than its retention, for ever."""
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
        sleep=asyncio.sleep,
    )


@asynccontextmanager
async def beside(work: Coroutine[None, None, None], name: str) -> AsyncIterator[None]:
    """Have something go on beside the block; it ends with it."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_tell_failure)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def _tell_failure(task: asyncio.Task[None]) -> None:
    """What goes on beside the service is to go on for ever: nobody waits for it, so nobody else would hear."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("loop.failed", name=task.get_name(), error=type(error).__name__)
