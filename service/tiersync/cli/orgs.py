"""The verbs about orgs: pause, resume, orgs. They work on the tables; every running process obeys within a second."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from tiersync.cli import showing
from tiersync.cli.asking import Json, text, whole
from tiersync.cli.filters import whoever, with_store
from tiersync.errors import StoreError
from tiersync.intake import ANY_ORG
from tiersync.store import OrgState, Store, known_orgs

OrgArgument = Annotated[int, typer.Argument(parser=whole(0), metavar="ORG", help="The org's id; 0 is every org.")]


def pause(
    org: OrgArgument,
    reason: Annotated[
        str | None, typer.Option(parser=text, metavar="REASON", help="Why, for whoever finds it paused.")
    ] = None,
) -> None:
    """Make no calls for an org until it is resumed; what comes in is received and kept."""

    async def work(store: Store, loaded: Any) -> bool:
        from tiersync import app

        await _check(org, store, loaded, "pause")
        return await store.pause(org, by=whoever(), reason=reason, now=app.now())

    done = with_store(work)
    typer.echo(f"{_named(org)} is paused." if done else f"{_named(org)} was paused already.")


def resume(org: OrgArgument) -> None:
    """Make calls for an org again."""

    async def work(store: Store, loaded: Any) -> bool:
        await _check(org, store, loaded, "resume")
        return await store.resume(org)

    if not with_store(work):
        raise StoreError(f"{_named(org)} is not paused")
    typer.echo(f"{_named(org)} is resumed.")


def orgs(as_json: Json = False) -> None:
    """List the orgs: which are paused, and whose Capillary is away."""

    async def work(store: Store, loaded: Any) -> list[OrgState]:
        return known_orgs(await store.orgs(), loaded.by_org())

    states = with_store(work)
    if as_json:
        typer.echo(json.dumps([asdict(state) for state in states]))
    else:
        showing.orgs(states)


async def _check(org: int, store: Store, loaded: Any, verb: str) -> None:
    """An org is known by its settings, or by what is stored of it: a pause, a breaker."""
    known = {*loaded.by_org(), *(state.org for state in await store.orgs())} - {ANY_ORG}
    if org in {*known, ANY_ORG}:
        return
    named = ", ".join(map(str, sorted(known)))
    why = f"{org} is not configured ({named}); 0 {verb}s every org"
    none = f"no org is configured by its id: {verb} 0, or set TIERSYNC_ORG"
    raise typer.BadParameter(why if known else none, param_hint="'ORG'")


def _named(org: int) -> str:
    return f"Org {org}" if org else "Every org"
