"""Held-out trials beside those of training, and the tornado plot of robustness, as figures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evolution.comparison_plots.pieces import add_plain, padded
from evolution.plots import drawn_value, new_figure
from simulations.variations import FACTORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bokeh.models import GlyphRenderer
    from bokeh.plotting import figure

    from evolution.estimates import Estimate
    from evolution.plots import Scale
    from evolution.robustness import Robustness, Sensitivity

#: Half of the width of a column of trials.
_REACH = 0.28
#: Colour in the style sheet and half of the height of the bar of each factor: larger steps are
#: pale and wide, smaller ones are drawn over them.
_BARS = {0.5: ("run-1", 0.38, 0.35), 0.8: ("run-1", 0.2, 0.95),
         1.5: ("run-0", 0.38, 0.35), 1.2: ("run-0", 0.2, 0.95)}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """Trials of one rule in one context."""

    name: str
    trials: Sequence[float]
    estimate: Estimate | None
    color: str


def trials_figure(columns: Sequence[Column], *, y_label: str, scale: Scale) -> figure:
    """Draw each trial as a dot, and the fitness with its confidence interval beside them.

    Trials stand in their order, so that the same trial of two rules is at the same place.
    """
    from bokeh.models import FixedTicker, HoverTool

    is_log = scale == "log"

    def drawn(value: float | None) -> float:
        return math.nan if value is None else drawn_value(value, is_log=is_log)

    shown = [drawn(value) for column in columns for value in column.trials]
    ends = [
        drawn(value)
        for column in columns
        if column.estimate
        for value in (column.estimate.low, column.estimate.high)
    ]
    plot = new_figure(
        "held-out-trials",
        x_label="",
        y_label=y_label,
        x_range=(-0.6, len(columns) - 0.4),
        y_range=padded([*shown, *ends], is_log=is_log),
        scale=scale,
        columns={"trial": "trial", "value": y_label, "what": "what"},
        min_height=260,
    )
    plot.xaxis.ticker = FixedTicker(ticks=list(range(len(columns))))
    plot.xaxis.major_label_overrides = {place: column.name for place, column in enumerate(columns)}
    plot.xgrid.visible = False
    hovered = []
    for place, column in enumerate(columns):
        n = len(column.trials)
        step = 2 * _REACH / max(1, n - 1)
        dots = {
            "place": [place - _REACH + step * k if n > 1 else place for k in range(n)],
            "value": [drawn(value) for value in column.trials],
            "trial": list(range(1, n + 1)),
            "what": ["trial"] * n,
        }
        options = {"x": "place", "y": "value", "size": 6, "fill_alpha": 0.6, "line_width": 0}
        hovered.append(add_plain(plot, "Scatter", dots, column.color, column.name, **options))
        if column.estimate is not None:
            hovered.append(_add_estimate(plot, column, place + _REACH + 0.1, drawn))
    plot.add_tools(
        HoverTool(
            renderers=hovered,
            tooltips=[("", "$name"), ("@what", "@trial"), (y_label, "@value{0.0000 a}")],
        )
    )
    return plot


def _add_estimate(plot: figure, column: Column, place: float, drawn) -> GlyphRenderer:
    estimate = column.estimate
    low, high = drawn(estimate.low), drawn(estimate.high)
    if math.isfinite(low) and math.isfinite(high):
        ends = {"x": [place], "low": [low], "high": [high]}
        add_plain(plot, "Segment", ends, column.color, x0="x", x1="x", y0="low", y1="high",
                  line_width=2)  # fmt: skip
    marks = {"place": [place], "value": [drawn(estimate.value)], "trial": ["all"],
             "what": ["fitness"]}  # fmt: skip
    return add_plain(plot, "Scatter", marks, column.color, column.name, x="place", y="value",
                     marker="diamond", size=11, line_width=1)  # fmt: skip


def tornado_figure(found: Robustness, *, x_label: str) -> figure:
    """Draw how far fitness moves with each parameter, the one that matters most at the top.

    Circles are the fitness of the best rule of the literature at the same values.
    """
    from bokeh.models import FixedTicker, HoverTool, Legend, LegendItem

    shown = [item for item in found.parameters if item.swing > 0.0]
    rows = list(enumerate(reversed(shown)))
    values = [
        value
        for _, item in rows
        for point in item.points
        for value in (point.fitness, point.baseline)
        if value is not None
    ]
    base = found.fitness
    plot = new_figure(
        "robustness",
        x_label=x_label,
        y_label="",
        x_range=padded([*values, *([] if base is None else [base])], is_log=False),
        y_range=(-0.6, max(len(rows), 1) - 0.4),
        columns={"parameter": "parameter", "unit": "unit", "value": "value",
                 "change": "change wanted", "fitness": x_label,
                 "baseline": f"{found.baseline_name}: {x_label}"},
        min_height=120 + 32 * len(rows),
    )  # fmt: skip
    plot.yaxis.ticker = FixedTicker(ticks=[place for place, _ in rows])
    plot.yaxis.major_label_overrides = {place: item.label for place, item in rows}
    plot.ygrid.visible = False
    if base is None:
        return plot
    legend, bars = [], []
    # Wide bars first: what is drawn later lies over them.
    for factor in sorted(FACTORS, key=lambda factor: -_BARS[factor][1]):
        color, half, alpha = _BARS[factor]
        columns = _columns(rows, factor, base, half)
        name = f"{100 * (factor - 1):+.0f} %".replace("-", "−")
        bar = add_plain(plot, "Quad", columns, color, name, left="left", right="right",
                        bottom="bottom", top="top", fill_alpha=alpha, line_width=0)  # fmt: skip
        bars.append(bar)
        legend.append((factor, LegendItem(label=name, renderers=[bar])))
    line = {"x": [base, base], "y": [-0.6, max(len(rows), 1) - 0.4]}
    add_plain(plot, "Line", line, "text-muted", x="x", y="y", line_width=1.5)
    marks = _baseline_marks(rows)
    circles = add_plain(plot, "Scatter", marks, "text-muted", x="x", y="y", size=6,
                        fill_alpha=0.0, line_width=1.2)  # fmt: skip
    items = [item for _, item in sorted(legend, key=lambda pair: pair[0])]
    items.append(LegendItem(label=found.baseline_name, renderers=[circles]))
    plot.add_layout(
        Legend(items=items, orientation="horizontal", ncols=3, border_line_color=None,
               label_text_font_size="12px", padding=4, spacing=10, click_policy="hide"),
        "above",
    )  # fmt: skip
    plot.add_tools(
        HoverTool(
            renderers=bars,
            tooltips=[
                ("", "@parameter"),
                ("value", "@value @unit"),
                ("fitness", "@fitness{0.0000 a}"),
                (found.baseline_name, "@baseline{0.0000 a}"),
            ],
        )
    )
    plot.xaxis.ticker.desired_num_ticks = 4
    return plot


def _columns(
    rows: Sequence[tuple[int, Sensitivity]], factor: float, base: float, half: float
) -> dict[str, list]:
    columns: dict[str, list] = {
        name: []
        for name in ("left", "right", "bottom", "top", "parameter", "unit", "value", "change",
                     "fitness", "baseline")
    }  # fmt: skip
    for place, item in rows:
        for point in item.points:
            if point.factor != factor or point.fitness is None:
                continue
            row = (min(base, point.fitness), max(base, point.fitness), place - half, place + half,
                   item.label, item.unit, point.value, f"{100 * (factor - 1):+.0f} %",
                   point.fitness, "" if point.baseline is None else point.baseline)  # fmt: skip
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value)
    return columns


def _baseline_marks(rows: Sequence[tuple[int, Sensitivity]]) -> dict[str, list]:
    marks: dict[str, list] = {"x": [], "y": []}
    for place, item in rows:
        for point in item.points:
            if point.baseline is not None:
                marks["x"].append(point.baseline)
                # From the smallest value at the bottom to the largest at the top.
                marks["y"].append(place + 0.12 * (FACTORS.index(point.factor) - 1.5))
    return marks
