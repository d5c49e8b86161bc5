from __future__ import annotations

import os
import platform
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from evolution.enums import EvaluationState, ExperimentState, StopReason
from evolution.models import Demand, Evaluation, Experiment, Run, Worker
from evolution.services import book, claiming, closing, control, work, workers
from evolution.services.generations import Step, advance
from evolution.services.judgement import judge
from evolution.services.setups import load_setup
from simulations import learning_tasks
from simulations.learning_tasks import Aggregate, BaselineRule
from tests.evolution import regression_task
from tests.evolution.conftest import (
    CountingCourier,
    history,
    launch,
    work_for_a_moment,
    work_until_idle,
)
from tests.evolution.regression_task import RegressionTask

if TYPE_CHECKING:
    from evolution.services.claiming import Claim
    from nest_build.rules import PlasticityRule
    from simulations.learning_tasks import TrialResult
    from simulations.parameters import TaskParameters

pytestmark = pytest.mark.django_db(transaction=True)

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


@pytest.fixture
def faulty_task(monkeypatch: pytest.MonkeyPatch) -> type[FaultyTask]:
    task = type("FaultyTaskOfThisTest", (FaultyTask,), {"batches": []})
    monkeypatch.setitem(globals(), "TaskOfThisTest", task)
    monkeypatch.setitem(
        learning_tasks._REGISTRY, regression_task.NAME, f"{__name__}:TaskOfThisTest"
    )
    learning_tasks.get_learning_task.cache_clear()
    return task


# --- one history --------------------------------------------------------------------------------


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


# --- lost workers -------------------------------------------------------------------------------


def test_a_lost_worker_changes_nothing(make_experiment: MakeExperiment) -> None:
    reference = finished_history(make_experiment)
    forget_everything()
    experiment = make_experiment()
    launch(experiment)
    # This worker claims everything and is never heard of again.
    assert claim_all(experiment, "lost")
    assert work_until_idle(worker="other") == 0
    assert not experiment.runs.get().generations.exists()
    let_leases_end()
    work_until_idle(worker="other")
    assert history(experiment) == reference


@pytest.fixture(params=["forgotten", "zombie"])
def ended_process(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has ended; its parent, this process, has asked for it or not yet."""
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    if request.param == "forgotten":
        process.wait()
    yield process
    process.wait()


def test_what_a_killed_process_of_this_computer_held_is_free_at_once(
    make_experiment: MakeExperiment,
    courier: CountingCourier,
    ended_process: subprocess.Popen[bytes],
) -> None:
    process = ended_process
    reference = finished_history(make_experiment)
    forget_everything()
    experiment = make_experiment()
    launch(experiment)
    host = workers.claim_name().rpartition(":")[0]
    claims = claim_all(experiment, f"{host}:{process.pid}")
    for name in (workers.claim_name(), f"{uuid.uuid4().hex} elsewhere:{process.pid}", "test"):
        Evaluation.objects.update(claimed_by=name)
        workers.free_claims_of_the_dead(courier)
        assert courier.n_asked == 0
    Evaluation.objects.update(claimed_by=f"{host}:{process.pid}")
    node, living = platform.node(), workers.own_name()
    Worker.objects.create(name=f"{node}:{process.pid}:{process.pid}", host=node)
    Worker.objects.create(name=f"elsewhere:{process.pid}:{process.pid}", host="elsewhere")
    workers.rest(living)
    workers.free_claims_of_the_dead(courier)
    assert courier.n_asked == len(claims)
    assert set(Worker.objects.values_list("host", flat=True)) == {node, "elsewhere"}
    assert Worker.objects.get(host=node).name == living
    work_until_idle(worker="other")
    assert history(experiment) == reference


def test_a_worker_that_is_told_to_end_keeps_what_it_has(
    make_experiment: MakeExperiment, courier: CountingCourier, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = make_experiment(n_trials=5)
    launch(experiment)
    claims = claim_all(experiment, "told")
    monkeypatch.setattr(closing, "_memory", None)
    closing.prepare()
    closing.begin()
    a_slice = work._Slice(load_setup(experiment.pk), "told", courier, n_workers=1, name=None)
    a_slice._evaluate(claims)
    assert courier.n_asked == 1
    for evaluation in Evaluation.objects.filter(reason=""):
        assert (evaluation.state, evaluation.attempts) == (EvaluationState.PENDING, 0)
        assert evaluation.n_trials_done == 1
    monkeypatch.setattr(closing, "_memory", None)
    work_until_idle(worker="other")
    assert experiment.runs.get().state == ExperimentState.FINISHED


def test_a_run_whose_rule_was_lost_goes_on_beside_another_one(
    make_experiment: MakeExperiment,
) -> None:
    """The other run always has new rules that nobody suspects."""
    experiment = make_experiment(n_runs=2, n_generations=1000)
    launch(experiment)
    claim_all(experiment, "lost")
    let_leases_end()
    first, second = experiment.runs.order_by("index")
    of_first = Demand.objects.filter(run=first).values("evaluation")
    Evaluation.objects.filter(pk__in=of_first).update(attempts=0)
    assert Evaluation.objects.filter(attempts=1, demands__run=second).exists()
    while not first.generations.filter(index__gte=5).exists():
        work_for_a_moment()
    assert second.generations.filter(index__gte=1).exists()


def test_a_database_that_went_away_is_no_sign_of_bad_rules(
    make_experiment: MakeExperiment, faulty_task: type[FaultyTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slice cannot give back what it held; the next one of the same process does."""
    has_gone = threading.Event()

    def answer(execute: Callable[..., Any], *arguments: Any) -> Any:
        if has_gone.is_set():
            raise OperationalError("the server closed the connection unexpectedly")
        return execute(*arguments)

    def simulate_trial(*arguments: Any, **options: Any) -> Any:
        has_gone.set()
        raise OperationalError("the server closed the connection unexpectedly")

    experiment = make_experiment(n_generations=3)
    launch(experiment)
    for _ in range(claiming.MAX_ATTEMPTS + 1):
        with monkeypatch.context() as patch, connection.execute_wrapper(answer):
            patch.setattr(faulty_task, "simulate_trial", simulate_trial)
            with pytest.raises(OperationalError):
                work_until_idle(worker=uuid.uuid4().hex)
        has_gone.clear()
        assert Evaluation.objects.filter(state=EvaluationState.CLAIMED).exists()
    claiming.give_back_stranded()
    assert not Evaluation.objects.filter(state=EvaluationState.CLAIMED).exists()
    assert not Evaluation.objects.filter(attempts__gt=0).exists()
    faulty_task.n_faults = 0
    work_until_idle()
    with_outages = history(experiment)
    forget_everything()
    assert with_outages == finished_history(make_experiment, n_generations=3)


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(hours=-1)])
def test_leases_survive_a_jump_of_the_clock(
    make_experiment: MakeExperiment, jump: timedelta
) -> None:
    """A lost worker's lease was given before the clock jumped: nobody waits for hours."""
    reference = finished_history(make_experiment)
    forget_everything()
    experiment = make_experiment()
    launch(experiment)
    claim_all(experiment, "lost")
    Evaluation.objects.update(lease_expires_at=timezone.now() - jump)
    work_until_idle(worker="other")
    assert history(experiment) == reference


def test_a_run_that_waits_for_the_evaluation_of_another_experiment_is_woken(
    make_experiment: MakeExperiment, courier: CountingCourier
) -> None:
    first, second = make_experiment(seed=4), make_experiment(seed=4)
    launch(first)
    launch(second)
    claims = claim_all(first, "one")
    setup = load_setup(second.pk)
    assert advance(setup, second.runs.get().pk) is Step.ASKING
    assert work_until_idle(worker="two") == 0
    a_slice = work._Slice(load_setup(first.pk), "one", courier, n_workers=1, name=None)
    a_slice._evaluate(claims)
    assert courier.n_asked == 0
    assert a_slice._runs_to_advance(claims) == [first.runs.get().pk]
    assert courier.n_asked == 1
    assert advance(setup, second.runs.get().pk) is not Step.WAITING


def test_results_of_trials_are_kept_when_a_worker_is_lost(
    make_experiment: MakeExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was simulated before the loss is not simulated again."""
    monkeypatch.setattr(book, "RECORD_INTERVAL_S", 0.0)
    experiment = make_experiment(n_trials=5)
    launch(experiment)
    claims = claim_all(experiment, "lost")
    setup = load_setup(experiment.pk)
    results = book.Book(claims, "lost", Aggregate.MEAN)
    trials = work.evaluate_by_trial(
        setup.learning_task,
        [claim.rule for claim in claims],
        setup.task_parameters,
        seed=setup.trial_seed,
        trials=range(5),
    )
    for _ in range(2):
        assert results.enter(next(trials)) == set()
    let_leases_end()
    known = {e.pk: (e.trials, e.seconds) for e in Evaluation.objects.all()}
    assert {len(values) for values, _ in known.values()} == {2}
    work_until_idle(worker="other")
    for pk, (values, _) in known.items():
        evaluation = Evaluation.objects.get(pk=pk)
        assert evaluation.trials[:2] == values
        assert evaluation.n_trials_done == 5


# --- rules and machines that fail ---------------------------------------------------------------


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


# --- who works ----------------------------------------------------------------------------------


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


# --- baselines ----------------------------------------------------------------------------------


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
