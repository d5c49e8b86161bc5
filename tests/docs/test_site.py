"""The built pages: complete, with links that lead somewhere, and nothing from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.site import CHROMIUM_ARGUMENTS
from tests.docs.pages import DOCS, PAGES

if TYPE_CHECKING:
    from pathlib import Path

# Attributes by which a page loads something; links are followed by people only.
_LOADING = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src")}


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif tag == "a" and name == "href" and value:
                self.links.append(value)
            elif (tag, name) in _LOADING and value:
                self.loaded.append(value)


@pytest.fixture(scope="module")
def html(built: Path) -> dict[Path, _Page]:
    """Read all pages that were built."""
    return {path: _Page(path.read_text(encoding="utf-8")) for path in built.rglob("*.html")}


def test_every_page_is_built_and_in_the_contents(built, html):
    sources = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}
    expected = {re.sub(r"\.(md|rst)$", ".html", page) for page in sources}
    assert len(expected) > 30
    index = html[built / "index.html"]
    in_contents = {urlsplit(link).path for link in index.links} | {"index.html"}
    assert expected - in_contents == set()


def test_links_and_anchors_lead_somewhere(built, html):
    broken = []
    n_links = 0
    for path, page in html.items():
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            n_links += 1
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                broken.append((str(path.relative_to(built)), link))
            elif parts.fragment and target in html:
                anchors = html[target].anchors
                if unquote(parts.fragment) not in anchors:
                    broken.append((str(path.relative_to(built)), link))
    assert n_links > 1000
    assert broken == []


def test_pages_and_style_sheets_name_nothing_from_elsewhere(built, html):
    loaded = [link for page in html.values() for link in page.loaded]
    assert loaded
    assert [link for link in loaded if urlsplit(link).netloc] == []
    for sheet in built.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", text), sheet


@pytest.mark.browser
def test_a_browser_asks_nobody_for_anything(built, chromium_path):
    asked: list[str] = []
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(chromium_path), args=list(CHROMIUM_ARGUMENTS)
        )
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        for name in ("index", "explanation/synapse_models", "reference/parameters", "tutorial"):
            page.goto((built / f"{name}.html").as_uri())
            page.wait_for_load_state("networkidle")
        # Formulas are drawn by the browser itself.
        page.goto((built / "explanation" / "synapse_models.html").as_uri())
        boxes = [formula.bounding_box() for formula in page.locator("math[display=block]").all()]
        browser.close()
    assert len(boxes) > 5
    assert all(box["width"] > 50 and box["height"] > 15 for box in boxes)
    assert [url for url in asked if not url.startswith((built.as_uri(), "data:"))] == []
    assert complaints == []


def test_pictures_are_small_and_used():
    text = "".join(PAGES.values())
    for picture in (DOCS / "images").iterdir():
        assert f"images/{picture.name}" in text, picture.name
        assert picture.stat().st_size < 400_000, picture.name
