"""What is shipped beside the code fits it: image, lock files, unit, settings to fill in."""

import importlib.metadata
import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import tiersync
from tiersync import settings

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCKS = ("requirements.lock", "requirements-dev.lock")


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
    """Hatchling and whatever it needs are taken from the lock, and nothing is fetched without a hash."""
    taken = re.search(r"/\^\(([\w|.-]+)\)==/", DOCKERFILE)
    assert taken is not None
    tools = {"hatchling", *(name for name, _ in _required(importlib.metadata.requires("hatchling") or []))}

    assert tools == set(taken[1].split("|"))
    assert not tools - set(_pinned("requirements-dev.lock"))
    fetching = [step for step in re.findall(r"pip install ([^&\n]*)", DOCKERFILE) if "--no-index" not in step]
    assert fetching
    assert not [step for step in fetching if "--require-hashes" not in step]


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

    assert int(unit["TimeoutStopSec"]) > settings.Settings.model_fields["shutdown_s_max"].default
    assert unit["WorkingDirectory"] == f"/var/lib/{unit['StateDirectory']}"
    assert unit["ExecStart"].endswith("tiersync serve")
