"""What a person sees of a list: on a screen, wide or narrow, and in a pipe."""

import io
import re
from typing import Any

import pytest

from tiersync.cli import showing

DIGEST = "sha256:" + "0123456789abcdef" * 4
EVENT: dict[str, Any] = {
    "received_at": 1_800_000_000_000,
    "event_id": DIGEST,
    "org": 50_614,
    "program": 973,
    "customer": 566_998_132,
    "action": "upgrade",
    "kind": "tier",
    "name": "tierUpgraded",
    "tier_number": 2,
    "tier_name": "Gold",
    "status": "quarantined",
    "reason": "field_missing",
}
REPORT: dict[str, Any] = {
    "dry_run": False,
    "jobs": [{"job": 3, "status": "running", "done": 1, "of": 4}],
    "groups": 1,
    **dict.fromkeys(("in_step", "spared", "drifted", "repaired", "left", "unread"), 1),
    "members": [
        {"org": 50_614, "program": 973, "primary": 566_998_132, "member": member, "held": held, "tier": "Gold", **ended}
        for member, held, ended in (
            (564_662_499, "Silver", {"result": "repaired", "reason": None}),
            (564_662_500, None, {"result": "left", "reason": "customer_barred"}),
        )
    ],
    "not_read": [
        {"org": 50_614, "program": 973, "primary": 566_998_132, "member": None, "reason": "primary_without_tier"}
    ],
}


class Screen(io.StringIO):
    """A screen, or a pipe."""

    def __init__(self, *, screen: bool) -> None:
        """`screen`: somebody looks."""
        super().__init__()
        self._screen = screen

    def said(self) -> str:
        """Tell what is to be read on it, without bold and colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self.getvalue())

    def isatty(self) -> bool:
        """Say whether somebody looks."""
        return self._screen


def seen(monkeypatch: pytest.MonkeyPatch, columns: int, *, screen: bool = True, colour: bool = False) -> Screen:
    """Put somebody before a screen of so many columns."""
    out = Screen(screen=screen)
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    return out


@pytest.mark.parametrize(
    ("columns", "screen", "whole"), [(80, True, False), (120, True, False), (200, True, True), (80, False, True)]
)
def test_a_long_id_leaves_room_on_a_narrow_screen(
    monkeypatch: pytest.MonkeyPatch, columns: int, *, screen: bool, whole: bool
) -> None:
    """Narrow it is cut, wide and piped it is whole; one line stays one line where there is room for it."""
    out = seen(monkeypatch, columns, screen=screen)

    showing.events([EVENT], 1)

    lines = out.said().splitlines()
    assert whole == (DIGEST in out.said())
    assert columns == 80 or len(lines) == 3
    assert not screen or columns >= max(map(len, lines))


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_reconcile_says_everything_at_any_width(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """Who, where, what became of it and why can be read, and no line is longer than the screen."""
    out = seen(monkeypatch, columns)

    showing.reconciled(REPORT)

    said = out.said()
    assert columns >= max(map(len, said.splitlines()))
    joined = "".join(said.split())
    for word in ("Silver", "repaired", "left", "job3waitsforaserver:1of4groupscompared", "1unread"):
        assert word in joined.lower() or word in joined


def test_without_colour_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR and a pipe have no colours, a screen has."""
    told = dict[str, str]()
    for name, screen, colour in (("screen", True, True), ("plain", True, False), ("pipe", False, True)):
        out = seen(monkeypatch, 200, screen=screen, colour=colour)
        showing.reconciled(REPORT)
        told[name] = out.getvalue()

    assert "\x1b[32m" in told["screen"]
    assert "[32m" not in told["plain"]
    assert "\x1b" not in told["pipe"]
