"""Workers that are lost, and databases that go away, change no history."""

from __future__ import annotations

import os
import platform
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from evolution.enums import EvaluationState, ExperimentState
from evolution.models import Demand, Evaluation, Worker
from evolution.services import book, claiming, closing, work, workers
from evolution.services.generations import Step, advance
from evolution.services.setups import load_setup
from simulations.learning_tasks import Aggregate
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
    finished_history,
    forget_everything,
    let_leases_end,
)

if TYPE_CHECKING:
    pass


pytestmark = pytest.mark.django_db(transaction=True)


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
