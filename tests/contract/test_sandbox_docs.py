"""`docs/sandbox.md` says everything there is, and nothing that is not."""

import re
from pathlib import Path

import pytest

from tests.contract.sandbox_kit import GROUP, PRIMARY, SECONDARIES, UNCLE, in_process
from tiersync.errors import SettingsError
from tiersync.sandbox.app import VERBS
from tiersync.sandbox.patch import known
from tiersync.sandbox.settings import SandboxSettings, load

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")
MARKED = set(re.findall(r"`([^`\n]+)`", PAGE))


def test_every_switch_is_on_the_page() -> None:
    """Each switch and each section it stands under is named in the page."""
    names = known()

    assert {section for section, _ in (name.split(".") for name in names)} <= MARKED
    assert {switch for _, switch in (name.split(".") for name in names)} <= MARKED


def test_every_parameter_of_a_fault_is_on_the_page() -> None:
    """Each parameter, and each key of when, is named in the page."""
    listed = [entry["parameters"] for entry in known().values() if "parameters" in entry]
    parameters = {name for each in listed if isinstance(each, dict) for name in each}

    assert parameters - {name for name in parameters if re.search(rf'[`"]{name}[`"]', PAGE)} == set()
    assert "hold_ms" in parameters


def test_every_setting_is_on_the_page() -> None:
    """Each setting is named in the page."""
    assert set(SandboxSettings.model_fields) <= MARKED


def test_every_path_is_on_the_page() -> None:
    """Each path is named in the page."""
    assert [verb.path for verb in VERBS if verb.path not in PAGE] == []


async def test_the_example_patch_is_accepted() -> None:
    """The PUT shown in the page works."""
    shown = PAGE.split("sandbox/faults -d '", 1)[1].split("'", 1)[0]

    async with in_process() as lab:
        answer = await lab.client.put("/sandbox/faults", content=shown)

    assert answer.status_code == 200


def test_the_example_family_is_the_one_described() -> None:
    """The ids on the page are the ids there are."""
    assert all(str(each) in PAGE for each in (GROUP, PRIMARY, *SECONDARIES, UNCLE))


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting is read from TIERSYNC_SANDBOX_ and its name, and nothing has to be set."""
    monkeypatch.setenv("TIERSYNC_SANDBOX_PORT", "9001")
    monkeypatch.setenv("TIERSYNC_SANDBOX_WEBHOOK_URL", "http://127.0.0.1:8080/webhook")

    settings = SandboxSettings()

    assert (settings.port, settings.webhook_url) == (9001, "http://127.0.0.1:8080/webhook")
    assert (settings.host, settings.org_id) == ("127.0.0.1", 50614)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("PORT", "99999999", "TIERSYNC_SANDBOX_PORT: Input should be less than or equal to 65535"),
        ("WEBHOOK_URL", "nonsense", "TIERSYNC_SANDBOX_WEBHOOK_URL"),
        ("PROT", "9001", "there is no such setting; did you mean TIERSYNC_SANDBOX_PORT?"),
    ],
)
def test_wrong_settings_are_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str) -> None:
    """A setting that is wrong, or that there is not, is named by its variable."""
    monkeypatch.setenv(f"TIERSYNC_SANDBOX_{variable}", value)

    with pytest.raises(SettingsError, match=re.escape(says)):
        load()
