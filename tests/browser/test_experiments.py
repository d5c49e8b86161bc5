"""From the form to the discovered rule, in a real browser on a real site."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.browser.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.nest]

PLOT = """
() => {
  const plot = Bokeh.documents.at(-1).get_model_by_name("champion-fitness");
  const data = {};
  for (const { data_source } of plot.renderers) data[data_source.name] = data_source.data;
  const { x_range: x, y_range: y } = plot;
  return { data, x: [x.start, x.end], y: [y.start, y.end],
           color: plot.renderers[0].glyph.line_color.value };
}
"""


def plot_of(page: Page) -> dict:
    """Return the data and the ranges of the plot as BokehJS has them."""
    expect(page.locator("#plot[data-ready]")).to_be_visible()
    return page.evaluate(PLOT)


def cursors_of(page: Page) -> dict[str, int]:
    """Return, by run, the last generation that the page came with."""
    return json.loads(page.locator("[data-socket]").get_attribute("data-cursors"))


def assert_nothing_is_missing(page: Page) -> None:
    """Check that all generations since the page came have arrived, each once, in order."""
    arrived = defaultdict(list)
    for row in page.evaluate("window.arrived"):
        arrived[str(row["run"])].append(row["generation"])
    assert arrived
    for run, generations in arrived.items():
        start = cursors_of(page)[run] + 1
        assert generations == list(range(start, start + len(generations)))


def history_of(page: Page) -> list[dict[str, str]]:
    """Return every generation in the database, through the CSV file."""
    response = page.request.get(page.url + "history.csv")
    return list(csv.DictReader(io.StringIO(response.text())))


def wait_for(page: Page, condition: str, seconds: float = 30) -> None:
    """Wait until an expression is true in the page.

    Playwright's own way would need a policy with unsafe-eval.
    """
    deadline = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, f"never true: {condition}"
        page.wait_for_timeout(50)


@pytest.fixture(scope="module")
def experiment_path() -> dict[str, str]:
    """Hand the path of the experiment that the first test launches to the others."""
    return {}


@pytest.fixture
def experiment(page: Page, site: Site, experiment_path: dict[str, str]) -> Iterator[Page]:
    """Open the page of the running demo, launching it from the form where that is not done."""
    if not experiment_path:
        page.goto(f"{site.url}/experiments/new/?task=error-driven&preset=demo")
        # Long enough for all tests; the last one stops it.
        page.get_by_label("Generations", exact=True).fill("10000")
        page.get_by_label("Stop at baseline").uncheck()
        page.get_by_role("button", name="Launch").click()
        page.wait_for_url(re.compile(r"/experiments/\d+/$"))
        experiment_path["path"] = page.url.removeprefix(site.url)
    else:
        page.goto(site.url + experiment_path["path"])
    return page


def test_the_demo_is_launched_from_the_form_and_watched_live(
    experiment: Page, complaints: list[str]
):
    page = experiment
    expect(page.locator("[data-connection]")).to_have_text("● Live", timeout=20_000)
    expect(page.locator("#plot canvas").first).to_be_visible()
    page.evaluate("window.notReloaded = true")
    wait_for(page, "document.querySelectorAll('[data-improvements] tr').length >= 3", 60)
    assert page.locator(".champion__rule math").count() == 1
    # In this order: what comes between the two is not counted as a change.
    before = plot_of(page)
    first_rule = page.locator("#rule-text-0").inner_text()
    wait_for(page, f"document.querySelector('#rule-text-0').textContent !== {first_rule!r}", 90)
    # What belonged to the former rule has gone; how this one relates to known ones comes live.
    expect(page.locator('[data-field="known"] li').first).to_be_visible(timeout=15_000)
    after = plot_of(page)
    lengths = [sum(len(c["generation"]) for c in p["data"].values()) for p in (before, after)]
    assert lengths[1] > lengths[0]
    assert after["x"][1] >= before["x"][1]
    assert page.evaluate("window.notReloaded")
    # Read in one moment: both change together.
    best, of_champion = page.evaluate(
        """() => ['[data-field="best-fitness"]', '[data-champion] [data-field="fitness"]']
          .map((selector) => document.querySelector(selector).innerText)"""
    )
    assert best == of_champion
    assert complaints == []


def test_what_arrives_live_is_the_history_without_gaps_or_duplicates(
    experiment: Page, complaints: list[str]
):
    page = experiment
    wait_for(page, "window.arrived.length > 40", 60)
    assert_nothing_is_missing(page)
    assert complaints == []


def marks_of(data: dict[str, dict[str, list]], run: int) -> dict[str, list]:
    """Return generation and rule of what the plot marks as improvements of a run."""
    rows = [
        (columns["generation"][row], columns["rule"][row])
        for name, columns in data.items()
        if name.startswith("curves-")
        for row, owner in enumerate(columns["run"])
        if owner == run and columns["size"][row]
    ]
    return {"generation": [row[0] for row in rows], "rule": [row[1] for row in rows]}


def test_a_page_opened_late_shows_the_complete_history(experiment: Page, complaints: list[str]):
    page = experiment
    expect(page.locator("[data-connection]")).to_have_text("● Live")
    data = plot_of(page)["data"]
    history = history_of(page)
    shown = {(row.get_attribute("id")) for row in page.locator("[data-improvements] tr").all()}
    runs = list(cursors_of(page))
    improvements = [row for row in history if row["is_improvement"] == "1"]
    assert shown >= {
        f"improvement-{runs[int(row['run']) - 1]}-{row['generation']}" for row in improvements
    }
    for number, run in enumerate(runs, start=1):
        marks = marks_of(data, int(run))
        expected = [row for row in improvements if row["run"] == str(number)]
        n_common = min(len(expected), len(marks["generation"]))
        assert n_common >= 1
        assert marks["generation"][:n_common] == [
            int(row["generation"]) for row in expected[:n_common]
        ]
        assert marks["rule"][:n_common] == [row["rule_delta_w"] for row in expected[:n_common]]
    assert complaints == []


def test_ticks_of_the_error_axis_are_labelled_with_their_values(experiment: Page):
    page = experiment
    plot_of(page)
    narrow, wide = page.evaluate(
        """() => {
          const plot = Bokeh.documents.at(-1).get_model_by_name("champion-fitness");
          return [[12.5, 63], [3, 4e7]].map(([start, end]) => {
            plot.y_range.setv({ start, end });
            return [...plot.left[0].major_label_overrides];
          });
        }"""
    )
    assert narrow == [[15, "15"], [20, "20"], [30, "30"], [40, "40"], [50, "50"]]
    assert wide == [
        *([10**power, str(10**power)] for power in (1, 2, 3, 4)),
        *([10**power, f"10{'⁵⁶⁷'[power - 5]}"] for power in (5, 6, 7)),
    ]


def test_the_zoom_stays_while_new_generations_arrive_and_reset_follows_again(experiment: Page):
    page = experiment
    plot_of(page)
    box = page.locator("#plot canvas").first.bounding_box()
    page.mouse.move(box["x"] + 150, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 200, steps=4)
    page.mouse.up()
    zoomed = plot_of(page)
    before = page.evaluate("window.arrived.length")
    wait_for(page, f"window.arrived.length > {before + 20}")
    later = plot_of(page)
    assert (later["x"], later["y"]) == (zoomed["x"], zoomed["y"])
    page.evaluate(
        "Bokeh.index.get_by_id(Bokeh.documents.at(-1)"
        ".get_model_by_name('champion-fitness').id).reset()"
    )
    page.wait_for_timeout(300)
    last = max(row["generation"] for row in page.evaluate("window.arrived"))
    assert plot_of(page)["x"][1] >= last


def test_the_page_catches_up_when_the_server_was_killed(
    experiment: Page, site: Site, complaints: list[str]
):
    page = experiment
    expect(page.locator("[data-connection]")).to_have_text("● Live")
    site.kill("web")
    expect(page.locator("[data-connection]")).to_have_text("○ Reconnecting…")
    page.wait_for_timeout(1500)  # workers go on, nobody tells the page
    site.start_web()
    expect(page.locator("[data-connection]")).to_have_text("● Live", timeout=30_000)
    count = page.evaluate("window.arrived.length")
    wait_for(page, f"window.arrived.length > {count + 10}")
    assert_nothing_is_missing(page)
    # The browser itself writes a line for each connection that was refused or broken off, htmx for
    # each part of the page that could not be renewed meanwhile.
    expected = ("net::ERR_CONNECTION", "htmx:sendError, ")
    assert [text for text in complaints if not any(part in text for part in expected)] == []


def test_colours_follow_the_theme(experiment: Page):
    page = experiment
    light = plot_of(page)["color"]
    toggle = page.locator("[data-theme-toggle]")
    toggle.click()  # light
    assert plot_of(page)["color"] == light
    toggle.click()  # dark
    assert plot_of(page)["color"] != light
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    toggle.click()  # as the system says
    assert plot_of(page)["color"] == light


def test_a_narrow_plot_has_no_legend_until_it_is_wide_again(experiment: Page):
    page = experiment
    plot_of(page)
    is_shown = """() => Bokeh.documents.at(-1).get_model_by_name("champion-fitness")
        .center.find((model) => model.type === "Legend").visible"""
    for width, expected in ((1280, True), (390, False), (1280, True)):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_function(f"() => ({is_shown})() === {str(expected).lower()}")


def test_the_axis_can_be_linear(experiment: Page):
    page = experiment
    plot_of(page)
    page.get_by_role("button", name="Fitness", exact=True).click()
    expect(page.locator('#plot[data-ready="linear"]')).to_be_visible()
    values = [
        value
        for name, columns in plot_of(page)["data"].items()
        if name.startswith("curves-")
        for value in columns["value"]
    ]
    assert max(values) < 0
    page.get_by_role("button", name="Error, log").click()
    expect(page.locator('#plot[data-ready="log"]')).to_be_visible()


def test_the_list_renews_itself(
    page: Page, site: Site, experiment_path: dict[str, str], complaints: list[str]
):
    page.goto(f"{site.url}/")
    row = page.locator("#experiments tr", has=page.locator(f'a[href="{experiment_path["path"]}"]'))
    progress = row.locator("progress")
    before = float(progress.get_attribute("value"))
    expect(progress).not_to_have_attribute("value", f"{before:.4f}", timeout=10_000)
    assert float(progress.get_attribute("value")) > before
    assert complaints == []


def test_the_estimate_follows_what_is_typed(page: Page, site: Site, complaints: list[str]):
    page.goto(f"{site.url}/experiments/new/?task=error-driven&preset=demo")
    estimate = page.locator(".estimate__time")
    before = estimate.inner_text()
    page.get_by_label("Generations", exact=True).fill("900000")
    expect(estimate).not_to_have_text(before)
    expect(estimate).to_have_text(re.compile(r"about \d+ [hd]"))
    page.get_by_label("Generations", exact=True).fill("0")
    expect(page.locator("#estimate")).to_contain_text("Some values do not fit yet.")
    assert complaints == []


def test_pages_can_be_used_with_the_keyboard(page: Page, site: Site):
    page.goto(f"{site.url}/experiments/new/")
    page.keyboard.press("Tab")
    skip_link = page.locator(".skip-link")
    expect(skip_link).to_be_focused()
    expect(skip_link).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_the_form_works_without_javascript(browser, site: Site, signed_in: dict):
    context = browser.new_context(storage_state=signed_in, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.url}/experiments/new/?task=error-driven&preset=demo")
    page.get_by_label("Runs").fill("0")
    page.get_by_role("button", name="Launch").click()
    expect(page.get_by_text("Ensure this value is greater than or equal to 1.")).to_be_visible()
    context.close()


def test_stop_ends_the_experiment_and_the_page_says_so(experiment: Page, complaints: list[str]):
    page = experiment
    expect(page.locator("[data-connection]")).to_have_text("● Live")
    watcher = page.context.new_page()
    watcher.goto(page.url)
    expect(watcher.locator("[data-connection]")).to_have_text("● Live")
    page.locator("summary", has_text="Stop…").click()
    page.get_by_role("button", name="Stop the experiment").click()
    expect(page.get_by_text("The experiment was stopped.")).to_be_visible()
    expect(watcher.locator('[data-status] [data-field="state"]')).to_have_text("stopped")
    expect(watcher.locator("summary", has_text="Stop…")).to_be_hidden()
    assert complaints == []
