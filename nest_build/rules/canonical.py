"""Canonical form: one text for all expressions that differ only in structure.

The tree is rebuilt bottom-up in SymEngine, whose sums and products collect equal terms and factors.
Constants are exact fractions (``0.1`` is 1/10), so nothing is rounded on the way. Beyond that,

* nested sums are joined, a common rational factor is taken out of a sum that is a factor,
* products are never expanded, since expansion costs digits,
* order and signs are ours: SymEngine's order depends on hashes.

Whatever would leave the exact and small (``10**10**8``, ``1/0``, the square root of -1) keeps the
expression as it was written: a rule is simplified safely or not at all. Still, not all values at
singular points are kept: ``x/x`` becomes 1.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import symengine as se

from nest_build.rules import tree as nodes
from nest_build.rules.language import (
    MAX_NODES,
    Expression,
    RuleSyntaxError,
    input_index,
    make_expression,
)
from nest_build.rules.ordering import NotRepresentableError, content, to_fraction, to_tree
from nest_build.rules.tree import Input, Neg, Node, Number

#: Numeric powers with more bits than this are not computed exactly.
_MAX_POWER_BITS = 256
_MAX_ROOT_BASE = 10**6
#: SymEngine takes whole powers out of roots (8**1.5 is 8*8**0.5), with no more bits than this.
_MAX_ROOT_BITS = 200_000
_MAX_PASSES = 4


@lru_cache(maxsize=512)
def canonical(expression: Expression) -> Expression:
    """Canonical form of an expression; the expression itself if it cannot be simplified safely."""
    tree = expression.tree
    try:
        basic = _build(tree)
        for _ in range(_MAX_PASSES):
            tree = to_tree(basic)
            before, basic = basic, _build(tree)
            if basic == before:
                break
        return make_expression(tree, expression.inputs)
    # SymEngine reports what it does not implement (0**x) as RuntimeError.
    except (NotRepresentableError, RuleSyntaxError, RuntimeError, OverflowError):
        return expression


def complexity(expression: Expression) -> int:
    """Number of operators and leaves of the simplest known form.

    That is the canonical form, unless the text as written is shorter still.
    """
    return min(_size(expression.tree), _size(canonical(expression).tree))


def expression_from_symengine(value: object, inputs: Sequence[str]) -> Expression:
    """Expression of a SymEngine value, such as a genome's function called on symbols.

    Parameters
    ----------
    value : symengine.Basic or number
        Made of symbols named like the inputs or their aliases, numbers, sums, products and powers.
    inputs : sequence of str
        Names of the inputs, in order.

    Raises
    ------
    RuleSyntaxError
        If the value holds anything else, an infinite constant for example, or exceeds the limits.
    """
    names = tuple(inputs)
    basic = se.sympify(value) if isinstance(value, int | float) else value
    if not isinstance(basic, se.Basic):
        raise RuleSyntaxError("The rule is not a symbolic expression.")
    replacements = {}
    for symbol in basic.free_symbols:
        index = input_index(symbol.name, names)
        if index is None:
            raise RuleSyntaxError(f"Unknown name '{symbol.name}' in a symbolic expression.")
        replacements[symbol] = _symbol(index)
    try:
        _check_size(basic)
        if any(before != after for before, after in replacements.items()):
            basic = basic.xreplace(replacements)
        return make_expression(to_tree(basic), names)
    except (NotRepresentableError, OverflowError, RuntimeError) as error:
        raise RuleSyntaxError("The rule has a constant that is not a finite number.") from error


def _check_size(basic: se.Basic) -> None:
    """Refuse a symbolic value that shares subexpressions so often that its tree would explode."""
    pending, count = [basic], 0
    while pending:
        pending += pending.pop().args
        count += 1
        if count > MAX_NODES:
            raise RuleSyntaxError(f"The rule has more than {MAX_NODES} operators and operands.")


def _size(tree: Node) -> int:
    return sum(1 for _ in nodes.walk(tree))


@lru_cache(maxsize=64)
def _symbol(index: int) -> se.Symbol:
    return se.Symbol(f"x_{index}")


def _build(node: Node) -> se.Basic:
    if isinstance(node, Number):
        return _number(Fraction(repr(node.value)))
    if isinstance(node, Input):
        return _symbol(node.index)
    if isinstance(node, Neg):
        return _multiply(se.Integer(-1), _build(node.operand))
    left, right = _build(node.left), _build(node.right)
    match node.operator:
        case "+":
            return _add(left, right)
        case "-":
            return _add(left, _multiply(se.Integer(-1), right))
        case "*":
            return _multiply(left, right)
        case "/":
            return _multiply(left, _power(right, se.Integer(-1)))
        case "**":
            return _power(left, right)


@lru_cache(maxsize=1024)
def _number(value: Fraction) -> se.Basic:
    return se.Rational(value.numerator, value.denominator)


def _add(left: se.Basic, right: se.Basic) -> se.Basic:
    # One flat sum; SymEngine would keep the sum that `right` is as a single term.
    return se.Add(*_terms(left), *_terms(right))


def _terms(value: se.Basic) -> tuple[se.Basic, ...]:
    return value.args if value.is_Add else (value,)


def _multiply(left: se.Basic, right: se.Basic) -> se.Basic:
    left_factor, left_rest = _split(left)
    right_factor, right_rest = _split(right)
    return _scale(left_factor * right_factor, left_rest * right_rest)


def _scale(factor: Fraction, value: se.Basic) -> se.Basic:
    if factor == 1:
        return value
    number = _number(factor)
    if value.is_Add:
        return se.Add(*(number * term for term in value.args))
    return number * value


def _split(value: se.Basic) -> tuple[Fraction, se.Basic]:
    """A rational factor and the rest; of a sum, its content, with the sign of its first term."""
    if isinstance(value, se.Number):
        return to_fraction(value), se.Integer(1)
    if value.is_Mul and isinstance(value.args[0], se.Number):
        return to_fraction(value.args[0]), se.Mul(*value.args[1:])
    if value.is_Add:
        common = content(value)
        return common, _scale(1 / common, value)
    return Fraction(1), value


def _power(base: se.Basic, exponent: se.Basic) -> se.Basic:
    if isinstance(exponent, se.Integer):
        count = int(exponent)
        factor, rest = _split(base)
        bits = max(factor.numerator.bit_length(), factor.denominator.bit_length())
        if abs(factor) != 1 and abs(count) * bits > _MAX_POWER_BITS:
            raise NotRepresentableError
        if factor == 0 and count < 0:
            raise NotRepresentableError
        _check_roots(rest, count)
        return _scale(factor**count, rest**exponent)
    if base.is_Pow and base.args[1] == -1:
        # SymEngine writes (1/x)**y as x**(-y), which is another branch where x is negative.
        raise NotRepresentableError
    if isinstance(base, se.Number):
        value = to_fraction(base)
        if max(abs(value.numerator), value.denominator) > _MAX_ROOT_BASE:
            raise NotRepresentableError
    if isinstance(exponent, se.Number):
        _check_roots(base, to_fraction(exponent))
    return base**exponent


def _check_roots(base: se.Basic, exponent: Fraction | int) -> None:
    """Refuse a power of numbers or of their roots that would be computed with too many digits."""
    for factor in base.args if base.is_Mul else (base,):
        number = factor
        if factor.is_Pow and isinstance(factor.args[1], se.Number):
            number = factor.args[0]
        if isinstance(number, se.Number):
            value = to_fraction(number)
            bits = max(value.numerator.bit_length(), value.denominator.bit_length())
            if abs(value) != 1 and abs(exponent) * bits > _MAX_ROOT_BITS:
                raise NotRepresentableError
