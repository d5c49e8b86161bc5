"""Functions in C++."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolution.exports.reading import expressions, may_leave_reals
from nest_build.rules.tree import (
    POWER,
    PRODUCT,
    SIGN,
    Input,
    Neg,
    Number,
    number_text,
    precedence,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evolution.models import Rule
    from nest_build.rules.tree import Node


def cpp_function(rule: Rule) -> str:
    """Return a C++ function for each branch, without other headers than those of the standard."""
    trees = {branch: expression.tree for branch, expression in expressions(rule).items()}
    is_complex = any(map(may_leave_reals, trees.values()))
    parts = ["#include <cmath>\n" + ("#include <complex>\n" if is_complex else "")]
    for branch, tree in trees.items():
        parameters = ", ".join(f"double {name}" for name in rule.input_names)
        lines = [f"double {branch}( {parameters} )", "{"]
        if not may_leave_reals(tree):
            value = _cpp(tree, rule.input_names, _cpp_number)
        else:
            names = {f"{name}_": name for name in rule.input_names}
            value = f"std::real( {_cpp(tree, list(names), _cpp_complex_number)} )"
            lines += [
                f"  const std::complex< double > {own}( {name} );" for own, name in names.items()
            ]
        parts.append("\n".join([*lines, f"  return {value};", "}", ""]))
    return "\n".join(parts)


def _cpp(node: Node, names: Sequence[str], number: Callable[[float], str]) -> str:
    """Return an expression in C++, with constants as ``number`` writes them."""

    def inner(child: Node, least: int) -> str:
        text = _cpp(child, names, number)
        return f"( {text} )" if precedence(child) < least else text

    if isinstance(node, Number):
        return number(node.value)
    if isinstance(node, Input):
        return names[node.index]
    if isinstance(node, Neg):
        return f"-{inner(node.operand, POWER)}"
    if node.operator == "**":
        return f"std::pow( {inner(node.left, 0)}, {inner(node.right, 0)} )"
    own = precedence(node)
    right = inner(node.right, SIGN + 1 if own == PRODUCT else PRODUCT)
    right = f"( {right} )" if right.startswith("-") else right
    return f"{inner(node.left, own)} {node.operator} {right}"


def _cpp_number(value: float) -> str:
    text = number_text(value)
    return text if "." in text or "e" in text else f"{text}.0"


def _cpp_complex_number(value: float) -> str:
    return f"std::complex< double >( {_cpp_number(value)} )"
