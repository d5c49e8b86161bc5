"""Experiments: creating, cloning and launching them, and how long they will take."""

from __future__ import annotations

import os
import platform
import tomllib
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from evolution.enums import Action, ExperimentState, Visibility
from evolution.errors import InvalidExperiment, StateConflict
from evolution.models import Experiment, Run
from evolution.services import audit, held_out
from evolution.services.control import announce, conflict, wake_on_commit
from simulations.parameters import ParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from django.contrib.auth.models import User

    from evolution.cgp.parameters import EvolutionParameters
    from evolution.services.couriers import Courier
    from simulations.learning_tasks import LearningTask
    from simulations.parameters import TaskParameters

#: Share of the individuals that are simulated, as measured with the error-driven learning task; the
#: rules of the others were simulated before.
SIMULATED_SHARE = 0.25
#: Cost of a generation besides its simulations, in s.
GENERATION_OVERHEAD_S = 0.02


def create_experiment(
    *,
    owner: User | None,
    name: str,
    learning_task: LearningTask,
    preset: str,
    task_parameters: TaskParameters,
    evolution_parameters: EvolutionParameters,
    seed: int,
    n_runs: int,
    submission_token: UUID | None = None,
    visibility: Visibility = Visibility.LABORATORY,
    original: Experiment | None = None,
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
    visibility : Visibility
        Who may read it besides its owner.
    original : Experiment, optional
        The experiment that this one reproduces: it simulates everything anew.

    Returns
    -------
    experiment : Experiment
    is_new : bool
        False if the token had been used before.

    Raises
    ------
    InvalidExperiment
        If a value is out of bounds, or the seed is held out for validations.
    ParameterError
        If parameters of the evolution do not fit the learning task.
    """
    held_out.refuse_for_experiments(learning_task, seed)
    evolution_parameters.check_against(learning_task.signature, task_parameters.n_trials)
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
        visibility=visibility,
        original=original,
        has_own_evaluations=original is not None,
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


def launch_experiment(
    experiment: Experiment, *, by: User | None = None, courier: Courier | None = None
) -> None:
    """Set all runs of an experiment going.

    Raises
    ------
    StateConflict
        If it was launched before.
    """
    now = timezone.now()
    with transaction.atomic():
        n_won = Experiment.objects.filter(pk=experiment.pk, state=ExperimentState.CREATED).update(
            state=ExperimentState.RUNNING, started_at=now
        )
        if not n_won:
            raise conflict(experiment, "launched")
        experiment.runs.filter(state=ExperimentState.CREATED).update(
            state=ExperimentState.RUNNING, started_at=now, last_progress_at=now
        )
        announce(experiment, Action.LAUNCHED, by=by)
        wake_on_commit(courier, experiment.n_runs)
    experiment.refresh_from_db()


def clone_experiment(
    experiment: Experiment,
    *,
    by: User | None,
    changes: Mapping[str, Any],
    name: str | None = None,
    seed: int | None = None,
    n_runs: int | None = None,
) -> Experiment:
    """Create an experiment like another one, ready to be launched.

    Parameters
    ----------
    changes : mapping
        New values of parameters of the learning task and of the evolution, by name.
    name, seed, n_runs : optional
        By default those of the original; the name says that this is a copy.

    Raises
    ------
    ParameterError
        If a value does not fit.
    InvalidExperiment
        If a value is out of bounds.
    """
    task_names = set(experiment.learning_task.parameters_type.model_fields)
    task_changes = {key: value for key, value in changes.items() if key in task_names}
    other_changes = {key: value for key, value in changes.items() if key not in task_names}
    clone, _ = create_experiment(
        owner=by,
        name=name or f"{experiment.name} (copy)"[:200],
        learning_task=experiment.learning_task,
        preset=experiment.preset,
        task_parameters=experiment.get_task_parameters().with_changes(task_changes),
        evolution_parameters=experiment.get_evolution_parameters().with_changes(other_changes),
        seed=experiment.seed if seed is None else seed,
        n_runs=experiment.n_runs if n_runs is None else n_runs,
        visibility=Visibility(experiment.visibility),
    )
    return clone


def reproduce_experiment(
    experiment: Experiment, *, by: User | None, courier: Courier | None = None
) -> Experiment:
    """Launch an experiment once more, with the same configuration and seeds.

    Nothing is taken from the evaluations that are known: everything is simulated anew. What comes
    out is compared by :func:`evolution.differences.differences`.

    Raises
    ------
    StateConflict
        If it is not over, is one of the literature, whose genomes are not known, or has parameters
        of an earlier version.
    """
    if not can_be_reproduced(experiment):
        raise conflict(experiment, "reproduced")
    try:
        reproduction, _ = create_experiment(
            owner=by,
            name=f"{experiment.name} (reproduction)"[:200],
            learning_task=experiment.learning_task,
            preset=experiment.preset,
            task_parameters=experiment.get_task_parameters(),
            evolution_parameters=experiment.get_evolution_parameters(),
            seed=experiment.seed,
            n_runs=experiment.n_runs,
            original=experiment,
            visibility=Visibility(experiment.visibility),
        )
    except ParameterError as error:
        raise StateConflict(
            f"The experiment “{experiment.name}” cannot be reproduced by this version: {error}"
        ) from None
    launch_experiment(reproduction, by=by, courier=courier)
    return reproduction


def can_be_reproduced(experiment: Experiment) -> bool:
    """Whether an experiment has a history to compare with that can be made again."""
    return ExperimentState(experiment.state).is_final and experiment.published is None


def label_experiment(
    experiment: Experiment, *, tags: Sequence[str], notes: str, by: User | None
) -> None:
    """Change the tags and the notes of an experiment, in whatever state it is."""
    experiment.tags, experiment.notes = list(tags), notes
    with transaction.atomic():
        experiment.save(update_fields=["tags", "notes"])
        audit.record(Action.LABELLED, by=by, experiment=experiment)


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
        "machine": platform.machine(),
        "host": platform.node(),
    }
