"""Exported programs run as they are and compute what the rule means."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolution.exports import cpp_function, numpy_function, pynest_script
from evolution.models import Rule
from nest_build.rules import parse
from nest_build.rules.tree import render
from tests.nest_build.rules.strategies import trees

ROOT = Path(__file__).parents[2]


@pytest.mark.nest
@pytest.mark.parametrize(
    ("signature", "expressions"),
    [
        ("v,u,s -> delta_w", ["(v - u)*s"]),
        ("R,E -> delta_w", ["E*(R - 1)"]),
        ("w,E -> depress,facilitate", ["w*E", "(1 - w)*E"]),
    ],
)
def test_a_script_changes_a_weight(signature: str, expressions: list[str]) -> None:
    script = pynest_script(Rule(signature=signature, expressions=expressions))
    result = subprocess.run(
        [sys.executable, "-"],
        input=script,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PYNEST_QUIET": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    before = {"v,u,s -> delta_w": 5.0, "R,E -> delta_w": 3000.0}.get(signature, 0.5)
    assert float(result.stdout.strip().splitlines()[-1].split("weight:")[1]) != before


def test_inputs_without_a_synapse_model_have_no_script() -> None:
    assert pynest_script(Rule(signature="a,b -> c", expressions=["a + b"])) is None


NAMES = ("v", "u", "s")
POINTS = np.random.default_rng(5).uniform(-2.0, 2.0, (3, 25))
#: Written with care: signs, divisions, powers that group from the right or leave the reals.
WRITTEN = [
    "-v**2",
    "(-v)**2",
    "v - (u - s)",
    "v/(u/s)",
    "v/(u*s)",
    "-(v + u)*s",
    "v*(-u)",
    "v**2**0.5",
    "(v - u)**0.5",
    "v**(-2)",
    "1/3*v",
    "2*(u - 1)",
    "-(-v)",
    "1e-05*v + 2e+20",
    "v**s*u",
]


def rule_of(texts: list[str]) -> Rule:
    branches = ",".join(f"f{index}" for index in range(len(texts)))
    return Rule(signature=f"{','.join(NAMES)} -> {branches}", expressions=texts)


def check(texts: list[str], found: np.ndarray) -> None:
    """Compare with the language's own evaluation where that is an ordinary number."""
    n_compared = 0
    for text, values in zip(texts, found, strict=True):
        expected = parse(text, NAMES).evaluate(*POINTS)
        ordinary = np.isfinite(expected) & (np.abs(expected) < 1e12)
        n_compared += ordinary.sum()
        np.testing.assert_allclose(
            values[ordinary], expected[ordinary], rtol=1e-6, atol=1e-9, err_msg=text
        )
    assert n_compared > 5 * len(texts)


many_rules = st.lists(trees().map(lambda tree: render(tree, NAMES)), min_size=40, max_size=40)


@settings(max_examples=5, deadline=None, derandomize=True)
@given(many_rules)
def test_the_numpy_function_computes_the_rule(random: list[str]) -> None:
    texts = WRITTEN + random
    found = []
    for text in texts:
        scope: dict = {}
        exec(numpy_function(rule_of([text])), scope)
        with np.errstate(all="ignore"):
            value = scope["plasticity_rule"](*POINTS)
        found.append(np.broadcast_to(value, POINTS.shape[1:]))
    check(texts, np.array(found))


@settings(max_examples=2, deadline=None, derandomize=True)
@given(many_rules)
def test_the_cpp_functions_compute_the_rule(tmp_path_factory, random: list[str]) -> None:
    texts = WRITTEN + random
    directory = tmp_path_factory.mktemp("cpp")
    calls = "\n".join(f'printf( "%.17g\\n", f{index}( v, u, s ) );' for index in range(len(texts)))
    # Each rule for itself: whether a function is complex is up to its own powers.
    rules = [Rule(signature=f"v,u,s -> f{i}", expressions=[text]) for i, text in enumerate(texts)]
    program = "\n".join(map(cpp_function, rules))
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
