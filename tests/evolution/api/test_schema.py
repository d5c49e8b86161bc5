"""The schema: without warnings, stable, and what is answered conforms to it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from evolution.api.schema import document
from tests.api_fuzz import fuzz
from tests.evolution.api.cast import make_cast

if TYPE_CHECKING:
    from collections.abc import Iterator

OPERATIONS = Path(__file__).with_name("operations.txt")


def test_the_schema_is_valid_and_without_warnings():
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=io.StringIO())


def test_operations_are_those_that_clients_know():
    """Names and addresses of operations are a promise: change the list only to add to it."""
    found = {
        f"{operation['operationId']} {method.upper()} {path}"
        for path, operations in document()["paths"].items()
        for method, operation in operations.items()
    }
    assert found == set(OPERATIONS.read_text("utf-8").split("\n")) - {""}


def test_every_operation_says_how_it_is_refused_and_what_it_is_for():
    for operations in document()["paths"].values():
        for operation in operations.values():
            assert operation["summary"]
            assert {"400", "401", "403", "404", "429"} <= operation["responses"].keys()


def test_the_schema_comes_as_json_and_as_yaml(member):
    response = member("GET", "schema/")
    assert response.headers["Content-Type"] == "application/json"
    assert response.json()["openapi"] == "3.1.0"
    yaml = member("GET", "schema/", Accept="application/yaml")
    assert yaml.content.startswith(b"openapi: 3.1.0")


@pytest.fixture
def _one_connection(db: None) -> Iterator[None]:
    """Keep the connection, whose transaction is the test's, from one request to the next."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.mark.usefixtures("_one_connection")
def test_generated_requests_find_no_fault(settings):
    settings.API_RATES = {"anonymous": None, "user": None, "simulations": None}
    findings = fuzz(make_cast(), 200, seed=11)
    assert findings.faults == {}
    assert findings.n_requests >= 200
