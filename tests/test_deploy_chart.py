"""The Helm chart, rendered by Helm's own engine: valid objects, safe pods, and only what fits together."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import tiersync
from tests.conftest import ServiceFactory
from tiersync.app import Role
from tiersync.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
CHART = ROOT / "deploy" / "helm" / "tiersync"
KUBERNETES = "1.31"
SECRETS = {"existingSecret": "tiersync"}
SCALED: Mapping[str, Any] = {
    **SECRETS,
    "existingConfigSecret": "orgs",
    "database": {"kind": "postgresql"},
    "separateRoles": True,
    "receiver": {"replicas": 3},
    "worker": {"autoscaling": {"enabled": True}},
    "ingress": {"enabled": True, "host": "tiersync.example.com", "tlsSecret": "tls"},
    "serviceMonitor": {"enabled": True},
    "settings": {"TIERSYNC_BODY_BYTES_MAX": 1048576, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"},
    "networkPolicy": {"egress": [{"ports": [{"port": 4318, "protocol": "TCP"}]}]},
}

# Helm's engine is a shared object with a runtime of its own: it stays out of the tests' process.
_HELM = """
import json, sys, helm_python as helm
asked = json.load(sys.stdin)
answers = []
for values in asked["values"]:
    try:
        with helm.Chart.load(asked["chart"]) as chart:
            chart.validate_schema(chart.merge_values(values))
            lint = helm.lint(asked["chart"], values)["errors"]
            answers.append({"files": chart.render(values, name="demo", namespace="prod"), "lint": lint})
    except helm.HelmError as error:
        answers.append({"refused": str(error)})
json.dump(answers, sys.stdout)
"""
pytestmark = pytest.mark.skipif(find_spec("helm_python") is None, reason="Helm's engine is not there for this machine")


def _helm(*values: Mapping[str, Any]) -> list[dict[str, Any]]:
    asked = json.dumps({"chart": str(CHART), "values": values})
    done = subprocess.run([sys.executable, "-c", _HELM], input=asked, capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


def _objects(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    assert "files" in answer, answer
    return [
        found
        for name, text in answer["files"].items()
        if not name.endswith(".txt")
        for found in yaml.safe_load_all(text)
        if found
    ]


@pytest.fixture(scope="module")
def rendered() -> dict[str, list[dict[str, Any]]]:
    """The objects of each way to install the chart."""
    examples = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in CHART.parent.glob("*.yaml")}
    ways = {"least": SECRETS, "scaled": SCALED, **examples}
    answers = dict(zip(ways, _helm(*ways.values()), strict=True))
    assert [] == [finding for answer in answers.values() for finding in answer.get("lint", [])]
    return {way: _objects(answer) for way, answer in answers.items()}


@pytest.fixture
async def routes(service: ServiceFactory) -> set[str]:
    """The paths that a service answers."""
    async with service(Role.ALL) as running:
        return {route.path for route in running.application.routes}


def _of(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in objects if each["kind"] == kind]


def _pods(rendered: Mapping[str, list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    for objects in rendered.values():
        yield from (deployment["spec"]["template"]["spec"] for deployment in _of(objects, "Deployment"))


def test_every_object_is_one_that_kubernetes_takes(rendered: dict[str, list[dict[str, Any]]]) -> None:
    """Each is valid by Kubernetes' own schema, without a field that it does not know."""
    checked = set()
    for objects in rendered.values():
        for each in objects:
            if not each["apiVersion"].startswith("monitoring.coreos.com/"):  # Prometheus Operator's, not Kubernetes'
                kubernetes_validate.validate(each, KUBERNETES, strict=True)
            checked.add(each["kind"])

    assert {
        "ConfigMap",
        "Deployment",
        "HorizontalPodAutoscaler",
        "Ingress",
        "NetworkPolicy",
        "PersistentVolumeClaim",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
    } == checked


def test_sqlite_has_one_server_and_a_volume_that_stays(rendered: dict[str, list[dict[str, Any]]]) -> None:
    """One replica, replaced and never doubled, on a claim that outlives the release."""
    [deployment] = _of(rendered["least"], "Deployment")
    [claim] = _of(rendered["least"], "PersistentVolumeClaim")

    assert 1 == deployment["spec"]["replicas"]
    assert {"type": "Recreate"} == deployment["spec"]["strategy"]
    assert "keep" == claim["metadata"]["annotations"]["helm.sh/resource-policy"]
    mounts = deployment["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert "/var/lib/tiersync" in {mount["mountPath"] for mount in mounts}


def test_roles_scale_by_themselves(rendered: dict[str, list[dict[str, Any]]]) -> None:
    """Receivers and workers are deployments of their own, webhooks reach receivers only, and metrics come from all."""
    objects = rendered["scaled"]
    deployments = {each["metadata"]["name"]: each for each in _of(objects, "Deployment")}
    args = {name: each["spec"]["template"]["spec"]["containers"][0]["args"] for name, each in deployments.items()}
    selectors = {each["metadata"]["name"]: each["spec"]["selector"] for each in _of(objects, "Service")}

    assert {
        "demo-tiersync-receiver": ["serve", "--role", Role.RECEIVER],
        "demo-tiersync-worker": ["serve", "--role", Role.WORKER],
    } == args
    assert 3 == deployments["demo-tiersync-receiver"]["spec"]["replicas"]
    assert "replicas" not in deployments["demo-tiersync-worker"]["spec"], "the autoscaler decides"
    assert [] == _of(objects, "PersistentVolumeClaim")
    role = "app.kubernetes.io/component"
    assert (Role.RECEIVER, None) == tuple(
        selectors[name].get(role) for name in ("demo-tiersync", "demo-tiersync-metrics")
    )
    for name, each in deployments.items():
        labels = each["spec"]["template"]["metadata"]["labels"].items()
        assert each["spec"]["selector"]["matchLabels"].items() <= labels
        assert selectors["demo-tiersync-metrics"].items() <= labels
        assert (selectors["demo-tiersync"].items() <= labels) == name.endswith("receiver")
    assert {"demo-tiersync-receiver", "demo-tiersync-worker"} == {
        each["metadata"]["name"] for each in _of(objects, "PodDisruptionBudget")
    }


def test_a_budget_never_blocks_a_drain(rendered: dict[str, list[dict[str, Any]]]) -> None:
    """A single replica has none: its node could not be emptied."""
    assert [] == _of(rendered["least"], "PodDisruptionBudget")


def test_pods_have_no_more_rights_than_they_need(rendered: dict[str, list[dict[str, Any]]]) -> None:
    """Not root, nothing but volumes can be written, no capabilities, no way to Kubernetes' API, bounded memory."""
    for pod in _pods(rendered):
        [container] = pod["containers"]
        rights = container["securityContext"]
        assert (True, 10001, "RuntimeDefault") == (
            pod["securityContext"]["runAsNonRoot"],
            pod["securityContext"]["runAsUser"],
            pod["securityContext"]["seccompProfile"]["type"],
        )
        assert (True, False, ["ALL"]) == (
            rights["readOnlyRootFilesystem"],
            rights["allowPrivilegeEscalation"],
            rights["capabilities"]["drop"],
        )
        assert pod["automountServiceAccountToken"] is False
        assert container["resources"]["limits"]["memory"]


def test_probes_ask_what_is_answered(rendered: dict[str, list[dict[str, Any]]], routes: set[str]) -> None:
    """Each probe's path is a route, on the port that the container listens on."""
    for pod in _pods(rendered):
        [container] = pod["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        given = {each["name"]: each["value"] for each in container["env"]}
        asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
        assert {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"} == {
            name: get["path"] for name, get in asked.items()
        }
        assert {get["path"] for get in asked.values()} <= routes
        assert {int(given["TIERSYNC_PORT"])} == {ports[get["port"]] for get in asked.values()}
    paths = {
        path["path"]
        for each in _of(rendered["scaled"], "Ingress")
        for rule in each["spec"]["rules"]
        for path in rule["http"]["paths"]
    }
    assert {"/webhooks/capillary"} == paths & routes
    assert {"/webhooks/capillary"} == paths
    [monitor] = _of(rendered["scaled"], "ServiceMonitor")
    assert {each["path"] for each in monitor["spec"]["endpoints"]} <= routes


def test_a_pod_is_given_time_to_end(rendered: dict[str, list[dict[str, Any]]]) -> None:
    """Its grace outlasts the pause before SIGTERM, the answers, the turns and the last export of traces."""
    shutdown_s = Settings.model_fields["shutdown_s_max"].default
    for pod in _pods(rendered):
        pause_s = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
        assert pause_s + 2 * shutdown_s + 5 < pod["terminationGracePeriodSeconds"]


def test_settings_arrive_as_they_are_meant(rendered: dict[str, list[dict[str, Any]]]) -> None:
    """Every variable is a setting, large numbers are whole, nothing secret is written down."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {f"{PREFIX}CONFIG"}
    for objects in rendered.values():
        [given] = [each["data"] for each in _of(objects, "ConfigMap")]
        assert {name for name in given if name.startswith(PREFIX)} <= known
        assert all(isinstance(value, str) and value for value in given.values())
        assert [] == _of(objects, "Secret")
    [scaled] = [each["data"] for each in _of(rendered["scaled"], "ConfigMap")]
    assert "1048576" == scaled["TIERSYNC_BODY_BYTES_MAX"]
    assert "/etc/tiersync/tiersync.toml" == scaled["TIERSYNC_CONFIG"]
    variables = set(re.findall(r"\bTIERSYNC_[A-Z_]+[A-Z]\b", (CHART / "values.yaml").read_text("utf-8")))
    assert variables <= known


def test_what_does_not_fit_together_is_refused() -> None:
    """The error names the value: no Secret, two servers on one file, secrets among the settings, unknown names."""
    wrong: dict[str, dict[str, Any]] = {
        "/existingSecret": {},
        "/separateRoles": {**SECRETS, "separateRoles": True},
        "/all/replicas": {**SECRETS, "all": {"replicas": 2}},
        "/all/autoscaling/enabled": {**SECRETS, "all": {"autoscaling": {"enabled": True}}},
        "/settings": {**SECRETS, "settings": {"TIERSYNC_OPERATOR_TOKEN": "x"}},
        "'PORT'": {**SECRETS, "settings": {"PORT": "1"}},
        "/ingress/host": {**SECRETS, "ingress": {"enabled": True}},
        "'replicaCount'": {**SECRETS, "replicaCount": 2},
    }

    answers = dict(zip(wrong, _helm(*wrong.values()), strict=True))

    assert [] == [(named, answer) for named, answer in answers.items() if named not in answer.get("refused", "")]


def test_the_chart_is_of_this_version() -> None:
    """The image that it runs is the one of this tree."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))

    assert (tiersync.__version__, tiersync.__version__) == (chart["version"], chart["appVersion"])
