"""Pause, resume and extend: of two pages of an experiment each follows what the other does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.nest]


def curves_of(page: Page) -> set[str]:
    """Return the runs whose curves the plot shows, or "band"."""
    expect(page.locator("#plot[data-ready]")).to_be_visible()
    sources = page.evaluate(
        "Bokeh.documents.at(-1).get_model_by_name('champion-fitness')"
        ".renderers.filter((r) => r.visible).map(({ data_source }) =>"
        " data_source.name === 'band' ? ['band'] : [...data_source.data.run].map(String))"
    )
    return {name for names in sources for name in names}


def test_a_page_follows_what_is_done_on_another_one(
    page: Page, site: Site, complaints: list[str]
) -> None:
    page.goto(f"{site.url}/experiments/new/?task=error-driven&preset=demo")
    page.get_by_label("Name", exact=True).fill("To be paused")
    page.get_by_label("Generations", exact=True).fill("10000")
    page.locator("#id_n_runs").fill("2")
    page.get_by_label("Stop at baseline").uncheck()
    page.get_by_role("button", name="Launch").click()
    page.wait_for_url(re.compile(r"/experiments/\d+/$"))
    watcher = page.context.new_page()
    watcher.goto(page.url)
    live = watcher.locator("[data-connection]")
    state = watcher.locator('[data-status] [data-field="state"]')
    expect(live).to_have_text("● Live")
    watcher.evaluate("window.notReloaded = true")
    expect(watcher.locator("[data-improvements] tr").first).to_be_visible(timeout=60_000)

    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("The experiment is paused.")).to_be_visible()
    expect(state).to_have_text("paused")
    expect(watcher.get_by_role("button", name="Resume")).to_be_visible()
    expect(watcher.get_by_role("button", name="Pause")).to_be_hidden()
    expect(watcher.get_by_role("button", name="Archive")).to_be_visible()
    expect(watcher.locator("[data-state-announcement]")).to_have_text(
        "The experiment is paused now."
    )
    expect(watcher.locator("#records")).to_contain_text("ann paused")
    expect(watcher.locator("#tile-success")).to_have_text(re.compile(r"^\s*([0-2] of 2|—)\s*$"))
    expect(watcher.locator("#tile-success")).to_be_visible()
    elapsed = watcher.locator('[data-field="elapsed"]')
    before = elapsed.inner_text()
    watcher.wait_for_timeout(2500)
    assert elapsed.inner_text() == before
    expect(live).to_have_text("● Live")

    # The watcher resumes; the first page, which was loaded while it rested, is told.
    watcher.get_by_role("button", name="Resume").click()
    expect(watcher.get_by_text("The experiment goes on.")).to_be_visible()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.locator('[data-status] [data-field="state"]')).to_have_text("running")
    done = watcher.locator("tr[data-run] [data-field=generation]").first
    before = done.inner_text()
    expect(done).not_to_have_text(before, timeout=60_000)

    page.locator("summary", has_text="Extend…").click()
    page.locator("#id_n_runs").fill("4")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Extend the experiment")).to_be_hidden()
    expect(page.locator("summary", has_text="Extend…")).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_label("Generations of each run").fill("20000")
    page.get_by_role("button", name="Extend the experiment").click()
    expect(page.get_by_text("The experiment was extended.")).to_be_visible()
    expect(watcher.locator("tr[data-run]")).to_have_count(4)
    expect(watcher.get_by_text("· 4 runs ·")).to_be_visible()
    runs = [row.get_attribute("data-run") for row in watcher.locator("tr[data-run]").all()]
    # The new run gets its turn when the others have had theirs.
    for _ in range(60):
        if curves_of(watcher) == set(runs):
            break
        watcher.wait_for_timeout(500)
    assert curves_of(watcher) == set(runs)

    watcher.get_by_role("button", name="Median").click()
    expect(watcher.locator('#plot[data-view="band"]')).to_be_visible()
    assert curves_of(watcher) == {"band"}
    watcher.get_by_role("button", name="Runs", exact=True).click()
    assert "band" not in curves_of(watcher)

    page.locator("summary", has_text="Stop…").click()
    page.get_by_role("button", name="Stop the experiment").click()
    expect(state).to_have_text("stopped")
    expect(watcher.get_by_role("link", name="Delete…")).to_be_visible()
    expect(watcher.locator("summary", has_text="Stop…")).to_be_hidden()
    assert complaints == []


def test_buttons_work_without_javascript(browser, site: Site, signed_in: dict) -> None:
    context = browser.new_context(storage_state=signed_in, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.url}/")
    page.get_by_role("link", name="To be paused").first.click()
    page.get_by_role("button", name="Archive").click()
    expect(page.get_by_text("in the archive", exact=True)).to_be_visible()
    page.get_by_role("button", name="Unarchive").click()
    page.get_by_role("link", name="Delete…").click()
    page.get_by_label("Name or number").fill("Something else")
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_text("This is neither its name nor its number.")).to_be_visible()
    page.get_by_label("Name or number").fill("To be paused")
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_text("was deleted.")).to_be_visible()
    context.close()
