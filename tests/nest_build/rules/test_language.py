"""The grammar: what is read, what is refused and with which message."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nest_build.rules import MAX_DEPTH, MAX_LENGTH, MAX_NODES, RuleSyntaxError, parse
from tests.nest_build.rules.strategies import (
    ANY_CONSTANTS,
    INPUTS,
    SMALL_CONSTANTS,
    expressions,
)


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("(v-u)*s", "(v - u)*s"),
        ("x_2*(x_0 - x_1)", "s*(v - u)"),
        (" \t v + u ", "v + u"),
        ("+v", "v"),
        ("-v**2", "-v**2"),
        ("(-v)**2", "(-v)**2"),
        ("v**u**s", "v**(u**s)"),
        ("(v**u)**s", "(v**u)**s"),
        ("v*-u", "v*(-u)"),
        ("v - (-u)", "v - (-u)"),
        ("v - (u - s)", "v - (u - s)"),
        ("v/(u*s)", "v/(u*s)"),
        ("v/u/s", "v/u/s"),
        ("1024.0*x_1**10.0", "1024*u**10"),
        (".5 + 5. + 1e-5", "0.5 + 5 + 1e-05"),
        ("-(-v)", "-(-v)"),
        ("0.30000000000000004", "0.30000000000000004"),
    ],
)
def test_text_is_read_and_rendered_with_named_inputs(text, rendered):
    assert str(parse(text, INPUTS)) == rendered


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 1, "The rule is empty."),
        ("  \t", 1, "The rule is empty."),
        ("v +", 4, "A number or an input is missing at the end."),
        ("*v", 1, "A number or an input is missing before '*'."),
        ("v*/u", 3, "A number or an input is missing before '/'."),
        ("v u", 3, "An operator is missing before 'u'; products are written with *."),
        ("2v", 2, "An operator is missing after 2: write 2*v... for a product."),
        ("(v - u", 1, "This bracket is never closed."),
        ("v - u)", 6, "This closing bracket has no opening bracket."),
        ("()", 2, "A number or an input is missing before ')'."),
        ("[v]", 1, "Use round brackets."),
        ("v < u", 3, "Comparisons and assignments are not part of the language."),
        ("v = u", 3, "Comparisons and assignments are not part of the language."),
        ("v.real", 2, "A point is allowed only inside a number."),
        ("v^2", 2, "Powers are written with **, not ^."),
        ("v//u", 2, "Division is written with one slash: /."),
        ("1_000", 2, "Numbers are written without underscores."),
        ("0x10", 2, "An operator is missing after 0: write 0*x... for a product."),
        ("1j", 2, "An operator is missing after 1: write 1*j... for a product."),
        ("1.2.3", 4, "A number has at most one decimal point."),
        ("007", 1, "A number does not start with a needless zero."),
        ("1,5", 2, "Decimals are written with a point; commas are not part of the language."),
        ("v + 1e999", 5, "The number is too large for double precision."),
        ("9" * 400, 1, "The number is too large for double precision."),
        ("--v", 2, "Two signs in a row: set the second one in brackets."),
        ("v - -u", 5, "Two signs in a row: set the second one in brackets."),
        ("v\n+ u", 2, "The rule must be on one line."),
        ("v\0", 2, r"The character '\x00' is not allowed; rules are plain ASCII text."),
        ("v·u", 2, r"The character '\xb7' is not allowed; rules are plain ASCII text."),
        ("v % u", 3, "The character '%' is not part of the language."),
    ],
)
def test_mistake_has_a_message_and_a_column(text, column, message):
    with pytest.raises(RuleSyntaxError) as caught:
        parse(text, INPUTS)
    assert (str(caught.value), caught.value.column) == (message, column)


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("v*w", 3, "Unknown name 'w'; the inputs are v, u, s (or x_0, x_1, x_2)."),
        (
            "V",
            1,
            "Unknown name 'V'; the inputs are v, u, s (or x_0, x_1, x_2). Did you mean 'v'?",
        ),
        (
            "x_3",
            1,
            "Unknown name 'x_3'; the inputs are v, u, s (or x_0, x_1, x_2). Did you mean 'x_2'?",
        ),
        ("lambda", 1, "Unknown name 'lambda'; the inputs are v, u, s (or x_0, x_1, x_2)."),
        (
            "exp (v)",
            1,
            "'exp(...)' is a function call; rules have only + - * / ** and brackets.",
        ),
        (
            "__import__('os').system('true')",
            1,
            "'__import__(...)' is a function call; rules have only + - * / ** and brackets.",
        ),
    ],
)
def test_unknown_name_is_answered_with_the_known_ones(text, column, message):
    with pytest.raises(RuleSyntaxError) as caught:
        parse(text, INPUTS)
    assert (str(caught.value), caught.value.column) == (message, column)


def test_message_does_not_repeat_aliases_that_are_the_names():
    with pytest.raises(RuleSyntaxError, match=r"the inputs are x_0, x_1\."):
        parse("zoo", ("x_0", "x_1"))


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000 + "v" + ")" * 10_000,
        "(" * 150 + "v" + ")" * 150,
        "-(" * 4_000 + "v",
        "+".join(["v"] * (MAX_DEPTH + 2)),
        "*".join(["v"] * 4_000),
        "v**" * 2_000 + "v",
        "-" * 5_000 + "v",
        "a" * (MAX_LENGTH + 1),
        "1" * 9_999,
    ],
)
def test_excess_is_refused(text):
    with pytest.raises(RuleSyntaxError):
        parse(text, INPUTS)


def test_wide_expression_beyond_the_number_of_nodes_is_refused():
    text = "v"
    while text.count("v") <= MAX_NODES // 2:
        text = f"({text})+({text})"
    with pytest.raises(RuleSyntaxError, match=f"more than {MAX_NODES} operators and operands"):
        parse(text, INPUTS)


def test_depth_at_the_limit_is_accepted():
    text = "+".join(["v"] * MAX_DEPTH)
    assert parse(text, INPUTS).evaluate(1.0, 0.0, 0.0) == MAX_DEPTH


@pytest.mark.parametrize("text", [None, 3, b"v", ["v"]])
def test_what_is_not_text_is_refused(text):
    with pytest.raises(RuleSyntaxError, match="must be a text"):
        parse(text, INPUTS)


@given(st.text(max_size=40) | st.text("vusx_0123456789.+-*/()eE ", max_size=60))
def test_any_text_is_read_or_refused_with_a_place(text):
    error = None
    try:
        expression = parse(text, INPUTS)
    except RuleSyntaxError as caught:
        error = caught
    if error is None:
        assert parse(str(expression), INPUTS) == expression
    else:
        assert 1 <= error.column <= len(text) + 1


@given(expressions(constants=SMALL_CONSTANTS | ANY_CONSTANTS, max_leaves=25))
def test_rendered_text_reads_back_as_the_same_expression(expression):
    assert parse(str(expression), INPUTS) == expression
    assert hash(parse(str(expression), INPUTS)) == hash(expression)


def test_error_survives_pickling():
    with pytest.raises(RuleSyntaxError) as caught:
        parse("v u", INPUTS)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.message, copy.column) == (caught.value.message, caught.value.column)
