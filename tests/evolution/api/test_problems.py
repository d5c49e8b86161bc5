"""Every refusal is a problem detail, whoever writes it and whatever was asked for."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from evolution.enums import ExperimentState
from tests.evolution.api.cast import experiment_of

CONTENT_TYPE = "application/problem+json"


def check(response, status: int) -> dict:
    assert (response.status_code, response.headers["Content-Type"]) == (status, CONTENT_TYPE)
    body = json.loads(response.content)
    assert {"type", "title", "status", "detail"} <= body.keys()
    assert body["status"] == status
    assert body["detail"]
    return body


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "no/such/address/", {}, 404),
        ("GET", "experiments/99/", {}, 404),
        ("GET", f"experiments/{10**30}/", {}, 404),
        ("GET", "learning-tasks/juggling/", {}, 404),
        ("PUT", "experiments/", {}, 405),
        ("OPTIONS", "experiments/", {}, 405),
        ("GET", "experiments/", {"Accept": "image/png"}, 406),
        ("GET", "schema/", {"Accept": "image/png"}, 406),
        ("GET", "experiments/1/history.csv", {"Accept": "image/png"}, 406),
        ("GET", "experiments/99/history.csv", {}, 404),
        ("GET", "rules/", {}, 400),
        ("GET", "rules/?task=error-driven&q=v%2B", {}, 400),
        ("GET", "comparison/?experiment=x", {}, 400),
    ],
)  # fmt: skip
def test_refusals_are_problems(member, method, path, headers, status):
    check(member(method, path, **headers), status)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"seed": NaN}', "application/json", 400),
        (b'{"seed": 1e999}', "application/json", 400),
        (b"[" * 200_000, "application/json", 400),
        (b"9" * 5000, "application/json", 400),
        (b" " * 1_000_001, "application/json", 413),
        (b"[]", "application/json", 422),
        (b'{"learning_task": "\\ud800"}', "application/json", 422),
        (b'{"learning_task": "a\\u0000"}', "application/json", 422),
        (
            b'{"learning_task": "error-driven", "task_parameters": {"\\ud800": 1}}',
            "application/json",
            422,
        ),
        (b"seed=1", "application/x-www-form-urlencoded", 415),
        (b"x", "text/plain", 415),
    ],
    ids=[
        "open", "no UTF-8", "NaN", "overflow", "deep", "long number", "long", "list", "surrogate",
        "null character", "surrogate as name", "form", "text",
    ],
)  # fmt: skip
def test_bodies_that_are_none_are_refused(member, body, kind, status):
    client = Client()
    response = client.post("/api/v1/experiments/", body, content_type=kind, headers=member._headers)
    check(response, status)


def test_a_failure_of_the_server_is_a_problem_too(member):
    experiment = experiment_of(member.user, ExperimentState.FINISHED)
    experiment.evolution_parameters = []
    experiment.save()
    client = Client(raise_request_exception=False)
    response = client.get(f"/api/v1/experiments/{experiment.pk}/", headers=member._headers)
    assert "Traceback" not in response.content.decode()
    check(response, 500)


def test_an_experiment_of_a_task_that_was_taken_away_is_a_conflict(member):
    experiment = experiment_of(member.user, ExperimentState.FINISHED)
    experiment.learning_task_name = "juggling"
    experiment.save()
    assert "not installed" in check(member("GET", f"experiments/{experiment.pk}/"), 409)["detail"]
    assert member("GET", "experiments/").json()["results"][0]["learning_task"] == "juggling"
