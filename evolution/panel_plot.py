"""Panels as Bokeh figures. BokehJS gives them the colours of the page."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from evolution.figure_template import Y_RANGE, FigureTemplate
from evolution.plots import new_figure
from simulations.panels import MAX_POINTS, decimate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bokeh.models import ColumnDataSource, GlyphRenderer
    from bokeh.plotting import figure

_N_COLORS = 8
# With more curves the legend would cover them; a pointer at a curve tells its name.
_MAX_LEGEND_ENTRIES = 6
# What fits beside each other on a phone, with a mark and a space that are as wide as six letters.
_LETTERS_OF_LEGEND = 40
_LETTERS_OF_MARK = 6


def panel_json(panel: Mapping[str, Any], name: str = "panel") -> str:
    """Return what :func:`panel_figure` draws as JSON for BokehJS."""
    values = {
        _source_name(index): {"data": _columns(panel, series)}
        for index, series in enumerate(panel["series"])
    }
    if panel.get("bands"):
        values["bands"] = {"data": _band_columns(panel), "tags": ["marks"]}
    if panel.get("y_scale") == "log":
        values[Y_RANGE] = dict(zip(("start", "end"), _log_range(panel), strict=True))
    # Many panels differ in their points only.
    series = [{**series, **_no_points(series)} for series in panel["series"]]
    bands = [{"start": 0.0, "end": 0.0}] if panel.get("bands") else []
    words = {key: value for key, value in panel.items() if key not in {"title", "summary", "note"}}
    layout = json.dumps({**words, "series": series, "bands": bands}, sort_keys=True)
    return _template(layout, name).filled(values)


def _no_points(series: Mapping[str, Any]) -> dict[str, list]:
    return {key: [] for key in ("x", "y", "error", "labels") if key in series}


@lru_cache(maxsize=128)
def _template(layout: str, name: str) -> FigureTemplate:
    return FigureTemplate(panel_figure(json.loads(layout), name))


def panel_figure(panel: Mapping[str, Any], name: str = "panel") -> figure:
    """Draw a panel; see :mod:`simulations.panels` and :mod:`simulations.figures.panel`."""
    from bokeh.models import ColumnDataSource, DataRange1d, HoverTool, Legend, LegendItem

    is_log = panel.get("y_scale") == "log"
    plot = new_figure(
        name,
        min_height=200,
        x_label=panel["x_label"],
        y_label=panel["y_label"],
        y_range=_log_range(panel) if is_log else (-1.0, 1.0),
        scale="log" if is_log else "linear",
        columns={
            "x": panel["x_label"] or "place",
            "y": panel["y_label"],
            "error": "standard deviation",
            "words": "what",
        },
    )
    plot.x_range = DataRange1d()
    if not is_log:
        plot.y_range = DataRange1d()
    if panel.get("bands"):
        _add_bands(plot, panel)
    entries: dict[str, list[GlyphRenderer]] = {}
    hovered = []
    for index, series in enumerate(panel["series"]):
        source = ColumnDataSource(_columns(panel, series), name=_source_name(index))
        drawn = _draw(plot, series, source, kind=series.get("kind", panel["kind"]))
        like = series.get("dashed_like")
        color = series.get("color", index if like is None else like)
        for renderer in drawn:
            renderer.glyph.tags = ["text-muted" if color == "muted" else color % _N_COLORS]
        hovered += drawn[:1]
        if like is None and series.get("kind") != "labels":
            entries.setdefault(series.get("legend", series["name"]), []).extend(drawn)
    tooltips = [("", "$name"), ("x", "@x{0.[000]}"), ("y", "@y{0.0000 a}")]
    if any("labels" in series for series in panel["series"]):
        tooltips.append(("", "@words"))
    plot.add_tools(HoverTool(renderers=hovered, tooltips=tooltips))
    items = [LegendItem(label=name, renderers=own) for name, own in entries.items() if name]
    if 1 < len(items) <= _MAX_LEGEND_ENTRIES:
        legend = Legend(
            items=items,
            orientation="horizontal",
            ncols=_n_columns([item.label.value for item in items]),
            click_policy="hide",
            border_line_color=None,
            label_text_font_size="12px",
            padding=4,
            spacing=10,
        )
        plot.add_layout(legend, "above")
    if "x_ticks" in panel:
        _name_places(plot, panel["x_ticks"])
    else:
        # Times in ms are long numbers, and a plot may be as narrow as a phone.
        plot.xaxis.ticker.desired_num_ticks = 4
    return plot


def _n_columns(names: Sequence[str]) -> int:
    return max(1, _LETTERS_OF_LEGEND // (_LETTERS_OF_MARK + max(map(len, names))))


def _source_name(index: int) -> str:
    return f"series-{index}"


def _columns(panel: Mapping[str, Any], series: Mapping[str, Any]) -> dict[str, list]:
    """Return the points of a series as they are drawn."""
    columns: dict[str, Any] = {
        axis: np.array([_number(value) for value in series[axis]]) for axis in ("x", "y")
    }
    if series.get("kind", panel["kind"]) == "line" and "labels" not in series:
        n_points = MAX_POINTS // 2 * 2
        columns["x"], columns["y"] = decimate(columns["x"], columns["y"], n_points)
    if "labels" in series:
        columns["words"] = list(series["labels"])
    if "error" in series:
        error = np.array([_number(value) for value in series["error"]])
        columns |= {"error": error, "low": columns["y"] - error, "high": columns["y"] + error}
    return {name: list(values) for name, values in columns.items()}


def _draw(
    plot: figure, series: Mapping[str, Any], source: ColumnDataSource, *, kind: str
) -> list[GlyphRenderer]:
    """Draw a series; the first of what is drawn answers the pointer."""
    name = series["name"]
    if kind == "raster":
        return [
            plot.scatter("x", "y", source=source, marker="dash", angle=1.5708, size=4, name=name)
        ]
    if kind == "labels":
        return [
            plot.text("x", "y", text="words", source=source, text_font_size="11px", name=name,
                      x_offset=4, y_offset=-3)
        ]  # fmt: skip
    if kind == "points":
        mark = series.get("mark", "circle")
        drawn = [plot.scatter("x", "y", source=source, marker=mark, size=7, name=name)]
        if mark == "x":
            drawn[0].glyph.line_width = 2
        if "error" in series:
            drawn.append(
                plot.segment("x", "low", "x", "high", source=source, line_width=1.5, name=name)
            )
        return drawn
    is_dashed = series.get("is_dashed") or "dashed_like" in series
    return [
        plot.line(
            "x",
            "y",
            source=source,
            line_width=1.5,
            line_dash="dashed" if is_dashed else "solid",
            name=name,
        )
    ]


def _add_bands(plot: figure, panel: Mapping[str, Any]) -> None:
    from bokeh.models import ColumnDataSource, VStrip

    source = ColumnDataSource(_band_columns(panel), name="bands", tags=["marks"])
    glyph = VStrip(x0="start", x1="end", fill_alpha=0.16, line_alpha=0.0, tags=["text-muted"])
    plot.add_glyph(source, glyph, name=panel.get("band_label"))


def _band_columns(panel: Mapping[str, Any]) -> dict[str, list]:
    return {end: [band[end] for band in panel["bands"]] for end in ("start", "end")}


def _name_places(plot: figure, ticks: list[tuple[float, str]]) -> None:
    from bokeh.models import FixedTicker

    plot.xaxis.ticker = FixedTicker(ticks=[place for place, _ in ticks])
    plot.xaxis.major_label_overrides = dict(map(tuple, ticks))
    plot.xaxis.major_label_orientation = 0.6 if len(ticks) > 2 else "horizontal"
    plot.xgrid.visible = False


def _log_range(panel: Mapping[str, Any]) -> tuple[float, float]:
    values = [
        value
        for series in panel["series"]
        for value in series["y"]
        if value is not None and value > 0
    ]
    if not values:
        return (0.1, 10.0)
    return min(values) / 1.3, max(values) * 1.3


def _number(value: float | None) -> float:
    return math.nan if value is None else value
