"""The reference of the API, and tokens, in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.integration]


def test_operations_are_shown_and_tried_under_the_strict_policy(
    browser: Browser, signed_in: dict, site: Site
) -> None:
    context = browser.new_context(storage_state=signed_in)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{site.url}/api/v1/reference/")
    page.locator("#operations-status-get_status").wait_for(timeout=60_000)
    assert page.locator(".opblock").count() == len(_operations(page))
    page.click("#operations-rules-check_rule button.opblock-summary-control")
    operation = page.locator("#operations-rules-check_rule")
    operation.get_by_text("Try it out").click()
    operation.locator("textarea.body-param__text").fill(
        '{"learning_task": "error-driven", "expressions": ["u*s"]}'
    )
    operation.locator("button.execute").click()
    answer = operation.locator(".live-responses-table .response-col_description").last
    answer.get_by_text('"expressions"').first.wait_for(timeout=30_000)
    assert complaints == []
    context.close()


def _operations(page) -> list[str]:
    schema = page.evaluate("async () => (await fetch('/api/v1/schema/')).json()")
    return [method for path in schema["paths"].values() for method in path]
