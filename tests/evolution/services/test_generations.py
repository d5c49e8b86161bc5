from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from evolution.cgp.engine import Engine
from evolution.cgp.phenotype import expression_text
from evolution.enums import ExperimentState, StopReason
from evolution.models import Evaluation, Experiment, Individual
from evolution.services import evaluations, experiments, generations, work
from evolution.services.couriers import InlineCourier
from simulations.evaluation import evaluate_rules
from simulations.learning_tasks import get_learning_task
from tests.evolution.conftest import history, work_until_idle
from tests.evolution.regression_task import NAME

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)


def run_to_the_end(experiment: Experiment) -> Experiment:
    courier = InlineCourier()
    experiments.launch_experiment(experiment, courier=courier)
    work_until_idle(courier)
    experiment.refresh_from_db()
    return experiment


def test_history_is_that_of_the_engine_in_memory(
    make_experiment: Callable[..., Experiment],
) -> None:
    """Without database, batches and cache: the engine and one rule at a time."""
    experiment = run_to_the_end(make_experiment(n_runs=2, n_generations=25))
    learning_task = get_learning_task(NAME)
    parameters = experiment.get_evolution_parameters()
    task_parameters = experiment.get_task_parameters()
    assert experiment.state == ExperimentState.FINISHED
    for run in experiment.runs.all():
        engine = Engine.start(parameters, n_inputs=3, n_branches=1, seed=run.seed)
        for generation in run.generations.order_by("index"):
            fitness = {}
            for candidate in engine.ask():
                text = expression_text(candidate.genomes[0], parameters, ("v", "u", "s"))
                rule = evaluations.canonical_rule(learning_task.signature, (text,))
                (evaluation,) = evaluate_rules(
                    learning_task, [rule], task_parameters, seed=experiment.seed
                )
                value = evaluation.fitness(learning_task.aggregate)
                individual = run.individuals.get(index=candidate.index)
                assert individual.genome == [list(alleles) for alleles in candidate.genomes]
                assert individual.birth_generation == generation.index
                assert individual.rule.expressions == list(rule.texts)
                assert individual.fitness == value
                assert individual.is_inherited == (candidate.fitness is not None)
                fitness[candidate.index] = -math.inf if value is None else value
            selection = engine.tell(fitness)
            assert generation.champion.index == selection.champion_index
            assert generation.champion_fitness == selection.champion_fitness
        assert run.n_generations_done == 25
        assert run.champion_fitness == selection.champion_fitness
        assert run.engine_state == json.loads(json.dumps(engine.to_state()))
        assert run.stop_reason == StopReason.GENERATIONS


def test_a_generation_takes_few_statements(make_experiment: Callable[..., Experiment]) -> None:
    experiment = make_experiment(n_generations=100, mutation_rate=0.5, n_offspring=8)
    courier = InlineCourier()
    experiments.launch_experiment(experiment, courier=courier)
    setup = generations.load_setup(courier.next())
    a_slice = work._Slice(setup, "test", courier, n_workers=1)
    step = generations.advance(setup, worker="test", batch_size=lambda n: n)
    n_new = 0
    for _ in range(20):
        with CaptureQueriesContext(connection) as queries:
            if step.claims:
                a_slice._evaluate(step.claims)
            step = generations.advance(setup, worker="test", batch_size=lambda n: n)
        statements = [
            query["sql"]
            for query in queries
            if not query["sql"].startswith(("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE"))
        ]
        assert step.has_advanced
        assert len(statements) <= 15, "\n".join(statements)
        n_new += len(step.claims)
    assert n_new > 20


def test_a_run_ends_when_its_target_is_reached(make_experiment: Callable[..., Experiment]) -> None:
    experiment = run_to_the_end(make_experiment(n_generations=500, target_fitness=-1.5))
    run = experiment.runs.get()
    assert run.stop_reason == StopReason.TARGET
    fitness = list(run.generations.order_by("index").values_list("champion_fitness", flat=True))
    assert fitness[-1] >= -1.5 > max(fitness[:-1])


def test_improvements_are_marked(make_experiment: Callable[..., Experiment]) -> None:
    experiment = run_to_the_end(make_experiment(n_generations=60))
    best = -math.inf
    for fitness, is_improvement in (
        experiment.runs.get()
        .generations.order_by("index")
        .values_list("champion_fitness", "is_improvement")
    ):
        assert is_improvement == (fitness > best)
        best = max(best, fitness)


def test_two_runs_evaluate_a_rule_once(make_experiment: Callable[..., Experiment]) -> None:
    first = run_to_the_end(make_experiment(seed=3))
    n_evaluations = Evaluation.objects.count()
    second = run_to_the_end(make_experiment(seed=3))
    assert Evaluation.objects.count() == n_evaluations
    assert history(second) == history(first)
    for generation in second.runs.get().generations.all():
        assert generation.n_cached == generation.n_evaluations


def test_other_trials_do_not_disturb_what_is_cached(
    make_experiment: Callable[..., Experiment],
) -> None:
    few = history(run_to_the_end(make_experiment(seed=3, n_trials=2)))
    many = history(run_to_the_end(make_experiment(seed=3, n_trials=5)))
    Individual.objects.all().delete()
    Evaluation.objects.all().delete()
    assert history(run_to_the_end(make_experiment(seed=3, n_trials=5))) == many
    assert history(run_to_the_end(make_experiment(seed=3, n_trials=2))) == few


def test_rules_that_fail_are_kept_with_their_reason(
    make_experiment: Callable[..., Experiment],
) -> None:
    run_to_the_end(make_experiment(n_generations=40, mutation_rate=0.4))
    failed = Individual.objects.filter(fitness=None).select_related("evaluation", "rule")
    assert failed.exists()
    for individual in failed:
        assert individual.evaluation.reason == "not finite"
        assert individual.rule is not None


def test_a_rule_beyond_the_limits_has_no_record_and_no_fitness(
    make_experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Genomes of this size hardly ever reach the real limit.
    monkeypatch.setattr("evolution.cgp.phenotype.MAX_LENGTH", 12)
    experiment = run_to_the_end(make_experiment(n_generations=30, mutation_rate=0.3))
    assert experiment.state == ExperimentState.FINISHED
    beyond = Individual.objects.filter(rule=None)
    assert beyond.exists()
    assert set(beyond.values_list("evaluation", "fitness")) == {(None, None)}


def test_a_run_goes_on_after_the_software_was_changed(
    make_experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    courier = InlineCourier()
    experiment = make_experiment(n_generations=3)
    experiments.launch_experiment(experiment, courier=courier)
    setup = generations.load_setup(courier.next())
    generations.advance(setup, worker="before", batch_size=lambda n: 0)
    monkeypatch.setattr(evaluations, "engine_version", lambda: "another version")
    courier.queue(setup.run_id)
    work_until_idle(courier)
    experiment.refresh_from_db()
    assert experiment.state == ExperimentState.FINISHED
    versions = Individual.objects.values_list("evaluation__context__engine_version", flat=True)
    assert set(versions) == {"another version"}
