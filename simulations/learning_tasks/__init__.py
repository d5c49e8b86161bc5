"""The registry of learning tasks: those of this package, then those of the setting."""

from __future__ import annotations

import importlib
import os
from functools import cache

from simulations.learning_tasks import _plug_ins
from simulations.learning_tasks._plug_ins import LearningTaskSettingError
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
    "LearningTaskSettingError",
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
    """Return the names of all learning tasks, in the order people see them.

    Raises
    ------
    LearningTaskSettingError
        If ``E2L_LEARNING_TASKS`` names something that is not a learning task.
    """
    return (*_REGISTRY, *_plugged_in())


@cache
def get_learning_task(name: str) -> LearningTask:
    """Return the learning task called ``name``.

    Raises
    ------
    UnknownLearningTask
        If there is none of that name.
    LearningTaskSettingError
        If it is none of this package, and ``E2L_LEARNING_TASKS`` names something that is not a
        learning task.
    """
    if name in _REGISTRY:
        module_name, class_name = _REGISTRY[name].split(":")
        return getattr(importlib.import_module(module_name), class_name)()
    try:
        return _plugged_in()[name]
    except KeyError:
        names = ", ".join(learning_task_names())
        raise UnknownLearningTask(
            f"There is no learning task {name!r}. Choose one of: {names}."
        ) from None


def _plugged_in() -> dict[str, LearningTask]:
    return _load(os.environ.get(_plug_ins.SETTING, ""))


@cache
def _load(setting: str) -> dict[str, LearningTask]:
    # Only a class knows its name: asking for names imports the modules of the setting, importing
    # this package or asking for one of its own learning tasks does not.
    return _plug_ins.load(setting, built_in=_REGISTRY)
