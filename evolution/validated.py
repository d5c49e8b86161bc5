"""Reads of validations: what rules gave in held-out trials, beside the rules of the literature."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.db.models import F, Q

from evolution.enums import ContextPurpose, EvaluationState, ValidationKind, ValidationState
from evolution.estimates import Difference, Estimate, difference, estimate, generalisation_gap
from evolution.fronts import front_rules
from evolution.models import Evaluation, Individual, Rule, Run, Validation
from evolution.models.rule import signature_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evolution.models import EvaluationContext, Experiment
    from evolution.models.experiment import ExperimentQuerySet
    from evolution.models.validation import ValidationQuerySet
    from simulations.learning_tasks import LearningTask

_HELD_OUT = (ContextPurpose.VALIDATION, ContextPurpose.PUBLISHED)


@dataclass(frozen=True)
class Validated:
    """Values of one rule in the held-out trials of one context.

    Attributes
    ----------
    training : tuple of float
        Values in the trials by which it was selected; empty where they are not known.
    training_fitness : float or None
    """

    evaluation: Evaluation
    learning_task: LearningTask
    training: tuple[float, ...] = ()
    training_fitness: float | None = None

    @property
    def context(self) -> EvaluationContext:
        """Where the trials are from."""
        return self.evaluation.context

    @property
    def is_published(self) -> bool:
        """Whether these are values of the literature."""
        return self.context.purpose == ContextPurpose.PUBLISHED

    @property
    def is_pending(self) -> bool:
        """Whether trials are being simulated, or wait for it, and none is known yet."""
        return not self.evaluation.reason and not self.evaluation.trials

    @property
    def is_growing(self) -> bool:
        """Whether a worker adds trials now."""
        return self.evaluation.state == EvaluationState.CLAIMED

    @cached_property
    def estimate(self) -> Estimate | None:
        """The fitness with its uncertainty; None where the rule has failed or is not known."""
        if self.evaluation.reason:
            return None
        return estimate(self.evaluation.trials, self.learning_task.aggregate)

    @cached_property
    def gap(self) -> Difference | None:
        """Fitness in training minus that in held-out trials; None where one is not known."""
        if self.estimate is None:
            return None
        if self.training:
            return generalisation_gap(
                self.training, self.evaluation.trials, self.learning_task.aggregate
            )
        if self.training_fitness is None:
            return None
        gap = self.training_fitness - self.estimate.value
        return Difference(gap, None, None, None, "", self.estimate.n_trials)


@dataclass(frozen=True)
class HeldOut:
    """What is known in one context: a rule, in all its forms one, and those of the literature.

    Attributes
    ----------
    baselines : list of (str, Validated, Difference or None)
        Name, values, and how much fitter the rule is in the same trials.
    """

    own: Validated
    baselines: list[tuple[str, Validated, Difference | None]] = field(default_factory=list)


class ValidatedRules:
    """The validations of many rules, in any form of each. One statement reads them all.

    Counted are those that the laboratory knows, and those of the ``visible`` experiments.
    """

    def __init__(
        self, rules: Iterable[Rule], learning_task: LearningTask, visible: ExperimentQuerySet
    ) -> None:
        rules = list(rules)
        self._learning_task = learning_task
        self._found: dict[str, list[Evaluation]] = {}
        if rules:
            for item in _evaluations([learning_task], _forms_of(rules), visible):
                self._found.setdefault(item.rule.fingerprint, []).append(item)

    def of(
        self,
        rule: Rule,
        *,
        like: Mapping[str, Any] | None = None,
        training: Sequence[float] = (),
        fitness: float | None = None,
    ) -> Validated | None:
        """Return the latest validation of a rule; own ones come before those of the literature.

        Parameters
        ----------
        like : mapping, optional
            Parameters of training; only validations with parameters like these count.
        training : sequence of float
            Values of the trials of training.
        fitness : float, optional
            Fitness in training.
        """
        for item in self._found.get(rule.fingerprint, ()):
            if like is None or are_alike(self._learning_task, like, item.context):
                return Validated(item, self._learning_task, tuple(training), fitness)
        return None


def of_rule(
    rule: Rule,
    learning_tasks: Iterable[LearningTask],
    training: Iterable[Evaluation],
    visible: ExperimentQuerySet,
) -> list[HeldOut]:
    """Return all validations of a rule with those of the rules of the literature beside them.

    One statement.

    Parameters
    ----------
    learning_tasks : iterable of LearningTask
        Which the rule fits.
    training : iterable of Evaluation
        What is known of the rule in trials of experiments, with their contexts, the latest first.
    visible : queryset of Experiment
        Whose validations count, besides those that the laboratory knows.
    """
    tasks = {task.name: task for task in learning_tasks}
    names = {
        (task.name, known.key): item.name
        for task in tasks.values()
        for item, known in task.canonical_baselines
    }
    keys = {key for _, key in names}
    evaluations = list(
        _evaluations(tasks.values(), _forms_of([rule]) | Q(rule__key__in=keys), visible)
    )
    own: dict[int, Evaluation] = {}
    for item in evaluations:
        is_own = item.rule.fingerprint == rule.fingerprint
        if is_own and (item.context_id not in own or item.rule_id == rule.pk):
            own[item.context_id] = item
    found = []
    for context_id, item in own.items():
        task = tasks[item.context.learning_task_name]
        validated = _with_training(item, task, training)
        baselines = [
            (
                names[task.name, other.rule.key],
                Validated(other, task),
                _difference(validated, other, task),
            )
            for other in evaluations
            if other.context_id == context_id and (task.name, other.rule.key) in names
        ]
        found.append(HeldOut(validated, baselines))
    return found


def champions_of(experiment: Experiment, number: int | None = None) -> list[Rule]:
    """Return the rules of the champions of an experiment's runs, or of one run, the fittest first;
    each once."""
    champions = Individual.objects.filter(
        pk__in=Run.objects.filter(experiment=experiment).values("champion"), fitness__isnull=False
    )
    if number is not None:
        champions = champions.filter(run__index=number - 1)
    rules: dict[str, Rule] = {}
    for champion in champions.select_related("rule").order_by("-fitness", "pk"):
        if champion.rule is not None:
            rules.setdefault(champion.rule.fingerprint, champion.rule)
    return list(rules.values())


def front_of(experiment: Experiment) -> list[Rule]:
    """Return the rules on the Pareto front of an experiment's trials, the simplest first."""
    if experiment.context_id is None:
        return []
    return front_rules(experiment.context_id, experiment.task_parameters["n_trials"])


def rules_in_words(
    experiment: Experiment, *, is_front: bool = False, run: int | None = None
) -> tuple[list[Rule], str]:
    """Return the rules of an experiment that somebody wants to be validated, and which these are.

    Parameters
    ----------
    is_front : bool
        Whether they are those of its Pareto front; else the champions of all runs, or of one.
    """
    if is_front:
        return front_of(experiment), "Pareto front"
    words = "champions" if run is None else f"champion of run {run}"
    return champions_of(experiment, run), words


def are_alike(
    learning_task: LearningTask, training: Mapping[str, Any], context: EvaluationContext
) -> bool:
    """Return whether held-out trials have the parameters of training, but for those that differ in
    all held-out trials of the learning task."""
    ignored = {"n_trials"}.union(
        *(preset.validation_changes for preset in learning_task.presets.values())
    )
    names = (training.keys() | context.task_parameters.keys()) - ignored
    return all(training.get(name) == context.task_parameters.get(name) for name in names)


def preset_label(learning_task: LearningTask, context: EvaluationContext) -> str:
    """Return the name of the preset whose parameters held-out trials have."""
    for preset in learning_task.presets.values():
        if are_alike(learning_task, preset.task_parameters.to_mapping(), context):
            return f"{preset.label} preset"
    return "changed parameters"


def unfinished_validations(validations: ValidationQuerySet) -> list[Validation]:
    """Return what workers have not answered yet of some validations, or could not, the latest
    first."""
    found = validations.filter(state__in=(ValidationState.OPEN, ValidationState.FAILED))
    return list(found.select_related("owner").with_progress().order_by("-pk")[:5])


@dataclass
class ChampionRow:
    """A rule that is the champion of some runs of an experiment.

    Attributes
    ----------
    runs : list of int
        Numbers of these runs.
    """

    rule: Rule
    fitness: float | None
    runs: list[int]
    validated: Validated | None = None


def champion_rows(experiment: Experiment, visible: ExperimentQuerySet) -> list[ChampionRow]:
    """Return the champions of an experiment with their validations, the fittest first.

    Three statements.
    """
    champions = (
        Individual.objects.filter(
            pk__in=Run.objects.filter(experiment=experiment).values("champion"),
            rule__isnull=False,
        )
        .order_by(F("fitness").desc(nulls_last=True), "run__index")
        .values_list("rule", "fitness", "run__index", "evaluation__trials")
    )
    rules = Rule.objects.in_bulk({rule_id for rule_id, *_ in champions})
    rows: dict[str, ChampionRow] = {}
    trials: dict[str, Sequence[float]] = {}
    n_trials = experiment.task_parameters["n_trials"]
    for rule_id, fitness, run_index, known in champions:
        rule = rules[rule_id]
        if rule.fingerprint not in rows:
            rows[rule.fingerprint] = ChampionRow(rule, fitness, [])
            trials[rule.fingerprint] = (known or ())[:n_trials]
        rows[rule.fingerprint].runs.append(run_index + 1)
    found = ValidatedRules([row.rule for row in rows.values()], experiment.learning_task, visible)
    for fingerprint, row in rows.items():
        row.validated = found.of(
            row.rule,
            like=experiment.task_parameters,
            training=trials[fingerprint],
            fitness=row.fitness,
        )
    return list(rows.values())


def latest_robustness(rule: Rule) -> Validation | None:
    """Return the latest question how robust a rule is, unless it was cancelled."""
    return (
        Validation.objects.filter(rule=rule, kind=ValidationKind.ROBUSTNESS)
        .exclude(state=ValidationState.CANCELLED)
        .select_related("context")
        .order_by("-pk")
        .first()
    )


def _forms_of(rules: Sequence[Rule]) -> Q:
    """Return the condition that an evaluation is of one of some rules, or of another form of one
    that the laboratory knows."""
    return Q(rule__in=[rule.pk for rule in rules]) | Q(
        rule__fingerprint__in={rule.fingerprint for rule in rules},
        rule__shared_at__isnull=False,
    )


def _evaluations(
    learning_tasks: Iterable[LearningTask], condition: Q, visible: ExperimentQuerySet
) -> Iterable[Evaluation]:
    asked = Validation.objects.filter(experiment__in=visible.order_by())
    may_see = Q(context__shared_at__isnull=False) | Q(context__in=asked.values("context"))
    return (
        Evaluation.objects.filter(
            condition,
            may_see,
            context__purpose__in=_HELD_OUT,
            context__learning_task_name__in=[task.name for task in learning_tasks],
            rule__signature__in={signature_text(task.signature) for task in learning_tasks},
        )
        .select_related("context", "rule")
        .defer("detail")
        # Purposes in reverse order: own simulations come first.
        .order_by("-context__purpose", "-context_id", "rule__complexity", "rule_id")
    )


def _with_training(
    evaluation: Evaluation, learning_task: LearningTask, training: Iterable[Evaluation]
) -> Validated:
    for item in training:
        stored = item.context.task_parameters
        is_complete = not item.reason and item.n_trials_done >= stored.get("n_trials", 1)
        is_same_task = item.context.learning_task_name == learning_task.name
        if is_same_task and is_complete and are_alike(learning_task, stored, evaluation.context):
            return Validated(evaluation, learning_task, tuple(item.trials))
    return Validated(evaluation, learning_task)


def _difference(
    own: Validated, other: Evaluation, learning_task: LearningTask
) -> Difference | None:
    if own.estimate is None or other.reason or other.rule_id == own.evaluation.rule_id:
        return None
    return difference(own.evaluation.trials, other.trials, learning_task.aggregate)
