"""What holds for every learning task: a test class to inherit from."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from evolution.cgp.parameters import EvolutionParameters
from nest_build.rules import PlasticityRule
from simulations.learning_tasks import Reason
from simulations.parameters import TaskParameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulations.learning_tasks import LearningTask, TrialResult

# More than the learning tasks of e2l put into one simulation.
_MANY = 70


class LearningTaskContract:
    """Tests of one learning task; a subclass says which, and what is small and fast for it.

    Attributes
    ----------
    task : LearningTask
    parameters : TaskParameters
        A setting in which a trial takes milliseconds.
    longer : dict
        Changes of ``parameters`` that make a trial take longer.
    tame, wild : tuple of tuple of str
        Rules (texts of the branches) that have a value, and rules that are not finite.
    preset_names : set of str
        Presets that have to exist.
    """

    task: ClassVar[LearningTask]
    parameters: ClassVar[TaskParameters]
    longer: ClassVar[Mapping[str, Any]]
    tame: ClassVar[tuple[tuple[str, ...], ...]]
    wild: ClassVar[tuple[tuple[str, ...], ...]]
    preset_names: ClassVar[frozenset[str]] = frozenset({"demo", "paper"})

    def simulate(self, *texts: tuple[str, ...], **keywords: Any) -> list[TrialResult]:
        rules = [PlasticityRule.parse(self.task.signature, text) for text in texts]
        keywords = {"seed": 7, "trial": 1, **keywords}
        return self.task.simulate_trial(rules, self.parameters, **keywords)

    def test_same_seed_and_trial_same_value_and_others_differ(self) -> None:
        places = [(seed, trial) for seed in (0, 5) for trial in range(4)]
        values = [
            self.simulate(self.tame[0], seed=seed, trial=trial)[0].value
            for seed, trial in [*places, *reversed(places)]
        ]
        assert values == values[::-1]
        assert len(set(values[:4])) > 1
        assert values[:4] != values[4:8]

    def test_values_are_the_same_alone_in_batches_and_at_any_position(self) -> None:
        # The failing rules stand in the middle.
        texts = (*self.tame[:2], *self.wild, *self.tame[2:])
        batch = self.simulate(*texts)
        reverse = self.simulate(*texts[::-1])[::-1]
        n_copies = _MANY // len(texts) + 1
        many = self.simulate(*texts * n_copies)
        assert many == batch * n_copies
        for index, text in enumerate(texts):
            (alone,) = self.simulate(text)
            assert alone == batch[index] == reverse[index]
        assert len({result.value for result in batch}) >= 3

    def test_traces_leave_the_values_unchanged_and_are_those_of_the_rule(self) -> None:
        plain = self.simulate(*self.tame)
        traced = self.simulate(*self.wild, *self.tame, record_traces=True)[len(self.wild) :]
        assert [result.value for result in traced] == [result.value for result in plain]
        for text, expected in zip(self.tame, traced, strict=True):
            (alone,) = self.simulate(text, record_traces=True)
            assert expected.traces is not None
            assert alone.traces is not None
            assert expected.traces.arrays
            assert alone.traces.arrays.keys() == expected.traces.arrays.keys()
            for name, array in alone.traces.arrays.items():
                np.testing.assert_array_equal(array, expected.traces.arrays[name])
        assert all(result.traces is None for result in plain)

    def test_rules_that_are_not_finite_have_a_reason_and_leave_the_others_alone(self) -> None:
        tame = self.simulate(*self.tame)
        assert all(math.isfinite(result.value) for result in tame)
        assert all(result.reason is None for result in tame)
        together = self.simulate(*self.wild, *self.tame)
        assert together[len(self.wild) :] == tame
        assert self.simulate(*self.wild) == together[: len(self.wild)]
        for result in together[: len(self.wild)]:
            assert result.value is None
            assert result.reason is Reason.NOT_FINITE
            assert result.detail

    def test_presets_are_valid_and_survive_json(self) -> None:
        assert self.preset_names <= self.task.presets.keys()
        for name, preset in self.task.presets.items():
            assert preset.name == name
            assert preset.label
            assert preset.description
            assert preset.n_runs > 0
            assert preset.seed != preset.validation_seed
            EvolutionParameters.from_mapping(preset.evolution)
            validation = preset.task_parameters.with_changes(preset.validation_changes)
            for parameters in (preset.task_parameters, validation):
                assert type(parameters) is self.task.parameters_type
                again = type(parameters).from_mapping(
                    json.loads(json.dumps(parameters.to_mapping()))
                )
                assert again == parameters
                assert again.trial_digest() == parameters.trial_digest()

    def test_baselines_are_rules_of_the_signature_with_finite_values(self) -> None:
        assert self.task.baselines
        results = self.simulate(*(baseline.expressions for baseline in self.task.baselines))
        assert all(math.isfinite(result.value) for result in results)
        assert all(baseline.name and baseline.reference for baseline in self.task.baselines)

    def test_estimated_seconds_are_positive_and_grow(self) -> None:
        longer = self.parameters.with_changes(self.longer)
        estimates = [
            self.task.estimate_seconds(self.parameters, 1),
            self.task.estimate_seconds(self.parameters, 8),
            self.task.estimate_seconds(longer, 8),
        ]
        assert 0 < estimates[0] < estimates[1] < estimates[2] < math.inf
        assert self.task.estimate_seconds(self.parameters) == estimates[0]

    def test_parameters_of_another_type_are_refused(self) -> None:
        rules = [PlasticityRule.parse(self.task.signature, self.tame[0])]
        with pytest.raises(TypeError, match="parameters"):
            self.task.simulate_trial(rules, TaskParameters(), seed=0)
