"""Input spike trains, drawn as in the original experiments."""

from __future__ import annotations

import numpy as np


def poisson_spike_steps(
    rng: np.random.RandomState, rate_hz: float, duration_ms: float, dt_ms: float
) -> np.ndarray:
    """Draw a Poisson spike train on the time grid.

    The number of spikes is drawn first, then their times, which are rounded down to the grid.
    Several spikes can fall on one step.

    Parameters
    ----------
    rng : numpy.random.RandomState
        Source of random numbers. The legacy generator: its streams are frozen, and the published
        inputs can be drawn again.
    rate_hz : float
        Rate of the train, in Hz.
    duration_ms : float
        Length of the train, in ms.
    dt_ms : float
        Step of the grid, in ms.

    Returns
    -------
    ndarray of shape (n_spikes,), int
        Time of each spike in steps, ascending, 0 < step < duration.
    """
    n_spikes = rng.poisson(duration_ms * 1e-3 * rate_hz, 1)[0]
    times_ms = np.sort(rng.uniform(0.0 + dt_ms, duration_ms, size=n_spikes))
    return np.round((times_ms - times_ms % dt_ms) / dt_ms).astype(np.int64)
