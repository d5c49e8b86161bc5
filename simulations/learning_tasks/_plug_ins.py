"""Learning tasks that are defined in other packages and named by a setting."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from typing import Any

from nest_build.rules import RuleSignature
from simulations.learning_tasks.base import Aggregate, LearningTask
from simulations.parameters import TaskParameters

#: Environment variable: comma-separated ``package.module:ClassName``.
SETTING = "E2L_LEARNING_TASKS"

# What a learning task declares, and the types that values must have.
_ATTRIBUTES: dict[str, type] = {
    "name": str,
    "title": str,
    "summary": str,
    "signature": RuleSignature,
    "aggregate": Aggregate,
    "fitness_label": str,
    "parameters_type": type,
    "presets": Mapping,
    "baselines": tuple,
}

# Room for a name in the database.
_MAX_NAME_LENGTH = 60


class LearningTaskSettingError(ImportError):
    """A learning task that the setting names cannot be used; the message says which and why."""


def load(setting: str, built_in: Collection[str]) -> dict[str, LearningTask]:
    """Import the learning tasks that ``setting`` names.

    Parameters
    ----------
    setting : str
        Comma-separated ``package.module:ClassName``.
    built_in : collection of str
        Names that are taken.

    Returns
    -------
    dict of str to LearningTask
        By name, in the order of the setting.

    Raises
    ------
    LearningTaskSettingError
        If one of them cannot be used.
    """
    learning_tasks: dict[str, LearningTask] = {}
    for entry in filter(None, map(str.strip, setting.split(","))):
        learning_task = _load_one(entry)
        name = learning_task.name
        if name in built_in or name in learning_tasks:
            raise _error(entry, f"there already is a learning task called {name!r}")
        learning_tasks[name] = learning_task
    return learning_tasks


def _load_one(entry: str) -> LearningTask:
    module_name, _, class_name = entry.partition(":")
    parts = [*module_name.split("."), class_name]
    if not all(part.isidentifier() for part in parts):
        raise _error(entry, "it must read package.module:ClassName")
    task_class = getattr(_import_module(entry, module_name), class_name, None)
    if task_class is None:
        raise _error(entry, f"the module {module_name} has no {class_name}")
    if not isinstance(task_class, type) or not issubclass(task_class, LearningTask):
        raise _error(entry, f"{class_name} is not a class derived from LearningTask")
    _check_declaration(entry, task_class)
    try:
        return task_class()
    except Exception as failure:
        raise _error(entry, f"it cannot be created: {_describe(failure)}") from failure


def _import_module(entry: str, module_name: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except Exception as failure:
        # A module that is there may itself import one that is not.
        missing = failure.name if isinstance(failure, ModuleNotFoundError) else None
        if missing is not None and f"{module_name}.".startswith(f"{missing}."):
            message = f"there is no module {missing} on PYTHONPATH"
        else:
            message = f"the module {module_name} cannot be imported: {_describe(failure)}"
        raise _error(entry, message) from failure


def _check_declaration(entry: str, task_class: type[LearningTask]) -> None:
    missing = [name for name in _ATTRIBUTES if not hasattr(task_class, name)]
    missing += sorted(task_class.__abstractmethods__)
    if missing:
        raise _error(entry, f"it lacks {', '.join(missing)}")
    for name, expected in _ATTRIBUTES.items():
        if not isinstance(getattr(task_class, name), expected):
            raise _error(entry, f"its {name} is not of type {expected.__name__}")
    if not 0 < len(task_class.name) <= _MAX_NAME_LENGTH:
        raise _error(entry, f"its name must have 1 to {_MAX_NAME_LENGTH} characters")
    if not issubclass(task_class.parameters_type, TaskParameters):
        raise _error(entry, "its parameters_type is not derived from TaskParameters")
    if not task_class.presets:
        raise _error(entry, "it has no preset")


def _describe(failure: Exception) -> str:
    return f"{type(failure).__name__}: {failure}"


def _error(entry: str, message: str) -> LearningTaskSettingError:
    return LearningTaskSettingError(f"{SETTING} has {entry!r}: {message}.")
