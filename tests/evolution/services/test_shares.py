from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolution.services.shares import Share, batch_size

if TYPE_CHECKING:
    from collections.abc import Callable


def no_time(n_rules: int) -> float:
    return 0.0


@pytest.mark.parametrize(
    ("n_rules", "n_workers", "seconds_of", "expected"),
    [
        (0, 2, lambda n: 1.0 * n, 0),
        (1, 8, lambda n: 1.0 * n, 1),
        # Rules that share nothing are shared out.
        (4, 2, lambda n: 1.0 * n, 2),
        (5, 2, lambda n: 1.0 * n, 3),
        (4, 1, lambda n: 1.0 * n, 4),
        (4, 100, lambda n: 1.0 * n, 1),
        # Where the inputs cost everything, one simulation carries all rules.
        (4, 4, lambda n: 1.0, 4),
        # A simulation that is over before another worker has got the message is not shared.
        (4, 4, lambda n: 0.001 * n, 4),
    ],
)
def test_batch_size(
    n_rules: int, n_workers: int, seconds_of: Callable[[int], float], expected: int
) -> None:
    assert batch_size(n_rules, n_workers, seconds_of) == expected


waiting = st.dictionaries(
    st.integers(1, 40), st.frozensets(st.integers(1, 6) | st.none(), min_size=1), max_size=12
)


@given(waiting, st.integers(1, 8), st.integers(1, 8))
def test_whoever_asks_gets_something_of_what_waits(
    waiting: dict[int, frozenset[int | None]], n_runs: int, n_workers: int
) -> None:
    share = Share(n_runs, n_workers, no_time)
    for _ in range(3):
        chosen = share.evaluations_to_claim(waiting)
        assert len(set(chosen)) == len(chosen)
        assert set(chosen) <= waiting.keys()
        assert bool(chosen) == bool(waiting)
        assert 0 <= share.n_helpers < n_workers


def test_a_worker_keeps_to_its_runs_where_there_are_enough() -> None:
    share = Share(n_runs=4, n_workers=2, seconds_of=no_time)
    mine = share.runs_to_take([1, 2, 3, 4])
    assert len(mine) == 2
    for run_id in mine:
        share.keep(run_id)
    others = sorted({1, 2, 3, 4} - set(mine))
    for run_id in others:
        share.keep(run_id)
    waiting = {10 + run_id: {run_id} for run_id in (1, 2, 3, 4)}
    # Also the evaluation that one of its runs wants together with another one.
    waiting[20] = {mine[0], others[0]}
    for _ in range(5):
        assert set(share.evaluations_to_claim(waiting)) == {10 + mine[0], 10 + mine[1], 20}
    # Its own runs that are ready again come first.
    assert share.runs_to_take([others[0], mine[1]]) == [mine[1]]


def test_rules_that_take_long_are_shared_among_all() -> None:
    share = Share(n_runs=4, n_workers=2, seconds_of=lambda n: 1.0 * n)
    assert share.runs_to_take([1, 2, 3, 4]) == [1, 2, 3, 4]
    share.keep(1)
    waiting = {10 + n: {1 + n % 4} for n in range(8)}
    chosen = share.evaluations_to_claim(waiting)
    assert len(chosen) == 4
    # Others are asked at once.
    assert share.n_helpers == 1


def test_a_worker_helps_with_other_runs_when_its_own_ones_wait() -> None:
    share = Share(n_runs=2, n_workers=2, seconds_of=no_time)
    share.keep(1)
    assert share.evaluations_to_claim({12: {2}, 13: {2}}) == [12, 13]
    assert share.runs_to_take([2]) == [2]
    # From then on it keeps to that one.
    assert share.evaluations_to_claim({11: {1}, 12: {2}}) == [12]


def test_what_the_workers_of_other_runs_leave_for_long_is_offered() -> None:
    share = Share(n_runs=2, n_workers=2, seconds_of=no_time)
    share.keep(1)
    for waiting, n_helpers in (({11, 12}, 0), ({13, 14}, 0), ({14, 15}, 1), ({16}, 0)):
        share.evaluations_to_claim({pk: {2 if pk in {12, 14} else 1} for pk in waiting})
        assert share.n_helpers == n_helpers
    # With rules that take long at once.
    share = Share(n_runs=1, n_workers=2, seconds_of=lambda n: 1.0 * n)
    for waiting, n_helpers in (({11, 12, 13}, 1), ({11}, 0)):
        share.evaluations_to_claim({pk: {1} for pk in waiting})
        assert share.n_helpers == n_helpers


def test_a_worker_looks_twice_before_it_takes_what_others_may_be_about_to_take() -> None:
    share = Share(n_runs=2, n_workers=2, seconds_of=no_time)
    assert share.is_to_wait({1: 0}.keys())
    assert not share.is_to_wait(set())
    share.keep(1)
    assert share.is_own(1)
    assert not share.is_own(2)
    assert not share.is_to_wait({1, 2})
    assert share.is_to_wait({2})
    assert share.is_to_wait(set())
    assert not Share(2, 1, no_time).is_to_wait({1, 2})


def test_a_single_worker_takes_everything() -> None:
    share = Share(n_runs=3, n_workers=1, seconds_of=no_time)
    assert share.runs_to_take([1, 2, 3]) == [1, 2, 3]
    assert share.evaluations_to_claim({11: {1}, 12: {2}, 13: {None}}) == [11, 12, 13]
