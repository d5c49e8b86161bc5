"""Correlation-driven learning: a neuron learns to detect a pattern that recurs in its inputs.

Many inputs spike at random. At regular intervals some of them repeat a frozen pattern, to which
nothing else points. The rule of the plastic synapses has two branches: one for postsynaptic spikes
(facilitation), one for presynaptic spikes (depression). Afterwards the same inputs are replayed
with frozen weights, and the signal-to-noise ratio of the potential tells how well the neuron
responds to the pattern.

References
----------
Masquelier (2018), Neuroscience 389:133-140.
Jordan, Schmidt, Senn & Petrovici (2021), eLife 10:e66273, figure 5.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from nest_build.rules import Arithmetic, RuleInput, RuleSignature
from simulations.learning_tasks._correlation_driven_inputs import InputStatistics, draw_inputs
from simulations.learning_tasks._correlation_driven_simulation import DELAY_MS, Simulation
from simulations.learning_tasks.base import (
    Aggregate,
    BaselineRule,
    LearningTask,
    Preset,
    TrialResult,
)
from simulations.parameters import TaskParameters, quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nest_build.rules import PlasticityRule

# NEST has room for some hundred synapse models, one for each rule.
_MAX_RULES_PER_SIMULATION = 64
# Input spikes of a trial, all of which are in memory (some ten bytes each, several times).
_MAX_INPUT_SPIKES = 5_000_000

# The original experiments draw inputs and initial weights from generators of their own, seeded with
# the same number plus 123 and plus 111. The seed of an experiment is that of the inputs.
_WEIGHT_SEED_OFFSET = 111 - 123
# Seed of the potential at the beginning of all trials, and its distribution.
_POTENTIAL_SEED = 17893
_INITIAL_POTENTIAL_SD_MV = 10.0


class CorrelationDrivenParameters(TaskParameters):
    """Parameters of the correlation-driven learning task; the defaults are the authors' numbers."""

    n_trials: int = quantity(
        8,
        "Number of trials (independent repetitions) that one fitness value is made of.",
        ge=1,
        le=1000,
        group="Trials",
    )
    t_sim_ms: float = quantity(
        100_000.0, "Duration of learning.", unit="ms", ge=100, le=1_000_000, group="Trials"
    )
    replay_ms: float = quantity(
        11_000.0,
        "Duration of the replay, with frozen weights, in which the value of a trial is measured.",
        unit="ms",
        ge=100,
        le=1_000_000,
        group="Trials",
    )
    replay_protocol: Literal["evolution", "validation"] = quantity(
        "evolution",
        "Details of the replay, as the authors had them in evolution (it begins with the same "
        "potential in all trials) or in validation (with one drawn for each trial; windows of the "
        "pattern begin a step earlier).",
        group="Trials",
        advanced=True,
    )
    n_inputs: int = quantity(1000, "Number of input neurons.", ge=2, le=10_000, group="Inputs")
    input_rate_hz: float = quantity(
        3.0, "Rate of each input.", unit="Hz", gt=0, le=1000, group="Inputs"
    )
    pattern_ms: float = quantity(
        100.0, "Duration of the pattern.", unit="ms", ge=1, le=10_000, group="Inputs"
    )
    interval_ms: float = quantity(
        400.0, "Interval between two patterns.", unit="ms", ge=1, le=10_000, group="Inputs"
    )
    learning_rate: float = quantity(
        0.01,
        "Step size: factor of both branches of the rule.",
        ge=0,
        le=1000,
        group="Learning",
    )
    tau_plus_ms: float = quantity(
        20.0,
        "Time constant of the trace of presynaptic spikes.",
        unit="ms",
        gt=0,
        le=1e6,
        group="Learning",
    )
    tau_minus_ms: float = quantity(
        20.0,
        "Time constant of the trace of postsynaptic spikes.",
        unit="ms",
        gt=0,
        le=1e6,
        group="Learning",
    )
    arithmetic: Arithmetic = quantity(
        Arithmetic.IEEE,
        "How rules are evaluated: in IEEE arithmetic, in which zero times infinity is not a "
        "number, or, as in the authors' experiments, with products that are zero if any factor is.",
        group="Learning",
        advanced=True,
    )
    w_max_mv: float = quantity(
        1.0,
        "Weight at which the weight that rules read is 1; facilitation ends there.",
        unit="mV",
        gt=0,
        le=1e6,
        group="Weights",
    )
    initial_weights: Literal["drawn", "fixed"] = quantity(
        "drawn",
        "Initial weight, the same for all synapses: drawn for each trial around the weight with "
        "which the inputs just drive the neuron to its threshold, or fixed.",
        group="Weights",
    )
    initial_weight_sd_mv: float = quantity(
        0.1,
        "Standard deviation of the initial weight if it is drawn.",
        unit="mV",
        ge=0,
        le=1e6,
        group="Weights",
    )
    initial_weight_mv: float = quantity(
        0.5, "Initial weight if it is fixed.", unit="mV", ge=0, le=1e6, group="Weights"
    )
    v_th_mv: float = quantity(
        20.0,
        "Threshold, above the resting potential.",
        unit="mV",
        gt=0,
        le=1000,
        group="Neuron",
        advanced=True,
    )
    tau_m_ms: float = quantity(
        18.0,
        "Membrane time constant.",
        unit="ms",
        gt=0,
        le=10_000,
        group="Neuron",
        advanced=True,
    )

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        for name, value in (
            ("duration of learning", self.t_sim_ms),
            ("duration of the replay", self.replay_ms),
            ("duration of the pattern", self.pattern_ms),
            ("interval between patterns", self.interval_ms),
        ):
            if not math.isclose(value, round(value), abs_tol=1e-9):
                raise ValueError(f"The {name} must be a multiple of {DELAY_MS:g} ms.")
        if self.replay_ms > self.t_sim_ms:
            raise ValueError("The replay must not be longer than learning, whose inputs it has.")
        if self.replay_ms <= self.interval_ms + self.pattern_ms:
            raise ValueError("The replay must be longer than an interval and a pattern.")
        if self.input_rate_hz * 1e-3 * self.interval_ms <= 1:
            raise ValueError(
                "Inputs must have more than one spike, on average, in the interval between two "
                "patterns: those of the pattern are taken from it."
            )
        if self.n_inputs * self.input_rate_hz * 1e-3 * self.t_sim_ms > _MAX_INPUT_SPIKES:
            raise ValueError(
                f"The inputs must not have more than {_MAX_INPUT_SPIKES:,} spikes in a trial: "
                "choose fewer inputs, a lower rate or a shorter duration."
            )
        if self.initial_weights == "drawn" and self.n_inputs * self.input_rate_hz <= 4:
            raise ValueError(
                "The rate of all inputs together must be above 4 Hz if initial weights are drawn."
            )
        return self

    def input_statistics(self) -> InputStatistics:
        """Return what inputs are drawn from."""
        return InputStatistics(
            self.n_inputs, self.input_rate_hz, self.t_sim_ms, self.pattern_ms, self.interval_ms
        )

    def initial_weight(self, seed: int, trial: int) -> float:
        """Return the weight in mV of all synapses at the beginning of a trial."""
        if self.initial_weights == "fixed":
            return self.initial_weight_mv
        # Two standard deviations of the number of spikes below its mean still reach the threshold.
        rate_hz = self.n_inputs * self.input_rate_hz
        mean_mv = self.v_th_mv / (rate_hz - np.sqrt(rate_hz) * 2) / (self.tau_m_ms * 1e-3)
        rng = np.random.RandomState((seed + _WEIGHT_SEED_OFFSET) % 2**32)
        return float(rng.normal(mean_mv, self.initial_weight_sd_mv, size=trial + 1)[trial])


class CorrelationDrivenTask(LearningTask):
    """See the module's description."""

    name: ClassVar[str] = "correlation-driven"
    title: ClassVar[str] = "Correlation-driven learning"
    summary: ClassVar[str] = (
        "A neuron learns without a teacher to detect a pattern that recurs in its inputs."
    )
    signature: ClassVar[RuleSignature] = RuleSignature(
        inputs=(
            RuleInput("w", "", "weight of the synapse, 1 at its maximum"),
            RuleInput(
                "E",
                "",
                "spike trace: of the presynaptic neuron when facilitating, of the postsynaptic one "
                "when depressing",
            ),
        ),
        branches=("depress", "facilitate"),
    )
    aggregate: ClassVar[Aggregate] = Aggregate.MIN
    fitness_label: ClassVar[str] = "signal-to-noise ratio"
    parameters_type: ClassVar[type[TaskParameters]] = CorrelationDrivenParameters
    presets: ClassVar[dict[str, Preset]] = {
        "demo": Preset(
            name="demo",
            label="Demo",
            description=(
                "Fewer inputs, as much stronger, and shorter trials: evolution finds a rule that "
                "detects the pattern within a minute or two."
            ),
            task_parameters=CorrelationDrivenParameters(
                n_trials=3,
                t_sim_ms=30_000.0,
                replay_ms=5_500.0,
                n_inputs=500,
                w_max_mv=2.0,
                initial_weights="fixed",
                initial_weight_mv=1.0,
            ),
            seed=11214247,
            validation_seed=11216123,
            n_runs=2,
            evolution={
                "n_generations": 200,
                "stop_at_baseline": True,
                "n_parents": 8,
                "n_offspring": 16,
                "mutation_rate": 0.05,
                "n_columns": 5,
                "primitives": ("Add", "Sub", "Mul", "Div", "Pow", "One", "Tenth", "Ten"),
            },
        ),
        "paper": Preset(
            name="paper",
            label="Paper",
            description="The authors' parameters.",
            task_parameters=CorrelationDrivenParameters(arithmetic=Arithmetic.ZERO_PRODUCTS),
            seed=11214247,
            validation_seed=11216123,
            validation_changes={
                "replay_ms": 31_000.0,
                "replay_protocol": "validation",
                "initial_weights": "fixed",
            },
            n_runs=20,
            evolution={
                "n_generations": 2000,
                "target_fitness": 10.0,
                "n_parents": 8,
                "n_offspring": 8,
                "tournament_size": 1,
                "mutation_rate": 0.05,
                "mutation_count": "fixed",
                "n_columns": 5,
                "n_rows": 1,
                "primitives": ("Add", "Sub", "Mul", "Div", "Pow", "One", "Tenth", "Ten"),
            },
        ),
    }
    baselines: ClassVar[tuple[BaselineRule, ...]] = (
        # A constant loss at each postsynaptic spike: w_out = -0.0015 at the learning rate 0.01. The
        # weight is not below 0 at presynaptic spikes, which is when it is transmitted and read:
        # after a presynaptic spike the trace only falls, so a weight that has begun to fall goes
        # on falling until the next one, and it does not matter when it is clipped at 0.
        BaselineRule(
            "Homeostatic STDP", ("0", "E - 0.15"), "Masquelier (2018), Neuroscience 389:133-140"
        ),
        BaselineRule(
            "Additive STDP",
            ("E", "E"),
            "Song, Miller & Abbott (2000), Nature Neuroscience 3:919-926",
        ),
    )

    def simulate_trial(
        self,
        rules: Sequence[PlasticityRule],
        parameters: TaskParameters,
        *,
        seed: int,
        trial: int = 0,
        record_traces: bool = False,
    ) -> list[TrialResult]:
        """Simulate one trial of every rule; see :class:`LearningTask`."""
        if not isinstance(parameters, CorrelationDrivenParameters):
            raise TypeError(f"not parameters of this learning task: {type(parameters).__name__}")
        inputs = draw_inputs(parameters.input_statistics(), seed, trial)
        replay_seed = trial if parameters.replay_protocol == "validation" else _POTENTIAL_SEED
        results: list[TrialResult] = []
        for first in range(0, len(rules), _MAX_RULES_PER_SIMULATION):
            simulation = Simulation(
                rules[first : first + _MAX_RULES_PER_SIMULATION],
                parameters,
                inputs,
                initial_weight=parameters.initial_weight(seed, trial),
                initial_potential_mv=_initial_potential_mv(_POTENTIAL_SEED),
                record_traces=record_traces,
            )
            results += simulation.run(replay_potential_mv=_initial_potential_mv(replay_seed))
        return results

    def estimate_seconds(self, parameters: TaskParameters, n_rules: int = 1) -> float:
        """Return a rough cost in seconds of one core for one trial of ``n_rules`` rules."""
        assert isinstance(parameters, CorrelationDrivenParameters)
        p = parameters
        # Measured on a core at 3 GHz: inputs and kernel, slices, neurons and synapses.
        n_slices = p.t_sim_ms / DELAY_MS
        n_spikes = p.n_inputs * p.input_rate_hz * 1e-3 * p.t_sim_ms
        per_rule = n_slices * 1e-7 + n_spikes * 9e-8 + p.n_inputs * 5e-6 + p.replay_ms * 2e-7
        return (
            0.02 + n_spikes * 1.5e-7 + n_slices * (1e-6 + p.n_inputs * 7e-10) + n_rules * per_rule
        )


def _initial_potential_mv(seed: int) -> float:
    return float(np.random.RandomState(seed).normal(0.0, _INITIAL_POTENTIAL_SD_MV))
