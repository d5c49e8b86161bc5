"""What is wrong with an installation, in plain words, and how to mend it.

``manage.py doctor`` works where Django, the settings or the servers do not: each check stands for
itself, and what it needs is imported where it is made.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING

from e2l_site.doctor.findings import Finding, failure, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: By module, in the order in which they are made.
CHECKS = {
    "machine": ("python", "packages", "compiler", "modules", "data_directory"),
    "servers": ("settings", "database", "broker"),
    "crew": ("workers",),
}
#: These say nothing where what they need has failed.
_NEEDS = {"database": {"settings"}, "workers": {"settings", "database", "migrations"}}


def examine() -> Iterator[Finding]:
    """Make all checks; one that cannot be made is a finding, too."""
    failed: set[str] = set()
    for module, names in CHECKS.items():
        for name in names:
            if failed & _NEEDS.get(name, set()):
                continue
            for finding in _make(module, name):
                if finding.status == "failure":
                    failed.add(finding.check)
                yield finding


def _make(module: str, name: str) -> Iterator[Finding]:
    try:
        yield from getattr(import_module(f"e2l_site.doctor.{module}"), f"check_{name}")()
    except Exception as error:
        yield failure(
            name.replace("_", " "),
            f"This could not be looked at: {type(error).__name__}: {first_line(error)}",
            "Mend what was found before; if nothing was, this is a fault of e2l.",
        )


_MARKS = {"ok": "   ok", "warning": " look", "failure": "WRONG"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Tell what is wrong; return 1 if something does not work, else 0."""
    parser = argparse.ArgumentParser(prog="manage.py doctor", description=__doc__)
    add_arguments(parser)
    return run(as_json=parser.parse_args(arguments).json)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")


def run(*, as_json: bool) -> int:
    """Look at everything and tell it; return 1 if something does not work, else 0."""
    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            sys.stdout.write(f"{_MARKS[finding.status]}  {finding.check}: {finding.text}\n")
            if finding.remedy:
                sys.stdout.write(f"       {finding.remedy}\n")
            sys.stdout.flush()
    is_well = all(finding.status != "failure" for finding in findings)
    if as_json:
        answer = {"ok": is_well, "findings": [asdict(finding) for finding in findings]}
        sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
    return 0 if is_well else 1
