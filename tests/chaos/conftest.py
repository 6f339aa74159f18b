"""What the chaos begins with: a city for each file, emptied before each test."""

import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from tests.chaos.kit import City, city
from tests.journey.kit import PROGRAM
from tests.postgres import Postgres, server


@pytest.fixture(scope="module")
def policies() -> dict[str, Any]:
    """Name the settings of the file's city; a file may give its own."""
    return {"default_program": PROGRAM}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def founded(tmp_path_factory: pytest.TempPathFactory, policies: dict[str, Any]) -> AsyncIterator[City]:
    """Found the file's city."""
    async with city(tmp_path_factory.mktemp("city"), **policies) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def here(founded: City) -> AsyncIterator[City]:
    """The file's city, with nobody in it and no service begun; whatever life is left at the end is ended."""
    await founded.town.clear()
    yield founded
    await founded.end(signal.SIGKILL)


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """Run a PostgreSQL server that a test may kill."""
    with server() as running:
        yield running
