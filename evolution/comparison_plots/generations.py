"""Fitness of the champions by generation, of each run or as a band for each group."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from evolution import statistics
from evolution.comparison_plots.pieces import add_glyph, finish, line, padded, source_of
from evolution.plots import band_columns, drawn_value, new_figure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bokeh.plotting import figure

    from evolution.comparison import Group
    from evolution.plots import Scale
    from evolution.statistics import SteppedCurve

#: Corners of all curves or bands together: a figure has at most 300 kB.
_MAX_CURVE_CORNERS = 8000
_MAX_BAND_CORNERS = 4500
#: The worst values of the first generations may lie outside of the figure at first.
_EARLY_SHARE, _EARLY = 0.02, 5


def curves_figure(groups: Sequence[Group], *, y_label: str, scale: Scale) -> figure:
    """Draw the champion's fitness of each run as a stepped curve, one line for each group."""
    import numpy as np

    n_runs = sum(len(group.runs) for group in groups)
    most = max(2, _MAX_CURVE_CORNERS // (2 * max(1, n_runs)))
    plot = _by_generation(groups, y_label=y_label, scale=scale, columns={"run": "run"})
    legend = {}
    for group in groups:
        generations, values, runs = [], [], []
        for run, curve in zip(group.runs, group.curves, strict=True):
            corners = stepped(curve, is_log=scale == "log", most=most)
            # A gap ends the curve of each run.
            generations += [*(corner[0] for corner in corners), curve.last_generation]
            values += [*(corner[1] for corner in corners), math.nan]
            runs += [run.number] * (len(corners) + 1)
        columns = {
            "generation": np.array(generations, np.int32),
            "value": np.array(values, float),
            "run": np.array(runs, np.uint8),
        }
        legend[group] = [line(plot, group, columns, y="value")]
    tooltips = [
        ("", "$name"),
        ("run", "@run"),
        ("since generation", "@generation"),
        (y_label, "@value{0.0000 a}"),
    ]
    finish(plot, legend, tooltips=tooltips, hovered=[lines[0] for lines in legend.values()])
    return plot


def bands_figure(groups: Sequence[Group], *, y_label: str, scale: Scale) -> figure:
    """Draw median and quartiles over the runs of each group."""
    import numpy as np

    is_log = scale == "log"
    plot = _by_generation(
        groups,
        y_label=y_label,
        scale=scale,
        columns={
            "median": f"median of {y_label}",
            "low": f"quartile of {y_label}",
            "high": f"other quartile of {y_label}",
        },
    )
    legend, medians = {}, []
    most = max(2, _MAX_BAND_CORNERS // (2 * max(1, len(groups))))
    for group in groups:
        band = statistics.quantile_band(group.curves, max_changes=min(most, statistics.MAX_CHANGES))
        columns = band_columns(band, is_log=is_log)
        columns = {
            "generation": np.array(columns["generation"], np.int32),
            **{name: np.array(columns[name], float) for name in ("low", "median", "high")},
        }
        source = source_of(group, columns)
        area = add_glyph(plot, group, source, "VArea", x="generation", y1="low", y2="high",
                    fill_alpha=0.16)  # fmt: skip
        medians.append(line(plot, group, source, y="median"))
        legend[group] = [medians[-1], area]
    tooltips = [
        ("", "$name"),
        ("since generation", "@generation"),
        (f"median {y_label}", "@median{0.0000 a}"),
        ("quartiles", "@low{0.0000 a} to @high{0.0000 a}"),
    ]
    finish(plot, legend, tooltips=tooltips, hovered=medians)
    return plot


def stepped(curve: SteppedCurve, *, is_log: bool, most: int) -> list[tuple[int, float]]:
    """Return the corners of a stepped curve with at most so many improvements.

    The first and the last ones stay, and of the others those that change the curve most: what is
    drawn is nowhere further from the truth than the improvements that were left out between two
    neighbours add up to.
    """
    steps = [
        (generation, value)
        for generation, fitness in curve.improvements
        if math.isfinite(value := drawn_value(fitness, is_log=is_log))
    ]
    if not steps:
        return []
    if len(steps) > most:
        height = math.log if is_log else float
        gains = [abs(height(after[1]) - height(before[1])) for before, after in pairwise(steps)]
        inner = sorted(range(1, len(steps) - 1), key=lambda i: -gains[i - 1])[: most - 2]
        steps = [steps[i] for i in sorted({0, len(steps) - 1, *inner})]
    corners: list[tuple[int, float]] = []
    ends = [generation for generation, _ in steps[1:]] + [curve.last_generation]
    for (start, value), end in zip(steps, ends, strict=True):
        corners += [(start, value), (end, value)]
    return corners


def _by_generation(
    groups: Sequence[Group], *, y_label: str, scale: Scale, columns: Mapping[str, str]
) -> figure:
    last = max((c.last_generation for g in groups for c in g.curves), default=0)
    return new_figure(
        "fitness-by-generation",
        x_label="generation",
        y_label=y_label,
        x_range=(-0.01 * max(10, last), 1.03 * max(10, last)),
        y_range=_late_range(groups, last, is_log=scale == "log"),
        scale=scale,
        columns={"run": "run", "generation": "generation", "value": y_label, **columns},
    )


def _late_range(groups: Iterable[Group], last: int, *, is_log: bool) -> tuple[float, float]:
    """Return a range for what is not from the first generations, whose rules are far worse."""
    early = max(_EARLY_SHARE * last, min(_EARLY, last / 4))
    values = []
    for group in groups:
        for curve in group.curves:
            for (_, fitness), end in zip(
                curve.improvements,
                [*(generation for generation, _ in curve.improvements[1:]), curve.last_generation],
                strict=False,
            ):
                if end >= early:
                    values.append(drawn_value(fitness, is_log=is_log))
    return padded(values, is_log=is_log)
