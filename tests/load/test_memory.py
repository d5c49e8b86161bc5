"""Memory is read as the kernel counts it, and growth is told from noise."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.load.memory import Growth, descendants, growth, memory_of, pooled
from tests.servers import wait_until

_HOLD = "import time; held = bytearray({n_bytes}); print('ready', flush=True); time.sleep(60)"


def test_the_memory_of_a_process_is_its_own_and_its_part_of_what_is_shared() -> None:
    found = []
    for n_bytes in (1, 50_000_000):
        command = [sys.executable, "-c", _HOLD.format(n_bytes=n_bytes)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            found.append(memory_of(process.pid))
            process.kill()
        assert memory_of(process.pid) is None
    small, large = found
    assert large.own - small.own == pytest.approx(50e6 / 2**20, abs=1.0)
    assert small.own <= small.fair


def test_descendants_are_found_in_all_generations() -> None:
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE) as process:
        wait_until(lambda: len(descendants(process.pid)) == 1, 20, "the grandchild is there")
        assert process.pid in descendants(os.getpid())
        assert set(descendants(process.pid)) <= set(descendants(os.getpid()))
        process.communicate(b"\n")


def test_the_slope_and_its_error_are_those_of_a_straight_line() -> None:
    xs = np.arange(200.0)
    noise = np.random.default_rng(1).normal(0.0, 2.0, 200)
    found = growth(xs, 0.5 * xs + 100.0 + noise)
    # Closed form of an ordinary fit with independent noise.
    expected = 2.0 / np.sqrt(((xs - xs.mean()) ** 2).sum())
    assert found.error == pytest.approx(expected, rel=0.25)
    assert abs(found.slope - 0.5) < 4 * expected
    assert not found.is_none


def test_correlated_noise_is_not_taken_for_growth() -> None:
    n_false = 0
    for seed in range(200):
        draws = np.random.default_rng(seed).normal(0.0, 1.0, 400)
        walk = np.zeros(400)
        for index in range(1, 400):
            walk[index] = 0.9 * walk[index - 1] + draws[index]
        n_false += not growth(range(400), walk).is_none
    # One side of two standard errors, in which 2.3 % are expected.
    assert n_false <= 14


def test_a_line_without_noise_has_no_error_and_too_few_samples_tell_nothing() -> None:
    assert growth([0, 1, 2, 3, 4], [5.0] * 5).is_none
    found = growth([0, 1, 2, 3, 4], [5.0, 7.0, 9.0, 11.0, 13.0])
    assert found.slope == pytest.approx(2.0)
    assert not found.is_none
    assert math.isnan(growth([0, 1], [1.0, 2.0]).slope)


def test_pooled_slopes_weigh_by_their_errors() -> None:
    found = pooled([Growth(1.0, 1.0), Growth(4.0, 2.0), Growth(math.nan, math.nan)])
    assert found.slope == pytest.approx((1.0 + 4.0 / 4.0) / 1.25)
    assert found.error == pytest.approx(1.25**-0.5)
    assert math.isnan(pooled([]).slope)
