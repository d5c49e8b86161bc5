from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.utils import timezone

from evolution.enums import EvaluationState, ExperimentState, StopReason
from evolution.models import Evaluation, Experiment, Individual, Run
from evolution.services import evaluations, experiments, generations, work
from evolution.services.couriers import InlineCourier
from simulations import learning_tasks
from simulations.learning_tasks import Aggregate, BaselineRule
from tests.evolution import regression_task
from tests.evolution.conftest import history, work_until_idle
from tests.evolution.regression_task import RegressionTask

if TYPE_CHECKING:
    from nest_build.rules import PlasticityRule
    from simulations.learning_tasks import TrialResult
    from simulations.parameters import TaskParameters

pytestmark = pytest.mark.django_db(transaction=True)

MakeExperiment = Callable[..., Experiment]


def finished_history(make_experiment: MakeExperiment, **changes: Any) -> list[Any]:
    courier = InlineCourier()
    experiment = make_experiment(**changes)
    experiments.launch_experiment(experiment, courier=courier)
    work_until_idle(courier)
    experiment.refresh_from_db()
    assert experiment.state == ExperimentState.FINISHED
    return history(experiment)


def forget_everything() -> None:
    Individual.objects.all().delete()
    Evaluation.objects.all().delete()


class FaultyTask(RegressionTask):
    """Fails where a rule holds a sign that stands for trouble, as often as ``n_faults`` says."""

    fault: Exception = RuntimeError("the solver diverged")
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


@pytest.fixture
def faulty_task(monkeypatch: pytest.MonkeyPatch) -> type[FaultyTask]:
    task = type("FaultyTaskOfThisTest", (FaultyTask,), {"batches": []})
    monkeypatch.setitem(globals(), "TaskOfThisTest", task)
    monkeypatch.setitem(
        learning_tasks._REGISTRY, regression_task.NAME, f"{__name__}:TaskOfThisTest"
    )
    learning_tasks.get_learning_task.cache_clear()
    return task


def test_history_does_not_depend_on_slices_batches_and_workers(
    make_experiment: MakeExperiment,
) -> None:
    reference = finished_history(make_experiment, n_runs=2)
    forget_everything()

    # Slices so short that each does one thing, batches of one rule, workers in turn.
    courier = InlineCourier()
    experiment = make_experiment(n_runs=2)
    experiments.launch_experiment(experiment, courier=courier)
    n_slices = 0
    while (run_id := courier.next()) is not None:
        work.work_on_run(
            run_id, worker=f"worker {n_slices % 3}", courier=courier, n_workers=8, slice_s=0.0
        )
        n_slices += 1
    assert history(experiment) == reference
    assert n_slices > 20


def test_threads_that_work_on_the_same_runs_write_the_same_history(
    make_experiment: MakeExperiment,
) -> None:
    reference = finished_history(make_experiment, n_runs=2, n_generations=8)
    forget_everything()
    courier = InlineCourier()
    experiment = make_experiment(n_runs=2, n_generations=8)
    experiments.launch_experiment(experiment, courier=courier)
    run_ids = list(experiment.runs.values_list("pk", flat=True))
    errors: list[BaseException] = []

    def toil(name: str) -> None:
        try:
            for _ in range(200):
                for run_id in run_ids:
                    work.work_on_run(
                        run_id, worker=name, courier=courier, n_workers=2, slice_s=0.01
                    )
                experiment_now = Experiment.objects.get(pk=experiment.pk)
                if ExperimentState(experiment_now.state).is_final:
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


def test_a_lost_worker_changes_nothing(make_experiment: MakeExperiment) -> None:
    reference = finished_history(make_experiment)
    forget_everything()
    courier = InlineCourier()
    experiment = make_experiment()
    experiments.launch_experiment(experiment, courier=courier)
    run_id = courier.next()
    # This worker claims everything and is never heard of again.
    setup = generations.load_setup(run_id)
    step = generations.advance(setup, worker="lost", batch_size=lambda n: n)
    assert step.claims
    work.work_on_run(run_id, worker="other", courier=courier, n_workers=1)
    assert courier.next() is None
    assert not experiment.runs.get().generations.exists()
    Evaluation.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    courier.queue(run_id)
    work_until_idle(courier, worker="other")
    assert history(experiment) == reference


def test_a_run_that_waits_for_the_evaluation_of_another_is_woken(
    make_experiment: MakeExperiment,
) -> None:
    courier = InlineCourier()
    first, second = make_experiment(seed=4), make_experiment(seed=4)
    for experiment in (first, second):
        experiments.launch_experiment(experiment, courier=courier)
    first_run, second_run = courier.next(), courier.next()
    setup = generations.load_setup(first_run)
    step = generations.advance(setup, worker="one", batch_size=lambda n: n)
    work.work_on_run(second_run, worker="two", courier=courier, n_workers=1)
    assert courier.next() is None
    work._Slice(setup, "one", courier, n_workers=1)._evaluate(step.claims)
    assert courier.next() == second_run


def test_a_rule_that_always_fails_is_given_up_alone(
    make_experiment: MakeExperiment, faulty_task: type[FaultyTask]
) -> None:
    finished_history(make_experiment, n_generations=20)
    failed = Evaluation.objects.exclude(reason="")
    assert failed.exists()
    for evaluation in failed.select_related("rule"):
        assert "/" in str(evaluation.rule)
        assert evaluation.reason == "error"
        assert "the solver diverged" in evaluation.detail
        assert evaluation.attempts == evaluations.MAX_ATTEMPTS
        assert set(evaluation.individuals.values_list("fitness", flat=True)) == {None}
    for evaluation in Evaluation.objects.filter(reason="").select_related("rule"):
        assert evaluation.state == EvaluationState.DONE
        assert "/" not in str(evaluation.rule)


def test_a_passing_fault_changes_nothing(
    make_experiment: MakeExperiment, faulty_task: type[FaultyTask]
) -> None:
    faulty_task.n_faults = 2
    history_with_faults = finished_history(make_experiment, n_generations=20)
    assert faulty_task.n_faults == 0
    forget_everything()
    assert finished_history(make_experiment, n_generations=20) == history_with_faults


@pytest.mark.parametrize("fault", [ImportError("no module named nest"), MemoryError("no memory")])
def test_a_machine_that_cannot_simulate_fails_the_run_and_blames_no_rule(
    make_experiment: MakeExperiment, faulty_task: type[FaultyTask], fault: Exception
) -> None:
    faulty_task.fault = fault
    courier = InlineCourier()
    experiment = make_experiment(n_generations=50)
    experiments.launch_experiment(experiment, courier=courier)
    work_until_idle(courier)
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
    courier = InlineCourier()
    experiments.launch_experiment(make_experiment(n_generations=50), courier=courier)
    with pytest.raises(KeyboardInterrupt):
        work_until_idle(courier)
    assert not Evaluation.objects.filter(state=EvaluationState.CLAIMED).exists()
    assert not Evaluation.objects.filter(attempts__gt=1).exists()


def test_a_rule_whose_workers_are_lost_again_and_again_is_given_up(
    make_experiment: MakeExperiment,
) -> None:
    courier = InlineCourier()
    experiment = make_experiment(n_generations=3)
    experiments.launch_experiment(experiment, courier=courier)
    setup = generations.load_setup(courier.next())
    step = generations.advance(setup, worker="lost", batch_size=lambda n: n)
    poison = step.claims[0].evaluation_id
    Evaluation.objects.filter(pk=poison).update(attempts=evaluations.MAX_ATTEMPTS)
    Evaluation.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    courier.queue(setup.run_id)
    work_until_idle(courier)
    record = Evaluation.objects.get(pk=poison)
    assert (record.state, record.reason) == (EvaluationState.DONE, "crash")
    assert "3 workers" in record.detail
    experiment.refresh_from_db()
    assert experiment.state == ExperimentState.FINISHED
    assert Evaluation.objects.filter(reason="crash").count() == 1


def test_only_the_first_message_with_a_ticket_starts_a_slice(
    make_experiment: MakeExperiment, courier: InlineCourier
) -> None:
    experiment = make_experiment()
    experiments.launch_experiment(experiment, courier=courier)
    run = experiment.runs.get()
    assert work.take_ticket(run.pk, run.ticket)
    assert not work.take_ticket(run.pk, run.ticket)
    assert work.take_ticket(run.pk, run.ticket + 1)
    experiments.stop_experiment(experiment)
    assert not work.take_ticket(run.pk, run.ticket + 2)


def test_runs_without_progress_message_and_lease_are_stale(
    make_experiment: MakeExperiment, courier: InlineCourier
) -> None:
    experiment = make_experiment()
    experiments.launch_experiment(experiment, courier=courier)
    run_id = courier.next()
    long_ago = timezone.now() - timedelta(seconds=work.STALE_S + 1)
    assert work.stale_runs() == []
    Run.objects.update(queued_at=long_ago)
    assert work.stale_runs() == []
    Run.objects.update(last_progress_at=long_ago)
    assert work.stale_runs() == [run_id]
    generations.advance(generations.load_setup(run_id), worker="alive", batch_size=lambda n: n)
    Run.objects.update(last_progress_at=long_ago)
    assert work.stale_runs() == []
    Evaluation.objects.update(lease_expires_at=long_ago)
    assert work.stale_runs() == [run_id]
    experiments.stop_experiment(experiment)
    assert work.stale_runs() == []


@pytest.mark.parametrize(
    ("n_rules", "n_workers", "seconds_of", "expected"),
    [
        (0, 2, lambda n: 1.0 * n, 0),
        (1, 8, lambda n: 1.0 * n, 1),
        # Rules that share nothing are shared out.
        (4, 2, lambda n: 1.0 * n, 2),
        (5, 2, lambda n: 1.0 * n, 3),
        (4, 1, lambda n: 1.0 * n, 4),
        (4, 100, lambda n: 1.0 * n, 1),
        # Where the inputs cost everything, one simulation carries all rules.
        (4, 4, lambda n: 1.0, 4),
        # A simulation that is over before another worker has got the message is not shared.
        (4, 4, lambda n: 0.001 * n, 4),
    ],
)
def test_batch_size(
    n_rules: int, n_workers: int, seconds_of: Callable[[int], float], expected: int
) -> None:
    assert work.batch_size(n_rules, n_workers, seconds_of) == expected


def test_what_one_worker_leaves_is_offered_to_others(make_experiment: MakeExperiment) -> None:
    class OfferBook(InlineCourier):
        offers: list[int]

        def offer(self, run_id: int, n_batches: int) -> None:
            self.offers.append(n_batches)

    courier = OfferBook()
    courier.offers = []
    experiment = make_experiment(n_generations=1, delay_ms=30.0, mutation_rate=0.5)
    experiments.launch_experiment(experiment, courier=courier)
    # One worker has to do everything itself, one batch after the other.
    work.work_on_run(courier.next(), worker="one", courier=courier, n_workers=2, slice_s=60.0)
    assert experiment.runs.get().state == ExperimentState.FINISHED
    assert courier.offers
    assert set(courier.offers) == {1}


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
    bar = baseline.fitness(3, Aggregate.MEAN)
    fitness = [champion[2] for champion in run["champions"]]
    assert worse.fitness(3, Aggregate.MEAN) < bar
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


def test_a_worker_waits_for_the_baseline_that_another_simulates(
    make_experiment: MakeExperiment, courier: InlineCourier
) -> None:
    experiment = make_experiment(n_generations=2, stop_at_baseline=True)
    experiments.launch_experiment(experiment, courier=courier)
    run_id = courier.next()
    setup = generations.load_setup(run_id)
    task = setup.learning_task
    rule = evaluations.canonical_rule(task.signature, task.baselines[0].expressions)
    records = evaluations.get_or_create_rules(task.signature, [rule])
    known, _ = evaluations.get_or_create_evaluations(setup.context, records.values(), 3)
    (claim,) = evaluations.claim(
        list(known.values()),
        {record.pk: rule for record in records.values()},
        n_trials=3,
        worker="another",
        batch_size=1,
    )
    thread = threading.Thread(
        target=lambda: (
            work.work_on_run(run_id, worker="test", courier=courier, n_workers=1),
            connection.close(),
        )
    )
    thread.start()
    thread.join(0.5)
    assert thread.is_alive()
    work._Slice(setup, "another", courier, n_workers=1)._evaluate([claim])
    thread.join(20)
    assert not thread.is_alive()
    work_until_idle(courier)
    assert experiment.runs.get().state == ExperimentState.FINISHED
