"""The pictures of the tutorial and of a comparison: ``python -m tests.browser.screenshots``.

A site of its own is started, and what the tutorial says is done in a real browser.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import expect, sync_playwright

from e2l_site.locations import PROJECT_ROOT
from tests.broker import private_broker
from tests.browser.site import CHROMIUM_ARGUMENTS, Site
from tests.system_packages import find_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Page

IMAGES = PROJECT_ROOT / "docs" / "images"
# Evolution of the demo preset, with room for a busy machine.
_FINISHED_MS = 600_000
_N_COLOURS = 64

expect.set_options(timeout=60_000)


def main() -> int:
    """Take all pictures; return 1 where there is no browser."""
    chromium = find_chromium()
    if chromium is None:
        sys.stderr.write("No Chromium or Chrome is installed: apt install chromium\n")
        return 1
    with (
        tempfile.TemporaryDirectory() as name,
        private_broker(Path(name)) as valkey,
        sync_playwright() as playwright,
    ):
        data = Path(name) / "data"
        data.mkdir()
        site = Site.create(data, valkey)
        try:
            site.start_workers(2)
            site.start_web()
            browser = playwright.chromium.launch(
                executable_path=str(chromium), args=list(CHROMIUM_ARGUMENTS)
            )
            page = browser.new_page(viewport={"width": 1200, "height": 760}, color_scheme="light")
            _follow_the_tutorial(page, site)
            _compare(page, site)
        finally:
            site.kill_all()
    return 0


def _follow_the_tutorial(page: Page, site: Site) -> None:
    page.goto(site.first_link())
    page.get_by_label("Username").fill("ann")
    page.get_by_label("Password", exact=True).fill("a long enough one")
    page.get_by_label("Password confirmation").fill("a long enough one")
    page.get_by_role("button", name="Create the account").click()
    page.get_by_role("link", name="New experiment").first.click()
    expect(page.get_by_role("button", name="Launch")).to_be_visible()
    _take(page, "tutorial_new_experiment.png")
    page.get_by_role("button", name="Launch").click()
    page.wait_for_url(re.compile(r"/experiments/\d+/$"))
    expect(page.locator("#plot[data-ready]")).to_be_visible()
    expect(page.locator("[data-improvements] tr").nth(9)).to_be_visible(timeout=_FINISHED_MS)
    _take(page, "tutorial_running.png")
    state = page.get_by_role("region", name="Status")
    expect(state).to_contain_text("finished", timeout=_FINISHED_MS)
    page.reload()
    expect(page.locator("#plot[data-ready]")).to_be_visible()
    _take(page, "tutorial_finished.png")
    rule = page.locator("[data-champion]").get_by_role("link").first
    rule.click()
    page.wait_for_load_state("networkidle")
    _take(page, "tutorial_rule.png")


def _compare(page: Page, site: Site) -> None:
    numbers = []
    for name, rate in (("Few mutations", "0.05"), ("Many mutations", "0.3")):
        written = site.manage(
            "evolve", "error-driven", "--runs", "8", "--generations", "150", "--seed", "1",
            "--name", name, "--set", f"mutation_rate={rate}", "--wait",
        )  # fmt: skip
        numbers.append(re.search(r"experiment (\d+)", written)[1])
    page.set_viewport_size({"width": 1200, "height": 2650})
    page.goto(f"{site.url}/compare/?experiment={numbers[0]}&experiment={numbers[1]}")
    for plot in page.locator("[data-figure-url]").all():
        plot.scroll_into_view_if_needed()
        expect(plot.locator("canvas").first).to_be_attached()
    page.evaluate("scrollTo(0, 0)")
    _take(page, "compare.png")


def _take(page: Page, name: str) -> None:
    page.screenshot(path=IMAGES / name, animations="disabled")
    # Pages have few colours: a palette is a third of the size and looks the same.
    with Image.open(IMAGES / name) as image:
        image.convert("RGB").quantize(_N_COLOURS, dither=Image.Dither.NONE).save(
            IMAGES / name, optimize=True
        )


if __name__ == "__main__":
    sys.exit(main())
