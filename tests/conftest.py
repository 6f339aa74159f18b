"""What every test may ask for: a store on a fresh database, a running service, a running sandbox, a port."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp

from tests.contract import sandbox_kit
from tests.contract.store_kit import Hand
from tests.postgres import Postgres, server
from tiersync import app, settings
from tiersync.app import Role
from tiersync.store import Store, database, open_store

WEBHOOK_SECRET = "webhook-secret-of-the-tests"
OPERATOR_TOKEN = "operator-token-of-the-tests"


@dataclass(frozen=True, slots=True)
class Service:
    """A running service. `client` reaches it without a network and sends no credentials by itself."""

    application: ASGIApp
    client: httpx.AsyncClient
    settings: settings.Settings

    async def deliver(self, body: Any, **headers: str) -> httpx.Response:
        """Post one webhook as its authentic sender. `body` is bytes, a stream of bytes, or JSON."""
        sent = {"content": body} if isinstance(body, bytes) or hasattr(body, "__aiter__") else {"json": body}
        return await self.client.post(
            "/webhooks/capillary", headers={"Authorization": WEBHOOK_SECRET, **headers}, **sent
        )

    async def ask(self, path: str, **query: Any) -> httpx.Response:
        """Read from the operator API with its token."""
        return await self.client.get(path, params=query, headers={"Authorization": f"Bearer {OPERATOR_TOKEN}"})


ServiceFactory = Callable[..., AbstractAsyncContextManager[Service]]
Listen = Callable[[ASGIApp], AbstractAsyncContextManager[str]]


@pytest.fixture(autouse=True, scope="session")
def _no_settings_of_this_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the machine's `TIERSYNC_*` variables and its `tiersync.toml` away from every test."""
    empty = tmp_path_factory.mktemp("settings") / "tiersync.toml"
    empty.touch()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(settings.PREFIX)]:
            patch.delenv(name)
        patch.setenv(settings.FILE_VARIABLE, str(empty))
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Run a PostgreSQL server whose fresh databases have the schema already."""
    with server() as running:
        running.execute("CREATE DATABASE migrated")

        async def migrate() -> None:
            async with open_store(database.address(running.url("migrated")), migrate=True):
                pass

        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, migrate()).result()
        running.template = "migrated"
        yield running


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let the files that say so see each kind of database: `DATABASES = ("sqlite", "postgresql")`."""
    marked = any("database_url" in str(mark.args[0]) for mark in metafunc.definition.iter_markers("parametrize"))
    kinds = getattr(metafunc.module, "DATABASES", None)
    if kinds and "database_url" in metafunc.fixturenames and not marked:
        metafunc.parametrize("database_url", kinds, indirect=True)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Name a database of the kind that is asked for: an SQLite file that does not exist yet, or a fresh PostgreSQL."""
    if getattr(request, "param", "sqlite") == "postgresql":
        with request.getfixturevalue("postgres").fresh() as url:
            yield url
    else:
        yield f"sqlite:///{tmp_path / 'tiersync.db'}"


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """Open an empty store."""
    async with open_store(database.address(database_url), migrate=True) as opened:
        yield opened


@pytest.fixture
def hand(store: Store) -> Hand:
    """Give a hand that works on the keys of the store."""
    return Hand(store)


@pytest.fixture
def make_settings(database_url: str) -> Callable[..., settings.Settings]:
    """Make the settings of one org on the fresh database; what is named is set otherwise."""

    def make(**given: Any) -> settings.Settings:
        usual = {
            "database_url": database_url,
            "capillary_url": "http://127.0.0.1:9",  # nobody listens there
            "capillary_username": "till",
            "capillary_password": "password",
            "webhook_secrets": [WEBHOOK_SECRET],
            "operator_token": OPERATOR_TOKEN,
        }
        return settings.load(**{**usual, **given})

    return make


@pytest.fixture
def service(make_settings: Callable[..., settings.Settings]) -> ServiceFactory:
    """Run a service as an async context manager.

    `async with service(body_bytes_max=2048) as running:` is the form; without a `role` it receives and does not work.
    """

    @asynccontextmanager
    async def run(role: Role = Role.RECEIVER, **given: Any) -> AsyncIterator[Service]:
        chosen = make_settings(**given)
        async with app.service(chosen, role) as application:
            transport = httpx.ASGITransport(application)
            async with httpx.AsyncClient(transport=transport, base_url="http://service.test") as client:
                yield Service(application, client, chosen)

    return run


class _Server(uvicorn.Server):
    """uvicorn that leaves the signals to pytest."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@pytest.fixture
def listen() -> Listen:
    """Serve an application on a free loopback port as an async context manager.

    `async with listen(application) as url:` is the form.
    """

    @asynccontextmanager
    async def serve(application: ASGIApp) -> AsyncIterator[str]:
        with socket.create_server(("127.0.0.1", 0)) as port:
            config = uvicorn.Config(application, log_config=None, access_log=False, timeout_graceful_shutdown=1)
            server = _Server(config)
            running = asyncio.create_task(server.serve([port]))
            try:
                async with asyncio.timeout(10):
                    while not server.started:
                        await asyncio.sleep(0.005)
                yield f"http://127.0.0.1:{port.getsockname()[1]}"
            finally:
                server.should_exit = True
                await running

    return serve


@pytest.fixture
async def sandbox() -> AsyncIterator[sandbox_kit.Lab]:
    """Run a sandbox with its example family on a free loopback port."""
    async with sandbox_kit.on_a_port() as lab:
        yield lab
