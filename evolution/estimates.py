"""What a few trials tell: intervals, differences between rules, and how well rules generalise.

Pure functions of numbers. Where the fitness is the mean of the trials, intervals are Student's t;
where it is the least of them, they are BCa bootstraps of the least (Efron 1987, Journal of the
American Statistical Association 82, 171-185). Resampling never gives less than the least value that
was seen, so the lower end of such an interval is that value at best: it is optimistic.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from simulations.learning_tasks import Aggregate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

CONFIDENCE = 0.95
_N_RESAMPLES = 1999
_SEED = 1
METHODS = {
    Aggregate.MEAN: "Student's t",
    Aggregate.MIN: "BCa bootstrap of the least trial",
}


@dataclass(frozen=True)
class Estimate:
    """A fitness with its uncertainty.

    Attributes
    ----------
    value : float
        The trials in the way in which the learning task makes a fitness of them.
    low, high : float or None
        Ends of the 95 % confidence interval of ``value``; None of a single trial.
    mean : float
    sd : float or None
        Standard deviation of the trials, with n - 1; None of a single trial.
    n_trials : int
    """

    value: float
    low: float | None
    high: float | None
    mean: float
    sd: float | None
    n_trials: int


@dataclass(frozen=True)
class Difference:
    """How much fitter a rule is, or how much less fit it has become.

    Attributes
    ----------
    value : float
    low, high : float or None
        Ends of the 95 % confidence interval of ``value``.
    p_value : float or None
        Of the test that there is no difference; None where there are too few trials, or none was
        made.
    test : str
        Its name.
    n_trials : int
        Trials that both have.
    """

    value: float
    low: float | None
    high: float | None
    p_value: float | None
    test: str
    n_trials: int


def estimate(values: Sequence[float], aggregate: Aggregate) -> Estimate | None:
    """Return what the values of trials tell of the fitness, None without trials."""
    return _estimate(tuple(values), aggregate) if len(values) else None


@lru_cache(maxsize=1024)
def _estimate(values: tuple[float, ...], aggregate: Aggregate) -> Estimate:
    import numpy as np

    trials = np.asarray(values)
    n = len(trials)
    sd = float(trials.std(ddof=1)) if n > 1 else None
    low = high = None
    if n > 1:
        low, high = (
            _t_interval(trials)
            if aggregate is Aggregate.MEAN
            else _bootstrap([trials], lambda x, axis: x.min(axis=axis), paired=False)
        )
    return Estimate(aggregate(values), low, high, float(trials.mean()), sd, n)


def difference(
    values: Sequence[float], others: Sequence[float], aggregate: Aggregate
) -> Difference | None:
    """Return how much fitter a rule is than another one in the same trials.

    Trial k of both has the same inputs, so pairs are compared: means by the paired t test, least
    values by a permutation test, which exchanges the rules in any of the trials.

    Parameters
    ----------
    values, others : sequence of float
        Values of the first trials of both; what one has more of is left out.
    """
    n = min(len(values), len(others))
    if not n:
        return None
    return _paired(tuple(values[:n]), tuple(others[:n]), aggregate)


@lru_cache(maxsize=1024)
def _paired(
    values: tuple[float, ...], others: tuple[float, ...], aggregate: Aggregate
) -> Difference:
    import numpy as np
    from scipy import stats

    first, second = np.asarray(values), np.asarray(others)
    n = len(first)
    is_mean = aggregate is Aggregate.MEAN
    value = aggregate(values) - aggregate(others)
    test = "paired t test" if is_mean else "permutation test of pairs"
    if n < 2:
        return Difference(value, None, None, None, test, n)
    if np.ptp(first - second) == 0.0 and is_mean:
        # All pairs differ by the same: no t can be computed, and no doubt is left.
        return Difference(value, value, value, 1.0 if value == 0.0 else 0.0, test, n)
    if is_mean:
        found = stats.ttest_rel(first, second)
        low, high = found.confidence_interval(CONFIDENCE)
        return Difference(value, float(low), float(high), float(found.pvalue), test, n)
    permuted = stats.permutation_test(
        (first, second),
        _difference_of_least,
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**12,
        rng=np.random.default_rng(_SEED),
    )
    low, high = _bootstrap([first, second], _difference_of_least, paired=True)
    return Difference(value, low, high, float(permuted.pvalue), test, n)


def generalisation_gap(
    training: Sequence[float], held_out: Sequence[float], aggregate: Aggregate
) -> Difference | None:
    """Return how much fitter a rule was in the trials it was selected by than in held-out ones.

    The trials are different ones: the interval is Welch's for means, a bootstrap of both for least
    values.
    """
    if not len(training) or not len(held_out):
        return None
    return _gap(tuple(training), tuple(held_out), aggregate)


@lru_cache(maxsize=1024)
def _gap(
    training: tuple[float, ...], held_out: tuple[float, ...], aggregate: Aggregate
) -> Difference:
    import numpy as np
    from scipy import stats

    first, second = np.asarray(training), np.asarray(held_out)
    value = aggregate(training) - aggregate(held_out)
    n = min(len(first), len(second))
    if n < 2:
        return Difference(value, None, None, None, "", n)
    if aggregate is Aggregate.MIN:
        low, high = _bootstrap([first, second], _difference_of_least, paired=False)
        return Difference(value, low, high, None, "", n)
    if np.ptp(first) == 0.0 and np.ptp(second) == 0.0:
        return Difference(value, value, value, None, "", n)
    found = stats.ttest_ind(first, second, equal_var=False)
    low, high = found.confidence_interval(CONFIDENCE)
    return Difference(value, float(low), float(high), None, "Welch's t", n)


def _difference_of_least(first: np.ndarray, second: np.ndarray, axis: int) -> np.ndarray:
    return first.min(axis=axis) - second.min(axis=axis)


def _t_interval(trials: np.ndarray) -> tuple[float, float]:
    from scipy import stats

    mean, error = trials.mean(), stats.sem(trials)
    reach = stats.t.ppf(0.5 + CONFIDENCE / 2, len(trials) - 1) * error
    return float(mean - reach), float(mean + reach)


def _bootstrap(
    samples: Sequence[np.ndarray], statistic: Callable, *, paired: bool
) -> tuple[float, float]:
    """Return a BCa interval; percentiles where all resamples are alike and it is not defined."""
    import numpy as np
    from scipy import stats

    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            # It says that it is not defined, which the result says as well.
            warnings.simplefilter("ignore")
            found = stats.bootstrap(
                samples,
                statistic,
                paired=paired,
                vectorized=True,
                n_resamples=_N_RESAMPLES,
                confidence_level=CONFIDENCE,
                method=method,
                rng=np.random.default_rng(_SEED),
            ).confidence_interval
        if math.isfinite(found.low) and math.isfinite(found.high):
            break
    return float(found.low), float(found.high)
