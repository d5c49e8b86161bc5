"""Runs that end as soon as they are as good as a rule of the literature."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from evolution.enums import ExperimentState, StopReason
from evolution.models import Evaluation, Experiment, Run
from evolution.services import claiming
from evolution.services.judgement import judge
from simulations.learning_tasks import Aggregate, BaselineRule
from tests.evolution.conftest import launch, work_until_idle
from tests.evolution.services.working import (
    FaultyTask,
    MakeExperiment,
    claim_all,
    finished_history,
    forget_everything,
)

if TYPE_CHECKING:
    pass


pytestmark = pytest.mark.django_db(transaction=True)


def fitness_of(evaluation: Evaluation) -> float:
    judgement = judge(
        evaluation.trials, evaluation.reason, n_trials=3, bound=None, aggregate=Aggregate.MEAN
    )
    assert judgement is not None
    return judgement.fitness


def test_a_run_stops_where_the_baseline_is_reached(
    make_experiment: MakeExperiment, faulty_task: type[FaultyTask]
) -> None:
    """The baseline is evaluated in the trials of the experiment, by itself and only once."""
    faulty_task.n_faults = 0
    faulty_task.baselines = (
        BaselineRule("simple", ("v*s",), "none"),
        BaselineRule("worse", ("v*s + 10",), "none"),
    )
    (run,) = finished_history(
        make_experiment, n_generations=500, stop_at_baseline=True, mutation_rate=0.1
    )
    experiment = Experiment.objects.get()
    baseline = Evaluation.objects.get(rule__expressions=["v*s"])
    worse = Evaluation.objects.get(rule__expressions=["v*s + 10"])
    fitness = [champion[2] for champion in run["champions"]]
    bar = fitness_of(baseline)
    assert fitness_of(worse) < bar
    assert run["state"][1] == StopReason.TARGET
    assert fitness[-1] >= bar > fitness[-2]
    assert baseline.context.seed == experiment.seed


def test_a_baseline_that_fails_stops_no_run(
    make_experiment: MakeExperiment, faulty_task: type[FaultyTask]
) -> None:
    faulty_task.baselines = (BaselineRule("broken", ("v/(u - u)",), "none"),)
    (run,) = finished_history(make_experiment, n_generations=5, stop_at_baseline=True)
    assert run["state"] == ("finished", StopReason.GENERATIONS, 5)


def test_baselines_are_simulated_once_for_all_runs(make_experiment: MakeExperiment) -> None:
    plain = finished_history(make_experiment, n_runs=2, n_generations=8)
    forget_everything()
    assert (
        finished_history(make_experiment, n_runs=2, n_generations=8, stop_at_baseline=True) == plain
    )
    assert Evaluation.objects.filter(rule__expressions=["(v - u)*s"]).count() == 1


def test_runs_that_stop_at_the_baseline_wait_for_it(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment(n_generations=2, stop_at_baseline=True)
    launch(experiment)
    claims = claim_all(experiment, "another")
    baseline = Evaluation.objects.get(rule__expressions=["(v - u)*s"])
    others = [claim.evaluation_id for claim in claims if claim.evaluation_id != baseline.pk]
    claiming.release(others, "another", count_attempt=False)
    work_until_idle(worker="test")
    run = Run.objects.get()
    assert run.state == ExperimentState.RUNNING
    assert not run.generations.exists()
    claiming.release([baseline.pk], "another", count_attempt=False)
    work_until_idle(worker="test")
    assert Run.objects.get().state == ExperimentState.FINISHED
