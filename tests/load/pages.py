"""What a page asks for by itself, read from its HTML as htmx and the page's scripts read it."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_TAG = re.compile(
    r"<[a-z]+\s[^>]*(?:hx-get|data-plot-url|data-figure-url|data-socket|data-champion)[^>]*>"
)
_ATTRIBUTE = re.compile(r'([a-z-]+)="([^"]*)"')
_EVERY = re.compile(r"\bevery (\d+)s")
#: Parts that a script asks for when the experiment has changed its state or its size.
_REFRESHED = "e2l:refresh"


@dataclass
class Page:
    """An open page.

    Attributes
    ----------
    at_once : list of (str, str)
        Names and addresses of the parts and plots that it asks for when it is opened.
    again : list of (float, str, str)
        The time after which parts are asked for again, in s, with their names and addresses.
    refreshed : list of str
        Addresses of the parts that are asked for after a change of state.
    socket : str or None
        Address of its WebSocket, if the experiment goes on.
    cursors : dict of int to int
        Last generation that it shows, by run.
    best : float
        Fitness of the champion.
    """

    at_once: list[tuple[str, str]] = field(default_factory=list)
    again: list[tuple[float, str, str]] = field(default_factory=list)
    refreshed: list[str] = field(default_factory=list)
    socket: str | None = None
    cursors: dict[int, int] = field(default_factory=dict)
    best: float = float("-inf")
    key: str = ""
    is_over: bool = False


def parse(path: str, text: str) -> Page:
    """Return what the page at an address asks for."""
    page = Page()
    for tag in _TAG.findall(text):
        values = {name: html.unescape(value) for name, value in _ATTRIBUTE.findall(tag)}
        if address := values.get("hx-get"):
            _add_part(page, urlsplit(address).path, address, values.get("hx-trigger", ""))
        if address := values.get("data-plot-url"):
            page.at_once.append(("plot of all runs", f"{address}?scale={values['data-scale']}"))
        if address := values.get("data-figure-url"):
            page.at_once.append((f"plot {_name(urlsplit(address).path)}", address))
        if "data-socket" in values and "js/experiment-connection" in text:
            page.socket = values["data-socket"]
            cursors = json.loads(values["data-cursors"])
            page.cursors = {int(run): generation for run, generation in cursors.items()}
        if "data-found-at" in values:
            page.best = float(values["data-fitness"] or "-inf")
    return page


def _add_part(page: Page, path: str, address: str, trigger: str) -> None:
    name = f"part {_name(path)}"
    if re.search(r"\bload\b", trigger):
        page.at_once.append((name, address))
    if every := _EVERY.search(trigger):
        page.again.append((float(every[1]), name, address))
    if _REFRESHED in trigger:
        page.refreshed.append(address)


def _name(path: str) -> str:
    """Return an address without its numbers."""
    return re.sub(r"/\d+", "", path)


def champion_rows(page: Page, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the generations that bring a fitter champion than the page shows."""
    for row in rows:
        if row.get("rule") and row["fitness"] is not None and row["fitness"] > page.best:
            page.best = row["fitness"]
            yield row
