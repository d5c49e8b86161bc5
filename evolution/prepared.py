"""Queries whose SQL Django writes once, to be asked again and again with other values.

A generation asks the database what the one before has asked. Writing the SQL of a query with a few
joins and conditions takes Django several times longer than the database takes to answer it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import EmptyResultSet
from django.db import DEFAULT_DB_ALIAS, connections

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.db.models import QuerySet

# Nothing that is written in a query by itself looks like these.
_FIRST_NUMBER = 2_147_000_000
_MARK = "\ue000"


def number_places(n_places: int) -> list[int]:
    """Return numbers that stand for those of a later question; each place is always the same."""
    return [_FIRST_NUMBER + place for place in range(n_places)]


def text_places(n_places: int) -> list[str]:
    """Return texts that stand for those of a later question."""
    return [f"{_MARK}{place}" for place in range(n_places)]


class PreparedQuery:
    """A query of rows of values.

    Parameters
    ----------
    queryset : QuerySet
        With ``values_list``; it may name places in conditions.
    """

    def __init__(self, queryset: QuerySet) -> None:
        self._compiler = queryset.query.get_compiler(DEFAULT_DB_ALIAS)
        try:
            self._sql, self._parameters = self._compiler.as_sql()
        except EmptyResultSet:
            # Nothing can be among no values: Django does not ask the database either.
            self._sql, self._parameters = "", ()

    def rows(self, values: Mapping[Any, Any] | None = None) -> list[tuple[Any, ...]]:
        """Ask the database.

        Parameters
        ----------
        values : mapping, optional
            What stands in each place.
        """
        if not self._sql:
            return []
        known = values or {}
        parameters = [known.get(parameter, parameter) for parameter in self._parameters]
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute(self._sql, parameters)
            found = cursor.fetchall()
        return list(self._compiler.results_iter([found], tuple_expected=True))


class PreparedRecords:
    """A query of a model's records with all of their fields, and with annotations."""

    def __init__(self, queryset: QuerySet) -> None:
        self._model = queryset.model
        self._fields = [field.attname for field in self._model._meta.concrete_fields]
        self._annotations = list(queryset.query.annotations)
        self._query = PreparedQuery(queryset.values_list(*self._fields, *self._annotations))

    def records(self, values: Mapping[Any, Any]) -> list[Any]:
        """Ask the database; ``values`` says what stands in each place."""
        n_fields = len(self._fields)
        found = []
        for row in self._query.rows(values):
            record = self._model.from_db(DEFAULT_DB_ALIAS, self._fields, row[:n_fields])
            for name, value in zip(self._annotations, row[n_fields:], strict=True):
                setattr(record, name, value)
            found.append(record)
        return found


def padded(values: Sequence[Any]) -> list[Any]:
    """Repeat the last value until there are 1, 2, 4, 8, ... of them: few queries serve all."""
    n_wanted = 1 << max(0, len(values) - 1).bit_length()
    return [*values, *[values[-1]] * (n_wanted - len(values))] if values else []
