"""The docs say what the code does: names, maps, numbers, links and commands."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.ports import free_port
from tiersync import settings
from tiersync.capillary.codes import CODES
from tiersync.cli.verbs import app as cli
from tiersync.console.reasons import REASONS
from tiersync.fanout import AdjustmentStatus
from tiersync.intake import EventStatus
from tiersync.store import Receipt
from tiersync.telemetry import FIELDS
from tiersync.telemetry.metrics import ANSWERS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "service" / "tiersync"
PAGES = sorted((ROOT / "docs").glob("*.md"))
DOCS = "\n".join(page.read_text("utf-8") for page in PAGES)
README = (ROOT / "README.md").read_text("utf-8")
OPERATING = (ROOT / "docs" / "operating.md").read_text("utf-8")
TELEMETRY = (ROOT / "docs" / "telemetry.md").read_text("utf-8")
ROOMS = (
    "receiver",
    "worker",
    "app",
    "jobs",
    "reconcile",
    "retention",
    "watch",
    "importing",
    "engine",
    "store",
    "console",
    "capillary",
    "telemetry",
)
OURS = [PACKAGE / room if (PACKAGE / room).is_dir() else PACKAGE / f"{room}.py" for room in ROOMS]
EVERYWHERE = [PACKAGE]
DOTTED = re.compile(r"[a-z]+\.[a-z_]+")
SPEAKING = {"debug", "info", "warning", "error", "exception", "critical", "level", "say"}
WORD = re.compile(r"[a-z]+(_[a-z]+)*")


def _calls(places: Sequence[Path]) -> Iterator[tuple[str, ast.Call]]:
    """Every call below `places`, with the name of what is called."""
    files = [file for place in places for file in ([place] if place.is_file() else sorted(place.rglob("*.py")))]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                called = node.func
                yield called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", ""), node


def _texts(nodes: Sequence[ast.expr]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _section(page: str, heading: str) -> str:
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def _log_events() -> set[str]:
    return {
        text
        for name, call in _calls(OURS)
        if name in SPEAKING
        for text in _texts(call.args[:1])
        if DOTTED.fullmatch(text)
    }


def _spans() -> set[str]:
    """The names of spans; those of calls are made from the names that the client gives to its calls."""
    named = {
        text for name, call in _calls([PACKAGE / "telemetry"]) if name == "_span" for text in _texts(call.args[:1])
    }
    calls = {
        text for name, call in _calls([PACKAGE / "capillary"]) if name == "_burst" for text in _texts(call.args[:1])
    }
    return named | {f"capillary.{call}" for call in calls}


def _metrics() -> set[str]:
    return {
        text
        for name, call in _calls([PACKAGE / "app", PACKAGE / "telemetry"])
        if name in {"Counter", "Histogram", "Gauge", "Info", "gauge"}
        for text in _texts(call.args[:1])
    }


def _reasons() -> set[str]:
    """The reason words of outcomes, readings, verdicts and closed keys."""
    makers = {"TryAgain": 0, "Refused": 0, "Skipped": 0, "_Refusal": 0, "Ignored": 1, "Unreadable": 1, "_Verdict": 1}
    pure = [PACKAGE / f"{room}.py" for room in ("webhook", "intake", "fanout")]
    found = {entry.reason for entry in CODES.values()}
    for name, call in _calls([*pure, *OURS]):
        at = makers.get(name, 2 if name in {"close", "_close"} else None)
        given = [word.value for word in call.keywords if word.arg in {"reason", "skip"}]
        found |= set(_texts([*call.args[at : at + 1], *given] if at is not None else given))
    return {reason for reason in found if WORD.fullmatch(reason)}


def _commands(command: Any, path: tuple[str, ...] = ("tiersync",)) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(path), command
        return
    for name, each in inner.items():
        yield from _commands(each, (*path, name))


def test_every_verb_and_option_is_documented() -> None:
    """Each verb stands in docs/ as it is typed, and each of its options by its long name."""
    commands = list(_commands(typer.main.get_command(cli)))

    options = {option for _, command in commands for parameter in command.params for option in parameter.opts}
    wanted = {verb for verb, _ in commands} | {option for option in options if option.startswith("--")}
    assert len(commands) > 5
    assert not sorted(name for name in wanted if not re.search(rf"`{re.escape(name)}\b", DOCS))


@pytest.mark.parametrize(
    ("kind", "names"),
    [("log event", _log_events()), ("metric", _metrics()), ("reason", _reasons())],
    ids=["log events", "metrics", "reasons"],
)
def test_every_name_the_service_speaks_is_explained(kind: str, names: set[str]) -> None:
    """Whatever an operator reads in log, metrics or dead letters is found in docs/."""
    assert len(names) > 5, f"no {kind} was found in the source"
    page = OPERATING + TELEMETRY if kind == "reason" else TELEMETRY
    assert not sorted(name for name in names if not re.search(rf"`{re.escape(name)}(_total|_info)?`", page))


def test_the_page_explains_every_reason() -> None:
    """Whatever reason the service stores, the page has words for it."""
    of_a_refusal = {"store_unavailable"}  # such a delivery is not stored

    assert not sorted(_reasons() - set(REASONS) - of_a_refusal)


def test_no_explanation_outlives_its_name() -> None:
    """Log events, metrics and spans that docs/telemetry.md explains exist."""
    told = set(re.findall(r"^\| `([a-z]+\.[a-z_]+)` \|", _section(TELEMETRY, "The log"), re.MULTILINE))
    metrics = set(re.findall(r"`(tiersync_[a-z_]+?)(?:_total|_info)?[`{]", TELEMETRY + OPERATING))
    spans = set(
        re.findall(r"`([^`]+)`", "".join(re.findall(r"^\| (`.*?`) \|", _section(TELEMETRY, "Traces"), re.MULTILINE)))
    )

    assert _log_events() == told
    assert _metrics() == metrics
    assert _spans() == {span for span in spans if not span.startswith("OTEL_")}


def test_every_answer_is_told_from_the_start() -> None:
    """What the receiver answers is what the metric begins with, and what docs/telemetry.md lists."""
    said = {"_later": 0, "_said": 1}
    given = {
        text
        for name, call in _calls([PACKAGE / "receiver.py"])
        if name in said
        for text in _texts(call.args[said[name] : said[name] + 1])
    }
    row = re.search(r"^\| `tiersync_deliveries_total` .*?: (.*) \|$", TELEMETRY, re.MULTILINE)

    assert row is not None
    assert set(ANSWERS) == (given - {"later"}) | set(Receipt)
    assert [*ANSWERS] == row[1].split(", ")


def test_the_log_may_hold_what_is_handed_to_it() -> None:
    """Every field of every log line in the source is an allowed one."""
    handed = {
        word.arg
        for name, call in _calls(OURS)
        if name in SPEAKING and any(DOTTED.fullmatch(text) for text in _texts(call.args[:1]))
        for word in call.keywords
        if word.arg
    }

    assert len(handed) > 10
    assert not handed - FIELDS


@pytest.mark.parametrize(("heading", "enum"), [("Events", EventStatus), ("Adjustments", AdjustmentStatus)])
def test_states_are_those_of_the_code(heading: str, enum: type[EventStatus | AdjustmentStatus]) -> None:
    """The table and the diagram of docs/states.md have every status of the code and no other."""
    page = (ROOT / "docs" / "states.md").read_text("utf-8")
    section = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]

    table = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    diagram = set(re.findall(r"^    (?:\[\*\]|\w+) --> (\w+)", section, re.MULTILINE))

    assert set(enum) == table
    assert set(enum) == diagram


def test_the_map_shows_the_house() -> None:
    """The map in docs/architecture.md lists the modules and packages of the source, and nothing else."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rooms = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }

    shown = re.findall(r"^[├└]── (\S+)", page, re.MULTILINE)

    assert sorted(rooms) == sorted(shown)


def test_the_product_of_the_retries_is_that_of_the_defaults() -> None:
    """The README's tries and hours follow from the default settings."""
    defaults = settings.Settings.model_construct()
    schedule = defaults.schedule
    waits = [schedule.delays_s[min(n, len(schedule.delays_s) - 1)] for n in range(schedule.attempts_max - 1)]
    spread = schedule.jitter_share
    least, most = (
        sum(min(wait * (1 + way * spread), schedule.delay_s_max) for wait in waits) / 3600 for way in (-1, 1)
    )
    tries, attempts = defaults.burst_tries_max, schedule.attempts_max

    assert f"up to {tries} times within {defaults.attempt_s_max:g} s" in README
    assert f"**{tries} \N{MULTIPLICATION SIGN} {attempts} = {tries * attempts} times**" in README
    assert f"**{sum(waits) / 3600:.1f} hours** ({least:.0f} to {most:.1f} with the spread)" in README


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CHANGELOG.md", *PAGES], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file of this tree, and every anchor a heading of it."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]

    broken = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)

    assert not broken


def test_every_page_is_reached_from_the_readme() -> None:
    """No page of docs/ is an orphan."""
    assert not [page.name for page in PAGES if f"(docs/{page.name}" not in README]


def test_several_orgs_are_configured_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiersync.toml of docs/operating.md loads, and each org has what is its own and what is shared."""
    shown = re.search(r"```toml\n(.*?)```", OPERATING, re.DOTALL)
    assert shown is not None
    (tmp_path / "tiersync.toml").write_text(shown[1], "utf-8")
    monkeypatch.setenv(settings.FILE_VARIABLE, str(tmp_path / "tiersync.toml"))

    loaded = settings.load()

    assert not settings.missing_to_serve(loaded)
    orgs = loaded.by_org()
    assert {50614: None, 50952: 1427} == {org: values.default_program for org, values in orgs.items()}
    assert [600, 600] == [values.calls_per_minute_max for values in orgs.values()]


def _blocks(section: str) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", README.partition(f"## {section}\n")[2].partition("\n## ")[0], re.DOTALL)


@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("curl") is None, reason="the quickstart uses curl")
def test_the_quickstart_runs_as_printed(tmp_path: Path) -> None:
    """What a newcomer copies from the README into two terminals works to the last line."""
    _, first, *others = _blocks("Quickstart")
    sandbox_port, service_port = free_port(), free_port()
    activate = tmp_path / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text(
        f"export PATH={Path(sys.executable).parent}:$PATH "
        f"TIERSYNC_SANDBOX_PORT={sandbox_port} TIERSYNC_PORT={service_port}\n",
        "utf-8",
    )

    def typed(block: str) -> list[str]:
        ports = block.replace(":8090", f":{sandbox_port}").replace(":8080", f":{service_port}")
        return ["bash", "-c", ports.replace("\ntiersync sandbox", "\nexec tiersync sandbox")]

    with subprocess.Popen(typed(first), cwd=tmp_path) as sandbox:
        try:
            listening = f"until curl -sf http://127.0.0.1:{sandbox_port}/; do sleep 0.1; done"
            subprocess.run(["bash", "-c", listening], timeout=100, check=True, capture_output=True)
            done = subprocess.run(
                [*typed("set -e\n" + "".join(others))],
                cwd=tmp_path,
                timeout=180,
                check=False,
                capture_output=True,
                text=True,
            )
        finally:
            sandbox.terminate()

    assert not done.returncode, done.stdout + done.stderr
    assert '"converged":true' in done.stdout
    assert "accepted" in done.stdout
    assert not re.search("^(FAIL|warn)", done.stdout, re.MULTILINE)


def test_nothing_is_left_to_do() -> None:
    """The tree holds no note to oneself."""
    note = re.compile(r"\b(TO" + r"DO|FIX" + r"ME)\b")
    skipped = {".venv", ".venv-bench", ".git", "dist"}
    kept = {".py", ".md", ".toml", ".service", ".example", ".json", ".mako", ""}
    files = [
        file
        for top in ROOT.iterdir()
        if top.name not in skipped and not top.name.endswith("_cache") and top.name != ".hypothesis"
        for file in ([top] if top.is_file() else top.rglob("*"))
        if file.is_file() and file.suffix in kept and not {"__pycache__", "node_modules"} & {*file.parts}
    ]

    assert len(files) > 50
    assert not [str(file.relative_to(ROOT)) for file in files if note.search(file.read_text("utf-8"))]
