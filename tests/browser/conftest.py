"""A real site for a real browser: uvicorn, a prefork worker and a private Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.broker import private_broker
from tests.browser.site import CHROMIUM_ARGUMENTS, Site

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

# Package scope: Playwright keeps an event loop running in this thread, in which other tests cannot
# start theirs, and the site's workers are not needed any more.
USER = "ann"
PASSWORD = "a long enough one"

# htmx writes these where somebody leaves a page while a part of it is being renewed.
GOODBYES = ("htmx:afterRequest, ", "htmx:sendAbort, ")

# What a failed test shows of each log, in characters.
LOG_LENGTH = 3000

# Until something is wrong, not until it is slow: the workers leave the browser little of a machine.
expect.set_options(timeout=20_000)


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start a fresh site: no account, no experiment.

    It has a broker of its own: its workers would take the messages of other tests.
    """
    directory = tmp_path_factory.mktemp("site")
    with private_broker(directory) as valkey:
        site = Site.create(tmp_path_factory.mktemp("site-data"), valkey)
        try:
            site.start_workers(2)
            site.start_web()
            yield site
        finally:
            site.kill_all()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, Any]:
    """Add what the site's processes have written last to the report of a failure."""
    report = yield
    site = getattr(item, "funcargs", {}).get("site")
    if report.failed and site is not None:
        for name in site.processes:
            report.sections.append((f"Log of {name}", site.log(name)[-LOG_LENGTH:]))
    return report


@pytest.fixture(scope="package")
def browser(chromium_path: Path) -> Iterator[Browser]:
    """Start a Chromium without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(chromium_path), args=list(CHROMIUM_ARGUMENTS)
        )
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def signed_in(site: Site, browser: Browser) -> dict:
    """Go in through the one-time link; return the cookies of the signed-in browser."""
    link = site.first_link()
    context = browser.new_context()
    page = context.new_page()
    page.goto(link)
    page.get_by_label("Username").fill(USER)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password confirmation").fill(PASSWORD)
    page.get_by_role("button", name="Create the account").click()
    page.wait_for_url(f"{site.url}/")
    assert page.goto(link).status == 410
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def complaints() -> list[str]:
    """Collect what the browser complains about; a test says what it expects there."""
    return []


@pytest.fixture
def context(browser: Browser, signed_in: dict, complaints: list[str]) -> Iterator[BrowserContext]:
    """Open a signed-in window that notes errors and the rows that arrive."""
    context = browser.new_context(
        storage_state=signed_in, viewport={"width": 1440, "height": 900}, color_scheme="light"
    )
    context.set_default_timeout(20_000)
    context.add_init_script(
        "window.arrived = [];"
        "document.addEventListener('e2l:generations', (e) => window.arrived.push(...e.detail));"
        "document.addEventListener('securitypolicyviolation', (e) =>"
        " console.error('policy', e.violatedDirective, e.blockedURI));"
    )
    context.on(
        "console",
        lambda message: (
            complaints.append(message.text)
            if message.type == "error" and not message.text.startswith(GOODBYES)
            else None
        ),
    )
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """Open a page in the signed-in window."""
    return context.new_page()
