"""Equality of rules by value: fingerprints, and rules that differ by a positive factor.

The canonical form is evaluated at a few fixed generic points. Beside each value runs a bound of its
rounding error, so that a sum which cancels exactly in mathematics counts as zero here as well.
"""

import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import count, islice

import numpy as np

from nest_build.rules.language import Expression
from nest_build.rules.tree import (
    LARGEST_MULTIPLIED_EXPONENT,
    Input,
    Neg,
    Node,
    Number,
    integer_exponent,
)

#: Few enough that a value close to a rounding boundary is unlikely, many more than needed to tell
#: two rules apart.
N_POINTS = 12
SIGNIFICANT_DIGITS = 9

_EPSILON = float(np.finfo(np.float64).eps)
#: A value below this multiple of its error bound is zero.
_NOISE_FACTOR = 4.0
_RELATIVE_TOLERANCE = 1e-9

#: Values (complex) with bounds of their absolute error.
_Bounded = tuple[np.ndarray, np.ndarray]


@lru_cache(maxsize=512)
def fingerprint(expression: Expression) -> str:
    """Hash of the values at the points, rounded to `SIGNIFICANT_DIGITS`; see the module."""
    values = _values(expression)
    codes = [
        f"{value:.{SIGNIFICANT_DIGITS - 1}e}" if math.isfinite(value) else "not finite"
        for value in values.tolist()
    ]
    text = "\n".join((*expression.inputs, "", *codes))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def family(branches: Sequence[Expression]) -> str:
    """Hash that rules have in common which differ by one positive factor only.

    The values at the points are divided by the largest of them, so that the factor goes away.
    """
    values = np.concatenate([_values(branch) for branch in branches])
    largest = np.abs(values[np.isfinite(values)]).max(initial=0.0)
    if largest > 0.0:
        values = values / largest
    # Adding zero makes no difference between the two signs of zero.
    codes = [
        f"{value + 0.0:.{SIGNIFICANT_DIGITS - 1}e}" if math.isfinite(value) else "not finite"
        for value in values.tolist()
    ]
    text = "\n".join((*branches[0].inputs, "", *codes))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def is_positive_multiple(
    branches: Sequence[Expression], other_branches: Sequence[Expression]
) -> bool:
    """Whether all branches are the other ones times one positive constant, at the points."""
    if len(branches) != len(other_branches):
        return False
    values = np.concatenate([_values(branch) for branch in branches])
    others = np.concatenate([_values(branch) for branch in other_branches])
    finite = np.isfinite(values)
    if not finite.any() or (finite != np.isfinite(others)).any():
        return False
    values, others = values[finite], others[finite]
    nonzero = values != 0
    if (nonzero != (others != 0)).any():
        return False
    if not nonzero.any():
        return True
    ratios = values[nonzero] / others[nonzero]
    spread = np.abs(ratios - ratios[0]).max()
    return bool(ratios[0] > 0 and spread <= _RELATIVE_TOLERANCE * ratios[0])


@lru_cache(maxsize=64)
def _points(n_inputs: int) -> np.ndarray:
    """Points of shape (n_inputs, N_POINTS), of both signs, between 0.2 and 2.2 in size.

    Multiples of square roots of primes modulo 1 (a Kronecker sequence): no random numbers, so that
    every machine and version has the same points.
    """
    roots = np.sqrt(np.array(list(islice(_primes(), n_inputs)), dtype=np.float64))
    fractions = np.modf(np.outer(roots, np.arange(1, N_POINTS + 1)))[0]
    centred = 4.0 * fractions - 2.0
    return centred + np.copysign(0.2, centred)


def _primes():
    return (n for n in count(2) if all(n % divisor for divisor in range(2, math.isqrt(n) + 1)))


def _values(expression: Expression) -> np.ndarray:
    """Real values at the points; noise is zero, and everything that is not finite is NaN."""
    points = _points(len(expression.inputs)).astype(np.complex128)
    with np.errstate(all="ignore"):
        value, error = _evaluate(expression.canonical().tree, points)
        real = np.where(np.abs(value.real) <= _NOISE_FACTOR * error, 0.0, value.real)
        is_finite = np.isfinite(value.real) & np.isfinite(value.imag)
        values = np.where(is_finite, real, np.nan)
    return np.broadcast_to(values, (N_POINTS,))


def _evaluate(node: Node, points: np.ndarray) -> _Bounded:
    if isinstance(node, Number):
        return np.complex128(node.value), np.float64(0.0)
    if isinstance(node, Input):
        return points[node.index], np.float64(0.0)
    if isinstance(node, Neg):
        value, error = _evaluate(node.operand, points)
        return -value, error
    left = _evaluate(node.left, points)
    if node.operator == "**":
        exponent = integer_exponent(node.right)
        if exponent is not None and abs(exponent) <= LARGEST_MULTIPLIED_EXPONENT:
            return _whole_power(left, exponent)
        return _power(left, _evaluate(node.right, points))
    right = _evaluate(node.right, points)
    if node.operator in "+-":
        return _add(left, right if node.operator == "+" else (-right[0], right[1]))
    return _multiply(left, right if node.operator == "*" else _inverse(right))


def _add(left: _Bounded, right: _Bounded) -> _Bounded:
    value = left[0] + right[0]
    error = left[1] + right[1] + _EPSILON * (np.abs(left[0]) + np.abs(right[0]))
    vanishes = np.abs(value) <= _NOISE_FACTOR * error
    return np.where(vanishes, 0.0, value), np.where(vanishes, 0.0, error)


def _multiply(left: _Bounded, right: _Bounded) -> _Bounded:
    value = left[0] * right[0]
    error = np.abs(left[0]) * right[1] + np.abs(right[0]) * left[1] + left[1] * right[1]
    return value, error + 2 * _EPSILON * np.abs(value)


def _inverse(value: _Bounded) -> _Bounded:
    inverse = 1.0 / value[0]
    size = np.abs(inverse)
    return inverse, size * (size * value[1] + 2 * _EPSILON)


def _whole_power(base: _Bounded, exponent: int) -> _Bounded:
    power = (np.complex128(1.0), np.float64(0.0))
    for bit in bin(abs(exponent))[2:]:
        power = _multiply(power, power)
        if bit == "1":
            power = _multiply(power, base)
    return power if exponent >= 0 else _inverse(power)


def _power(base: _Bounded, exponent: _Bounded) -> _Bounded:
    # A negative number must lie on the upper side of the logarithm's cut, also behind noise.
    is_real = np.abs(base[0].imag) <= _NOISE_FACTOR * base[1]
    size = np.where(is_real, base[0].real + 0j, base[0])
    value = size ** exponent[0]
    logarithm = np.where(size == 0, 0.0, np.log(size))
    relative = np.abs(exponent[0]) * base[1] / np.abs(size) + np.abs(logarithm) * exponent[1]
    relative = relative + _EPSILON * (2 + np.abs(exponent[0] * logarithm))
    return value, np.where(size == 0, 0.0, np.abs(value) * relative)
