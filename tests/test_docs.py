"""The documentation names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from e2l_site.variables import VARIABLES

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_the_environment_variables_that_are_read_are_described() -> None:
    sources = [*ROOT.glob("e2l_site/*.py"), *ROOT.glob("evolution/**/*.py")]
    sources += [*ROOT.glob("simulations/**/*.py"), *ROOT.glob("nest_build/**/*.py")]
    sources += [ROOT / "tests" / "system_packages.py"]
    read = {
        name
        for source in sources
        if source.name != "variables.py"
        for name in re.findall(
            r"\"(E2L_[A-Z_]+|DATABASE_URL|REDIS_URL|CXX)\"", source.read_text(encoding="utf-8")
        )
    }
    assert len(read) > 10
    assert read == {variable.name for variable in VARIABLES}


def test_the_readme_describes_environment_variables_as_they_are_declared() -> None:
    table = README.partition("## Settings")[2].partition("##")[0]
    # Links are the README's own.
    table = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", table)
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", table, re.MULTILINE)
    assert rows == [(each.name, each.default, each.meaning) for each in VARIABLES]


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
