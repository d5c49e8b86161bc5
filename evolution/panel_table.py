"""Panels as tables: comma-separated values for other programs."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def panel_csv(panel: Mapping[str, Any]) -> str:
    """Return the data of a panel, a line for each point.

    Lines that begin with ``#`` say what the panel is; names and units are in the first other one.
    """
    text = io.StringIO()
    for line in (f"{panel['letter']} {panel['title']}", panel["summary"], panel.get("note")):
        if line:
            text.write(f"# {' '.join(line.split())}\r\n")
    table = csv.writer(text)
    table.writerow(
        [
            "series",
            panel["x_label"] or "place",
            panel["y_label"] or "value",
            "standard deviation",
            "label",
        ]
    )
    for series in panel["series"]:
        n_points = len(series["x"])
        for x, y, error, label in zip(
            series["x"],
            series["y"],
            series.get("error", [None] * n_points),
            series.get("labels", [None] * n_points),
            strict=True,
        ):
            # What is not a number is a gap between curves.
            if x is not None and y is not None:
                table.writerow([_cell(series["name"]), x, y, error, _cell(label or "")])
    for band in panel.get("bands", []):
        table.writerow([panel["band_label"], band["start"], "", "", "from"])
        table.writerow([panel["band_label"], band["end"], "", "", "to"])
    return text.getvalue()


def _cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "@", "-", "\t", "\r")) else text
