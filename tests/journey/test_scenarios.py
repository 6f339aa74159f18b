"""Scenario files, played as a user plays them."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tiersync.demo import repertoire, run

DOCS = Path(__file__).parents[2] / "docs" / "scenarios.md"
THROUGH_THE_SERVICE = {"shared-pool", "fleet", "distributors"}
ALONE = {"groups", "conglomerate", "coffee-club", "spa"}


def _example() -> str:
    """Return the complete scenario that the page shows."""
    found = re.search(r"^```toml\n(.*?)^```", DOCS.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def _alone(example: str) -> str:
    """Return the same scenario without the service, which then brings nobody along."""
    return example.replace('through = "service"', 'through = "sandbox"').replace('Noah = "Gold"', 'Noah = "Silver"')


def _written(folder: Path, text: str, name: str = "mine") -> str:
    path = folder / f"{name}.toml"
    path.write_text(text, "utf-8")
    return str(path)


def test_the_page_lists_every_scenario() -> None:
    """The names that the page promises are those there are."""
    rows = re.findall(r"^\| `([a-z-]+)` \| ", DOCS.read_text("utf-8"), re.MULTILINE)

    names = THROUGH_THE_SERVICE | ALONE
    assert names == set(repertoire.names())
    assert {"family", *names} <= set(rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(THROUGH_THE_SERVICE | ALONE))
def test_a_scenario_meets_its_expectations(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every scenario that comes with tiersync ends well, and through the service with everybody in step."""
    code = run(name, as_json=True)

    printed = capsys.readouterr()
    assert not printed.err
    assert not code
    result = json.loads(printed.out)
    assert name == result["scenario"]
    assert result["expectations_met"]
    assert result["expectations"] >= result["happenings"], "a scenario without expectations shows nothing"
    if name in THROUGH_THE_SERVICE:
        assert result["converged"]
        assert result["adjustments"]["applied"], "the service has done it, not the sandbox"
        assert not result["adjustments"]["dead"]
    else:
        assert "converged" not in result


@pytest.mark.slow
def test_the_example_of_the_page_plays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The page's example, saved and played by its path, ends well with one adjustment made."""
    code = run(_written(tmp_path, _example()), as_json=True)

    printed = capsys.readouterr()
    assert not printed.err
    assert not code
    result = json.loads(printed.out)
    assert result["converged"]
    expected = {"applied": 1, "already": 0, "skipped": 0, "dead": 0}
    assert expected == result["adjustments"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after", "complaints"),
    [
        pytest.param(
            "{ Flat = 120 }",
            "{ Flat = 119 }",
            ["happening 2 (Noah buys", "points of Flat in programme 973 should be 119, is 120"],
            id="wallet",
        ),
        pytest.param(
            '{ Mia = "Gold"', '{ Mia = "Silver"', ['tier of Mia in programme 973 should be "Silver"'], id="tier"
        ),
        pytest.param(
            "points = { Noah = 0 }", "points = { Noah = 1 }", ["Noah should have 1 points", "has fewer"], id="too-few"
        ),
        pytest.param(
            "points = 121", "points = 120", ["should have been refused with 818, and was done"], id="not-refused"
        ),
        pytest.param("refused = 818", "refused = 830", ["refused with 830, was with 818"], id="refused-otherwise"),
        pytest.param("refused = 818", 'answer = { "x.y" = 1 }', ["happening 3", "refused with 818"], id="unexpected"),
        pytest.param(
            'redeems = { who = "Noah", points = 121, group = "Flat" }\n[happening.expect]\nrefused = 818',
            'call = "GET /v2/userGroup2"\nquery = { id = "{Flat}" }\n[happening.expect.answer]\n"rows.0" = 1',
            ["the answer has no 'rows.0'"],
            id="no-such-place",
        ),
        pytest.param(
            'redeems = { who = "Noah", points = 121, group = "Flat" }\n[happening.expect]\nrefused = 818',
            'call = "GET /v2/customers/{Nobody}"',
            ["happening 3", "nothing is known as {Nobody}"],
            id="no-such-name",
        ),
    ],
)
def test_what_is_not_as_expected_fails(
    before: str, after: str, complaints: Sequence[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An expectation that is not met fails the scenario, which says where, what was expected and what is."""
    example = _alone(_example())
    assert before in example

    code = run(_written(tmp_path, example.replace(before, after)), as_json=True)

    printed = capsys.readouterr()
    failed = 1
    assert failed == code
    assert not json.loads(printed.out)["expectations_met"]
    for complaint in complaints:
        assert complaint in printed.err


@pytest.mark.parametrize(
    ("before", "after", "line_with", "complaint"),
    [
        pytest.param("name = ", "name ", None, "at line 1", id="no-toml"),
        pytest.param("amount = 50", 'amount = "many"', "buys =", "happening 2, buys.amount", id="type"),
        pytest.param("amount = 50", "amount = -1", "buys =", "happening 2, buys.amount", id="negative"),
        pytest.param("points = 121", "pionts = 121", "redeems =", "happening 3, redeems.points", id="missing"),
        pytest.param("threshold = 100", "treshold = 100", "tiers = [", "programme 1, tiers", id="misspelt"),
        pytest.param("isGroupMember==Yes", "isGroupMember==", "[[programme]]", "programme 1", id="condition"),
        pytest.param("threshold = 100", "threshold = 0", "[[programme]]", "thresholds must rise", id="thresholds"),
        pytest.param("GROUP_ENABLED", "GRUOP_ENABLED", "GRUOP", "organisation.CONF_USER_GRUOP_ENABLED", id="flag"),
        pytest.param('who = "Noah", points', 'who = "Naoh", points', "More than", "'Naoh' is not known", id="person"),
        pytest.param('secondaries = ["Noah"]', 'secondaries = ["Naoh"]', "[[group]]", "no person 'Naoh'", id="member"),
        pytest.param("2040-03-07T10", "2040-03-05T10", "[[happening]]", "lies before", id="dates"),
        pytest.param("refused = 818", 'refused = "no"', "refused =", "happening 3, expect.refused", id="code"),
        pytest.param("redeems = {", "gives = {", "gives =", "happening 3, gives", id="verb"),
        pytest.param('through = "service"', 'through = "air"', "through =", "through", id="through"),
    ],
)
def test_a_malformed_file_is_refused(
    before: str,
    after: str,
    line_with: str | None,
    complaint: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What cannot be read is refused with exit code 2 before anything starts, naming the line and the field."""
    text = _example().replace(before, after, 1)
    assert text != _example()

    code = run(_written(tmp_path, text), as_json=True)

    printed = capsys.readouterr()
    assert not printed.out
    misused = 2
    assert misused == code
    assert complaint in printed.err
    if line_with is not None:
        line = int(re.search(r"line (\d+)", printed.err)[1])  # type: ignore[index]  # it is there
        assert line_with in "\n".join(text.splitlines()[line - 1 : line + 1])


@pytest.mark.parametrize("name", ["nosuch", "./nosuch.toml", ""])
def test_an_unknown_scenario_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is none is refused with exit code 2 and the names there are, a file that is not there with why."""
    code = run(name, as_json=True)

    printed = capsys.readouterr()
    assert not printed.out
    misused = 2
    assert misused == code
    told = ["No such file"] if name.endswith(".toml") else ["family", *repertoire.names(), "all"]
    for each in told:
        assert each in printed.err


@pytest.mark.slow
def test_all_goes_on_and_fails_if_one_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them are played even if one fails or is malformed, in one list, and the exit code says that one did."""
    example = _alone(_example())
    for name, text in {
        "a-bad": example.replace("Flat = 120", "Flat = 1"),
        "b-malformed": example.replace("amount", "amuont"),
        "c-good": example,
    }.items():
        _written(tmp_path, text.replace("flatmates", name), name)
    monkeypatch.setattr(repertoire, "FOLDER", tmp_path)

    code = repertoire.run_all((), lambda _: 0, as_json=True)

    results = json.loads(capsys.readouterr().out)
    failed = 1
    assert failed == code
    expected = {"a-bad": False, "b-malformed": False, "c-good": True}
    assert expected == {result["scenario"]: result["expectations_met"] for result in results}
