"""How the demo shows itself: a line for everything that happens, and on a terminal everybody's tier below them."""

import os
import shutil
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Literal, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tiersync.demo.scenario import Person

LIVE_COLUMNS_MIN: Final = 90
PIPED_COLUMNS: Final = 120
PACE_S: Final = 0.8
TEXT_COLUMNS: Final = 50
TEXT_COLUMNS_MIN: Final = 8

_STYLES: Final[Mapping[str, str]] = {"Capillary": "cyan", "tiersync": "green", "operator": "magenta", "demo": "yellow"}
_BAD: Final = "bold red"


def console(*, quiet: bool) -> Console:
    """stdout: without colours where none are wanted, and as wide as it is."""
    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    size = shutil.get_terminal_size()
    columns = size.columns if sys.stdout.isatty() else PIPED_COLUMNS
    return Console(
        width=columns,
        height=size.lines,
        highlight=False,
        markup=False,
        emoji=False,
        quiet=quiet,
        color_system=colours,
    )


def say_line(out: Console, text: str, style: str = "") -> None:
    """Print a line; a screen wraps it between words."""
    out.print(Text(text, style=style), soft_wrap=not out.is_terminal)


def say_beside(out: Console, head: Text, text: Text, aside: Text | None = None) -> None:
    """Print `text` beside `head`, and `aside` beside both; on a screen that is too narrow, below it.

    A pipe gets one line.
    """
    room = max(out.width - head.cell_len, TEXT_COLUMNS_MIN)
    parts = [text] if aside is None or not aside else [text, aside]
    together = sum(part.cell_len for part in parts) + 2 * (len(parts) - 1)
    if not out.is_terminal or together <= room:
        gap = TEXT_COLUMNS if not out.is_terminal else min(TEXT_COLUMNS, room - (together - text.cell_len))
        line = Text.assemble(head, text)
        if len(parts) > 1:
            line.append(" " * max(gap - text.cell_len, 0) + "  ")
            line.append_text(parts[-1])
        out.print(line, soft_wrap=True)
        return
    for part in parts:
        for line in part.wrap(out, room):
            line.rstrip()
            out.print(Text.assemble(head, line), soft_wrap=True)
            head = Text(" " * head.cell_len)


class Timeline:
    """Prints lines; `quiet` prints nothing. A terminal that is wide enough and wants colours also gets a footer."""

    def __init__(self, *, quiet: bool) -> None:
        piped = not sys.stdout.isatty()
        self.console = console(quiet=quiet)
        plain = quiet or piped or self.console.color_system is None or self.console.width < LIVE_COLUMNS_MIN
        self._live = None if plain else Live(console=self.console, refresh_per_second=12, transient=True)
        self._watched = not (quiet or piped)
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Take the footer away."""
        self.end_footer()

    def end_footer(self) -> None:
        """Take the footer away and leave the lines."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    @property
    def seconds(self) -> float:
        """How long it has been going on."""
        return time.monotonic() - self._began

    def act(self, title: str) -> None:
        """Begin a new part."""
        say_line(self.console, f"\n{title}", "bold")
        if self._watched:
            time.sleep(PACE_S)  # somebody reads along

    def say(self, who: str, text: str, answer: str = "", *, bad: bool = False) -> None:
        """Show that something happened; `answer` is what came of it."""
        head = Text.assemble((f"{self.seconds:5.1f}  ", "dim"), (f"{who:<10}", _STYLES[who]))
        say_beside(self.console, head, Text(text), Text(answer, style=_BAD if bad else "dim"))

    def standings(self, people: Mapping[Person, str], primary: str) -> None:
        """Show in the footer where everybody is; `primary` is the tier that the others should have."""
        if self._live is None:
            return
        table = Table(box=None, pad_edge=False, padding=(1, 3, 0, 0))
        for person in people:
            table.add_column(f"{person.name}\n{_place(person)}", header_style="dim")
        table.add_row(*(Text(tier, style=_shade(person, tier, primary)) for person, tier in people.items()))
        self._live.update(table)


def _place(person: Person) -> str:
    return "has left" if person.place == "left" else person.place


def _shade(person: Person, tier: str, primary: str) -> str:
    if person.place == "left":
        return "dim"
    return "bold green" if tier == primary else _BAD
