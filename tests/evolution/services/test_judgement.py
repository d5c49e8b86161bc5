from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolution.enums import Outcome
from evolution.services.judgement import Judgement, judge
from simulations.learning_tasks import Aggregate

values = st.lists(st.floats(-10, 10), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("trials", "reason", "bound", "expected"),
    [
        ([3.0, 1.0, 2.0], "", None, (1.0, Outcome.EVALUATED, 3)),
        ([3.0, 1.0], "", None, None),
        ([], "", 5.0, None),
        # Ties go on: of two equals the offspring survives.
        ([3.0, 1.0], "", 1.0, None),
        ([3.0, 1.0], "", 1.5, (-math.inf, Outcome.PRUNED, 2)),
        ([3.0, 1.0], "crash", 1.5, (-math.inf, Outcome.PRUNED, 2)),
        ([3.0, 1.0], "crash", 1.0, (-math.inf, Outcome.CRASH, 3)),
        # The last trial completes the fitness, however small it is.
        ([3.0, 3.0, 1.0], "", 2.0, (1.0, Outcome.EVALUATED, 3)),
        ([3.0, 3.0, 1.0, 0.0], "", None, (1.0, Outcome.EVALUATED, 3)),
        ([3.0, 3.0, 1.0], "error", None, (1.0, Outcome.EVALUATED, 3)),
    ],
)
def test_judgements(
    trials: list[float],
    reason: str,
    bound: float | None,
    expected: tuple[float, Outcome, int] | None,
) -> None:
    judgement = judge(trials, reason, n_trials=3, bound=bound, aggregate=Aggregate.MIN)
    assert judgement == (None if expected is None else Judgement(*expected))


def test_a_bound_says_nothing_about_a_mean() -> None:
    judgement = judge([-5.0, 9.0], "", n_trials=2, bound=0.0, aggregate=Aggregate.MEAN)
    assert judgement == Judgement(2.0, Outcome.EVALUATED, 2)


@given(values, st.integers(1, 8), st.floats(-10, 10), st.booleans())
def test_more_trials_than_needed_change_nothing(
    trials: list[float], n_trials: int, bound: float, fails: bool
) -> None:
    """What is known of a rule grows while others use it: the judgement stays."""
    reason = "not finite" if fails else ""
    whole = judge(trials, reason, n_trials=n_trials, bound=bound, aggregate=Aggregate.MIN)
    for n_known in range(len(trials)):
        part = judge(trials[:n_known], "", n_trials=n_trials, bound=bound, aggregate=Aggregate.MIN)
        assert part is None or part == whole


@given(values, st.floats(-10, 10))
def test_pruned_is_exactly_what_is_certainly_below_the_bound(
    trials: list[float], bound: float
) -> None:
    judgement = judge(trials, "", n_trials=len(trials), bound=bound, aggregate=Aggregate.MIN)
    assert judgement is not None
    if judgement.outcome is Outcome.PRUNED:
        assert min(trials) < bound
    else:
        assert judgement.fitness == min(trials)
        assert min(trials[:-1], default=math.inf) >= bound
