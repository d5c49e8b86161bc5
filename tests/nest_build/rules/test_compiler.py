"""Machine code against the reference, bit by bit."""

import multiprocessing
import os
import resource
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nest_build.rules import Arithmetic, compile_rule, parse
from nest_build.rules.codegen import VECTOR_WIDTH, generate
from tests.nest_build.rules.strategies import (
    ANY_CONSTANTS,
    INPUTS,
    SMALL_CONSTANTS,
    SPECIAL_VALUES,
    expressions,
)

#: Rules of every kind of arithmetic: real, with library powers, with complex values.
RULES = [
    "(v - u)*s",
    "v",
    "2",
    "-v/(u**2 - v + 2*s)",
    "v**-3 + u**0 + s**64",
    "v**65 + u**(-100)",
    "v**u/(s + v**s)",
    "(v/(v - u))**(v - u)",
    "(v**u)**(s**v)",
    "0**v + v**0.5*u**0.5",
    "-v/u**u",
]


def identical(one, other):
    """Whether all doubles have the same bits, any NaN being as good as any other."""
    one, other = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    same_bits = one.view(np.int64) == other.view(np.int64)
    return bool((same_bits | (np.isnan(one) & np.isnan(other))).all())


@settings(max_examples=300, deadline=None)
@given(
    expressions(constants=SMALL_CONSTANTS | ANY_CONSTANTS),
    st.lists(st.tuples(*[SPECIAL_VALUES] * len(INPUTS)), min_size=1, max_size=2 * VECTOR_WIDTH + 1),
    st.sampled_from(Arithmetic),
)
def test_compiled_functions_equal_the_reference(expression, points, arithmetic):
    arrays = np.array(points).T
    compiled = compile_rule(expression, arithmetic=arithmetic)
    reference = expression.evaluate(*arrays, arithmetic=arithmetic)
    assert identical(compiled(*arrays), reference)
    assert identical([compiled.scalar(*point) for point in points], reference)


@pytest.mark.parametrize("text", RULES)
@pytest.mark.parametrize("n", [0, 1, VECTOR_WIDTH - 1, VECTOR_WIDTH, 1000])
def test_array_function_takes_any_length(text, n):
    arrays = np.random.default_rng(1).normal(size=(3, n))
    expression = parse(text, INPUTS)
    assert identical(compile_rule(expression)(*arrays), expression.evaluate(*arrays))


@pytest.mark.parametrize("text", RULES)
@pytest.mark.parametrize("uniform", [("v",), ("v", "u"), INPUTS])
def test_uniform_inputs_are_one_number(text, uniform):
    values = np.random.default_rng(2).normal(size=(3, 11))
    arguments = [
        row[0] if name in uniform else row for name, row in zip(INPUTS, values, strict=True)
    ]
    expression = parse(text, INPUTS)
    compiled = compile_rule(expression, uniform=uniform)
    assert compiled.uniform == frozenset(uniform)
    assert identical(compiled(*arguments), np.asarray(expression.evaluate(*arguments)))


def test_array_function_may_write_over_an_input():
    compiled = compile_rule(parse("(v - u)*s", INPUTS))
    values = np.random.default_rng(3).normal(size=(3, 10))
    expected = (values[0] - values[1]) * values[2]
    pointer = compiled._array.argtypes[1]
    pointers = [row.ctypes.data_as(pointer) for row in values]
    compiled._array(10, *pointers, pointers[2])
    assert identical(values[2], expected)


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("v**u", (-4.0, 0.5, 0.0), 0.0),
        ("v**u*v**u", (-4.0, 0.5, 0.0), -4.0),
        ("v**u", (-8.0, 1 / 3, 0.0), 1.0),
        ("(v**u)**s", (-1.0, 0.5, 2.0), -1.0),
        ("v**(u**s)", (2.0, -1.0, 0.5), np.cos(np.log(2.0))),
        ("v**u", (0.0, 0.0, 0.0), 1.0),
        ("v/u", (1.0, 0.0, 0.0), np.inf),
        ("v/u", (-1.0, 0.0, 0.0), -np.inf),
        ("v/u", (0.0, 0.0, 0.0), np.nan),
        ("v**u", (0.0, -1.0, 0.0), np.inf),
        ("v**(-3)", (-0.0, 0.0, 0.0), -np.inf),
        ("v*u**s", (np.inf, 4.0, 0.5), np.inf),  # a real power does not make inf complex
        ("v**2", (1e200, 0.0, 0.0), np.inf),
    ],
)
def test_meaning_of_powers_and_singular_points(text, values, expected):
    value = compile_rule(parse(text, INPUTS)).scalar(*values)
    assert value == pytest.approx(expected, rel=1e-15, abs=1e-15, nan_ok=True)


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("v*u", (0.0, np.inf, 0.0), 0.0),
        ("v*u", (-np.inf, 0.0, 0.0), 0.0),
        ("v*u", (np.nan, 0.0, 0.0), 0.0),
        ("v*u*s", (np.nan, np.inf, 0.0), 0.0),
        ("v*u", (np.nan, 1.0, 0.0), np.nan),
        ("v/u", (0.0, 0.0, 0.0), 0.0),
        ("v/u", (np.inf, np.inf, 0.0), 0.0),  # inf*(1/inf)
        ("v/u", (np.nan, -np.inf, 0.0), -0.0),
        ("v/u", (1.0, 0.0, 0.0), np.inf),
        ("v/u", (-1.0, 0.0, 0.0), -np.inf),
        ("v - u", (np.inf, np.inf, 0.0), np.nan),
        ("v**(-2)*u", (0.0, 0.0, 0.0), 0.0),
        ("v**u", (0.0, 0.0, 0.0), 1.0),
        ("v**0.5*u", (-np.inf, 0.0, 0.0), 0.0),  # a complex factor
        ("(v**0.5 - v**0.5)*u", (-4.0, np.inf, 0.0), 0.0),  # a zero that was complex
        ("u/v**0.5", (-4.0, 0.0, 0.0), 0.0),
        ("u/v**0.5*v**0.5", (-4.0, 3.0, 0.0), 3.0),
        ("v*(u - u)/(s - s)", (np.inf, 1.0, 1.0), 0.0),
        ("v*u", (-0.0, np.inf, 0.0), -0.0),  # the factor that is zero, with its sign
        ("v*u", (0.0, -1.0, 0.0), 0.0),
        ("v*u", (0.0, -0.0, 0.0), 0.0),
    ],
)
def test_meaning_of_zero_products(text, values, expected):
    compiled = compile_rule(parse(text, INPUTS), arithmetic=Arithmetic.ZERO_PRODUCTS)
    assert compiled.arithmetic is Arithmetic.ZERO_PRODUCTS
    value = compiled.scalar(*values)
    assert value == pytest.approx(expected, rel=1e-15, abs=1e-15, nan_ok=True)
    assert np.isnan(expected) or np.signbit(value) == np.signbit(expected)
    # Whole vectors, and the rest.
    points = np.repeat(np.array(values)[:, np.newaxis], VECTOR_WIDTH + 1, axis=1)
    assert identical(compiled(*points), np.full(VECTOR_WIDTH + 1, value))


@settings(max_examples=200, deadline=None)
@given(
    expressions(constants=SMALL_CONSTANTS, operators="+-*"),
    st.lists(st.tuples(*[st.floats(-3.0, 3.0)] * len(INPUTS)), min_size=1, max_size=5),
)
def test_finite_products_are_the_same_in_both_arithmetics(expression, points):
    arrays = np.array(points).T
    np.testing.assert_array_equal(
        expression.evaluate(*arrays, arithmetic=Arithmetic.ZERO_PRODUCTS),
        expression.evaluate(*arrays),
    )


def test_real_rules_are_vectorized_and_free_of_calls():
    source = generate(parse("(v - u)*s/(1 + u**2)", INPUTS))
    assert "select" not in source
    array_function = source[source.index("define void") :]
    assert f"fdiv <{VECTOR_WIDTH} x double>" in array_function
    assert "call double @e2l" not in source
    for flag in ("fast", "contract", "reassoc"):
        assert flag not in source


def test_a_rule_is_compiled_once_while_it_is_in_demand():
    one = compile_rule(parse("v*u + 0.125", INPUTS))
    assert compile_rule(parse("x_0*x_1 + 1.25e-1", INPUTS)) is one
    assert compile_rule(parse("v*u + 0.125", INPUTS), uniform=["v"]) is not one
    assert compile_rule(parse("v*u + 0.125", INPUTS), arithmetic=Arithmetic.IEEE) is one


def test_rules_of_different_arithmetic_are_kept_apart():
    expression = parse("v*u + 0.375", INPUTS)
    values = {}
    for arithmetic in (*Arithmetic, *Arithmetic):
        compiled = compile_rule(expression, arithmetic=arithmetic)
        values.setdefault(arithmetic, []).append(compiled.scalar(0.0, np.inf, 0.0))
    assert np.isnan(values[Arithmetic.IEEE]).all()
    assert values[Arithmetic.ZERO_PRODUCTS] == [0.375, 0.375]


def test_rules_are_forgotten_unless_somebody_keeps_them():
    kept = compile_rule(parse("(v*u + 0.0625)**s", INPUTS))
    for k in range(300):
        compile_rule(parse(f"v*{k}.75 - u**s", INPUTS))
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for k in range(300, 1200):
        compile_rule(parse(f"v*{k}.75 - u**s", INPUTS))
    # What 900 rules would take is more than 40 MB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 8_000
    assert kept.scalar(2.0, 3.0, 2.0) == 6.0625**2
    again = compile_rule(parse("(v*u + 0.0625)**s", INPUTS))
    assert again is not kept
    assert again(2.0, [3.0, -3.0], 2.0).tolist() == [6.0625**2, 5.9375**2]


def test_unknown_uniform_input_is_refused():
    with pytest.raises(ValueError, match="not an input of the rule: q"):
        compile_rule(parse("v", INPUTS), uniform=["q"])


def test_largest_expressions_compile():
    text = "+".join(f"({'*'.join(['v'] * 24)})**u" for _ in range(40))
    expression = parse(text, INPUTS)
    assert compile_rule(expression).scalar(1.0, 2.0, 3.0) == 40.0


def test_threads_share_the_compiler():
    compiled, expressions_ = [], [parse(f"v*{k}.5 + u", INPUTS) for k in range(20)]

    def work():
        compiled.append([compile_rule(expression).scalar_address for expression in expressions_])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({tuple(addresses) for addresses in compiled}) == 1
    assert len(set(compiled[0])) == len(expressions_)


def _compile_in_child(connection):
    before = compile_rule(parse("v + u*3", INPUTS)).scalar(1.0, 2.0, 0.0)
    fresh = compile_rule(parse("(v + u*3)**s", INPUTS)).scalar(1.0, 2.0, 2.0)
    connection.send((before, fresh))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_worker_compiles():
    compile_rule(parse("v + u*3", INPUTS))
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_compile_in_child, args=(sender,))
    child.start()
    assert receiver.poll(30), "the forked process did not answer"
    assert receiver.recv() == (7.0, 49.0)
    child.join(10)
    assert child.exitcode == 0
