"""Exported functions and expressions run as they are and compute what the rule means."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings

from evolution.exports import FORMS
from nest_build.rules import parse
from tests.evolution.exports.rules import NAMES, POINTS, WRITTEN, check, many_texts, rule_of

if TYPE_CHECKING:
    from collections.abc import Callable


@settings(max_examples=5, deadline=None, derandomize=True)
@given(many_texts)
def test_the_numpy_function_computes_the_rule(random: list[str]) -> None:
    texts = WRITTEN + random
    found = []
    for text in texts:
        scope: dict = {}
        exec(FORMS["numpy"].write(rule_of(text)), scope)
        with np.errstate(all="ignore"):
            value = scope["plasticity_rule"](*POINTS)
        found.append(np.broadcast_to(value, POINTS.shape[1:]))
    check(texts, np.array(found))


@pytest.mark.parametrize("text", ["(v - u)*s", "v**2/(u - 3) - 0.1*s", "-v/u"])
def test_the_numpy_function_rounds_as_the_language(text: str) -> None:
    scope: dict = {}
    exec(FORMS["numpy"].write(rule_of(text)), scope)
    expected = parse(text, NAMES).evaluate(*POINTS)
    np.testing.assert_allclose(scope["plasticity_rule"](*POINTS), expected, rtol=1e-15)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1/0 + v", np.inf), ("v - 1/0", -np.inf), ("10**(10**8)*v", np.inf), ("2**(-2)*v", 0.25)],
)
def test_constants_alone_raise_no_errors_of_python(text: str, value: float) -> None:
    scope: dict = {}
    exec(FORMS["numpy"].write(rule_of(text)), scope)
    with np.errstate(all="ignore"):
        assert scope["plasticity_rule"](1.0, 1.0, 1.0) == value


@settings(max_examples=2, deadline=None, derandomize=True)
@given(many_texts)
def test_the_cpp_functions_compute_the_rule(tmp_path_factory, random: list[str]) -> None:
    texts = WRITTEN + random
    directory = tmp_path_factory.mktemp("cpp")
    calls = "\n".join(f'printf( "%.17g\\n", f{index}( v, u, s ) );' for index in range(len(texts)))
    # Each rule for itself: whether a function is complex is up to its own powers.
    rules = [rule_of(text, signature=f"v,u,s -> f{i}") for i, text in enumerate(texts)]
    program = "\n".join(map(FORMS["cpp"].write, rules))
    (directory / "rules.cpp").write_text(
        f"{program}\n#include <cstdio>\nint main()\n{{\n  double v, u, s;\n"
        f'  while ( scanf( "%lf %lf %lf", &v, &u, &s ) == 3 )\n  {{\n{calls}\n  }}\n}}\n'
    )
    compile_it = ["c++", "-std=c++20", "-Wall", "-Werror", "rules.cpp", "-o", "rules"]
    built = subprocess.run(compile_it, cwd=directory, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    lines = "\n".join(" ".join(map(repr, map(float, point))) for point in POINTS.T)
    done = subprocess.run(
        [directory / "rules"], input=lines, capture_output=True, text=True, check=True
    )
    values = np.array([float(line) for line in done.stdout.split()])
    check(texts, values.reshape(POINTS.shape[1], len(texts)).T)


def built_with_sympy(*texts: str) -> dict:
    scope: dict = {}
    exec(FORMS["sympy"].write(rule_of(*texts)), scope)
    return scope


@settings(max_examples=2, deadline=None, derandomize=True)
@given(many_texts)
def test_the_sympy_expression_is_the_rule(random: list[str]) -> None:
    texts = WRITTEN + random
    symbols = sympy.symbols(NAMES, real=True)
    found = []
    for text in texts:
        # The numbers of mpmath become complex where a power leaves the reals.
        function = sympy.lambdify(symbols, built_with_sympy(text)["f0"], "mpmath")
        found.append([value_of(function, *map(mpmath.mpf, point)) for point in POINTS.T])
    check(texts, np.array(found))


def value_of(function: Callable, *point: mpmath.mpf) -> float:
    try:
        return float(function(*point))
    except (ZeroDivisionError, OverflowError):
        return np.nan


def test_sympy_has_real_symbols_and_exact_constants() -> None:
    scope = built_with_sympy("0.1*v + 1/3", "(v - u)**0.5", "1e+300*s")
    v, u, s = (scope[name] for name in NAMES)
    assert (v, u, s) == sympy.symbols("v u s", real=True)
    assert sympy.simplify(scope["f0"] - v / 10 - sympy.Rational(1, 3)) == 0
    assert scope["f1"].has(sympy.re)
    assert scope["f1"].subs({v: 1, u: 3}) == 0  # i times the square root of 2
    assert scope["f2"].doit() == 10**300 * s
    assert sympy.diff(built_with_sympy("(v - u)*s")["f0"], s).doit() == v - u


def test_sympy_does_not_compute_what_takes_for_ever() -> None:
    text = "(2*v)**(10**(10**8))"
    assert str(built_with_sympy(text)["f0"]) == f"re({text})"
