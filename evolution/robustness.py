"""Reads of the robustness of a rule: its fitness where one parameter at a time varies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evolution.estimates import estimate
from evolution.models import Evaluation, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.db.models import QuerySet

    from evolution.models import Validation
    from simulations.learning_tasks import LearningTask


@dataclass(frozen=True)
class Point:
    """Fitness at one value of a parameter; None where the rule fails."""

    factor: float
    value: float
    fitness: float | None
    baseline: float | None


@dataclass(frozen=True)
class Sensitivity:
    """How fitness depends on one parameter.

    Attributes
    ----------
    swing : float
        Largest difference from the fitness at the parameter's own value; infinite where the rule
        fails.
    """

    name: str
    label: str
    unit: str
    value: float
    points: tuple[Point, ...]
    swing: float


@dataclass(frozen=True)
class Robustness:
    """Fitness of a rule, and of the best rule of the literature, around one set of parameters.

    Attributes
    ----------
    parameters : list of Sensitivity
        The one that matters most first.
    """

    fitness: float | None
    baseline: float | None
    baseline_name: str
    n_trials: int
    parameters: list[Sensitivity]


def robustness(rule: Rule, validation: Validation, learning_task: LearningTask) -> Robustness:
    """Return what is known of the answer to a question of robustness. One statement."""
    names = {rule.key: item.name for item, rule in learning_task.canonical_baselines}
    contexts = [validation.context_id, *(context for *_, context in validation.variations)]
    fitness: dict[tuple[int, str], float | None] = {}
    rows = Evaluation.objects.filter(context__in=contexts).filter(rule__in=_rules(rule, names))
    for context_id, key, trials, reason in rows.values_list(
        "context_id", "rule__key", "trials", "reason"
    ):
        # Others may have asked for more trials in some of the contexts.
        known = estimate(trials[: validation.n_trials], learning_task.aggregate)
        if reason or known is not None:
            fitness[context_id, key] = None if reason else known.value
    best = max(
        names,
        key=lambda key: _or_least(fitness.get((validation.context_id, key))),
        default="",
    )
    base = fitness.get((validation.context_id, rule.key))
    descriptions = learning_task.parameters_type.descriptions()
    points: dict[str, list[Point]] = {}
    for name, factor, value, context_id in validation.variations:
        if (context_id, rule.key) in fitness and name in descriptions:
            points.setdefault(name, []).append(
                Point(
                    factor,
                    value,
                    fitness[context_id, rule.key],
                    fitness.get((context_id, best)),
                )
            )
    found = [
        Sensitivity(
            name,
            descriptions[name].label,
            descriptions[name].unit,
            validation.context.task_parameters[name],
            tuple(own),
            _swing(base, own),
        )
        for name, own in points.items()
    ]
    found.sort(key=lambda item: -item.swing)
    return Robustness(
        base,
        fitness.get((validation.context_id, best)),
        names.get(best, ""),
        validation.n_trials,
        found,
    )


def _rules(rule: Rule, names: Iterable[str]) -> QuerySet[Rule]:
    return Rule.objects.filter(signature=rule.signature, key__in=[rule.key, *names])


def _or_least(value: float | None) -> float:
    return -math.inf if value is None else value


def _swing(base: float | None, points: Sequence[Point]) -> float:
    if base is None:
        return 0.0
    return max(math.inf if point.fitness is None else abs(point.fitness - base) for point in points)
