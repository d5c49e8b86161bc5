"""The Pareto fronts of several groups in one plane of complexity and fitness."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from evolution.comparison_plots.pieces import add_glyph, dash_of, finish, source_of
from evolution.front_plot import front_limits, front_plane
from evolution.plots import drawn_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bokeh.plotting import figure

    from evolution.comparison import Group
    from evolution.fronts import FrontPoint
    from evolution.plots import Scale


def fronts_figure(
    groups: Sequence[Group],
    fronts: Sequence[Sequence[FrontPoint]],
    texts: Mapping[int, str],
    *,
    y_label: str,
    scale: Scale,
    address: str,
) -> figure:
    """Draw the Pareto front of each group; a click on a point opens the page of its rule."""
    from bokeh.models import OpenURL, TapTool

    is_log = scale == "log"
    drawn = [
        [(p, v) for p in front if math.isfinite(v := drawn_value(p.fitness, is_log=is_log))]
        for front in fronts
    ]
    limits = front_limits(
        [point.complexity for front in drawn for point, _ in front],
        [value for front in drawn for _, value in front],
        scale=scale,
    )
    plot = front_plane(limits, y_label=y_label, scale=scale)
    plot.name = "fronts"
    legend, marks = {}, []
    for group, front in zip(groups, drawn, strict=True):
        if not front:
            continue
        source = source_of(
            group,
            {
                "complexity": [point.complexity for point, _ in front],
                "value": [value for _, value in front],
                "rule": [point.rule_id for point, _ in front],
                "text": [texts.get(point.rule_id, "") for point, _ in front],
            },
        )
        where = {"x": "complexity", "y": "value"}
        line = add_glyph(plot, group, source, "Step", **where, mode="after", line_width=2,
                    line_dash=dash_of(group))  # fmt: skip
        marks.append(add_glyph(plot, group, source, "Scatter", **where, size=9, line_width=0))
        legend[group] = [line, marks[-1]]
    tooltips = [
        ("", "$name"),
        ("rule", "@text"),
        ("complexity", "@complexity"),
        (y_label, "@value{0.0000 a}"),
    ]
    finish(plot, legend, tooltips=tooltips, hovered=marks, line_policy=None)
    plot.add_tools(TapTool(renderers=marks, callback=OpenURL(url=address, same_tab=True)))
    return plot
