"""Hurdles: offspring are judged by a few cheap trials first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def hurdle_height(fitness: Sequence[float], percentile: float) -> float:
    """Return the fitness below which no further trials are made.

    As in hal-cgp it is a percentile of the distinct values, so that many equal individuals count
    once. Where hal-cgp interpolates from minus infinity it gets no number, and refuses everybody;
    the limit of that interpolation is minus infinity, which lets everybody pass.

    Parameters
    ----------
    fitness : sequence of float
        Fitness of parents and offspring in the first trials.
    percentile : float
        Between 0 (nobody stays below) and 1 (only the fittest pass).
    """
    values = np.unique(np.asarray(fitness, dtype=np.float64))
    with np.errstate(invalid="ignore"):
        height = float(np.percentile(values, percentile * 100))
    return -math.inf if math.isnan(height) else height
