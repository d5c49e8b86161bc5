"""What is written in the pages of the documentation."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
#: Everything that people read, by its path relative to the project.
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in sorted(
        [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md"), *DOCS.rglob("*.rst")]
    )
}


def code_blocks(text: str, *languages: str) -> list[str]:
    """Return the fenced code blocks of these languages ("" for none), and RST's."""
    found = [
        block
        for language, block in re.findall(r"^```(\S*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        if language in languages
    ]
    for language, block in re.findall(
        r"^\.\. code-block:: (\w+)\n\n((?:   .*\n|\n)+)", text, re.MULTILINE
    ):
        if language in languages:
            found.append(re.sub(r"^   ", "", block, flags=re.MULTILINE))
    return found


def shell_lines() -> list[tuple[str, str]]:
    """Return each line of a shell block with the page that it is on."""
    return [
        (page, line)
        for page, text in PAGES.items()
        for block in code_blocks(text, "sh", "")
        for line in block.replace("\\\n", " ").splitlines()
    ]


def manage_commands() -> Iterator[tuple[str, list[str]]]:
    """Yield the arguments of each call of manage.py in a code block, with its page."""
    for page, line in shell_lines():
        if found := re.match(r"(?:\w+=\S+ )*(?:\S*python3? )?manage\.py (.*)", line.strip()):
            yield page, shlex.split(found[1].split(" > ")[0], comments=True)
