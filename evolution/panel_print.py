"""Panels on paper: one figure of all of them, drawn by Matplotlib."""

from __future__ import annotations

import io
import logging
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("pdf", "svg", "png")
# As static/css/tokens.css has them on a light page.
_COLORS = ("#2f4fb0", "#c2410c", "#0f7a6c", "#a3266f", "#6d6300", "#3a7ca5", "#7a4ea3", "#5c6670")
_MUTED = "#59626a"
_MARKERS = {"circle": "o", "triangle": "^", "x": "x"}
_MAX_LEGEND_ENTRIES = 8
_WIDTH_IN, _ROW_IN = 10.0, 2.9


def print_figure(
    title: str,
    panels: Mapping[str, Mapping[str, Any]],
    layout: Sequence[Sequence[str]],
) -> dict[str, bytes]:
    """Return the figure as the bytes of a file of each format.

    The same panels give the same bytes.

    Parameters
    ----------
    panels : mapping of str to panel
        By key; see :mod:`simulations.figures.panel`.
    layout : sequence of sequence of str
        Keys, row by row.
        The figure says below the panels what their notes say.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # They tell of every font and of every glyph.
    for name in ("matplotlib", "fontTools"):
        logging.getLogger(name).setLevel(logging.WARNING)

    style = {
        "font.size": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "lines.linewidth": 1.0,
        "legend.fontsize": 6,
        "legend.frameon": False,
        "pdf.fonttype": 42,
        "svg.fonttype": "none",
        "svg.hashsalt": "e2l",
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(_WIDTH_IN, _ROW_IN * len(layout) + 0.6), layout="constrained")
        figure.suptitle(_plain(title), fontsize=10)
        for row, keys in zip(
            figure.subfigures(len(layout), 1, squeeze=False)[:, 0], layout, strict=True
        ):
            for axes, key in zip(row.subplots(1, len(keys), squeeze=False)[0], keys, strict=True):
                _draw(axes, panels[key])
        notes = dict.fromkeys(own["note"] for own in panels.values() if own.get("note"))
        if notes:
            text = "\n".join(textwrap.fill(note, 170) for note in notes)
            figure.supxlabel(_plain(text), fontsize=7, color=_MUTED)
        return {name: _written(figure, name) for name in FORMATS}


def _written(figure: Figure, name: str) -> bytes:
    file = io.BytesIO()
    # Files of the same data are the same: without the time of writing.
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}[name]
    figure.savefig(file, format=name, dpi=200, metadata=undated)
    return file.getvalue()


def _draw(axes: Axes, panel: Mapping[str, Any]) -> None:
    axes.set_title(_plain(f"{panel['letter']}  {panel['title']}"), loc="left", fontsize=8)
    if panel.get("missing"):
        axes.set_axis_off()
        axes.text(0.5, 0.5, _plain(panel["missing"]), ha="center", va="center", wrap=True,
                  color=_MUTED, fontsize=7, transform=axes.transAxes)  # fmt: skip
        return
    axes.set_xlabel(_plain(panel["x_label"]))
    axes.set_ylabel(_plain(panel["y_label"]))
    if panel.get("y_scale") == "log":
        axes.set_yscale("log")
    for number, band in enumerate(panel.get("bands", [])):
        label = None if number else panel.get("band_label")
        axes.axvspan(band["start"], band["end"], color="0.88", lw=0, zorder=0, label=label)
    for index, series in enumerate(panel["series"]):
        _draw_series(axes, panel, series, index)
    if "x_ticks" in panel:
        places, names = zip(*panel["x_ticks"], strict=True)
        axes.set_xticks(places, [_plain(name) for name in names], rotation=35, ha="right")
        axes.set_xlim(min(places) - 0.5, max(places) + 0.5)
    # Several series may share an entry.
    entries = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    if 1 < len(entries) <= _MAX_LEGEND_ENTRIES:
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2), "ncols": 3}
        # Words below an axis are as long as they are.
        where = {"loc": "best"} if "x_ticks" in panel else below
        axes.legend(entries.values(), entries.keys(), handlelength=1.5, **where)


def _draw_series(
    axes: Axes, panel: Mapping[str, Any], series: Mapping[str, Any], index: int
) -> None:
    kind = series.get("kind", panel["kind"])
    number = series.get("color", series.get("dashed_like", index))
    color = _MUTED if number == "muted" else _COLORS[number % len(_COLORS)]
    x, y = (np.array(series[axis], dtype=float) for axis in ("x", "y"))
    is_dashed = series.get("is_dashed", False) or "dashed_like" in series
    is_member = "dashed_like" in series
    name = None if is_member else _plain(series.get("legend", series["name"])) or None
    if kind == "raster":
        axes.plot(x, y, "|", color=color, ms=2.5, mew=0.6, rasterized=len(x) > 1000, label=name)
    elif kind == "labels":
        for place, height, text in zip(x, y, series["labels"], strict=True):
            axes.annotate(_plain(text), (place, height), (3, 3), textcoords="offset points",
                          fontsize=6, color=color, annotation_clip=True)  # fmt: skip
    elif kind == "points":
        marker = _MARKERS[series.get("mark", "circle")]
        if "error" in series:
            axes.errorbar(x, y, yerr=np.array(series["error"], dtype=float), fmt=marker, ms=4,
                          color=color, elinewidth=1, capsize=2, label=name)  # fmt: skip
        else:
            axes.plot(x, y, marker, color=color, ms=4, label=name)
    else:
        axes.plot(x, y, "--" if is_dashed else "-", color=color, label=name,
                  zorder=1.5 if number == "muted" else 2)  # fmt: skip


def _plain(text: str) -> str:
    """Return a text in which nothing is taken for mathematics."""
    return text.replace("$", r"\$")
