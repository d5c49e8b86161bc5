"""The user documentation of the NEST models, out of the comments of their headers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

SOURCES = Path(__file__).resolve().parents[2] / "nest_build" / "src"


def user_documentation() -> dict[str, str]:
    """Return the reStructuredText between BeginUserDocs and EndUserDocs of each model."""
    blocks = {}
    for header in sorted(SOURCES.glob("*.h")):
        text = header.read_text(encoding="utf-8")
        if found := re.search(r"/\* BeginUserDocs:[^\n]*\n(.*?)EndUserDocs \*/", text, re.DOTALL):
            blocks[header.stem] = found[1]
    return blocks


def _with_links(text: str, models: set[str], name: str) -> str:
    """Turn the names under "See also" into links where they are models of ours."""
    head, title, names = text.partition("See also\n++++++++\n")
    linked = [
        f":doc:`{each}`" if each in models else f"``{each}``"
        for each in re.split(r",\s*", names.strip())
    ]
    linked_head = re.sub(
        r"``(\w+)``",
        lambda found: (
            f":doc:`{found[1]} <{found[1]}>`"
            if found[1] in models and found[1] != name
            else found[0]
        ),
        head,
    )
    return f"{linked_head}{title}\n{', '.join(linked)}\n"


class _NestModel(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        (name,) = self.arguments
        self.env.note_dependency(str(SOURCES / f"{name}.h"))
        blocks = user_documentation()
        text = _with_links(blocks[name], set(blocks), name)
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive ``nest-model``."""
    app.add_directive("nest-model", _NestModel)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
