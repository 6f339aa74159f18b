"""The verbs of `tiersync`, put together."""

from typing import Annotated

import typer

import tiersync
from tiersync.cli import jobs, moving, operating, orgs, reconciling, running
from tiersync.cli.helping import Command, Group

app = typer.Typer(
    name="tiersync",
    cls=Group,
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


for verb in (
    *(running.serve, running.sandbox, running.demo, running.send, running.migrate),
    *(jobs.replay, jobs.purge, reconciling.reconcile),
    *(orgs.pause, orgs.resume, orgs.orgs, operating.doctor),
):
    app.command(cls=Command)(verb)
app.command("import", cls=Command)(moving.import_events)
for name, group in (("events", operating.events), ("jobs", jobs.jobs), ("export", moving.export)):
    app.add_typer(group, name=name)
