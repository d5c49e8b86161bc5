"""Inputs of the correlation-driven learning task: a frozen pattern between random spikes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

#: Length of a simulation step; the original spike times are rounded to it.
DT_MS = 0.1
_STEPS_PER_MS = 10


@dataclass(frozen=True)
class InputStatistics:
    """What the inputs of a trial are drawn from.

    Every input spikes at ``rate_hz``. After each interval of ``interval_ms`` with random spikes
    follows a window of ``pattern_ms`` in which the inputs repeat one and the same pattern.
    """

    n_inputs: int
    rate_hz: float
    duration_ms: float
    pattern_ms: float
    interval_ms: float

    def pattern_onsets_ms(self) -> np.ndarray:
        """Return the times at which the pattern begins, in ms."""
        # Added up one by one, because they are compared with spike times that are rounded.
        onsets = []
        onset = 0.1 + self.interval_ms
        while onset < self.duration_ms:
            onsets.append(onset)
            onset += self.pattern_ms + self.interval_ms
        return np.array(onsets)

    @property
    def thinning(self) -> float:
        """Fraction of its random spikes that an input keeps that spikes in the pattern."""
        cycle_ms = self.interval_ms + self.pattern_ms
        return 1.0 - (1000.0 / cycle_ms) / (self.rate_hz * self.interval_ms / cycle_ms)


@dataclass(frozen=True)
class Inputs:
    """The spike trains of one trial.

    Attributes
    ----------
    spike_steps : tuple of ndarray of int
        For each input the steps at whose end it spikes, ascending; two equal ones are two spikes.
    is_in_pattern : ndarray of shape (n_inputs,), bool
        Whether the input spikes in the pattern.
    """

    spike_steps: tuple[np.ndarray, ...]
    is_in_pattern: np.ndarray


def draw_inputs(statistics: InputStatistics, seed: int, trial: int) -> Inputs:
    """Draw the inputs of a trial.

    As in the original experiments, one generator is seeded once and all trials are drawn from it
    one after the other. What it was like before each trial is remembered per process, so that
    only the first trial that is drawn costs the trials before it.

    Parameters
    ----------
    statistics : InputStatistics
    seed : int
        Seed of the generator.
    trial : int
        Index of the trial, from 0.
    """
    states = _states(statistics, seed)
    rng = np.random.RandomState()
    while True:
        known = min(trial, len(states) - 1)
        rng.set_state(states[known])
        inputs = _draw_next(statistics, rng)
        if known == len(states) - 1:
            states.append(rng.get_state())
        if known == trial:
            return inputs


@lru_cache(maxsize=8)
def _states(statistics: InputStatistics, seed: int) -> list[Any]:
    """Return the list, which grows, of the states of the generator before each trial."""
    return [np.random.RandomState(seed % 2**32).get_state()]


def _draw_next(statistics: InputStatistics, rng: np.random.RandomState) -> Inputs:
    """Draw one trial; uses exactly the random numbers of the original experiments."""
    s = statistics
    pattern_ms, is_pattern_spike = _draw_trains(s.n_inputs, s.pattern_ms, s.rate_hz, rng)
    random_ms, is_random_spike = _draw_trains(s.n_inputs, s.duration_ms, s.rate_hz, rng)
    onsets_ms = s.pattern_onsets_ms()
    is_random_spike &= ~_is_in_window(random_ms, onsets_ms, s.pattern_ms)
    is_in_pattern = is_pattern_spike.any(axis=1) & (len(onsets_ms) > 0)

    trains = []
    for index in range(s.n_inputs):
        train_ms = random_ms[index, is_random_spike[index]]
        if is_in_pattern[index]:
            n_kept = int(train_ms.size * s.thinning)
            # Drawn with replacement, as in the original.
            kept_ms = rng.choice(train_ms, size=n_kept) if n_kept else train_ms[:0]
            pattern = pattern_ms[index, is_pattern_spike[index]]
            train_ms = np.append(kept_ms, pattern + onsets_ms[:, np.newaxis])
        trains.append(np.sort(np.round(train_ms * _STEPS_PER_MS).astype(np.int64)))
    return Inputs(tuple(trains), is_in_pattern)


def _draw_trains(
    n_inputs: int, duration_ms: float, rate_hz: float, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Draw Poisson spike trains; return times in ms and which of them are in the duration.

    A train has at most 5/4 of the expected number of spikes, and at least one is drawn.
    """
    n_drawn = max(1, int(1.25 * rate_hz * 1e-3 * duration_ms))
    intervals_ms = rng.exponential(scale=1.0 / (rate_hz * 1e-3), size=(n_inputs, n_drawn))
    times_ms = np.round(np.cumsum(intervals_ms, axis=1) + 0.1, 1)
    return times_ms, times_ms < duration_ms


def _is_in_window(times_ms: np.ndarray, onsets_ms: np.ndarray, length_ms: float) -> np.ndarray:
    """Tell which times are after an onset and not after the end of its window."""
    if len(onsets_ms) == 0:
        return np.zeros(times_ms.shape, dtype=bool)
    latest = np.searchsorted(onsets_ms, times_ms, side="left") - 1
    return (latest >= 0) & (times_ms <= onsets_ms[np.maximum(latest, 0)] + length_ms)
