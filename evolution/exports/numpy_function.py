"""A Python function over NumPy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolution.exports.reading import expressions, may_leave_reals
from nest_build.rules.tree import Binary, Input, number_text, render, walk

if TYPE_CHECKING:
    from evolution.models import Rule
    from nest_build.rules.tree import Node


def numpy_function(rule: Rule) -> str:
    """Return the text of a Python function over NumPy arrays, one value per branch."""
    branches = expressions(rule)
    names = ", ".join(rule.input_names)
    is_complex = any(may_leave_reals(expression.tree) for expression in branches.values())
    # Numbers of arrays: the language divides by zero as IEEE says, integers of Python do not.
    kind = "complex" if is_complex else "float"
    values = ", ".join(f"np.asarray({name}, {kind})" for name in rule.input_names)
    lines = [
        "import numpy as np",
        "",
        "",
        f"def plasticity_rule({names}):",
        f"    {names} = {values}",
    ]
    for branch, expression in branches.items():
        number = number_text
        if _has_constant_part(expression.tree):
            number = _complex_number if is_complex else _number
        value = render(expression.tree, rule.input_names, number)
        lines.append(f"    {branch} = {f'np.real({value})' if is_complex else value}")
    lines.append(f"    return {', '.join(branches)}")
    return "\n".join(lines) + "\n"


def _has_constant_part(tree: Node) -> bool:
    """Tell whether something is computed of constants alone; Python's numbers raise errors."""
    return any(
        isinstance(node, Binary) and not any(isinstance(leaf, Input) for leaf in walk(node))
        for node in walk(tree)
    )


def _number(value: float) -> str:
    return f"np.float64({number_text(value)})"


def _complex_number(value: float) -> str:
    return f"np.complex128({number_text(value)})"
