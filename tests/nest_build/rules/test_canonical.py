"""Canonical form and complexity."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import symengine
from hypothesis import given, settings

from nest_build.rules import RuleSyntaxError, expression_from_symengine, parse
from tests.nest_build.rules.bounds import evaluate_with_bounds
from tests.nest_build.rules.strategies import INPUTS, expressions

PROJECT_ROOT = Path(__file__).resolve().parents[3]

#: Generic points of both signs, shape (3, 8).
POINTS = np.array(
    [
        [1.31, -0.72, 0.45, -1.93, 2.11, 0.87, -0.37, -1.18],
        [0.53, 1.77, -0.91, -0.29, 1.09, -1.61, 2.03, -0.66],
        [-1.41, 0.23, 1.63, -0.83, 0.59, -2.07, -0.47, 1.27],
    ]
)


def canonical(text):
    return str(parse(text, INPUTS).canonical())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s*(v - u)", "(v - u)*s"),
        ("-(u - v)*s", "(v - u)*s"),
        ("(2*v - 2*u)*s", "2*(v - u)*s"),
        ("0.5*(v - u)*s", "(v - u)*s/2"),
        ("1.5*(v - u)*s", "1.5*(v - u)*s"),
        ("v - (v + u)", "-u"),
        ("v + 2*(u + s)", "v + 2*u + 2*s"),
        ("v/v", "1"),
        ("v**0", "1"),
        ("v - v", "0"),
        ("0.1*v + 0.2*v", "0.3*v"),
        ("0.1**12", "1e-12"),
        ("-u + v**2", "v**2 - u"),
        ("-v/(v - 1.0)", "-v/(v - 1)"),
        ("1.0*u*v**-1", "u/v"),
        ("u/(2*v)", "u/(2*v)"),
        ("x_1*(-x_0 + x_1)/(2*(x_0*x_2 + x_1**2))", "(u - v)*u/(2*(v*s + u**2))"),
        ("1024.0*x_1**10.0", "1024*u**10"),
        ("(v*(v - u))**2", "(v - u)**2*v**2"),
        ("v/3 + 2/3", "v/3 + 2/3"),
        ("v**u*v**s", "v**(u + s)"),
    ],
)
def test_structure_is_simplified(text, expected):
    assert canonical(text) == expected


@pytest.mark.parametrize("text", ["s*(v - u) + s*(v + u)", "(v + u)*(v - u)", "(v + u)**2"])
def test_products_are_not_expanded(text):
    assert parse(text, INPUTS).canonical().tree.operator in ("+", "*", "**")
    assert "v*u" not in canonical(text)


@pytest.mark.parametrize(
    "text",
    [
        "10**(10**8)",
        "(2*v)**100000",
        "((((9**9)**9)**9)**9)**9",
        "1/0",
        "0**v",
        "0**(-1)",
        "(-1)**0.5",
        "1e+300*v*1e+300",
        "(1/v)**u",
        "12345678901234567**0.14285714285714285",
    ],
)
def test_what_is_not_simplified_safely_stays_as_written(text):
    start = time.perf_counter()
    expression = parse(text, INPUTS)
    assert expression.canonical() == expression
    assert time.perf_counter() - start < 0.5


@settings(max_examples=300, deadline=None)
@given(expressions())
def test_canonical_form_is_final_and_readable(expression):
    simplified = expression.canonical()
    assert simplified.canonical() == simplified
    assert parse(str(simplified), INPUTS) == simplified


@settings(max_examples=300, deadline=None)
@given(expressions())
def test_canonical_form_keeps_the_value(expression):
    value, error = evaluate_with_bounds(expression.tree, POINTS)
    simplified, simplified_error = evaluate_with_bounds(expression.canonical().tree, POINTS)
    bound = 4 * (error + simplified_error)
    # A bound that is not finite marks a point on which the expression is singular or ambiguous.
    regular = np.isfinite(bound)
    assert (np.abs(value[regular] - simplified[regular]) <= bound[regular]).all()


def test_canonical_form_is_the_same_in_every_process():
    texts = [
        "s*v + u*v + s*u + v/u/s + (v - u)*(u - s)*(s - v)",
        "(v + u + s)**(v*u*s) + (s - u)**v",
        "x_0*x_2*(x_0 - x_1)*(x_1 - 1)/(x_0**2 - x_1*x_2*(x_1 - 1))",
    ]
    program = (
        "import sys; from nest_build.rules import parse\n"
        f"e = [parse(t, {INPUTS!r}) for t in sys.argv[1:]]\n"
        "print([(str(x.canonical()), x.fingerprint()) for x in e])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program, *texts],
            cwd=PROJECT_ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v", 1),
        ("(v - u)*s", 5),
        ("s*v/v", 1),
        ("v + 2*(u + s)", 7),  # as written; the canonical sum is longer
        ("-v", 2),
        ("v**2", 3),
    ],
)
def test_complexity_counts_the_simplest_known_form(text, expected):
    assert parse(text, INPUTS).complexity() == expected


def test_symengine_value_becomes_an_expression():
    x = symengine.symbols("x_0 x_1 x_2")
    genome_function = (x[0] - x[1]) * x[2] * 1.0
    expression = expression_from_symengine(genome_function, INPUTS)
    assert str(expression.canonical()) == "(v - u)*s"


def test_symengine_value_may_use_names_and_plain_numbers():
    v, u = symengine.symbols("v u")
    assert str(expression_from_symengine(v**2 - u, INPUTS)) == "v**2 - u"
    assert str(expression_from_symengine(0.1, INPUTS)) == "0.1"
    assert str(expression_from_symengine(-3, INPUTS)) == "-3"


def test_names_that_are_aliases_of_other_inputs_are_not_mixed_up():
    # Simultaneous, not one after the other: with inputs (u, v), v is x_1 and u is x_0.
    v, u = symengine.symbols("v u")
    assert str(expression_from_symengine(u - v, ("u", "v"))) == "u - v"


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x / (symengine.RealDouble(1.0) - 1),
        lambda x: symengine.RealDouble(10.0) ** symengine.RealDouble(400.0) * x,
        lambda x: symengine.sqrt(-1) * x,
        symengine.sin,
        lambda x: symengine.Symbol("q"),
        lambda x: "x_0",
        lambda x: None,
        lambda x: float("nan"),
    ],
)
def test_symengine_value_outside_the_language_is_refused(make):
    with pytest.raises(RuleSyntaxError):
        expression_from_symengine(make(symengine.Symbol("x_0")), INPUTS)


def test_symengine_value_with_an_exploding_tree_is_refused():
    x, y = symengine.symbols("x_0 x_1")
    value = x
    for _ in range(40):
        value = (value + y) ** value
    with pytest.raises(RuleSyntaxError, match="operators and operands"):
        expression_from_symengine(value, INPUTS)
