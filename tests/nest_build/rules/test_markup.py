"""LaTeX and MathML."""

from xml.etree import ElementTree

import pytest
from hypothesis import given

from nest_build.rules import parse
from tests.nest_build.rules.strategies import (
    ANY_CONSTANTS,
    INPUTS,
    SMALL_CONSTANTS,
    expressions,
)

NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("(v - u)*s", r"\left(v - u\right) s"),
        ("2*(v - u)*s/v", r"\frac{2 \left(v - u\right) s}{v}"),
        ("-v*u/s", r"-\frac{v u}{s}"),
        ("-v/u - s", r"-\frac{v}{u} - s"),
        ("v - (u - s)", r"v - \left(u - s\right)"),
        ("v + (u - s)", "v + u - s"),
        ("v*(-u)", r"v \left(-u\right)"),
        ("(-v)**2", r"\left(-v\right)^{2}"),
        ("-v**2", "-v^{2}"),
        ("(v/u)**s", r"\left(\frac{v}{u}\right)^{s}"),
        ("(v**u)**s", r"\left(v^{u}\right)^{s}"),
        ("v**(u + s)", "v^{u + s}"),
        ("2*2**v", r"2 \cdot 2^{v}"),
        ("1e-05*v", r"1 \cdot 10^{-5} v"),
        ("1e+20**v", r"\left(1 \cdot 10^{20}\right)^{v}"),
        ("v/(u/s)", r"\frac{v}{\frac{u}{s}}"),
    ],
)
def test_latex(text, latex):
    assert parse(text, INPUTS).latex() == latex


def test_names_are_spelled_as_symbols():
    assert parse("x_0*x_1", ("R", "K_plus")).latex() == r"R K_{\mathrm{plus}}"
    assert parse("x_0*x_1", ("x_0", "a_b_c")).latex() == r"x_0 \mathrm{a\_b\_c}"
    mathml = parse("x_0*x_1", ("tau", "K_plus")).mathml()
    assert "<mi>tau</mi>" in mathml
    assert "<msub><mi>K</mi><mi>plus</mi></msub>" in mathml


def test_mathml_of_the_published_rule():
    assert parse("(v - u)*s", INPUTS).mathml() == (
        '<math xmlns="http://www.w3.org/1998/Math/MathML" alttext="(v - u)*s" '
        'aria-label="(v - u)*s"><mrow><mrow>'
        "<mo>(</mo><mrow><mi>v</mi><mo>&#x2212;</mo><mi>u</mi></mrow><mo>)</mo></mrow>"
        "<mo>&#x2062;</mo><mi>s</mi></mrow></math>"
    )


@given(expressions(constants=SMALL_CONSTANTS | ANY_CONSTANTS))
def test_mathml_is_well_formed(expression):
    root = ElementTree.fromstring(expression.mathml())
    assert root.tag == NAMESPACE + "math"
    assert root.get("alttext") == root.get("aria-label") == str(expression)
    assert len(root) == 1
    for element in root.iter():
        if element.tag in (NAMESPACE + "mfrac", NAMESPACE + "msup", NAMESPACE + "msub"):
            assert len(element) == 2
    allowed = {"math", "mrow", "mi", "mn", "mo", "mfrac", "msup", "msub"}
    assert {element.tag.removeprefix(NAMESPACE) for element in root.iter()} <= allowed


@given(expressions(constants=SMALL_CONSTANTS | ANY_CONSTANTS))
def test_latex_is_balanced(expression):
    latex = expression.latex()
    assert latex.count("{") == latex.count("}")
    assert latex.count(r"\left(") == latex.count(r"\right)")
