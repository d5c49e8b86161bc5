"""Data in, Bokeh figures out. BokehJS gives them their colours from the style sheet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bokeh.models import GlyphRenderer
    from bokeh.plotting import figure

    from evolution.statistics import Band

Scale = Literal["log", "linear"]

#: Colours of curves in the style sheet (``--run-0`` to ``--run-7``); runs take them in turn.
N_RUN_COLORS = 8
#: With more runs the legend would cover the curves; the table of runs names them all.
MAX_LEGEND_ENTRIES = 10


@dataclass(frozen=True)
class ChampionCurve:
    """The champion's fitness of one run.

    Attributes
    ----------
    improvements : sequence of (int, float, str)
        Generation, fitness and rule of each champion that was fitter than the one before,
        in order; between two of them the fitness stays the same.
    last_generation : int
        Generation that the run has come to.
    """

    run: int
    label: str
    color: int
    improvements: Sequence[tuple[int, float, str]]
    last_generation: int


def champion_figure(
    curves: Sequence[ChampionCurve], *, y_label: str, scale: Scale, band: Band | None = None
) -> figure:
    """Draw the champion's fitness by generation, one stepped curve per run.

    A stepped curve is drawn through its corners, which keeps a history of any length exact in
    as many points as it has improvements, and lets the pointer find it (Bokeh's own step glyph
    answers no hover).

    Parameters
    ----------
    curves : sequence of ChampionCurve
    y_label : str
        What the vertical axis shows, with its unit.
    scale : {"log", "linear"}
        The error (minus the fitness) on a logarithmic axis, or the fitness on a linear one.
    band : Band, optional
        Median and quartiles over the runs. They are in the figure but not visible: the page
        shows them in place of the single curves.
    """
    from bokeh.models import HoverTool

    is_log = scale == "log"
    plot = new_figure(
        "champion-fitness",
        x_label="generation",
        y_label=y_label,
        y_range=(0.1, 10.0) if is_log else (-1.0, 1.0),
        scale=scale,
        columns={
            "generation": "generation",
            "value": y_label,
            "rule": "rule",
            "low": f"quartile of {y_label}",
            "median": f"median of {y_label}",
            "high": f"other quartile of {y_label}",
        },
    )
    lines = [
        _add_curve(plot, curve, is_log=is_log, has_legend=len(curves) <= MAX_LEGEND_ENTRIES)
        for curve in curves
    ]
    plot.add_tools(
        HoverTool(
            renderers=[renderer for pair in lines for renderer in pair],
            tooltips=[
                ("run", "$name"),
                ("since generation", "@generation"),
                ("fitness", "@fitness{0.0000 a}"),
                ("rule", "@rule"),
            ],
            line_policy="prev",
        )
    )
    if band is not None:
        _add_band(plot, band, is_log=is_log)
    if curves and len(curves) <= MAX_LEGEND_ENTRIES:
        plot.legend.location = "top_right" if is_log else "bottom_right"
        plot.legend.click_policy = "hide"
        plot.legend.background_fill_alpha = 0.8
        plot.legend.label_text_font_size = "12px"
        plot.legend.padding = 6
        plot.legend.spacing = 0
    return plot


def new_figure(
    name: str,
    *,
    x_label: str,
    y_label: str,
    x_range: tuple[float, float] = (0.0, 10.0),
    y_range: tuple[float, float] = (-1.0, 1.0),
    scale: Scale = "linear",
    columns: Mapping[str, str],
    min_height: int = 240,
) -> figure:
    """Return an empty figure as all figures of the site begin.

    Parameters
    ----------
    name : str
        By which the client finds it, and which its files are called by.
    scale : {"log", "linear"}
        Of the vertical axis.
    columns : mapping of str to str
        Columns of the data that a CSV file of the figure holds, with their names and units there.
    """
    from bokeh.models import BasicTickFormatter, FixedTicker, Range1d
    from bokeh.plotting import figure

    plot = figure(
        name=name,
        sizing_mode="stretch_both",
        min_height=min_height,
        x_range=Range1d(*x_range),
        y_range=Range1d(*y_range),
        y_axis_type=scale,
        x_axis_label=x_label,
        y_axis_label=y_label,
        tools="pan,box_zoom,wheel_zoom,reset",
        active_drag="box_zoom",
        active_scroll=None,
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        tags=[list(item) for item in columns.items()],
    )
    plot.toolbar.logo = None
    if scale == "log":
        # BokehJS's own ticks leave out most of a range of less than two decades.
        plot.yaxis.ticker = FixedTicker(ticks=[])
    else:
        plot.yaxis.formatter = BasicTickFormatter(power_limit_high=9)
    plot.axis.axis_label_text_font_style = "normal"
    plot.axis.axis_label_text_font_size = "13px"
    plot.axis.major_label_text_font_size = "12px"
    return plot


def step_columns(curve: ChampionCurve, *, is_log: bool) -> dict[str, list]:
    """Return the corners of a stepped curve, ending where the run has come to.

    ``value`` is what is drawn, ``fitness`` and ``rule`` are those on the way to the next corner.
    """
    columns: dict[str, list] = {"generation": [], "value": [], "fitness": [], "rule": []}
    ends = [generation for generation, _, _ in curve.improvements[1:]] + [curve.last_generation]
    for (start, fitness, rule), end in zip(curve.improvements, ends, strict=False):
        columns["generation"] += [start, end]
        columns["value"] += [drawn_value(fitness, is_log=is_log)] * 2
        columns["fitness"] += [fitness] * 2
        columns["rule"] += [rule] * 2
    return columns


def sparkline(steps: Sequence[tuple[int, float]], last_generation: int) -> str:
    """Return the points of a small stepped curve for an SVG of 100 by 24 units.

    Parameters
    ----------
    steps : sequence of (int, float)
        Generation and fitness of each fitter champion, in order; between two of them the fitness
        stays the same.
    last_generation : int
        Generation that the run has come to.

    Notes
    -----
    Errors fall by orders of magnitude: where all values are negative, the logarithm is drawn.
    """
    if not steps:
        return ""
    is_log = all(fitness < 0.0 for _, fitness in steps)
    values = [-math.log10(-fitness) if is_log else fitness for _, fitness in steps]
    low, high = min(values), max(values)
    end = max(last_generation, steps[-1][0], 1)
    corners: list[tuple[float, float]] = []
    for (generation, _), value in zip(steps, values, strict=True):
        x = 100.0 * generation / end
        y = 22.0 - 20.0 * ((value - low) / (high - low) if high > low else 0.5)
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    corners.append((100.0, corners[-1][1]))
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)


def drawn_value(fitness: float, *, is_log: bool) -> float:
    """Return what is drawn for a fitness; nan where the logarithm is not defined."""
    if not is_log:
        return fitness
    return -fitness if fitness < 0.0 else math.nan


def band_columns(band: Band, *, is_log: bool) -> dict[str, list]:
    """Return the corners of median and quartiles; ``q1``, ``q2`` and ``q3`` are fitness values.

    ``low`` and ``high`` are drawn: nan where a quartile is minus infinity, or no error.
    """
    columns: dict[str, list] = {
        name: [] for name in ("generation", "low", "median", "high", "q1", "q2", "q3")
    }
    ends = [*band.generations[1:], band.last_generation]
    for start, end, *quartiles in zip(
        band.generations, ends, band.low, band.median, band.high, strict=False
    ):
        columns["generation"] += [start, end]
        for drawn, name, fitness in zip(
            ("low", "median", "high"), ("q1", "q2", "q3"), quartiles, strict=True
        ):
            value = drawn_value(fitness, is_log=is_log) if math.isfinite(fitness) else math.nan
            columns[drawn] += [value] * 2
            columns[name] += [fitness if math.isfinite(fitness) else math.nan] * 2
    return columns


def without_gaps(columns: dict[str, list]) -> dict[str, list]:
    """Return columns as JSON has them: None for nan."""
    return {
        name: [None if isinstance(v, float) and math.isnan(v) else v for v in values]
        for name, values in columns.items()
    }


def _add_band(plot: figure, band: Band, *, is_log: bool) -> None:
    from bokeh.models import ColumnDataSource, HoverTool

    source = ColumnDataSource(band_columns(band, is_log=is_log), name="band")
    common = {"x": "generation", "source": source, "tags": ["accent"], "visible": False}
    plot.varea(y1="low", y2="high", fill_alpha=0.22, name="quartiles", **common)
    median = plot.line(y="median", line_width=2.5, line_join="round", name="median", **common)
    plot.add_tools(
        HoverTool(
            renderers=[median],
            tooltips=[
                ("since generation", "@generation"),
                ("median fitness", "@q2{0.0000 a}"),
                ("quartiles", "@q1{0.0000 a} to @q3{0.0000 a}"),
            ],
            line_policy="prev",
        )
    )


def _add_curve(
    plot: figure, curve: ChampionCurve, *, is_log: bool, has_legend: bool
) -> list[GlyphRenderer]:
    from bokeh.models import ColumnDataSource

    steps = ColumnDataSource(step_columns(curve, is_log=is_log), name=f"run-{curve.run}")
    marks = ColumnDataSource(
        {
            "generation": [generation for generation, _, _ in curve.improvements],
            "value": [drawn_value(fitness, is_log=is_log) for _, fitness, _ in curve.improvements],
            "fitness": [fitness for _, fitness, _ in curve.improvements],
            "rule": [rule for _, _, rule in curve.improvements],
        },
        name=f"improvements-{curve.run}",
        # The curve has the same values: the CSV file leaves these out.
        tags=["marks"],
    )
    # The client finds the colour of a glyph by its tag.
    common = {"x": "generation", "y": "value", "name": curve.label, "tags": [curve.color]}
    if has_legend:
        common["legend_label"] = curve.label
    return [
        plot.line(source=steps, line_width=2, line_join="round", **common),
        plot.scatter(source=marks, size=6, line_width=0, **common),
    ]
