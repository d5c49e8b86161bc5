"""How the runs of each group end, and when they reach the target."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from evolution.comparison_plots.pieces import add_glyph, finish, line, padded, source_of
from evolution.plots import drawn_value, new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bokeh.plotting import figure

    from evolution.comparison import Group
    from evolution.inference import Times
    from evolution.plots import Scale


def finals_figure(groups: Sequence[Group], *, y_label: str, scale: Scale) -> figure:
    """Draw each run's final fitness as a dot, with median and quartiles of each group."""
    import numpy as np

    is_log = scale == "log"
    drawn = {
        group: [
            (run.number, value)
            for run, fitness in zip(group.runs, group.final_fitness, strict=True)
            if math.isfinite(fitness)
            and math.isfinite(value := drawn_value(fitness, is_log=is_log))
        ]
        for group in groups
    }
    plot = _by_group(
        "final-fitness",
        groups,
        y_label=y_label,
        y_range=padded((v for rows in drawn.values() for _, v in rows), is_log=is_log),
        scale=scale,
        columns={"run": "run", "value": y_label},
    )
    legend, dots = {}, []
    for group, rows in drawn.items():
        values = [value for _, value in rows]
        dots.append(
            add_glyph(
                plot,
                group,
                source_of(
                    group,
                    {
                        "place": [
                            group.place + offset for offset in _spread(values, is_log=is_log)
                        ],
                        "value": values,
                        "run": [number for number, _ in rows],
                    },
                ),
                "Scatter",
                x="place",
                y="value",
                size=7,
                fill_alpha=0.75,
                line_width=0,
            )
        )
        legend[group] = [dots[-1]]
        if len(values) > 1:
            low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
            box = {"left": [group.place - 0.36], "right": [group.place + 0.36], "low": [low],
                   "high": [high], "middle": [middle]}  # fmt: skip
            source = source_of(group, box, is_shown=False)
            legend[group] += [
                add_glyph(plot, group, source, "Quad", left="left", right="right", bottom="low",
                     top="high", fill_alpha=0.14, line_alpha=0.6),
                add_glyph(plot, group, source, "Segment", x0="left", x1="right", y0="middle",
                     y1="middle", line_width=2.5),
            ]  # fmt: skip
    tooltips = [("", "$name"), ("run", "@run"), (y_label, "@value{0.0000 a}")]
    finish(plot, legend, tooltips=tooltips, hovered=dots, line_policy=None)
    return plot


def _by_group(
    name: str,
    groups: Sequence[Group],
    *,
    y_label: str,
    y_range: tuple[float, float],
    scale: Scale,
    columns: Mapping[str, str],
) -> figure:
    """Return an empty figure with the keys of the groups along the horizontal axis."""
    from bokeh.models import FixedTicker

    plot = new_figure(
        name,
        x_label="",
        y_label=y_label,
        x_range=(-0.7, len(groups) - 0.3),
        y_range=y_range,
        scale=scale,
        columns=columns,
    )
    every = math.ceil(len(groups) / 30)
    places = list(range(0, len(groups), every))
    plot.xaxis.ticker = FixedTicker(ticks=places)
    plot.xaxis.major_label_overrides = {place: groups[place].key for place in places}
    plot.xgrid.visible = False
    return plot


def _spread(values: Sequence[float], *, is_log: bool) -> list[float]:
    """Return an offset for each value, so that equal ones do not hide each other."""
    if not values:
        return []
    heights = [math.log(value) if is_log else value for value in values]
    size = (max(heights) - min(heights)) / 20 or 1.0
    seen: dict[int, int] = {}
    offsets = []
    for height in heights:
        cell = round(height / size)
        number = seen.get(cell, 0)
        seen[cell] = number + 1
        # 0, 1, -1, 2, -2 and so on, at most as wide as the box.
        step = (number + 1) // 2 * (1 if number % 2 else -1)
        offsets.append(max(-0.33, min(0.33, 0.06 * step)))
    return offsets


def times_figure(groups: Sequence[Group], times: Sequence[Times | None], *, x_label: str) -> figure:
    """Draw the share of the runs that have reached the target; marks are runs that did not."""
    known = [(group, own) for group, own in zip(groups, times, strict=True) if own and own.n_runs]
    last = max((t for _, own in known for t in (*own.reached, *own.censored)), default=10)
    plot = new_figure(
        "time-to-target",
        x_label=x_label,
        y_label="share of the runs at the target",
        x_range=(-0.01 * last, 1.03 * last or 1.0),
        y_range=(-0.03, 1.05),
        columns={"time": x_label, "share": "share of the runs at the target", "what": "what"},
    )
    legend, hovered = {}, []
    for group, own in known:
        columns: dict[str, list] = {"time": [0.0], "share": [0.0]}
        for time, share in zip(*own.shares(), strict=True):
            columns["time"] += [time, time]
            columns["share"] += [columns["share"][-1], share]
        columns["time"].append(max((*own.reached, *own.censored)))
        columns["share"].append(columns["share"][-1])
        columns["what"] = ["reached"] * len(columns["time"])
        hovered.append(line(plot, group, columns, x="time", y="share"))
        legend[group] = [hovered[-1]]
        if own.censored:
            marks = {
                "time": list(own.censored),
                "share": [_share_at(own, time) for time in own.censored],
                "what": ["not reached by then"] * len(own.censored),
            }
            hovered.append(
                add_glyph(plot, group, source_of(group, marks), "Scatter", x="time", y="share",
                     marker="dash", angle=math.pi / 2, size=12, line_width=2)
            )  # fmt: skip
            legend[group].append(hovered[-1])
    tooltips = [("", "$name"), (x_label, "@time{0,0.[0]}"), ("share", "@share{0 %}"), ("", "@what")]
    finish(plot, legend, tooltips=tooltips, hovered=hovered)
    return plot


def _share_at(times: Times, moment: float) -> float:
    reached = [share for time, share in zip(*times.shares(), strict=True) if time <= moment]
    return reached[-1] if reached else 0.0
