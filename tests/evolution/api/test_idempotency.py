"""Requests that are sent twice."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from evolution.enums import ExperimentState
from evolution.models import ApiAnswer, Experiment
from tests.evolution.api.cast import account, experiment_of
from tests.evolution.api.conftest import Caller

BODY = {"learning_task": "error-driven", "launch": False, "seed": 3}
KEY = {"Idempotency-Key": "a-key"}


def test_the_second_time_gives_the_first_answer(member):
    first = member("POST", "experiments/", BODY, **KEY)
    again = member("POST", "experiments/", dict(reversed(BODY.items())), **KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert first.headers["Location"] == again.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert Experiment.objects.count() == 1


def test_without_a_key_each_request_is_its_own(member):
    for _ in range(2):
        member("POST", "experiments/", BODY)
    assert Experiment.objects.count() == 2


def test_another_request_with_the_same_key_is_refused(member):
    member("POST", "experiments/", BODY, **KEY)
    refused = [
        member("POST", "experiments/", {**BODY, "seed": 4}, **KEY),
        member("POST", "rules/", {"learning_task": "error-driven", "expressions": ["u"]}, **KEY),
    ]
    for response in refused:
        assert response.status_code == 422
        assert response.json()["type"] == "urn:e2l:problem:idempotency-key-reused"
    assert Experiment.objects.count() == 1


def test_a_request_that_failed_may_be_mended(member):
    assert member("POST", "experiments/", {**BODY, "seed": -1}, **KEY).status_code == 422
    assert not ApiAnswer.objects.exists()
    assert member("POST", "experiments/", BODY, **KEY).status_code == 201


def test_what_fails_half_way_leaves_nothing(member):
    original = experiment_of(member.user, ExperimentState.FINISHED)
    path = f"experiments/{original.pk}/clone/"
    refused = member("POST", path, {"evolution_parameters": {"n_parents": 0}}, **KEY)
    assert refused.status_code == 422
    assert not ApiAnswer.objects.exists()
    assert member("POST", path, {"launch": False}, **KEY).status_code == 201


def test_keys_of_two_people_have_nothing_to_do_with_each_other(member, other):
    for person in (member, other):
        assert person("POST", "experiments/", BODY, **KEY).status_code == 201
    assert set(Experiment.objects.values_list("owner__username", flat=True)) == {"mia", "otto"}


def test_a_key_is_forgotten_after_a_day(member):
    member("POST", "experiments/", BODY, **KEY)
    ApiAnswer.objects.update(created_at=timezone.now() - timedelta(hours=25))
    member("POST", "experiments/", BODY, **KEY)
    assert Experiment.objects.count() == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "ä"], ids=["empty", "long", "not ASCII"])
def test_keys_that_are_none_are_refused(member, key):
    response = member("POST", "experiments/", BODY, **{"Idempotency-Key": key})
    assert response.status_code == 400
    assert response.json()["errors"][0]["parameter"] == "Idempotency-Key"


@pytest.mark.django_db(transaction=True)
def test_of_two_at_the_same_time_one_does_it():
    user = account("mia")
    callers = [Caller(user) for _ in range(4)]
    start = threading.Barrier(len(callers))
    answers = []

    def send(caller: Caller) -> None:
        try:
            start.wait(30)
            answers.append(caller("POST", "experiments/", BODY, **KEY))
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 3
    assert Experiment.objects.count() == 1
