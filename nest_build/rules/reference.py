"""The slow reference: what an expression means, number by number.

Every value is a pair of doubles. A pair whose imaginary part is zero (of either sign) is a real
number, and operations on it involve its real part only, so that ``inf*2`` is inf and not
``inf + nan*j``. Otherwise

* ``+ -`` work on the parts; ``*`` is the textbook product; ``/`` is Smith's method;
* ``x**n`` with a literal whole number, up to `LARGEST_MULTIPLIED_EXPONENT`, is repeated squaring
  from the exponent's highest bit down, and ``1/x**n`` for negative ones;
* a power of real numbers is C's ``pow`` (0**0 = 1, x**0 = 1), except that a negative base with a
  fractional exponent gives the principal complex power ``|a|**b * exp(i*pi*b)``;
* any other power is ``exp(b*log(a))`` with the principal logarithm; ``a**0 = 1``, and ``0**b`` is
  0 if the real part of b is positive, else NaN.

The value of the expression is the real part of the last pair. Divisions by zero and overflow give
infinities and NaN as IEEE 754 says; nothing is trapped. In the arithmetic of zero products, a
product with a factor of zero is that factor (the left one, if both are zero), and ``a/b`` is
``a*(1/b)``; a pair is zero if both of its parts are.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from nest_build.rules.arithmetic import Arithmetic
from nest_build.rules.language import Expression
from nest_build.rules.tree import (
    LARGEST_MULTIPLIED_EXPONENT,
    Binary,
    Input,
    Neg,
    Node,
    Number,
    integer_exponent,
)

Pair = tuple[np.ndarray, np.ndarray]

_ZERO = np.float64(0.0)
_ONE: Pair = (np.float64(1.0), _ZERO)


def evaluate(
    expression: Expression, *values: ArrayLike, arithmetic: Arithmetic = Arithmetic.IEEE
) -> np.ndarray:
    """Evaluate an expression.

    Parameters
    ----------
    expression : Expression
        The rule branch.
    *values : array_like
        One array per input, in order; they are broadcast against each other.
    arithmetic : Arithmetic
        What a product with a factor of zero is.

    Returns
    -------
    ndarray of float64
        Of the broadcast shape.
    """
    if len(values) != len(expression.inputs):
        raise TypeError(f"the rule has {len(expression.inputs)} inputs, got {len(values)} arrays")
    arrays = [np.asarray(value, dtype=np.float64) for value in values]
    with np.errstate(all="ignore"):
        real, _ = _evaluate(expression.tree, arrays, arithmetic)
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    return np.broadcast_to(real, shape).copy()


def _evaluate(node: Node, inputs: list[np.ndarray], arithmetic: Arithmetic) -> Pair:
    if isinstance(node, Number):
        return np.float64(node.value), _ZERO
    if isinstance(node, Input):
        return inputs[node.index], _ZERO
    if isinstance(node, Neg):
        real, imag = _evaluate(node.operand, inputs, arithmetic)
        # What is real by construction has no imaginary part whose sign could turn.
        return -real, _ZERO if _is_real(node.operand) else -imag
    left = _evaluate(node.left, inputs, arithmetic)
    if node.operator == "**":
        exponent = integer_exponent(node.right)
        if exponent is not None and abs(exponent) <= LARGEST_MULTIPLIED_EXPONENT:
            return _whole_power(left, exponent, arithmetic)
        return _power(*left, *_evaluate(node.right, inputs, arithmetic))
    right = _evaluate(node.right, inputs, arithmetic)
    if node.operator == "+":
        return left[0] + right[0], left[1] + right[1]
    if node.operator == "-":
        return left[0] - right[0], left[1] - right[1]
    operation = _multiply if node.operator == "*" else _divide
    return operation(left, right, arithmetic)


def _is_real(node: Node) -> bool:
    """Whether a value is real whatever the inputs are: no power but by a whole number."""
    if isinstance(node, Neg):
        return _is_real(node.operand)
    if isinstance(node, Binary):
        is_whole = node.operator != "**" or integer_exponent(node.right) is not None
        return is_whole and _is_real(node.left) and _is_real(node.right)
    return True


def _multiply(left: Pair, right: Pair, arithmetic: Arithmetic) -> Pair:
    (a, b), (c, d) = left, right
    real = a * c - np.where((b == 0) | (d == 0), 0.0, b * d)
    imag = np.where(d == 0, 0.0, a * d) + np.where(b == 0, 0.0, b * c)
    if arithmetic is Arithmetic.ZERO_PRODUCTS:
        for factor_real, factor_imag in (right, left):
            is_zero = (factor_real == 0) & (factor_imag == 0)
            real, imag = np.where(is_zero, factor_real, real), np.where(is_zero, 0.0, imag)
    return real, imag


def _divide(left: Pair, right: Pair, arithmetic: Arithmetic) -> Pair:
    if arithmetic is Arithmetic.ZERO_PRODUCTS:
        return _multiply(left, _quotient(_ONE, right), arithmetic)
    return _quotient(left, right)


def _quotient(left: Pair, right: Pair) -> Pair:
    (a, b), (c, d) = left, right
    wide = np.abs(c) >= np.abs(d)
    larger, smaller = np.where(wide, c, d), np.where(wide, d, c)
    ratio = smaller / larger
    scale = larger + smaller * ratio
    real = np.where(wide, a + b * ratio, a * ratio + b) / scale
    imag = np.where(wide, b - a * ratio, b * ratio - a) / scale
    return (
        np.where(d == 0, a / c, real),
        np.where(d == 0, np.where(b == 0, 0.0, b / c), imag),
    )


def _whole_power(base: Pair, exponent: int, arithmetic: Arithmetic) -> Pair:
    if exponent == 0:
        return _ONE
    power = base
    for bit in bin(abs(exponent))[3:]:
        power = _multiply(power, power, arithmetic)
        if bit == "1":
            power = _multiply(power, base, arithmetic)
    return power if exponent > 0 else _divide(_ONE, power, arithmetic)


def complex_power(a: float, b: float, c: float, d: float) -> tuple[float, float]:
    """``(a + ib)**(c + id)`` as a pair, by the C library's real functions."""
    if b == 0 and d == 0:
        if not (a < 0 and math.isfinite(c) and not c.is_integer()):
            return _pow(a, c), 0.0
        size, angle = _pow(-a, c), math.fmod(c, 2.0) * math.pi
    elif c == 0 and d == 0:
        return 1.0, 0.0
    elif a == 0 and b == 0:
        value = 0.0 if c > 0 else math.nan
        return value, 0.0
    else:
        b = 0.0 if b == 0 else b
        log_size, phase = _log(_hypot(a, b)), math.atan2(b, a)
        size = _exp(c * log_size - (0.0 if d == 0 else d * phase))
        angle = c * phase + (0.0 if d == 0 else d * log_size)
    return size * _circular(math.cos, angle), size * _circular(math.sin, angle)


_elementwise_power = np.frompyfunc(complex_power, 4, 2)


def _power(*parts: np.ndarray) -> Pair:
    real, imag = _elementwise_power(*(np.asarray(part, dtype=object) for part in parts))
    return np.asarray(real, dtype=np.float64), np.asarray(imag, dtype=np.float64)


# Python's functions raise where C's return an infinity or NaN.
def _pow(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:
        is_odd = math.fmod(exponent, 2.0) != 0
        return -math.inf if base < 0 and is_odd else math.inf
    except ValueError:  # zero to a negative power
        is_odd = math.fabs(math.fmod(exponent, 2.0)) == 1
        return math.copysign(math.inf, base) if is_odd else math.inf


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _log(value: float) -> float:
    return math.log(value) if value > 0 or math.isnan(value) else -math.inf


def _hypot(a: float, b: float) -> float:
    try:
        return abs(complex(a, b))  # math.hypot has an algorithm of its own
    except OverflowError:
        return math.inf


def _circular(function, angle: float) -> float:
    return function(angle) if math.isfinite(angle) else math.nan
