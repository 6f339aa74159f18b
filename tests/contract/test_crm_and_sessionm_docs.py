"""The pages about the SessionM and CRM.COM faces say everything there is, and their calls work."""

import re
from pathlib import Path

import pytest

from tests.contract.sandbox_kit import in_process
from tiersync.sandbox.crm.platform import Platform
from tiersync.sandbox.crm.routes import verbs as crm_verbs
from tiersync.sandbox.sessionm.club import Club
from tiersync.sandbox.sessionm.routes import verbs as sessionm_verbs

DOCS = Path(__file__).parents[2] / "docs"
CALL = re.compile(r"^curl -s(?: -X (\w+))? '?localhost:8090([^\s']+)'?(?: -d '(.*)')?$", re.MULTILINE)


@pytest.mark.parametrize("face", ["sessionm", "crm"])
def test_every_path_is_on_its_page(face: str) -> None:
    """Each path is named in the page of its face."""
    page = (DOCS / f"sandbox-{face}.md").read_text(encoding="utf-8")
    verbs = {"sessionm": sessionm_verbs(Club()), "crm": crm_verbs(Platform())}[face]

    assert [verb.path for verb in verbs if f"{verb.path}`" not in page] == []


@pytest.mark.parametrize(("face", "calls"), [("sessionm", 5), ("crm", 7)])
async def test_the_walk_works_as_shown(face: str, calls: int) -> None:
    """Each call of the page's walk succeeds, in the order shown."""
    page = (DOCS / f"sandbox-{face}.md").read_text(encoding="utf-8")
    shown = CALL.findall(page)

    async with in_process(webhook_url=None) as lab:
        statuses = [
            (await lab.client.request(method or ("POST" if body else "GET"), path, content=body or None)).status_code
            for method, path, body in shown
        ]

    assert len(statuses) == calls
    assert set(statuses) <= {200, 201}
