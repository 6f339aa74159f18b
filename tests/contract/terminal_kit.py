"""What the tests of the terminal stand on: every verb, a screen or a pipe before it, and a store worth looking at."""

import asyncio
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
import typer

from tests.contract.store_kit import ANN, BOB, DIAMOND, EVE, NOW, ORG, Hand, owed, tier_change, without_key
from tiersync.cli import main
from tiersync.cli.verbs import app
from tiersync.fanout import AdjustmentStatus
from tiersync.intake import EventStatus
from tiersync.store import JobKind, Keys, Selection, database, open_store
from tiersync.store.orgs import BreakerNews

DIGEST: Final = "sha256:" + "0123456789abcdef" * 4
GATEWAY: Final = "gateway.partition-000017.offset-0000000000123456789/[brackets]/[/bold]"
OBEYED: Final = "esc-\x1b]0;title\x07-\u202eabc\n2nd"
"""A terminal would take its title from this id, and turn what follows round."""
OBEYED_SHOWN: Final = r"esc-\x1b]0;title\x07-\u202eabc\n2nd"
REASON: Final = (
    "the till users move [OPS-1234] [/bold], ask the loyalty team before anything is resumed, whatever it is"
)
SETTINGS: Final = {
    "CAPILLARY_URL": "http://127.0.0.1:9",  # nobody listens there
    "CAPILLARY_USERNAME": "till.user",
    "CAPILLARY_PASSWORD": "a-password-of-the-tests",
    "WEBHOOK_SECRETS": "a-secret-of-the-tests",
    "OPERATOR_TOKEN": "an-operator-token-of-the-tests",
}
MESSAGE: Final = (
    "The customer is not allowed to perform this activity \x1b[31mbecause of [/red] its status, it says here"
)
STYLE: Final = re.compile(r"\x1b\[[0-9;]*m")


class Screen(io.StringIO):
    """A screen, or a pipe."""

    def __init__(self, *, screen: bool) -> None:
        """`screen`: somebody looks."""
        super().__init__()
        self._screen = screen

    def said(self) -> str:
        """Tell what is to be read on it, without bold and colours."""
        return STYLE.sub("", self.getvalue())

    def isatty(self) -> bool:
        """Say whether somebody looks."""
        return self._screen


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Terminal:
    """Runs `tiersync` in this process, as the installed command does."""

    patch: pytest.MonkeyPatch

    def piped(self, *arguments: str, stdin: str = "", closed: bool = False) -> Said:
        """Run it with its output in pipes; `closed`: without a stdout."""
        self.patch.delenv("COLUMNS", raising=False)
        return self._run(arguments, stdin, screen=False, closed=closed)

    def on_screen(self, columns: int, *arguments: str, stdin: str = "") -> Said:
        """Run it on a screen of so many columns."""
        self.patch.setenv("COLUMNS", str(columns))
        return self._run(arguments, stdin, screen=True)

    def _run(self, arguments: tuple[str, ...], stdin: str, *, screen: bool, closed: bool = False) -> Said:
        out, err = Screen(screen=screen), Screen(screen=False)
        self.patch.setattr("sys.argv", ["tiersync", *arguments])
        for name, stream in (("stdin", io.StringIO(stdin)), ("stdout", None if closed else out), ("stderr", err)):
            self.patch.setattr(f"sys.{name}", stream)
        with pytest.raises(SystemExit) as ended:
            main()
        if closed:
            sys.stdout.close()  # what stood in for it
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, out.getvalue(), err.getvalue())


def verbs(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every verb and what is below it, as it is typed."""
    here = typer.main.get_command(app) if command is None else command
    yield path, here
    for name, each in getattr(here, "commands", {}).items():
        yield from verbs(each, (*path, name))


def fill(url: str) -> None:
    """Make a store of everything that an operator may find."""
    asyncio.run(_fill(url))


async def _fill(url: str) -> None:
    async with open_store(database.address(url), migrate=True) as store:
        hand = Hand(store)
        await hand.finished(await hand.due(tier_change("7bd48b29-45bd-4663-96a0-81589e1d3a25")), [ANN, BOB])
        claim = await hand.claimed(await hand.due(tier_change(DIGEST, NOW + 2, DIAMOND)))
        await hand.planned(claim, owed(ANN, BOB, EVE, tier=DIAMOND))
        barred = {"outcome": "refused", "reason": "customer_barred", "code": 3045, "message": MESSAGE}
        await hand.settled(claim, status=AdjustmentStatus.DEAD, **barred)
        await hand.released(claim)
        await hand.received(
            tier_change("late", NOW - 1),
            without_key(GATEWAY, EventStatus.DEAD, "program_unknown"),
            tier_change(
                OBEYED, status=EventStatus.QUARANTINED, reason="field_missing", program=None, name="[/red]\x1b[31m"
            ),
            without_key("coupon", EventStatus.IGNORED, "event_not_used"),
        )
        await store.pause(0, by="root", reason=REASON, now=NOW)
        await store.tell_breaker(BreakerNews(ORG, "open", "not_connected", NOW + 60_000, NOW))
        for selection in (Selection(), Selection(ids=(DIGEST, "late", "coupon", GATEWAY)), Selection(since=NOW)):
            job = await store.begin_job(JobKind.REPLAY, selection, by="somebody", now=NOW, rate=5, force=True)
        await store.cancel_job(job.id, by="root", now=NOW)
        await store.begin_reconcile(Keys(None, dry_run=True), by="schedule", now=NOW)
