"""The registry of learning tasks."""

from __future__ import annotations

import importlib
from functools import cache

from simulations.learning_tasks.base import (
    Aggregate,
    BaselineRule,
    LearningTask,
    Preset,
    Reason,
    Traces,
    TrialResult,
)

__all__ = [
    "Aggregate",
    "BaselineRule",
    "LearningTask",
    "Preset",
    "Reason",
    "Traces",
    "TrialResult",
    "UnknownLearningTask",
    "get_learning_task",
    "learning_task_names",
]

# Name -> "module:class". Modules are imported on first use, so that a web process that
# only lists names starts fast.
_REGISTRY: dict[str, str] = {
    "error-driven": "simulations.learning_tasks.error_driven:ErrorDrivenTask",
    "reward-driven": "simulations.learning_tasks.reward_driven:RewardDrivenTask",
    "correlation-driven": "simulations.learning_tasks.correlation_driven:CorrelationDrivenTask",
}


class UnknownLearningTask(LookupError):
    """There is no learning task of that name; the message lists those that exist."""


def learning_task_names() -> tuple[str, ...]:
    """Return the names of all learning tasks, in the order people see them."""
    return tuple(_REGISTRY)


@cache
def get_learning_task(name: str) -> LearningTask:
    """Return the learning task called ``name``.

    Raises
    ------
    UnknownLearningTask
        If there is none of that name.
    """
    try:
        path = _REGISTRY[name]
    except KeyError:
        names = ", ".join(_REGISTRY)
        raise UnknownLearningTask(
            f"There is no learning task {name!r}. Choose one of: {names}."
        ) from None
    module_name, class_name = path.split(":")
    return getattr(importlib.import_module(module_name), class_name)()
