"""Evaluation of plasticity rules: the values of their trials and their fitness."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

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
        Value of each trial that was simulated, in order; complete if ``reason`` is None and
        the evaluation is not pruned.
    seconds : float
        Share of the simulation's wall-clock time, in s.
    is_pruned : bool
        Whether trials were left out because the fitness is below the bound whatever they give.
    """

    trials: tuple[float, ...]
    reason: Reason | None
    detail: str
    seconds: float
    is_pruned: bool = False

    def fitness(self, aggregate: Aggregate) -> float | None:
        """Return the fitness, None where there is a reason (read: minus infinity) or a pruning.

        All that is known of a pruned fitness is that it is at most the least of the trials.
        """
        return None if self.reason or self.is_pruned else aggregate(self.trials)


def evaluate_rules(
    learning_task: LearningTask,
    rules: Sequence[PlasticityRule],
    parameters: TaskParameters,
    *,
    seed: int,
    trials: range | None = None,
    progress: Callable[[int, int], None] | None = None,
    bounds: Sequence[float | None] | None = None,
) -> list[Evaluation]:
    """Simulate ``rules`` in every trial and return what became of each, in order.

    See :func:`evaluate_by_trial` for the parameters that are not described here.

    Parameters
    ----------
    progress : callable, optional
        Called with (trials done, trials in all) after each trial.
    """
    trials = range(parameters.n_trials) if trials is None else trials
    evaluations: list[Evaluation] = []
    by_trial = evaluate_by_trial(
        learning_task, rules, parameters, seed=seed, trials=trials, bounds=bounds
    )
    for done, known in enumerate(by_trial, start=1):
        evaluations = known
        if progress is not None:
            progress(done, len(trials))
    return evaluations


def evaluate_by_trial(
    learning_task: LearningTask,
    rules: Sequence[PlasticityRule],
    parameters: TaskParameters,
    *,
    seed: int,
    trials: range,
    bounds: Sequence[float | None] | None = None,
) -> Iterator[list[Evaluation]]:
    """Simulate all rules of a trial in one simulation, trial by trial.

    A rule that fails in a trial is not simulated in the following ones: its fitness is
    settled. So is a rule whose fitness, the least of its values, is already below its bound.

    Parameters
    ----------
    learning_task : LearningTask
    rules : sequence of PlasticityRule
    parameters : TaskParameters
    seed : int
        Seed of the experiment.
    trials : range
        Which trials.
    bounds : sequence of float or None, optional
        One per rule: fitness below which its exact value does not matter. A rule gets no further
        trials as soon as one of its values is below its bound (not where it is equal), provided
        that the least value is the fitness (``Aggregate.MIN``); from a mean nothing follows, and
        bounds are ignored.

    Yields
    ------
    list of Evaluation
        After each trial what is known of each rule, in order.
    """
    if bounds is None or learning_task.aggregate is not Aggregate.MIN:
        bounds = [None for _ in rules]
    elif len(bounds) != len(rules):
        raise ValueError(f"There are {len(rules)} rules, but {len(bounds)} bounds.")
    evaluations = [Evaluation((), None, "", 0.0) for _ in rules]
    for done, trial in enumerate(trials, start=1):
        alive = [
            index
            for index, known in enumerate(evaluations)
            if known.reason is None and not known.is_pruned
        ]
        if not alive:
            return
        start = time.perf_counter()
        results = learning_task.simulate_trial(
            [rules[index] for index in alive], parameters, seed=seed, trial=trial
        )
        share = (time.perf_counter() - start) / len(alive)
        for index, result in zip(alive, results, strict=True):
            known = evaluations[index]
            seconds = known.seconds + share
            if result.value is None or not math.isfinite(result.value):
                evaluations[index] = replace(
                    known,
                    reason=result.reason or Reason.NOT_FINITE,
                    detail=result.detail,
                    seconds=seconds,
                )
                continue
            bound = bounds[index]
            evaluations[index] = replace(
                known,
                trials=(*known.trials, result.value),
                seconds=seconds,
                # After the last trial nothing is left out: the fitness is known.
                is_pruned=bound is not None and result.value < bound and done < len(trials),
            )
        yield list(evaluations)
