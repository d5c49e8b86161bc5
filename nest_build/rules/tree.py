"""The syntax tree of a rule: four immutable node classes and their source text.

The tree knows inputs by position only; names are added when it is rendered. It holds no negative
numbers: a sign is a `Neg` node, exactly as in the text, so that text and tree map one to one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Operator: TypeAlias = Literal["+", "-", "*", "/", "**"]


@dataclass(frozen=True, slots=True)
class Number:
    """A finite constant, zero or positive."""

    value: float


@dataclass(frozen=True, slots=True)
class Input:
    """The input at a position of the rule's signature (alias ``x_<index>``)."""

    index: int


@dataclass(frozen=True, slots=True)
class Neg:
    """The operand with its sign changed."""

    operand: "Node"


@dataclass(frozen=True, slots=True)
class Binary:
    """Two operands joined by ``+ - * /`` or ``**``."""

    operator: Operator
    left: "Node"
    right: "Node"


Node: TypeAlias = Number | Input | Neg | Binary

#: How tightly a node binds in source text; a larger number binds more tightly.
SUM, PRODUCT, SIGN, POWER, ATOM = range(1, 6)
_PRECEDENCE = {"+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT, "**": POWER}

#: Integers up to here are written without a decimal point and are exact as doubles.
LARGEST_PLAIN_INTEGER = 10**15

#: Integer exponents up to here are repeated multiplication, larger ones the library's power.
LARGEST_MULTIPLIED_EXPONENT = 64


def precedence(node: Node) -> int:
    """How tightly `node` binds when it is written."""
    if isinstance(node, Binary):
        return _PRECEDENCE[node.operator]
    return SIGN if isinstance(node, Neg) else ATOM


def walk(node: Node) -> Iterator[Node]:
    """All nodes of the tree, parents before their children."""
    pending = [node]
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, Neg):
            pending.append(node.operand)
        elif isinstance(node, Binary):
            pending += (node.right, node.left)


def depth(node: Node) -> int:
    """Number of nodes on the longest path from the root to a leaf."""
    deepest, pending = 0, [(node, 1)]
    while pending:
        node, level = pending.pop()
        deepest = max(deepest, level)
        if isinstance(node, Neg):
            pending.append((node.operand, level + 1))
        elif isinstance(node, Binary):
            pending += ((node.left, level + 1), (node.right, level + 1))
    return deepest


def integer_exponent(exponent: Node) -> int | None:
    """The exponent if it is a whole number written as one (``3``, ``-2``, ``10.0``), else None."""
    sign = 1
    if isinstance(exponent, Neg):
        sign, exponent = -1, exponent.operand
    if isinstance(exponent, Number) and exponent.value.is_integer():
        return sign * int(exponent.value)
    return None


def number_text(value: float) -> str:
    """Shortest text that reads back as the very same double."""
    if value.is_integer() and value <= LARGEST_PLAIN_INTEGER:
        return str(int(value))
    return repr(value)


def render(node: Node, names: Sequence[str], number: Callable[[float], str] = number_text) -> str:
    """Source text of the tree, with constants as `number` writes them; by default, parsing it gives
    an equal tree.
    """

    def bracketed(child: Node, needed: bool) -> str:
        text = render(child, names, number)
        return f"({text})" if needed else text

    if isinstance(node, Number):
        return number(node.value)
    if isinstance(node, Input):
        return names[node.index]
    if isinstance(node, Neg):
        return "-" + bracketed(node.operand, precedence(node.operand) <= SIGN)
    own = precedence(node)
    if node.operator == "**":
        # The language groups powers from the right; brackets spare the reader that knowledge.
        base = bracketed(node.left, precedence(node.left) <= POWER)
        return f"{base}**{bracketed(node.right, precedence(node.right) < ATOM)}"
    left = bracketed(node.left, precedence(node.left) < own)
    # At equal precedence the text groups from the left; a sign may not follow an operator bare.
    right = bracketed(node.right, precedence(node.right) <= own)
    right = f"({right})" if right.startswith("-") else right
    separator = f" {node.operator} " if own == SUM else node.operator
    return left + separator + right
