"""Queries, updates and insertions whose SQL is written once and used again with other values.

A generation asks the database what the one before has asked. Writing the SQL of a query with a few
joins and conditions takes Django several times longer than the database takes to answer it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.core.exceptions import EmptyResultSet
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import F
from django.db.models.expressions import RawSQL
from django.db.models.sql import UpdateQuery

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from django.db.models import Field, Model, QuerySet

# Nothing that is written in a query by itself looks like these.
_FIRST_NUMBER = 2_147_000_000
_MARK = "\ue000"
# Of one insertion: SQLite has some ten thousand places in a statement.
_MAX_ROWS = 200


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


class PreparedUpdate:
    """An update of columns to plain values.

    Parameters
    ----------
    queryset : QuerySet
        Of the rows to change; it may name places in conditions.
    names : sequence of str
        Columns that always get a value.
    expressions : mapping of str to expression, optional
        What other columns become.
    adds : collection of str
        Columns among the names to which their value is added.
    """

    def __init__(
        self,
        queryset: QuerySet,
        names: Sequence[str],
        expressions: Mapping[str, Any] | None = None,
        adds: Collection[str] = (),
    ) -> None:
        self._fields = [queryset.model._meta.get_field(name) for name in names]
        query = queryset.query.chain(UpdateQuery)
        places = {
            name: RawSQL("%s", [_MARK], field)
            for name, field in zip(names, self._fields, strict=True)
        }
        values = {
            name: F(name) + place if name in adds else place for name, place in places.items()
        }
        query.add_update_values({**values, **(expressions or {})})
        compiler = query.get_compiler(DEFAULT_DB_ALIAS)
        self._sql, parameters = compiler.as_sql()
        self._parameters = parameters[len(names) :]

    def update(self, values: Sequence[Any], places: Mapping[Any, Any]) -> int:
        """Give the columns values, in the order of their names; return the number of rows.

        ``places`` says what stands in each place of the conditions.
        """
        connection = connections[DEFAULT_DB_ALIAS]
        parameters = [
            field.get_db_prep_save(value, connection)
            for field, value in zip(self._fields, values, strict=True)
        ]
        parameters += [places.get(parameter, parameter) for parameter in self._parameters]
        with connection.cursor() as cursor:
            cursor.execute(self._sql, parameters)
            return cursor.rowcount


def insert(
    records: Sequence[Model], *, unique: Sequence[str] = (), update: Sequence[str] = ()
) -> None:
    """Write new records and give them their ids, as ``bulk_create`` does.

    Parameters
    ----------
    records : sequence of Model
        Of one model.
    unique, update : sequence of str, optional
        Where there is a record with the same values in the columns ``unique``, the columns
        ``update`` of that one are written instead, and its id is given.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    for first in range(0, len(records), _MAX_ROWS):
        some = records[first : first + _MAX_ROWS]
        fields = _columns(type(some[0]))
        sql = _insertion(type(some[0]), len(some), tuple(unique), tuple(update))
        values = [
            field.get_db_prep_save(field.pre_save(record, add=True), connection)
            for record in some
            for field in fields
        ]
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            found = cursor.fetchall()
        for record, (pk,) in zip(some, found, strict=True):
            record.pk = pk
            record._state.adding = False
            record._state.db = DEFAULT_DB_ALIAS


@lru_cache(maxsize=64)
def _columns(model: type[Model]) -> list[Field]:
    return [field for field in model._meta.concrete_fields if not field.primary_key]


@lru_cache(maxsize=256)
def _insertion(
    model: type[Model], n_rows: int, unique: tuple[str, ...], update: tuple[str, ...]
) -> str:
    quote = connections[DEFAULT_DB_ALIAS].ops.quote_name

    def columns(names: Sequence[str]) -> list[str]:
        return [quote(model._meta.get_field(name).column) for name in names]

    names = [quote(field.column) for field in _columns(model)]
    row = f"({', '.join(['%s'] * len(names))})"
    conflict = ""
    if unique:
        changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in columns(update))
        conflict = f" ON CONFLICT ({', '.join(columns(unique))}) DO UPDATE SET {changes}"
    return (
        f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(names)}) "  # noqa: S608
        f"VALUES {', '.join([row] * n_rows)}{conflict} "
        f"RETURNING {quote(model._meta.pk.column)}"
    )


class PreparedRecords:
    """A query of a model's records with their fields, and with annotations.

    Parameters
    ----------
    queryset : QuerySet
        It may name places in conditions.
    without : collection of str
        Fields that are read when somebody asks for them.
    """

    def __init__(self, queryset: QuerySet, without: Collection[str] = ()) -> None:
        self._model = queryset.model
        self._fields = [
            field.attname
            for field in self._model._meta.concrete_fields
            if field.attname not in without
        ]
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
