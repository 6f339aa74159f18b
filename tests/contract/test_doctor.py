"""What `tiersync doctor` says: what is wrong and which setting to look at; and what should not stay so."""

from pathlib import Path

import pytest

from tests.contract.sandbox_kit import Lab
from tests.ports import free_port
from tiersync.cli.checks import Finding, examine

RIGHT = {
    "CAPILLARY_USERNAME": "till.user",
    "CAPILLARY_PASSWORD": "password",
    "WEBHOOK_SECRETS": "a-long-enough-secret",
    "OPERATOR_TOKEN": "a-long-enough-token",
    "ORG": "50614",
}
CREDENTIALS = "TIERSYNC_CAPILLARY_USERNAME, TIERSYNC_CAPILLARY_PASSWORD"


async def findings(monkeypatch: pytest.MonkeyPatch, folder: Path, **changed: str) -> list[Finding]:
    """Examine right settings, but for these; Capillary is out of reach."""
    monkeypatch.setenv("TIERSYNC_DATABASE_URL", f"sqlite:///{folder / 'tiersync.db'}")
    monkeypatch.setenv("TIERSYNC_CAPILLARY_URL", f"http://127.0.0.1:{free_port()}")
    for name, value in {**RIGHT, **changed}.items():
        monkeypatch.setenv(f"TIERSYNC_{name}", value)
    return await examine()


@pytest.mark.parametrize(
    ("changed", "what", "detail"),
    [
        ({"WEBHOOK_SECRETS": "a-long-enough-secret,short,curt"}, "webhook secrets", "2 shorter than 16 characters"),
        ({"OPERATOR_TOKEN": "short"}, "operator token", "shorter than 16 characters"),
        ({"ORG": ""}, "org", "TIERSYNC_ORG is not set"),
        ({"ORG": "0"}, "org", "one primary may have two states. Set it to your org's id"),
        ({"OPERATOR_TOKEN": ""}, "operator API", "closed: TIERSYNC_OPERATOR_TOKEN is not set"),
        ({"WEBHOOK_SECRET": "x"}, "settings", "TIERSYNC_WEBHOOK_SECRET: there is no such setting"),
        ({"WEBHOOK_SECRET": "x"}, "settings", "is TIERSYNC_WEBHOOK_SECRETS meant?"),
    ],
)
async def test_what_should_not_stay_so_is_a_warning(
    changed: dict[str, str], what: str, detail: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It says what and why, names the setting, and is no failure."""
    found = await findings(monkeypatch, tmp_path, **changed)

    [warning] = [finding for finding in found if finding.warns]
    assert what == warning.what
    assert detail in warning.detail
    assert warning.ok


async def test_right_settings_are_not_warned_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever set everything well reads no warning, and no secret is repeated."""
    found = await findings(monkeypatch, tmp_path)

    assert not [finding for finding in found if finding.warns]
    assert not [finding for finding in found for secret in RIGHT.values() if secret in finding.detail]


async def test_several_orgs_need_no_only_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where each org has a table, nothing is missing."""
    found = await findings(monkeypatch, tmp_path, ORG="", ORGS='{"50614": {}, "50952": {}}')

    assert not [finding for finding in found if finding.warns]


async def test_an_address_where_nobody_answers_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What was seen, and the setting to look at."""
    [wrong] = [finding for finding in await findings(monkeypatch, tmp_path) if not finding.ok]

    assert "Capillary of org 50614" == wrong.what
    assert wrong.detail.startswith("not_connected: ")
    assert wrong.detail.endswith(". Check TIERSYNC_CAPILLARY_URL")


@pytest.mark.parametrize(
    ("changed", "detail"),
    [
        (
            {"CAPILLARY_PASSWORD": "wrong"},
            f"not_authenticated (code 401): Authentication failed. Check {CREDENTIALS}",
        ),
        (
            {"CAPILLARY_KEY": "sandbox-key", "CAPILLARY_SECRET": "wrong"},
            "no_token (code 401). Check TIERSYNC_CAPILLARY_KEY, TIERSYNC_CAPILLARY_SECRET",
        ),
        ({"CAPILLARY_URL": "{url}/elsewhere"}, "no_such_resource (code 404). Check TIERSYNC_CAPILLARY_URL"),
    ],
)
async def test_wrong_credentials_and_addresses_are_named(
    sandbox: Lab, changed: dict[str, str], detail: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The settings that were used are named, and their values are not."""
    url = str(sandbox.client.base_url).rstrip("/")
    right = {"CAPILLARY_URL": url, "CAPILLARY_USERNAME": "till.sandbox", "CAPILLARY_PASSWORD": "sandbox"}
    given = {name: value.format(url=url) for name, value in {**right, **changed}.items()}

    [wrong] = [finding for finding in await findings(monkeypatch, tmp_path, **given) if not finding.ok]

    assert detail == wrong.detail


async def test_a_limit_of_calls_does_not_keep_it_from_calling(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The calls of a minute are leased in the store, which it only reads: it makes its one call all the same."""
    found = await findings(monkeypatch, tmp_path, CALLS_PER_MINUTE_MAX="60", BURST_TRIES_MAX="1")

    [called] = [finding for finding in found if finding.what == "Capillary of org 50614"]
    assert not called.ok
    assert "within the limits" not in called.detail
