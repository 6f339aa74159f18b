"""The tables of the documentation say what the code says, and its examples work."""

import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import pytest

from tests.generate_docs import COMMAND, DOCS, TABLES, rendered
from tiersync import settings
from tiersync.capillary.codes import CODES
from tiersync.fanout import Policy
from tiersync.settings import PREFIX, OrgSettings, Settings

CONFIGURATION = (DOCS / "configuration.md").read_text(encoding="utf-8")
Load = Callable[[], Settings]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load the settings where there are none but the test's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(settings.FILE_VARIABLE, raising=False)
    return settings.load


def rows(text: str, columns: int) -> list[list[str]]:
    """Return the cells of every table of this width, without its head."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    bodies = [cells for cells in lines if not cells[0].startswith("---")]
    return [[cell.strip(" |") for cell in cells] for cells in bodies if len(cells) == columns]


def example(language: str) -> str:
    """Return the first example in this language."""
    found = re.search(rf"```{language}\n(.*?)```", CONFIGURATION, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("file", TABLES)
def test_a_generated_table_is_up_to_date(file: str) -> None:
    """What a reader finds in the table is what the code does today."""
    assert rendered(file) == (DOCS / file).read_text(encoding="utf-8"), f"out of date: run `{COMMAND}`"


def test_every_code_has_one_row_that_says_what_the_code_says() -> None:
    """The page is complete: no documented code is missing, none is explained twice."""
    listed = [cells for cells in rows((DOCS / "codes.md").read_text(encoding="utf-8"), 4) if cells[0].isdigit()]

    expected = [(str(code), entry.meaning, f"`{entry.reason}`") for code, entry in CODES.items()]
    assert expected == [(number, meaning, reason) for number, meaning, _, reason in listed]
    assert all(does for _, _, does, _ in listed)


def test_every_setting_has_one_row_with_its_meaning() -> None:
    """Nothing can be set that the page does not explain, and it says which settings an org may have of its own."""
    listed = re.findall(r"^\| `(TIERSYNC_\w+)` \| (.+?) \| (.+?) \|.*\| (yes)? ?\|$", CONFIGURATION, re.MULTILINE)

    assert [PREFIX + name.upper() for name in Settings.model_fields] == [variable for variable, *_ in listed]
    assert all(meaning for _, meaning, *_ in listed)
    own = {variable.removeprefix(PREFIX).lower() for variable, *_, per_org in listed if per_org}
    assert OrgSettings.model_fields.keys() == own


def test_every_policy_is_explained_with_each_of_its_values() -> None:
    """Whoever has to choose finds every choice, and which one is made for them."""
    table = CONFIGURATION.partition("## Policies")[2].partition("## All settings")[0]

    for name, field in Policy.__dataclass_fields__.items():
        default = Settings.model_fields[name].default
        _, found, rest = table.partition(f"| `{name}` |")
        assert found, name
        explained = re.split(r"\n\| `", rest)[0]
        values = type(default) if isinstance(default, StrEnum) else ["none" if default is None else default]
        for value in values:
            shown = f"`{value}`" if isinstance(default, StrEnum) else str(value)
            mark = " (default)" if value == default or default is None else ""
            assert re.search(rf"\| {re.escape(shown + mark)} \|", f"|{explained}"), (name, value)
        assert str(field.default) == str(default), name


def test_the_example_of_one_org_is_enough_to_serve(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who copies the few lines has a service that starts."""
    for line in example("sh").splitlines():
        name, _, value = line.partition("=")
        monkeypatch.setenv(name, value)

    assert settings.missing_to_serve(load()) == []


def test_the_example_of_several_orgs_is_enough_to_serve(load: Load, tmp_path: Path) -> None:
    """The file is taken as it is printed, and each org gets what its table and the top say."""
    (tmp_path / settings.DEFAULT_FILE).write_text(example("toml"), encoding="utf-8")

    loaded = load()

    assert settings.missing_to_serve(loaded) == []
    assert {org: values.calls_concurrent_max for org, values in loaded.by_org().items()} == {50614: 64, 50952: 16}
    assert {values.calls_per_minute_max for values in loaded.by_org().values()} == {600}
