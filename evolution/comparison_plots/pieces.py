"""What figures of groups are put together from: one colour and one name for each group."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from evolution.plots import N_RUN_COLORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bokeh.models import ColumnDataSource, GlyphRenderer
    from bokeh.plotting import figure

    from evolution.comparison import Group

#: Groups with the same colour differ in the pattern of their lines.
_DASHES = ("solid", "dashed", "dotted", "dotdash")


def padded(values: Iterable[float], *, is_log: bool) -> tuple[float, float]:
    """Return a range with some room at both ends; values that cannot be drawn do not count."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return (0.1, 10.0) if is_log else (-1.0, 1.0)
    low, high = min(finite), max(finite)
    if is_log:
        room = max((high / low) ** 0.06, 1.1)
        return low / room, high * room
    room = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    return low - room, high + room


def dash_of(group: Group) -> str:
    return _DASHES[group.place // N_RUN_COLORS % len(_DASHES)]


def source_of(
    group: Group, columns: Mapping[str, object], *, is_shown: bool = True
) -> ColumnDataSource:
    """Return a source of data; the CSV file of a figure leaves out those that are not shown."""
    from bokeh.models import ColumnDataSource

    return ColumnDataSource(dict(columns), tags=[] if is_shown else ["marks"])


def line(plot: figure, group: Group, data: object, *, y: str, x: str = "generation"):
    source = source_of(group, data) if isinstance(data, dict) else data
    return add_glyph(plot, group, source, "Line", x=x, y=y, line_width=2, line_join="round",
                line_dash=dash_of(group))  # fmt: skip


def add_glyph(plot: figure, group: Group, source, glyph: str, **options: object) -> GlyphRenderer:
    """Add a glyph in the colour of a group; the client finds it by the tag."""
    from bokeh import models

    drawn = getattr(models, glyph)(tags=[group.place % N_RUN_COLORS], **options)
    return plot.add_glyph(source, drawn, name=group.label)


def add_plain(plot: figure, glyph: str, columns: Mapping, tag: str, name: str = "", **options):
    """Add a glyph in a colour of the style sheet, or in one that a column gives."""
    from bokeh import models

    source = models.ColumnDataSource(dict(columns), tags=[] if name else ["marks"])
    drawn = getattr(models, glyph)(tags=[tag], **options)
    return plot.add_glyph(source, drawn, name=name or None)


def finish(
    plot: figure,
    legend: Mapping[Group, Sequence[GlyphRenderer]],
    *,
    tooltips: Sequence[tuple[str, str]],
    hovered: Sequence[GlyphRenderer],
    line_policy: str | None = "prev",
) -> None:
    """Add what the pointer tells, and a legend for files; on the page it is made of buttons."""
    from bokeh.models import HoverTool, Legend, LegendItem

    options = {} if line_policy is None else {"line_policy": line_policy}
    plot.add_tools(HoverTool(renderers=list(hovered), tooltips=list(tooltips), **options))
    if legend:
        items = [
            LegendItem(label=group.label, renderers=list(renderers))
            for group, renderers in legend.items()
        ]
        plot.add_layout(
            Legend(items=items, visible=False, border_line_color=None, label_text_font_size="12px"),
            "below",
        )
