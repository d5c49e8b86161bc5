"""Input spike trains: the published inputs, the grid and the rate."""

from __future__ import annotations

import numpy as np
import pytest

from simulations.learning_tasks._inputs import poisson_spike_steps


@pytest.mark.parametrize("dt_ms", [0.01, 0.1, 0.5])
def test_spikes_are_sorted_and_on_the_grid_within_the_duration(dt_ms):
    steps = poisson_spike_steps(np.random.RandomState(1), 500.0, 2000.0, dt_ms)
    assert (np.diff(steps) >= 0).all()
    assert steps[0] >= 1
    assert steps[-1] <= round(2000.0 / dt_ms)


def test_number_of_spikes_is_poisson_distributed():
    rng = np.random.RandomState(2)
    counts = [len(poisson_spike_steps(rng, 100.0, 1000.0, 0.1)) for _ in range(2000)]
    assert np.mean(counts) == pytest.approx(100.0, abs=4 * np.sqrt(100 / 2000))
    assert np.var(counts) == pytest.approx(100.0, rel=0.15)


def test_a_train_is_a_function_of_the_state_of_the_generator():
    trains = [poisson_spike_steps(np.random.RandomState(3), 300.0, 100.0, 0.1) for _ in range(2)]
    np.testing.assert_array_equal(*trains)
    # The first numbers of the stream, drawn by hand.
    rng = np.random.RandomState(3)
    n_spikes = rng.poisson(30.0)
    times_ms = np.sort(rng.uniform(0.1, 100.0, n_spikes))
    np.testing.assert_array_equal(trains[0], np.floor(times_ms / 0.1))


def test_no_spikes_at_rate_zero():
    assert len(poisson_spike_steps(np.random.RandomState(4), 0.0, 100.0, 0.1)) == 0
