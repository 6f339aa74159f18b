"""The operator finds drift that nobody told of, presses, and sees it repaired."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.browser.scene import drift, fall, forgive
from tests.journey.kit import Family, Town

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def to_the_group(visit: Visit, people: Family) -> None:
    """From the front to the view of a family, as an operator finds it."""
    page = visit.page
    await page.get_by_role("link", name="Events").first.click()
    await page.get_by_label("Customer").fill(str(people.primary))
    await page.get_by_role("button", name="Find").click()
    await page.get_by_role("link", name=f"Primary {people.primary}").click()


async def test_a_group_is_reconciled_where_it_is_looked_at(here: Town, visit: Visit) -> None:
    """From the group over the preview to the job, which counts by itself; and back to the group, which follows."""
    page, people = visit.page, await drift(here)
    await to_the_group(visit, people)

    await page.get_by_role("link", name="Reconcile …").click()
    await expect(page.locator("h1")).to_have_text("Reconcile 1 group?")
    await expect(page.locator("main")).to_contain_text("About 5 reading calls, at most 120 a minute")
    assert {"Gold", "Diamond"} == await here.followers(people)
    await page.get_by_role("button", name="Reconcile 1 group").click()

    await expect(page.locator("h1")).to_have_text(re.compile(r"Reconcile \d+"))
    await expect(page.locator("main")).to_contain_text("1 secondary drifted: 1 repaired", timeout=20_000)
    await expect(page.locator(".head .word")).to_have_text("done")
    await expect(page.locator("main")).to_contain_text("Nightwatch")
    assert {"Gold"} == await here.followers(people)
    await page.get_by_role("link", name="members and tiers").click()
    row = page.get_by_role("row").filter(has_text=str(people.secondaries[1]))
    await expect(row).to_contain_text("Gold")
    await expect(row.locator(".word")).to_have_text("follows")


async def test_a_secondary_that_is_known_to_have_drifted_is_brought_back(here: Town, visit: Visit) -> None:
    """Whom the group shows as drifted follows again after a reconcile, once Capillary lets it."""
    page, (people, _) = visit.page, await fall(here)
    await forgive(here)
    await to_the_group(visit, people)
    drifted = page.locator(".head .word")
    await expect(drifted).to_have_text("1 secondary drifted")

    await page.get_by_role("link", name="Reconcile …").click()
    await page.get_by_role("button", name="Reconcile 1 group").click()
    await expect(page.locator("main")).to_contain_text("1 secondary drifted: 1 repaired", timeout=20_000)
    await page.get_by_role("link", name="members and tiers").click()

    await expect(page.get_by_role("row").filter(has_text=str(people.secondaries[0]))).to_contain_text("follows")
    await expect(drifted).to_have_count(0)
    assert {"Gold"} == await here.followers(people)


async def test_a_dry_run_is_chosen_corrected_and_then_repaired(here: Town, visit: Visit) -> None:
    """The form says what is wrong where it is; a dry run changes nobody, and leads on to the repair."""
    page, people = visit.page, await drift(here)
    await page.get_by_role("link", name="Jobs").click()
    await page.get_by_role("link", name="Reconcile …").click()
    await page.get_by_label("Primary").fill("the one of yesterday")
    await page.get_by_label("Drifted secondaries").select_option("only compare")
    await page.get_by_role("button", name="Show what will happen").click()
    await expect(page.get_by_role("alert").filter(has_text="primary: must be an id")).to_be_visible()
    await expect(page.get_by_label("Primary")).to_be_focused()
    visit.errors.clear()  # Chromium tells of the 422

    await page.get_by_label("Primary").fill(str(people.primary))
    await page.get_by_label("Calls a minute").fill("6000")
    await page.get_by_role("button", name="Show what will happen").click()
    await page.get_by_role("button", name="Compare 1 group").click()
    await expect(page.locator("main")).to_contain_text("1 secondary drifted: nobody was changed", timeout=20_000)
    assert {"Gold", "Diamond"} == await here.followers(people)
    await page.get_by_role("link", name="Repair …").click()
    await expect(page.locator("main")).to_contain_text("at most 6,000 a minute")
    await page.get_by_role("button", name="Reconcile 1 group").click()

    await expect(page.locator("main")).to_contain_text("1 secondary drifted: 1 repaired", timeout=20_000)
    assert {"Gold"} == await here.followers(people)


async def test_a_slow_one_is_cancelled(here: Town, visit: Visit) -> None:
    """A running reconcile is ended from its own view, and says by whom."""
    page, people = visit.page, await drift(here)
    await page.goto(f"/console/reconcile?primary={people.primary}&rate=1")
    await page.get_by_role("button", name="Reconcile 1 group").click()
    await page.get_by_role("button", name="Cancel").click()

    await expect(page.locator("h1")).to_have_text("Jobs")
    row = page.get_by_role("row").filter(has_text=str(people.primary))
    await expect(row).to_contain_text("cancelled")
    await expect(row).to_contain_text("by Nightwatch")
    assert {"Gold", "Diamond"} == await here.followers(people)
