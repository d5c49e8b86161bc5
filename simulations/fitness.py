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
