"""What people do to an experiment that was launched: pause, resume, stop, extend, put away, delete.

Every function states in which states it may be called and changes them by a conditional update: of
two people who do something at the same time one wins, and the other is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import F, Max, Min, Q
from django.utils import timezone

from evolution.enums import Action, ExperimentState, StopReason
from evolution.errors import InvalidExperiment, StateConflict
from evolution.models import (
    Demand,
    Evaluation,
    EvaluationContext,
    Experiment,
    Generation,
    Individual,
    Run,
)
from evolution.models.experiment import MAX_RUNS
from evolution.services import audit, endings
from evolution.services.couriers import CeleryCourier
from evolution.services.evaluations import published_digest
from simulations.learning_tasks import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.auth.models import User
    from django.db.models import QuerySet

    from evolution.cgp.parameters import EvolutionParameters
    from evolution.services.couriers import Courier

#: Failures that may pass: another try can have another result.
RETRIABLE = (Reason.TIME_LIMIT, Reason.CRASH, Reason.ERROR)

_LIVE = (ExperimentState.RUNNING, ExperimentState.PAUSED)
_FINAL = tuple(state for state in ExperimentState if state.is_final)
_QUIET = (ExperimentState.CREATED, ExperimentState.PAUSED, *_FINAL)
_RESUMABLE = (ExperimentState.PAUSED, ExperimentState.FAILED)
_EXTENSIBLE = (*_LIVE, ExperimentState.FINISHED)
_DELETABLE = (ExperimentState.CREATED, *_FINAL)


def possible_actions(experiment: Experiment) -> set[str]:
    """Return what the state of an experiment allows: what pages offer."""
    allowed = {
        "launch": (ExperimentState.CREATED,),
        "pause": (ExperimentState.RUNNING,),
        "resume": _RESUMABLE,
        "stop": _LIVE,
        "extend": _EXTENSIBLE,
        "unarchive" if experiment.archived_at else "archive": _QUIET,
        "delete": _DELETABLE,
    }
    return {action for action, states in allowed.items() if experiment.state in states}


def pause_experiment(experiment: Experiment, *, by: User | None = None) -> None:
    """Let all runs rest where they are; simulations that run now end and are kept.

    Raises
    ------
    StateConflict
        If it is not running.
    """
    with transaction.atomic():
        _lock_runs(experiment)
        _change_state(experiment, [ExperimentState.RUNNING], ExperimentState.PAUSED, "paused")
        experiment.runs.running().update(
            state=ExperimentState.PAUSED, paused_at=timezone.now(), version=F("version") + 1
        )
        announce(experiment, Action.PAUSED, by=by)
    experiment.refresh_from_db()


def resume_experiment(
    experiment: Experiment, *, by: User | None = None, courier: Courier | None = None
) -> None:
    """Let all runs that rest, or that failed, go on as if nothing had happened.

    Raises
    ------
    StateConflict
        If it is neither paused nor failed.
    """
    with transaction.atomic():
        _lock_runs(experiment)
        _change_state(
            experiment,
            _RESUMABLE,
            ExperimentState.RUNNING,
            "resumed",
            finished_at=None,
            rested_s=_rested_s(experiment),
        )
        n_runs = _set_going(experiment.runs.filter(state__in=_RESUMABLE))
        announce(experiment, Action.RESUMED, by=by)
        wake_on_commit(courier, n_runs)
    experiment.refresh_from_db()


def stop_experiment(experiment: Experiment, *, by: User | None = None) -> None:
    """End all runs of an experiment where they are; what they have found is kept.

    Raises
    ------
    StateConflict
        If it is neither running nor paused (any more).
    """
    now = timezone.now()
    with transaction.atomic():
        _lock_runs(experiment)
        _change_state(
            experiment,
            _LIVE,
            ExperimentState.STOPPED,
            "stopped",
            finished_at=now,
            rested_s=_rested_s(experiment),
        )
        experiment.runs.filter(state__in=_LIVE).update(
            state=ExperimentState.STOPPED,
            stop_reason=StopReason.STOPPED,
            finished_at=now,
            version=F("version") + 1,
        )
        Demand.objects.filter(experiment=experiment).delete()
        announce(experiment, Action.STOPPED, by=by)
    experiment.refresh_from_db()


def extend_experiment(
    experiment: Experiment,
    *,
    n_generations: int | None = None,
    n_runs: int | None = None,
    by: User | None = None,
    courier: Courier | None = None,
) -> None:
    """Let runs that have done all their generations do more, and add runs.

    The history is the one that a launch with these numbers would have given. Runs that ended for
    another reason, such as a target that was reached, stay as they are.

    Parameters
    ----------
    n_generations : int, optional
        Generations of each run, in all; by default as before.
    n_runs : int, optional
        Number of runs, in all; by default as before.

    Raises
    ------
    InvalidExperiment
        If this is no extension, or out of bounds.
    StateConflict
        If the experiment was stopped or has not been launched, or was extended meanwhile.
    """
    parameters = experiment.get_evolution_parameters()
    n_generations = parameters.n_generations if n_generations is None else n_generations
    n_runs = experiment.n_runs if n_runs is None else n_runs
    if n_generations < parameters.n_generations or n_runs < experiment.n_runs:
        raise InvalidExperiment(
            f"An extension cannot be shorter: there are {parameters.n_generations} generations and "
            f"{experiment.n_runs} runs."
        )
    if n_generations == parameters.n_generations and n_runs == experiment.n_runs:
        raise InvalidExperiment("Nothing is added: give more generations or more runs.")
    if n_runs > MAX_RUNS:
        raise InvalidExperiment(f"An experiment has at most {MAX_RUNS} runs.")
    changed = parameters.with_changes({"n_generations": n_generations})
    try:
        with transaction.atomic():
            _extend(experiment, changed, n_runs, by=by, courier=courier)
    finally:
        # Also where it was refused: nothing of what was tried is left.
        experiment.refresh_from_db()


def _extend(
    experiment: Experiment,
    parameters: EvolutionParameters,
    n_runs: int,
    *,
    by: User | None,
    courier: Courier | None,
) -> None:
    _lock_runs(experiment)
    n_won = Experiment.objects.filter(
        pk=experiment.pk,
        state__in=_EXTENSIBLE,
        n_runs=experiment.n_runs,
        evolution_parameters=experiment.evolution_parameters,
    ).update(evolution_parameters=parameters.to_mapping(), n_runs=n_runs)
    if not n_won:
        raise conflict(experiment, "extended as you asked")
    experiment.refresh_from_db()
    Run.objects.bulk_create(
        Run(experiment=experiment, index=index, seed=experiment.seed + index)
        for index in range(experiment.runs.count(), n_runs)
    )
    if experiment.state == ExperimentState.FINISHED:
        experiment.rested_s = _rested_s(experiment)
        experiment.state = ExperimentState.RUNNING
        experiment.finished_at = None
        experiment.save(update_fields=["state", "finished_at", "rested_s"])
    fresh = Q(state=ExperimentState.CREATED)
    unfinished = Q(
        state=ExperimentState.FINISHED,
        stop_reason=StopReason.GENERATIONS,
        n_generations_done__lt=parameters.n_generations,
    )
    n_going = _set_going(
        experiment.runs.filter(fresh | unfinished), ExperimentState(experiment.state)
    )
    if not n_going and not experiment.runs.filter(state__in=_LIVE).exists():
        raise InvalidExperiment(
            "No run can go on: all ended for another reason than their number of generations. "
            "Add runs instead."
        )
    announce(
        experiment,
        Action.EXTENDED,
        by=by,
        detail=f"to {parameters.n_generations} generations and {n_runs} runs",
    )
    wake_on_commit(courier, n_going)


def archive_experiment(experiment: Experiment, *, by: User | None = None) -> None:
    """Put an experiment away: lists do not show it any more.

    Raises
    ------
    StateConflict
        If it is running, or archived already.
    """
    _set_archived(experiment, by, Action.ARCHIVED)


def unarchive_experiment(experiment: Experiment, *, by: User | None = None) -> None:
    """Show an experiment in lists again.

    Raises
    ------
    StateConflict
        If it is not archived.
    """
    _set_archived(experiment, by, Action.UNARCHIVED)


def delete_experiment(experiment: Experiment, *, by: User | None = None) -> None:
    """Delete an experiment with its whole history; rules and shared evaluations stay.

    Raises
    ------
    StateConflict
        If it is running or paused.
    """
    with transaction.atomic():
        _lock_runs(experiment)
        locked = Experiment.objects.select_for_update().filter(
            pk=experiment.pk, state__in=_DELETABLE
        )
        if not locked.exists():
            raise conflict(experiment, "deleted")
        runs = experiment.runs.all()
        runs.update(champion=None)
        # In this order nothing is left to cascade: a million rows go in two statements.
        Generation.objects.filter(run__in=runs).delete()
        Individual.objects.filter(run__in=runs).delete()
        audit.record(Action.DELETED, by=by, experiment=experiment)
        EvaluationContext.objects.filter(digest=published_digest(experiment)).delete()
        Experiment.objects.filter(pk=experiment.pk).delete()
        if experiment.has_own_evaluations:
            EvaluationContext.objects.filter(pk=experiment.context_id).delete()


def retry_failures(
    experiment: Experiment, *, by: User | None = None, courier: Courier | None = None
) -> int:
    """Have evaluations that failed by an error, a crash or the time limit repeated.

    Selections that were made without them stay: the history is not rewritten. The results serve
    the experiment's next generations, and all other experiments.

    Returns
    -------
    int
        How many evaluations are repeated.

    Raises
    ------
    StateConflict
        If there are none (any more).
    """
    with transaction.atomic():
        failed = Evaluation.objects.filter(
            pk__in=Individual.objects.filter(run__experiment=experiment).values("evaluation"),
            reason__in=RETRIABLE,
        )
        ids = list(failed.select_for_update().values_list("pk", flat=True))
        if not ids:
            raise StateConflict(
                f"No evaluation of the experiment “{experiment.name}” can be repeated."
            )
        Evaluation.objects.filter(pk__in=ids).update(reason="", detail="", attempts=0)
        n_trials = experiment.get_task_parameters().n_trials
        Demand.objects.bulk_create(
            Demand(experiment=experiment, evaluation_id=pk, n_trials=n_trials) for pk in ids
        )
        announce(experiment, Action.RETRIED, by=by, detail=f"{len(ids)} evaluations")
        wake_on_commit(courier, len(ids))
    return len(ids)


# --- parts --------------------------------------------------------------------------------------


def conflict(experiment: Experiment, participle: str) -> StateConflict:
    """Return the error that an experiment cannot be stopped, say, in the state it is in."""
    try:
        experiment.refresh_from_db()
    except Experiment.DoesNotExist:
        return StateConflict(f"The experiment “{experiment.name}” has been deleted.")
    last = experiment.log.of_experiments().select_related("user").first()
    who = f" It was {last.get_action_display()} last, by {last.user}." if last and last.user else ""
    return StateConflict(
        f"The experiment “{experiment.name}” cannot be {participle}: "
        f"it is {experiment.get_state_display()}.{who}"
    )


def announce(experiment: Experiment, action: Action, *, by: User | None, detail: str = "") -> None:
    """Write down who did what, and tell open pages once the transaction is committed."""
    audit.record(action, by=by, experiment=experiment, detail=detail)
    endings.announce_state_on_commit(experiment.pk)


def wake_on_commit(courier: Courier | None, n_workers: int) -> None:
    """Ask workers to look for work, once the transaction is committed."""
    chosen = courier or CeleryCourier()
    transaction.on_commit(lambda: chosen.wake(n_workers), robust=True)


def _lock_runs(experiment: Experiment) -> None:
    """Lock the runs before the experiment: a run that ends takes its locks in this order."""
    list(experiment.runs.select_for_update().order_by("pk").values_list("pk", flat=True))


def _change_state(
    experiment: Experiment,
    from_states: Iterable[ExperimentState],
    to_state: ExperimentState,
    participle: str,
    **changes: object,
) -> None:
    n_won = Experiment.objects.filter(pk=experiment.pk, state__in=list(from_states)).update(
        state=to_state, **changes
    )
    if not n_won:
        raise conflict(experiment, participle)


def _rested_s(experiment: Experiment) -> float:
    """Return for how long an experiment that is about to go on has rested, in s."""
    end = Experiment.objects.filter(pk=experiment.pk).aggregate(
        rested_s=Max("rested_s"),
        finished_at=Max("finished_at"),
        paused_at=Min("runs__paused_at", filter=Q(runs__state=ExperimentState.PAUSED)),
    )
    rests_since = end["finished_at"] or end["paused_at"]
    if rests_since is None:
        return end["rested_s"] or 0.0
    return end["rested_s"] + (timezone.now() - rests_since).total_seconds()


def _set_going(runs: QuerySet[Run], state: ExperimentState = ExperimentState.RUNNING) -> int:
    """Bring runs to life, or into a pause from which they can be resumed; return how many."""
    now = timezone.now()
    resting = list(runs.without_engine_state())
    for run in resting:
        rests_since = run.paused_at or run.finished_at
        if rests_since is not None:
            run.paused_s += (now - rests_since).total_seconds()
        run.paused_at = now if state == ExperimentState.PAUSED else None
        run.started_at = run.started_at or now
        run.state, run.stop_reason, run.detail, run.finished_at = state, "", "", None
        run.last_progress_at = now
        run.version += 1
    Run.objects.bulk_update(
        resting,
        ["state", "stop_reason", "detail", "started_at", "paused_at", "paused_s", "finished_at",
         "last_progress_at", "version"],
    )  # fmt: skip
    return len(resting)


def _set_archived(experiment: Experiment, by: User | None, action: Action) -> None:
    is_archiving = action is Action.ARCHIVED
    with transaction.atomic():
        n_won = Experiment.objects.filter(
            pk=experiment.pk, state__in=_QUIET, archived_at__isnull=is_archiving
        ).update(archived_at=timezone.now() if is_archiving else None)
        if not n_won:
            raise conflict(experiment, action.label)
        announce(experiment, action, by=by)
    experiment.refresh_from_db()
