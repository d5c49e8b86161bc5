"""Every page in light and dark, on a phone and on a wide screen: it fits, and has no barriers."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from e2l_site.locations import PROJECT_ROOT
from tests import axe

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.browser.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.nest]

ARTIFACTS = PROJECT_ROOT / "test-artifacts"

# A worker may be faster than this process: then it waits.
SIMULATE_CHAMPION = """
import time
import django; django.setup()
from evolution.models import Probe, Run
from evolution.services import probes
from simulations.learning_tasks import get_learning_task
rule = Run.objects.get(experiment={}, index=0).champion.rule
task = get_learning_task("error-driven")
probe = probes.request_probe(rule, task, preset="demo", owner=None)
probes.run_probe(probe.pk, worker="this process")
while Probe.objects.get(pk=probe.pk).is_open:
    time.sleep(0.1)
print(rule.pk)
"""


@pytest.fixture(scope="module")
def axe_source(request: pytest.FixtureRequest) -> str:
    """Return the script of axe-core."""
    try:
        return axe.axe_source(request.config.cache.mkdir("axe"))
    except axe.AxeUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def pages(site: Site) -> dict[str, str]:
    """Return the path of each page by name; there are two small experiments to show."""
    numbers = []
    for name, seed in (("Pages", "8"), ("Pages with another seed", "50")):
        written = site.manage(
            "evolve", "error-driven", "--runs", "2", "--generations", "8", "--seed", seed,
            "--inline", "--name", name,
        )  # fmt: skip
        numbers.append(re.search(r"experiment (\d+)", written)[1])
    written = site.manage("experiment", "reproduce", numbers[0], "--inline", "--json")
    reproduction = json.loads(written)["experiment"]
    run = f"/experiments/{numbers[0]}/runs/1/"
    rule = site.python("-c", SIMULATE_CHAMPION.format(numbers[0])).split()[-1]
    return {
        "experiments": "/",
        "new-experiment": "/experiments/new/",
        "experiment": f"/experiments/{numbers[0]}/",
        "run": run,
        "population": f"{run}population/",
        "individuals": f"{run}individuals/",
        "individual": f"{run}individuals/0/",
        "rules": "/rules/?task=error-driven",
        "rule": f"/rules/{rule}/",
        "compare": f"/compare/?experiment={numbers[0]}&experiment={numbers[1]}",
        "compare-choice": "/compare/",
        "figures": "/figures/",
        "figure": "/figures/fig5/",
        "lab": "/lab/?task=correlation-driven",
        "extend": f"/experiments/{numbers[0]}/extend/",
        "labels": f"/experiments/{numbers[0]}/labels/",
        "delete": f"/experiments/{numbers[0]}/delete/",
        "account": "/account/",
        "tokens": "/account/tokens/",
        "sharing": f"/experiments/{numbers[0]}/sharing/",
        "import": "/experiments/import/",
        "difference": f"/experiments/{reproduction}/difference/",
        "people": "/people/",
        "activity": "/activity/",
        "operation": "/operation/",
        "error": "/experiments/999999999/",
    }


# All are looked at; barriers differ in what is hidden on a phone, and in contrast.
SIGHTS = (("light", 1440, True), ("light", 390, False), ("dark", 390, True), ("dark", 1440, False))


def test_pages_fit_the_window_and_have_no_barriers(
    browser: Browser, signed_in: dict, site: Site, pages: dict[str, str], axe_source: str
) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    found: list[str] = []
    for state, addresses in ((None, {"sign-in": "/sign-in/"}), (signed_in, pages)):
        context = browser.new_context(storage_state=state)
        page = context.new_page()
        for name, path in addresses.items():
            page.set_viewport_size({"width": 1440, "height": 900})
            page.emulate_media(color_scheme="light")
            page.goto(site.url + path)
            _wait_for_figures(page)
            for scheme, width, is_examined in SIGHTS:
                page.set_viewport_size({"width": width, "height": 900})
                page.emulate_media(color_scheme=scheme)
                page.wait_for_timeout(250)  # figures take their new size and colours
                page.screenshot(path=ARTIFACTS / f"{name}-{width}-{scheme}.png", full_page=True)
                barriers = axe.violations(page, axe_source) if is_examined else []
                if page.evaluate("document.documentElement.scrollWidth") > width:
                    barriers.append("wider than the window")
                found += [f"{name}, {scheme}, {width} px: {barrier}" for barrier in barriers]
        context.close()
    assert not found, "\n".join(found)


def _wait_for_figures(page: Page) -> None:
    """Wait until all figures are drawn; they are loaded when they come into sight."""
    for figure in page.locator("[data-figure-url], [data-plot-url]").all():
        figure.scroll_into_view_if_needed()
        page.locator(f"#{figure.get_attribute('id')}[data-ready] canvas").first.wait_for()
    if page.locator("[data-figure-url], [data-plot-url]").count():
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_timeout(300)
