"""Dashboard and alerts ask for what the service really tells, and each alert leads to a page that helps."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Service, ServiceFactory
from tests.contract.sandbox_kit import PRIMARY, PROGRAM, Lab
from tiersync.app import Role

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
OPERATING = (ROOT / "docs" / "operating.md").read_text("utf-8")
RULES = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "tiersync.json").read_text("utf-8"))
PROMTOOL = yaml.safe_load((DEPLOY / "prometheus" / "tests.yml").read_text("utf-8"))
BY_PROMETHEUS = {"up": {"job", "instance"}}
"""What Prometheus adds itself."""
TARGET = {"job", "instance"}

Series = Mapping[str, set[str]]
"""Each series that is told, with the names of its labels."""


def _queries() -> Iterator[tuple[str, str, list[str]]]:
    """Every query with the place where it stands and the texts that name its labels."""
    for rule in RULES:
        yield rule["alert"], rule["expr"], [*rule["annotations"].values()]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$__rate_interval", "5m").replace("$job", ".+")
            yield panel["title"], expression, [target["legendFormat"]]


QUERIES = [*_queries()]


def _selectors(node: Any) -> Iterator[Any]:
    """The selectors of series below a node of a parsed query."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
        return
    inner = [getattr(node, name, None) for name in ("expr", "lhs", "rhs", "param", "vector_selector", "vs")]
    for each in [*inner, *(getattr(node, "args", None) or [])]:
        if each is not None and not isinstance(each, str | int | float):
            yield from _selectors(each)


def _grouped(query: str) -> set[str]:
    return {name.strip() for names in re.findall(r"\bby\s*\(([^)]*)\)", query) for name in names.split(",")} - {"le"}


@pytest.fixture
async def told(service: ServiceFactory, sandbox: Lab) -> Series:
    """Every series that a service tells that has received, adjusted and failed."""
    login = {
        "capillary_url": str(sandbox.client.base_url),
        "capillary_username": sandbox.settings.username,
        "capillary_password": sandbox.settings.password,
    }
    async with service(Role.ALL, **login) as running:
        await running.deliver(b"{")
        await running.deliver(_upgrade("done", 2))
        await _until(running, lambda text: text.count("tiersync_adjustments_total{") > 0)
        await _until(running, lambda text: "tiersync_oldest_pending_seconds 0.0" in text)
        await running.deliver(_upgrade("dead", 9))
        await _until(running, lambda text: "tiersync_dead_events{" in text)
        text = (await running.client.get("/metrics")).text
    series: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            series.setdefault(sample.name, set()).update(sample.labels)
    return series


def _upgrade(event_id: str, tier: int) -> dict[str, Any]:
    """The upgrade of the primary of the sandbox's family; it names the tier 2 and no other."""
    program = {"id": PROGRAM, "tiers": [{"tierNumber": 2, "tierName": "Gold"}]}
    data = {"customerIdentifiers": {"customerId": PRIMARY}, "loyaltyProgramDetails": program}
    return {"eventName": "tierUpgraded", "eventId": event_id, "data": {**data, "upgradedTierNumber": tier}}


async def _until(running: Service, true: Callable[[str], bool]) -> None:
    async with asyncio.timeout(30):
        while not true((await running.client.get("/metrics")).text):
            await asyncio.sleep(0.05)


async def test_every_query_asks_for_what_is_told(told: Series) -> None:
    """Each series of a query exists, with every label that the query selects, groups or shows by."""
    known = {**told, **BY_PROMETHEUS}
    unknown = []
    for place, query, texts in QUERIES:
        selectors = [*_selectors(promql_parser.parse(query))]
        assert selectors, f"{place}: no series in {query}"
        labels = set().union(*(known.get(selector.name, set()) for selector in selectors)) | TARGET
        shown = {name for text in texts for name in re.findall(r"\{\{\s*(?:\$labels\.)?([a-z]+)\s*\}\}", text)}
        for selector in selectors:
            matched = {matcher.name for matcher in selector.matchers.matchers}
            if selector.name not in known or matched - known[selector.name] - TARGET:
                unknown.append((place, selector.name, sorted(matched)))
        if lost := (_grouped(query) | shown) - labels - {"value"}:
            unknown.append((place, query, sorted(lost)))

    assert [] == unknown


async def test_every_metric_is_explained(told: Series) -> None:
    """docs/telemetry.md names each metric of ours that a running service tells, with its labels."""
    page = (ROOT / "docs" / "telemetry.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(tiersync_\w+)` \| (.*?) \|", page, re.MULTILINE))
    ours: dict[str, set[str]] = {}
    for name, labels in told.items():
        if name.startswith("tiersync_") and not name.endswith("_created"):
            ours.setdefault(re.sub(r"_(bucket|sum|count)$", "", name), set()).update(labels - {"le"})

    assert ours == {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows.items()}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_leads_to_what_is_to_be_done(rule: Mapping[str, Any]) -> None:
    """Its section in docs/operating.md says what it means, what to look at and what to press."""
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    section = OPERATING.partition(f"\n### {rule['alert']}\n")[2].partition("\n##")[0]

    assert ("docs/operating.md", rule["alert"].lower()) == (page, anchor)
    for part in ("**It means**", "**Look at**", "**Press**"):
        assert part in section, f"{rule['alert']}: {part} is missing"
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]


def test_no_runbook_outlives_its_alert() -> None:
    """Every section of a runbook belongs to an alert."""
    assert {rule["alert"] for rule in RULES} == set(re.findall(r"^### (Tiersync\w+)$", OPERATING, re.MULTILINE))


def test_the_alerts_name_answers_that_are_given() -> None:
    """A word that an alert matches exactly or by alternatives is one that the service uses."""
    telling = (ROOT / "docs" / "telemetry.md").read_text("utf-8") + OPERATING
    words: Sequence[str] = [
        word
        for _, query, _ in QUERIES
        for selector in _selectors(promql_parser.parse(query))
        for matcher in selector.matchers.matchers
        if matcher.name in {"answer", "outcome", "result"}
        for word in matcher.value.split("|")
    ]

    assert words
    assert [] == [word for word in words if not re.search(rf"\b{word}\b", telling)]


def test_the_tests_of_alerts_are_about_alerts_that_exist() -> None:
    """Each unit test names alerts by their names, expects them to be silent once, and to call with their runbook."""
    runbooks = {rule["alert"]: rule["annotations"]["runbook"] for rule in RULES}
    for test in PROMTOOL["tests"]:
        expected = [(check["alertname"], call) for check in test["alert_rule_test"] for call in check["exp_alerts"]]
        assert {check["alertname"] for check in test["alert_rule_test"]} <= set(runbooks), test["name"]
        assert any(not check["exp_alerts"] for check in test["alert_rule_test"]), test["name"]
        assert [] == [alert for alert, call in expected if call["exp_annotations"]["runbook"] != runbooks[alert]]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_the_alerts_pass_their_tests() -> None:
    """Prometheus' own tool finds that each alert calls when it should, and not before."""
    ran = subprocess.run(
        ["promtool", "test", "rules", str(DEPLOY / "prometheus" / "tests.yml")],
        check=False, capture_output=True, text=True,
    )  # fmt: skip

    assert not ran.returncode, ran.stdout + ran.stderr


def test_the_panels_do_not_overlap() -> None:
    """Each panel has a place and a number of its own, says what it shows, and stays within the width of a page."""
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert all(panel["description"] for panel in panels)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
