"""What BokehJS is given, read back by Bokeh."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bokeh.plotting import figure


def figure_of(text: str) -> figure:
    """Return the figure of a text for ``Bokeh.embed.embed_item``."""
    from bokeh.document import Document

    (root,) = Document.from_json(json.loads(text)["doc"]).roots
    return root


def content(text: str) -> object:
    """Return what a figure says without the numbers that Bokeh gives to models."""
    numbers: dict[str, int] = {}

    def of(value):
        if isinstance(value, dict):
            return {
                key: numbers.setdefault(item, len(numbers))
                if key in {"id", "root_id"}
                else of(item)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [of(item) for item in value]
        return "nan" if isinstance(value, float) and math.isnan(value) else value

    return of(json.loads(text))
