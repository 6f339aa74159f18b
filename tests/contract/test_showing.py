"""What a person sees of a list: on a screen, wide or narrow, and in a pipe."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.contract.terminal_kit import DIGEST, STYLE, Screen
from tiersync.cli import showing
from tiersync.cli.screen import Column, Fit, console, facts, safe, table
from tiersync.demo.timeline import PACE_S, Timeline

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
    "jobs": [{"job": 3, "status": "running", "done": 1, "of": 4, "why": "paused"}],
    "groups": 1,
    **dict.fromkeys(("in_step", "spared", "drifted", "repaired", "left", "unread", "without_group"), 1),
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
    """Narrow it is cut and that is said, wide and piped it is whole; one line stays one line where there is room."""
    out = seen(monkeypatch, columns, screen=screen)

    showing.events([EVENT], 1)

    lines = out.said().splitlines()
    assert whole == (DIGEST in out.said())
    assert whole != ("--json" in lines[-1]), "who sees less is told so, and how to see it all"
    assert columns == 80 or [line for line in lines if "quarantined" in line and "field_missing" in line]
    assert not screen or columns >= max(map(len, lines))


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_reconcile_says_everything_at_any_width(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """Who, where, what became of it and why can be read, and no line is longer than the screen."""
    out = seen(monkeypatch, columns)

    showing.reconciled(REPORT)

    said = out.said()
    assert columns >= max(map(len, said.splitlines()))
    joined = "".join(said.split())
    for word in ("Silver", "repaired", "left", "job3waitsforaserver(paused):1of4groupscompared", "1unread"):
        assert word in joined.lower() or word in joined


def test_the_figures_of_a_reconcile_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who leads no group is counted too, and a dry run says what would be repaired."""
    members = [
        {**REPORT["members"][0], "org": 0, "result": "left", "reason": reason} for reason in ("dry_run", "under_way")
    ]
    counts = {"in_step": 4, "spared": 0, "drifted": 2, "repaired": 0, "left": 2, "unread": 0, "without_group": 1}
    out = seen(monkeypatch, 200, screen=False)

    showing.reconciled({**REPORT, "dry_run": True, "jobs": [], "groups": 5, **counts, "members": members})

    lines = out.said().splitlines()
    assert (
        "5 groups compared: 4 in step, 0 spared, 2 drifted, 1 would be repaired, 1 left, 0 unread, 1 without group. "
        "Nothing was changed." == lines[-1]
    )
    assert ["-", "973", "566998132", "564662499", "Silver", "Gold", "would", "be", "repaired"] == lines[1].split()
    assert ["left", "under_way"] == lines[2].split()[-2:]


def test_a_program_that_is_not_known_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said once what to give, however many groups it is about."""
    unread = [{**REPORT["not_read"][0], "primary": primary, "reason": "program_unknown"} for primary in (1, 2)]
    out = seen(monkeypatch, 200)

    showing.reconciled({**REPORT, "not_read": unread})

    assert 1 == out.said().count("program_unknown: give --program or set TIERSYNC_DEFAULT_PROGRAM.")


@pytest.mark.parametrize("show", [lambda row: showing.events([row], 1), showing.event])
def test_an_org_that_is_not_named_is_a_dash(monkeypatch: pytest.MonkeyPatch, show: Callable[[Any], None]) -> None:
    """An event without an org has none: 0 is nobody's id."""
    out = seen(monkeypatch, 200)

    show({**EVENT, "org": 0, **dict.fromkeys(("detail", "member", "duplicates", "finished_at")), "adjustments": []})

    assert "-" in out.said().split()
    assert "0" not in out.said().split()


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


COLUMNS = tuple(Column(fit.name.lower(), fit) for fit in Fit if fit is not Fit.TIME)
CELLS = st.lists(st.tuples(*[st.text(max_size=60)] * len(COLUMNS)), min_size=1, max_size=4)


@given(rows=CELLS, columns=st.integers(30, 220), screen=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_words_fit_any_screen(
    monkeypatch: pytest.MonkeyPatch, rows: list[tuple[str, ...]], columns: int, *, screen: bool
) -> None:
    """No line is too long, nothing is obeyed, and what is not told to be cut is all there."""
    out = seen(monkeypatch, columns, screen=screen)

    cut = table(console(), COLUMNS, rows)

    said = out.getvalue()
    joined = "".join(said.split())
    assert said.replace("\n", "").isprintable() or safe(said, lines=True) == said
    assert not screen or columns >= max(map(cell_len, said.splitlines()))
    assert screen or not cut
    for row in rows if not cut and (not screen or columns < 40) else ():
        for cell in row:
            assert "".join(safe(cell).split()) in joined


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Gold", "Gold"),
        ("[bold]Gold[/x] :smile:", "[bold]Gold[/x] :smile:"),
        ("\x1b[31mGold\x07\r\n", r"\x1b[31mGold\x07\r\n"),
        ("a\u202eb\u2066c\u2028d\ud800", r"a\u202eb\u2066c\u2028d\ud800"),
        ("स्वर्ण 金 Ö", "स्वर्ण 金 Ö"),
        ("நட்சத்திர\u200dம்", "நட்சத்திர\u200dம்"),
    ],
)
def test_nothing_is_obeyed(monkeypatch: pytest.MonkeyPatch, text: str, shown: str) -> None:
    """What others wrote is neither markup nor a command to the terminal; every script stays what it is."""
    out = seen(monkeypatch, 120, colour=True)

    facts(console(), [("name", text)])

    assert [f"name  {shown}"] == out.said().splitlines()
    assert "\x1b[31m" not in out.getvalue()


@pytest.mark.parametrize(("columns", "screen"), [(40, True), (80, True), (120, True), (80, False)])
def test_the_demo_can_be_followed_at_any_width(monkeypatch: pytest.MonkeyPatch, columns: int, *, screen: bool) -> None:
    """What happened and what came of it are whole; a pipe has a line for each, a screen none that is too long."""
    out = seen(monkeypatch, columns, screen=screen)
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("too slow") if seconds > PACE_S else None)
    happened, came = "adjusts Grandmother: UPGRADE to Diamond", "400 code 3045, not allowed for this customer [/red]"

    with Timeline(quiet=False) as line:
        line.act("The same again, with faults on both sides of it, and whatever else")
        line.say("tiersync", happened, came, bad=True)

    told = STYLE.sub("", out.getvalue())
    for text in (happened, came):
        assert text in told if not screen else "".join(text.split()) in "".join(told.split())
    assert not screen or columns >= max(map(len, told.splitlines()))
    assert screen or 3 == len(told.splitlines())
