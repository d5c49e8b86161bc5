"""Prepared queries, updates and insertions do what those do that Django writes anew."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from evolution.models import Rule
from evolution.prepared import (
    PreparedQuery,
    PreparedRecords,
    PreparedUpdate,
    insert,
    number_places,
    padded,
    text_places,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.db.models import QuerySet

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


@pytest.mark.parametrize("least", [0, 4, 5, 9])
@pytest.mark.parametrize(
    "values", [(["u", "'; v"], None, "f", 3), ([], timezone.now(), "%s", 0)], ids=["some", "others"]
)
def test_an_update_is_that_of_the_query_with_the_values_in_it(
    rules: list[Rule], least: int, values: tuple[Any, ...]
) -> None:
    def rows(least: int) -> QuerySet[Rule]:
        return Rule.objects.filter(complexity__gte=least)

    names = ["expressions", "shared_at", "fingerprint", "complexity"]
    family = {"family": Concat("key", Value(" of "), "signature")}
    (place,) = number_places(1)
    prepared = PreparedUpdate(rows(place), names, family, adds=["complexity"])
    expressions, shared_at, fingerprint, complexity = values

    with written() as found:
        with CaptureQueriesContext(connection) as statements:
            n_found = prepared.update(values, {place: least})
        assert len(statements) == 1
    with written() as expected:
        n_expected = rows(least).update(
            expressions=expressions,
            shared_at=shared_at,
            fingerprint=fingerprint,
            complexity=F("complexity") + complexity,
            **family,
        )
    assert n_found == n_expected == max(0, 6 - least)
    assert found == expected


@pytest.mark.parametrize("chosen", [(), (7,), (8, 2, 9), range(450)])
def test_an_insertion_is_that_of_django(rules: list[Rule], chosen: Sequence[int]) -> None:
    now = timezone.now()

    def records() -> list[Rule]:
        return [
            Rule(
                signature="u,v -> w",
                key=f"key {number}",
                fingerprint="'",
                expressions=[f"{number}*u", "'\"; v"],
                complexity=number + 1,
                shared_at=None if number % 2 else now,
            )
            for number in chosen
        ]

    columns = ["key", "fingerprint", "complexity", "expressions", "shared_at"]
    common = (["signature", "key"], ["complexity"])
    with written(columns) as found:
        own = records()
        with CaptureQueriesContext(connection) as statements:
            insert(own, unique=common[0], update=common[1])
        assert len(statements) == -(-len(chosen) // 200)
        for record in own:
            assert record.created_at >= now
            assert Rule.objects.get(key=record.key) == record
            assert not record._state.adding
            # As any other record: it can be written.
            record.complexity += 1000
            record.save(update_fields=["complexity"])
        Rule.objects.filter(complexity__gt=1000).update(complexity=F("complexity") - 1000)
    with written(columns) as expected:
        Rule.objects.bulk_create(
            records(), update_conflicts=True, unique_fields=common[0], update_fields=common[1]
        )
    assert found == expected
    assert len(found) == len({*range(6), *chosen})


@contextmanager
def written(columns: Sequence[str] = ()) -> Iterator[list[Any]]:
    """Give the rules after the block, and then take back what it has written."""
    found: list[Any] = []
    with transaction.atomic():
        yield found
        rows = Rule.objects.order_by("key")
        found += rows.values_list(*columns) if columns else rows.values()
        transaction.set_rollback(True)


def test_records_come_without_what_is_not_wanted(rules: list[Rule]) -> None:
    found = PreparedRecords(Rule.objects.order_by("pk"), without=("expressions", "key")).records({})
    assert [rule.get_deferred_fields() for rule in found] == [{"expressions", "key"}] * len(rules)
    assert [rule.expressions for rule in found] == [rule.expressions for rule in rules]


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
