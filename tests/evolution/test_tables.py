"""Tables of pages as files: exactly what the pages show, in a form that programs read."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client, RequestFactory
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from evolution.enums import Outcome
from evolution.models import Experiment, Individual
from evolution.views import tables
from evolution.views.tables import Column, Table
from tests.evolution.histories import (
    TYPICAL,
    add_generations,
    add_typical_history,
    finish,
    make_experiment,
    make_rule,
)

if TYPE_CHECKING:
    from django.http import HttpResponse

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann(client: Client, django_user_model: Any) -> Client:
    client.force_login(django_user_model.objects.create_user("ann"))
    return client


@pytest.fixture
def experiment() -> Experiment:
    experiment = make_experiment(name="=HYPERLINK(1)")
    for run in experiment.runs.all():
        add_typical_history(run)
    add_generations(experiment.runs.last(), [("u/(v - v)", None)])
    finish(experiment)
    return experiment


def csv_rows(response: HttpResponse) -> list[dict[str, str]]:
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert re.match(
        'attachment; filename="[a-z0-9-]+.csv"', response.headers["Content-Disposition"]
    )
    return list(csv.DictReader(io.StringIO(response.getvalue().decode())))


def json_rows(response: HttpResponse) -> list[dict[str, Any]]:
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    found = json.loads(response.getvalue(), parse_constant=refuse)
    assert found["is_complete"]
    names = [column["name"] for column in found["columns"]]
    assert all(list(row) == names for row in found["rows"])
    return found["rows"]


# --- how values are written ---------------------------------------------------------------------

VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.lists(st.floats(allow_nan=False), max_size=3)
)


def plain(value: Any) -> Any:
    """Return what JSON has for a value."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def answered(kind: str, table: Table) -> HttpResponse:
    return tables.file(RequestFactory().get("/"), f"x.{kind}", table)


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.tuples(VALUES, VALUES), max_size=4))
def test_every_value_comes_back(rows: list[tuple[Any, Any]]) -> None:
    table = Table([Column(str(place), lambda row, p=place: row[p]) for place in range(2)], rows)
    found = json.loads(answered("json", table).getvalue())["rows"]
    for row, values in zip(found, rows, strict=True):
        for read, value in zip(row.values(), values, strict=True):
            assert read == plain(value)
    text = answered("csv", table).getvalue().decode()
    _, *lines = list(csv.reader(io.StringIO(text, newline="")))
    assert len(lines) == len(rows)
    for line, values in zip(lines, rows, strict=True):
        for cell, value in zip(line, values, strict=True):
            if isinstance(value, float):
                assert float(cell) == value
            if isinstance(value, str):
                assert cell.removeprefix("'") == value.removeprefix("'")
                assert cell[:1] not in {"=", "+", "-", "@", "\t", "\r"}


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_text_is_no_formula(text: str) -> None:
    table = Table([Column(f"{text} header", lambda _: text), tables.rule(lambda _: text)], [0])
    header, row = csv.reader(io.StringIO(answered("csv", table).getvalue().decode(), newline=""))
    assert header[0] == f"'{text} header"
    # Rules of our language have no functions, and begin with a minus sign now and then.
    assert row == [f"'{text}", text]


def test_units_stand_in_the_header() -> None:
    table = Table([tables.fitness("fitness", "minus the error (mV)")], [{"fitness": None}])
    assert answered("csv", table).getvalue() == b"fitness (mV)\r\n-inf\r\n"
    found = json.loads(answered("json", table).getvalue())
    assert found["columns"] == [{"name": "fitness", "unit": "mV"}]
    assert found["rows"] == [{"fitness": "-Infinity"}]


def test_moments_are_iso_8601() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    table = Table([Column("when", lambda _: moment)], [0])
    assert answered("csv", table).getvalue() == b"when\r\n2026-01-02T03:04:05+00:00\r\n"


def test_very_long_tables_end_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_ROWS", 3)
    for n_rows, is_complete in ((3, True), (4, False)):
        table = Table([Column("n", lambda row: row)], iter(range(n_rows)))
        found = json.loads(answered("json", table).getvalue())
        assert (len(found["rows"]), found["is_complete"]) == (3, is_complete)


# --- what the pages show ------------------------------------------------------------------------


def pages(experiment: Experiment) -> dict[str, list[str]]:
    """Return the tables of each page by its address."""
    rule = make_rule("(v - u)*s")
    own = experiment.get_absolute_url()
    compare = f"{reverse('evolution:compare')}?experiment={experiment.pk}"
    other = make_experiment(name="Other", n_generations=7, n_runs=1)
    return {
        "/": ["experiments"],
        own: ["generations", "improvements", "runs", "failures", "figures", "activity",
              "parameters"],
        f"{own}runs/1/": ["lineage"],
        f"{own}runs/1/population/?generation=7": ["population"],
        f"{own}runs/1/individuals/": ["individuals"],
        f"{own}runs/1/individuals/5/": ["trials"],
        "/rules/?task=error-driven": ["rules"],
        rule.get_absolute_url(): ["found", "fitness", "forms", "family"],
        f"{compare}&experiment={other.pk}": ["groups", "pairs", "parameters"],
    }  # fmt: skip


def test_every_table_is_csv_and_json_with_the_same_rows(
    ann: Client, experiment: Experiment, django_assert_max_num_queries: Any
) -> None:
    for address, names in pages(experiment).items():
        separator = "&" if "?" in address else "?"
        for name in names:
            query = f"{address}{separator}table={name}"
            with django_assert_max_num_queries(12):
                rows = csv_rows(ann.get(f"{query}&format=csv"))
            with django_assert_max_num_queries(12):
                found = json_rows(ann.get(f"{query}&format=json"))
            assert len(rows) == len(found), query


def test_pages_offer_their_tables(ann: Client, experiment: Experiment) -> None:
    individual = Individual.objects.filter(run__index=0).order_by("pk")[1]
    Individual.objects.filter(pk=individual.pk).update(outcome=Outcome.CRASH)
    for address, names in pages(experiment).items():
        html = ann.get(address).content.decode()
        offered = re.findall(r'href="([^"]*format=[^"]*)"', html)
        for link in offered:
            target = link.replace("&amp;", "&")
            if target.startswith("?"):
                target = f"{address.partition('?')[0]}{target}"
            assert ann.get(target).status_code == 200, target
        found = {re.search(r"table=(\w+)", link)[1] for link in offered}
        # What is empty is not offered; a page of one individual by hand has no trials.
        assert found <= {*names}, address
        assert found or names == ["trials"], address


def test_a_user_name_of_an_experiment_is_no_formula(ann: Client, experiment: Experiment) -> None:
    (row,) = csv_rows(ann.get("/?format=csv"))
    assert row["experiment"] == "'=HYPERLINK(1)"
    assert float(row["best fitness"]) == TYPICAL[-1][1]
    assert row["fitness is"] == "minus the error (mV)"
    (row,) = json_rows(ann.get("/?format=json"))
    assert row["experiment"] == "=HYPERLINK(1)"


def test_filters_are_those_of_the_page(ann: Client, experiment: Experiment) -> None:
    assert csv_rows(ann.get("/?state=running&format=csv")) == []
    base = f"{experiment.get_absolute_url()}runs/1/individuals/"
    everybody = json_rows(ann.get(f"{base}?format=json"))
    assert [row["fitness"] for row in everybody] == [fitness for _, fitness in TYPICAL]
    fit = json_rows(ann.get(f"{base}?fitness_min=-100&sort=-fitness&format=json"))
    assert fit == [row for row in reversed(everybody) if row["fitness"] > -100]


def test_all_pages_of_a_list_are_in_the_file(ann: Client, experiment: Experiment) -> None:
    run = experiment.runs.first()
    Individual.objects.bulk_create(
        Individual(run=run, index=index, birth_generation=1, genome=[[]], fitness=-1.0 / index)
        for index in range(100, 260)
    )
    base = f"{experiment.get_absolute_url()}runs/1/individuals/"
    rows = json_rows(ann.get(f"{base}?page=2&format=json"))
    assert len(rows) == 164
    assert rows[-1]["fitness"] == -1.0 / 259
    for number in range(30):
        make_rule(f"v + {number + 2}*u")
    rules = json_rows(ann.get("/rules/?task=error-driven&context=&sort=simplest&format=json"))
    assert len(rules) == 35
    assert len({row["rule number"] for row in rules}) == 35


def test_minus_infinity_is_the_same_everywhere(ann: Client, experiment: Experiment) -> None:
    base = experiment.get_absolute_url()
    rows = csv_rows(ann.get(f"{base}?table=generations&format=csv"))
    assert rows[-1]["champion_fitness (mV)"] == "-inf"
    found = json_rows(ann.get(f"{base}?table=generations&format=json"))
    assert found[-1]["champion_fitness"] == "-Infinity"
    assert [row["champion_fitness"] for row in found[:20:5]] == [fitness for _, fitness in TYPICAL]


@pytest.mark.parametrize("query", ["format=xlsx", "format=csv&table=nothing", "format="])
def test_other_formats_and_tables_are_refused(ann: Client, experiment, query: str) -> None:
    assert ann.get(f"{experiment.get_absolute_url()}?{query}").status_code == 400


def test_details_of_failures_are_for_operators(ann: Client, experiment, django_user_model) -> None:
    address = f"{experiment.get_absolute_url()}?table=failures&format=csv"
    assert b"detail" not in ann.get(address).getvalue()
    django_user_model.objects.update(is_superuser=True)
    assert b"detail" in ann.get(address).getvalue()


@pytest.mark.django_db(transaction=True)
def test_the_web_server_streams_it(experiment: Experiment, django_user_model: Any) -> None:
    django_user_model.objects.create(username="bob")

    async def fetched() -> bytes:
        client = AsyncClient()
        await client.aforce_login(await django_user_model.objects.aget(username="bob"))
        response = await client.get(f"{experiment.get_absolute_url()}?table=runs&format=csv")
        assert response.is_async
        return b"".join([piece async for piece in response])

    assert len(async_to_sync(fetched)().decode().splitlines()) == 3
