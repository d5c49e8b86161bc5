"""Pages on which rules are validated: forms, progress, tables, figures, marks."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from evolution.models import Experiment, Validation
from evolution.services.validations import MAX_TRIALS
from evolution.templatetags.evolution_format import fitness
from evolution.validated import ValidatedRules
from simulations.learning_tasks import get_learning_task
from tests.evolution.conftest import launch, work_until_idle
from tests.evolution.regression_task import NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpResponse
    from django.test import Client

    from evolution.models import Rule

pytestmark = pytest.mark.django_db

MAX_QUERIES = 12


@pytest.fixture
def ann(client, django_user_model) -> Client:
    client.force_login(django_user_model.objects.create_user("ann"))
    return client


@pytest.fixture
def experiment(make_experiment: Callable[..., Experiment]) -> Experiment:
    experiment = make_experiment(n_runs=2, n_generations=5)
    launch(experiment)
    work_until_idle()
    experiment.refresh_from_db()
    return experiment


@pytest.fixture
def rule(experiment: Experiment) -> Rule:
    return experiment.runs.get(index=1).champion.rule


def text_of(response: HttpResponse) -> str:
    text = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+", " ", html.unescape(text))


def ask(ann: Client, rule: Rule, kind: str = "validation", trials: object = 3) -> HttpResponse:
    data = {"in": f"{NAME}/demo", "kind": kind, "trials": trials}
    return ann.post(reverse("evolution:validate-rule", args=[rule.pk]), data)


def test_a_rule_is_asked_for_followed_and_shown(ann, rule, django_assert_max_num_queries) -> None:
    assert "No held-out trial of this rule is known yet" in text_of(
        ann.get(rule.get_absolute_url())
    )
    assert ask(ann, rule).url == f"{rule.get_absolute_url()}#validation"
    progress = reverse("evolution:rule-validating", args=[rule.pk])
    part = ann.get(progress)
    assert "waiting for a worker" in text_of(part)
    assert 'hx-trigger="every 2s"' in part.content.decode()
    work_until_idle()
    answered = ann.get(progress, {"was": "open"})
    assert answered.headers["HX-Retarget"] == "#validation"
    assert answered.content.decode().lstrip().startswith("<section")
    with django_assert_max_num_queries(MAX_QUERIES):
        page = text_of(ann.get(rule.get_absolute_url()))
    found = ValidatedRules([rule], get_learning_task(NAME), Experiment.objects.all()).of(rule)
    estimate = found.estimate
    assert f"3 {fitness(estimate.sd)} {fitness(estimate.value)}" in page
    assert f"[{fitness(estimate.low)}, {fitness(estimate.high)}]" in page
    assert "Generalisation gap" in page
    assert "product 3" in page


def test_marks_are_wherever_the_rule_appears(
    ann, experiment, rule, django_assert_max_num_queries
) -> None:
    ask(ann, rule)
    work_until_idle()
    estimate = (
        ValidatedRules([rule], get_learning_task(NAME), Experiment.objects.all()).of(rule).estimate
    )
    mark = f"{fitness(estimate.value)} [{fitness(estimate.low)}, {fitness(estimate.high)}]"
    individual = experiment.runs.get(index=1).champion
    for path in (
        f"/rules/?task={NAME}&context={experiment.context_id}&q={';'.join(rule.expressions)}".replace(
            "+", "%2B"
        ),
        reverse("evolution:experiment-validation", args=[experiment.pk]),
        reverse("evolution:run", args=[experiment.pk, 2]),
        individual.get_absolute_url(),
        f"/compare/?run={experiment.pk}-2",
    ):
        with django_assert_max_num_queries(MAX_QUERIES):
            assert mark in text_of(ann.get(path)), path


def test_other_parameters_leave_no_mark(ann, make_experiment, experiment, rule) -> None:
    """Values of trials with other parameters say nothing of these."""
    other = make_experiment(seed=10, n_runs=2, n_generations=5, n_points=4)
    launch(other)
    work_until_idle()
    ask(ann, rule)
    work_until_idle()
    for run in other.runs.all():
        if run.champion.rule_id == rule.pk:
            path = reverse("evolution:run", args=[other.pk, run.number])
            assert "held out" not in text_of(ann.get(path))
    page = text_of(ann.get(reverse("evolution:experiment-validation", args=[other.pk])))
    assert "[" not in page


@pytest.mark.parametrize("which", ["champions", "front", "2"])
def test_rules_of_an_experiment_are_validated(ann, experiment, which) -> None:
    path = reverse("evolution:validate-experiment", args=[experiment.pk])
    response = ann.post(path, {"which": which, "trials": "2"})
    assert response.url == f"{experiment.get_absolute_url()}#validation"
    part = reverse("evolution:experiment-validation", args=[experiment.pk])
    if which != "2":
        assert "every 2s" in ann.get(part).content.decode()
    work_until_idle()
    assert Validation.objects.get().state == "finished"
    assert "every 2s" not in ann.get(part).content.decode()


def test_the_front_of_the_catalogue_is_validated(ann, experiment) -> None:
    data = {"task": NAME, "context": experiment.context_id, "trials": "2", "next": "/rules/?x=1"}
    assert ann.post(reverse("evolution:validate-front"), data).url == "/rules/?x=1"
    for address in ("https://elsewhere.example/", "//elsewhere.example/", "javascript:alert(1)"):
        response = ann.post(reverse("evolution:validate-front"), {**data, "next": address})
        assert response.url == "/rules/"
    data["context"] = 10**6
    assert ann.post(reverse("evolution:validate-front"), data).status_code == 404
    data["task"] = "nothing"
    assert ann.post(reverse("evolution:validate-front"), data).status_code == 404


@pytest.mark.parametrize("trials", ["", "0", "-1", "many", "1.5", str(MAX_TRIALS + 1), "9" * 40])
def test_bad_numbers_of_trials_are_refused(ann, experiment, rule, trials) -> None:
    assert ask(ann, rule, trials=trials).status_code == 400
    path = reverse("evolution:validate-experiment", args=[experiment.pk])
    assert ann.post(path, {"which": "champions", "trials": trials}).status_code == 400
    assert not Validation.objects.exists()


def test_what_does_not_exist_is_refused(ann, experiment, rule) -> None:
    path = reverse("evolution:validate-rule", args=[rule.pk])
    for data in (
        {"in": f"{NAME}/nothing", "kind": "validation", "trials": 2},
        {"in": "reward-driven/demo", "kind": "validation", "trials": 2},
        {"in": f"{NAME}/demo", "kind": "nothing", "trials": 2},
    ):
        assert ann.post(path, data).status_code == 400
    path = reverse("evolution:validate-experiment", args=[experiment.pk])
    assert ann.post(path, {"which": "all", "trials": 2}).status_code == 400
    assert ann.post(path, {"which": "7", "trials": 2}).status_code == 409
    assert ann.get(reverse("evolution:rule-robustness", args=[rule.pk])).status_code == 404
    assert ann.get(reverse("evolution:held-out-trials", args=[rule.pk, 99])).status_code == 404


def test_strangers_and_wrong_methods_are_refused(client, ann, experiment, rule) -> None:
    reads = [
        reverse("evolution:rule-validation", args=[rule.pk]),
        reverse("evolution:rule-validating", args=[rule.pk]),
        reverse("evolution:experiment-validation", args=[experiment.pk]),
    ]
    writes = [
        reverse("evolution:validate-rule", args=[rule.pk]),
        reverse("evolution:validate-experiment", args=[experiment.pk]),
        reverse("evolution:validate-front"),
        reverse("evolution:cancel-validation", args=[1]),
    ]
    assert {ann.post(path).status_code for path in reads} == {405}
    assert {ann.get(path).status_code for path in writes} == {405}
    client.logout()
    assert {client.get(path).status_code for path in reads} == {302}
    assert {client.post(path).status_code for path in writes} == {302}


def test_a_validation_is_cancelled(ann, rule) -> None:
    ask(ann, rule)
    validation = Validation.objects.get()
    path = reverse("evolution:cancel-validation", args=[validation.pk])
    assert ann.post(path, {"next": rule.get_absolute_url()}).url == rule.get_absolute_url()
    validation.refresh_from_db()
    assert validation.state == "cancelled"
    assert "waiting" not in text_of(ann.get(reverse("evolution:rule-validating", args=[rule.pk])))


def test_figures_hold_every_value(ann, rule) -> None:
    ask(ann, rule)
    ask(ann, rule, "robustness", 2)
    work_until_idle()
    found = ValidatedRules([rule], get_learning_task(NAME), Experiment.objects.all()).of(rule)
    path = reverse("evolution:held-out-trials", args=[rule.pk, found.context.pk])
    item = ann.get(path).content.decode()
    for value in found.evaluation.trials:
        assert repr(value) in item
    assert ann.get(path, {"scale": "cubic"}).status_code == 400
    tornado = ann.get(reverse("evolution:rule-robustness", args=[rule.pk])).content.decode()
    assert "n points" in tornado
    part = text_of(ann.get(reverse("evolution:rule-validating", args=[rule.pk])))
    assert "The fitness is" in part
    assert "n points" in part
