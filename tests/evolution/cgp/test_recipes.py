"""Recipes of numbers, worked out anew."""

from __future__ import annotations

from fractions import Fraction

import pytest

from evolution.cgp.recipes import Recipe, recipe_for, repeated

ONE, TENTH, TEN = Fraction(1), Fraction(1, 10), Fraction(10)
ALL = frozenset({"Add", "Sub", "Mul", "Div"})


def value_of(recipe: Recipe) -> Fraction:
    if isinstance(recipe, Fraction):
        return recipe
    name, *operands = recipe
    left, right = map(value_of, operands)
    return {
        "Add": lambda: left + right,
        "Sub": lambda: left - right,
        "Mul": lambda: left * right,
        "Div": lambda: left / right,
    }[name]()


@pytest.mark.parametrize("text", ["2", "-1", "0", "7", "0.5", "1/3", "0.15", "99", "2.5", "-0.3"])
def test_small_numbers_are_made_of_the_usual_constants(text: str) -> None:
    recipe = recipe_for(Fraction(text), (ONE, TENTH, TEN), ALL)
    assert recipe is not None
    assert value_of(recipe) == Fraction(text)


@pytest.mark.parametrize("count", [1, 2, 3, 17, 64, 1023])
def test_whole_numbers_are_sums_of_ones(count: int) -> None:
    recipe = recipe_for(Fraction(count), (ONE,), frozenset({"Add"}))
    assert recipe is not None
    assert value_of(recipe) == count
    assert value_of(repeated("Add", TENTH, count)) == count * TENTH


def test_the_shortest_recipe_is_taken() -> None:
    assert recipe_for(Fraction(20), (ONE, TEN), ALL) == ("Add", TEN, TEN)


@pytest.mark.parametrize(
    ("text", "constants", "operators"),
    [
        ("0.5", (ONE,), frozenset({"Add", "Sub", "Mul"})),
        ("2", (ONE,), frozenset({"Mul"})),
        ("2", (), ALL),
        ("1.2345678", (ONE, TENTH, TEN), ALL),
    ],
)
def test_what_cannot_be_made_has_no_recipe(
    text: str, constants: tuple[Fraction, ...], operators: frozenset[str]
) -> None:
    assert recipe_for(Fraction(text), constants, operators) is None
