"""Evaluation of plasticity rules: the values of their trials and their fitness."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nest_build.rules import PlasticityRule
from simulations.learning_tasks.base import Aggregate, LearningTask, Reason
from simulations.parameters import TaskParameters

#: Part of every cache key: raise it when a change of the simulations changes any value.
ENGINE_VERSION = "1"


@dataclass(frozen=True)
class Evaluation:
    """What the trials of one rule gave.

    Attributes
    ----------
    trials : tuple of float
        Value of each trial that was simulated, in order; complete if ``reason`` is None.
    seconds : float
        Share of the simulation's wall-clock time, in s.
    """

    trials: tuple[float, ...]
    reason: Reason | None
    detail: str
    seconds: float

    def fitness(self, aggregate: Aggregate) -> float | None:
        """Return the fitness, None (read: minus infinity) where there is a reason."""
        return None if self.reason else aggregate(self.trials)


def evaluate_rules(
    learning_task: LearningTask,
    rules: Sequence[PlasticityRule],
    parameters: TaskParameters,
    *,
    seed: int,
    trials: range | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Evaluation]:
    """Simulate ``rules`` in every trial, all rules of a trial in one simulation.

    A rule that fails in a trial is not simulated in the following ones: its fitness is
    settled.

    Parameters
    ----------
    learning_task : LearningTask
    rules : sequence of PlasticityRule
    parameters : TaskParameters
    seed : int
        Seed of the experiment.
    trials : range, optional
        Which trials; by default ``range(parameters.n_trials)``.
    progress : callable, optional
        Called with (trials done, trials in all) after each trial.

    Returns
    -------
    list of Evaluation
        One per rule, in order.
    """
    trials = range(parameters.n_trials) if trials is None else trials
    values: list[list[float]] = [[] for _ in rules]
    reasons: list[tuple[Reason, str] | None] = [None for _ in rules]
    seconds = [0.0 for _ in rules]
    for done, trial in enumerate(trials, start=1):
        alive = [index for index, reason in enumerate(reasons) if reason is None]
        if not alive:
            break
        start = time.perf_counter()
        results = learning_task.simulate_trial(
            [rules[index] for index in alive], parameters, seed=seed, trial=trial
        )
        share = (time.perf_counter() - start) / len(alive)
        for index, result in zip(alive, results, strict=True):
            seconds[index] += share
            if result.value is None or not math.isfinite(result.value):
                reasons[index] = (result.reason or Reason.NOT_FINITE, result.detail)
            else:
                values[index].append(result.value)
        if progress is not None:
            progress(done, len(trials))
    return [
        Evaluation(
            trials=tuple(values[index]),
            reason=reasons[index][0] if reasons[index] else None,
            detail=reasons[index][1] if reasons[index] else "",
            seconds=seconds[index],
        )
        for index in range(len(rules))
    ]
