"""Experiments that run in the test's own process, and what can befall them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from evolution.enums import ExperimentState
from evolution.models import Evaluation, Experiment
from evolution.services import claiming, control
from evolution.services.generations import Step, advance
from evolution.services.setups import load_setup
from tests.evolution.conftest import history, launch, work_until_idle
from tests.evolution.regression_task import RegressionTask

if TYPE_CHECKING:
    from evolution.services.claiming import Claim
    from nest_build.rules import PlasticityRule
    from simulations.learning_tasks import TrialResult
    from simulations.parameters import TaskParameters


MakeExperiment = Callable[..., Experiment]


def finished(make_experiment: MakeExperiment, **changes: Any) -> Experiment:
    experiment = make_experiment(**changes)
    launch(experiment)
    work_until_idle()
    experiment.refresh_from_db()
    assert experiment.state == ExperimentState.FINISHED
    return experiment


def finished_history(make_experiment: MakeExperiment, **changes: Any) -> list[Any]:
    return history(finished(make_experiment, **changes))


def forget_everything() -> None:
    for experiment in Experiment.objects.all():
        control.delete_experiment(experiment)
    Evaluation.objects.all().delete()


def claim_all(experiment: Experiment, worker: str) -> list[Claim]:
    """Ask for what all runs need, and claim it."""
    setup = load_setup(experiment.pk)
    for run in experiment.runs.all():
        assert advance(setup, run.pk) is Step.ASKING
    return claiming.claim(
        claiming.open_demands(setup.demands(), worker),
        setup.learning_task.signature,
        worker=worker,
        choose=list,
        time_limit_s=lambda n: 60.0,
    )


def let_leases_end() -> None:
    Evaluation.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))


class FaultyTask(RegressionTask):
    """Fails where a rule holds a sign that stands for trouble, as often as ``n_faults`` says."""

    fault: BaseException = RuntimeError("the solver diverged")
    n_faults: int = 10**9
    batches: list[int]

    def simulate_trial(
        self,
        rules: Sequence[PlasticityRule],
        parameters: TaskParameters,
        *,
        seed: int,
        trial: int = 0,
        record_traces: bool = False,
    ) -> list[TrialResult]:
        type(self).batches.append(len(rules))
        if type(self).n_faults > 0 and any("/" in text for rule in rules for text in rule.texts):
            type(self).n_faults -= 1
            raise self.fault
        return super().simulate_trial(
            rules, parameters, seed=seed, trial=trial, record_traces=record_traces
        )
