"""A figure of the paper: asked for by a button, watched while workers simulate, saved."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from e2l_site.locations import PROJECT_ROOT
from tests import published

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.nest]

ARTIFACTS = PROJECT_ROOT / "test-artifacts"


def test_a_figure_is_simulated_by_a_button_and_saved(
    page: Page, site: Site, complaints: list[str]
) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    if published.DIRECTORY.exists():
        site.manage("import_published", str(published.DIRECTORY / "raw"))
    page.goto(f"{site.url}/")
    page.get_by_role("link", name="Figures of the paper").click()
    page.get_by_role("link", name=re.compile("Figure 4")).click()
    expect(page.get_by_text("It has not been simulated yet.").first).to_be_visible()
    page.get_by_role("button", name="Simulate what is missing").click()
    # Without a reload by hand: the workers do it, and the page renews itself.
    expect(page.locator("#panel-4B[data-ready]")).to_be_visible(timeout=120_000)
    expect(page.locator("#panel-4D-validation")).to_be_attached(timeout=120_000)
    for plot in page.locator("[data-figure-url]").all():
        plot.scroll_into_view_if_needed()
        expect(plot).to_have_attribute("data-ready", "")
    expect(page.locator("#summary-4D-validation")).to_contain_text("(v - u)*s: -14.59")
    expect(page.get_by_role("button", name="Simulate what is missing")).to_have_count(0)
    card = page.locator("section.card", has=page.locator("#panel-4C"))
    with page.expect_download() as download:
        card.get_by_role("button", name="CSV").click()
    lines = download.value.path().read_text(encoding="utf-8").splitlines()
    assert lines[0] == "series,time (s),weight (pA)"
    assert sum(line.startswith("input 0,") for line in lines) > 400
    assert download.value.suggested_filename == "fig4-4C.csv"
    with page.expect_download() as download:
        card.get_by_role("button", name="SVG").click()
    assert "<svg" in download.value.path().read_text(encoding="utf-8")[:500]
    for scheme in ("light", "dark"):
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(300)  # figures take their new size and colours
            page.screenshot(path=ARTIFACTS / f"figure-4-{width}-{scheme}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert complaints == []


def test_a_rule_is_chosen_by_the_form(page: Page, site: Site, complaints: list[str]) -> None:
    page.goto(f"{site.url}/figures/fig5/")
    page.get_by_label("Rule").fill("w*E ; (1 - w)*E")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(re.compile(r"rule=w"))
    expect(page.get_by_role("heading", name="w*E ; (1 - w)*E", exact=False).first).to_be_visible()
    for plot in page.locator("[data-figure-url]").all():
        plot.scroll_into_view_if_needed()
        expect(plot).to_have_attribute("data-ready", "")
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=ARTIFACTS / "figure-5-rule.png", full_page=True)
    assert complaints == []
