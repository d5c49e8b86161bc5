"""The exports of a rule: opened, read and saved."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.integration]


def test_a_form_is_looked_at_and_saved(page: Page, site: Site, complaints: list[str]) -> None:
    page.goto(f"{site.url}/lab/?task=correlation-driven")
    page.get_by_label("depress", exact=True).fill("w**E")
    page.get_by_label("facilitate", exact=True).fill("(1 - w)*E")
    page.get_by_label("Name", exact=True).fill("Exported")
    page.get_by_role("button", name="Keep").click()
    exports = page.get_by_role("region", name="Exports")
    exports.get_by_text("SymPy expression", exact=True).click()
    text = exports.locator("#export-sympy")
    expect(text).to_contain_text("depress = sp.re(w**E)")
    exports.get_by_text("NESTML synapse model").click()
    expect(exports).to_contain_text("NESTML has no complex numbers")
    with page.expect_download() as download:
        exports.get_by_role("link", name="Download the SymPy expression").click()
    assert re.fullmatch(r"rule_[0-9a-f]{12}_sympy\.py", download.value.suggested_filename)
    assert Path(download.value.path()).read_text() == text.text_content()
    assert complaints == []
