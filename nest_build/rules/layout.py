"""The two-dimensional layout that LaTeX and MathML share.

Divisions become fractions and exponents are raised, which makes most brackets needless; products
are written without a sign except between numbers. What remains is spelled by a `Speller`.
"""

import re
from typing import Protocol

from nest_build.rules.language import Expression
from nest_build.rules.tree import (
    ATOM,
    PRODUCT,
    SUM,
    Binary,
    Input,
    Neg,
    Node,
    Number,
    number_text,
    precedence,
)

_NAME = re.compile(r"([A-Za-z]+)(?:_([A-Za-z0-9]+))?")


class Speller(Protocol):
    """Spells the parts of a formula in one markup language."""

    def number(self, mantissa: str, exponent: str | None) -> str:
        """A number, possibly with a power of ten."""

    def symbol(self, name: str, subscript: str | None) -> str:
        """An input's name."""

    def change(self, symbol: str) -> str:
        """The change of a quantity."""

    def negative(self, operand: str) -> str:
        """An operand with a minus sign in front."""

    def total(self, left: str, operator: str, right: str) -> str:
        """A sum or a difference."""

    def product(self, left: str, right: str, *, is_implicit: bool) -> str:
        """A product, with or without a visible sign."""

    def fraction(self, above: str, below: str) -> str:
        """A fraction."""

    def power(self, base: str, exponent: str) -> str:
        """A power."""

    def bracketed(self, inner: str) -> str:
        """Something in round brackets."""


def write(expression: Expression, speller: Speller) -> str:
    """Spell an expression."""
    return _Layout(expression.inputs, speller).write(expression.tree)


def write_branch(name: str, speller: Speller) -> str:
    """Spell the name of a branch; what begins with ``delta_`` is a change."""
    changed = name.removeprefix("delta_")
    is_change = changed not in ("", name)
    return speller.change(_symbol(changed, speller)) if is_change else _symbol(name, speller)


def _symbol(name: str, speller: Speller) -> str:
    match = _NAME.fullmatch(name)
    return speller.symbol(*match.groups()) if match else speller.symbol(name, None)


class _Layout:
    def __init__(self, names: tuple[str, ...], speller: Speller) -> None:
        self._names = names
        self._speller = speller

    def write(self, node: Node) -> str:
        speller = self._speller
        if isinstance(node, Number):
            return speller.number(*_mantissa_and_exponent(node))
        if isinstance(node, Input):
            return _symbol(self._names[node.index], speller)
        if _starts_with_sign(node) and _binding(node) > SUM:
            unsigned = _without_sign(node)
            needs_brackets = _binding(unsigned) == SUM or _starts_with_sign(unsigned)
            return speller.negative(self._operand(unsigned, needs_brackets))
        match node.operator:
            case "/":
                return speller.fraction(self.write(node.left), self.write(node.right))
            case "**":
                base_needs_brackets = _binding(node.left) < ATOM
                base = self._operand(node.left, base_needs_brackets)
                return speller.power(base, self.write(node.right))
            case "*":
                left = self._operand(node.left, _binding(node.left) < PRODUCT)
                right_needs_brackets = _binding(node.right) < PRODUCT
                right = self._operand(
                    node.right, right_needs_brackets or _starts_with_sign(node.right)
                )
                is_implicit = right_needs_brackets or not _starts_with_digit(node.right)
                return speller.product(left, right, is_implicit=is_implicit)
        needs_brackets = node.operator == "-" and _binding(node.right) == SUM
        right = self._operand(node.right, needs_brackets or _starts_with_sign(node.right))
        return speller.total(self.write(node.left), node.operator, right)

    def _operand(self, node: Node, needs_brackets: bool) -> str:
        text = self.write(node)
        return self._speller.bracketed(text) if needs_brackets else text


def _mantissa_and_exponent(number: Number) -> tuple[str, str | None]:
    mantissa, _, exponent = number_text(number.value).partition("e")
    return mantissa, str(int(exponent)) if exponent else None


def _binding(node: Node) -> int:
    """Precedence, where a number with a power of ten counts as the product that it is drawn as."""
    if isinstance(node, Number) and _mantissa_and_exponent(node)[1]:
        return PRODUCT
    return precedence(node)


def _starts_with_sign(node: Node) -> bool:
    """Whether a minus sign is drawn first, a fraction's being drawn in front of it."""
    while isinstance(node, Binary) and node.operator != "**":
        node = node.left
    return isinstance(node, Neg)


def _without_sign(node: Node) -> Node:
    """The product or fraction without the sign of its first factor."""
    if isinstance(node, Neg):
        return node.operand
    return Binary(node.operator, _without_sign(node.left), node.right)


def _starts_with_digit(node: Node) -> bool:
    while isinstance(node, Binary):
        node = node.left
    return isinstance(node, Number)
