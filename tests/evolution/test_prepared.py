"""A prepared query gives what the same query gives that Django writes anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from evolution.models import Rule
from evolution.prepared import (
    PreparedQuery,
    PreparedRecords,
    number_places,
    padded,
    text_places,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS = ("pk", "expressions", "shared_at", "created_at")


@pytest.fixture
def rules(db: None) -> list[Rule]:
    return [
        Rule.objects.create(
            signature="u,v -> w",
            key=f"key {number}",
            fingerprint="f",
            expressions=[f"{number}*u", "'\"; v"],
            complexity=number,
        )
        for number in range(6)
    ]


@pytest.mark.parametrize("chosen", [(), (0,), (1, 4), (5, 2, 0), (3, 3, 3, 1, 9)])
def test_rows_are_those_of_the_query_with_the_values_in_it(
    rules: list[Rule], chosen: Sequence[int]
) -> None:
    keys = padded([f"key {number}" for number in chosen])
    prepared = PreparedQuery(
        Rule.objects.filter(key__in=text_places(len(keys)), complexity__lt=number_places(1)[0])
        .order_by("key")
        .values_list(*COLUMNS)
    )
    for most in (2, 6):
        values = dict(zip(text_places(len(keys)), keys, strict=True))
        values[number_places(1)[0]] = most
        plain = Rule.objects.filter(key__in=keys, complexity__lt=most).order_by("key")
        with CaptureQueriesContext(connection) as statements:
            rows = prepared.rows(values)
        assert rows == list(plain.values_list(*COLUMNS))
        assert len(statements) == (1 if keys else 0)


def test_records_are_those_of_the_query_with_the_values_in_it(rules: list[Rule]) -> None:
    def query(least: int):
        doubled = F("complexity") * 2
        return Rule.objects.filter(complexity__gte=least).annotate(doubled=doubled).order_by("-pk")

    (place,) = number_places(1)
    prepared = PreparedRecords(query(place))
    for least in (4, 0, 9):
        with CaptureQueriesContext(connection) as statements:
            records = prepared.records({place: least})
        assert len(statements) == 1
        assert [(vars(x), x.pk) for x in map(without_state, records)] == [
            (vars(x), x.pk) for x in map(without_state, query(least))
        ]
    # As any other record: it can be written.
    (first, *_) = prepared.records({place: 5})
    first.complexity = 17
    first.save()
    assert Rule.objects.get(pk=first.pk).complexity == 17
    assert Rule.objects.count() == len(rules)


def without_state(record: Rule) -> Rule:
    assert (record._state.adding, record._state.db) == (False, "default")
    del record._state
    return record


@pytest.mark.parametrize(("length", "wanted"), [(0, 0), (1, 1), (2, 2), (3, 4), (5, 8), (8, 8)])
def test_values_are_padded_with_the_last_one(length: int, wanted: int) -> None:
    values = list(range(length))
    assert len(padded(values)) == wanted
    assert padded(values)[:length] == values
    assert set(padded(values)) == set(values)
