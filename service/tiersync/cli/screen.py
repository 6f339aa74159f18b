"""How rows and sentences reach a person: on a screen, wide or narrow, with or without colour, or in a pipe.

What is shown was written by others: webhooks, Capillary, whoever paused an org. So nothing of it is markup, and no
character of it is obeyed by the terminal.

A pipe gets each row on one line, whole. A screen gets a table if there is room for one. If not, columns without a value
go first, then the spare ones, then the year of times and the end of ids; then texts are wrapped. Where even that would
make columns of syllables, each row becomes a block of names and values, and nothing is left out.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Literal

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

_PIPED_COLUMNS: Final = 100_000
_GAP: Final = 2
_ID_COLUMNS_MIN: Final = 12
_TEXT_COLUMNS_MIN: Final = 8
_TEXT_LINES_MAX: Final = 4
_TIME_NARROW: Final = slice(5, 16)  # month to minute
_TIME_COLUMNS_MIN: Final = 11
_JOINERS: Final = "\u200c\u200d"  # names in several scripts cannot be written without them
_WORDS: Final = re.compile(r"\S+\s*")
_PARTS: Final = re.compile(r"[A-Z]*[^A-Z_/.,:-]*[_/.,:-]*")  # of a word that is too long

Cell = str | Text


class Fit(Enum):
    """What may be done to a column for want of room."""

    WHOLE = auto()
    TIME = auto()
    """Written as `2026-01-31 08:00:00`; may lose year and seconds."""
    ID = auto()
    """May lose its end."""
    TEXT = auto()
    """May be wrapped."""
    SPARE = auto()
    """May be left out."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name, and what may be done to it."""

    name: str
    fit: Fit = Fit.WHOLE


def console() -> Console:
    """stdout, as wide as it is; a pipe is as wide as it has to be."""
    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    size = shutil.get_terminal_size()
    columns = size.columns if sys.stdout.isatty() else _PIPED_COLUMNS
    return Console(width=columns, height=size.lines, highlight=False, markup=False, emoji=False, color_system=colours)


def progress(*, quiet: bool) -> Progress:
    """A bar on stderr, so that stdout holds results only; none unless somebody looks at a screen that can redraw it."""
    out = Console(stderr=True)
    return Progress(console=out, transient=True, disable=quiet or not sys.stderr.isatty() or out.is_dumb_terminal)


def safe(text: str, *, lines: bool = False) -> str:
    """What may be shown of `text`: whatever a terminal would obey is written as its escape.

    `lines` keeps line ends and tabs.
    """
    kept = _JOINERS + ("\n\t" if lines else "")
    return "".join(
        char if char.isprintable() or char in kept else char.encode("unicode_escape").decode("ascii") for char in text
    )


def say(out: Console, text: Cell, style: str = "") -> None:
    """A sentence; a screen wraps it between words."""
    said = _text(text)
    said.stylize(style)
    out.print(said)


def facts(out: Console, pairs: Iterable[tuple[Cell, Cell]]) -> None:
    """Names and values, one below the other; without a value there is no line."""
    told = [(_text(name), _text(value)) for name, value in pairs if value]
    indent = max((name.cell_len for name, _ in told), default=0) + _GAP
    room = max(out.width - indent, _TEXT_COLUMNS_MIN)
    for name, value in told:
        if not name.style:
            name.stylize("bold")
        for number, line in enumerate(_wrapped(value, room if out.is_terminal else None)):
            _print(out, [(Text() if number else name, indent - _GAP), (line, 0)])


def table(out: Console, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> bool:
    """A table, or blocks where there is no room for one; say whether anything was cut or left out."""
    cells = [[_text(cell) for cell in row] for row in rows]
    layout = _Layout(columns, cells)
    if not out.is_terminal:
        widths: dict[int, int] | None = layout.natural(range(len(columns)))
    else:
        widths = layout.fitted(out.width)
    if widths is None:
        for number, row in enumerate(cells):
            if number:
                out.print()
            facts(out, ((column.name, cell) for column, cell in zip(columns, row, strict=True)))
        return False
    _print_row(out, [(Text(columns[at].name, "bold"), widths[at]) for at in widths])
    for row in cells:
        _print_row(out, [(layout.cut(at, row[at], widths[at]), widths[at]) for at in widths])
    return layout.loses(widths)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Finds the columns' widths; a layout maps the position of each column that is shown to its width."""

    columns: Sequence[Column]
    cells: Sequence[Sequence[Text]]

    def natural(self, shown: Iterable[int]) -> dict[int, int]:
        """As wide as the values and the names are."""
        return {at: max(cell_len(self.columns[at].name), self._longest(at)) for at in shown}

    def fitted(self, room: int) -> dict[int, int] | None:
        """The layout that takes the least away and is no wider than `room`; None if there is none."""
        everything = range(len(self.columns))
        filled = [at for at in everything if self._longest(at)]
        for shown in (everything, filled, [at for at in filled if self.columns[at].fit is not Fit.SPARE]):
            if _total(widths := self.natural(shown)) <= room:
                return widths
        return self._squeezed(widths, room)

    def cut(self, at: int, cell: Text, width: int) -> Text:
        """What there is room for of a time or an id."""
        fit, length = self.columns[at].fit, cell.cell_len
        if fit is Fit.TIME and self._longest(at) > width:
            return Text(cell.plain[_TIME_NARROW], cell.style)
        if fit is Fit.ID and length > width:
            return Text(set_cell_size(cell.plain, width - 1) + "…", cell.style)
        return cell

    def loses(self, widths: dict[int, int]) -> bool:
        """Whether a value is not shown, or not the whole of it. A year that is left out is not worth mentioning."""
        left_out = any(at not in widths and self._longest(at) for at in range(len(self.columns)))
        return left_out or any(self.columns[at].fit is Fit.ID and self._longest(at) > widths[at] for at in widths)

    def _longest(self, at: int) -> int:
        return max((row[at].cell_len for row in self.cells), default=0)

    def _squeezed(self, widths: dict[int, int], room: int) -> dict[int, int] | None:
        """Names are wrapped, times lose year and seconds, ids their ends, texts are wrapped: each only if it must."""
        narrow = {at: max(self._longest(at), _longest_word(self.columns[at].name)) for at in widths}
        for fit in (Fit.TIME, Fit.ID, Fit.TEXT):
            spared = {at: narrow[at] - self._least(at) for at in widths if self.columns[at].fit is fit}
            for at, less in _shared(_total(narrow) - room, spared).items():
                narrow[at] -= less
        return narrow if _total(narrow) <= room else None

    def _least(self, at: int) -> int:
        """The least width of a column that may be narrower than its values."""
        longest = self._longest(at)
        least = {
            Fit.TIME: _TIME_COLUMNS_MIN,
            Fit.ID: _ID_COLUMNS_MIN,
            Fit.TEXT: max(_TEXT_COLUMNS_MIN, -(-longest // _TEXT_LINES_MAX)),
        }
        return max(min(longest, least[self.columns[at].fit]), _longest_word(self.columns[at].name))


def _shared(over: int, spared: dict[int, int]) -> dict[int, int]:
    """Who gives how much, so that `over` is given: whoever can spare most gives first."""
    given = dict.fromkeys(spared, 0)
    for _ in range(over):
        most = max(spared, key=lambda at: spared[at] - given[at], default=None)
        if most is None or given[most] >= spared[most]:
            break
        given[most] += 1
    return given


def _total(widths: dict[int, int]) -> int:
    return sum(widths.values()) + _GAP * max(len(widths) - 1, 0)


def _text(cell: Cell) -> Text:
    return Text(safe(cell.plain), cell.style) if isinstance(cell, Text) else Text(safe(cell))


def _longest_word(name: str) -> int:
    return max(cell_len(word) for word in name.split())


def _wrapped(text: Text, width: int | None) -> list[Text]:
    """The lines of `text`, none wider than `width`: broken between words; where a word is too long, at its parts."""
    if width is None or text.cell_len <= width:
        return [text]
    lines, line = [], ""
    for word in _pieces(text.plain, width):
        if line and cell_len((line + word).rstrip()) > width:
            lines.append(line)
            line = ""
        line += word
    return [Text(each.rstrip(), text.style) for each in (*lines, line)]


def _pieces(plain: str, width: int) -> Iterator[str]:
    for word in _WORDS.findall(plain):
        if cell_len(word.rstrip()) <= width:
            yield word
            continue
        for part in _PARTS.findall(word):
            rest = part
            while cell_len(rest.rstrip()) > width:
                piece = set_cell_size(rest, width).rstrip() or rest[0]
                yield piece
                rest = rest[len(piece) :]
            yield rest


def _print_row(out: Console, cells: Sequence[tuple[Text, int]]) -> None:
    wrapped = [_wrapped(cell, width) for cell, width in cells]
    for number in range(max(map(len, wrapped))):
        line = [each[number] if number < len(each) else Text() for each in wrapped]
        _print(out, [(cell, width) for cell, (_, width) in zip(line, cells, strict=True)])


def _print(out: Console, cells: Sequence[tuple[Text, int]]) -> None:
    line = Text()
    for cell, width in cells:
        line.append_text(cell)
        line.append(" " * (max(width - cell.cell_len, 0) + _GAP))
    line.rstrip()
    out.print(line, soft_wrap=True)


def complain(text: str) -> None:
    """Say on stderr what is wrong, a line each."""
    for line in text.splitlines():
        print(f"tiersync: {safe(line)}", file=sys.stderr)  # noqa: T201 - stdout holds results only
