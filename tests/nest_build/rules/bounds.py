"""Values with bounds of their rounding error: which differences two ways of computing may have."""

import numpy as np

from nest_build.rules.tree import Binary, Input, Neg, Number, integer_exponent, walk

EPSILON = np.finfo(np.float64).eps
#: Beyond these sizes intermediate results over- or underflow in one form of a rule, not in another.
SMALLEST, LARGEST = 1e-100, 1e100


def evaluate_with_bounds(tree, inputs):
    """Real parts of the values and bounds of their absolute error, arrays of one shape.

    The bound is NaN or infinite where the value is singular (a division by zero, a size beyond
    `SMALLEST` or `LARGEST`) or ambiguous: a power whose base is a negative number only up to
    rounding lies on either side of the logarithm's cut.
    """
    inputs = np.asarray(inputs, dtype=np.complex128)
    with np.errstate(all="ignore"):
        value, error = _evaluate(tree, inputs)
    shape = inputs.shape[1:]
    return np.broadcast_to(value.real, shape), np.broadcast_to(error, shape)


def _evaluate(node, inputs):
    value, error = _operation(node, inputs)
    size = np.abs(value)
    is_regular = (size == 0) | ((size > SMALLEST) & (size < LARGEST))
    return value, np.where(is_regular, error, np.inf)


def _operation(node, inputs):
    if isinstance(node, Number):
        return np.complex128(node.value), np.float64(0.0)
    if isinstance(node, Input):
        return inputs[node.index], np.float64(0.0)
    if isinstance(node, Neg):
        value, error = _evaluate(node.operand, inputs)
        return -value, error
    (a, a_error), (b, b_error) = _evaluate(node.left, inputs), _evaluate(node.right, inputs)
    if node.operator in "+-":
        value = a + b if node.operator == "+" else a - b
        return value, a_error + b_error + EPSILON * np.abs(value)
    if node.operator == "*":
        error = np.abs(a) * b_error + np.abs(b) * a_error + a_error * b_error
        return a * b, error + 2 * EPSILON * np.abs(a * b)
    if node.operator == "/":
        value = a / b
        error = (a_error + np.abs(value) * b_error) / np.abs(b) + 4 * EPSILON * np.abs(value)
        # The divisor may be nothing but rounding.
        return value, np.where(np.abs(b) <= 8 * b_error, np.inf, error)
    exponent = integer_exponent(node.right)
    if exponent is not None and (exponent >= 0 or (a != 0).all()):
        value = a**exponent
        relative = np.abs(exponent) * (a_error / np.where(a == 0, 1.0, np.abs(a)) + 4 * EPSILON)
        return value, np.abs(value) * relative + np.where((a == 0) & (a_error > 0), np.inf, 0.0)
    return _power(a, a_error, b, b_error, has_phase=_holds_power(node.left))


def _holds_power(tree):
    """Whether the value may carry an imaginary part that is nothing but rounding."""
    return any(isinstance(node, Binary) and node.operator == "**" for node in walk(tree))


def _power(a, a_error, b, b_error, *, has_phase):
    vanishes = (np.abs(a) <= 8 * a_error) & (a_error > 0)
    is_ambiguous = vanishes
    if has_phase:
        is_ambiguous = vanishes | ((a.real <= 0) & (np.abs(a.imag) <= 8 * a_error) & (a_error > 0))
    # Without a negative zero in the imaginary part, which would be the lower side of the cut.
    a = np.where(a.imag == 0, a.real + 0j, a)
    value = a**b
    log = np.where(a == 0, 0.0, np.log(a))
    relative = np.abs(b) * (a_error / np.abs(a)) + np.abs(log) * b_error
    relative = relative + EPSILON * (4 + 4 * np.abs(b) * (np.abs(log) + np.pi))
    error = np.where(a == 0, np.where(a_error + b_error > 0, np.inf, 0.0), np.abs(value) * relative)
    return value, np.where(is_ambiguous, np.inf, error)
