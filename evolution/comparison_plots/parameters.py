"""Parallel coordinates: each run as a line over the parameters, to its final fitness."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from evolution.comparison_plots.pieces import add_plain, finish
from evolution.plots import drawn_value, new_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bokeh.plotting import figure

    from evolution.comparison import Group, Parameter
    from evolution.plots import Scale


def parameters_figure(
    groups: Sequence[Group], parameters: Sequence[Parameter], *, y_label: str, scale: Scale
) -> figure:
    """Draw each run as a line over the parameters that differ and, last, its final fitness.

    The colour is the final fitness: ``fitness_share`` is 0 for the least and 1 for the best.
    """
    from bokeh.models import FixedTicker

    is_log = scale == "log"
    runs = [
        (group, run, value)
        for group in groups
        for run in group.runs
        if run.champion_fitness is not None
        and math.isfinite(value := drawn_value(run.champion_fitness, is_log=is_log))
    ]
    axes = [_axis([parameter.values[group.place] for group, _, _ in runs], is_log=None)
            for parameter in parameters]  # fmt: skip
    names = [f"{p.label} ({p.unit})" if p.unit else p.label for p in parameters] + [y_label]
    heights, ticks = _axis([value for *_, value in runs], is_log=is_log)
    # Better is higher: an error falls upwards.
    axes.append(
        ([1.0 - h for h in heights], [(1.0 - h, text) for h, text in ticks])
        if is_log
        else (heights, ticks)
    )
    plot = new_figure(
        "parameters",
        x_label="",
        y_label="",
        x_range=(-0.35, len(axes) - 0.45),
        y_range=(-0.06, 1.08),
        columns={
            "label": "experiment",
            "run": "run",
            **{f"parameter_{i}": name for i, name in enumerate(names[:-1])},
            "value": y_label,
        },
    )
    plot.yaxis.visible = False
    plot.grid.visible = False
    plot.xaxis.ticker = FixedTicker(ticks=list(range(len(names))))
    plot.xaxis.major_label_overrides = dict(enumerate(names))
    plot.xaxis.major_label_orientation = 0.45
    places = list(range(len(axes)))
    add_plain(plot, "Segment", {"x": places, "low": [0.0] * len(axes), "high": [1.0] * len(axes)},
           "line-strong", x0="x", x1="x", y0="low", y1="high")  # fmt: skip
    columns = {
        "xs": [places] * len(runs),
        "ys": [[axis[0][row] for axis in axes] for row in range(len(runs))],
        "label": [group.label for group, _, _ in runs],
        "run": [run.number for _, run, _ in runs],
        "value": [value for *_, value in runs],
        "fitness_share": axes[-1][0],
        **{
            f"parameter_{i}": [_text(parameter.values[group.place]) for group, _, _ in runs]
            for i, parameter in enumerate(parameters)
        },
    }
    lines = add_plain(plot, "MultiLine", columns, "by-fitness", name="runs", xs="xs", ys="ys",
                   line_width=1.75, line_alpha=0.8)  # fmt: skip
    labels = [(x, y, text) for x, (_, ticks) in enumerate(axes) for y, text in ticks]
    add_plain(
        plot,
        "Text",
        {"x": [x for x, _, _ in labels], "y": [y for _, y, _ in labels],
         "text": [text for *_, text in labels]},
        "text",
        x="x", y="y", text="text", x_offset=6, text_baseline="middle", text_font_size="12px",
        padding=2,
    )  # fmt: skip
    tooltips = [("", "@label"), ("run", "@run"), (y_label, "@value{0.0000 a}")]
    finish(plot, {}, tooltips=tooltips, hovered=[lines], line_policy=None)
    return plot


def _axis(values: Sequence[object], *, is_log: bool | None) -> tuple[list[float], list]:
    """Return the height of each value on an axis from 0 to 1, and heights with texts for ticks.

    Numbers lie as they are, or by their logarithm where they span more than two decades; other
    values, and numbers beside a lack of one, at equal distances.
    """
    is_number = all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values
    )
    if values and is_number:
        low, high = min(values), max(values)
        if is_log is None:
            is_log = low > 0 and high / low > 100
        scaled = [math.log(value) if is_log else float(value) for value in values]
        start, span = min(scaled), max(scaled) - min(scaled)
        heights = [(value - start) / span if span else 0.5 for value in scaled]
        shown = dict(zip(heights, values, strict=True))
        if len(shown) > 6:
            shown = {0.0: low, 1.0: high}
        return heights, [(height, f"{value:.5g}") for height, value in shown.items()]
    kinds = sorted({_text(value) for value in values})
    heights = {
        kind: i / (len(kinds) - 1) if len(kinds) > 1 else 0.5 for i, kind in enumerate(kinds)
    }
    shown = kinds if len(kinds) <= 12 else [kinds[0], kinds[-1]]
    return [heights[_text(value)] for value in values], [(heights[k], k[:24]) for k in shown]


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:.5g}" if isinstance(value, float) else str(value)
