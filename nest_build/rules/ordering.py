"""Trees from SymEngine values, in an order and with signs that read well.

Terms are ordered by the inputs they hold, higher powers first and constants last, but a sum starts
with a positive term where it has one. A product has its number first, then sums, then inputs, then
other powers; negative powers are a denominator. Nothing depends on SymEngine's own order.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import lru_cache, reduce
from math import gcd, inf, isfinite, lcm
from operator import mul
from typing import NamedTuple

import symengine as se

from nest_build.rules.tree import LARGEST_PLAIN_INTEGER, Binary, Input, Neg, Node, Number

#: Fractions with a denominator up to here read better as a division (x/2) than as a decimal.
_LARGEST_PLAIN_DENOMINATOR = 9
_ONE = Fraction(1)


class NotRepresentableError(ArithmeticError):
    """The value is not a finite real expression with exactly representable constants."""


class _Term(NamedTuple):
    """A rational coefficient times a product of powers without one."""

    coefficient: Fraction
    factors: tuple[se.Basic, ...]


# Parts of one expression are looked at many times, and fractions are slow to make.
@lru_cache(maxsize=1024)
def to_fraction(number: se.Basic) -> Fraction:
    """Exact value of a number; doubles are read as the decimal they print as."""
    if isinstance(number, se.Integer):
        return Fraction(int(number))
    if isinstance(number, se.Rational):
        numerator, denominator = number.as_numer_denom()
        return Fraction(int(numerator), int(denominator))
    if isinstance(number, se.RealDouble) and isfinite(float(number)):
        return Fraction(repr(float(number)))
    raise NotRepresentableError


@lru_cache(maxsize=1024)
def content(total: se.Basic) -> Fraction:
    """Rational factor common to a sum's terms, with the sign of its first term in our order."""
    terms = _terms(total)
    return _common(terms) if terms[0].coefficient > 0 else -_common(terms)


def to_tree(value: se.Basic) -> Node:
    """Tree of a SymEngine value whose symbols are the aliases ``x_0``, ``x_1``, ..."""
    if isinstance(value, se.Symbol):
        return Input(_index(value))
    if isinstance(value, se.Number):
        return _number_tree(to_fraction(value))
    if value.is_Add:
        return _sum_tree(value)
    if value.is_Mul or value.is_Pow:
        return _signed_tree(_term(value))
    raise NotRepresentableError


def _index(symbol: se.Symbol) -> int:
    return int(symbol.name[2:])


def _term(value: se.Basic) -> _Term:
    factors = value.args if value.is_Mul else (value,)
    numbers = [factor for factor in factors if isinstance(factor, se.Number)]
    others = [factor for factor in factors if not isinstance(factor, se.Number)]
    coefficient = reduce(mul, map(to_fraction, numbers)) if numbers else _ONE
    return _Term(coefficient, tuple(sorted(others, key=_factor_key)))


@lru_cache(maxsize=1024)
def _terms(total: se.Basic) -> tuple[_Term, ...]:
    return tuple(sorted(map(_term, total.args), key=_term_key))


def _common(terms: Sequence[_Term]) -> Fraction:
    """Largest positive number of which every coefficient is a whole multiple."""
    return Fraction(
        reduce(gcd, (term.coefficient.numerator for term in terms)),
        reduce(lcm, (term.coefficient.denominator for term in terms)),
    )


# Order. Keys are built from structure alone; SymEngine's own text and order depend on hashes.


def _term_key(term: _Term) -> tuple:
    degrees: dict[int, Fraction | int] = {}
    for factor in term.factors:
        for index, degree in _degrees(factor):
            degrees[index] = degrees.get(index, 0) + degree
    # The end mark sorts x_0*x_1 before x_0, and constants last.
    by_input = [(index, -degree) for index, degree in sorted(degrees.items())]
    return (*by_input, (inf, 0)), [_structure(factor) for factor in term.factors]


def _factor_key(factor: se.Basic) -> tuple:
    base = factor.args[0] if factor.is_Pow else factor
    return (0 if base.is_Add else 1 if isinstance(base, se.Symbol) else 2), _structure(factor)


@lru_cache(maxsize=1024)
def _degrees(factor: se.Basic) -> tuple[tuple[int, Fraction | int], ...]:
    """The inputs of a factor, each with its power where that is a number."""
    power: Fraction | int = 1
    if factor.is_Pow and isinstance(factor.args[1], se.Number):
        power = to_fraction(factor.args[1])
        if power.denominator == 1:
            power = power.numerator
    return tuple((_index(symbol), power) for symbol in factor.free_symbols)


@lru_cache(maxsize=1024)
def _structure(value: se.Basic) -> str:
    """Text that equal values share in every process."""
    if not value.args:
        return str(value)
    parts = [_structure(part) for part in value.args]
    if value.is_Add or value.is_Mul:
        parts.sort()
    return f"{type(value).__name__}({','.join(parts)})"


# Trees.


def _is_decimal(value: Fraction) -> bool:
    """Whether the number is written exactly by the shortest text of its double."""
    try:
        return Fraction(repr(float(value))) == value
    except OverflowError:
        return False


def _number_tree(value: Fraction) -> Node:
    if value < 0:
        positive = _number_tree(-value)
        if isinstance(positive, Number):
            return Neg(positive)
        return Binary("/", Neg(positive.left), positive.right)
    if _is_decimal(value):
        return Number(float(value))
    if max(value.numerator, value.denominator) > LARGEST_PLAIN_INTEGER:
        raise NotRepresentableError
    return Binary("/", Number(float(value.numerator)), Number(float(value.denominator)))


def _sum_tree(total: se.Basic) -> Node:
    terms = _terms(total)
    common = _common(terms)
    if common != 1 and all(abs(term.coefficient) == common for term in terms):
        signs = [_Term(term.coefficient / common, term.factors) for term in terms]
        return _product_tree(common, [_joined(signs)], [])
    return _joined(terms)


def _joined(terms: Sequence[_Term]) -> Node:
    first = next((term for term in terms if term.coefficient > 0), terms[0])
    joined = _signed_tree(first)
    for term in terms:
        if term is not first:
            operator = "+" if term.coefficient > 0 else "-"
            joined = Binary(operator, joined, _positive_tree(term))
    return joined


def _positive_tree(term: _Term) -> Node:
    """Tree of the term without its sign."""
    return _signed_tree(_Term(abs(term.coefficient), term.factors))


def _signed_tree(term: _Term) -> Node:
    """Tree of the term; a plain sum among its factors takes in a negative sign."""
    coefficient = term.coefficient
    if not term.factors:
        return _number_tree(coefficient)
    above: list[Node] = []
    below: list[Node] = []
    for factor in term.factors:
        base, exponent = factor.args if factor.is_Pow else (factor, se.Integer(1))
        is_below = isinstance(exponent, se.Number) and to_fraction(exponent) < 0
        if is_below:
            exponent = -exponent
        # Not below: the pole of -w/(w - 1) would get the other sign.
        takes_sign = base.is_Add and exponent == 1 and not is_below
        if takes_sign and coefficient < 0:
            coefficient = -coefficient
            base = se.Add(*(-part for part in base.args))
        tree = to_tree(base) if exponent == 1 else _power_tree(base, exponent)
        (below if is_below else above).append(tree)
    return _product_tree(coefficient, above, below)


def _power_tree(base: se.Basic, exponent: se.Basic) -> Node:
    return Binary("**", to_tree(base), to_tree(exponent))


def _product_tree(coefficient: Fraction, above: list[Node], below: list[Node]) -> Node:
    size = abs(coefficient)
    if size.denominator > 1 and (
        not _is_decimal(size)
        or (size.numerator == 1 and size.denominator <= _LARGEST_PLAIN_DENOMINATOR)
    ):
        below = [_number_tree(Fraction(size.denominator)), *below]
        size = Fraction(size.numerator)
    if size != 1 or not above:
        above = [_number_tree(size), *above]
    if coefficient < 0:
        above = [Neg(above[0]), *above[1:]]
    numerator = _chain(above)
    return Binary("/", numerator, _chain(below)) if below else numerator


def _chain(factors: Iterable[Node]) -> Node:
    return reduce(lambda left, right: Binary("*", left, right), factors)
