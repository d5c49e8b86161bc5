"""Fitness: pure functions from recorded quantities to the value of a trial."""

from __future__ import annotations

import numpy as np


def negative_error(
    student_mv: np.ndarray, teacher_mv: np.ndarray, skipped_fraction: float
) -> float:
    r"""Return minus the distance between student and teacher.

    .. math:: -\sqrt{ \sum_t ( u_t - v_t )^2 }

    Parameters
    ----------
    student_mv, teacher_mv : ndarray of shape (n_samples,), in mV
        Potentials at the same times.
    skipped_fraction : float
        Fraction of the samples at the beginning that do not count, while the student learns.

    Returns
    -------
    float
        Value in mV; not finite where a potential is not.

    References
    ----------
    Jordan, Schmidt, Senn & Petrovici (2021), eLife 10:e66273.
    """
    skipped = round(skipped_fraction * len(student_mv))
    with np.errstate(over="ignore", invalid="ignore"):
        difference = student_mv[skipped:] - teacher_mv[skipped:]
        return -float(np.sqrt(np.sum(difference**2)))


def windowed_error(student_mv: np.ndarray, teacher_mv: np.ndarray, n_samples: int) -> np.ndarray:
    """Return the root mean square difference in consecutive windows of ``n_samples`` samples.

    Parameters
    ----------
    student_mv, teacher_mv : ndarray of shape (n,), in mV
        Potentials at the same times.
    n_samples : int
        Samples of a window; samples after the last complete window are left out.

    Returns
    -------
    ndarray of shape (n // n_samples,), in mV
    """
    n_windows = len(student_mv) // n_samples
    with np.errstate(over="ignore", invalid="ignore"):
        difference = (student_mv - teacher_mv)[: n_windows * n_samples]
        return np.sqrt(np.mean(difference.reshape(n_windows, n_samples) ** 2, axis=1))


def signal_to_noise(
    potential_mv: np.ndarray, onset_samples: np.ndarray, n_window_samples: int, *, ddof: int = 0
) -> float:
    r"""Return how much the potential stands out in windows in which a signal is presented.

    .. math:: \frac{ \langle \max_{t \in \text{window}} V_t \rangle_\text{windows} - \mu }{ \sigma }

    with the mean and the standard deviation of the potential outside of the windows.

    Parameters
    ----------
    potential_mv : ndarray of shape (n_samples,), in mV
    onset_samples : ndarray of shape (n_windows,), int
        Index of the first sample of each window; windows do not overlap.
    n_window_samples : int
        Length of the windows; the last one may end with the recording.
    ddof : int
        Samples less than all by which the sum of squares is divided to get the variance.

    Returns
    -------
    float
        Pure number; not finite where a potential is not, or where it does not vary outside of
        the windows.

    References
    ----------
    Jordan, Schmidt, Senn & Petrovici (2021), eLife 10:e66273.
    """
    windows = [slice(onset, onset + n_window_samples) for onset in onset_samples]
    is_outside = np.ones(len(potential_mv), dtype=bool)
    for window in windows:
        is_outside[window] = False
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        outside_mv = potential_mv[is_outside]
        peaks_mv = np.array([potential_mv[window].max() for window in windows])
        return float(np.mean((peaks_mv - outside_mv.mean()) / outside_mv.std(ddof=ddof)))
