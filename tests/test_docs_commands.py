"""What the pages show is typed here as it is printed: going live, operating, upgrading, against the sandbox."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ports import free_port

ROOT = Path(__file__).parents[1]
MADE_UP = {
    "its-client-key": "sandbox-key",
    "its-client-secret": "sandbox-secret",
    "its-password": "sandbox",
    "till.user": "till.sandbox",
    "EVENT_ID": "by-hand-1",
    "REASON": "refused",
}
EVENT = """{"eventName": "tierRenewed", "eventId": "by-hand-1", "data": {"loyaltyProgramId": 973,
  "customerIdentifiers": {"customerId": 566998132}, "currentTierNumber": 1}}"""


def _blocks(page: str, language: str = "sh") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)


def _serving(command: str, url: str) -> str:
    """Start a server, and go on when it answers."""
    return f"{command} 2>> served.log &\nuntil curl -sf -o /dev/null {url}; do sleep 0.1; done\n"


@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("curl") is None, reason="the pages use curl")
def test_going_live_works_as_printed(tmp_path: Path) -> None:
    """Whoever copies the page's commands ends with a registered webhook and a tier change that is done."""
    here, there = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    replaced = {**MADE_UP, "https://eu.api.capillarytech.com": there, "https://tiersync.example.com": here}
    secrets, check, stranger, *register, watch = _blocks("docs/going-live.md")
    dead = next(block for block in _blocks("docs/operating.md") if "--status dead" in block)
    [upgraded] = _blocks("docs/upgrading.md")

    def typed(block: str) -> str:
        for name, value in replaced.items():
            block = block.replace(name, value)
        return block

    steps = [
        "set -euo pipefail",
        f"export PATH={Path(sys.executable).parent}:$PATH",
        f"export TIERSYNC_PORT={here.rpartition(':')[2]} TIERSYNC_SANDBOX_PORT={there.rpartition(':')[2]}",
        "trap 'kill $(jobs -p)' EXIT",
        _serving("tiersync sandbox", f"{there}/"),
        *map(typed, (secrets, check)),
        _serving("tiersync serve", f"{here}/readyz"),
        *map(typed, (stranger, *register)),
        f'curl -sf {there}/sandbox/customers/566998132/tier -d \'{{"tier": "Gold"}}\'',
        f"until curl -s {there}/sandbox/converged | grep true; do sleep 0.1; done",
        f"echo '{EVENT}' | tiersync send -",
        'until tiersync events list --json | grep -q \'"status": *"done"\'; do sleep 0.1; done',
        *map(typed, (watch, dead, upgraded)),
    ]

    done = subprocess.run(
        ["bash", "-c", "\n".join(steps)], cwd=tmp_path, timeout=200, check=False, capture_output=True, text=True
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    said = re.sub(r"\s", "", done.stdout)
    assert "401" in done.stdout.splitlines()
    assert f'"webHookUrl":"{here}/webhooks/capillary"' in said
    assert '"active":true' in said
    assert "tierUpgraded" in done.stdout
    assert "FAIL" not in done.stdout


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/performance.md"])
def test_every_target_of_make_is_one(page: str) -> None:
    """`make` knows what the pages tell it to make."""
    targets = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text("utf-8")))
    named = set(re.findall(r"(?m)(?:^|`|\$ )make ([a-z]+)", (ROOT / page).read_text("utf-8")))

    assert named
    assert not named - targets
