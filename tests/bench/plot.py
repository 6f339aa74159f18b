"""Pure. A picture of one measure: horizontal bars, drawn as SVG."""

from collections.abc import Sequence
from html import escape
from typing import Final

_BAR: Final = 22
_GAP: Final = 12
_LABELS: Final = 290
_WIDTH: Final = 860
_NUMBERS: Final = 90
_TOP: Final = 46


def bars(title: str, rows: Sequence[tuple[str, float]], highlighted: str) -> str:
    """Draw (name, value) rows, the longest bar being the greatest value; `highlighted` begins the names of our own."""
    most = max(value for _, value in rows)
    height = _TOP + len(rows) * (_BAR + _GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        '<g font-family="system-ui, sans-serif" font-size="14">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="26" font-weight="600" fill="#1b1f24">{escape(title)}</text>',
    ]
    for place, (name, value) in enumerate(rows):
        y = _TOP + place * (_BAR + _GAP)
        length = max(1.0, (_WIDTH - _LABELS - _NUMBERS) * value / most)
        colour = "#0b6e4f" if name.startswith(highlighted) else "#9aa5b1"
        text = f'y="{y + 16}" fill="#1b1f24"'
        lines += [
            f'<text x="{_LABELS - 10}" {text} text-anchor="end">{escape(name)}</text>',
            f'<rect x="{_LABELS}" y="{y}" width="{length:.1f}" height="{_BAR}" rx="3" fill="{colour}"/>',
            f'<text x="{_LABELS + length + 8:.1f}" {text}>{value:,.0f}</text>',
        ]
    return "\n".join([*lines, "</g>", "</svg>\n"])
