"""Recipes: how a number is made of the constants that a genome may hold.

Arithmetic is exact, on fractions; 0.1 is one tenth, as in the canonical form of rules.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import TypeAlias

#: A constant, or the name of a primitive and its two operands.
Recipe: TypeAlias = "Fraction | tuple[str, Recipe, Recipe]"

#: Recipes of up to so many nodes are all tried; longer ones are put together from two of them.
_MAX_LISTED_NODES = 6
_MAX_LISTED = 3000
_MAX_DIGITS = 10**9


@lru_cache(maxsize=1024)
def recipe_for(
    value: Fraction, constants: tuple[Fraction, ...], operators: frozenset[str]
) -> Recipe | None:
    """Return a short recipe for a number, None if there is no short one.

    Parameters
    ----------
    value : Fraction
    constants : tuple of Fraction
        The constants that may be used.
    operators : frozenset of str
        Names of the primitives that may be used; powers are not.
    """
    listed = _listed(constants, operators)
    if value in listed:
        return listed[value][1]
    pairs = [
        (n_nodes + listed[other][0], recipe, listed[other][1], name)
        for first, (n_nodes, recipe) in listed.items()
        for name, other in _completions(value, first, operators)
        if other in listed
    ]
    if pairs:
        _, first, second, name = min(pairs, key=lambda pair: pair[0])
        return (name, first, second)
    if "Add" in operators:
        for constant in constants:
            count = value / constant if constant else Fraction(0)
            if 0 < count < _MAX_DIGITS and count.denominator == 1:
                return repeated("Add", constant, int(count))
    return None


def repeated(name: str, operand: Recipe, count: int) -> Recipe:
    """Return the sum or product of equal operands by doubling: few nodes, if they are shared."""
    result = operand
    for bit in bin(count)[3:]:
        result = (name, result, result)
        if bit == "1":
            result = (name, result, operand)
    return result


@lru_cache(maxsize=64)
def _listed(
    constants: tuple[Fraction, ...], operators: frozenset[str]
) -> dict[Fraction, tuple[int, Recipe]]:
    """Return short recipes by their value, each with its number of nodes."""
    listed: dict[Fraction, tuple[int, Recipe]] = {value: (1, value) for value in constants}
    by_size: dict[int, list[Fraction]] = {1: list(listed)}
    for size in range(2, _MAX_LISTED_NODES + 1):
        by_size[size] = []
        # A node that is used twice counts once.
        pairs = [(first, first) for first in by_size[size - 1]]
        pairs += [
            (first, second)
            for size_of_first in range(1, size - 1)
            for first in by_size[size_of_first]
            for second in by_size[size - 1 - size_of_first]
        ]
        for first, second in pairs:
            for name, value in _results(first, second, operators):
                if value not in listed and _is_small(value):
                    listed[value] = (size, (name, listed[first][1], listed[second][1]))
                    by_size[size].append(value)
            if len(listed) > _MAX_LISTED:
                return listed
    return listed


def _results(
    first: Fraction, second: Fraction, operators: frozenset[str]
) -> list[tuple[str, Fraction]]:
    results = [("Add", first + second), ("Sub", first - second), ("Mul", first * second)]
    if second:
        results.append(("Div", first / second))
    return [(name, value) for name, value in results if name in operators]


def _completions(
    value: Fraction, first: Fraction, operators: frozenset[str]
) -> list[tuple[str, Fraction]]:
    """Return each operator with the second operand that leads from the first to the value."""
    completions = [("Add", value - first), ("Sub", first - value)]
    if first:
        completions.append(("Mul", value / first))
    if value:
        completions.append(("Div", first / value))
    return [(name, second) for name, second in completions if name in operators and second]


def _is_small(value: Fraction) -> bool:
    return abs(value.numerator) < _MAX_DIGITS and value.denominator < _MAX_DIGITS
