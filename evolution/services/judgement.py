"""What the trials of a rule say about it: pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evolution.enums import Outcome
from simulations.learning_tasks import Aggregate

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Judgement:
    """The fitness of a rule, minus infinity where it has none, and why.

    Attributes
    ----------
    n_trials : int
        How many trials it took.
    """

    fitness: float
    outcome: Outcome
    n_trials: int


def judge(
    trials: Sequence[float],
    reason: str,
    *,
    n_trials: int,
    bound: float | None,
    aggregate: Aggregate,
) -> Judgement | None:
    """Return what follows from the trials that are known, None if more are needed.

    The judgement does not depend on how many more trials are known than were needed, so that a
    history does not depend on what others have had simulated.

    Parameters
    ----------
    trials : sequence of float
        Values of the first trials.
    reason : str
        Why the trial after them has no value, empty if it has not been simulated.
    n_trials : int
        Number of trials that the fitness is made of.
    bound : float or None
        Where the least value is the fitness: a value below this makes the next trials needless.
    """
    if bound is not None and aggregate is Aggregate.MIN:
        # After the last trial nothing is left out: the fitness is known.
        for number, value in enumerate(trials[: n_trials - 1], start=1):
            if value < bound:
                return Judgement(-math.inf, Outcome.PRUNED, number)
    if len(trials) >= n_trials:
        return Judgement(aggregate(trials[:n_trials]), Outcome.EVALUATED, n_trials)
    if reason:
        return Judgement(-math.inf, Outcome(reason), len(trials) + 1)
    return None
