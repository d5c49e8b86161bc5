"""The lab and the microscope: type a rule, watch a worker simulate it, keep it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.nest]


def test_a_rule_is_typed_checked_simulated_and_kept(
    page: Page, site: Site, complaints: list[str]
) -> None:
    page.goto(f"{site.url}/")
    page.get_by_role("link", name="Lab", exact=True).click()
    field = page.get_by_label("Weight change")
    field.press_sequentially("s*(v - z)")
    expect(page.locator("#check")).to_contain_text("(column 8)")
    field.fill("s*v - s*u")
    expect(page.locator("#check")).to_contain_text("Urbanczik-Senn")
    page.get_by_role("button", name="Simulate now").click()
    # Without leaving the lab: a worker does it, and the part renews itself when it is told to.
    shown = page.get_by_role("article", name=re.compile("^Simulation"))
    expect(shown.get_by_role("heading", name="Weights", exact=True)).to_be_visible(timeout=60_000)
    for plot in shown.locator("[data-figure-url]").all():
        plot.scroll_into_view_if_needed()
        expect(plot).to_have_attribute("data-ready", "")
    page.get_by_role("link", name="the page of this rule").click()
    page.wait_for_url(re.compile(r"/rules/\d+/$"))
    page.get_by_text("Give it a name").click()
    page.get_by_label("Name", exact=True).fill("Mine")
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_text("Mine by ann")).to_be_visible()
    assert complaints == []


def test_a_rule_is_validated_beside_the_rules_of_the_literature(
    page: Page, site: Site, complaints: list[str]
) -> None:
    page.goto(f"{site.url}/lab/?task=error-driven")
    page.get_by_label("Weight change").fill("2*s*v - 2*s*u")
    page.get_by_label("Name", exact=True).fill("Twice")
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_text("Twice by ann")).to_be_visible()
    expect(page.locator("#shape-0[data-ready]")).to_be_visible()
    section = page.get_by_role("region", name="Validation", exact=True)
    section.get_by_label("Parameters").select_option("error-driven/demo")
    section.get_by_label("Trials", exact=True).fill("4")
    section.get_by_role("button", name="Validate").click()
    # Without a reload: the part renews itself when a worker has done it.
    # Of the literature's rules; what the authors published is another row.
    row = section.get_by_role("row", name="Urbanczik-Senn 4")
    expect(row).to_contain_text("4", timeout=60_000)
    plot = section.locator("[data-figure-url]").first
    plot.scroll_into_view_if_needed()
    expect(plot).to_have_attribute("data-ready", "log")
    section.get_by_label("Parameters").select_option("error-driven/demo")
    section.get_by_label("Trials", exact=True).fill("1")
    section.get_by_role("button", name="Test the robustness").click()
    tornado = page.locator("#robustness")
    expect(tornado).to_be_attached(timeout=60_000)
    tornado.scroll_into_view_if_needed()
    expect(tornado).to_have_attribute("data-ready", "")
    expect(page.locator("#robustness-summary")).to_contain_text("learning rate")
    assert complaints == []
