"""How often somebody may ask, counted by a real server."""

from __future__ import annotations

import pytest
from django.test import Client

from evolution.api import rates
from tests.evolution.api.conftest import Caller

RULE = {"learning_task": "error-driven", "expressions": ["(v - u)*s"], "kind": "behaviour"}


@pytest.fixture(autouse=True)
def _counting(settings, valkey, monkeypatch):
    settings.CACHES = {
        **settings.CACHES,
        "shared": {**settings.CACHES["shared"], "LOCATION": valkey},
    }
    settings.API_RATES = {
        "anonymous": (2, 3600), "user": (4, 3600), "simulations": (1, 3600)
    }  # fmt: skip
    # In the middle of an hour: no test meets its end.
    monkeypatch.setattr(rates.time, "time", lambda: 3600.0 * 1000 + 1800.0)
    from django.core.cache import caches

    caches["shared"].clear()


def test_who_asks_too_often_is_told_when_to_come_back(member, other):
    left = [member("GET", "status/").headers["RateLimit-Remaining"] for _ in range(4)]
    assert left == ["3", "2", "1", "0"]
    refused = member("GET", "status/")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1800")
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert other("GET", "status/").status_code == 200


def test_sessions_and_tokens_of_one_person_count_together(member):
    client = Client()
    client.force_login(member.user)
    for _ in range(2):
        member("GET", "status/")
        client.get("/api/v1/status/")
    assert Caller(member.user)("GET", "status/").status_code == 429


def test_visitors_count_by_address_also_where_they_are_refused(visitor):
    wrong = {"Authorization": "Bearer e2l_wrong"}
    assert [visitor("GET", "status/", **wrong).status_code for _ in range(3)] == [401, 401, 429]
    elsewhere = Client(REMOTE_ADDR="192.0.2.7").get("/api/v1/status/")
    assert elsewhere.status_code == 401


def test_simulations_count_apart(member):
    assert member("POST", "simulations/", RULE).status_code == 202
    assert member("POST", "simulations/", RULE).status_code == 429
    assert member("GET", "simulations/").status_code == 200


def test_zero_is_no_limit(member, settings):
    settings.API_RATES = {"anonymous": None, "user": None, "simulations": None}
    responses = [member("GET", "status/") for _ in range(6)]
    assert {response.status_code for response in responses} == {200}
    assert "RateLimit-Limit" not in responses[0].headers


def test_without_the_server_nothing_is_counted(member, settings):
    settings.CACHES = {
        **settings.CACHES,
        "shared": {**settings.CACHES["shared"], "LOCATION": "unix:///nowhere.sock"},
    }
    assert {member("GET", "status/").status_code for _ in range(6)} == {200}
