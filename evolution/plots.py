"""Data in, Bokeh figures out. BokehJS gives them their colours from the style sheet."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from evolution.figure_template import X_RANGE, Y_RANGE, FigureTemplate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bokeh.models import GlyphRenderer
    from bokeh.plotting import figure

    from evolution.statistics import Band

Scale = Literal["log", "linear"]

#: Colours of curves in the style sheet (``--run-0`` to ``--run-7``); runs take them in turn.
N_RUN_COLORS = 8
#: Improvements that the curves of a figure show together: beyond, each shows its largest steps.
MAX_IMPROVEMENTS = 1200
#: Columns of the curves' corners. The client adds the label of the run.
CURVE_COLUMNS = ("run", "generation", "value", "fitness", "rule", "size")
#: Columns of the corners of median and quartiles: what is drawn, and the fitness there.
BAND_COLUMNS = ("generation", "low", "median", "high", "q1", "q2", "q3")
MARK_SIZE = 6
#: Of the vertical axis, until the client shows the data.
_EMPTY_RANGES: dict[Scale, tuple[float, float]] = {"log": (0.1, 10.0), "linear": (-1.0, 1.0)}
_GAP = {
    **dict.fromkeys(("run", "generation", "value", "fitness"), math.nan),
    "rule": "",
    "size": 0,
}
#: With more runs the legend would cover the curves, and marks each other; the table of runs names
#: them all.
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
) -> str:
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

    Returns
    -------
    str
        JSON for BokehJS.
    """
    is_log = scale == "log"
    n_each = max(2, MAX_IMPROVEMENTS // max(1, len(curves)))
    curves = [largest_steps(curve, n_each, is_log=is_log) for curve in curves]
    has_legend = len(curves) <= MAX_LEGEND_ENTRIES
    groups = [[curve] for curve in curves] if has_legend else _by_color(curves)
    template = _champion_template(
        tuple((group[0].label, group[0].color) for group in groups),
        has_legend=has_legend,
        y_label=y_label,
        scale=scale,
        has_band=band is not None,
    )
    values: dict[str, dict[str, Any]] = {
        f"curves-{number}": {
            "data": _columns_of(group, is_log=is_log),
            "tags": [[curve.run, curve.label] for curve in group],
        }
        for number, group in enumerate(groups)
    }
    if band is not None:
        values["band"] = {"data": band_columns(band, is_log=is_log)}
    low, high = _EMPTY_RANGES[scale]
    return template.filled(
        {**values, X_RANGE: {"start": 0.0, "end": 10.0}, Y_RANGE: {"start": low, "end": high}}
    )


@lru_cache(maxsize=64)
def _champion_template(
    groups: tuple[tuple[str, int], ...],
    *,
    has_legend: bool,
    y_label: str,
    scale: Scale,
    has_band: bool,
) -> FigureTemplate:
    """Return the figure for curves of these labels and colours; without a legend, of all runs of
    each colour."""
    from bokeh.models import HoverTool, Legend, LegendItem

    plot = new_figure(
        "champion-fitness",
        x_label="generation",
        y_label=y_label,
        y_range=_EMPTY_RANGES[scale],
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
    by_group = [
        _curve_renderers(
            label if has_legend else f"runs in colour {number + 1}",
            color,
            number,
            has_marks=has_legend,
        )
        for number, (label, color) in enumerate(groups)
    ]
    renderers = [renderer for own in by_group for renderer in own]
    plot.renderers.extend(renderers)
    plot.add_tools(
        HoverTool(
            renderers=renderers,
            tooltips=[
                ("run", "@label"),
                ("since generation", "@generation"),
                ("fitness", "@fitness{0.0000 a}"),
                ("rule", "@rule"),
            ],
            line_policy="prev",
        )
    )
    if has_band:
        _add_band(plot)
    if groups and has_legend:
        plot.add_layout(
            Legend(
                items=[
                    LegendItem(label=label, renderers=own)
                    for (label, _), own in zip(groups, by_group, strict=True)
                ],
                location="top_right" if scale == "log" else "bottom_right",
                click_policy="hide",
                background_fill_alpha=0.8,
                label_text_font_size="12px",
                padding=6,
                spacing=0,
            )
        )
    return FigureTemplate(plot)


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
        x_range=Range1d(*x_range, name=X_RANGE),
        y_range=Range1d(*y_range, name=Y_RANGE),
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
    ``size`` is that of a mark, which improvements have.
    """
    columns: dict[str, list] = {name: [] for name in CURVE_COLUMNS}
    ends = [generation for generation, _, _ in curve.improvements[1:]] + [curve.last_generation]
    for (start, fitness, rule), end in zip(curve.improvements, ends, strict=False):
        columns["run"] += [curve.run] * 2
        columns["generation"] += [start, end]
        columns["value"] += [drawn_value(fitness, is_log=is_log)] * 2
        columns["fitness"] += [fitness] * 2
        columns["rule"] += [rule] * 2
        columns["size"] += [MARK_SIZE, 0]
    return columns


def largest_steps(curve: ChampionCurve, limit: int, *, is_log: bool) -> ChampionCurve:
    """Return a curve with at most so many improvements: the first, the last and the largest."""
    known = curve.improvements
    if len(known) <= limit:
        return curve
    values = [drawn_value(fitness, is_log=is_log) for _, fitness, _ in known]
    if is_log:
        values = [math.log(value) if value > 0.0 else math.nan for value in values]
    steps = [abs(after - before) for before, after in pairwise(values[:-1])]
    # A step to where the logarithm is not defined is not the largest.
    order = sorted(range(len(steps)), key=lambda i: -steps[i] if steps[i] >= 0.0 else 0.0)
    kept = sorted({0, len(known) - 1, *(index + 1 for index in order[: limit - 2])})
    return replace(curve, improvements=[known[index] for index in kept])


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


def error_label(fitness_label: str) -> str | None:
    """Return "error (mV)" for "minus the error (mV)", None where fitness is no minus an error.

    Errors fall by orders of magnitude, so people look at them on a logarithmic axis.
    """
    error = fitness_label.removeprefix("minus the ")
    return None if error == fitness_label else error


def band_columns(band: Band, *, is_log: bool) -> dict[str, list]:
    """Return the corners of median and quartiles; ``q1``, ``q2`` and ``q3`` are fitness values.

    ``low`` and ``high`` are drawn: nan where a quartile is minus infinity, or no error.
    """
    columns: dict[str, list] = {name: [] for name in BAND_COLUMNS}
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


def _add_band(plot: figure) -> None:
    from bokeh.models import ColumnDataSource, HoverTool

    source = ColumnDataSource({name: [] for name in BAND_COLUMNS}, name="band")
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


def _by_color(curves: Sequence[ChampionCurve]) -> list[list[ChampionCurve]]:
    groups: dict[int, list[ChampionCurve]] = {}
    for curve in curves:
        groups.setdefault(curve.color, []).append(curve)
    return list(groups.values())


def _columns_of(curves: Sequence[ChampionCurve], *, is_log: bool) -> dict[str, list]:
    """Return the corners of curves of one colour, with a gap between two of them."""
    columns: dict[str, list] = {name: [] for name in CURVE_COLUMNS}
    for curve in curves:
        own = step_columns(curve, is_log=is_log)
        for name, values in columns.items():
            if values and own[name]:
                values.append(_GAP[name])
            values.extend(own[name])
    return columns


def _curve_renderers(name: str, color: int, number: int, *, has_marks: bool) -> list[GlyphRenderer]:
    """Draw curves of one colour from one source, which names them by its tags.

    BokehJS takes long for each model, and a line has three, so that a source and a line for each
    of a hundred runs would take seconds.
    """
    from bokeh.models import CDSView, ColumnDataSource, GlyphRenderer, Line, Scatter

    source = ColumnDataSource({name: [] for name in CURVE_COLUMNS}, name=f"curves-{number}")
    # The client finds the colour of a glyph by its tag.
    tags = [color]
    look = {"line_width": 2} if has_marks else {"line_width": 1.5, "line_alpha": 0.7}
    glyphs = [Line(x="generation", y="value", line_join="round", tags=tags, **look)]
    if has_marks:
        glyphs.append(
            Scatter(x="generation", y="value", size={"field": "size"}, line_width=0, tags=tags)
        )
    view = CDSView()
    return [
        GlyphRenderer(data_source=source, glyph=glyph, view=view, name=name) for glyph in glyphs
    ]
