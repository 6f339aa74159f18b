"""The demo, run as a person runs it."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tiersync.demo import play
from tiersync.demo.scenario import FAMILY, Decide, Person, Scenario, Settle, Switch

COMMAND = [sys.executable, "-m", "tiersync", "demo"]
LONGEST_S = 280
GRANDMOTHER, UNCLE = (person.customer for person in FAMILY.people if person.name in {"Grandmother", "Uncle"})

pytestmark = pytest.mark.timeout(300)  # many processes are started: on a busy machine that takes its time


def _demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, capture_output=True, text=True, timeout=LONGEST_S, check=False
    )


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_json_is_one_object_and_everybody_has_converged(tmp_path: Path) -> None:
    """`demo --json` prints one object of the documented shape and nothing else, and the family is together again."""
    keys = ["scenario", "events", "adjustments", "calls", "restarts", "converged", "seconds"]
    secondaries = sum(person.place == "secondary" for person in FAMILY.people)
    owed = secondaries * sum(isinstance(step, Decide) for step in FAMILY.steps)

    done = _demo(tmp_path, "--json")

    assert not done.stderr
    report = json.loads(done.stdout)
    assert keys == list(report)
    adjustments = report["adjustments"]
    assert owed == adjustments["applied"] + adjustments["already"]
    assert adjustments["already"] >= 2, "two calls take effect unheard: one times out, one is out when the kill comes"
    assert not adjustments["skipped"] + adjustments["dead"]
    assert report["converged"]
    assert report["restarts"]
    assert report["calls"] > owed
    assert not done.returncode
    assert not list(tmp_path.iterdir()), "the demo leaves nothing behind"


@pytest.mark.slow
def test_timeline_tells_the_story_in_order(tmp_path: Path) -> None:
    """Piped, the demo tells faults, dead letter, replay, kill and restart in plain lines, then where everybody is."""
    done = _demo(tmp_path)

    assert not done.stderr
    assert not done.returncode
    assert "\x1b" not in done.stdout
    story = [
        r"Father is upgraded from Silver to Gold",
        r"adjusts Mother: UPGRADE to Gold +200",
        r"429 too many calls",
        r"adjusts Son: UPGRADE to Diamond +no answer, but it took effect",
        r"tierUpgraded of Father is dead .*Grandmother: customer_barred",
        r"\$ tiersync replay --status dead",
        r"adjusts Grandmother: UPGRADE to Diamond +200",
        r"tierRenewed of Father came again",
        r"kill -9 \d+",
        r"the service is started again",
        r"tierDowngraded of Father is done",
        r"Mother +secondary +Gold +follows",
        r"Uncle +left +Silver +not touched",
    ]
    at = 0
    for line in story:
        found = re.compile(line).search(done.stdout, at)
        assert found is not None, f"{line!r} is missing after:\n{done.stdout[:at][-500:]}"
        at = found.end()


def test_an_unknown_scenario_is_refused(tmp_path: Path) -> None:
    """A name that is no scenario is refused with exit code 2 and the names there are."""
    done = _demo(tmp_path, "nosuch")

    expected = (2, "")
    assert expected == (done.returncode, done.stdout)
    assert "nosuch" in done.stderr
    assert "family" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_ends_its_children(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM ends service and sandbox too, and the temporary folder is gone."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    children: list[int] = []
    with subprocess.Popen(
        COMMAND,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever starts the tests in the background has them ignore SIGINT, and what is ignored stays ignored.
        preexec_fn=partial(signal.signal, number, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            children += [int(number) for number in re.findall(r"process (\d+)", line)]
            if "on disk" in line:
                break

        demo.send_signal(number)
        demo.communicate(timeout=LONGEST_S)

    interrupted, pair = 130, 2
    assert interrupted == demo.returncode
    assert pair == len(children)
    assert not [child for child in children if _lives(child)]
    assert not list(temporary.iterdir())


@dataclass(frozen=True, slots=True)
class _NotSoUncle(Scenario):
    """A family whose uncle never left, although the scenario says so."""

    def seed(self) -> Mapping[str, Any]:
        seed = dict(Scenario.seed(self))
        family = seed["groups"][0]
        return {**seed, "groups": [{**family, "secondaries": [*family["secondaries"], UNCLE], "exited": []}]}


@pytest.mark.slow
def test_what_must_not_be_is_said_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """A secondary left behind, a touched person who should have left and a dead letter each fail the demo by name."""
    steps = (Switch("", {"adjust": {"refuse": {str(GRANDMOTHER): 3045}}}), Decide("Gold"), Settle(dead=1))
    scenario = _NotSoUncle("wrong", "Wrong", 973, ("Silver", "Gold"), "family_002", FAMILY.people, steps)

    code = play(scenario, as_json=True)

    printed = capsys.readouterr()
    failed = 1
    assert failed == code
    assert not json.loads(printed.out)["converged"]
    for complaint in ("Grandmother is in Silver", "Uncle has left, but", f"adjustment of {GRANDMOTHER} is dead"):
        assert complaint in printed.err


def test_a_scenario_seeds_each_person_once() -> None:
    """Every person of the story stands in the seed under their own place, and only the primary leads."""
    people = (Person(1, "A", "primary"), Person(2, "B", "secondary"), Person(3, "C", "left"))
    expected = {"externalId": "group", "primary": 1, "secondaries": [2], "exited": [3], "tier": "Silver"}

    seed = Scenario("x", "X", 973, ("Silver", "Gold"), "group", people, ()).seed()

    assert expected == seed["groups"][0]
