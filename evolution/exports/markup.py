"""The mathematics of a rule, for papers and for pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolution.exports.reading import expressions
from nest_build.rules.latex import latex_equations
from nest_build.rules.mathml import mathml_equations

if TYPE_CHECKING:
    from evolution.models import Rule


def latex(rule: Rule) -> str:
    """Return aligned equations in LaTeX; they need the package amsmath."""
    return latex_equations(expressions(rule))


def mathml(rule: Rule) -> str:
    """Return aligned equations in presentation MathML."""
    return mathml_equations(expressions(rule))
