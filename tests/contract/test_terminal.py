"""What every verb prints, on a screen of any width and in a pipe: whole, harmless, and never a traceback."""

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from rich.cells import cell_len

from tests.contract.terminal_kit import (
    DIGEST,
    GATEWAY,
    MESSAGE,
    OBEYED,
    OBEYED_SHOWN,
    REASON,
    SETTINGS,
    STYLE,
    Terminal,
    fill,
    verbs,
)
from tiersync.cli.filters import whoever
from tiersync.cli.helping import VERBS
from tiersync.cli.screen import safe
from tiersync.store import database

EVERY = dict(verbs())
IDS = (DIGEST, GATEWAY, OBEYED_SHOWN, "7bd48b29-45bd-4663-96a0-81589e1d3a25", "late", "coupon")
ON_THE_STORE: dict[str, list[str]] = {
    "doctor": [],
    "events list": [],
    "events show": [DIGEST],
    "export adjustments": [],
    "export events": [],
    "import": [os.devnull],
    "jobs": [],
    "jobs cancel": ["1"],
    "migrate": [],
    "orgs": [],
    "pause": ["0"],
    "purge": ["--all"],
    "reconcile": ["--background"],
    "replay": ["--all"],
    "resume": ["0"],
}
ELSEWHERE = {"serve", "sandbox", "demo", "send"}
LISTS = ("events list", "events show", "jobs", "orgs")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """Give a terminal with colours, and right settings on a database that is not there yet."""
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(f"TIERSYNC_{name}", value)
    mask = os.umask(0o022)
    yield Terminal(monkeypatch)
    os.umask(mask)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Fill a store once; nothing here changes it."""
    url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'tiersync.db'}"
    fill(url)
    return url


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """Stand in for a service that gives every delivery this answer; say where."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


@pytest.fixture
def full(terminal: Terminal, filled: str) -> Terminal:
    """Give a terminal before the filled store."""
    terminal.patch.setenv(database.VARIABLE, filled)
    return terminal


def test_no_verb_is_forgotten_here() -> None:
    """A new verb has to be looked at too."""
    leaves = {" ".join(path) for path, command in EVERY.items() if not getattr(command, "commands", None)}

    assert leaves | {"jobs"} == {*ON_THE_STORE, *ELSEWHERE}
    assert {path[0] for path in EVERY if path} == set(VERBS)


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_help_can_be_read_at_any_width(terminal: Terminal, path: tuple[str, ...]) -> None:
    """Narrow, wide or piped it has the same words, nothing is cut, no line is too long, and no type is Python's."""
    narrow, wide = terminal.on_screen(40, *path, "--help"), terminal.on_screen(200, *path, "--help")
    piped = terminal.piped(*path, "--help")

    assert {0} == {said.code for said in (narrow, wide, piped)}
    assert narrow.out.split() == wide.out.split() == piped.out.split()
    assert 40 >= max(map(cell_len, narrow.out.splitlines()))
    assert not [sign for sign in ("\x1b", "....", "…", "<str>", "<int", "list[", "{", "x>=") if sign in piped.out]
    for parameter in EVERY[path].params:
        assert f"  {parameter.opts[0]}" in narrow.out or parameter.metavar in narrow.out


@pytest.mark.parametrize("verb", [*LISTS, "doctor"])
def test_a_pipe_gets_whole_rows(full: Terminal, verb: str) -> None:
    """No escape, no id that is cut, a row on one line, nothing but blanks left out at its end, nothing on stderr."""
    said = full.piped(*verb.split(), *ON_THE_STORE[verb])

    assert (verb == "doctor", "") == (said.code == 1, said.err)
    assert not [sign for sign in ("\x1b", "…", "\r") if sign in said.out]
    assert not [line for line in said.out.splitlines() if line != line.rstrip()]
    for each in IDS if verb == "events list" else ():
        assert 1 == len([line for line in said.out.splitlines() if each in line])
    if verb == "orgs":
        assert REASON in said.out
    if verb == "jobs":
        assert f"{DIGEST} late coupon {GATEWAY}" in said.out


def test_a_sentence_is_one_line_in_a_pipe_and_wrapped_on_a_screen(full: Terminal) -> None:
    """Whoever searches a log for it finds it."""
    piped = full.piped("purge", "--all", "--dry-run")
    seen = full.on_screen(40, "purge", "--all", "--dry-run")

    assert 1 == len(piped.out.splitlines())
    assert 40 >= max(map(len, seen.out.splitlines()))
    assert piped.out.split() == seen.out.split()


@pytest.mark.parametrize("verb", LISTS)
@pytest.mark.parametrize("columns", [30, 40, 60, 80, 100, 140, 200])
def test_a_screen_hides_nothing_behind_its_edge(full: Terminal, columns: int, verb: str) -> None:
    """No line is longer than the screen, every word is to be read, and where ids are cut that is said."""
    told = {"events show": f"{DIGEST} {safe(MESSAGE)}", "jobs": "reconcile dry run cancelled (by root)", "orgs": REASON}

    said = full.on_screen(columns, *verb.split(), *ON_THE_STORE[verb])

    seen = STYLE.sub("", said.out)
    assert (0, "") == (said.code, said.err)
    assert "\x1b" not in seen
    assert columns >= max(map(cell_len, seen.splitlines()))
    joined = "".join(seen.split())
    for word in told.get(verb, "").split():
        assert word in joined
    if verb == "events list" and "show what was cut" not in " ".join(seen.split()):
        for each in IDS:
            assert each in joined


@pytest.mark.parametrize("verb", LISTS)
@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_who_wants_no_colours_gets_none(full: Terminal, verb: str, name: str, value: str) -> None:
    """Not one escape is sent, and the words are the same."""
    coloured = full.on_screen(120, *verb.split(), *ON_THE_STORE[verb])
    full.patch.setenv(name, value)

    plain = full.on_screen(120, *verb.split(), *ON_THE_STORE[verb])

    assert "\x1b" in coloured.out
    assert STYLE.sub("", coloured.out) == plain.out


@pytest.mark.parametrize("verb", ["events list", "events show", "jobs", "orgs", "doctor", "reconcile"])
def test_json_is_alone_on_stdout(full: Terminal, verb: str) -> None:
    """Whoever reads it by a program finds one document, and ids as they came."""
    said = full.piped(*verb.split(), *ON_THE_STORE[verb], "--json")

    found = json.loads(said.out)
    assert said.out.startswith(("[", "{"))
    assert not said.err
    if verb == "events list":
        assert {DIGEST, GATEWAY, OBEYED} <= {row["event_id"] for row in found}


@pytest.mark.parametrize("verb", ["export events", "export adjustments"])
def test_an_export_is_one_document_a_line(full: Terminal, verb: str) -> None:
    """Also with ids and messages that have line ends."""
    said = full.piped(*verb.split())

    rows = [json.loads(line) for line in said.out.splitlines()]
    assert len(rows) > 2
    assert {dict} == {type(row) for row in rows}


@pytest.mark.parametrize(
    "verb", ["events list", "events show x", "jobs", "replay --all --dry-run", "purge --all", "orgs"]
)
def test_nothing_is_said_in_words(terminal: Terminal, tmp_path: Path, verb: str) -> None:
    """An empty store is no error, except for whoever asks for an event that is not there."""
    terminal.patch.setenv(database.VARIABLE, f"sqlite:///{tmp_path / 'empty.db'}")
    assert 0 == terminal.piped("migrate").code

    said = terminal.piped(*verb.split())

    if verb == "events show x":
        assert (1, "", "tiersync: there is no event x: see `tiersync events list`\n") == (said.code, said.out, said.err)
    else:
        assert (0, "") == (said.code, said.err)
        assert re.search(r"^No |every org\s+working", said.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("sqlite:////nowhere/tiersync.db", 1),
        ("sqlite:///{folder}/scribbled.db", 1),
        ("postgresql://somebody:a-secret-password@127.0.0.1:9/tiersync", 1),
        ("mysql://somebody:a-secret-password@db/tiersync", 2),
        ("nonsense", 2),
    ],
)
@pytest.mark.parametrize("verb", ON_THE_STORE)
def test_a_database_that_cannot_be_used_is_named(
    terminal: Terminal, tmp_path: Path, verb: str, url: str, code: int
) -> None:
    """A line on stderr (of the doctor: in the list) names the setting, not the password, and stdout stays empty."""
    (tmp_path / "scribbled.db").write_text("no database\n" * 999)
    terminal.patch.setenv(database.VARIABLE, url.format(folder=tmp_path))

    said = terminal.piped(*verb.split(), *ON_THE_STORE[verb])

    assert code == said.code
    assert "a-secret-password" not in said.out + said.err
    if verb == "doctor":
        assert re.search(r"^FAIL +(store|settings: TIERSYNC_DATABASE_URL): ", said.out, re.MULTILINE)
    else:
        assert re.fullmatch(r"tiersync: TIERSYNC_DATABASE_URL: .+\n", said.err)
        assert not said.out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("events list --org x", "Invalid value for '--org': 'x' is no whole number"),
        ("events list --org 99999999999999999999", "99999999999999999999 is not between 0 and 9223372036854775807"),
        ("events list --customer -4", "Invalid value for '--customer': -4 is not between 1 and "),
        ("events list --limit 0", "Invalid value for '--limit': 0 is not between 1 and "),
        ("events list --since yesterday", "Invalid value for '--since': 'yesterday' is no ISO date or time. Example: "),
        ("events list --status wat", "'wat' is none of pending, done, dead, quarantined, superseded, ignored"),
        ("events list --reason \udcff", "Invalid value for '--reason': '\\udcff' is not UTF-8"),
        ("events list --nosuch", "No such option: --nosuch"),
        ("events show", "Missing argument 'EVENT_ID'"),
        ("events show \udcff", "'\\udcff' is not UTF-8"),
        ("events nosuch", "No such command 'nosuch'"),
        ("export events --until 2026-13-01", "Invalid value for '--until'"),
        ("import", "Missing argument 'FILE'"),
        ("jobs --limit many", "Invalid value for '--limit': 'many' is no whole number"),
        ("jobs cancel 4294967296", "Invalid value for 'ID': 4294967296 is not between 1 and 2147483647"),
        ("pause 77", "Invalid value for 'ORG': 77 is not configured (50614); 0 pauses every org"),
        ("resume 77", "Invalid value for 'ORG': 77 is not configured (50614); 0 resumes every org"),
        ("pause -- -1", "Invalid value for 'ORG': -1 is not between 0 and "),
        ("purge", "name events or a filter"),
        ("purge --older-than soon", "Invalid value for '--older-than': 'soon' is no age. Example: --older-than 30d"),
        ("reconcile --group 1 --primary 2", "name either --group or --primary"),
        ("reconcile --rate -1", "Invalid value for '--rate': -1 is not between 1 and "),
        ("reconcile --wait long", "Invalid value for '--wait': 'long' is no whole number"),
        ("replay", "name events or a filter"),
        ("replay --all --rate 0", "Invalid value for '--rate': 0 is not between 1 and "),
        ("serve --port 99999", "Invalid value for '--port': 99999 is not between 0 and 65535"),
        ("serve --role x", "'x' is not one of 'all', 'receiver', 'worker'"),
        ("sandbox --port x", "Invalid value for '--port': 'x' is no whole number"),
        ("sandbox --webhook-url nonsense", "TIERSYNC_SANDBOX_WEBHOOK_URL: must begin with http:// or https://"),
        ("demo nosuch", "there is no scenario 'nosuch'. Known: family, "),
        ("send", "Missing argument 'FILE'"),
        ("nosuch", "No such command 'nosuch'"),
    ],
)
def test_a_wrong_argument_names_itself(full: Terminal, arguments: str, complaint: str) -> None:
    """Exit code 2, the argument and what would be right on stderr, nothing on stdout."""
    said = full.piped(*arguments.split())

    assert (2, "") == (said.code, said.out)
    assert complaint in said.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("events show late --org 9", "there is no event late of org 9: see `tiersync events list`"),
        ("jobs cancel 99", "there is no job 99: see `tiersync jobs`"),
        ("resume 50614", "Org 50614 is not paused"),
        ("replay nosuch --dry-run", "nosuch: not stored, or left out by a filter; see `tiersync events list`"),
        ("replay late nosuch other --dry-run", "2 of these events: not stored, or left out by a filter"),
        ("import /nowhere/events.jsonl", "/nowhere/events.jsonl: cannot be read: No such file"),
        ("send /nowhere/event.json", "/nowhere/event.json: cannot be read: No such file"),
        ("send --url nonsense /dev/null", "/dev/null: no answer from nonsense: "),
        ("send --url http://127.0.0.1:9 /dev/null", "Is `tiersync serve` running there?"),
    ],
)
def test_what_cannot_be_done_is_said_on_stderr(full: Terminal, arguments: str, complaint: str) -> None:
    """Exit code 1, and a line that says why; stdout holds results only."""
    said = full.piped(*arguments.split())

    assert 1 == said.code
    assert complaint in said.err
    assert said.err.startswith("tiersync: ")
    assert "dry-run" in arguments or not said.out


def test_an_export_without_bodies_is_complained_of_once(full: Terminal, tmp_path: Path) -> None:
    """However many lines lack their body, one sentence says so; other lines have one each."""
    file = tmp_path / "events.jsonl"
    file.write_text(full.piped("export", "events").out + "{\n", "utf-8")
    count = len(file.read_text("utf-8").splitlines()) - 1

    said = full.piped("import", str(file), "--json")

    assert (1, {"refused": count + 1}) == (said.code, json.loads(said.out))
    wrong, bare = said.err.splitlines()
    assert wrong.startswith(f"tiersync: line {count + 1}: not JSON")
    assert f"tiersync: {count} lines have no body: export with --bodies" == bare


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_where_no_org_has_an_id_that_is_said(terminal: Terminal, tmp_path: Path, verb: str) -> None:
    """Exit code 2, and what to do: take every org, or give the one its id; then it is known by it."""
    terminal.patch.setenv(database.VARIABLE, f"sqlite:///{tmp_path / 'empty.db'}")
    assert 0 == terminal.piped("migrate").code

    unnamed = terminal.piped(verb, "50614")
    terminal.patch.setenv("TIERSYNC_ORG", "50614")
    named = terminal.piped(verb, "50614")

    assert (2, "") == (unnamed.code, unnamed.out)
    assert f"'ORG': no org is configured by its id: {verb} 0, or set TIERSYNC_ORG" in unnamed.err
    assert (0 if verb == "pause" else 1) == named.code
    assert "is not configured" not in named.err


def test_an_org_that_is_not_configured_is_not_reconciled(full: Terminal) -> None:
    """Where orgs are configured by id, another one is a slip."""
    full.patch.setenv("TIERSYNC_ORG", "50614")

    said = full.piped("reconcile", "--org", "77", "--dry-run")

    assert (2, "") == (said.code, said.out)
    assert "Invalid value for '--org': 77 is not configured (50614)" in said.err


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"status": "accepted", "event_id": "e1"}, ""),
        ({"status": "quarantined", "reason": "not_json"}, ": it is kept, but cannot be read: not_json"),
        (
            {"status": "quarantined", "reason": "field_invalid", "detail": "data.currentTierNumber: no number"},
            ": it is kept, but cannot be read: field_invalid: data.currentTierNumber: no number",
        ),
    ],
)
def test_a_body_that_cannot_be_read_is_not_well_sent(
    terminal: Terminal, tmp_path: Path, answer: dict[str, str], why: str
) -> None:
    """What the service keeps but cannot read fails the command, with the reason on stderr."""
    body = tmp_path / "event.json"
    body.write_text("{}")

    with answering(json.dumps(answer).encode()) as url:
        said = terminal.piped("send", "--url", url, str(body))

    told = f"{body}: 200 {json.dumps(answer)}"
    assert (1 if why else 0) == said.code
    assert (("", f"tiersync: {told}{why}\n") if why else (f"{told}\n", "")) == (said.out, said.err)


def test_a_misspelt_setting_is_named_and_the_work_done(full: Terminal) -> None:
    """Whoever sets TIERSYNC_DATABSE_URL would otherwise look into another database and wonder."""
    full.patch.setenv("TIERSYNC_LEASE_SS", "5")

    said = full.piped("orgs", "--json")

    assert 0 == said.code
    assert json.loads(said.out)
    assert "tiersync: TIERSYNC_LEASE_SS: there is no such setting; is TIERSYNC_LEASE_S meant?\n" == said.err


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_a_purge_asks_on_stderr(terminal: Terminal, tmp_path: Path, answer: str, code: int) -> None:
    """The question is not in the result; whoever does not agree is told that nothing was removed."""
    terminal.patch.setenv(database.VARIABLE, f"sqlite:///{tmp_path / 'tiersync.db'}")
    terminal.piped("migrate")
    (tmp_path / "old.jsonl").write_text(json.dumps({"body": "bm8gSlNPTg==", "received_at": 1_000}))
    assert 0 == terminal.piped("import", str(tmp_path / "old.jsonl")).code

    said = terminal.piped("purge", "--all", "--json", stdin=answer)

    left = json.loads(terminal.piped("events", "list", "--json").out)
    assert code == said.code
    assert "Remove 1 event for good? [y/N] " in said.err
    if code:
        assert said.err.endswith("tiersync: nothing was removed; --yes does not ask\n")
        assert (1, "") == (len(left), said.out)
    else:
        assert (1, []) == (json.loads(said.out)["removed"], left)
        assert said.out.startswith("{")


def test_ctrl_c_at_the_beginning_leaves_no_traceback(full: Terminal) -> None:
    """Most of the time that a short command takes it is still getting ready."""

    class Impatience:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "tiersync.cli.verbs":
                raise KeyboardInterrupt

    full.patch.delitem(sys.modules, "tiersync.cli.verbs")
    full.patch.setattr("sys.meta_path", [Impatience(), *sys.meta_path])

    said = full.piped("events", "list")

    assert (130, "", "") == (said.code, said.out, said.err)


def test_who_closed_stdout_hears_nothing(full: Terminal) -> None:
    """`>&-` is a wish, not a fault."""
    said = full.piped("events", "list", closed=True)

    assert (0, "", "") == (said.code, said.out, said.err)


def test_whoever_has_no_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may run under a number that no file gives a name."""

    def nobody(number: int) -> None:
        raise KeyError(f"uid not found: {number}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)

    assert f"uid {os.getuid()}" == whoever()
