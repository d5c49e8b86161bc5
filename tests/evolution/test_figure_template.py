"""A filled figure is the one that Bokeh writes of the same data."""

from __future__ import annotations

import json

import pytest
from bokeh.embed import json_item
from bokeh.models import ColumnDataSource
from hypothesis import given, settings
from hypothesis import strategies as st

from evolution.figure_template import X_RANGE, Y_RANGE, FigureTemplate
from evolution.plots import new_figure
from tests.evolution.bokeh_json import content, figure_of

COLUMNS = ("generation", "value", "rule")


def figure(data: dict[str, list], tags: list, x: tuple, y: tuple):
    plot = new_figure(
        "some", x_label="generation", y_label="error \\ue000 (mV)", x_range=x, y_range=y, columns={}
    )
    plot.line("generation", "value", source=ColumnDataSource(data, name="curve", tags=tags))
    return plot


TEMPLATE = FigureTemplate(figure({name: [] for name in COLUMNS}, [], (0, 1), (0, 1)))


numbers = st.floats() | st.integers(-(2**50), 2**50)
rows = st.lists(st.tuples(st.integers(0, 5000), numbers, st.text()), max_size=6)
limits = st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))


@settings(deadline=None, max_examples=40)
@given(rows, st.lists(st.tuples(st.integers(), st.text()), max_size=3), limits, limits)
def test_a_filled_figure_is_what_bokeh_writes(rows, tags, x, y) -> None:
    data = {name: [row[i] for row in rows] for i, name in enumerate(COLUMNS)}
    tags = [list(tag) for tag in tags]
    filled = TEMPLATE.filled(
        {
            "curve": {"data": data, "tags": tags},
            X_RANGE: {"start": x[0], "end": x[1]},
            Y_RANGE: {"start": y[0], "end": y[1]},
        }
    )
    read, written = figure_of(filled), figure(data, tags, x, y)
    assert content(json.dumps(json_item(read))) == content(json.dumps(json_item(written)))


def test_a_figure_is_filled_as_a_whole() -> None:
    with pytest.raises(KeyError):
        TEMPLATE.filled({X_RANGE: {"start": 0, "end": 1}, Y_RANGE: {"start": 0, "end": 1}})
