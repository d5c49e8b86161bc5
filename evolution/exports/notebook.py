"""A Jupyter notebook that explains the rule and shows it at work."""

from __future__ import annotations

import json
from string import Template
from typing import TYPE_CHECKING, Any

from evolution.exports.markup import latex
from evolution.exports.notebook_cells import PLOTS, SIMULATIONS
from evolution.exports.numpy_function import numpy_function
from evolution.exports.reading import inputs, require_synapse_model, texts

if TYPE_CHECKING:
    from evolution.models import Rule

_NEEDS = """\
It needs Python with PyNEST, NumPy and Matplotlib. The simulation at its end needs the NEST
modules of e2l, too: `make modules` in the project directory builds them, and this directory has to
be on `PYTHONPATH`."""


def notebook(rule: Rule) -> str:
    """Return a notebook without outputs; the same rule gives the same text.

    Raises
    ------
    Inexpressible
        If no synapse model has the inputs of the rule.
    """
    require_synapse_model(rule)
    explanation, simulation = SIMULATIONS[rule.signature]
    cells = [
        ("markdown", f"# Plasticity rule {rule.fingerprint[:12]}\n\n{_NEEDS}"),
        ("markdown", f"## Mathematics\n\n{latex(rule)}\n{_table_of_inputs(rule)}"),
        ("markdown", "## The rule as a function"),
        ("code", numpy_function(rule).rstrip()),
        ("markdown", "## Its shape"),
        ("code", PLOTS[rule.signature]),
        ("markdown", f"## At work\n\n{explanation}"),
        ("code", Template(simulation).substitute(texts(rule))),
    ]
    # Written here and not by nbformat, which checks for tenths of a second what cannot be wrong.
    content = {
        "cells": [_cell(number, *cell) for number, cell in enumerate(cells, start=1)],
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1) + "\n"


def _cell(number: int, kind: str, text: str) -> dict[str, Any]:
    cell = {
        "cell_type": kind,
        "id": f"cell-{number}",
        "metadata": {},
        "source": text.splitlines(keepends=True),
    }
    return cell if kind == "markdown" else {**cell, "execution_count": None, "outputs": []}


def _table_of_inputs(rule: Rule) -> str:
    rows = [f"| ${item.name}$ | {item.unit or '1'} | {item.description} |" for item in inputs(rule)]
    return "\n".join(["| Input | Unit | Meaning |", "| --- | --- | --- |", *rows])
