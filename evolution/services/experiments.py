"""Experiments: creating, launching and stopping them, and how long they will take."""

from __future__ import annotations

import os
import platform
import tomllib
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from evolution.enums import ExperimentState, StopReason
from evolution.errors import InvalidExperiment, StateConflict
from evolution.models import Experiment, Run
from evolution.services import endings
from evolution.services.couriers import CeleryCourier, Courier

if TYPE_CHECKING:
    from uuid import UUID

    from django.contrib.auth.models import AbstractBaseUser

    from evolution.cgp.parameters import EvolutionParameters
    from simulations.learning_tasks import LearningTask
    from simulations.parameters import TaskParameters

#: Share of the individuals that are simulated, as measured with the error-driven learning task; the
#: rules of the others were simulated before.
SIMULATED_SHARE = 0.25
#: Cost of a generation besides its simulations, in s.
GENERATION_OVERHEAD_S = 0.02


def create_experiment(
    *,
    owner: AbstractBaseUser | None,
    name: str,
    learning_task: LearningTask,
    preset: str,
    task_parameters: TaskParameters,
    evolution_parameters: EvolutionParameters,
    seed: int,
    n_runs: int,
    submission_token: UUID | None = None,
) -> tuple[Experiment, bool]:
    """Create an experiment and its runs, ready to be launched.

    Parameters
    ----------
    owner : user or None
        Who the experiment belongs to.
    name : str
    learning_task : LearningTask
    preset : str
        Name of the preset that the parameters were derived from.
    task_parameters : TaskParameters
    evolution_parameters : EvolutionParameters
    seed : int
        Seed of the trials of all runs, so that they share evaluations, and of the first run;
        run i evolves with ``seed + i``.
    n_runs : int
    submission_token : UUID, optional
        The same token a second time gives the first experiment: a form was sent twice.

    Returns
    -------
    experiment : Experiment
    is_new : bool
        False if the token had been used before.

    Raises
    ------
    InvalidExperiment
        If a value is out of bounds.
    """
    experiment = Experiment(
        owner=owner,
        name=name,
        learning_task_name=learning_task.name,
        preset=preset,
        task_parameters=task_parameters.to_mapping(),
        evolution_parameters=evolution_parameters.to_mapping(),
        seed=seed,
        n_runs=n_runs,
        submission_token=submission_token,
        provenance=provenance(),
    )
    try:
        experiment.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        raise InvalidExperiment(
            " ".join(
                f"{field.replace('_', ' ').capitalize()}: {text}"
                for field, texts in error.message_dict.items()
                for text in texts
            )
        ) from None
    try:
        with transaction.atomic():
            experiment.save()
            Run.objects.bulk_create(
                Run(experiment=experiment, index=index, seed=seed + index)
                for index in range(n_runs)
            )
    except IntegrityError:
        if submission_token is None:
            raise
        return Experiment.objects.get(submission_token=submission_token), False
    return experiment, True


def launch_experiment(experiment: Experiment, *, courier: Courier | None = None) -> None:
    """Set all runs of an experiment going.

    Raises
    ------
    StateConflict
        If it was launched before.
    """
    courier = courier or CeleryCourier()
    now = timezone.now()
    with transaction.atomic():
        n_won = Experiment.objects.filter(pk=experiment.pk, state=ExperimentState.CREATED).update(
            state=ExperimentState.RUNNING, started_at=now
        )
        if not n_won:
            raise _conflict(experiment, "launched")
        runs = experiment.runs.filter(state=ExperimentState.CREATED)
        run_ids = list(runs.order_by("index").values_list("pk", flat=True))
        runs.update(
            state=ExperimentState.RUNNING, started_at=now, last_progress_at=now, queued_at=now
        )
        transaction.on_commit(lambda: _queue_all(courier, run_ids), robust=True)
        endings.announce_state_on_commit(experiment.pk)
    experiment.refresh_from_db()


def _queue_all(courier: Courier, run_ids: list[int]) -> None:
    for run_id in run_ids:
        courier.queue(run_id)


def stop_experiment(experiment: Experiment) -> None:
    """End all runs of an experiment where they are; what they have found is kept.

    Raises
    ------
    StateConflict
        If it is not running (any more).
    """
    now = timezone.now()
    with transaction.atomic():
        # Runs before the experiment: a run that ends takes its locks in this order.
        list(
            experiment.runs.running()
            .select_for_update()
            .order_by("pk")
            .values_list("pk", flat=True)
        )
        experiment.runs.running().update(
            state=ExperimentState.STOPPED,
            stop_reason=StopReason.STOPPED,
            pending_generation=None,
            finished_at=now,
        )
        n_won = Experiment.objects.filter(pk=experiment.pk, state=ExperimentState.RUNNING).update(
            state=ExperimentState.STOPPED, finished_at=now
        )
        if not n_won:
            raise _conflict(experiment, "stopped")
        endings.announce_state_on_commit(experiment.pk)
    experiment.refresh_from_db()


def _conflict(experiment: Experiment, verb: str) -> StateConflict:
    experiment.refresh_from_db(fields=["state"])
    return StateConflict(
        f"The experiment “{experiment.name}” cannot be {verb}: "
        f"it is {experiment.get_state_display()}."
    )


def estimate_duration(
    learning_task: LearningTask,
    task_parameters: TaskParameters,
    evolution_parameters: EvolutionParameters,
    *,
    n_runs: int,
    n_workers: int | None = None,
) -> float:
    """Return roughly how long an experiment will take, in s.

    Parameters
    ----------
    n_workers : int, optional
        Workers that share the runs; by default one per core of this machine.
    """
    n_workers = n_workers or os.cpu_count() or 1
    n_rules = max(1, round(SIMULATED_SHARE * evolution_parameters.n_offspring))
    seconds = GENERATION_OVERHEAD_S + task_parameters.n_trials * learning_task.estimate_seconds(
        task_parameters, n_rules
    )
    return seconds * (evolution_parameters.n_generations + 1) * n_runs / min(n_workers, n_runs)


@cache
def provenance() -> dict[str, str]:
    """Return the versions that an experiment was created with, and where."""
    packages = ("nest-simulator", "hal-cgp", "symengine", "llvmlite", "numpy")
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    return {
        "e2l": project["project"]["version"],
        **{name: version(name) for name in packages},
        "python": platform.python_version(),
        "host": platform.node(),
    }
