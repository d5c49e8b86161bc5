"""What stays the same while workers work on an experiment."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evolution.enums import Visibility
from evolution.models import Experiment
from evolution.services import evaluations
from evolution.services.judgement import judge

if TYPE_CHECKING:
    from evolution.cgp.parameters import EvolutionParameters
    from evolution.models import EvaluationContext
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


def load_setup(experiment_id: int) -> ExperimentSetup | None:
    """Return the setup of an experiment, None if it has been deleted."""
    experiment = Experiment.objects.filter(pk=experiment_id).first()
    if experiment is None:
        return None
    task_parameters = experiment.get_task_parameters()
    is_shared = experiment.visibility == Visibility.LABORATORY
    context = evaluations.get_or_create_context(
        experiment.learning_task, task_parameters, experiment.seed, is_shared=is_shared
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
