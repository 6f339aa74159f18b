"""The verbs that run something: serve, sandbox, demo, send, migrate."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tiersync.app import Role

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]


def serve(
    role: Annotated[Role, typer.Option(help="What this process does.")] = Role.ALL,
    host: Annotated[str | None, typer.Option(help="Address to listen on (TIERSYNC_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (TIERSYNC_PORT).")] = None,
) -> None:
    """Receive webhooks and adjust secondaries, until SIGTERM."""
    import uvloop

    from tiersync import app, settings, telemetry

    given: dict[str, Any] = {"host": host, "port": port}
    loaded = settings.load(**{name: value for name, value in given.items() if value is not None})
    telemetry.configure_logging(loaded.log_level, loaded.log_format)
    uvloop.run(app.serve(loaded, role))


def sandbox(
    host: Annotated[str | None, typer.Option(help="Address to listen on (TIERSYNC_SANDBOX_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (TIERSYNC_SANDBOX_PORT).")] = None,
    webhook_url: Annotated[str | None, typer.Option(help="Where its webhooks go.")] = None,
    webhook_secret: Annotated[str | None, typer.Option(help="The value of their header.")] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the organisation in a file: the same one comes back.")
    ] = None,
) -> None:
    """Serve a Capillary-shaped API with switches for every quirk and fault."""
    from tiersync.sandbox.app import serve as serve_sandbox
    from tiersync.sandbox.settings import load

    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "webhook_url": webhook_url,
        "webhook_secret": webhook_secret,
        "state": state,
    }
    serve_sandbox(load(**{name: value for name, value in given.items() if value is not None}))


def demo(
    name: Annotated[str, typer.Argument(help="Which scenario: a name, a file of your own, or all.")] = "family",
    as_json: Json = False,
) -> None:
    """Play a scenario on service and sandbox: a family follows its primary, through faults and a crash."""
    from tiersync.demo import run

    sys.exit(run(name, as_json=as_json))


def send(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="JSON bodies of webhooks; - is stdin.")],
    url: Annotated[
        str | None, typer.Option(help="Where to; by default the service that the settings describe.")
    ] = None,
) -> None:
    """Send webhook bodies to a running service, as Capillary would."""
    import httpx

    from tiersync import settings

    loaded = settings.load()
    target = url or f"http://{loaded.host}:{loaded.port}/webhooks/capillary"
    headers = {"Content-Type": "application/json"}
    if loaded.webhook_secrets:
        headers[loaded.webhook_header] = loaded.webhook_secrets[0].get_secret_value()
    failed = False
    with httpx.Client(timeout=30, trust_env=False) as client:
        for file in files:
            answer, ok = _post(client, target, file, headers)
            typer.echo(f"{file}: {answer}")
            failed |= not ok
    raise typer.Exit(1 if failed else 0)


def _post(client: Any, target: str, file: str, headers: dict[str, str]) -> tuple[str, bool]:
    import httpx

    try:
        body = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        return f"cannot read it: {error.strerror}", False
    try:
        response = client.post(target, content=body, headers=headers)
    except httpx.HTTPError as error:
        return f"no answer from {target}: {error}", False
    return f"{response.status_code} {response.text}", response.is_success


def migrate() -> None:
    """Bring the database's schema up to date (serve does so by itself)."""
    from tiersync import app, settings
    from tiersync.store import schema

    async def run() -> None:
        async with app.store(settings.load(), migrate=True):
            pass

    asyncio.run(run())
    typer.echo(f"The schema is up to date: {schema.newest_version()}.")
