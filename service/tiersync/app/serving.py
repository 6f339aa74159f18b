"""The process: a socket, the signals, and the service between its start and its end."""

import asyncio
import gc
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn

import tiersync
from tiersync.app.together import Role, service
from tiersync.app.working import is_shared
from tiersync.errors import SettingsError
from tiersync.listening import bounded
from tiersync.settings import Settings, unknown_variables
from tiersync.store.writer import Step


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
    if role is not Role.ALL and not is_shared(settings):
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
