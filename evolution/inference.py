"""Do groups of runs differ? Rank tests, log-rank tests, and how large the difference is.

Pure functions of numbers. Fitness values are far from normal, and some runs have none (minus
infinity): only their order is used. A run that has not reached the target counts as censored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

CONFIDENCE = 0.95
SIGNIFICANT = 0.05
#: A group with fewer values gives no bootstrap interval, and an asymptotic p value is rough.
FEW = 5
_N_RESAMPLES = 1000


@dataclass(frozen=True)
class Difference:
    """What a test says about groups, with the size of the effect.

    Attributes
    ----------
    test, effect_name : str
    statistic, p_value : float
    effect : float or None
        None where the test has no measure of its own.
    interval : (float, float) or None
        Confidence interval of the effect.
    least_p : float
        The smallest p value that groups of these sizes can give at all.
    sizes : tuple of int
    """

    test: str
    statistic: float
    p_value: float
    effect_name: str
    effect: float | None
    interval: tuple[float, float] | None
    least_p: float
    sizes: tuple[int, ...]

    @property
    def is_significant(self) -> bool:
        """Whether chance alone would hardly give such a difference."""
        return self.p_value < SIGNIFICANT

    @property
    def is_hopeless(self) -> bool:
        """Whether no outcome whatsoever could have been significant with so few values."""
        return self.least_p >= SIGNIFICANT


@dataclass(frozen=True)
class Pair:
    """Two of several groups: rank-biserial correlation and the adjusted p value."""

    first: int
    second: int
    effect: float
    p_value: float


# --- order of values ----------------------------------------------------------------------------


def compare_values(groups: Sequence[Sequence[float]]) -> Difference | None:
    """Return whether values in some group tend to be larger: None where nothing can be said.

    Two groups are compared by the test of Mann and Whitney, with the rank-biserial correlation as
    effect (1: each value of the first group is larger than each of the second; Kerby 2014,
    Comprehensive Psychology 3, 11.IT.3.1) and the interval of :func:`rank_biserial_interval`; more
    groups by that of Kruskal and Wallis, with epsilon squared (Tomczak & Tomczak 2014, Trends in
    Sport Sciences 1, 19-25) and a bootstrap interval.
    """
    ranked = _ranks([values for values in groups if len(values)])
    if len(ranked) < 2 or len({rank for ranks in ranked for rank in ranks.tolist()}) < 2:
        return None
    return _two(*ranked) if len(ranked) == 2 else _several(ranked)


def compare_pairs(groups: Sequence[Sequence[float]]) -> list[Pair]:
    """Return the test of Mann and Whitney of each pair, p values adjusted as Holm (1979) does."""
    pairs = []
    for first, second in combinations(range(len(groups)), 2):
        found = compare_values([groups[first], groups[second]])
        if found is not None:
            pairs.append(Pair(first, second, found.effect, found.p_value))
    adjusted, largest = {}, 0.0
    for place, pair in enumerate(sorted(pairs, key=lambda pair: pair.p_value)):
        largest = max(largest, min(1.0, (len(pairs) - place) * pair.p_value))
        adjusted[pair.first, pair.second] = largest
    return [Pair(p.first, p.second, p.effect, adjusted[p.first, p.second]) for p in pairs]


def rank_biserial_interval(effect: float, n_first: int, n_second: int) -> tuple[float, float]:
    """Return the confidence interval of a rank-biserial correlation.

    It holds for complete separation as well, where a bootstrap would give a single point.

    References
    ----------
    Newcombe, R. G. (2006). Statistics in Medicine 25, 559-573, method 5.
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    z = norm.ppf(0.5 + CONFIDENCE / 2)
    share = (effect + 1.0) / 2.0
    n_mean = (n_first + n_second) / 2 - 1

    def distance(theta: float) -> float:
        variance = (
            theta
            * (1.0 - theta)
            * (1.0 + n_mean * (1.0 - theta) / (2.0 - theta) + n_mean * theta / (1.0 + theta))
            / (n_first * n_second)
        )
        return (share - theta) ** 2 - z * z * variance

    # Complete separation is itself a solution, and not the one that is wanted.
    edge = 1e-9
    low = brentq(distance, 0.0, min(share, 1.0 - edge)) if share > 0.0 else 0.0
    high = brentq(distance, max(share, edge), 1.0) if share < 1.0 else 1.0
    return 2.0 * low - 1.0, 2.0 * high - 1.0


def _ranks(groups: Sequence[Sequence[float]]) -> list[np.ndarray]:
    """Return values as their ranks among all, so that minus infinity is a value like others."""
    import numpy as np
    from scipy.stats import rankdata

    sizes = [len(values) for values in groups]
    if not sizes:
        return []
    ranks = rankdata([value for values in groups for value in values])
    return np.split(ranks, np.cumsum(sizes)[:-1])


def _two(first: np.ndarray, second: np.ndarray) -> Difference:
    from scipy.stats import mannwhitneyu

    found = mannwhitneyu(first, second)
    effect = 2.0 * float(found.statistic) / (len(first) * len(second)) - 1.0
    return Difference(
        test="Mann–Whitney U",
        statistic=float(found.statistic),
        p_value=float(found.pvalue),
        effect_name="rank-biserial correlation r",
        effect=effect,
        interval=rank_biserial_interval(effect, len(first), len(second)),
        least_p=min(1.0, 2.0 / math.comb(len(first) + len(second), len(first))),
        sizes=(len(first), len(second)),
    )


def _several(groups: Sequence[np.ndarray]) -> Difference:
    from scipy.stats import kruskal

    found = kruskal(*groups)
    sizes = tuple(len(ranks) for ranks in groups)
    return Difference(
        test="Kruskal–Wallis H",
        statistic=float(found.statistic),
        p_value=float(found.pvalue),
        effect_name="epsilon squared ε²",
        effect=float(found.statistic) / (sum(sizes) - 1),
        interval=_epsilon_interval(groups) if min(sizes) >= FEW else None,
        # Groups in complete order, in any of the orders that there are.
        least_p=math.factorial(len(sizes))
        / math.exp(math.lgamma(sum(sizes) + 1) - sum(math.lgamma(n + 1) for n in sizes)),
        sizes=sizes,
    )


def _epsilon_interval(groups: Sequence[np.ndarray]) -> tuple[float, float]:
    import numpy as np
    from scipy.stats import rankdata

    random = np.random.default_rng(1)
    drawn = np.hstack(
        [ranks[random.integers(len(ranks), size=(_N_RESAMPLES, len(ranks)))] for ranks in groups]
    )
    ranks = rankdata(drawn, axis=1)
    n = ranks.shape[1]
    edges = np.cumsum([0, *(len(ranks) for ranks in groups)])
    between = sum(
        (high - low) * (ranks[:, low:high].mean(axis=1) - (n + 1) / 2) ** 2
        for low, high in pairwise(edges)
    )
    # H with its correction for ties is (n - 1) times this ratio, epsilon squared the ratio itself.
    total = ((ranks - (n + 1) / 2) ** 2).sum(axis=1)
    ratios = between[total > 0] / total[total > 0]
    tail = 50.0 * (1.0 - CONFIDENCE)
    low, high = np.percentile(ratios, [tail, 100.0 - tail])
    return float(low), float(high)


# --- time to an event ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Times:
    """When the runs of a group reached the target, and until when the others did not.

    Attributes
    ----------
    reached, censored : tuple of float
    """

    reached: tuple[float, ...]
    censored: tuple[float, ...]

    @property
    def n_runs(self) -> int:
        """All runs of which a time is known."""
        return len(self.reached) + len(self.censored)

    @property
    def median(self) -> float | None:
        """The time by which half of the runs have reached it (Kaplan-Meier), None if never."""
        return next(
            (time for time, share in zip(*self.shares(), strict=True) if share >= 0.5), None
        )

    def shares(self) -> tuple[list[float], list[float]]:
        """Return times and the share of runs that have reached the target by then.

        It is one minus the estimator of Kaplan and Meier (1958).
        """
        times, shares, missing = [], [], 1.0
        for time in sorted(set(self.reached)):
            n_at_risk = sum(other >= time for other in (*self.reached, *self.censored))
            missing *= 1.0 - self.reached.count(time) / n_at_risk
            times.append(time)
            # Products of shares such as 2/3 and 3/4 differ from 1/2 in the last digit.
            shares.append(round(1.0 - missing, 12))
        return times, shares


def compare_times(groups: Sequence[Times]) -> Difference | None:
    """Return whether groups reach the target at different times, by the log-rank test.

    The effect of two groups is Peto's estimate of the hazard ratio: how much more often, at any
    time, a run of the first group reaches the target than one of the second that has come as far.

    References
    ----------
    Peto, R. et al. (1977). British Journal of Cancer 35, 1-39.
    """
    import numpy as np
    from scipy.stats import chi2, norm

    present = [times for times in groups if times.n_runs]
    moments = sorted({time for times in present for time in times.reached})
    if len(present) < 2 or not moments:
        return None
    excess = np.zeros(len(present))
    covariance = np.zeros((len(present), len(present)))
    for moment in moments:
        events = np.array([times.reached.count(moment) for times in present], float)
        at_risk = np.array(
            [sum(t >= moment for t in (*times.reached, *times.censored)) for times in present],
            float,
        )
        n, shares = at_risk.sum(), at_risk / at_risk.sum()
        excess += events - events.sum() * shares
        if n > 1:
            scale = events.sum() * (n - events.sum()) / (n - 1)
            covariance += scale * (np.diag(shares) - np.outer(shares, shares))
    if not covariance.any():
        return None
    statistic = float(excess[:-1] @ np.linalg.pinv(covariance[:-1, :-1]) @ excess[:-1])
    effect = interval = None
    if len(present) == 2:
        logarithm, variance = excess[0] / covariance[0, 0], 1.0 / covariance[0, 0]
        reach = norm.ppf(0.5 + CONFIDENCE / 2) * math.sqrt(variance)
        effect = math.exp(logarithm)
        interval = math.exp(logarithm - reach), math.exp(logarithm + reach)
    sizes = tuple(times.n_runs for times in present)
    return Difference(
        test="log-rank",
        statistic=statistic,
        p_value=float(chi2.sf(statistic, len(present) - 1)),
        effect_name="hazard ratio",
        effect=effect,
        interval=interval,
        least_p=0.0 if min(sizes) > 1 else 1.0,
        sizes=sizes,
    )
