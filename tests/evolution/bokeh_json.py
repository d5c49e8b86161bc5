"""What BokehJS is given, read back by Bokeh."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bokeh.plotting import figure


def figure_of(text: str) -> figure:
    """Return the figure of a text for ``Bokeh.embed.embed_item``."""
    from bokeh.document import Document

    (root,) = Document.from_json(json.loads(text)["doc"]).roots
    return root
