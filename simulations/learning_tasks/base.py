"""The contract of a learning task: what evolution, pages and commands rely on."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from nest_build.rules import PlasticityRule, RuleSignature
from simulations.parameters import TaskParameters


class Reason(enum.StrEnum):
    """Why a rule has no fitness."""

    INVALID = "invalid"
    NOT_FINITE = "not finite"
    TIME_LIMIT = "time limit"
    CRASH = "crash"
    ERROR = "error"


class Aggregate(enum.StrEnum):
    """How the values of the trials make one fitness value."""

    MEAN = "mean"
    MIN = "min"

    def __call__(self, values: Sequence[float]) -> float:
        """Return the fitness of ``values``, one per trial, in the order of the trials."""
        return float(np.mean(values)) if self is Aggregate.MEAN else float(min(values))


@dataclass(frozen=True)
class Traces:
    """What a simulation shows besides its value.

    Attributes
    ----------
    arrays : dict of str to ndarray
        Recorded quantities; names carry their unit, such as ``weights_pa``.
    """

    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialResult:
    """Outcome of one rule in one trial: a value or the reason why there is none."""

    value: float | None
    reason: Reason | None = None
    detail: str = ""
    traces: Traces | None = None


@dataclass(frozen=True)
class BaselineRule:
    """A rule from the literature that fitness values are compared with."""

    name: str
    expressions: tuple[str, ...]
    reference: str


@dataclass(frozen=True)
class Preset:
    """A named, complete set of parameters.

    Attributes
    ----------
    seed : int
        Seed of the experiment.
    evolution : dict
        Parameters of the evolution, by name, as the evolution layer declares them.
    n_runs : int
        Number of runs (one evolution each) that an experiment has by default.
    validation_seed : int
        Seed of the held-out trials.
    validation_changes : dict
        Parameters that differ in the held-out trials, by name.
    """

    name: str
    label: str
    description: str
    task_parameters: TaskParameters
    seed: int
    validation_seed: int
    n_runs: int
    evolution: Mapping[str, Any]
    validation_changes: Mapping[str, Any] = field(default_factory=dict)


class LearningTask(ABC):
    """A scenario in which a plasticity rule is judged by simulation.

    One instance per learning task, registered in :mod:`simulations.learning_tasks`;
    it holds no state but what follows from these constants.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    signature: ClassVar[RuleSignature]
    aggregate: ClassVar[Aggregate]
    #: What one trial's value is, with its unit, as an axis label.
    fitness_label: ClassVar[str]
    parameters_type: ClassVar[type[TaskParameters]]
    presets: ClassVar[Mapping[str, Preset]]
    baselines: ClassVar[tuple[BaselineRule, ...]]

    @abstractmethod
    def simulate_trial(
        self,
        rules: Sequence[PlasticityRule],
        parameters: TaskParameters,
        *,
        seed: int,
        trial: int = 0,
        record_traces: bool = False,
    ) -> list[TrialResult]:
        """Simulate one trial of every rule in one network.

        The result of a rule is the same, bit for bit, alone, in any batch and at any
        position in it.

        Parameters
        ----------
        rules : sequence of PlasticityRule
            Rules of this learning task's signature, at least one.
        parameters : TaskParameters
            An instance of ``parameters_type``.
        seed : int
            Seed of the experiment.
        trial : int
            Index of the trial. What is random in it depends on ``seed`` and ``trial`` only.
        record_traces : bool
            Record what a person wants to see; the values stay the same.

        Returns
        -------
        list of TrialResult
            One per rule, in order.
        """

    @cached_property
    def canonical_baselines(self) -> tuple[tuple[BaselineRule, PlasticityRule], ...]:
        """Each baseline with its rule in the form that is simulated."""
        return tuple(
            (baseline, PlasticityRule.parse(self.signature, baseline.expressions).canonical())
            for baseline in self.baselines
        )

    @abstractmethod
    def estimate_seconds(self, parameters: TaskParameters, n_rules: int = 1) -> float:
        """Return a rough cost in seconds of one core for one trial of ``n_rules`` rules."""
