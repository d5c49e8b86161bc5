"""Slices of work: one history, whatever happens to rules and machines."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.utils import timezone

from evolution.enums import EvaluationState, ExperimentState, StopReason
from evolution.models import Evaluation, Experiment, Worker
from evolution.services import claiming, work, workers
from tests.evolution.conftest import (
    CountingCourier,
    history,
    launch,
    work_for_a_moment,
    work_until_idle,
)
from tests.evolution.services.working import (
    FaultyTask,
    MakeExperiment,
    claim_all,
    finished,
    finished_history,
    forget_everything,
    let_leases_end,
)

if TYPE_CHECKING:
    pass


pytestmark = pytest.mark.django_db(transaction=True)


# --- one history ----------------------------------------------------------------------------------


def test_history_does_not_depend_on_slices_batches_and_workers(
    make_experiment: MakeExperiment,
) -> None:
    reference = finished_history(make_experiment, n_runs=2)
    forget_everything()
    # Slices so short that each does one thing, batches of one rule, workers in turn.
    experiment = make_experiment(n_runs=2)
    launch(experiment)
    n_slices = 0
    while work.work(
        worker=f"worker {n_slices % 3}", courier=CountingCourier(), n_workers=8, slice_s=0.0
    ):
        n_slices += 1
    assert history(experiment) == reference
    assert n_slices > 10


def test_threads_that_work_on_the_same_runs_write_the_same_history(
    make_experiment: MakeExperiment,
) -> None:
    reference = finished_history(make_experiment, n_runs=2, n_generations=8)
    forget_everything()
    experiment = make_experiment(n_runs=2, n_generations=8)
    launch(experiment)
    errors: list[BaseException] = []

    def toil(name: str) -> None:
        try:
            for _ in range(2000):
                work.work(worker=name, courier=CountingCourier(), n_workers=2, slice_s=0.01)
                state = Experiment.objects.values_list("state", flat=True).get(pk=experiment.pk)
                if ExperimentState(state).is_final:
                    return
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=toil, args=(f"worker {n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert history(experiment) == reference


def test_one_simulation_serves_all_runs_of_an_experiment(
    make_experiment: MakeExperiment, faulty_task: type[FaultyTask]
) -> None:
    faulty_task.n_faults = 0
    launch(make_experiment(n_runs=5, n_generations=3, mutation_rate=0.3))
    work_until_idle()
    # Five runs with four parents each, and the baseline, in the three trials of generation 0.
    assert faulty_task.batches[0] > 12
    assert len(faulty_task.batches) <= 4 * 3 * 2


def test_experiments_take_turns(make_experiment: MakeExperiment) -> None:
    first, second = (make_experiment(n_generations=100_000, seed=seed) for seed in (1, 2))
    launch(first)
    launch(second)
    for _ in range(6):
        work_for_a_moment()
    done = [experiment.runs.get().n_generations_done for experiment in (first, second)]
    assert min(done) > 0


# --- rules and machines that fail -----------------------------------------------------------------


def test_a_rule_that_always_fails_is_given_up_alone(
    make_experiment: MakeExperiment, faulty_task: type[FaultyTask]
) -> None:
    finished(make_experiment, n_generations=20)
    failed = Evaluation.objects.exclude(reason="")
    assert failed.exists()
    for evaluation in failed.select_related("rule"):
        assert "/" in str(evaluation.rule)
        assert evaluation.reason == "error"
        assert "the solver diverged" in evaluation.detail
        assert set(evaluation.individuals.values_list("fitness", "outcome")) == {(None, "error")}
    for evaluation in Evaluation.objects.filter(reason="").select_related("rule"):
        assert evaluation.state == EvaluationState.DONE
        assert "/" not in str(evaluation.rule)


def test_a_passing_fault_changes_nothing(
    make_experiment: MakeExperiment, faulty_task: type[FaultyTask]
) -> None:
    faulty_task.n_faults = 1
    history_with_faults = finished_history(make_experiment, n_generations=20)
    assert faulty_task.n_faults == 0
    forget_everything()
    assert finished_history(make_experiment, n_generations=20) == history_with_faults


@pytest.mark.parametrize("fault", [ImportError("no module named nest"), MemoryError("no memory")])
def test_a_machine_that_cannot_simulate_fails_the_experiment_and_blames_no_rule(
    make_experiment: MakeExperiment, faulty_task: type[FaultyTask], fault: Exception
) -> None:
    faulty_task.fault = fault
    experiment = make_experiment(n_generations=50)
    launch(experiment)
    work_until_idle()
    run = experiment.runs.get()
    assert (run.state, run.stop_reason) == (ExperimentState.FAILED, StopReason.ERROR)
    assert str(fault) in run.detail
    experiment.refresh_from_db()
    assert experiment.state == ExperimentState.FAILED
    assert not Evaluation.objects.exclude(reason="").exists()
    assert not Evaluation.objects.filter(state=EvaluationState.CLAIMED).exists()


def test_an_interrupted_simulation_is_released_at_once(
    make_experiment: MakeExperiment, faulty_task: type[FaultyTask]
) -> None:
    faulty_task.fault = KeyboardInterrupt()
    launch(make_experiment(n_generations=50))
    with pytest.raises(KeyboardInterrupt):
        work_until_idle()
    assert not Evaluation.objects.filter(state=EvaluationState.CLAIMED).exists()
    assert not Evaluation.objects.filter(attempts__gt=0, state=EvaluationState.PENDING).exists()


@pytest.mark.parametrize(("deadline_in_s", "reason"), [(None, "crash"), (-1, "time limit")])
def test_a_rule_whose_workers_are_lost_again_and_again_is_given_up(
    make_experiment: MakeExperiment, deadline_in_s: float | None, reason: str
) -> None:
    experiment = make_experiment(n_generations=3)
    launch(experiment)
    poison = claim_all(experiment, "lost")[0].evaluation_id
    Evaluation.objects.filter(pk=poison).update(
        attempts=claiming.MAX_ATTEMPTS,
        deadline_at=deadline_in_s and timezone.now() + timedelta(seconds=deadline_in_s),
    )
    let_leases_end()
    work_until_idle()
    record = Evaluation.objects.get(pk=poison)
    assert (record.state, record.reason) == (EvaluationState.DONE, reason)
    assert "2 workers" in record.detail
    experiment.refresh_from_db()
    assert experiment.state == ExperimentState.FINISHED
    assert Evaluation.objects.exclude(reason__in=["", "not finite"]).count() == 1


# --- who works ------------------------------------------------------------------------------------


def test_the_sweeper_wakes_workers_where_something_is_to_be_done(
    make_experiment: MakeExperiment, courier: CountingCourier
) -> None:
    experiment = make_experiment()
    assert workers.sweep(courier) == 0
    launch(experiment)
    # A run that waits for nothing, and nobody who is known to be there.
    assert workers.sweep(courier) == 1
    assert courier.n_asked == 1
    claim_all(experiment, "alive")
    assert workers.sweep(courier) == 0
    let_leases_end()
    Worker.objects.create(name="a", host="h")
    Worker.objects.create(name="b", host="h")
    Worker.objects.create(name="c", host="h", is_busy=True)
    assert workers.sweep(courier) == 1
    assert courier.n_asked == 1 + 2
    Worker.objects.update(is_busy=True)
    # Whoever is busy looks around afterwards, unless it is lost.
    workers.sweep(courier)
    assert courier.n_asked == 1 + 2 + 1
    Worker.objects.update(heard_at=timezone.now() - timedelta(hours=1))
    assert workers.sweep(courier) == 1
    assert courier.n_asked == 1 + 2 + 1 + 1
    assert not Worker.objects.exists()


def test_workers_tell_what_they_do(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment(n_generations=2)
    launch(experiment)
    name = workers.own_name()
    work.work(worker="w", courier=CountingCourier(), name=name)
    worker = Worker.objects.get()
    assert (worker.name, worker.experiment, worker.is_busy) == (name, experiment, False)
    assert list(Worker.objects.idle()) == [worker]
    workers.report(name, is_busy=True)
    assert not Worker.objects.idle().exists()
    assert Worker.objects.alive().exists()
    workers.leave(name)
    assert not Worker.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_who_has_left_gives_no_sign_of_life() -> None:
    workers.stay(interval_s=0.01)
    first = Worker.objects.get(name=workers.own_name()).heard_at
    give_up_at = time.monotonic() + 20
    while Worker.objects.get().heard_at == first:
        assert time.monotonic() < give_up_at
    workers.leave(workers.own_name())
    time.sleep(0.1)
    assert not Worker.objects.exists()


def test_what_one_worker_leaves_is_offered_to_others(
    make_experiment: MakeExperiment, courier: CountingCourier
) -> None:
    experiment = make_experiment(n_generations=1, delay_ms=30.0, mutation_rate=0.5)
    launch(experiment)
    # One worker has to do everything itself, one batch after the other.
    work.work(worker="one", courier=courier, n_workers=2, slice_s=60.0)
    assert experiment.runs.get().state == ExperimentState.FINISHED
    assert courier.n_asked > 0
