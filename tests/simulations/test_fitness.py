"""Fitness functions against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from simulations import fitness


def test_negative_error_of_a_constant_difference():
    student = np.full(100, -60.0)
    teacher = np.full(100, -62.0)
    assert fitness.negative_error(student, teacher, 0.1) == pytest.approx(-2.0 * math.sqrt(90))


def test_negative_error_skips_the_beginning():
    student = np.concatenate([np.full(10, 1e9), np.zeros(90)])
    assert fitness.negative_error(student, np.zeros(100), 0.1) == 0.0
    assert fitness.negative_error(student, np.zeros(100), 0.0) < -1e9


@pytest.mark.parametrize("value", [math.inf, math.nan, 1e200])
def test_negative_error_is_not_finite_where_a_potential_is_beyond_bounds(value):
    student = np.zeros(100)
    student[50] = value
    assert not math.isfinite(fitness.negative_error(student, np.zeros(100), 0.1))


def test_windowed_error_is_the_root_mean_square_of_each_window():
    student = np.array([3.0, 4.0, 0.0, 0.0, 1.0, 1.0, 99.0])
    expected = [math.sqrt(12.5), 0.0, 1.0]
    np.testing.assert_allclose(fitness.windowed_error(student, np.zeros(7), 2), expected)
