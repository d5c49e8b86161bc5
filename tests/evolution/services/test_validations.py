"""Validations: trials that no experiment has, simulated once, shared by all questions."""

from __future__ import annotations

import math
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from django.db.models.functions import Now

from evolution import validated
from evolution.enums import ContextPurpose, ValidationState
from evolution.errors import InvalidExperiment, ValidationRefused
from evolution.models import Demand, Evaluation, EvaluationContext, Experiment, Rule, Validation
from evolution.robustness import robustness
from evolution.services import held_out, notes, validations
from evolution.services.couriers import SilentCourier
from nest_build.rules import PlasticityRule
from simulations.learning_tasks import Aggregate, get_learning_task
from simulations.variations import variations
from tests.evolution.conftest import launch, work_for_a_moment, work_until_idle
from tests.evolution.regression_task import NAME, RegressionTask

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.django_db


def rule_of(text: str, name: str = NAME) -> Rule:
    task = get_learning_task(name)
    return notes.add_to_catalogue(PlasticityRule.parse(task.signature, text.split(";")).canonical())


def ask(*rules: Rule, n_trials: int = 3, owner=None, seed=None, **changes) -> Validation:
    task = get_learning_task(NAME)
    preset = task.presets["demo"]
    return validations.request_validation(
        rules,
        task,
        preset=preset,
        parameters=preset.task_parameters.with_changes(changes),
        n_trials=n_trials,
        owner=owner,
        seed=seed,
        courier=SilentCourier(),
    )


def expected(text: str, seed: int, trials: range, n_points: int = 16) -> list[float]:
    """Return the values of trials, computed here: (v - u)*s is to be found."""
    values = []
    for trial in trials:
        v, u, s = np.random.RandomState(seed + trial).uniform(-2.0, 2.0, (3, n_points))
        distance = {"v": v, "v*s": v * s, "(v - u)*s": (v - u) * s}[text] - (v - u) * s
        values.append(-math.sqrt(float(np.mean(distance**2))))
    return values


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Counter]:
    """Count the trials that are simulated, as (points, trial, rule)."""
    path = tmp_path / "trials"
    path.touch()
    monkeypatch.setenv("E2L_TEST_LOG", str(path))
    return lambda: Counter(tuple(line.split(" ", 2)) for line in path.read_text().splitlines())


def test_values_are_those_of_held_out_trials_beside_the_literature() -> None:
    validation = ask(rule_of("v*s"), n_trials=4)
    assert validation.state == ValidationState.OPEN
    work_until_idle()
    validation.refresh_from_db()
    assert (validation.state, Demand.objects.count()) == (ValidationState.FINISHED, 0)
    assert validation.context.seed == get_learning_task(NAME).presets["demo"].validation_seed
    (found,) = validated.of_rule(
        rule_of("v*s"), [get_learning_task(NAME)], [], Experiment.objects.all()
    )
    assert found.own.evaluation.trials == pytest.approx(expected("v*s", 1000, range(4)))
    ((name, baseline, difference),) = found.baselines
    assert name == "product"
    assert baseline.evaluation.trials == pytest.approx([0.0] * 4, abs=1e-12)
    assert difference.value == pytest.approx(np.mean(expected("v*s", 1000, range(4))))


def test_more_trials_later_simulate_only_those_that_are_missing(log: Callable) -> None:
    rule = rule_of("v")
    ask(rule, n_trials=5)
    work_until_idle()
    both = ("v", "(v - u)*s")
    assert log() == Counter({("16", str(k), text): 1 for k in range(5) for text in both})
    ask(rule, n_trials=15)
    work_until_idle()
    assert log() == Counter({("16", str(k), text): 1 for k in range(15) for text in both})
    trials = Evaluation.objects.get(rule=rule).trials
    assert trials == pytest.approx(expected("v", 1000, range(15)))
    # Fewer, or the same, are known.
    assert ask(rule, n_trials=7).state == ValidationState.FINISHED
    work_until_idle()
    assert sum(log().values()) == 30


def test_the_same_question_is_one_record() -> None:
    rule = rule_of("v")
    assert ask(rule).pk == ask(rule).pk
    assert ask(rule).pk != ask(rule, n_trials=4).pk
    assert ask(rule, n_points=4).pk != ask(rule).pk


def test_seeds_of_experiments_are_passed_over(make_experiment: Callable[..., Experiment]) -> None:
    """Trial k has the seed of its context plus k: seeds that differ a little share trials."""
    make_experiment(seed=995)
    EvaluationContext.objects.create(
        digest="left by one that was deleted",
        learning_task_name=NAME,
        task_parameters={},
        seed=2300,
        engine_version="1",
    )
    # 1000 is near the first, 2000 near the second, 3000 again near the second.
    assert ask(rule_of("v")).context.seed == 4000
    with pytest.raises(ValidationRefused, match="not held out"):
        ask(rule_of("v"), seed=1500)


def test_experiments_cannot_have_seeds_that_are_held_out(
    make_experiment: Callable[..., Experiment],
) -> None:
    seed = ask(rule_of("v")).context.seed
    for offset in (-999, 0, 999):
        with pytest.raises(InvalidExperiment, match="held out"):
            make_experiment(seed=seed + offset)
    make_experiment(seed=seed + held_out.SEED_DISTANCE)
    # Another validation stays with the seed that nobody could take.
    assert ask(rule_of("v*s")).context.seed == seed


def test_evolution_does_not_see_held_out_values(
    make_experiment: Callable[..., Experiment],
) -> None:
    from evolution import catalogue

    rule = rule_of("v")
    ask(rule)
    work_until_idle()
    assert catalogue.evaluations_of(rule, Experiment.objects.all()) == []
    assert catalogue.evaluations_beside(rule, ["x"], 5, Experiment.objects.all()) == ([], {})


def test_champions_of_an_experiment_are_validated_in_one_simulation(
    make_experiment: Callable[..., Experiment], log: Callable
) -> None:
    experiment = make_experiment(n_runs=3, n_generations=2, n_points=8)
    launch(experiment)
    work_until_idle()
    rules = validated.champions_of(experiment)
    before = sum(log().values())
    validation = validations.request_for_experiment(
        experiment, rules, subject="champions", owner=None, courier=SilentCourier()
    )
    work_until_idle()
    validation.refresh_from_db()
    assert validation.state == ValidationState.FINISHED
    keys = {rule.key for rule in rules} | {rule_of("(v - u)*s").key}
    assert sum(log().values()) - before == 3 * len(keys)
    rows = validated.champion_rows(experiment, Experiment.objects.all())
    assert sorted(number for row in rows for number in row.runs) == [1, 2, 3]
    for row in rows:
        evaluation = row.validated.evaluation
        assert evaluation.context.task_parameters["n_points"] == 8
        training = Evaluation.objects.get(rule=row.rule, context__purpose="evolution").trials[:3]
        assert row.validated.training == tuple(training)
        gap = np.mean(training) - np.mean(evaluation.trials)
        assert row.validated.gap.value == pytest.approx(gap)
        assert np.mean(training) == pytest.approx(row.fitness)


def test_a_run_and_a_front_are_chosen(make_experiment: Callable[..., Experiment]) -> None:
    experiment = make_experiment(n_runs=2, n_generations=3)
    assert validated.champions_of(experiment) == []
    assert validated.front_of(experiment) == []
    with pytest.raises(ValidationRefused, match="no rule"):
        validations.request_for_experiment(experiment, [], subject="", owner=None)
    launch(experiment)
    work_until_idle()
    experiment.refresh_from_db()
    second = experiment.runs.get(index=1)
    assert validated.champions_of(experiment, 2) == [second.champion.rule]
    front = validated.front_of(experiment)
    scores = [
        Evaluation.objects.get(rule=rule, context=experiment.context_id).score for rule in front
    ]
    assert scores == sorted(scores)
    assert [rule.complexity for rule in front] == sorted({rule.complexity for rule in front})


def test_a_cancelled_validation_leaves_nothing_to_do_and_can_be_asked_again() -> None:
    rule = rule_of("v")
    validation = ask(rule)
    validations.cancel(validation)
    validation.refresh_from_db()
    assert (validation.state, Demand.objects.count()) == (ValidationState.CANCELLED, 0)
    assert work_until_idle() == 0
    again = ask(rule)
    assert (again.pk, again.state) == (validation.pk, ValidationState.OPEN)
    work_until_idle()
    again.refresh_from_db()
    assert again.state == ValidationState.FINISHED


def test_open_validations_of_a_person_are_bounded(django_user_model) -> None:
    ann, bob = (django_user_model.objects.create_user(name) for name in ("ann", "bob"))
    for n_trials in range(1, validations.MAX_OPEN + 1):
        ask(rule_of("v"), n_trials=n_trials, owner=ann)
    with pytest.raises(ValidationRefused, match="not finished"):
        ask(rule_of("v"), n_trials=50, owner=ann)
    ask(rule_of("v"), n_trials=50, owner=bob)


@pytest.mark.parametrize("n_trials", [0, validations.MAX_TRIALS + 1])
def test_too_many_trials_are_refused(n_trials: int) -> None:
    with pytest.raises(ValidationRefused, match="from 1 to"):
        ask(rule_of("v"), n_trials=n_trials)
    assert not Validation.objects.exists()


def test_rules_of_other_tasks_are_refused() -> None:
    with pytest.raises(ValidationRefused, match="does not fit"):
        ask(rule_of("E*(R - 1)", "reward-driven"))


def test_a_rule_that_fails_ends_the_validation_with_a_reason() -> None:
    rule = rule_of("v/(s - s)")
    validation = ask(rule, rule_of("v"))
    work_until_idle()
    validation.refresh_from_db()
    assert validation.state == ValidationState.FINISHED
    (found,) = validated.of_rule(rule, [get_learning_task(NAME)], [], Experiment.objects.all())
    assert (found.own.evaluation.reason, found.own.estimate) == ("not finite", None)
    (other,) = validated.of_rule(
        rule_of("v"), [get_learning_task(NAME)], [], Experiment.objects.all()
    )
    assert other.own.estimate.n_trials == 3


def test_a_worker_that_is_lost_costs_its_claims_only(log: Callable) -> None:
    """Values that were recorded stay; another worker goes on with the next trial."""
    rule = rule_of("v")
    validation = ask(rule, n_trials=6)
    Evaluation.objects.filter(rule=rule).update(
        trials=expected("v", 1000, range(2)), n_trials_done=2, state="claimed",
        claimed_by="gone", lease_expires_at=Now() - timedelta(seconds=1), attempts=1,
    )  # fmt: skip
    work_until_idle()
    validation.refresh_from_db()
    assert validation.state == ValidationState.FINISHED
    assert {key for key in log() if key[2] == "v"} == {("16", str(k), "v") for k in range(2, 6)}
    assert Evaluation.objects.get(rule=rule).trials == pytest.approx(expected("v", 1000, range(6)))


def test_experiments_and_validations_take_turns(
    make_experiment: Callable[..., Experiment],
) -> None:
    experiment = make_experiment(n_generations=400)
    launch(experiment)
    work_for_a_moment()
    validation = ask(rule_of("v"))
    work_for_a_moment()
    work_for_a_moment()
    validation.refresh_from_db()
    experiment.refresh_from_db()
    assert (validation.state, experiment.state) == (ValidationState.FINISHED, "running")


def test_progress_counts_values() -> None:
    validation = ask(rule_of("v"), n_trials=5)
    Evaluation.objects.filter(rule=rule_of("v")).update(n_trials_done=3)
    found = Validation.objects.with_progress().get(pk=validation.pk)
    assert (found.n_done, found.n_wanted) == (3, 10)


def test_robustness_has_the_fitness_at_each_value() -> None:
    task = get_learning_task(NAME)
    preset = task.presets["demo"]
    rule = rule_of("v*s")
    validation = validations.request_robustness(
        rule, task, preset=preset, parameters=preset.task_parameters, n_trials=2, owner=None,
        courier=SilentCourier(),
    )  # fmt: skip
    work_until_idle()
    found = robustness(rule, Validation.objects.get(pk=validation.pk), task)
    assert found.fitness == pytest.approx(np.mean(expected("v*s", 1000, range(2))))
    assert (found.baseline_name, found.baseline) == ("product", pytest.approx(0.0, abs=1e-12))
    (points,) = found.parameters
    assert (points.name, points.value) == ("n_points", 16)
    assert [point.value for point in points.points] == [8, 13, 19, 24]
    for point in points.points:
        values = expected("v*s", 1000, range(2), n_points=int(point.value))
        assert point.fitness == pytest.approx(np.mean(values))
    assert points.swing == pytest.approx(
        max(abs(point.fitness - found.fitness) for point in points.points)
    )
    assert len(variations(preset.task_parameters)) == 4
    # What was simulated for this is no validation with other parameters.
    assert [
        item.own.context.purpose
        for item in validated.of_rule(rule, [task], [], Experiment.objects.all())
    ] == [ContextPurpose.VALIDATION]
    assert validations.request_robustness(
        rule, task, preset=preset, parameters=preset.task_parameters, n_trials=2, owner=None
    ).pk == validation.pk  # fmt: skip


def test_the_fitness_of_a_task_of_least_values_is_the_least(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RegressionTask, "aggregate", Aggregate.MIN)
    ask(rule_of("v"), n_trials=6)
    work_until_idle()
    (found,) = validated.of_rule(
        rule_of("v"), [get_learning_task(NAME)], [], Experiment.objects.all()
    )
    values = expected("v", 1000, range(6))
    assert found.own.estimate.value == pytest.approx(min(values))
    assert found.own.estimate.mean == pytest.approx(np.mean(values))
    assert found.baselines[0][2].value == pytest.approx(min(values), abs=1e-9)
