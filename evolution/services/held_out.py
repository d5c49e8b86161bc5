"""Seeds of validations and of experiments, which never share a trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolution.enums import ContextPurpose
from evolution.errors import InvalidExperiment, ValidationRefused
from evolution.models import EvaluationContext, Experiment
from evolution.models.experiment import MAX_SEED

if TYPE_CHECKING:
    from simulations.learning_tasks import LearningTask, Preset
    from simulations.parameters import TaskParameters

#: Trial k has the seed of its context plus k, and no fitness is made of more trials than this:
#: seeds so far from each other share no trial.
SEED_DISTANCE = 1000
_HELD_OUT = (ContextPurpose.VALIDATION, ContextPurpose.ROBUSTNESS)


def held_out_parameters(preset: Preset, parameters: TaskParameters) -> TaskParameters:
    """Return the parameters in which a rule is validated that was evolved with ``parameters``."""
    return parameters.with_changes(preset.validation_changes)


def held_out_seed(learning_task: LearningTask, preset: Preset, wanted: int | None = None) -> int:
    """Return the seed of held-out trials: the preset's, or the next that no experiment is near.

    Parameters
    ----------
    wanted : int, optional
        The seed that a person has chosen.

    Raises
    ------
    ValidationRefused
        If trials of the seed that was chosen serve an experiment.
    """
    used = set(
        Experiment.objects.filter(learning_task_name=learning_task.name).values_list(
            "seed", flat=True
        )
    )
    # Of experiments that were deleted, evaluations are left.
    used |= set(
        EvaluationContext.objects.filter(
            learning_task_name=learning_task.name, purpose=ContextPurpose.EVOLUTION
        ).values_list("seed", flat=True)
    )
    seed = preset.validation_seed if wanted is None else wanted
    while near := [other for other in used if abs(seed - other) < SEED_DISTANCE]:
        if wanted is not None:
            raise ValidationRefused(
                f"The seed {wanted} is not held out: an experiment uses trials from seed {near[0]} "
                f"on. Choose one that is {SEED_DISTANCE} away from it."
            )
        seed = (seed + SEED_DISTANCE) % MAX_SEED
    return seed


def refuse_for_experiments(learning_task: LearningTask, seed: int) -> None:
    """Make sure that no experiment uses the trials of a validation.

    Raises
    ------
    InvalidExperiment
        If they are held out.
    """
    taken = EvaluationContext.objects.filter(
        learning_task_name=learning_task.name,
        purpose__in=_HELD_OUT,
        seed__gt=seed - SEED_DISTANCE,
        seed__lt=seed + SEED_DISTANCE,
    ).values_list("seed", flat=True)
    other = taken.first()
    if other is not None:
        raise InvalidExperiment(
            f"Seed: rules were validated with the seed {other}, which is held out from evolution. "
            f"Choose a seed that is {SEED_DISTANCE} away from it."
        )
