"""Tables of pages as files: the address of a page with ``format=csv`` or ``format=json``.

A page that shows tables names them, each with its columns and all of its rows, and gives them to
:func:`answer`. Filters and order are those of the page, as they stand in the same address; pages of
a long list are put together. Numbers have as many digits as it takes to read back the same bits.

Minus infinity, the fitness of a rule that fails, is ``-inf`` in CSV and the text ``"-Infinity"`` in
JSON, which knows no infinite numbers. What does not exist is empty in CSV and null in JSON.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from django.http import HttpResponse, HttpResponseBadRequest

from evolution.views.streaming import in_larger_pieces, streamed_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest

#: The most rows of a file; who needs more exports the experiment.
MAX_ROWS = 100_000
FORMATS = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    name : str
        Header of the column, and name of the value in JSON.
    source : str or callable
        Where a row has the value: ``"rule.complexity"`` looks up names and attributes as templates
        do, a function is given the row.
    unit : str
    is_rule : bool
        True for expressions of the rule language, which are harmless in spreadsheets.
    """

    name: str
    source: str | Callable[[Any], Any]
    unit: str = ""
    is_rule: bool = False

    @property
    def header(self) -> str:
        """The name with the unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def value(self, row: Any) -> Any:
        """Return the value of a row."""
        if callable(self.source):
            return self.source(row)
        for part in self.source.split("."):
            if row is None:
                return None
            row = row[part] if isinstance(row, Mapping) else getattr(row, part)
        return row


@dataclass(frozen=True)
class Table:
    """Columns and rows of a table."""

    columns: Sequence[Column]
    rows: Iterable[Any]


def fitness(
    source: str | Callable[[Any], Any], fitness_label: str = "", name: str = "fitness"
) -> Column:
    """Return the column of a fitness, which is minus infinity where the database has None."""
    get = Column(name, source).value

    def value(row: Any) -> float:
        known = get(row)
        return -math.inf if known is None else known

    return Column(name, value, unit(fitness_label))


def unit(fitness_label: str) -> str:
    """Return the unit that the label of a fitness axis ends with, such as mV; empty for none."""
    found = re.search(r"\(([^()]+)\)$", fitness_label)
    return found[1] if found else ""


def rule(source: str | Callable[[Any], Any] = "rule", name: str = "rule") -> Column:
    """Return the column of a rule, its branches separated by semicolons."""
    get = Column(name, source).value

    def value(row: Any) -> str | None:
        known = get(row)
        return None if known is None else str(known)

    return Column(name, value, is_rule=True)


def is_wanted(request: HttpRequest) -> bool:
    """Whether an address asks for a table as a file, and not for the page."""
    return "format" in request.GET


def answer(
    request: HttpRequest, stem: str, tables: Mapping[str, Callable[[], Table]]
) -> HttpResponse:
    """Answer with the table that an address names, by default the first one.

    Parameters
    ----------
    stem : str
        Beginning of the file's name.
    tables : mapping of str to callable
        Each makes its table when it is asked for.
    """
    kind = request.GET["format"]
    name = request.GET.get("table", next(iter(tables)))
    if kind not in FORMATS:
        return HttpResponseBadRequest("Tables can be had with format=csv or format=json.")
    if name not in tables:
        return HttpResponseBadRequest(f"The tables of this page are: {', '.join(tables)}.")
    return file(request, f"{stem}-{name}.{kind}", tables[name]())


def file(request: HttpRequest, name: str, table: Table) -> HttpResponse:
    """Answer with a table as a file, written as the end of its name says."""
    stem, _, kind = name.rpartition(".")
    texts = _csv(table) if kind == "csv" else _json(stem, table)
    return streamed_file(request, in_larger_pieces(texts), content_type=FORMATS[kind], name=name)


# --- CSV ----------------------------------------------------------------------------------------


def _csv(table: Table) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.writer(text)

    def written(cells: Iterable[str]) -> str:
        text.seek(0)
        text.truncate()
        writer.writerow(cells)
        return text.getvalue()

    yield written(_guarded(column.header) for column in table.columns)
    for row in islice(table.rows, MAX_ROWS):
        yield written(_cell(column, column.value(row)) for column in table.columns)


def _cell(column: Column, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return " ".join(_cell(column, item) for item in value)
    return _guarded(value) if isinstance(value, str) and not column.is_rule else str(value)


def _guarded(text: str) -> str:
    # A spreadsheet would take it for a formula and compute it.
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


# --- JSON ---------------------------------------------------------------------------------------


def _json(name: str, table: Table) -> Iterator[str]:
    columns = [
        {"name": column.name, **({"unit": column.unit} if column.unit else {})}
        for column in table.columns
    ]
    yield f'{{"table": {json.dumps(name)}, "columns": {_text(columns)}, "rows": ['
    rows = iter(table.rows)
    for number, row in enumerate(islice(rows, MAX_ROWS)):
        values = {column.name: _plain(column.value(row)) for column in table.columns}
        yield (",\n" if number else "\n") + _text(values)
    is_complete = next(rows, None) is None
    yield f'\n], "is_complete": {_text(is_complete)}}}\n'


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value)


def _text(value: Any) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False)
