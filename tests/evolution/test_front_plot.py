"""The plane of complexity and fitness: what is drawn where, and what a click opens."""

from __future__ import annotations

import pytest
from bokeh.models import HoverTool, OpenURL, Step, TapTool

from evolution.front_plot import LAYERS, front_figure
from evolution.fronts import FrontPoint
from tests.evolution.bokeh_json import figure_of

POINTS = [
    FrontPoint(rule_id=7, complexity=1, fitness=-100.0, layer=0),
    FrontPoint(rule_id=8, complexity=3, fitness=-10.0, layer=0),
    FrontPoint(rule_id=9, complexity=3, fitness=-50.0, layer=1),
    FrontPoint(rule_id=10, complexity=5, fitness=-9e9, layer=2),
]
TEXTS = {7: "v", 8: "(v - u)*s", 9: "u*s"}


def drawn(plot) -> dict[str, dict[str, list]]:
    """Return the columns of each front by its name."""
    return {renderer.name: dict(renderer.data_source.data) for renderer in plot.renderers}


def figure(scale: str, points=POINTS):
    text = front_figure(points, TEXTS, y_label="error", scale=scale, address="/rules/@rule/")
    return figure_of(text)


def test_each_front_has_its_points_and_the_rules_of_them() -> None:
    columns = drawn(figure("linear"))
    assert list(columns) == [*dict.fromkeys(reversed(LAYERS))]
    first = columns["Pareto front"]
    assert first["complexity"] == [1, 3]
    assert first["value"] == first["fitness"] == [-100.0, -10.0]
    assert first["rule"] == [7, 8]
    assert first["text"] == ["v", "(v - u)*s"]
    # A rule that nobody can name is drawn all the same.
    assert columns["third front"]["text"] == [""]


def test_errors_are_drawn_downwards_on_a_logarithmic_axis() -> None:
    plot = figure("log")
    assert drawn(plot)["Pareto front"]["value"] == [100.0, 10.0]
    assert plot.y_range.start > 100.0 > 10.0 > plot.y_range.end > 0.0
    # A rule that is hopelessly worse is left to the zoom.
    assert plot.y_range.start < 9e9


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_what_has_no_place_on_the_axis_is_not_drawn(scale: str) -> None:
    points = [*POINTS, FrontPoint(rule_id=11, complexity=9, fitness=float("-inf"), layer=0)]
    if scale == "log":
        points.append(FrontPoint(rule_id=12, complexity=11, fitness=0.0, layer=0))
    assert 11 not in drawn(figure(scale, points))["Pareto front"]["rule"]
    assert 12 not in drawn(figure(scale, points))["Pareto front"]["rule"]


def test_an_empty_plane_is_drawn() -> None:
    plot = figure("log", [])
    assert plot.renderers == []
    assert plot.y_range.start > plot.y_range.end > 0.0


def test_a_click_opens_the_page_of_the_rule() -> None:
    plot = figure("log")
    (tap,) = plot.select(TapTool)
    assert isinstance(tap.callback, OpenURL)
    assert tap.callback.url == "/rules/@rule/"
    marks = [item for item in plot.renderers if not isinstance(item.glyph, Step)]
    (hover,) = plot.select(HoverTool)
    assert set(tap.renderers) == set(hover.renderers) == set(marks)
    assert all("rule" in item.data_source.data for item in marks)
