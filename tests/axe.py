"""axe-core, which looks for barriers in pages: fetched once from the npm registry, and checked."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

VERSION = "4.10.3"
_ADDRESS = f"https://registry.npmjs.org/axe-core/-/axe-core-{VERSION}.tgz"
_SHA512 = "Xm7bpRXnDSX2YE2YFfBk2FnF0ep6tmG7xPh8iHee8MIcrgq762Nkce856dYtJYLkuIoYZvGfTs/PbZhideTcEg=="
_TIMEOUT_S = 30

_RUN = """
async () => {
  const { violations } = await axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
    resultTypes: ["violations"],
  });
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 160)).join(" | ")}`);
}
"""


class AxeUnavailableError(RuntimeError):
    """There is no axe-core here, and none can be had; the message says why."""


def axe_source(directory: Path) -> str:
    """Return the script, from ``directory`` or, the first time, from the registry.

    Raises
    ------
    AxeUnavailableError
        If the registry cannot be reached.
    """
    file = directory / f"axe-{VERSION}.min.js"
    if not file.exists():
        try:
            with urllib.request.urlopen(_ADDRESS, timeout=_TIMEOUT_S) as response:
                package = response.read()
        except OSError as error:
            raise AxeUnavailableError(f"axe-core cannot be fetched from npm: {error}") from None
        digest = base64.b64encode(hashlib.sha512(package).digest()).decode()
        assert digest == _SHA512, f"{_ADDRESS} is not the package that it was"
        with tarfile.open(fileobj=io.BytesIO(package)) as archive:
            script = archive.extractfile("package/axe.min.js").read()
        temporary = file.with_suffix(".part")
        temporary.write_bytes(script)
        temporary.replace(file)
    return file.read_text(encoding="utf-8")


def violations(page: Page, source: str) -> list[str]:
    """Return the serious and critical barriers of a page, with the elements that have them.

    The script comes through the browser's debugger, which the page's policy has no say in.
    """
    page.evaluate(source)
    return page.evaluate(_RUN)
