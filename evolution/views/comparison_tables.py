"""The tables of a comparison as files; those of its figures are made in the browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evolution.views import tables
from evolution.views.tables import Column, Table

if TYPE_CHECKING:
    from collections.abc import Callable


def comparison_tables(context: dict[str, Any]) -> dict[str, Callable[[], Table]]:
    """Return the tables of the page that has this context."""
    found = {"parameters": lambda: _parameters(context)}
    if "rows" in context:
        unit = tables.unit(context["fitness_label"])
        found = {
            "groups": lambda: Table(_group_columns(unit), context["rows"]),
            "pairs": lambda: Table(_PAIRS, context["pairs"]),
            **found,
        }
    return found


_PAIRS = (
    Column("first", "first"),
    Column("second", "second"),
    Column("effect r", "pair.effect"),
    Column("p value (Holm)", "pair.p_value"),
)


def _group_columns(unit: str) -> list[Column]:
    return [
        Column("group", "group.key"),
        Column("experiment number", "group.experiment.pk"),
        Column("experiment", "group.experiment.name"),
        Column("runs", lambda row: len(row["group"].runs)),
        tables.rule("champion.rule", "best rule"),
        Column("complexity", "champion.rule.complexity"),
        Column("best fitness", "champion.fitness", unit),
        Column("median fitness", "median", unit),
        Column("target fitness", "target.fitness", unit),
        Column("runs at the target", lambda row: row["times"] and len(row["times"].reached)),
    ]


def _parameters(context: dict[str, Any]) -> Table:
    columns = [
        Column("parameter", "label"),
        Column("unit", "unit"),
        *(
            Column(group.label, lambda row, place=place: row.values[place])
            for place, group in enumerate(context["groups"])
        ),
    ]
    return Table(columns, context["parameters"])
