"""Fingerprints: equal for equal values, different for different ones."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nest_build.rules import Expression, parse
from nest_build.rules.equivalence import _values, family, is_positive_multiple
from nest_build.rules.tree import Binary, Neg, Number
from tests.nest_build.rules.bounds import evaluate_with_bounds
from tests.nest_build.rules.strategies import INPUTS, expressions, trees

ONE = Number(1.0)
TWO = Number(2.0)

#: Rewrites that keep the value of a tree, given another tree.
REWRITES = [
    lambda a, b: Binary("-", Binary("+", a, b), b),
    lambda a, b: Binary("*", ONE, a),
    lambda a, b: Binary("/", Binary("*", a, TWO), TWO),
    lambda a, b: Neg(Neg(a)),
    lambda a, b: Binary("-", b, Binary("-", b, a)),
    lambda a, b: Binary("-", Binary("*", a, Binary("+", b, ONE)), Binary("*", a, b)),
    lambda a, b: Binary("/", Binary("*", a, b), b),
    lambda a, b: Binary("**", a, ONE),
    lambda a, b: Binary("+", a, Binary("-", Binary("*", b, b), Binary("**", b, TWO))),
]


def fingerprint(text):
    return parse(text, INPUTS).fingerprint()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("s*(v - u)", "s*v - s*u"),
        ("(v + u)**2", "v*v + 2*v*u + u**2"),
        ("(v**2 - u**2)/(v - u)", "v + u"),
        ("(v + 1)*(u + 1) - u - v*u - 1", "v"),
        ("(v + 1)*(u + 1) - u - v*u - 1 - v", "0"),
        ("v**0.5*v**0.5", "v"),
        ("1/(1/v + 1/u)", "v*u/(v + u)"),
        ("2**v*2", "2**(v + 1)"),
        ("v*(1 + 1e-14)", "v"),
    ],
)
def test_equal_values_have_equal_fingerprints(one, other):
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("v - u", "u - v"),
        ("(v - u)*s", "2*(v - u)*s"),
        ("(v**2)**0.5", "v"),
        ("v*u", "v*s"),
        ("v + 1e-6", "v"),
        ("v**2", "v**2.001"),
        ("0", "1/0"),
        ("1e-20*v", "0"),
        ("1e-20*v", "1e-20*u"),
    ],
)
def test_different_values_have_different_fingerprints(one, other):
    assert fingerprint(one) != fingerprint(other)


def test_fingerprint_is_pinned():
    # A change would orphan every stored evaluation: make one only on purpose.
    assert fingerprint("(v - u)*s") == "34e5294292cfe5474873a10a214c378d"


def test_inputs_belong_to_the_fingerprint():
    assert parse("x_0", ("v", "u")).fingerprint() != parse("x_0", ("w", "E")).fingerprint()


@settings(max_examples=300, deadline=None)
@given(
    trees(operators="+-*/", max_leaves=8),
    trees(operators="+-*", max_leaves=4),
    st.sampled_from(REWRITES),
)
def test_algebraic_rewrite_keeps_the_fingerprint(tree, other, rewrite):
    from nest_build.rules.equivalence import _points

    points = _points(len(INPUTS))
    rewritten = Expression(INPUTS, rewrite(tree, other))
    value, error = evaluate_with_bounds(rewritten.tree, points)
    # Ill-conditioned trees and divisions by nothing but rounding have no nine digits to compare.
    assume(np.isfinite(error).all() and (error <= 1e-11 * np.abs(value)).all())
    assert rewritten.fingerprint() == Expression(INPUTS, tree).fingerprint()


@settings(max_examples=200, deadline=None)
@given(expressions(), expressions())
def test_rules_of_different_value_are_told_apart(one, other):
    point = np.array([[0.731], [-1.383], [1.159]])
    (value, error), (other_value, other_error) = (
        evaluate_with_bounds(expression.tree, point) for expression in (one, other)
    )
    assume(np.isfinite(error + other_error).all())
    if one.fingerprint() == other.fingerprint():
        assert np.allclose(value, other_value, rtol=1e-6, atol=8 * (error + other_error).max())


def family_of(*texts):
    return family([parse(text, INPUTS) for text in texts])


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (("(v - u)*s",), ("0.1*s*v - 0.1*s*u",), True),
        (("(v - u)*s",), ("(u - v)*s",), False),
        (("v", "3*u"), ("10*v", "30*u"), True),
        (("v", "3*u"), ("10*v", "3*u"), False),
        (("v - v",), ("0",), True),
        (("v",), ("v + 0.0001",), False),
        (("v/(u - u)",), ("v",), False),
    ],
)
def test_families_are_the_same_up_to_a_positive_factor(one, other, is_same):
    assert (family_of(*one) == family_of(*other)) == is_same


@given(expressions(max_leaves=6), expressions(max_leaves=6), st.floats(1e-3, 1e3))
@settings(max_examples=60, deadline=None)
def test_families_agree_with_the_comparison_of_two_rules(one, other, factor):
    scaled = Expression(INPUTS, Binary("*", Number(factor), one.tree))
    for candidate in (scaled, other):
        if is_positive_multiple([one], [candidate]):
            assert family([one]) == family([candidate])
        elif np.isfinite(_values(one)).any():
            assert family([one]) != family([candidate])
