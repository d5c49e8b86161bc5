"""Figures that Bokeh draws once, and that every answer fills with its own data.

Bokeh takes a millisecond for each of the hundred models of a figure, although two answers differ
in a few columns and ranges only. So a figure is built and written as JSON once for each layout,
and the text is cut open where the data belong.
"""

from __future__ import annotations

import gc
import json
import math
import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bokeh.models import Plot

#: Of the ranges of :func:`evolution.plots.new_figure`, by which they are filled.
X_RANGE, Y_RANGE = "x-range", "y-range"

#: Attributes of named models that differ between answers, with what is empty in a layout.
_OPEN = {"ColumnDataSource": ("data", "tags"), "Range1d": ("start", "end")}
# JSON writes a private character as an escape, which no text of a layout has.
_MARK = "\ue000"
_CUT = re.compile(r'"\\ue000(.*?)\\ue000(.*?)\\ue000"')


class FigureTemplate:
    """The JSON of a figure for BokehJS with open places for data.

    Parameters
    ----------
    figure : Plot
        With sources and ranges that have names, and no data.
    """

    def __init__(self, figure: Plot) -> None:
        item = figure_item(figure)
        for model in _models(item):
            attributes = model.get("attributes", {})
            if "name" in attributes:
                for attribute in _OPEN.get(model["name"], ()):
                    place = (_MARK, attributes["name"], _MARK, attribute, _MARK)
                    attributes[attribute] = "".join(place)
        #: Text, name of a model, its attribute, text, and so on; the last one is text.
        self._parts = _CUT.split(json.dumps(item))

    def filled(self, values: Mapping[str, Mapping[str, Any]]) -> str:
        """Return the JSON with values of the attributes by the models' names.

        Parameters
        ----------
        values : mapping of str to mapping
            ``data`` (a mapping of str to list of numbers or str) and ``tags`` of each source,
            ``start`` and ``end`` of each range.

        Raises
        ------
        KeyError
            If a model is not filled.
        """
        texts = [self._parts[0]]
        for i in range(1, len(self._parts), 3):
            name, attribute, text = self._parts[i : i + 3]
            value = values[name].get("tags", []) if attribute == "tags" else values[name][attribute]
            texts += [json.dumps(_as_data(value) if attribute == "data" else value), text]
        return "".join(texts)


def figure_item(figure: Plot) -> dict[str, Any]:
    """Return a figure as BokehJS embeds it."""
    return _writer()(figure)


@cache
def _writer() -> Callable[[Plot], dict[str, Any]]:
    from bokeh.embed import json_item

    # Bokeh is loaded by now, and stays: the garbage collector would look through all of it in the
    # middle of an answer, for a tenth of a second.
    gc.collect()
    gc.freeze()
    return json_item


def _models(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if value.get("type") == "object":
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _models(item)


def _as_data(columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return columns as BokehJS reads them, which has a word of its own for what is no number."""
    return {
        "type": "map",
        "entries": [[name, [_as_number(v) for v in values]] for name, values in columns.items()],
    }


def _as_number(value: Any) -> Any:
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return {"type": "number", "value": "nan" if math.isnan(value) else f"{value:+}"}
