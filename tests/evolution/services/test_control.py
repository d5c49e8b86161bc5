from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evolution.enums import ExperimentState, StopReason
from evolution.errors import InvalidExperiment, StateConflict
from evolution.models import (
    Demand,
    Evaluation,
    Experiment,
    Generation,
    Individual,
    LogEntry,
    Rule,
    Run,
)
from evolution.services import control, experiments
from evolution.services.couriers import SilentCourier
from tests.evolution.conftest import (
    CountingCourier,
    history,
    launch,
    work_for_a_moment,
    work_until_idle,
)

if TYPE_CHECKING:
    from django.contrib.auth.models import User

pytestmark = pytest.mark.django_db(transaction=True)

MakeExperiment = Callable[..., Experiment]
SILENT = SilentCourier()


@pytest.fixture
def alice(django_user_model: type[User]) -> User:
    return django_user_model.objects.create_user("alice", password="x")


def finish(experiment: Experiment) -> Experiment:
    work_until_idle()
    experiment.refresh_from_db()
    return experiment


def finished(make_experiment: MakeExperiment, **changes: Any) -> Experiment:
    experiment = make_experiment(**changes)
    launch(experiment)
    finish(experiment)
    assert experiment.state == ExperimentState.FINISHED
    return experiment


def set_state(experiment: Experiment, state: str) -> None:
    Experiment.objects.filter(pk=experiment.pk).update(state=state)
    experiment.runs.update(state=state)
    experiment.refresh_from_db()


# --- pause, resume, stop ------------------------------------------------------------------------


def test_a_paused_experiment_rests_and_goes_on_as_if_nothing_had_happened(
    make_experiment: MakeExperiment,
) -> None:
    reference = history(finished(make_experiment, n_runs=2, n_generations=60))
    experiment = make_experiment(n_runs=2, n_generations=60)
    launch(experiment)
    work_for_a_moment(0.02)
    control.pause_experiment(experiment)
    assert experiment.state == ExperimentState.PAUSED
    before = history(experiment)
    assert work_until_idle() == 0
    assert history(experiment) == before
    control.resume_experiment(experiment, courier=SILENT)
    assert history(finish(experiment)) == reference


def test_a_generation_under_way_is_not_written_after_a_pause(
    make_experiment: MakeExperiment,
) -> None:
    from evolution.services.generations import Step, advance
    from evolution.services.setups import load_setup

    experiment = make_experiment()
    launch(experiment)
    run_id = experiment.runs.get().pk
    setup = load_setup(experiment.pk)
    run = Run.objects.get(pk=run_id)
    control.pause_experiment(experiment)
    assert advance(setup, run_id) is Step.OVER
    # The worker had read the run before the pause, and has resumed after it.
    control.resume_experiment(experiment, courier=SILENT)
    assert run.version < Run.objects.get(pk=run_id).version


def test_time_in_a_pause_does_not_count(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment(n_generations=100_000, max_wall_time_s=3600.0)
    launch(experiment)
    work_for_a_moment()
    control.pause_experiment(experiment)
    two_hours = timedelta(hours=2)
    run = experiment.runs.get()
    Run.objects.update(started_at=run.started_at - two_hours, paused_at=run.paused_at - two_hours)
    control.resume_experiment(experiment, courier=SILENT)
    work_for_a_moment()
    run = experiment.runs.get()
    assert run.state == ExperimentState.RUNNING
    assert run.paused_s == pytest.approx(7200, abs=5)
    Run.objects.update(started_at=run.started_at - timedelta(hours=1))
    work_for_a_moment()
    assert experiment.runs.get().stop_reason == StopReason.WALL_TIME


def test_a_stopped_experiment_keeps_what_it_found(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment(n_generations=100_000, n_runs=2)
    launch(experiment)
    for _ in range(4):
        work_for_a_moment()
    control.stop_experiment(experiment)
    assert experiment.state == ExperimentState.STOPPED
    for run in experiment.runs.all():
        assert (run.state, run.stop_reason) == (ExperimentState.STOPPED, StopReason.STOPPED)
        assert run.finished_at == experiment.finished_at
        assert run.generations.count() == run.n_generations_done + 1
    assert not Demand.objects.exists()
    before = history(experiment)
    assert work_until_idle() == 0
    assert history(experiment) == before


def test_a_failed_experiment_can_be_resumed(make_experiment: MakeExperiment) -> None:
    from evolution.services import endings

    reference = history(finished(make_experiment, n_runs=2))
    experiment = make_experiment(n_runs=2)
    launch(experiment)
    work_for_a_moment(0.01)
    endings.fail_experiment(experiment.pk, "No disk.")
    experiment.refresh_from_db()
    assert experiment.state == ExperimentState.FAILED
    assert set(experiment.runs.values_list("detail", flat=True)) == {"No disk."}
    control.resume_experiment(experiment, courier=SILENT)
    assert history(finish(experiment)) == reference


ALLOWED = {
    "pause": {"running"},
    "resume": {"paused", "failed"},
    "stop": {"running", "paused"},
    "archive": {"created", "paused", "finished", "stopped", "failed", "published", "imported"},
    "delete": {"created", "finished", "stopped", "failed", "published", "imported"},
    "extend": {"running", "paused", "finished"},
}


@pytest.mark.parametrize("state", [state.value for state in ExperimentState])
@pytest.mark.parametrize("verb", ALLOWED)
def test_what_may_be_done_in_which_state(
    make_experiment: MakeExperiment, alice: User, verb: str, state: str
) -> None:
    experiment = make_experiment()
    control.announce(experiment, "launched", by=alice)
    set_state(experiment, state)
    more = {"n_runs": 2} if verb == "extend" else {}
    function = getattr(control, f"{verb}_experiment")
    if state in ALLOWED[verb]:
        function(experiment, **more)
    else:
        with pytest.raises(StateConflict, match=f"it is {state}. It was launched last, by alice."):
            function(experiment, **more)
        assert Experiment.objects.get().state == state
        assert set(experiment.runs.values_list("state", flat=True)) == {state}
        assert experiment.log.count() == 1


def test_of_two_operators_one_wins_and_the_other_is_told(
    make_experiment: MakeExperiment, alice: User
) -> None:
    experiment = make_experiment()
    launch(experiment)
    outcomes: list[str] = []
    start = threading.Barrier(4)

    def operate() -> None:
        own = Experiment.objects.get(pk=experiment.pk)
        start.wait()
        try:
            control.stop_experiment(own, by=alice)
            outcomes.append("won")
        except StateConflict as error:
            outcomes.append(str(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=operate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == sorted(
        [
            *["The experiment “Rediscovery” cannot be stopped: it is stopped. "
              "It was stopped last, by alice."] * 3,
            "won",
        ]
    )  # fmt: skip
    assert experiment.log.filter(action="stopped").count() == 1


def test_who_did_what_is_written_down(make_experiment: MakeExperiment, alice: User) -> None:
    experiment = make_experiment()
    experiments.launch_experiment(experiment, by=alice, courier=SILENT)
    control.pause_experiment(experiment, by=alice)
    control.extend_experiment(experiment, n_generations=20, courier=SILENT)
    control.stop_experiment(experiment, by=alice)
    assert list(LogEntry.objects.values_list("action", "user__username", "detail")) == [
        ("stopped", "alice", ""),
        ("extended", None, "to 20 generations and 1 runs"),
        ("paused", "alice", ""),
        ("launched", "alice", ""),
    ]


# --- extend -------------------------------------------------------------------------------------


def test_an_extension_gives_the_history_of_a_longer_launch(
    make_experiment: MakeExperiment, courier: CountingCourier
) -> None:
    reference = history(finished(make_experiment, n_generations=30, n_runs=3))
    experiment = finished(make_experiment, n_generations=12, n_runs=2)
    control.extend_experiment(experiment, n_generations=30, n_runs=3, courier=courier)
    assert courier.n_asked == 3
    assert experiment.state == ExperimentState.RUNNING
    assert history(finish(experiment)) == reference
    assert experiment.state == ExperimentState.FINISHED


def test_a_paused_extension_waits(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment(n_generations=12)
    launch(experiment)
    control.pause_experiment(experiment)
    control.extend_experiment(experiment, n_generations=14, n_runs=2, courier=SILENT)
    assert work_until_idle() == 0
    assert set(experiment.runs.values_list("state", flat=True)) == {"paused"}
    control.resume_experiment(experiment, courier=SILENT)
    finish(experiment)
    assert list(experiment.runs.values_list("n_generations_done", flat=True)) == [14, 14]


def test_runs_that_reached_their_target_stay_as_they_are(make_experiment: MakeExperiment) -> None:
    experiment = finished(make_experiment, n_generations=500, target_fitness=-1.9)
    before = history(experiment)
    with pytest.raises(InvalidExperiment, match="No run can go on"):
        control.extend_experiment(experiment, n_generations=600, courier=SILENT)
    assert history(Experiment.objects.get()) == before
    control.extend_experiment(experiment, n_runs=2, courier=SILENT)
    finish(experiment)
    assert history(experiment)[0] == before[0]
    assert experiment.runs.count() == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "Nothing is added"),
        ({"n_generations": 11}, "cannot be shorter"),
        ({"n_runs": 0}, "cannot be shorter"),
        ({"n_runs": 101}, "at most 100 runs"),
    ],
)
def test_what_is_no_extension_is_refused(
    make_experiment: MakeExperiment, changes: dict[str, int], message: str
) -> None:
    experiment = finished(make_experiment, n_generations=12)
    with pytest.raises(InvalidExperiment, match=message):
        control.extend_experiment(experiment, **changes)
    assert Experiment.objects.get().state == ExperimentState.FINISHED


def test_two_extensions_of_the_same_page_do_not_add_up(make_experiment: MakeExperiment) -> None:
    experiment = finished(make_experiment, n_generations=12)
    stale = Experiment.objects.get()
    control.extend_experiment(experiment, n_generations=20, courier=SILENT)
    with pytest.raises(StateConflict, match="cannot be extended as you asked"):
        control.extend_experiment(stale, n_generations=30, courier=SILENT)
    assert Experiment.objects.get().evolution_parameters["n_generations"] == 20


# --- clone, archive, delete, retry --------------------------------------------------------------


def test_a_clone_has_the_parameters_of_the_original(
    make_experiment: MakeExperiment, alice: User
) -> None:
    experiment = finished(make_experiment, n_runs=2, n_trials=4)
    clone = experiments.clone_experiment(
        experiment, by=alice, changes={"mutation_rate": 0.2, "n_points": 8}, seed=99
    )
    assert clone.state == ExperimentState.CREATED
    assert (clone.name, clone.owner, clone.seed) == ("Rediscovery (copy)", alice, 99)
    assert clone.runs.count() == 2
    assert clone.task_parameters == experiment.task_parameters | {"n_points": 8}
    assert clone.evolution_parameters == experiment.evolution_parameters | {"mutation_rate": 0.2}
    same = experiments.clone_experiment(experiment, by=None, changes={})
    launch(same)
    assert history(finish(same)) == history(experiment)


def test_an_archived_experiment_can_be_taken_out_again(make_experiment: MakeExperiment) -> None:
    experiment = finished(make_experiment)
    control.archive_experiment(experiment)
    assert list(Experiment.objects.archived()) == [experiment]
    assert not Experiment.objects.not_archived().exists()
    with pytest.raises(StateConflict, match="cannot be archived"):
        control.archive_experiment(experiment)
    control.unarchive_experiment(experiment)
    assert list(Experiment.objects.not_archived()) == [experiment]
    with pytest.raises(StateConflict, match="cannot be taken out of the archive"):
        control.unarchive_experiment(experiment)


def test_a_deleted_experiment_leaves_rules_and_evaluations(
    make_experiment: MakeExperiment, django_assert_max_num_queries: Any
) -> None:
    kept, experiment = (finished(make_experiment, n_runs=2) for _ in range(2))
    n_rules, n_evaluations = Rule.objects.count(), Evaluation.objects.count()
    before = history(kept)
    with django_assert_max_num_queries(25):
        control.delete_experiment(experiment)
    assert list(Experiment.objects.all()) == [kept]
    assert history(kept) == before
    kept_runs = set(kept.runs.values_list("pk", flat=True))
    for model in (Individual, Generation):
        assert set(model.objects.values_list("run", flat=True)) == kept_runs
    assert (Rule.objects.count(), Evaluation.objects.count()) == (n_rules, n_evaluations)
    with pytest.raises(StateConflict, match="has been deleted"):
        control.stop_experiment(Experiment(pk=12345, name="Gone"))


def test_failed_evaluations_are_repeated(
    make_experiment: MakeExperiment, courier: CountingCourier
) -> None:
    experiment = finished(make_experiment, n_generations=20, mutation_rate=0.3)
    with pytest.raises(StateConflict, match="can be repeated"):
        control.retry_failures(experiment)
    victim = Individual.objects.filter(outcome="evaluated").first()
    original = victim.evaluation.trials
    Evaluation.objects.filter(pk=victim.evaluation_id).update(
        reason="crash", trials=original[:1], n_trials_done=1, attempts=2
    )
    assert control.retry_failures(experiment, courier=courier) == 1
    assert courier.n_asked == 1
    before = history(experiment)
    work_until_idle()
    evaluation = Evaluation.objects.get(pk=victim.evaluation_id)
    assert (evaluation.trials, evaluation.reason) == (original, "")
    assert history(Experiment.objects.get()) == before


# --- all together -------------------------------------------------------------------------------


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.sampled_from(["pause", "resume", "extend", "work", "work", "fail", "lose"]),
        min_size=4,
        max_size=14,
    )
)
def test_no_sequence_of_interventions_changes_the_history(
    make_experiment: MakeExperiment, interventions: list[str]
) -> None:
    from evolution.services import endings

    for other in Experiment.objects.all():
        set_state(other, "stopped")
        control.delete_experiment(other)
    Evaluation.objects.all().delete()
    experiment = make_experiment(n_generations=6, n_runs=2)
    launch(experiment)
    for intervention in interventions:
        experiment.refresh_from_db()
        try:
            if intervention == "pause":
                control.pause_experiment(experiment)
            elif intervention == "resume":
                control.resume_experiment(experiment, courier=SILENT)
            elif intervention == "extend":
                done = experiment.evolution_parameters["n_generations"]
                control.extend_experiment(experiment, n_generations=done + 2, courier=SILENT)
            elif intervention == "fail":
                endings.fail_run(experiment.runs.first().pk, "broken")
            elif intervention == "lose":
                Evaluation.objects.filter(state="claimed").update(
                    lease_expires_at=timezone.now() - timedelta(seconds=1)
                )
            else:
                work_for_a_moment(0.0)
        except StateConflict:
            pass
    experiment.refresh_from_db()
    if experiment.state in {"paused", "running"}:
        if experiment.state == "running":
            control.pause_experiment(experiment)
        control.resume_experiment(experiment, courier=SILENT)
        finish(experiment)
    if experiment.state == "failed":
        control.resume_experiment(experiment, courier=SILENT)
        finish(experiment)
    assert experiment.state == ExperimentState.FINISHED
    n_generations = experiment.evolution_parameters["n_generations"]
    reference = finished(make_experiment, n_generations=n_generations, n_runs=2)
    assert history(experiment) == history(reference)
