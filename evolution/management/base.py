"""What the commands on learning tasks share: arguments, parameters and messages."""

from __future__ import annotations

import json
import sys
import typing
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from nest_build.rules import PlasticityRule, RuleSyntaxError
from simulations.learning_tasks import (
    LearningTask,
    LearningTaskSettingError,
    Preset,
    UnknownLearningTask,
    get_learning_task,
    learning_task_names,
)
from simulations.parameters import ParameterError, Parameters

if typing.TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Mapping, Sequence

#: Exit code for input that cannot be understood, as argparse has it.
BAD_INPUT = 2


def bad_input(message: str) -> CommandError:
    """Return the error for input that cannot be understood."""
    return CommandError(message, returncode=BAD_INPUT)


class LearningTaskCommand(BaseCommand):
    """A command whose first argument is a learning task."""

    requires_system_checks: typing.ClassVar[list[str]] = []
    #: Whether something else may name the learning task.
    is_task_optional: typing.ClassVar[bool] = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_task_argument(parser, is_optional=self.is_task_optional)
        parser.add_argument(
            "--preset", default="demo", help="Preset of parameters (default: demo)."
        )
        parser.add_argument("--seed", type=int, help="Seed (default: the preset's).")
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            dest="changes",
            metavar="NAME=VALUE",
            help="Change a parameter of the preset; may be given several times.",
        )
        parser.add_argument(
            "--json", action="store_true", help="Print one JSON object and nothing else."
        )

    def console(self) -> Console:
        """Return the terminal for progress: standard error, so that output can be piped."""
        return stderr_console()

    def print_json(self, value: Mapping[str, Any]) -> None:
        """Print the one JSON object that ``--json`` promises."""
        print_json(self.stdout, value)


def stderr_console() -> Console:
    """Return the terminal for progress: standard error, so that output can be piped."""
    return Console(file=sys.stderr)


def print_json(stdout: Any, value: Mapping[str, Any]) -> None:
    """Print the one JSON object that ``--json`` promises."""
    stdout.write(json.dumps(value, allow_nan=False, ensure_ascii=False))


def add_task_argument(parser: ArgumentParser, *, is_optional: bool = False) -> None:
    """Add the learning task as an argument."""
    try:
        names = ", ".join(learning_task_names())
    except LearningTaskSettingError as error:
        parser.error(str(error))
    parser.add_argument(
        "task",
        metavar="TASK",
        nargs="?" if is_optional else None,
        help=f"Learning task: {names}.",
    )


def add_rule_argument(parser: ArgumentParser) -> None:
    """Add the expressions of a rule as arguments."""
    parser.add_argument(
        "rule",
        nargs="+",
        metavar="RULE",
        help="Expression; two (depress, facilitate) where the task has two branches.",
    )


def named_task(name: str) -> LearningTask:
    """Return the learning task of that name."""
    try:
        return get_learning_task(name)
    except UnknownLearningTask as error:
        raise bad_input(str(error)) from None


def chosen_task(options: Mapping[str, Any]) -> tuple[LearningTask, Preset]:
    """Return the learning task and the preset that the options name."""
    learning_task = named_task(options["task"])
    try:
        return learning_task, learning_task.presets[options["preset"]]
    except KeyError:
        names = ", ".join(learning_task.presets)
        raise bad_input(
            f"The learning task {learning_task.name} has no preset {options['preset']!r}. "
            f"Choose one of: {names}."
        ) from None


def chosen_seed(options: Mapping[str, Any], preset: Preset) -> int:
    """Return the seed that the options name, by default the preset's."""
    check_seed(options["seed"])
    return preset.seed if options["seed"] is None else options["seed"]


def check_seed(seed: int | None) -> None:
    """Raise an error where a seed is out of bounds."""
    from evolution.models.experiment import MAX_SEED

    if seed is not None and not 0 <= seed <= MAX_SEED:
        raise bad_input(f"The seed must be from 0 to {MAX_SEED}.")


def check_name(name: str | None) -> None:
    """Raise an error where a name holds bytes that are no text in this terminal's encoding."""
    try:
        (name or "").encode()
    except UnicodeEncodeError:
        raise bad_input(f"{name!a} is no name: it is not encoded as your locale says.") from None


def check_number_of_runs(n_runs: int | None) -> None:
    """Raise an error that names the option where the number of runs is out of bounds."""
    from evolution.models.experiment import MAX_RUNS

    if n_runs is not None and not 1 <= n_runs <= MAX_RUNS:
        raise bad_input(f"--runs must be from 1 to {MAX_RUNS}.")


def changed_parameters(
    parameter_sets: Sequence[Parameters], changes: Sequence[str]
) -> list[Parameters]:
    """Return the sets of parameters with ``NAME=VALUE`` texts applied."""
    values = parsed_changes([type(parameters) for parameters in parameter_sets], changes)
    try:
        return [
            parameters.with_changes(own) if own else parameters
            for parameters in parameter_sets
            for own in [
                {
                    name: value
                    for name, value in values.items()
                    if name in type(parameters).model_fields
                }
            ]
        ]
    except ParameterError as error:
        raise bad_input(str(error)) from None


def parsed_changes(
    parameter_types: Sequence[type[Parameters]], changes: Sequence[str]
) -> dict[str, Any]:
    """Return the values that ``NAME=VALUE`` texts give to parameters.

    A value is JSON (``0.5``, ``true``, ``null``), else plain text; lists may be written with
    commas.
    """
    fields = {name: field for each in parameter_types for name, field in each.model_fields.items()}
    values: dict[str, Any] = {}
    for change in changes:
        name, separator, text = change.partition("=")
        if not separator:
            raise bad_input(f"--set needs NAME=VALUE, not {change!r}.")
        if name not in fields:
            raise bad_input(f"There is no parameter {name!r}. There are: {', '.join(fields)}.")
        values[name] = _value(text, fields[name].annotation)
    return values


def parsed_rule(learning_task: LearningTask, texts: Sequence[str]) -> PlasticityRule:
    """Return the rule in the form that is simulated."""
    try:
        return PlasticityRule.parse(learning_task.signature, list(texts)).canonical()
    except RuleSyntaxError as error:
        where = "" if error.column is None else f" (column {error.column})"
        raise bad_input(f"{error.message}{where}") from None


def _value(text: str, annotation: Any) -> Any:
    is_list = typing.get_origin(annotation) is tuple
    try:
        value = json.loads(text)
    except ValueError:
        return [item.strip() for item in text.split(",")] if is_list else text
    return [value] if is_list and not isinstance(value, list) else value
