"""The verbs of `tiersync`. Each imports what it needs when it is called, so that `--help` answers at once."""

import os
import sys
from typing import Annotated

import typer

import tiersync
from tiersync.cli import jobs, moving, operating, orgs, reconciling, running
from tiersync.errors import TiersyncError

app = typer.Typer(
    name="tiersync",
    help="Keep the secondary members of Capillary user groups in their primary's tier.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:  # noqa: FBT001 - Typer passes the flag
    if wanted:
        typer.echo(tiersync.__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Keep the secondary members of Capillary user groups in their primary's tier."""


app.command()(running.serve)
app.command()(running.sandbox)
app.command()(running.demo)
app.command()(running.send)
app.add_typer(operating.events, name="events")
app.command()(jobs.replay)
app.command()(jobs.purge)
app.command()(reconciling.reconcile)
app.add_typer(jobs.jobs, name="jobs")
app.add_typer(moving.export, name="export")
app.command("import")(moving.import_events)
app.command()(orgs.pause)
app.command()(orgs.resume)
app.command()(orgs.orgs)
app.command()(running.migrate)
app.command()(operating.doctor)


def main() -> None:
    """Run a verb. What went wrong is said in plain words on stderr: exit 2 for settings, 1 for the rest."""
    os.umask(0o077)  # what is stored holds personal data: it is nobody else's to read
    try:
        app()
    except TiersyncError as error:
        from tiersync.errors import SettingsError

        for line in str(error).splitlines():
            typer.echo(f"tiersync: {line}", err=True)
        sys.exit(2 if isinstance(error, SettingsError) else 1)
