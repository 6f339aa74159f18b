"""Same events in, same ledger out, byte for byte: in another process, under other hash seeds, zones and numbers."""

import hashlib
import json
import os
import random
import subprocess
import sys
from decimal import getcontext
from pathlib import Path

import pytest

from tests.unit.loyalty.world import KINDS, PEOPLE, Life, Step
from tiersync.loyalty.engine import Engine

ROOT = Path(__file__).parents[3]
STEPS = 300


def told() -> Life:
    """A long life of every kind of step, the same each time."""
    dice = random.Random(3)  # noqa: S311 - no secret
    steps = [
        Step(
            hours=dice.randrange(60),
            what=dice.choice(KINDS),
            holder=dice.choice(PEOPLE),
            amounts=tuple(dice.randrange(1, 60) for _ in range(dice.randrange(1, 4))),
        )
        for _ in range(STEPS)
    ]
    return Life().live(steps)


def digest(engine: Engine) -> str:
    """A fingerprint of the ledger and the log."""
    return hashlib.sha256(repr((engine.records, json.dumps(engine.log()))).encode()).hexdigest()


@pytest.mark.parametrize(
    "surroundings", [{"PYTHONHASHSEED": "0"}, {"PYTHONHASHSEED": "4242", "TZ": "Asia/Kathmandu", "LC_ALL": "C"}]
)
def test_another_process_comes_to_the_same_ledger(surroundings: dict[str, str]) -> None:
    """Neither the order of a set nor the machine's zone or language gets into ledger or log."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **surroundings}

    other = subprocess.run(
        [sys.executable, "-m", "tests.unit.loyalty.test_determinism"],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
    )

    assert digest(told().engine) == other.stdout


def test_the_life_told_is_worth_telling() -> None:
    """The life has hundreds of records of every sort, so that its fingerprint says something."""
    records = told().engine.records

    assert {"Entry", "LevelMove", "Enrolment", "Discount"} <= {type(record).__name__ for record in records}
    assert len(records) > STEPS


def test_a_log_replays_under_any_precision() -> None:
    """Points and money are exact: what a thread has set as the precision of its decimals does not show."""
    life = told()
    written = json.loads(json.dumps(life.engine.log()))
    context, before = getcontext(), getcontext().prec

    context.prec = 50
    try:
        again = Engine.replay(life.engine.setup, written)
    finally:
        context.prec = before

    assert digest(life.engine) == digest(again)


if __name__ == "__main__":
    sys.stdout.write(digest(told().engine))
