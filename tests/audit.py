"""Known advisories about the locked packages: ``python -m tests.audit``.

The list ``tests/advisories.toml`` needs no network. Beyond it, the package index is asked about
each locked version where it answers (``/pypi/NAME/VERSION/json``, as PyPI has it). `main` returns 1
if anything is known, 2 if only the list could be asked.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterable

_ROOT = Path(__file__).resolve().parents[1]
_ADVISORIES = Path(__file__).with_name("advisories.toml")
_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", re.MULTILINE)
_TIMEOUT_S = 10.0


class NoIndexError(Exception):
    """The index does not answer."""


def locked(path: Path = _ROOT / "requirements.txt") -> list[tuple[str, str]]:
    """Return name and version of each locked package."""
    return sorted(set(_LOCKED.findall(path.read_text(encoding="utf-8"))))


def known_by_list(packages: Iterable[tuple[str, str]]) -> list[str]:
    """Return what the list has against these packages."""
    fixed = tomllib.loads(_ADVISORIES.read_text(encoding="utf-8"))["fixed"]
    return [
        f"{name} {version}: {advisory}, fixed in {first_safe}"
        for name, version in packages
        for first_safe, advisory in fixed.get(name, [])
        if Version(version) < Version(first_safe)
    ]


def known_by_index(packages: Iterable[tuple[str, str]]) -> list[str]:
    """Return what the index has against these packages.

    Raises
    ------
    NoIndexError
        If it does not answer.
    """
    exceptions = tomllib.loads(_ADVISORIES.read_text(encoding="utf-8"))["exceptions"]
    base = os.environ.get("E2L_AUDIT_INDEX", "https://pypi.org").rstrip("/")
    found = []
    for name, version in packages:
        address = f"{base}/pypi/{name}/{version}/json"
        try:
            with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:
                vulnerabilities = json.load(answer)["vulnerabilities"]
        except (OSError, ValueError, KeyError) as error:
            raise NoIndexError(f"{address}: {error}") from None
        for item in vulnerabilities:
            names = {item["id"], *item.get("aliases", [])}
            if not item.get("withdrawn") and not names & exceptions.keys():
                found.append(f"{name} {version}: {', '.join(sorted(names))}")
    return found


def main() -> int:
    """Print what is known."""
    packages = locked()
    found = known_by_list(packages)
    is_complete = True
    try:
        found += known_by_index(packages)
    except NoIndexError as error:
        is_complete = False
        print(f"The index was not asked: {error}", file=sys.stderr)  # noqa: T201
    for line in found:
        print(line)  # noqa: T201
    if not found:
        print(f"{len(packages)} locked packages, no known advisory.")  # noqa: T201
    return 1 if found else 0 if is_complete else 2


if __name__ == "__main__":
    sys.exit(main())
