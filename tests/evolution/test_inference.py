"""Tests against SciPy, closed forms and permutations."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from evolution import inference
from evolution.inference import Times

FIRST = [-3.1, -2.5, -0.4, -1.2, -8.0, -0.1]
SECOND = [-9.2, -7.7, -3.3, -12.0, -2.6]
THIRD = [-0.05, -0.02, -0.3, -0.6, -1.1, -0.01, -0.09]


def test_two_groups_have_the_exact_p_value_of_all_permutations():
    found = inference.compare_values([FIRST, SECOND])
    pooled = FIRST + SECOND
    wins = sum(a > b for a in FIRST for b in SECOND)
    middle = len(FIRST) * len(SECOND) / 2
    n_extreme = n_all = 0
    for chosen in combinations(range(len(pooled)), len(FIRST)):
        inside = [pooled[i] for i in chosen]
        outside = [pooled[i] for i in range(len(pooled)) if i not in chosen]
        u = sum(a > b for a in inside for b in outside)
        n_all += 1
        n_extreme += abs(u - middle) >= abs(wins - middle)
    assert found.statistic == wins
    assert found.p_value == pytest.approx(n_extreme / n_all)
    losses = sum(a < b for a in FIRST for b in SECOND)
    assert found.effect == pytest.approx((wins - losses) / (len(FIRST) * len(SECOND)))
    assert found.interval[0] < found.effect < found.interval[1]


def test_a_run_without_fitness_is_the_worst():
    with_none = inference.compare_values([[-1.0, -2.0, -math.inf], [-3.0, -4.0, -5.0]])
    with_least = inference.compare_values([[-1.0, -2.0, -99.0], [-3.0, -4.0, -5.0]])
    assert with_none == with_least


def test_several_groups_are_compared_as_scipy_does():
    found = inference.compare_values([FIRST, SECOND, THIRD])
    reference = stats.kruskal(FIRST, SECOND, THIRD)
    assert (found.statistic, found.p_value) == pytest.approx(tuple(reference))
    n = len(FIRST) + len(SECOND) + len(THIRD)
    # The definition: H (n + 1) / (n^2 - 1).
    assert found.effect == pytest.approx(reference.statistic * (n + 1) / (n * n - 1))
    assert found.interval[0] < found.effect < found.interval[1] <= 1.0


def test_ties_count_half_in_the_bootstrap_as_in_the_test():
    groups = [[1, 1, 2, 2, 3, 3], [1, 2, 2, 3, 3, 3], [5, 5, 5, 6, 6, 6]]
    found = inference.compare_values(groups)
    assert found.statistic == pytest.approx(stats.kruskal(*groups).statistic)
    assert found.interval[0] <= found.effect <= found.interval[1]


def test_the_smallest_possible_p_value_is_that_of_complete_separation():
    for n_first, n_second in ((1, 1), (2, 3), (4, 4), (3, 7)):
        low, high = list(range(n_first)), list(range(100, 100 + n_second))
        found = inference.compare_values([low, high])
        assert found.effect == -1.0
        assert found.p_value == pytest.approx(found.least_p)
        assert found.is_hopeless == (n_first + n_second < 8)
    assert inference.compare_values([[1, 2], [3, 4], [5, 6]]).least_p == pytest.approx(6 / 90)


def test_nothing_is_said_about_one_group_or_equal_values():
    assert inference.compare_values([]) is None
    assert inference.compare_values([FIRST]) is None
    assert inference.compare_values([FIRST, []]) is None
    assert inference.compare_values([[1.0, 1.0], [1.0]]) is None


def test_the_interval_of_the_effect_covers_the_true_one_as_often_as_it_says():
    # For normal values with a distance of d: r = 2 Phi(d / sqrt(2)) - 1.
    random = np.random.default_rng(3)
    for distance in (0.0, 1.0):
        true = 2.0 * stats.norm.cdf(distance / math.sqrt(2.0)) - 1.0
        n_hits = 0
        for _ in range(400):
            first, second = random.normal(distance, 1, 10), random.normal(0, 1, 8)
            u = stats.mannwhitneyu(first, second).statistic
            low, high = inference.rank_biserial_interval(2 * u / 80 - 1, 10, 8)
            n_hits += low <= true <= high
        assert 0.92 <= n_hits / 400 <= 0.985


def test_the_interval_of_complete_separation_is_no_point():
    low, high = inference.rank_biserial_interval(1.0, 5, 5)
    assert high == 1.0
    assert 0.2 < low < 0.9
    assert inference.rank_biserial_interval(-1.0, 5, 5) == pytest.approx((-high, -low))


def test_pairs_are_adjusted_as_holm_does():
    groups = [FIRST, SECOND, THIRD]
    raw = [stats.mannwhitneyu(groups[a], groups[b]).pvalue for a, b in ((0, 1), (0, 2), (1, 2))]
    order = np.argsort(raw)
    expected = np.empty(3)
    expected[order] = np.minimum(1, np.maximum.accumulate(np.sort(raw) * [3, 2, 1]))
    pairs = inference.compare_pairs(groups)
    assert [(pair.first, pair.second) for pair in pairs] == [(0, 1), (0, 2), (1, 2)]
    assert [pair.p_value for pair in pairs] == pytest.approx(expected.tolist())


FAST = Times(reached=(5, 8, 8, 21, 30), censored=(60,))
SLOW = Times(reached=(12, 40, 55), censored=(30, 60, 60, 60))


def test_times_are_compared_as_scipy_does():
    found = inference.compare_times([FAST, SLOW])
    reference = stats.logrank(
        *(
            stats.CensoredData(uncensored=times.reached, right=times.censored)
            for times in (FAST, SLOW)
        )
    )
    assert found.statistic == pytest.approx(reference.statistic**2)
    assert found.p_value == pytest.approx(reference.pvalue)
    assert found.effect > 1.0
    assert found.interval[0] < found.effect < found.interval[1]
    backwards = inference.compare_times([SLOW, FAST])
    assert backwards.effect == pytest.approx(1.0 / found.effect)


def test_a_third_group_without_a_difference_leaves_little_to_see():
    same = inference.compare_times([FAST, FAST, FAST])
    assert same.statistic == pytest.approx(0.0, abs=1e-9)
    assert same.p_value == pytest.approx(1.0)
    assert same.effect is None


def test_times_of_several_groups_are_as_rare_as_among_shuffled_runs():
    groups = [FAST, SLOW, Times(reached=(3, 4, 9, 11, 19), censored=(20,))]
    found = inference.compare_times(groups)
    runs = [(t, True) for g in groups for t in g.reached]
    runs += [(t, False) for g in groups for t in g.censored]
    random = np.random.default_rng(4)
    n_rarer = 0
    for _ in range(400):
        random.shuffle(runs)
        shuffled, start = [], 0
        for group in groups:
            own = runs[start : start + group.n_runs]
            start += group.n_runs
            shuffled.append(Times(tuple(t for t, e in own if e), tuple(t for t, e in own if not e)))
        n_rarer += inference.compare_times(shuffled).statistic >= found.statistic
    assert found.p_value == pytest.approx(n_rarer / 400, abs=0.04)


def test_without_an_event_times_say_nothing():
    never = Times(reached=(), censored=(50, 50))
    assert inference.compare_times([never, never]) is None
    assert inference.compare_times([FAST]) is None
    assert never.median is None
    assert never.shares() == ([], [])


def test_shares_are_those_of_kaplan_and_meier():
    times, shares = SLOW.shares()
    reference = stats.ecdf(stats.CensoredData(uncensored=SLOW.reached, right=SLOW.censored)).cdf
    assert times == [12, 40, 55]
    assert shares == pytest.approx(reference.evaluate(times).tolist())
    assert Times((1, 2, 3, 4), ()).median == 2
    assert FAST.median == 8
