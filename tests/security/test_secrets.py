"""Secrets: compared in constant time, replaced without a gap, and shown to nobody."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ServiceFactory
from tiersync.receiver import Secrets

MARKS = {
    "webhook_secrets": "mark-of-the-header",
    "webhook_signing_secrets": "whsec_bWFyay1vZi10aGUtc2lnbmF0dXJl",
    "operator_token": "mark-of-the-operator",
    "capillary_password": "mark-of-the-password",
}


class Watchful(bytes):
    """A secret that does not let itself be compared byte by byte."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared by ==, which ends at the first difference")

    __hash__ = bytes.__hash__


@pytest.mark.parametrize(("given", "accepted"), [("right", True), ("wrong", False), ("", False)])
def test_secrets_are_compared_in_constant_time(given: str, accepted: bool) -> None:  # noqa: FBT001
    """No comparison of a secret stops at the first byte that differs."""
    secrets = Secrets("authorization", [Watchful(b"other"), Watchful(b"right")], [], 300)

    assert accepted is secrets.accept_header({"authorization": given})


async def test_a_secret_is_replaced_without_a_gap(service: ServiceFactory) -> None:
    """While two are live both senders are let in; when the old one is gone, only the new one is."""
    said: dict[str, list[int]] = {}
    for live in (["old"], ["old", "new"], ["new"]):
        async with service(webhook_secrets=live) as running:
            event = {"eventName": "other", "eventId": f"e-{live}", "orgId": 1}
            answers = [await running.deliver(event, Authorization=secret) for secret in ("old", "new")]
            said["+".join(live)] = [answer.status_code for answer in answers]

    assert {"old": [200, 401], "old+new": [200, 200], "new": [401, 200]} == said


WRONG: dict[str, dict[str, str]] = {
    "a wrong setting": {"lease_s": "never"},
    "a wrong secret": {"webhook_signing_secrets": "whsec_mark-of-no-base64"},
    "a secret in the wrong place": {"port": "mark-of-the-operator"},
}


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("doctor", "nothing"),
        ("doctor --json", "nothing"),
        ("events list", "nothing"),
        ("migrate", "nothing"),
        *[(command, wrong) for command in ("doctor", "serve") for wrong in WRONG],
    ],
)
def test_no_command_shows_a_secret(tmp_path: Path, command: str, wrong: str) -> None:
    """Whatever a command says, with right or wrong settings, no secret is in it."""
    settings = {
        **MARKS,
        "capillary_url": "http://127.0.0.1:9",
        "capillary_username": "till",
        "database_url": f"sqlite:///{tmp_path / 'tiersync.db'}",
        **WRONG.get(wrong, {}),
    }
    environment = {f"TIERSYNC_{name.upper()}": value for name, value in settings.items()}
    ended = subprocess.run(
        [sys.executable, "-m", "tiersync", *command.split()],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.stdout + ended.stderr
    assert [] == [name for name, mark in MARKS.items() if mark in ended.stdout + ended.stderr]
    assert "mark-of" not in ended.stdout + ended.stderr


def test_an_address_with_a_password_is_refused(tmp_path: Path) -> None:
    """A password in the API's address would be shown wherever the address is: it is refused, and not repeated."""
    environment = {"TIERSYNC_CAPILLARY_URL": "https://till:mark-of-the-password@eu.api.example"}
    ended = subprocess.run(
        [sys.executable, "-m", "tiersync", "doctor"],
        env={**os.environ, **environment, "TIERSYNC_DATABASE_URL": f"sqlite:///{tmp_path / 't.db'}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert 0 != ended.returncode
    assert "TIERSYNC_CAPILLARY_URL" in ended.stdout + ended.stderr
    assert "mark-of" not in ended.stdout + ended.stderr


async def test_nothing_that_is_open_tells_a_secret(service: ServiceFactory) -> None:
    """Health, metrics and the API's document hold no secret."""
    given: dict[str, Any] = {**MARKS, "webhook_secrets": [MARKS["webhook_secrets"]]}
    given["webhook_signing_secrets"] = [MARKS["webhook_signing_secrets"]]
    async with service(**given) as running:
        pages = [await running.client.get(path) for path in ("/livez", "/readyz", "/metrics", "/openapi.json", "/none")]

    assert [] == [mark for mark in MARKS.values() for page in pages if mark in page.text]
    assert "mark-of" not in repr(running.settings)
