"""From the list to a comparison: legends, views in the address, and figures as files."""

from __future__ import annotations

import csv
import io
import re
import struct
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.site import Site

pytestmark = [
    pytest.mark.browser,
    pytest.mark.integration,
    pytest.mark.nest,
]

FINALS = "#figure-finals[data-ready]"


@pytest.fixture(scope="module")
def compared(site: Site) -> list[str]:
    """Evolve two small experiments; return their numbers."""
    numbers = []
    for name, rate in (("Few mutations", "0.05"), ("Many mutations", "0.3")):
        written = site.manage(
            "evolve", "error-driven", "--runs", "3", "--generations", "6", "--inline",
            "--name", name, "--set", f"mutation_rate={rate}",
        )  # fmt: skip
        numbers.append(re.search(r"experiment (\d+)", written)[1])
    return numbers


def saved(page: Page, figure: str, kind: str) -> bytes:
    with page.expect_download() as download:
        page.locator(f"{figure} + .plot__save").get_by_role("button", name=kind).click()
    return download.value.path().read_bytes()


def test_from_the_list_to_the_comparison(
    page: Page, site: Site, compared: list[str], complaints: list[str]
) -> None:
    page.goto(f"{site.url}/")
    for number in compared:
        page.locator(f"#choose-{number}").check()
    page.get_by_role("button", name="Compare", exact=True).click()
    page.wait_for_url(re.compile(r"/compare/\?experiment=\d+&experiment=\d+$"))
    for name in ("fitness", "finals", "times", "fronts", "parameters"):
        page.locator(f"#figure-{name}").scroll_into_view_if_needed()
        expect(page.locator(f"#figure-{name}[data-ready] canvas").first).to_be_visible()
    expect(page.get_by_role("rowheader", name="mutation rate")).to_be_visible()
    page.get_by_role("link", name="Runs", exact=True).click()
    page.wait_for_url(re.compile(r"view=curves#"))
    page.get_by_role("link", name="Fitness", exact=True).click()
    page.wait_for_url(re.compile(r"view=curves&scale=linear#"))
    expect(page.locator("#figure-fitness[data-ready]")).to_be_visible()
    assert complaints == []


def test_single_runs_can_be_chosen(page: Page, site: Site, compared: list[str]) -> None:
    page.goto(f"{site.url}/compare/?experiment={compared[0]}&experiment={compared[1]}")
    page.get_by_text("What is compared: 2 groups").click()
    page.get_by_text("Only some of its 3 runs").first.click()
    page.locator(f'input[name="run"][value="{compared[0]}-2"]').check()
    page.get_by_role("button", name="Compare", exact=True).click()
    page.wait_for_url(re.compile(f"run={compared[0]}-2"))
    expect(page.get_by_role("link", name="A · Few mutations, run 2")).to_be_visible()


def test_a_figure_is_saved_as_it_is_shown(
    page: Page, site: Site, compared: list[str], complaints: list[str]
) -> None:
    page.goto(f"{site.url}/compare/?experiment={compared[0]}&experiment={compared[1]}")
    page.locator("#figure-finals").scroll_into_view_if_needed()
    expect(page.locator(FINALS)).to_be_visible()
    text = saved(page, FINALS, "CSV").decode()
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["series", "run", "error (mV)"]
    shown = {(series, int(run)): float(error) for series, run, error in rows[1:]}
    expected = {}
    for key, name, number in zip("AB", ("Few", "Many"), compared, strict=True):
        history = page.request.get(f"{site.url}/experiments/{number}/history.csv").text()
        for row in csv.DictReader(io.StringIO(history)):
            label = f"{key} · {name} mutations"
            expected[label, int(row["run"])] = -float(row["champion_fitness (mV)"])
    assert shown == expected

    page.locator('[data-figure-legend="figure-finals"] button').first.click()
    text = saved(page, FINALS, "CSV").decode()
    assert {row[0] for row in csv.reader(io.StringIO(text))} == {"series", "B · Many mutations"}

    root = ET.fromstring(saved(page, FINALS, "SVG"))
    assert root.tag.endswith("svg")
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "error (mV)" in texts
    assert any("Many mutations" in (text or "") for text in texts)
    assert not list(root.iter("{http://www.w3.org/2000/svg}image"))  # vectors, not pixels

    png = saved(page, FINALS, "PNG")
    assert png.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", png[16:24])
    box = page.locator(FINALS).bounding_box()
    assert width >= box["width"] - 1
    assert height >= box["height"] - 1
    assert page.locator(".plot__copy").count() == 0
    assert complaints == []


def test_the_plot_of_an_experiment_and_the_front_can_be_saved_as_well(
    page: Page, site: Site, compared: list[str], complaints: list[str]
) -> None:
    for path, figure, columns in (
        (f"/experiments/{compared[0]}/", "#plot", ["series", "generation", "error (mV)", "rule"]),
        (
            "/rules/?task=error-driven",
            "#front",
            ["series", "complexity (operators and leaves)", "error (mV)", "rule"],
        ),
    ):
        page.goto(site.url + path)
        expect(page.locator(f"{figure}[data-ready]")).to_be_visible()
        header, first, *_ = csv.reader(io.StringIO(saved(page, figure, "CSV").decode()))
        assert header == columns
        assert float(first[2]) > 0
        assert ET.fromstring(saved(page, figure, "SVG")).tag.endswith("svg")
    assert complaints == []
