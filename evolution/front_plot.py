"""The plane of complexity and fitness as a Bokeh figure: the Pareto front and the next ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from evolution.figure_template import X_RANGE, Y_RANGE, FigureTemplate
from evolution.plots import drawn_value, new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bokeh.plotting import figure

    from evolution.fronts import FrontPoint
    from evolution.plots import Scale

#: Name of each front; the style sheet has a colour for each (``--run-0`` and so on).
LAYERS = ("Pareto front", "second front", "third front")
_MARKERS = ("circle", "square", "triangle")
_SIZES = (11, 8, 8)


def front_figure(
    points: Sequence[FrontPoint],
    texts: Mapping[int, str],
    *,
    y_label: str,
    scale: Scale,
    address: str,
) -> str:
    """Draw complexity against fitness; a click on a point opens the page of its rule.

    Parameters
    ----------
    points : sequence of FrontPoint
    texts : mapping of int to str
        The rules by their ids.
    y_label : str
    scale : {"log", "linear"}
        The error (minus the fitness) on a logarithmic axis, least error at the top, or the fitness.
    address : str
        Address of a rule's page, with ``@rule`` for its id.

    Returns
    -------
    str
        JSON for BokehJS.
    """
    is_log = scale == "log"
    drawn = [
        (point, value)
        for point in points
        if math.isfinite(value := drawn_value(point.fitness, is_log=is_log))
    ]
    limits = front_limits(
        [point.complexity for point, _ in drawn], [value for _, value in drawn], scale=scale
    )
    layers = tuple(sorted({point.layer for point, _ in drawn}, reverse=True))
    values: dict[str, dict[str, Any]] = {
        X_RANGE: dict(zip(("start", "end"), limits.x, strict=True)),
        Y_RANGE: dict(zip(("start", "end"), limits.y, strict=True)),
    }
    for layer in layers:
        own = sorted(
            ((point, value) for point, value in drawn if point.layer == layer),
            key=lambda item: (item[0].complexity, item[0].fitness),
        )
        values[f"front-{layer}"] = {
            "data": {
                "complexity": [point.complexity for point, _ in own],
                "value": [value for _, value in own],
                "fitness": [point.fitness for point, _ in own],
                "rule": [point.rule_id for point, _ in own],
                "text": [texts.get(point.rule_id, "") for point, _ in own],
            }
        }
    template = _front_template(layers, limits.interval, y_label, scale, address)
    return template.filled(values)


@lru_cache(maxsize=64)
def _front_template(
    layers: tuple[int, ...], interval: int, y_label: str, scale: Scale, address: str
) -> FigureTemplate:
    """Return the figure for these fronts, the last one first."""
    from bokeh.models import ColumnDataSource, HoverTool, OpenURL, TapTool

    plot = front_plane(FrontLimits((0.0, 1.0), (0.0, 1.0), interval), y_label=y_label, scale=scale)
    hovered = []
    for layer in layers:
        name = LAYERS[layer]
        columns = ("complexity", "value", "fitness", "rule", "text")
        source = ColumnDataSource({column: [] for column in columns}, name=f"front-{layer}")
        common = {"source": source, "x": "complexity", "y": "value", "name": name, "tags": [layer]}
        plot.step(
            **common,
            mode="after",
            line_width=2 if layer == 0 else 1,
            line_dash="solid" if layer == 0 else "dashed",
            legend_label=name.removesuffix(" front") if layer else name,
        )
        marks = plot.scatter(
            **common,
            marker=_MARKERS[layer],
            size=_SIZES[layer],
            line_width=1.5,
            fill_alpha=1.0 if layer == 0 else 0.35,
            nonselection_alpha=1.0,
            legend_label=name.removesuffix(" front") if layer else name,
        )
        hovered.append(marks)
    plot.add_tools(
        HoverTool(
            renderers=hovered,
            tooltips=[
                ("rule", "@text"),
                ("complexity", "@complexity"),
                ("fitness", "@fitness{0.0000 a}"),
                ("", "$name"),
            ],
        ),
        TapTool(renderers=hovered, callback=OpenURL(url=address, same_tab=True)),
    )
    if hovered:
        # Above the plane, where it covers no point.
        plot.add_layout(plot.legend[0], "above")
        plot.legend.orientation = "horizontal"
        plot.legend.location = "left"
        plot.legend.border_line_color = None
        plot.legend.items = plot.legend.items[::-1]
        plot.legend.click_policy = "hide"
        plot.legend.background_fill_alpha = 0.8
        plot.legend.label_text_font_size = "12px"
        plot.legend.padding = 6
        plot.legend.spacing = 12
    return FigureTemplate(plot)


@dataclass(frozen=True)
class FrontLimits:
    """What a plane of complexity and fitness shows: both ranges, and the interval of its ticks."""

    x: tuple[float, float]
    y: tuple[float, float]
    interval: int


def front_limits(
    complexities: Sequence[int], values: Sequence[float], *, scale: Scale
) -> FrontLimits:
    """Return limits with room for these points."""
    low, high = _range(values, is_log=scale == "log")
    largest = max(complexities, default=10)
    return FrontLimits(
        x=(0, largest + 1.5),
        # Better is higher: an error falls upwards.
        y=(high, low) if scale == "log" else (low, high),
        interval=1 if largest <= 10 else 2 if largest <= 30 else 5,
    )


def front_plane(limits: FrontLimits, *, y_label: str, scale: Scale) -> figure:
    """Return an empty plane of complexity and fitness."""
    from bokeh.models import SingleIntervalTicker

    plot = new_figure(
        "front",
        min_height=280,
        x_label="complexity (operators and leaves)",
        y_label=y_label,
        x_range=limits.x,
        y_range=limits.y,
        scale=scale,
        columns={
            "complexity": "complexity (operators and leaves)",
            "value": y_label,
            "text": "rule",
        },
    )
    plot.xaxis.ticker = SingleIntervalTicker(interval=limits.interval, num_minor_ticks=0)
    return plot


def _range(values: Sequence[float], *, is_log: bool) -> tuple[float, float]:
    """Return a range with some room at both ends; outliers of the worst are left to the zoom."""
    if not values:
        return (0.1, 10.0) if is_log else (-1.0, 1.0)
    if is_log:
        best = min(values)
        # Rules that are worse by six orders of magnitude would press the others together.
        worst = max(value for value in values if value <= best * 1e6)
        room = max((worst / best) ** 0.08, 1.05)
        return best / room, worst * room
    room = (max(values) - min(values)) * 0.08 or abs(values[0]) * 0.1 or 1.0
    return min(values) - room, max(values) + room
