"""Saving runs, and how runs, and with the last of them experiments, come to a final state."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from evolution import events
from evolution.enums import ExperimentState, StopReason
from evolution.models import Demand, Experiment, Run
from evolution.prepared import PreparedUpdate, number_places

# What the engine and the completion of a generation change.
_PROGRESS = (
    "engine_state",
    "pending",
    "n_generations_done",
    "champion_id",
    "champion_fitness",
    "improved_at_generation",
    "n_evaluations",
    "n_cached",
    "n_pruned",
    "simulated_s",
    "saved_s",
    "last_progress_at",
)


def save_run(run: Run, **changes: Any) -> bool:
    """Save the progress of a running run, unless somebody else has changed it since it was read.

    Returns
    -------
    bool
        False if somebody was faster; nothing is saved then.
    """
    names = (*_PROGRESS, *changes)
    values = [changes.get(name, getattr(run, name)) for name in names]
    pk, version = number_places(2)
    return _saving(names).update(values, {pk: run.pk, version: run.version}) == 1


@lru_cache(maxsize=8)
def _saving(names: tuple[str, ...]) -> PreparedUpdate:
    pk, version = number_places(2)
    current = Run.objects.running().filter(pk=pk, version=version)
    return PreparedUpdate(current, names, {"version": F("version") + 1})


def end_run(run: Run, state: ExperimentState, reason: StopReason) -> bool:
    """End a running run in the caller's transaction; end its experiment with the last one.

    Returns
    -------
    bool
        False if somebody was faster; nothing is saved then.
    """
    now = timezone.now()
    run.last_progress_at = now
    if not save_run(run, state=state, stop_reason=reason, finished_at=now):
        return False
    _end_experiment_with_last_run(run.experiment_id)
    return True


def fail_run(run_id: int, detail: str) -> None:
    """End a run that cannot go on, with the reason for people to read."""
    _fail(Run.objects.filter(pk=run_id), detail)


def fail_experiment(experiment_id: int, detail: str) -> None:
    """End all runs of an experiment that cannot go on, with the reason for people to read."""
    _fail(Run.objects.filter(experiment_id=experiment_id), detail)


def _fail(runs: Any, detail: str) -> None:
    with transaction.atomic():
        experiment_ids = set(runs.running().values_list("experiment_id", flat=True))
        runs.running().update(
            state=ExperimentState.FAILED,
            stop_reason=StopReason.ERROR,
            detail=detail,
            finished_at=timezone.now(),
        )
        for experiment_id in experiment_ids:
            _end_experiment_with_last_run(experiment_id)


def _end_experiment_with_last_run(experiment_id: int) -> None:
    # The lock makes two runs that end at the same moment see each other.
    experiment = Experiment.objects.select_for_update().get(pk=experiment_id)
    state = ExperimentState.of_runs(experiment.runs.values_list("state", flat=True))
    if experiment.state == ExperimentState.RUNNING and state.is_final:
        experiment.state = state
        experiment.finished_at = timezone.now()
        experiment.save(update_fields=["state", "finished_at"])
        Demand.objects.filter(experiment=experiment).delete()
    announce_state_on_commit(experiment.pk)


def announce_state_on_commit(experiment_id: int) -> None:
    """Tell open pages where an experiment stands, once the transaction is committed."""
    transaction.on_commit(lambda: _announce_state(experiment_id), robust=True)


def _announce_state(experiment_id: int) -> None:
    from evolution.selectors import experiment_message

    experiment = Experiment.objects.get(pk=experiment_id)
    events.announce_state(experiment_id, experiment_message(experiment))
