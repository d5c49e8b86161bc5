"""The rule as an expression of SymPy."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from evolution.exports.reading import expressions, may_leave_reals
from nest_build.rules.tree import render

if TYPE_CHECKING:
    from evolution.models import Rule


def sympy_expression(rule: Rule) -> str:
    """Return Python text that builds an expression for each branch.

    Constants are exact. Nothing is simplified on the way: SymPy would work out ``10**10**8`` digit
    by digit.
    """
    names = rule.input_names
    lines = [
        "import sympy as sp",
        "",
        f'{", ".join(names)} = sp.symbols("{" ".join(names)}", real=True)',
        "",
        "# As it is written; sp.simplify goes further.",
        "with sp.evaluate(False):",
    ]
    for branch, expression in expressions(rule).items():
        text = render(expression.tree, names, _number)
        if may_leave_reals(expression.tree):
            text = f"sp.re({text})"
        lines.append(f"    {branch} = {text}")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    exact = Fraction(repr(value))
    if exact.denominator == 1:
        return f"sp.Integer({exact})"
    return f"sp.Rational({exact.numerator}, {exact.denominator})"
