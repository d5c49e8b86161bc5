"""Held-out trials of rules through the API."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evolution.api.shapes import NumberField
from evolution.models import Evaluation, LogEntry, Validation
from evolution.services import validations
from tests.evolution.conftest import launch, work_until_idle
from tests.evolution.regression_task import NAME

ASK = {"learning_task": NAME, "preset": "demo", "n_trials": 6}
N_POINTS, SEED = 16, 1000


def expected(n_trials: int, seed: int = SEED) -> np.ndarray:
    """Return the values of v*s, computed here: (v - u)*s is to be found."""
    values = []
    for trial in range(n_trials):
        _, u, s = np.random.RandomState(seed + trial).uniform(-2.0, 2.0, (3, N_POINTS))
        values.append(-np.sqrt(np.mean((u * s) ** 2)))
    return np.array(values)


@pytest.fixture
def rule(member) -> int:
    body = {"learning_task": NAME, "expressions": ["v*s"]}
    return member("POST", "rules/", body).json()["id"]


def test_held_out_trials_are_asked_for_followed_and_read(member, other, rule):
    asked = member("POST", f"rules/{rule}/validations/", ASK)
    assert asked.status_code == 202
    body = asked.json()
    assert asked.headers["Location"] == f"/api/v1/validations/{body['id']}/"
    assert (body["state"], body["progress"], body["held_out"]) == ("open", 0.0, None)
    assert LogEntry.objects.filter(action="simulated", detail__contains="6 trials").exists()
    work_until_idle()
    now = other("GET", asked.headers["Location"]).json()
    assert (now["state"], now["progress"]) == ("finished", 1.0)
    found = now["held_out"]
    values = expected(6)
    assert found["trials"] == pytest.approx(values)
    fitness = found["fitness"]
    assert fitness["value"] == pytest.approx(values.mean())
    interval = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (fitness["low"], fitness["high"]) == pytest.approx(tuple(interval))
    assert fitness["sd"] == pytest.approx(values.std(ddof=1))
    (baseline,) = found["baselines"]
    assert (baseline["name"], baseline["rule"]["expressions"]) == ("product", ["(v - u)*s"])
    assert baseline["fitness"]["value"] == pytest.approx(0.0, abs=1e-12)
    difference = baseline["difference"]
    assert difference["value"] == pytest.approx(values.mean())
    paired = stats.ttest_1samp(values - np.array(baseline["trials"]), 0.0)
    assert difference["p_value"] == pytest.approx(paired.pvalue)
    # No experiment has tried it.
    assert found["gap"] is None
    assert member("GET", f"rules/{rule}/held-out/").json() == [found]


def test_the_same_question_is_answered_once(member, other, rule):
    path = f"rules/{rule}/validations/"
    first = member("POST", path, ASK)
    assert other("POST", path, ASK).headers["Location"] == first.headers["Location"]
    work_until_idle()
    again = other("POST", path, ASK)
    assert (again.status_code, again.json()["state"]) == (200, "finished")
    fewer = other("POST", path, {**ASK, "n_trials": 2})
    assert (fewer.status_code, fewer.json()["n_trials"]) == (200, 2)
    as_in_preset = other("POST", path, {"learning_task": NAME}).json()
    assert as_in_preset["n_trials"] == 3


def test_a_request_that_is_sent_twice_gets_the_first_answer(member, rule):
    key = {"Idempotency-Key": "k"}
    first = member("POST", f"rules/{rule}/validations/", ASK, **key)
    work_until_idle()
    again = member("POST", f"rules/{rule}/validations/", ASK, **key)
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"


def test_progress_counts_the_trials_of_all_rules(member, rule):
    path = member("POST", f"rules/{rule}/validations/", {**ASK, "n_trials": 4}).headers["Location"]
    # Of 2 rules with 4 trials each, one has 2 already.
    Evaluation.objects.filter(rule=rule).update(trials=[-1.0, -2.0], n_trials_done=2)
    now = member("GET", path).json()
    assert (now["progress"], now["held_out"]["trials"]) == (2 / 8, [-1.0, -2.0])


def test_the_gap_is_that_to_training(member, make_experiment):
    experiment = make_experiment(n_generations=5)
    launch(experiment)
    work_until_idle()
    champion = experiment.runs.get().champion
    member("POST", f"rules/{champion.rule_id}/validations/", ASK)
    work_until_idle()
    (found,) = member("GET", f"rules/{champion.rule_id}/held-out/").json()
    gap = champion.fitness - found["fitness"]["value"]
    assert found["gap"]["value"] == pytest.approx(gap)
    training, held_out = champion.evaluation.trials, found["trials"]
    welch = stats.ttest_ind(training, held_out, equal_var=False).confidence_interval(0.95)
    assert (found["gap"]["low"], found["gap"]["high"]) == pytest.approx(tuple(welch))


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"n_trials": 0}, "/n_trials"),
        ({"n_trials": validations.MAX_TRIALS + 1}, "/n_trials"),
        ({"preset": "no such"}, "/preset"),
        ({"learning_task": "juggling"}, "/learning_task"),
        ({"learning_task": "correlation-driven"}, "/learning_task"),
    ],
    ids=["none", "too many", "preset", "no task", "other inputs"],
)
def test_what_does_not_fit_is_refused_with_its_place(member, rule, change, pointer):
    response = member("POST", f"rules/{rule}/validations/", {**ASK, **change})
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]
    assert not Validation.objects.exists()


def test_too_many_open_ones_are_refused(member, rule):
    for number in range(validations.MAX_OPEN):
        body = {**ASK, "n_trials": number + 1}
        assert member("POST", f"rules/{rule}/validations/", body).status_code == 202
    refused = member("POST", f"rules/{rule}/validations/", ASK)
    assert refused.status_code == 409
    assert refused.json()["type"] == "urn:e2l:problem:state-conflict"


def test_viewers_read_and_do_not_ask(member, viewer, rule):
    assert viewer("POST", f"rules/{rule}/validations/", ASK).status_code == 403
    path = member("POST", f"rules/{rule}/validations/", ASK).headers["Location"]
    assert viewer("GET", path).status_code == 200


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_numbers_that_json_has_not_are_null(value):
    assert NumberField().to_representation(value) is None
    assert NumberField().to_representation(0.5) == 0.5
