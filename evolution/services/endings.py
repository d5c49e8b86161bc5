"""Endings: how runs, and with the last of them experiments, come to a final state."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from evolution import events
from evolution.enums import ExperimentState, StopReason
from evolution.models import Experiment, Run


def end_run(run: Run, state: ExperimentState, reason: StopReason, detail: str = "") -> None:
    """End a run whose row the caller's transaction has locked; end its experiment with the last.

    The row is saved with everything that the engine and the caller changed.
    """
    now = timezone.now()
    run.state = state
    run.stop_reason = reason
    run.detail = detail
    run.pending_generation = None
    run.finished_at = run.last_progress_at = now
    run.save(
        update_fields=[
            "state",
            "stop_reason",
            "detail",
            "pending_generation",
            "finished_at",
            "last_progress_at",
            "engine_state",
            "n_generations_done",
            "champion",
            "champion_fitness",
        ]
    )
    # The lock makes two runs that end at the same moment see each other.
    experiment = Experiment.objects.select_for_update().get(pk=run.experiment_id)
    states = set(experiment.runs.values_list("state", flat=True))
    if experiment.state == ExperimentState.RUNNING and all(
        ExperimentState(state).is_final for state in states
    ):
        experiment.state = _state_of(states)
        experiment.finished_at = now
        experiment.save(update_fields=["state", "finished_at"])
    announce_state_on_commit(experiment.pk)


def fail_run(run_id: int, detail: str) -> None:
    """End a run that cannot go on, with the reason for people to read."""
    with transaction.atomic():
        run = (
            Run.objects.select_for_update().filter(pk=run_id, state=ExperimentState.RUNNING).first()
        )
        if run is not None:
            end_run(run, ExperimentState.FAILED, StopReason.ERROR, detail)


def announce_state_on_commit(experiment_id: int) -> None:
    """Tell open pages where an experiment stands, once the transaction is committed."""
    transaction.on_commit(lambda: _announce_state(experiment_id), robust=True)


def _announce_state(experiment_id: int) -> None:
    from evolution.selectors import experiment_message

    experiment = Experiment.objects.get(pk=experiment_id)
    events.announce_state(experiment_id, experiment_message(experiment))


def _state_of(states: set[str]) -> ExperimentState:
    for state in (ExperimentState.FAILED, ExperimentState.STOPPED):
        if state in states:
            return state
    return ExperimentState.FINISHED
