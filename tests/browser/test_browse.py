"""From an experiment to its lineage, an individual and its rule, and back by search and plot."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.nest]

FRONT = """
() => {
  const plot = Bokeh.documents.at(-1).get_model_by_name("front");
  const renderers = plot.renderers.filter((renderer) => renderer.glyph.type === "Scatter");
  const best = renderers.at(-1);
  const x = best.data_source.data.complexity[0];
  const y = best.data_source.data.value[0];
  return {
    rule: best.data_source.data.rule[0],
    color: best.glyph.fill_color.value,
    x: plot.x_range.start < x && x < plot.x_range.end,
    y,
  };
}
"""


@pytest.fixture(scope="module")
def history(site: Site) -> str:
    """Evolve a few generations; return the path of the experiment."""
    written = site.manage(
        "evolve",
        "error-driven",
        "--runs",
        "1",
        "--generations",
        "12",
        "--inline",
        "--name",
        "Small",
    )
    number = re.search(r"experiment (\d+)", written)[1]
    return f"/experiments/{number}/"


def test_from_the_experiment_to_the_lineage_an_individual_and_its_rule(
    page: Page, site: Site, history: str, complaints: list[str]
) -> None:
    page.goto(site.url + history)
    page.get_by_role("link", name="Run 1").first.click()
    expect(page.get_by_role("heading", name="From the first ancestor")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Genome of Δw")).first).to_be_visible()
    page.get_by_role("link", name=re.compile("^individual ")).last.click()
    expect(page.get_by_role("heading", name=re.compile("^Individual "))).to_be_visible()
    page.get_by_text("The nodes as a table").click()
    expect(page.get_by_role("rowheader", name="output")).to_be_visible()
    page.get_by_role("link", name="More about this rule").click()
    expect(page.get_by_role("heading", name="Where it was found")).to_be_visible()
    page.get_by_role("link", name="Rules", exact=True).first.click()
    expect(page.get_by_role("heading", name="Complexity against fitness")).to_be_visible()
    assert complaints == []


def test_population_and_individuals_are_chosen_without_a_reload_of_empty_fields(
    page: Page, site: Site, history: str, complaints: list[str]
) -> None:
    page.goto(f"{site.url}{history}runs/1/")
    page.get_by_role("link", name="Population").click()
    page.get_by_role("link", name="Generation before").click()
    expect(page.get_by_role("heading", name="Generation ")).to_be_visible()
    page.get_by_role("link", name="Individuals").click()
    page.get_by_label("Outcome").select_option("inherited")
    page.wait_for_url(re.compile(r"individuals/\?outcome=inherited$"))
    expect(page.get_by_role("cell", name="evaluated", exact=True)).to_have_count(0)
    page.get_by_role("link", name="Clear").click()
    expect(page.get_by_role("cell", name="evaluated", exact=True).first).to_be_visible()
    assert complaints == []


def test_rules_are_searched_and_the_front_leads_to_a_rule(
    page: Page, site: Site, history: str, complaints: list[str]
) -> None:
    page.goto(f"{site.url}/rules/?task=error-driven")
    expect(page.locator("#front[data-ready]")).to_be_visible()
    light = page.evaluate(FRONT)
    assert light["x"]
    page.get_by_role("button", name=re.compile("Colours")).click()
    page.get_by_role("button", name=re.compile("Colours")).click()
    assert page.evaluate(FRONT)["color"] != light["color"]
    page.get_by_label("Expression").fill("s*v - s*u")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("heading", name="Rules that mean the same")).to_be_visible()
    assert complaints == []
    page.get_by_label("Expression").fill("s*(v - z)")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("alert")).to_contain_text("(column 8)")
    # The browser notes the status of the refused search.
    assert all("400" in text for text in complaints)


def test_a_click_on_the_front_opens_the_rule(
    page: Page, site: Site, history: str, complaints: list[str]
) -> None:
    page.goto(f"{site.url}/rules/?task=error-driven")
    expect(page.locator("#front[data-ready]")).to_be_visible()
    point = page.evaluate(
        """() => {
          const plot = Bokeh.documents.at(-1).get_model_by_name("front");
          const view = Bokeh.index.find_one_by_id(plot.id);
          const best = plot.renderers.filter((r) => r.glyph.type === "Scatter").at(-1).data_source;
          const box = view.canvas_view.el.getBoundingClientRect();
          const frame = view.frame;
          return {
            rule: best.data.rule[0],
            x: box.x + frame.x_scale.compute(best.data.complexity[0]),
            y: box.y + frame.y_scale.compute(best.data.value[0]),
          };
        }"""
    )
    page.mouse.click(point["x"], point["y"])
    page.wait_for_url(f"{site.url}/rules/{point['rule']}/")
    assert complaints == []
