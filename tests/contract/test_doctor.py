"""What `tiersync doctor` warns of: nothing that stops the service, and nothing that should stay so."""

from pathlib import Path

import pytest

from tests.ports import free_port
from tiersync.cli.checks import Finding, examine

RIGHT = {
    "CAPILLARY_USERNAME": "till.user",
    "CAPILLARY_PASSWORD": "password",
    "WEBHOOK_SECRETS": "a-long-enough-secret",
    "OPERATOR_TOKEN": "a-long-enough-token",
}


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


async def test_a_limit_of_calls_does_not_keep_it_from_calling(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The calls of a minute are leased in the store, which it only reads: it makes its one call all the same."""
    found = await findings(monkeypatch, tmp_path, CALLS_PER_MINUTE_MAX="60", BURST_TRIES_MAX="1")

    [called] = [finding for finding in found if finding.what == "Capillary"]
    assert not called.ok
    assert "within the limits" not in called.detail
