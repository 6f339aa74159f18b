"""How the demo shows itself: a line for everything that happens, and on a terminal everybody's tier below them."""

import os
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

_STYLES: Final[Mapping[str, str]] = {"Capillary": "cyan", "tiersync": "green", "operator": "magenta", "demo": "yellow"}
_BAD: Final = "bold red"


class Timeline:
    """Prints lines; `quiet` prints nothing. A terminal that is wide enough and wants colours also gets a footer."""

    def __init__(self, *, quiet: bool) -> None:
        piped = not sys.stdout.isatty()
        colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
        width = PIPED_COLUMNS if piped else None
        self.console = Console(width=width, highlight=False, quiet=quiet, color_system=colours)
        plain = quiet or piped or colours is None or self.console.width < LIVE_COLUMNS_MIN
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
        self.console.print(Text(f"\n{title}", style="bold"), soft_wrap=True)
        if self._watched:
            time.sleep(PACE_S)  # somebody reads along

    def say(self, who: str, text: str, answer: str = "", *, bad: bool = False) -> None:
        """Show that something happened; `answer` is what came of it."""
        line = Text.assemble(
            (f"{self.seconds:5.1f}  ", "dim"), (f"{who:<10}", _STYLES[who]), (f"{text:<50}", ""), ("  ", "")
        )
        line.append(answer, style=_BAD if bad else "dim")
        line.rstrip()
        self.console.print(line, soft_wrap=True)

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
