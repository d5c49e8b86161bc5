"""Windows of spike timing: what a pair rule does to a weight, by the interval of two spikes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from nest_build.rules import parse

if TYPE_CHECKING:
    from collections.abc import Sequence


def pair_window(
    texts: tuple[str, str],
    weights: Sequence[float],
    intervals_ms: np.ndarray,
    *,
    tau_ms: float = 20.0,
) -> np.ndarray:
    r"""Return the change of the weight by one pair of spikes.

    With the postsynaptic spike last the rule facilitates by :math:`f(w, E)`, otherwise it depresses
    by :math:`-d(w, E)`, where the earlier spike has left the trace
    :math:`E = \exp(-|t_\text{post} - t_\text{pre}| / \tau)`.

    Parameters
    ----------
    texts : tuple of str
        Expressions of depression and facilitation in ``w`` and ``E``.
    weights : sequence of float
        Weights, 1 at their maximum.
    intervals_ms : ndarray of shape (n,), in ms
        Time of the postsynaptic spike minus that of the presynaptic one. At 0 the rule facilitates.
    tau_ms : float
        Time constant of both traces, in ms.

    Returns
    -------
    ndarray of shape (n_weights, n)
        In units of the learning rate and of the maximal weight; without the bounds of weights. Not
        finite where the rule is not.

    References
    ----------
    Jordan, Schmidt, Senn & Petrovici (2021), eLife 10:e66273, figure 5E to 5G.
    """
    depress, facilitate = (parse(text, ("w", "E")) for text in texts)
    trace = np.exp(-np.abs(intervals_ms) / tau_ms)
    is_before = intervals_ms < 0
    window = np.empty((len(weights), len(intervals_ms)))
    with np.errstate(all="ignore"):
        for row, weight in zip(window, weights, strict=True):
            w = np.full(len(intervals_ms), float(weight))
            row[:] = np.where(is_before, -depress.evaluate(w, trace), facilitate.evaluate(w, trace))
    return window


def whole_window(
    texts: tuple[str, str],
    weights: Sequence[float],
    intervals_ms: np.ndarray,
    *,
    tau_ms: float = 20.0,
    far_ms: float = math.inf,
) -> np.ndarray:
    """Return the change by two spikes each of which also acts alone.

    A presynaptic spike always depresses and a postsynaptic one always facilitates. Whichever comes
    first finds the trace that a spike ``far_ms`` ago has left.

    See :func:`pair_window` for the other parameters and the result.

    References
    ----------
    Jordan, Schmidt, Senn & Petrovici (2021), eLife 10:e66273: figures 5H and 5I show half of it.
    """
    pair = pair_window(texts, weights, intervals_ms, tau_ms=tau_ms)
    ends = np.array([-far_ms, far_ms])
    depressed, facilitated = pair_window(texts, weights, ends, tau_ms=tau_ms).T
    alone = np.where(intervals_ms < 0, facilitated[:, np.newaxis], depressed[:, np.newaxis])
    with np.errstate(invalid="ignore"):
        return pair + alone
