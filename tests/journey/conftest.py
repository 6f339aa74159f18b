"""What the journeys begin with: a town for each file, emptied before each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.journey.kit import Town, town


@pytest.fixture(scope="module")
def policies() -> dict[str, Any]:
    """Name the settings of the file's town; a file may give its own."""
    return {}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let the files that say so live on each kind of database: `DATABASES = ("sqlite", "postgresql")`."""
    kinds = getattr(metafunc.module, "DATABASES", None)
    if kinds and "town_database" in metafunc.fixturenames:
        metafunc.parametrize("town_database", kinds, indirect=True, scope="module")


@pytest.fixture(scope="module")
def town_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | str]:
    """Find the file's town a place for its store."""
    if getattr(request, "param", "sqlite") == "postgresql":
        with request.getfixturevalue("postgres").fresh() as url:
            yield url
    else:
        yield tmp_path_factory.mktemp("town")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def founded(town_database: Path | str, policies: dict[str, Any]) -> AsyncIterator[Town]:
    """Found the file's town."""
    async with town(town_database, **policies) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def here(founded: Town) -> Town:
    """The file's town, with nobody in it, no fault switched on and no call made."""
    await founded.clear()
    return founded
