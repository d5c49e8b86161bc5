"""The documentation names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_every_environment_variable_is_in_the_readme() -> None:
    sources = [*ROOT.glob("e2l_site/*.py"), *ROOT.glob("evolution/**/*.py")]
    sources += [*ROOT.glob("simulations/**/*.py"), *ROOT.glob("nest_build/**/*.py")]
    names = {
        name
        for source in [*sources, ROOT / "tests" / "system_packages.py"]
        for name in re.findall(r"\"(E2L_[A-Z_]+)\"", source.read_text(encoding="utf-8"))
    }
    assert len(names) > 5
    assert {name for name in names if f"`{name}`" not in README} == set()


def test_every_command_of_the_makefile_is_in_the_readme() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)) - {"help"}
    assert len(targets) > 5
    assert {target for target in targets if f"`make {target}" not in README} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target
