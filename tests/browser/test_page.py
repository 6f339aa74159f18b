"""The operator at three in the morning: sees what is wrong, reads why, presses, and sees it turn green."""

import re

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, expect

from tests.browser.conftest import Visit, sign_in
from tests.browser.scene import Scene, fall, forgive
from tests.browser.views import views
from tests.journey.kit import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_dead_event_is_found_understood_and_replayed(here: Town, visit: Visit) -> None:
    """From the front: what is wrong is said, the event says why, and after a replay all turns green by itself."""
    page = visit.page
    family, _ = await fall(here)
    await expect(page.get_by_role("region", name="Health")).to_contain_text("dead")
    await page.get_by_role("listitem").filter(has_text="forbids adjustments").get_by_role("link", name="Look").click()
    await page.get_by_role("link", name="tierUpgraded").first.click()
    await expect(page.locator("main")).to_contain_text("Adjustments are not allowed for this customer")
    await expect(page.locator("main")).to_contain_text("code 3045")
    await forgive(here)

    await page.get_by_role("link", name="Replay …").click()
    await expect(page.locator("h1")).to_have_text("Replay 1 event?")
    await page.get_by_role("button", name="Replay 1 event").click()

    status = page.locator("#live .card").first.locator(".word")
    await expect(status).to_have_text("done")
    await expect(status).to_have_class(re.compile("good"))
    await expect(page.locator(".trip li").last).to_contain_text("Done")
    assert {"Gold"} == await here.followers(family)


async def test_the_way_there_needs_no_mouse(visit: Visit) -> None:
    """From the front to the replayed event with Tab and Enter alone, and what has the focus can be seen."""
    page = visit.page
    await page.goto("/console")

    await page.keyboard.press("Tab")
    await expect(page.locator(":focus")).to_have_text("Skip to the content")
    for wanted in ("Look", "tierUpgraded", "Replay …", "Replay 1 event"):
        await _tab_to(visit, wanted)
        was = page.url
        await page.keyboard.press("Enter")
        await page.wait_for_url(lambda url, was=was: url != was)

    await expect(page).to_have_url(re.compile(r"/console/events/\d+$"))


async def _tab_to(visit: Visit, text: str) -> None:
    for _ in range(60):
        await visit.page.keyboard.press("Tab")
        focused = visit.page.locator(":focus")
        if await focused.count() and (await focused.inner_text()) == text:
            assert "none" != await focused.evaluate("element => getComputedStyle(element).outlineStyle")
            return
    raise AssertionError(f"no way to {text!r} by keyboard")


async def test_a_live_part_keeps_focus_and_place(here: Town, visit: Visit) -> None:
    """When the view renews itself the focus stays on what had it, and the page stays where it was scrolled to."""
    page = visit.page
    await page.set_viewport_size({"width": 1000, "height": 300})
    await page.goto("/console/events")
    link = page.get_by_role("link", name="tierUpgraded").last
    await link.focus()
    focused = await link.get_attribute("id")
    scrolled = await page.evaluate("scrollY")
    await here.deliver(here.tier_event(1, 2, event_id="comes-while-looking"))

    await expect(page.locator("#live tbody tr")).not_to_have_count(0)
    async with page.expect_response(lambda answer: "shown=" in answer.url and answer.status == 200):
        pass
    await page.wait_for_timeout(50)

    assert focused == await page.evaluate("document.activeElement.id")
    assert scrolled > 0
    assert abs(scrolled - await page.evaluate("scrollY")) < 60


async def test_nobody_looks_nobody_asks(visit: Visit) -> None:
    """While the tab is hidden the page asks nothing; when it is looked at again it asks at once."""
    page, asked = visit.page, list[str]()
    await page.goto("/console")
    page.on("request", lambda request: asked.append(request.url) if "shown=" in request.url else None)

    await page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    await page.wait_for_timeout(5000)
    hidden = len(asked)
    await page.evaluate("Object.defineProperty(document, 'hidden', {value: false, configurable: true})")
    async with page.expect_request(re.compile("shown=")):
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    assert 0 == hidden


async def test_a_lost_connection_is_said(visit: Visit) -> None:
    """When the service cannot be asked any more, the page says that what it shows may be old; and takes it back."""
    page = visit.page
    await page.goto("/console")
    await visit.context.set_offline(True)
    await expect(page.locator("#lost")).to_contain_text("may be old", timeout=15_000)
    await visit.context.set_offline(False)
    await expect(page.locator("#lost")).to_be_empty(timeout=15_000)
    visit.errors.clear()


async def test_signed_out_a_view_leads_to_the_way_in(visit: Visit) -> None:
    """Whose session ends while a view is open is led to sign in by the next renewal, and back to the view."""
    page = visit.page
    await page.goto("/console/events?status=dead")
    await visit.context.clear_cookies()
    await page.wait_for_url(re.compile("/console/sign-in"))
    await sign_in(page)

    await expect(page).to_have_url(f"{visit.base}/console")
    visit.errors.clear()


async def test_a_link_from_elsewhere_finds_the_session(visit: Visit) -> None:
    """Who follows a link in a mail is still signed in, although the cookie is not sent to that first request."""
    page = visit.page
    elsewhere = visit.base.replace("127.0.0.1", "localhost")
    await page.goto(f"{elsewhere}/livez")
    await page.set_content(f'<a href="{visit.base}/console/events">An alert</a>')

    await page.get_by_text("An alert").click()

    await expect(page.locator("h1")).to_have_text("Events")
    visit.elsewhere.clear()
    visit.errors.clear()  # Chromium asks the other address for an icon


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_view_is_accessible_and_fits(here: Town, scene: Scene, visit: Visit, scheme: str) -> None:
    """In both themes axe-core finds nothing wrong with any view, and on a phone none has to be scrolled sideways."""
    page, wrong = visit.page, dict[str, str]()
    await page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
    for name, path in {**await views(here, scene), "sign in": "/console/sign-in"}.items():
        await page.set_viewport_size({"width": 1280, "height": 800})
        await page.goto(path)
        found = await Axe().run(page)
        if found.violations_count:
            wrong[name] = found.generate_report()
        await page.set_viewport_size({"width": 390, "height": 844})
        wide = await page.evaluate("document.documentElement.scrollWidth")
        if wide > 390:
            wrong[f"{name}, narrow"] = f"{wide} px wide"

    assert {} == wrong
    visit.errors.clear()  # Chromium complains of the 404 that is one of the views


async def test_the_theme_can_be_chosen(visit: Visit) -> None:
    """Dark is dark whatever the system says, on every view, until it is chosen otherwise."""
    page = visit.page
    await page.goto("/console/events")
    colours = []
    for theme in ("Dark", "Light"):
        await page.get_by_role("button", name=theme).click()
        await page.goto("/console")
        colours.append(await page.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert ["rgb(16, 19, 23)", "rgb(245, 246, 248)"] == colours


async def test_without_scripts_everything_works(here: Town, browser: Browser) -> None:
    """With JavaScript off the operator signs in, filters, reads and replays all the same."""
    family, _ = await fall(here)
    await forgive(here)
    context = await browser.new_context(base_url=f"http://127.0.0.1:{here.port}", java_script_enabled=False)
    page = await context.new_page()
    await page.goto("/console")
    await page.get_by_label("Operator token").fill("journey-operator-token")
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("link", name="Events").first.click()
    await page.locator("select[name=status]").select_option("dead")
    await page.get_by_label("Customer").fill(str(family.primary))
    await page.get_by_role("button", name="Find").click()
    await page.get_by_role("link", name="Replay all that match …").click()
    await page.get_by_role("button", name=re.compile("Replay 1 event")).click()

    await expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    await context.close()

    async def followed() -> bool:
        return {"Gold"} == await here.followers(family)

    await here.until(followed)
