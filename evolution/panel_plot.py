"""Panels as Bokeh figures: curves and rasters. BokehJS gives them the colours of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evolution.plots import new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bokeh.plotting import figure

_N_COLORS = 8
# With more curves the legend would cover them; a pointer at a curve tells its name.
_MAX_LEGEND_ENTRIES = 6


def panel_figure(panel: Mapping[str, Any]) -> figure:
    """Draw a panel; see :mod:`simulations.panels`."""
    from bokeh.models import ColumnDataSource, DataRange1d, HoverTool, Legend, LegendItem

    plot = new_figure(
        "panel",
        min_height=200,
        x_label=panel["x_label"],
        y_label=panel["y_label"],
        columns={"x": panel["x_label"], "y": panel["y_label"]},
    )
    plot.x_range, plot.y_range = DataRange1d(), DataRange1d()
    items = []
    for index, series in enumerate(panel["series"]):
        source = ColumnDataSource(
            {axis: [_number(value) for value in series[axis]] for axis in ("x", "y")}
        )
        like = series.get("dashed_like")
        tags = [(index if like is None else like) % _N_COLORS]
        if panel["kind"] == "raster":
            drawn = plot.scatter(
                "x", "y", source=source, marker="dash", angle=1.5708, size=4, name=series["name"]
            )
        else:
            drawn = plot.line(
                "x",
                "y",
                source=source,
                line_width=1.5,
                line_dash="solid" if like is None else "dashed",
                name=series["name"],
            )
        drawn.glyph.tags = tags
        if like is None:
            items.append(LegendItem(label=series["name"], renderers=[drawn]))
    plot.add_tools(HoverTool(tooltips=[("", "$name"), ("x", "@x{0.[000]}"), ("y", "@y{0.0000 a}")]))
    if 1 < len(items) <= _MAX_LEGEND_ENTRIES:
        legend = Legend(
            items=items,
            orientation="horizontal",
            ncols=3,
            click_policy="hide",
            border_line_color=None,
            label_text_font_size="12px",
            padding=4,
            spacing=10,
        )
        plot.add_layout(legend, "above")
    # Times in ms are long numbers, and a plot may be as narrow as a phone.
    plot.xaxis.ticker.desired_num_ticks = 4
    return plot


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
