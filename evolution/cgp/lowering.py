"""Lowering: the tree of a rule as a graph of the primitives that a genome may hold."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from evolution.cgp.placement import GraphNode
from evolution.cgp.primitives import primitives_of
from evolution.cgp.recipes import Recipe, recipe_for, repeated
from nest_build.rules.tree import LARGEST_MULTIPLIED_EXPONENT, Binary, Input, Neg, Node, Number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evolution.cgp.parameters import EvolutionParameters


class EncodingError(ValueError):
    """A rule cannot be written as a genome; the message is for people."""


class Builder:
    """Writes trees as a graph of the chosen primitives in which equal nodes are one.

    Parameters
    ----------
    parameters : EvolutionParameters
        With the primitives that may be used.
    n_inputs : int
        Number of inputs of the rule.
    """

    def __init__(self, parameters: EvolutionParameters, n_inputs: int) -> None:
        self.nodes: list[GraphNode] = []
        self._known: dict[GraphNode, int] = {}
        self._n_inputs = n_inputs
        self._alleles: dict[str, int] = {}
        self._constants: dict[Fraction, int] = {}
        for allele, primitive in enumerate(primitives_of(parameters)):
            self._alleles[primitive.name] = allele
            if primitive.value is not None:
                self._constants[Fraction(repr(primitive.value))] = allele

    def lower(self, node: Node) -> int:
        """Add what computes the tree, and return its address."""
        number = _number(node)
        if number is not None:
            return self._value(number)
        if isinstance(node, Input):
            return node.index
        if isinstance(node, Neg):
            return self._negative(node.operand)
        assert isinstance(node, Binary)
        match node.operator:
            case "+":
                return self._sum(node.left, node.right)
            case "-":
                return self._difference(node.left, node.right)
            case "*":
                return self._product(node.left, node.right)
            case "/":
                return self._quotient(node.left, node.right)
            case "**":
                return self._power(node.left, node.right)

    def _sum(self, left: Node, right: Node) -> int:
        if isinstance(right, Neg):
            return self._difference(left, right.operand)
        if isinstance(left, Neg):
            return self._difference(right, left.operand)
        if _number(left) is not None:
            left, right = right, left
        return self._shifted(left, right, "Add", "Sub")

    def _difference(self, left: Node, right: Node) -> int:
        if isinstance(right, Neg):
            return self._sum(left, right.operand)
        return self._shifted(left, right, "Sub", "Add")

    def _shifted(self, left: Node, right: Node, name: str, other_name: str) -> int:
        """Add a sum or a difference; of a number it may as well be the other one."""
        operand, number = self.lower(left), _number(right)
        if number is None:
            return self._apply(name, operand, self.lower(right))
        return self._cheapest(
            [
                lambda builder: builder._apply(name, operand, builder._value(number)),
                lambda builder: builder._apply(other_name, operand, builder._value(-number)),
            ]
        )

    def _product(self, left: Node, right: Node) -> int:
        number, other = (_number(left), right) if _number(left) is not None else (None, left)
        if number is None:
            number = _number(right)
        if number is None or _number(other) is not None:
            return self._apply("Mul", self.lower(left), self.lower(right))
        operand = self.lower(other)
        return self._scaled(operand, number, is_quotient=False)

    def _quotient(self, left: Node, right: Node) -> int:
        number = _number(right)
        if not number or _number(left) is not None:
            return self._apply("Div", self.lower(left), self.lower(right))
        return self._scaled(self.lower(left), number, is_quotient=True)

    def _scaled(self, operand: int, number: Fraction, *, is_quotient: bool) -> int:
        """Add a product with a number, or a quotient by it."""
        factor = 1 / number if is_quotient else number
        attempts: list[Callable[[Builder], int]] = [
            lambda builder: builder._apply("Mul", operand, builder._value(factor)),
        ]
        if factor:
            attempts.append(
                lambda builder: builder._apply("Div", operand, builder._value(1 / factor))
            )
        if is_quotient:
            attempts.reverse()
        if factor == -1:
            attempts.insert(0, lambda builder: builder._opposite(operand))
        if factor.denominator == 1 and 1 <= factor <= LARGEST_MULTIPLIED_EXPONENT:
            attempts.append(lambda builder: builder._repeat("Add", operand, int(factor)))
        return self._cheapest(attempts)

    def _power(self, base: Node, exponent: Node) -> int:
        number = _number(exponent)
        if number is None or number.denominator != 1:
            self._require("Pow")
            return self._apply("Pow", self.lower(base), self.lower(exponent))
        if number == 0:
            return self._value(Fraction(1))
        operand, count = self.lower(base), int(number)
        attempts: list[Callable[[Builder], int]] = []
        if 0 < count <= LARGEST_MULTIPLIED_EXPONENT:
            attempts.append(lambda builder: builder._repeat("Mul", operand, count))
        elif -LARGEST_MULTIPLIED_EXPONENT <= count < 0:
            attempts.append(
                lambda builder: builder._apply(
                    "Div", builder._value(Fraction(1)), builder._repeat("Mul", operand, -count)
                )
            )
        attempts.append(lambda builder: builder._apply("Pow", operand, builder._value(number)))
        return self._cheapest(attempts)

    def _negative(self, node: Node) -> int:
        if isinstance(node, Neg):
            return self.lower(node.operand)
        if isinstance(node, Binary) and node.operator == "-":
            return self._difference(node.right, node.left)
        if isinstance(node, Binary) and node.operator in "*/" and _number(node.left) is not None:
            return self.lower(Binary(node.operator, Neg(node.left), node.right))
        return self._scaled(self.lower(node), Fraction(-1), is_quotient=False)

    def _opposite(self, operand: int) -> int:
        self._require("Sub")
        return self._apply("Sub", self._value(Fraction(0)), operand)

    def _repeat(self, name: str, operand: int, count: int) -> int:
        """Add the sum or product of equal operands."""
        return self._follow(repeated(name, Fraction(0), count), {Fraction(0): operand})

    def _value(self, value: Fraction) -> int:
        """Add a number."""
        if value in self._constants:
            return self._add(GraphNode(self._constants[value], ()))
        if "Parameter" in self._alleles and _is_double(value):
            return self._add(GraphNode(self._alleles["Parameter"], (), float(value)))
        if value == 0 and "Sub" in self._alleles and self._n_inputs:
            return self._apply("Sub", 0, 0)
        names = frozenset(self._alleles) & {"Add", "Sub", "Mul", "Div"}
        recipe = recipe_for(value, tuple(self._constants), names)
        if recipe is None:
            raise EncodingError(
                f"needs the number {_shown(value)}, which cannot be made of the chosen constants"
            )
        return self._follow(recipe, {})

    def _follow(self, recipe: Recipe, known: dict[Fraction, int]) -> int:
        """Add the nodes of a recipe, with given addresses of some of its numbers."""
        # A recipe may use a part of it twice, and that part another one: each is followed once.
        done: dict[int, int] = {}

        def follow(part: Recipe) -> int:
            if id(part) not in done:
                if isinstance(part, Fraction):
                    address = known.get(part)
                    if address is None:
                        address = self._add(GraphNode(self._constants[part], ()))
                else:
                    name, left, right = part
                    address = self._apply(name, follow(left), follow(right))
                done[id(part)] = address
            return done[id(part)]

        return follow(recipe)

    def _apply(self, name: str, left: int, right: int) -> int:
        self._require(name)
        if name in ("Add", "Mul"):
            mirrored = GraphNode(self._alleles[name], (right, left))
            if mirrored in self._known:
                return self._known[mirrored]
        return self._add(GraphNode(self._alleles[name], (left, right)))

    def _require(self, name: str) -> None:
        if name not in self._alleles:
            raise EncodingError(f"needs the primitive {name}, which is not chosen")

    def _add(self, node: GraphNode) -> int:
        if node not in self._known:
            self.nodes.append(node)
            self._known[node] = self._n_inputs + len(self.nodes) - 1
        return self._known[node]

    def _cheapest(self, attempts: Sequence[Callable[[Builder], int]]) -> int:
        """Do what adds the fewest nodes, the first of equals."""
        done: list[tuple[int, int, Builder]] = []
        failure: EncodingError | None = None
        for attempt in attempts:
            trial = Builder.__new__(Builder)
            trial.__dict__ = {**self.__dict__, "nodes": [*self.nodes], "_known": {**self._known}}
            try:
                done.append((len(done), attempt(trial), trial))
            except EncodingError as error:
                failure = failure or error
        if not done:
            assert failure is not None
            raise failure
        _, address, best = min(done, key=lambda item: (len(item[2].nodes), item[0]))
        self.nodes, self._known = best.nodes, best._known
        return address


def _number(node: Node) -> Fraction | None:
    """Return the value of a number, also with a sign, exactly as it is written."""
    if isinstance(node, Number):
        return Fraction(repr(node.value))
    if isinstance(node, Neg):
        number = _number(node.operand)
        return None if number is None else -number
    return None


def _shown(value: Fraction) -> str:
    try:
        return f"{float(value):.15g}"
    except OverflowError:
        return f"{Decimal(value.numerator) / Decimal(value.denominator):.15g}"


def _is_double(value: Fraction) -> bool:
    """Whether a number is what its nearest double is written as; the largest have none."""
    try:
        return Fraction(repr(float(value))) == value
    except OverflowError:
        return False
