"""The mathematics can be drawn, and read in the usual way it is the rule."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from matplotlib import mathtext

from evolution.exports import FORMS
from nest_build.rules import parse
from tests.evolution.exports.rules import NAMES, POINTS, WRITTEN, check, many_texts, rule_of

MATHML = "{http://www.w3.org/1998/Math/MathML}"
TOKEN = re.compile(
    r"\\(?P<command>left|right|frac|cdot|mathrm|Delta)"
    r"|(?P<number>\d+\.?\d*)|(?P<symbol>[A-Za-z])|(?P<mark>[-+^_(){}])|\s+"
)


def equations(latex: str) -> list[tuple[str, str]]:
    """Return both sides of each equation of an ``align*`` environment."""
    begin, *lines, end = latex.splitlines()
    assert (begin, end) == (r"\begin{align*}", r"\end{align*}")
    assert all(line.endswith(r" \\") for line in lines[:-1])
    return [tuple(line.removesuffix(r" \\").strip().split(" &= ")) for line in lines]


class LatexReader:
    """Reads mathematics in LaTeX into the language of rules: what stands together is a product."""

    def __init__(self, latex: str) -> None:
        self._tokens = []
        position = 0
        while position < len(latex):
            match = TOKEN.match(latex, position)
            assert match, latex[position:]
            position = match.end()
            if match.lastgroup:
                self._tokens.append((match.lastgroup, match[match.lastgroup]))

    def read(self, until: tuple[str, str] | None = None) -> str:
        text = ""
        ends_factor = False
        while self._tokens:
            kind, lexeme = token = self._tokens.pop(0)
            if token == until:
                if until == ("command", "right"):
                    assert self._tokens.pop(0) == ("mark", ")")
                return text
            begins_factor = kind in ("number", "symbol") or lexeme in ("left", "frac")
            text += "*" if ends_factor and begins_factor else ""
            ends_factor = begins_factor or lexeme == "^"
            if lexeme == "left":
                assert self._tokens.pop(0) == ("mark", "(")
                text += f"({self.read(('command', 'right'))})"
            elif lexeme == "frac":
                text += f"(({self._group()})/({self._group()}))"
            elif lexeme == "^":
                text += f"**({self._group()})"
            elif lexeme == "cdot":
                text += "*"
            else:
                text += lexeme
        assert until is None
        return text

    def _group(self) -> str:
        assert self._tokens.pop(0) == ("mark", "{")
        return self.read(("mark", "}"))


def mathml_text(element: ElementTree.Element) -> str:
    """Read presentation MathML into the language of rules."""
    signs = {"\u2212": "-", "\u2062": "*", "\u22c5": "*"}
    match element.tag.removeprefix(MATHML):
        case "mi" | "mn":
            return element.text
        case "mo":
            return signs.get(element.text, element.text)
        case "mfrac":
            above, below = map(mathml_text, element)
            return f"(({above})/({below}))"
        case "msup":
            base, exponent = map(mathml_text, element)
            return f"{base}**({exponent})"
        case "mrow":
            return "".join(map(mathml_text, element))
    raise AssertionError(element.tag)


def values(texts: list[str]) -> np.ndarray:
    return np.array([parse(text, NAMES).evaluate(*POINTS) for text in texts])


@settings(max_examples=3, deadline=None, derandomize=True)
@given(many_texts)
def test_latex_is_read_as_the_rule(random: list[str]) -> None:
    texts = WRITTEN + random
    sides = equations(FORMS["latex"].write(rule_of(*texts)))
    check(texts, values([LatexReader(right).read() for _, right in sides]))


@settings(max_examples=3, deadline=None, derandomize=True)
@given(many_texts)
def test_mathml_is_read_as_the_rule(random: list[str]) -> None:
    texts = WRITTEN + random
    root = ElementTree.fromstring(FORMS["mathml"].write(rule_of(*texts)))
    assert root.tag == f"{MATHML}math"
    (table,) = root
    found = []
    for index, (name, sign, formula) in enumerate(table):
        assert "".join(name.itertext()) == f"f{index}"
        assert "".join(sign.itertext()) == "="
        (content,) = formula
        found.append(mathml_text(content))
    check(texts, values(found))


@pytest.mark.parametrize("texts", [WRITTEN, ["(v - u)*s"]], ids=["many", "one"])
def test_matplotlib_draws_the_latex(texts: list[str]) -> None:
    parser = mathtext.MathTextParser("path")
    widths = []
    for left, right in equations(FORMS["latex"].write(rule_of(*texts))):
        widths.append(parser.parse(f"${left} = {right}$").width)
    assert min(widths) > 20


def test_a_change_is_written_as_such() -> None:
    rule = rule_of("(v - u)*s", signature="v,u,s -> delta_w")
    assert FORMS["latex"].write(rule) == (
        "\\begin{align*}\n  \\Delta w &= \\left(v - u\\right) s\n\\end{align*}\n"
    )
    root = ElementTree.fromstring(FORMS["mathml"].write(rule))
    assert "".join(root.itertext()) == "Δ\u2062w=(v\u2212u)\u2062s"
    assert root.get("alttext") == "delta_w = (v - u)*s"
