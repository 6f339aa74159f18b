"""What is shipped beside the code fits it: image, lock files, unit, settings to fill in."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import tiersync
from tiersync import settings
from tiersync.sandbox.settings import SandboxSettings

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCKS = ("requirements.lock", "requirements-dev.lock")
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text("utf-8"))


def _pinned(lock: str) -> dict[str, str]:
    """Each distribution of a lock file with its version."""
    text = (ROOT / lock).read_text("utf-8")
    return {
        canonicalize_name(name): version for name, version in re.findall(r"(?m)^([\w.-]+)(?:\[.*?\])?==(\S+)", text)
    }


def _required(lines: list[str]) -> Iterator[tuple[str, Requirement]]:
    """The requirements that hold here, with their names as a lock file writes them."""
    for requirement in map(Requirement, lines):
        if requirement.marker is None or requirement.marker.evaluate():
            yield canonicalize_name(requirement.name), requirement


def _ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path of the tree away from the build; the last matching line counts."""
    ignored = False
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and fnmatch(path, pattern):
            ignored = not line.startswith("!")
    return ignored


def test_the_image_is_built_from_what_is_there() -> None:
    """Every file that the Dockerfile copies exists and reaches the build; the wheel's own inputs are among them."""
    copied = {source for line in re.findall(r"(?m)^COPY (?!--from)(.*)$", DOCKERFILE) for source in line.split()[:-1]}
    wheel = {PROJECT["project"]["readme"], *PROJECT["project"]["license-files"], "pyproject.toml", "service"}

    assert copied
    assert not wheel - copied
    assert not [source for source in copied if not (ROOT / source).exists() or _ignored(source)]
    assert _ignored(".venv")
    assert _ignored("tiersync.db")


def test_the_image_builds_with_pinned_tools_only() -> None:
    """Everything that builds it is pinned by a lock of its own, and nothing is fetched without a hash."""
    wanted = (ROOT / "deploy/locks/build.in").read_text("utf-8")
    pinned = _pinned("deploy/locks/build.lock")

    for name, requirement in _required([line for line in wanted.splitlines() if line and not line.startswith("#")]):
        assert requirement.specifier.contains(pinned[name])
    fetching = re.findall(r"\binstall (.*?)(?:&&|$)", DOCKERFILE, re.MULTILINE)
    assert 3 == len(fetching)
    assert not [step for step in fetching if not {"--require-hashes", "--no-index"} & set(step.split())]


def test_no_build_tool_is_left_in_the_image() -> None:
    """The environment that runs has no pip, the base image's is removed, and only that environment is taken over."""
    final = DOCKERFILE.rpartition("\nFROM ")[2]

    assert "venv --without-pip /opt/tiersync" in DOCKERFILE
    assert re.search(r"pip uninstall .*\bpip\b", final)
    taken = re.findall(r"(?m)^COPY --from=build (\S+)", final)
    assert ["/opt/tiersync", "/sbom/tiersync.cdx.json"] == taken
    assert not set(_pinned("requirements.lock")) & {"pip", "setuptools", "hatchling", "cyclonedx-bom"}


def test_the_bill_of_materials_is_what_is_installed(tmp_path: Path) -> None:
    """The image build's own command makes a valid CycloneDX file of every pinned package, with its hashes."""
    [command] = re.findall(r"/opt/build/bin/(cyclonedx-py .*)", DOCKERFILE)
    made = tmp_path / "sbom.json"
    words = [str(made) if word == "/sbom/tiersync.cdx.json" else word for word in command.split()]

    subprocess.run([Path(sys.executable).parent / words[0], *words[1:]], cwd=ROOT, check=True, capture_output=True)

    bill = json.loads(made.read_text("utf-8"))
    assert "CycloneDX" == bill["bomFormat"]
    assert "tiersync" == bill["metadata"]["component"]["name"]
    listed = {canonicalize_name(each["name"]): each for each in bill["components"]}
    assert _pinned("requirements.lock") == {name: each["version"] for name, each in listed.items()}
    assert all(
        reference.get("hashes") for each in listed.values() for reference in each.get("externalReferences", [])[:1]
    )


def test_the_image_runs_without_privileges_and_says_how_it_is() -> None:
    """The last stage runs `tiersync serve` as a user of its own, keeps the store on a volume, and has a check."""
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    wanted = {
        "USER 10001:10001",
        "VOLUME /var/lib/tiersync",
        'ENTRYPOINT ["tiersync"]',
        'CMD ["serve"]',
    }

    assert not wanted - set(final.splitlines())
    assert "/readyz" in re.findall(r"(?m)^HEALTHCHECK .*$", final)[0]
    assert f'image.version="{tiersync.__version__}"' in final
    given = dict(re.findall(r"\b(TIERSYNC_\w+)=(\S+)", final))
    assert {"TIERSYNC_HOST": "0.0.0.0", "TIERSYNC_PORT": "8080"}.items() <= given.items()  # noqa: S104 - in a container
    assert given["TIERSYNC_DATABASE_URL"].startswith("sqlite:////var/lib/tiersync/")


@pytest.mark.parametrize("lock", LOCKS)
def test_the_locks_cover_what_the_project_needs(lock: str) -> None:
    """Each dependency is pinned, to a version that the project accepts, and every pin has a hash."""
    wanted = PROJECT["project"]["dependencies"]
    if lock == "requirements-dev.lock":
        wanted = [*wanted, *PROJECT["project"]["optional-dependencies"]["dev"]]
    pinned = _pinned(lock)

    for name, requirement in _required(wanted):
        assert name in pinned, f"{name} is not pinned"
        assert requirement.specifier.contains(pinned[name], prereleases=True), f"{requirement} but {pinned[name]}"
    text = (ROOT / lock).read_text("utf-8")
    assert not [name for name, after in re.findall(r"(?m)^([\w.-]+)==\S+(.*)$", text) if "\\" not in after]
    assert "://" not in text, "a lock names no address"


def test_both_locks_agree() -> None:
    """What is tested is what is installed: the development lock pins the same versions."""
    run, develop = (_pinned(lock) for lock in LOCKS)

    assert run == {name: version for name, version in develop.items() if name in run}


def test_the_example_settings_can_be_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line of the example, commented ones included, names a setting; as it stands it would start a service."""
    text = (ROOT / "deploy" / "tiersync.env.example").read_text("utf-8")
    every = re.findall(r"(?m)^#?(TIERSYNC_\w+)=", text)
    for name, value in re.findall(r"(?m)^(TIERSYNC_\w+)=(.*)$", text):
        monkeypatch.setenv(name, value)

    loaded = settings.load()

    assert not settings.missing_to_serve(loaded)
    known = {f"{settings.PREFIX}{name.upper()}" for name in settings.Settings.model_fields}
    assert every
    assert not set(every) - known


def test_the_unit_gives_the_service_time_to_end() -> None:
    """Systemd waits longer than the service takes to stop, and keeps the store where it may be written."""
    unit = dict(re.findall(r"(?m)^(\w+)=(.*)$", (ROOT / "deploy" / "tiersync.service").read_text("utf-8")))

    assert int(unit["TimeoutStopSec"]) > 2 * settings.Settings.model_fields["shutdown_s_max"].default + 5
    assert unit["WorkingDirectory"] == f"/var/lib/{unit['StateDirectory']}"
    assert unit["ExecStart"].endswith("tiersync serve")


@pytest.fixture
def compose_variables() -> dict[str, dict[str, str]]:
    """The variables that each service of the compose file is given."""
    return {name: service.get("environment", {}) for name, service in COMPOSE["services"].items()}


def test_compose_sets_what_can_be_set(compose_variables: dict[str, dict[str, str]]) -> None:
    """Each TIERSYNC_ variable is a setting of what the service runs, and its ports are those that are listened on."""
    known = {f"{settings.PREFIX}{name.upper()}" for name in settings.Settings.model_fields}
    of_sandbox = {f"TIERSYNC_SANDBOX_{name.upper()}" for name in SandboxSettings.model_fields}
    service, sandbox = compose_variables["tiersync"], compose_variables["sandbox"]

    assert set(service) <= known
    assert set(sandbox) <= of_sandbox
    for name, variable in (("tiersync", "TIERSYNC_PORT"), ("sandbox", "TIERSYNC_SANDBOX_PORT")):
        [published] = COMPOSE["services"][name]["ports"]
        assert compose_variables[name][variable] == published.rpartition(":")[2]
    assert sandbox["TIERSYNC_SANDBOX_WEBHOOK_URL"] == f"http://tiersync:{service['TIERSYNC_PORT']}/webhooks/capillary"


def test_compose_is_closed_to_the_outside() -> None:
    """Every port is opened on loopback only, no password is written down, and ours run without rights."""
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    text = (ROOT / "deploy" / "compose.yaml").read_text("utf-8")

    assert ports
    assert [] == [port for port in ports if not port.startswith("127.0.0.1:")]
    assert [] == re.findall(r"PASSWORD: (?!\$\{\w+:\?)", text)
    for name in ("tiersync", "sandbox", "prometheus", "grafana"):
        service = COMPOSE["services"][name]
        assert (True, ["ALL"], ["no-new-privileges:true"]) == tuple(
            service[key] for key in ("read_only", "cap_drop", "security_opt")
        )


def test_compose_runs_this_version_with_what_it_mounts() -> None:
    """The image has this version's tag; what is mounted is there, and leads to rules and dashboard."""
    mounted = {
        mount.split(":")[0]: mount.split(":")[1]
        for service in COMPOSE["services"].values()
        for mount in service.get("volumes", [])
    }
    folders = [ROOT / "deploy" / source for source in mounted if source.startswith(".")]
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text("utf-8"))
    provided = yaml.safe_load(
        (ROOT / "deploy" / "grafana" / "provisioning" / "dashboards" / "tiersync.yaml").read_text("utf-8")
    )
    port = COMPOSE["services"]["tiersync"]["environment"]["TIERSYNC_PORT"]

    assert f"tiersync:{tiersync.__version__}" == COMPOSE["services"]["tiersync"]["image"]
    assert len(folders) == 3
    assert all(folder.is_dir() for folder in folders)
    assert {source for source in mounted if not source.startswith(".")} == set(COMPOSE["volumes"])
    assert [{"targets": [f"tiersync:{port}"]}] == scraped["scrape_configs"][0]["static_configs"]
    assert all((ROOT / "deploy" / "prometheus" / file).is_file() for file in scraped["rule_files"])
    assert mounted["./grafana/dashboards"] == provided["providers"][0]["options"]["path"]


def test_compose_gives_the_service_time_to_end() -> None:
    """Docker waits longer than answers, turns and the last export of traces take."""
    grace = COMPOSE["services"]["tiersync"]["stop_grace_period"]

    assert int(grace.removesuffix("s")) > 2 * settings.Settings.model_fields["shutdown_s_max"].default + 5
