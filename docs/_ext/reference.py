"""Directives that describe parameters, commands and settings by what the code declares of them.

Each directive writes Markdown, which is then read as if it stood on the page.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sphinx.application import Sphinx

    from simulations.parameters import ParameterDescription, Parameters

_ROOT = Path(__file__).resolve().parents[2]
_USAGE_WIDTH = 76


# --- tables -------------------------------------------------------------------------------------


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for cells in (header, ["---"] * len(header), *rows):
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _value(value: Any) -> str:
    if value is None or value == ():
        return "empty"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list)):
        return ", ".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _choices(annotation: Any) -> tuple[Any, ...]:
    """Return the values that a parameter may take, or its items; empty where it is a number."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if isinstance(annotation, type) and hasattr(annotation, "__members__"):
        return tuple(annotation)
    for part in get_args(annotation):
        if choices := _choices(part):
            return choices
    return ()


def _allowed(description: ParameterDescription) -> str:
    if choices := _choices(description.annotation):
        return ", ".join(_value(choice) for choice in choices)
    if description.annotation is bool:
        return "yes, no"
    bounds = {
        "≥ ": description.minimum,
        "> ": description.exclusive_minimum,
        "≤ ": description.maximum,
        "< ": description.exclusive_maximum,
    }
    return ", ".join(
        f"{sign}{bound:g}".replace(" ", "\N{NO-BREAK SPACE}")
        for sign, bound in bounds.items()
        if bound is not None
    )


def _parameters(kind: type[Parameters], values: Mapping[str, Parameters]) -> Iterator[str]:
    """Describe parameters by group, with a column for each set of values."""
    descriptions = kind.descriptions().values()
    groups = dict.fromkeys(description.group for description in descriptions)
    for group in groups:
        yield f"**{group}**"
        yield ""
        yield from _table(
            ["parameter", "meaning", "unit", "allowed", *values],
            [
                [
                    _code(description.name),
                    description.help,
                    description.unit,
                    _allowed(description),
                    *(_value(getattr(each, description.name)) for each in values.values()),
                ]
                for description in descriptions
                if description.group == group
            ],
        )


# --- learning tasks and evolution ---------------------------------------------------------------


def learning_task(name: str) -> Iterator[str]:
    """Describe a learning task: what rules read, what they are compared with, its parameters."""
    from simulations.learning_tasks import get_learning_task

    task = get_learning_task(name)
    yield f"{task.summary} Fitness: the {task.aggregate} over the trials of *{task.fitness_label}*."
    yield ""
    yield from _table(
        ["input", "alias", "unit", "meaning"],
        [
            [_code(each.name), _code(f"x_{index}"), each.unit, each.description]
            for index, each in enumerate(task.signature.inputs)
        ],
    )
    yield f"Branches: {', '.join(map(_code, task.signature.branches))}."
    yield ""
    yield from _table(
        ["rule of the literature", "expressions", "source"],
        [
            [rule.name, ", ".join(map(_code, rule.expressions)), rule.reference]
            for rule in task.baselines
        ],
    )
    for preset in task.presets.values():
        held_out = ", ".join(f"{key} = {value}" for key, value in preset.validation_changes.items())
        yield (
            f"Preset `{preset.name}`: {preset.description} {preset.n_runs} runs, seed "
            f"{preset.seed}; held-out trials have seed {preset.validation_seed}"
            + (f" and `{held_out}`." if held_out else ".")
        )
        yield ""
    presets = {_code(preset.name): preset.task_parameters for preset in task.presets.values()}
    yield from _parameters(task.parameters_type, presets)


def evolution() -> Iterator[str]:
    """Describe the parameters of the evolution, and what presets change of them."""
    from evolution.cgp.parameters import EvolutionParameters
    from simulations.learning_tasks import get_learning_task, learning_task_names

    default = EvolutionParameters()
    yield from _parameters(EvolutionParameters, {"default": default})
    yield "Presets of the learning tasks, where they differ from the default:"
    yield ""
    rows = []
    for name in learning_task_names():
        for preset in get_learning_task(name).presets.values():
            parameters = EvolutionParameters.from_mapping(preset.evolution)
            changes = [
                f"`{field}` {_value(getattr(parameters, field))}"
                for field in EvolutionParameters.model_fields
                if getattr(parameters, field) != getattr(default, field)
            ]
            rows.append([name, _code(preset.name), "; ".join(changes) or "none differs"])
    yield from _table(["learning task", "preset", "parameters"], rows)


# --- commands and settings ----------------------------------------------------------------------


def command_names() -> list[str]:
    """Return the names of the project's own commands of ``manage.py``."""
    folder = _ROOT / "evolution" / "management" / "commands"
    return sorted(path.stem for path in folder.glob("[a-z]*.py"))


def command_parser(name: str) -> argparse.ArgumentParser:
    """Return the parser of a command of ``manage.py``."""
    import django
    from django.core.management import load_command_class

    django.setup()
    return load_command_class("evolution", name).create_parser("manage.py", name)


def commands() -> Iterator[str]:
    """Describe all commands with their arguments."""
    for name in command_names():
        yield f"## `manage.py {name}`"
        yield ""
        yield from _parser(f"manage.py {name}", command_parser(name))


def _parser(program: str, parser: argparse.ArgumentParser, text: str = "") -> Iterator[str]:
    yield parser.description or text
    yield ""
    own = [action for action in parser._actions if not _is_djangos(action)]
    nested = [action for action in own if isinstance(action, argparse._SubParsersAction)]
    options = [action for action in own if action.option_strings]
    positionals = [action for action in own if action not in [*options, *nested]]
    if not nested:
        usage = f"{program} {' '.join(map(_usage, [*options, *positionals]))}"
        yield from _wrapped(usage)
    if options or positionals:
        yield from _table(
            ["argument", "meaning"],
            [[_code(_name(action)), _help(action)] for action in [*positionals, *options]],
        )
    for action in nested:
        for name, subparser in action.choices.items():
            yield f"### `{program} {name}`"
            yield ""
            yield from _parser(f"{program} {name}", subparser)


def _is_djangos(action: argparse.Action) -> bool:
    # What BaseCommand adds to every command.
    return action.dest in {
        "help", "version", "verbosity", "settings", "pythonpath", "traceback", "no_color",
        "force_color", "skip_checks",
    }  # fmt: skip


def _wrapped(usage: str) -> Iterator[str]:
    """Yield a block of code, wrapped between the arguments."""
    words = re.findall(r"\[[^]]*\]|\S+", usage)
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) < _USAGE_WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(f"    {word}")
    yield from ["```text", *lines, "```", ""]


def _name(action: argparse.Action) -> str:
    if not action.option_strings:
        return str(action.metavar or action.dest)
    if action.nargs == 0:
        return ", ".join(action.option_strings)
    value = action.metavar or "|".join(map(str, action.choices or [action.dest.upper()]))
    return f"{', '.join(action.option_strings)} {value}"


def _usage(action: argparse.Action) -> str:
    name = _name(action)
    if action.option_strings:
        return name if action.required else f"[{name}]"
    return {"+": f"{name} [{name} ...]", "*": f"[{name} ...]", "?": f"[{name}]"}.get(
        str(action.nargs), name
    )


def _help(action: argparse.Action) -> str:
    text = (action.help or "") % {"default": action.default, "prog": "manage.py"}
    return re.sub(r"(?<![\w-])(--[a-z]*)", r"`\1`", text)


def make_targets() -> Iterator[str]:
    """Describe the targets of the Makefile by what ``make help`` says."""
    makefile = (_ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):.*## (.*)$", makefile, re.MULTILINE)
    yield from _table(["command", "what it does"], [[_code(f"make {n}"), t] for n, t in targets])


def settings() -> Iterator[str]:
    """Describe the environment variables."""
    from e2l_site.variables import VARIABLES

    yield from _table(
        ["variable", "default", "meaning"],
        [[_code(each.name), each.default, each.meaning] for each in VARIABLES],
    )


# --- states -------------------------------------------------------------------------------------


def actions_by_state() -> Iterator[str]:
    """Say which actions each state of an experiment allows, by asking the code that decides."""
    import django

    django.setup()
    from evolution.enums import ExperimentState
    from evolution.models import Experiment
    from evolution.services.control import possible_actions

    allowed = {state: possible_actions(Experiment(state=state)) for state in ExperimentState}
    actions = sorted(set().union(*allowed.values()))
    yield from _table(
        ["state", *actions],
        [[s, *("yes" if a in allowed[s] else "" for a in actions)] for s in ExperimentState],
    )


def choices(name: str) -> Iterator[str]:
    """List the members of one of the enumerations of states."""
    from evolution import enums

    yield from _table(
        ["value", "meaning"], [[f"*{each}*", each.label] for each in getattr(enums, name)]
    )


# --- Sphinx -------------------------------------------------------------------------------------


class _Generated(SphinxDirective):
    """Markdown that a function of this module writes."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        lines = _WRITERS[self.name](*self.arguments)
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


_WRITERS = {
    "learning-task": learning_task,
    "evolution-parameters": evolution,
    "commands": commands,
    "make-targets": make_targets,
    "settings": settings,
    "actions-by-state": actions_by_state,
    "choices": choices,
}


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    for name in _WRITERS:
        app.add_directive(name, _Generated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
