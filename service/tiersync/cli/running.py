"""The verbs that run something: serve, sandbox, demo, send, migrate."""

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tiersync.app import Role
from tiersync.cli.asking import Json, whole
from tiersync.cli.screen import complain, safe
from tiersync.errors import TiersyncError
from tiersync.intake import EventStatus

_ANSWER_CHARS_MAX: Final = 500
_NOT_AUTHENTIC: Final = 401

_port = whole(0, 65_535)


def serve(
    role: Annotated[
        Role, typer.Option(metavar="ROLE", help="What this process does: all, receiver or worker.")
    ] = Role.ALL,
    host: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Address to listen on (TIERSYNC_HOST).")] = None,
    port: Annotated[
        int | None, typer.Option(parser=_port, metavar="PORT", help="Port to listen on (TIERSYNC_PORT).")
    ] = None,
) -> None:
    """Receive webhooks and adjust secondaries, until SIGTERM."""
    import uvloop

    from tiersync import app, settings, telemetry
    from tiersync.cli.filters import naming_the_database

    given: dict[str, Any] = {"host": host, "port": port}
    loaded = settings.load(**{name: value for name, value in given.items() if value is not None})
    telemetry.configure_logging(loaded.log_level, loaded.log_format)
    with naming_the_database(), _naming_the_address(settings.PREFIX, loaded.host, loaded.port):
        uvloop.run(app.serve(loaded, role))


def sandbox(
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Address to listen on (TIERSYNC_SANDBOX_HOST).")
    ] = None,
    port: Annotated[
        int | None, typer.Option(parser=_port, metavar="PORT", help="Port to listen on (TIERSYNC_SANDBOX_PORT).")
    ] = None,
    webhook_url: Annotated[str | None, typer.Option(metavar="URL", help="Where its webhooks go.")] = None,
    webhook_secret: Annotated[str | None, typer.Option(metavar="VALUE", help="The value of their header.")] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the organisation in a file: the same one comes back.")
    ] = None,
) -> None:
    """Serve a Capillary-shaped API with switches for every quirk and fault."""
    from tiersync.sandbox.app import serve as serve_sandbox
    from tiersync.sandbox.settings import PREFIX, load

    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "webhook_url": webhook_url,
        "webhook_secret": webhook_secret,
        "state": state,
    }
    loaded = load(**{name: value for name, value in given.items() if value is not None})
    with _naming_the_address(PREFIX, loaded.host, loaded.port):
        serve_sandbox(loaded)


@contextmanager
def _naming_the_address(prefix: str, host: str, port: int) -> Iterator[None]:
    """Say which settings name the address, where uvicorn ends the process because it cannot listen there."""
    try:
        yield
    except SystemExit as ended:
        if not isinstance(cause := ended.__context__, OSError):
            raise
        why = cause.strerror if isinstance(cause, socket.gaierror) else os.strerror(cause.errno or 0)
        raise TiersyncError(
            f"cannot listen on {host}, port {port}: {why}. Set {prefix}HOST or {prefix}PORT, or --host or --port"
        ) from None


def demo(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Which scenario: a name, a file of your own, or all.")
    ] = "family",
    as_json: Json = False,
) -> None:
    """Play a scenario on service and sandbox: a family follows its primary, through faults and a crash."""
    from tiersync.demo import run

    sys.exit(run(name, as_json=as_json))


def send(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="JSON bodies of webhooks; - is stdin.")],
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where to; by default the service that the settings describe.")
    ] = None,
) -> None:
    """Send webhook bodies to a running service, as Capillary would."""
    import httpx

    from tiersync.cli.filters import configured

    loaded = configured()
    target = url or f"http://{loaded.host}:{loaded.port}/webhooks/capillary"
    headers = {"Content-Type": "application/json"}
    if loaded.webhook_secrets:
        headers[loaded.webhook_header] = loaded.webhook_secrets[0].get_secret_value()
    failed = False
    with httpx.Client(timeout=30, trust_env=False) as client:
        for file in files:
            answer, ok = _post(client, target, file, headers)
            if ok:
                typer.echo(safe(f"{file}: {answer}"))
            else:
                complain(f"{file}: {answer}")
            failed |= not ok
    raise typer.Exit(1 if failed else 0)


def _post(client: Any, target: str, file: str, headers: dict[str, str]) -> tuple[str, bool]:
    import httpx

    try:
        body = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        return f"cannot be read: {error.strerror}", False
    try:
        response = client.post(target, content=body, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"no answer from {target}: {error}. Is `tiersync serve` running there?", False
    hint = " Is TIERSYNC_WEBHOOK_SECRETS what the service has?" if response.status_code == _NOT_AUTHENTIC else ""
    told = f"{response.status_code} {response.text[:_ANSWER_CHARS_MAX]}{hint}"
    if response.is_success and (why := _quarantined(response)):
        return f"{told}: {why}", False
    return told, response.is_success


def _quarantined(response: Any) -> str:
    """Why a body that was taken could not be read; nothing if it could."""
    try:
        answer = response.json()
    except ValueError:
        return ""
    if not isinstance(answer, dict) or answer.get("status") != EventStatus.QUARANTINED:
        return ""
    said = [str(answer[name]) for name in ("reason", "detail") if answer.get(name)]
    return ": ".join(["it is kept, but cannot be read", *said])


def migrate() -> None:
    """Bring the database's schema up to date (serve does so by itself)."""
    from tiersync import app
    from tiersync.cli.filters import configured, naming_the_database
    from tiersync.store import schema

    async def run() -> None:
        async with app.store(configured(), migrate=True):
            pass

    with naming_the_database():
        asyncio.run(run())
    typer.echo(f"The schema is up to date: {schema.newest_version()}.")
