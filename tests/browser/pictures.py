"""Take a picture of every view, in both themes, wide and narrow: `python -m tests.browser.pictures FOLDER`.

Without a folder it only renews docs/images/console.png, the picture in the README. All ids are made up.
"""

import asyncio
import random
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from playwright.async_api import Page, async_playwright

from tests.browser.chromium import ARGUMENTS, found
from tests.browser.scene import play, stall
from tests.browser.views import views
from tests.journey.kit import ORG, TOKEN, Town, town
from tiersync.store import database
from tiersync.telemetry import configure_logging

README_PICTURE = Path(__file__).parents[2] / "docs" / "images" / "console.png"
SIZES = {"wide": (1280, 800), "narrow": (390, 844)}


async def sign_in(page: Page, base: str) -> None:
    """Sign in as an operator does."""
    await page.goto(f"{base}/console")
    await page.get_by_label("Operator token").fill(TOKEN)
    await page.get_by_label("Your name").fill("Nightwatch")
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_selector("#live")


def spread(here: Town) -> None:
    """Move what is done back over the last hour, more of it in some minutes than in others."""
    dice = random.Random(7)  # noqa: S311 - a picture, the same one each time
    file = database.address(here.database_url).database or ""
    with closing(sqlite3.connect(file, timeout=10)) as connection, connection:
        rows = connection.execute("SELECT id FROM events WHERE status IN ('done', 'ignored') ORDER BY id").fetchall()
        backs = sorted((int(abs(dice.gauss(0, 1)) * 1_200_000) % 3_500_000 for _ in rows), reverse=True)
        for (row,), back in zip(rows, backs, strict=True):
            connection.execute(
                "UPDATE events SET received_at = received_at - ?, finished_at = finished_at - ? WHERE id = ?",
                (back, back, row),
            )
            connection.execute(
                "UPDATE adjustments SET planned_at = planned_at - ?, first_at = first_at - ?, last_at = last_at - ? "
                "WHERE event = ?",
                (back, back, back, row),
            )


async def main(folder: Path | None) -> None:
    """Play the scene and take the pictures."""
    configure_logging("error", "console")
    with tempfile.TemporaryDirectory(prefix="tiersync-pictures-") as work:
        async with town(Path(work), org=ORG, calls_per_minute_max=6000) as here, async_playwright() as player:
            scene = await play(here, families=60)
            spread(here)
            await stall(here, scene)
            base = f"http://127.0.0.1:{here.port}"
            browser = await player.chromium.launch(executable_path=found(), args=ARGUMENTS)
            for scheme in ("light", "dark"):
                for size, (width, height) in SIZES.items():
                    context = await browser.new_context(
                        color_scheme=scheme, viewport={"width": width, "height": height}, base_url=base
                    )
                    page = await context.new_page()
                    if folder is not None:
                        await page.goto("/console/sign-in")
                        await page.screenshot(path=folder / f"sign-in-{scheme}-{size}.png", full_page=True)
                    await sign_in(page, base)
                    if (scheme, size) == ("light", "wide"):
                        await page.goto("/console")
                        await page.screenshot(path=README_PICTURE, full_page=True)
                    if folder is not None:
                        for name, path in (await views(here, scene)).items():
                            await page.goto(path)
                            await page.screenshot(path=folder / f"{name}-{scheme}-{size}.png", full_page=True)
                    await context.close()
            await browser.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
