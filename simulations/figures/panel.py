"""Panels of figures: plain JSON with all numbers in full, from which every form is drawn.

They have what :mod:`simulations.panels` has, that is title, labels of both axes with units, series
and a summary in words, and besides

``key``, ``letter``
    By which a panel is named in addresses and files, such as ``3B-early``, and in the paper.
``bands``
    Shaded windows along the horizontal axis: ``start``, ``end``; ``band_label`` says what they are.
``x_ticks``
    Words at places of the horizontal axis, where it has no numbers.
``y_scale``
    ``linear`` or ``log``.
``note``
    What differs from the paper, such as the smaller settings of a quick figure.
``missing``
    Why there is nothing to draw, and what helps.

A series has ``kind`` (``line``, ``raster``, ``points`` or ``labels``), and, where they are wanted,
``mark`` (of points: ``circle``, ``triangle`` or ``x``), ``error`` (half the length of error bars),
``labels`` (a text for each point), ``color`` (number of a colour, or ``muted``), ``is_dashed``, and
``legend`` (its entry in the legend, which series may share; empty for none; else its name).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Panel = dict[str, Any]
Series = dict[str, Any]


def panel(
    key: str,
    title: str,
    *,
    x_label: str,
    y_label: str,
    series: Sequence[Series],
    summary: str,
    **details: Any,
) -> Panel:
    """Return a panel; ``details`` are those of the module's description."""
    return {
        "key": key,
        "letter": key.partition("-")[0],
        "title": title,
        "kind": "line",
        "x_label": x_label,
        "y_label": y_label,
        "series": list(series),
        "summary": summary,
        **details,
    }


def missing_panel(key: str, title: str, message: str) -> Panel:
    """Return a panel in whose place a message stands."""
    return panel(key, title, x_label="", y_label="", series=[], summary=message, missing=message)


def series(
    name: str, x: Iterable[Any], y: Iterable[Any], kind: str = "line", **details: Any
) -> Series:
    """Return a series; what is not a finite number becomes None, as JSON has it."""
    made = {"name": name, "kind": kind, "x": numbers(x), "y": numbers(y), **details}
    if "error" in made:
        made["error"] = numbers(made["error"])
    return made


def numbers(values: Iterable[Any]) -> list[float | None]:
    """Return numbers as JSON has them, in full precision."""
    return [float(value) if value is not None and np.isfinite(value) else None for value in values]


def with_note(panels: Iterable[Panel], note: str) -> list[Panel]:
    """Return panels that say what differs from the paper; those that say so already keep it."""
    return [
        {**own, "note": " ".join(filter(None, (own.get("note"), note)))} if note else own
        for own in panels
    ]
