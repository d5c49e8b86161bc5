"""What stays the same while workers work on an experiment."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evolution.enums import Visibility
from evolution.models import Demand, Experiment
from evolution.services import evaluations
from evolution.services.judgement import judge
from simulations.learning_tasks import get_learning_task

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from evolution.cgp.parameters import EvolutionParameters
    from evolution.models import EvaluationContext, Validation
    from nest_build.rules import PlasticityRule
    from simulations.learning_tasks import LearningTask
    from simulations.parameters import TaskParameters


@dataclass
class BaselineFitness:
    """Fitness of the best rule of the literature in the experiment's trials, once it is known.

    Attributes
    ----------
    value : float or None
        None where no such rule has a fitness, and while it is not known.
    """

    is_known: bool = False
    value: float | None = None


@dataclass(frozen=True)
class ExperimentSetup:
    """An experiment as workers need it."""

    experiment_id: int
    trial_seed: int
    learning_task: LearningTask
    task_parameters: TaskParameters
    evolution_parameters: EvolutionParameters
    context: EvaluationContext
    is_shared: bool = True
    baseline: BaselineFitness = field(default_factory=BaselineFitness)

    @property
    def n_trials(self) -> int:
        """Number of trials that a fitness value is made of."""
        return self.task_parameters.n_trials

    def demands(self) -> QuerySet[Demand]:
        """Return what the runs wait for."""
        return Demand.objects.filter(experiment_id=self.experiment_id)

    def baseline_rules(self) -> list[PlasticityRule]:
        """Return the rules of the literature that fitness values are compared with."""
        rules = {rule.key: rule for _, rule in self.learning_task.canonical_baselines}
        return list(rules.values())

    def look_up_baseline(self) -> bool:
        """Return whether the fitness of all baseline rules is known, reading it if need be."""
        if not self.baseline.is_known:
            rules = self.baseline_rules()
            found = evaluations.find_rules(
                self.learning_task.signature,
                [rule.key for rule in rules],
                self.context,
                is_shared=self.is_shared,
            )
            judgements = [
                evaluation
                and judge(
                    evaluation.trials,
                    evaluation.reason,
                    n_trials=self.n_trials,
                    bound=None,
                    aggregate=self.learning_task.aggregate,
                )
                for rule in rules
                for _, evaluation in [found.get(rule.key, (None, None))]
            ]
            if all(judgements):
                fitness = [judgement.fitness for judgement in judgements]
                self.baseline.value = max(filter(math.isfinite, fitness), default=None)
                self.baseline.is_known = True
        return self.baseline.is_known


@dataclass(frozen=True)
class HeldOutSetup:
    """A context with held-out seeds as workers need it; it serves all validations in it."""

    experiment_id: None
    trial_seed: int
    learning_task: LearningTask
    task_parameters: TaskParameters
    n_trials: int
    context_id: int

    def demands(self) -> QuerySet[Demand]:
        """Return what people wait for."""
        return Demand.objects.filter(
            validation__isnull=False, evaluation__context_id=self.context_id
        )


def load_held_out_setup(validation: Validation, worker: str) -> HeldOutSetup | None:
    """Return the next of the contexts in which a validation lacks trials, None if none is free."""
    demand = (
        validation.demands.unsettled().free(worker).select_related("evaluation__context")
    ).first()
    if demand is None:
        return None
    context = demand.evaluation.context
    learning_task = get_learning_task(context.learning_task_name)
    return HeldOutSetup(
        experiment_id=None,
        trial_seed=context.seed,
        learning_task=learning_task,
        task_parameters=learning_task.parameters_type.from_mapping(context.task_parameters),
        n_trials=demand.n_trials,
        context_id=context.pk,
    )


def load_setup(experiment_id: int) -> ExperimentSetup | None:
    """Return the setup of an experiment, None if it has been deleted."""
    experiment = Experiment.objects.filter(pk=experiment_id).first()
    if experiment is None:
        return None
    task_parameters = experiment.get_task_parameters()
    is_shared = experiment.visibility == Visibility.LABORATORY
    context = evaluations.get_or_create_context(
        experiment.learning_task,
        task_parameters,
        experiment.seed,
        only_for=experiment.pk if experiment.has_own_evaluations else None,
        is_shared=is_shared,
    )
    if experiment.context_id != context.pk:
        Experiment.objects.filter(pk=experiment_id).update(context=context)
    return ExperimentSetup(
        experiment_id=experiment.pk,
        trial_seed=experiment.seed,
        learning_task=experiment.learning_task,
        task_parameters=task_parameters,
        evolution_parameters=experiment.get_evolution_parameters(),
        context=context,
        is_shared=is_shared,
    )
