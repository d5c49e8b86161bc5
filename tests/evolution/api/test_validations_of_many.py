"""Held-out trials of champions and fronts, robustness, and cancelling, through the API."""

from __future__ import annotations

import numpy as np
import pytest

from evolution.enums import Visibility
from evolution.models import Demand, EvaluationContext, Validation
from evolution.services import sharing, validations
from tests.evolution.api.test_validations import N_POINTS, SEED, expected
from tests.evolution.conftest import launch, work_until_idle
from tests.evolution.regression_task import NAME


@pytest.fixture
def experiment(member, make_experiment):
    """An experiment of the member with a history of two runs."""
    made = make_experiment(n_runs=2, n_generations=5)
    made.owner = member.user
    made.save()
    launch(made)
    work_until_idle()
    made.refresh_from_db()
    return made


@pytest.fixture
def rule(member) -> int:
    body = {"learning_task": NAME, "expressions": ["v*s"]}
    return member("POST", "rules/", body).json()["id"]


def test_champions_are_validated_and_read(member, other, experiment):
    path = f"experiments/{experiment.pk}/"
    before = member("GET", f"{path}champions/").json()
    assert {item["held_out"] for item in before} == {None}
    asked = other("POST", f"{path}validations/", {"n_trials": 4})
    assert asked.status_code == 202
    body = asked.json()
    assert (body["subject"], body["experiment"], body["n_trials"]) == (
        "champions", experiment.pk, 4
    )  # fmt: skip
    work_until_idle()
    assert member("GET", asked.headers["Location"]).json()["state"] == "finished"
    runs = {run.number: run for run in experiment.runs.select_related("champion__rule")}
    found = member("GET", f"{path}champions/").json()
    assert sorted(number for item in found for number in item["runs"]) == [1, 2]
    for item in found:
        champion = runs[item["runs"][0]].champion
        assert item["fitness"] == champion.fitness
        assert item["rule"]["expressions"] == champion.rule.expressions
        seed = item["held_out"]["seed"]
        assert not set(range(seed, seed + 4)) & set(range(10, 20))
        values = [value_of(champion.rule.expressions[0], seed + trial) for trial in range(4)]
        assert item["held_out"]["trials"] == pytest.approx(values)
        assert item["held_out"]["fitness"]["value"] == pytest.approx(np.mean(values))


def value_of(text: str, seed: int) -> float:
    """Return the value of a trial, computed here."""
    v, u, s = np.random.RandomState(seed).uniform(-2.0, 2.0, (3, N_POINTS))
    distance = eval(text, {"v": v, "u": u, "s": s}) - (v - u) * s
    return -np.sqrt(np.mean(distance**2))


@pytest.mark.parametrize(
    ("body", "subject"),
    [({"run": 2}, "champion of run 2"), ({"which": "front"}, "Pareto front"), ({}, "champions")],
    ids=["run", "front", "all"],
)
def test_what_is_asked_for_is_named(member, experiment, body, subject):
    asked = member("POST", f"experiments/{experiment.pk}/validations/", body).json()
    assert asked["subject"] == subject
    # As many trials as make a fitness in the experiment.
    assert asked["n_trials"] == experiment.task_parameters["n_trials"]
    listed = member("GET", f"validations/?experiment={experiment.pk}").json()["results"]
    assert [item["id"] for item in listed] == [asked["id"]]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"which": "front", "run": 1}, "/run"),
        ({"which": "losers"}, "/which"),
        ({"n_trials": validations.MAX_TRIALS + 1}, "/n_trials"),
    ],
    ids=["run of a front", "unknown", "too many"],
)
def test_what_does_not_fit_is_refused_with_its_place(member, experiment, body, pointer):
    refused = member("POST", f"experiments/{experiment.pk}/validations/", body)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]


def test_an_experiment_without_champions_has_nothing_to_validate(member, make_experiment):
    refused = member("POST", f"experiments/{make_experiment().pk}/validations/", {})
    assert (refused.status_code, refused.json()["detail"]) == (
        409, "There is no rule to validate yet."
    )  # fmt: skip


def test_the_front_of_the_catalogue_is_validated(member, experiment):
    (context,) = member("GET", f"contexts/?task={NAME}").json()["results"]
    front = member("GET", f"rules/front/?task={NAME}&context={context['id']}").json()
    rules = {point["rule"]["id"] for point in front if point["layer"] == 0}
    body = {"learning_task": NAME, "context": context["id"], "n_trials": 2}
    asked = member("POST", "rules/front/validations/", body).json()
    assert asked["subject"] == "Pareto front of the catalogue"
    demanded = set(
        Demand.objects.filter(validation=asked["id"]).values_list("evaluation__rule", flat=True)
    )
    baseline = {pk for pk in demanded if pk not in rules}
    assert rules <= demanded
    assert len(baseline) <= 1
    work_until_idle()
    for pk in rules:
        (found,) = member("GET", f"rules/{pk}/held-out/").json()
        assert len(found["trials"]) == 2
    assert member("POST", "rules/front/validations/", {**body, "context": 999}).status_code == 404


def test_the_front_of_private_trials_stays_with_those_who_see_them(member, other, experiment):
    sharing.set_visibility(experiment, Visibility.PRIVATE, by=member.user)
    EvaluationContext.objects.update(shared_at=None)
    body = {"learning_task": NAME, "context": experiment.context_id, "n_trials": 2}
    assert other("POST", "rules/front/validations/", body).status_code == 404
    asked = member("POST", "rules/front/validations/", body)
    assert asked.json()["experiment"] == experiment.pk
    assert other("GET", asked.headers["Location"]).status_code == 404
    assert other("GET", "validations/").json()["count"] == 0


def test_robustness_varies_one_parameter_at_a_time(member, rule):
    path = f"rules/{rule}/robustness/"
    assert member("GET", path).status_code == 404
    asked = member("POST", path, {"learning_task": NAME, "n_trials": 2})
    assert (asked.status_code, asked.json()["kind"]) == (202, "robustness")
    assert asked.json()["held_out"] is None
    work_until_idle()
    body = member("GET", path).json()
    assert (body["validation"], body["state"], body["n_trials"]) == (
        asked.json()["id"], "finished", 2
    )  # fmt: skip
    own = expected(2)
    assert body["fitness"] == pytest.approx(own.mean())
    assert (body["baseline"], body["baseline_name"]) == (pytest.approx(0.0, abs=1e-12), "product")
    (points,) = [item for item in body["parameters"] if item["name"] == "n_points"]
    assert [point["value"] for point in points["points"]] == [8, 13, 19, 24]
    for point in points["points"]:
        values = []
        for trial in range(2):
            shape = (3, int(point["value"]))
            _, u, s = np.random.RandomState(SEED + trial).uniform(-2.0, 2.0, shape)
            values.append(-np.sqrt(np.mean((u * s) ** 2)))
        assert point["fitness"] == pytest.approx(np.mean(values))
    swing = max(abs(point["fitness"] - body["fitness"]) for point in points["points"])
    assert points["swing"] == pytest.approx(swing)
    known = member("POST", path, {"learning_task": NAME, "n_trials": 2})
    assert known.status_code == 200


def test_only_who_has_asked_cancels(member, other, operator, rule):
    body = {"learning_task": NAME, "n_trials": 2}
    path = member("POST", f"rules/{rule}/validations/", body).headers["Location"]
    assert other("GET", path).json()["may_cancel"] is False
    assert member("GET", path).json()["may_cancel"] is True
    refused = other("POST", f"{path}cancel/")
    assert (refused.status_code, "Only who has asked" in refused.json()["detail"]) == (403, True)
    assert Validation.objects.open().count() == 1
    assert member("POST", f"{path}cancel/").json()["state"] == "cancelled"
    assert not Demand.objects.exists()
    again = member("POST", f"rules/{rule}/validations/", body)
    assert again.status_code == 202
    assert operator("POST", f"{path}cancel/").json()["state"] == "cancelled"
    assert member("POST", "validations/999/cancel/").status_code == 404


def test_lists_are_filtered(member, rule):
    other_rule = member("POST", "rules/", {"learning_task": NAME, "expressions": ["u*s"]}).json()
    body = {"learning_task": NAME, "n_trials": 2}
    first = member("POST", f"rules/{rule}/validations/", body).json()["id"]
    second = member("POST", f"rules/{rule}/robustness/", body).json()["id"]
    third = member("POST", f"rules/{other_rule['id']}/validations/", body).json()["id"]
    member("POST", f"validations/{third}/cancel/")

    def found(query: str) -> list[int]:
        return [item["id"] for item in member("GET", f"validations/?{query}").json()["results"]]

    assert found("") == [third, second, first]
    assert found(f"rule={rule}") == [second, first]
    assert found("kind=robustness") == [second]
    assert found("state=cancelled") == [third]
    assert member("GET", "validations/?state=lost").status_code == 400
