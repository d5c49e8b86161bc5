"""Evaluation of rules, with a learning task whose values are written down."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, ClassVar

import pytest

from nest_build.rules import PlasticityRule, RuleInput, RuleSignature
from simulations.evaluation import evaluate_rules
from simulations.learning_tasks import Aggregate, LearningTask, Reason, TrialResult
from simulations.parameters import TaskParameters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulations.evaluation import Evaluation

FIVE_TRIALS = TaskParameters(n_trials=5)


class TableTask(LearningTask):
    """The rule that is the constant k has the values of row k, one for each trial."""

    name: ClassVar[str] = "table"
    title: ClassVar[str] = "Table"
    summary: ClassVar[str] = "Look values up."
    signature: ClassVar[RuleSignature] = RuleSignature(
        inputs=(RuleInput("x", "", "not used"),), branches=("delta_w",)
    )
    aggregate: ClassVar[Aggregate] = Aggregate.MIN
    fitness_label: ClassVar[str] = "value"
    parameters_type: ClassVar[type[TaskParameters]] = TaskParameters
    presets: ClassVar[dict] = {}
    baselines: ClassVar[tuple] = ()

    def __init__(self, table: Sequence[Sequence[float]], aggregate: Aggregate) -> None:
        self.aggregate = aggregate
        self.table = table
        self.simulated: list[tuple[int, int]] = []

    def simulate_trial(
        self,
        rules: Sequence[PlasticityRule],
        parameters: TaskParameters,
        *,
        seed: int,
        trial: int = 0,
        record_traces: bool = False,
    ) -> list[TrialResult]:
        """Return the entries of the table; those that are not finite have a reason."""
        rows = [round(float(rule.branches[0].evaluate(0.0))) for rule in rules]
        self.simulated += [(row, trial) for row in rows]
        values = [self.table[row][trial] for row in rows]
        return [
            TrialResult(value)
            if math.isfinite(value)
            else TrialResult(None, Reason.NOT_FINITE, f"not finite in trial {trial}")
            for value in values
        ]

    def estimate_seconds(self, parameters: TaskParameters, n_rules: int = 1) -> float:
        """Return the time of one trial, in s."""
        return 1e-6 * n_rules

    def evaluate(
        self,
        bounds: Sequence[float | None] | None = None,
        trials: range | None = None,
    ) -> list[Evaluation]:
        """Evaluate the rule of every row."""
        rules = [PlasticityRule.parse(self.signature, [str(k)]) for k in range(len(self.table))]
        return evaluate_rules(self, rules, FIVE_TRIALS, seed=0, trials=trials, bounds=bounds)


TABLE = (
    (5.0, 4.0, 3.0, 4.0, 5.0),
    (9.0, 2.0, 8.0, 1.0, 9.0),
    (7.0, 7.0, 7.0, 7.0, 6.0),
)


def test_without_bounds_every_trial_is_simulated():
    task = TableTask(TABLE, Aggregate.MIN)
    evaluations = task.evaluate()
    assert [evaluation.trials for evaluation in evaluations] == list(TABLE)
    assert [evaluation.fitness(task.aggregate) for evaluation in evaluations] == [3.0, 1.0, 6.0]
    assert not any(evaluation.is_pruned for evaluation in evaluations)


def test_a_rule_gets_no_further_trials_once_a_value_is_below_its_bound():
    task = TableTask(TABLE, Aggregate.MIN)
    evaluations = task.evaluate(bounds=[3.5, 3.5, 3.5])
    assert [evaluation.trials for evaluation in evaluations] == [
        (5.0, 4.0, 3.0),
        (9.0, 2.0),
        TABLE[2],
    ]
    assert [evaluation.is_pruned for evaluation in evaluations] == [True, True, False]
    assert [evaluation.fitness(task.aggregate) for evaluation in evaluations] == [None, None, 6.0]
    assert all(evaluation.reason is None for evaluation in evaluations)
    # What is not needed is not simulated either.
    assert sorted(task.simulated) == sorted(
        [(0, trial) for trial in range(3)]
        + [(1, trial) for trial in range(2)]
        + [(2, trial) for trial in range(5)]
    )


def test_values_that_equal_the_bound_go_on():
    task = TableTask(TABLE, Aggregate.MIN)
    evaluations = task.evaluate(bounds=[3.0, 1.0, 6.0])
    assert [evaluation.trials for evaluation in evaluations] == list(TABLE)
    assert not any(evaluation.is_pruned for evaluation in evaluations)


def test_each_rule_has_its_own_bound_or_none():
    evaluations = TableTask(TABLE, Aggregate.MIN).evaluate(bounds=[None, 2.5, 100.0])
    assert [evaluation.trials for evaluation in evaluations] == [TABLE[0], (9.0, 2.0), (7.0,)]
    assert [evaluation.is_pruned for evaluation in evaluations] == [False, True, True]


def test_a_rule_below_its_bound_in_the_last_trial_has_its_fitness():
    (evaluation,) = TableTask(TABLE[2:], Aggregate.MIN).evaluate(bounds=[6.5])
    assert evaluation.trials == TABLE[2]
    assert not evaluation.is_pruned
    assert evaluation.fitness(Aggregate.MIN) == 6.0


def test_bounds_of_a_mean_are_ignored():
    task = TableTask(TABLE, Aggregate.MEAN)
    evaluations = task.evaluate(bounds=[100.0, 100.0, 100.0])
    assert [evaluation.trials for evaluation in evaluations] == list(TABLE)
    assert not any(evaluation.is_pruned for evaluation in evaluations)
    assert evaluations[0].fitness(task.aggregate) == pytest.approx(4.2)


def test_a_failure_is_a_reason_and_not_a_pruning():
    table = ((9.0, math.nan, 0.0, 0.0, 0.0), (0.0, math.inf, 0.0, 0.0, 0.0))
    failed, pruned = TableTask(table, Aggregate.MIN).evaluate(bounds=[1.0, 1.0])
    assert failed.trials == (9.0,)
    assert failed.reason is Reason.NOT_FINITE
    assert failed.detail == "not finite in trial 1"
    assert not failed.is_pruned
    # Its failure would have come in a trial that it did not get.
    assert pruned.trials == (0.0,)
    assert pruned.reason is None
    assert pruned.is_pruned


def test_pruning_starts_anew_with_the_trials_that_are_asked_for():
    (evaluation,) = TableTask(TABLE[1:2], Aggregate.MIN).evaluate(bounds=[3.5], trials=range(2, 5))
    assert evaluation.trials == (8.0, 1.0)
    assert evaluation.is_pruned


def test_a_bound_for_each_rule_is_needed():
    with pytest.raises(ValueError, match="3 rules, but 2 bounds"):
        TableTask(TABLE, Aggregate.MIN).evaluate(bounds=[1.0, 2.0])


def test_survivors_are_the_same_as_without_bounds():
    # Selection keeps the best few: whoever is pruned below the fitness of the last of these would
    # not have been among them, and everyone else has the same fitness as before.
    generator = random.Random(8)
    for _ in range(200):
        table = [[float(generator.randrange(12)) for _ in range(5)] for _ in range(8)]
        fitness = [min(row) for row in table]
        last = sorted(fitness, reverse=True)[3]
        evaluations = TableTask(table, Aggregate.MIN).evaluate(bounds=[last] * len(table))
        found = [evaluation.fitness(Aggregate.MIN) for evaluation in evaluations]
        for expected, value, evaluation in zip(fitness, found, evaluations, strict=True):
            assert value == expected or (evaluation.is_pruned and expected < last)
            assert min(evaluation.trials) < last or value == expected
