"""What the journeys begin with: a town for each file, emptied before each test."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.journey.kit import Town, town


@pytest.fixture(scope="module")
def policies() -> dict[str, Any]:
    """Name the settings of the file's town; a file may give its own."""
    return {}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def founded(tmp_path_factory: pytest.TempPathFactory, policies: dict[str, Any]) -> AsyncIterator[Town]:
    """Found the file's town."""
    async with town(tmp_path_factory.mktemp("town"), **policies) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def here(founded: Town) -> Town:
    """The file's town, with nobody in it, no fault switched on and no call made."""
    await founded.clear()
    return founded
