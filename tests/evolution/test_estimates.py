"""Estimates from trials against closed forms, exact enumeration and other computations."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolution.estimates import difference, estimate, generalisation_gap
from simulations.learning_tasks import Aggregate

MEAN, MIN = Aggregate.MEAN, Aggregate.MIN
# Quantiles of Student's t as tables have them: 0.975 with 1, 4, 9 and 14 degrees of freedom.
T_975 = {2: 12.706205, 5: 2.776445, 10: 2.262157, 15: 2.144787}
FIRST = (-12.25, -6.48, -18.9, -21.34, -13.99)
SECOND = (-8.76, -4.19, -16.7, -15.71, -13.04)


@pytest.mark.parametrize("n", sorted(T_975))
def test_the_interval_of_a_mean_is_students(n: int) -> None:
    values = [math.sin(7.0 * k) * 3.0 - k for k in range(n)]
    mean = sum(values) / n
    sd = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
    reach = T_975[n] * sd / math.sqrt(n)
    found = estimate(values, MEAN)
    assert (found.value, found.mean, found.sd, found.n_trials) == pytest.approx((mean, mean, sd, n))
    assert (found.low, found.high) == pytest.approx((mean - reach, mean + reach), rel=1e-6)


def test_a_single_trial_has_no_interval() -> None:
    for aggregate in Aggregate:
        found = estimate([-3.0], aggregate)
        assert (found.value, found.low, found.high, found.sd) == (-3.0, None, None, None)
        assert difference([-3.0], [-4.0], aggregate).p_value is None
        assert generalisation_gap([-3.0], [-4.0], aggregate).low is None
    assert estimate([], MEAN) is None


def test_the_fitness_of_least_trials_is_the_least_and_its_interval_is_of_seen_values() -> None:
    """A resample's least value is one of the trials: so are the ends of the interval."""
    values = (9.0, 4.0, 12.0, 20.0, 7.5, 15.0, 11.0, 8.0)
    found = estimate(values, MIN)
    assert (found.value, found.low) == (4.0, 4.0)
    # Of all resamples, (7/8)^8 = 34 % lack the least value, 10 % the two least, 0.4 % the four
    # least: the upper end is among the next ones.
    assert found.high in {7.5, 8.0, 9.0}
    assert found.mean == pytest.approx(sum(values) / 8)


def test_means_are_compared_pair_by_pair() -> None:
    """The paired t test is that of the differences; shared ups and downs of trials cancel."""
    pairs = [a - b for a, b in zip(FIRST, SECOND, strict=True)]
    mean = sum(pairs) / 5
    error = math.sqrt(sum((x - mean) ** 2 for x in pairs) / 4 / 5)
    found = difference(FIRST, SECOND, MEAN)
    assert found.value == pytest.approx(mean)
    assert (found.low, found.high) == pytest.approx(
        (mean - T_975[5] * error, mean + T_975[5] * error), rel=1e-6
    )
    # The distribution function of t with four degrees of freedom in closed form.
    t = abs(mean / error)
    x = t / math.sqrt(4.0 + t * t)
    p_value = 1.0 - 1.5 * (x - x**3 / 3.0)
    assert found.p_value == pytest.approx(p_value, rel=1e-9)


def test_least_values_are_compared_by_exchanging_rules_in_each_trial() -> None:
    observed = min(FIRST) - min(SECOND)
    changes = []
    for swaps in itertools.product([False, True], repeat=5):
        one = [b if swap else a for a, b, swap in zip(FIRST, SECOND, swaps, strict=True)]
        other = [a if swap else b for a, b, swap in zip(FIRST, SECOND, swaps, strict=True)]
        changes.append(min(one) - min(other))
    below = np.mean([change <= observed + 1e-12 for change in changes])
    above = np.mean([change >= observed - 1e-12 for change in changes])
    found = difference(FIRST, SECOND, MIN)
    assert found.value == pytest.approx(observed)
    assert found.p_value == pytest.approx(min(1.0, 2 * min(below, above)))
    assert found.low <= found.value <= found.high


def test_only_shared_trials_are_compared() -> None:
    found = difference(FIRST, SECOND[:3], MEAN)
    assert (found.n_trials, found.value) == (3, pytest.approx(np.mean(FIRST[:3]) + 29.65 / 3))


def test_equal_values_leave_no_doubt() -> None:
    for aggregate in Aggregate:
        assert difference(FIRST, FIRST, aggregate).value == 0.0
        assert difference(FIRST, FIRST, aggregate).p_value == 1.0
    shifted = difference([1.0, 2.0], [0.0, 1.0], MEAN)
    assert (shifted.value, shifted.low, shifted.high, shifted.p_value) == (1.0, 1.0, 1.0, 0.0)


def test_the_gap_of_means_has_welchs_interval() -> None:
    """Two trials of each: one degree of freedom where variances are equal to two otherwise."""
    training, held_out = (1.0, 3.0), (-4.0, 0.0)
    variances = (2.0 / 2, 8.0 / 2)
    error = math.sqrt(sum(variances))
    freedom = sum(variances) ** 2 / sum(variance**2 for variance in variances)
    found = generalisation_gap(training, held_out, MEAN)
    assert found.value == pytest.approx(4.0)
    # The distribution function of t between one and two degrees of freedom has no closed form:
    # the density is summed up.
    reach = (found.high - found.low) / 2 / error
    grid = np.linspace(-reach, reach, 400_001)
    density = (1 + grid**2 / freedom) ** (-(freedom + 1) / 2)
    constant = math.gamma((freedom + 1) / 2) / (
        math.sqrt(freedom * math.pi) * math.gamma(freedom / 2)
    )
    assert constant * np.trapezoid(density, grid) == pytest.approx(0.95, abs=1e-6)


def test_the_gap_of_least_values_is_that_of_least_values() -> None:
    found = generalisation_gap((5.0, 6.0, 7.0, 9.0), (1.0, 2.0, 8.0), MIN)
    assert found.value == 4.0
    assert found.low <= 4.0 <= found.high


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12),
    st.sampled_from(list(Aggregate)),
)
def test_intervals_enclose_the_fitness(values: list[float], aggregate: Aggregate) -> None:
    found = estimate(values, aggregate)
    tolerance = 1e-9 * (1.0 + max(map(abs, values)))
    assert found.value == aggregate(values)
    assert found.low <= found.value + tolerance
    assert found.high >= found.value - tolerance
