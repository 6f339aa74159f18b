"""A town with a scene, and Chromium; both are started once for all tests of this folder."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.browser.chromium import ARGUMENTS, found
from tests.browser.scene import Scene, play
from tests.journey.kit import ORG, TOKEN, Town, town


@dataclass(slots=True)
class Visit:
    """A page in a browser of its own, signed in, and what went wrong in it."""

    page: Page
    context: BrowserContext
    base: str
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where Chromium is; the tests that need it are skipped where it is not."""
    path = found()
    if path is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    return str(path)


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """A town whose service has one org with a name."""
    async with town(tmp_path_factory.mktemp("browser"), org=ORG) as built:
        yield built


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def scene(here: Town) -> Scene:
    """Families, one of them with a dead secondary."""
    return await play(here)


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """Headless Chromium."""
    async with async_playwright() as player:
        opened = await player.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield opened
        await opened.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(here: Town, scene: Scene, browser: Browser) -> AsyncIterator[Visit]:
    """A signed-in page; it must end without an error, a refused script or style, or a request to anywhere else."""
    assert scene.dead_event
    base = f"http://127.0.0.1:{here.port}"
    context = await browser.new_context(base_url=base)
    context.set_default_timeout(10_000)
    page = await context.new_page()
    visited = Visit(page, context, base)
    watch(visited)
    await sign_in(page)
    yield visited
    await context.close()
    assert [] == visited.errors
    assert [] == visited.elsewhere


def watch(visited: Visit) -> None:
    """Note what the page complains about and whom it asks."""
    visited.page.on(
        "console", lambda said: visited.errors.append(said.text) if said.type in {"error", "warning"} else None
    )
    visited.page.on("pageerror", lambda error: visited.errors.append(str(error)))
    visited.page.on(
        "request",
        lambda asked: None if asked.url.startswith(visited.base) else visited.elsewhere.append(asked.url),
    )


async def sign_in(page: Page, token: str = TOKEN) -> None:
    """Sign in as an operator does."""
    await page.goto("/console")
    await page.get_by_label("Operator token").fill(token)
    await page.get_by_label("Your name").fill("Nightwatch")
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_selector("#live")
