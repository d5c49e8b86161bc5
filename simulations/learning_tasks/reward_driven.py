"""Reward-driven learning: a neuron learns to spike for some patterns and not for others.

In each training trial one of several frozen input patterns is presented to an output neuron. It
has answered "yes" if it has spiked at least once. A reward tells whether the answer was right, and
all weights change by a rule of this reward and of the eligibility traces of the synapses.

References
----------
Urbanczik & Senn (2009), Nature Neuroscience 12:250-252.
Jordan, Schmidt, Senn & Petrovici (2021), eLife 10:e66273, figure 3.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import model_validator

from nest_build.rules import RuleInput, RuleSignature
from simulations.learning_tasks._reward_driven_simulation import Simulation, Stimulus
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
_MAX_INPUT_SPIKES = 10_000_000


class RewardDrivenParameters(TaskParameters):
    """Parameters of the reward-driven learning task; the defaults are the authors' numbers."""

    n_trials: int = quantity(
        10,
        "Number of trials (independent repetitions of the whole training) that one fitness value "
        "is made of.",
        ge=1,
        le=1000,
        group="Trials",
    )
    n_training_trials: int = quantity(
        500, "Presentations of a pattern in a trial.", ge=1, le=100_000, group="Trials"
    )
    n_inputs: int = quantity(50, "Number of input neurons.", ge=1, le=10_000, group="Inputs")
    input_rate_hz: float = quantity(
        6.0, "Rate of each input in a pattern.", unit="Hz", ge=0, le=1000, group="Inputs"
    )
    n_patterns: int = quantity(
        30, "Number of frozen patterns of input spikes.", ge=1, le=1000, group="Inputs"
    )
    pattern_duration_ms: float = quantity(
        500.0, "Duration of a pattern.", unit="ms", ge=5, le=10_000, group="Inputs"
    )
    connection_probability: float = quantity(
        0.8,
        "Probability that an input is connected with the output.",
        ge=0,
        le=1,
        group="Weights",
    )
    initial_weight_sd_pa: float = quantity(
        1000.0,
        "Standard deviation of the initial weights, whose mean is zero.",
        unit="pA",
        ge=0,
        le=1e6,
        group="Weights",
    )
    learning_rate: float = quantity(
        10.0, "Learning rate, in pA per unit of the rule.", ge=0, le=1e9, group="Learning"
    )
    eligibility_time_constant_ms: float = quantity(
        500.0,
        "Time constant of the eligibility trace.",
        unit="ms",
        gt=0,
        le=1e6,
        group="Learning",
    )
    eligibility_rho_hz: float = quantity(
        0.01,
        "Rate of spikes at threshold that the eligibility trace expects.",
        unit="Hz",
        ge=0,
        le=1e6,
        group="Learning",
        advanced=True,
    )
    eligibility_delta_mv: float = quantity(
        5.0,
        "Width of the threshold region that the eligibility trace expects.",
        unit="mV",
        gt=0,
        le=1000,
        group="Learning",
        advanced=True,
    )
    noise: Literal["frozen", "fresh"] = quantity(
        "frozen",
        "Escape noise of the output: frozen is the same in all training trials of a trial, as in "
        "the original simulations; fresh is new in each.",
        group="Neuron",
    )
    divergence: Literal["silent", "invalid"] = quantity(
        "silent",
        "What becomes of a rule whose weights grow beyond all bounds: invalid has no fitness; "
        "silent goes on with an output that never spikes again, as in the original simulations.",
        group="Learning",
        advanced=True,
    )
    rho_hz: float = quantity(
        0.01,
        "Rate of spikes at threshold.",
        unit="Hz",
        ge=0,
        le=1e6,
        group="Neuron",
        advanced=True,
    )
    delta_mv: float = quantity(
        0.2,
        "Width of the threshold region; 0 for spikes whenever the potential is above threshold.",
        unit="mV",
        ge=0,
        le=1000,
        group="Neuron",
        advanced=True,
    )
    refractory_time_ms: float = quantity(
        2.0,
        "Refractory time after a spike.",
        unit="ms",
        ge=0,
        le=1000,
        group="Neuron",
        advanced=True,
    )
    dt_ms: float = quantity(
        0.01,
        "Length of a simulation step; has to divide 1 ms. Eligibility traces are proportional to "
        "it.",
        unit="ms",
        ge=0.01,
        le=1,
        group="Simulation",
        advanced=True,
    )

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        # NEST's time has a resolution of 1 us.
        if not _is_multiple(1.0, self.dt_ms) or not _is_multiple(self.dt_ms, 0.001):
            raise ValueError("The simulation step must divide 1 ms and be a multiple of 0.001 ms.")
        if not _is_multiple(self.pattern_duration_ms, 1.0):
            raise ValueError("The duration of a pattern must be a multiple of 1 ms.")
        if not _is_multiple(self.refractory_time_ms, self.dt_ms):
            raise ValueError("The refractory time must be a multiple of the simulation step.")
        rate_per_ms = self.n_inputs * self.input_rate_hz * 1e-3
        n_patterns = self.n_training_trials + self.n_patterns
        if rate_per_ms * self.pattern_duration_ms * n_patterns > _MAX_INPUT_SPIKES:
            raise ValueError(
                f"These are more than {_MAX_INPUT_SPIKES:,} input spikes in a trial: take fewer "
                "inputs or training trials, shorter patterns or a smaller rate."
            )
        return self


def _is_multiple(value: float, unit: float) -> bool:
    return math.isclose(value / unit, round(value / unit), rel_tol=1e-9, abs_tol=1e-9)


class RewardDrivenTask(LearningTask):
    """See the module's description."""

    name: ClassVar[str] = "reward-driven"
    title: ClassVar[str] = "Reward-driven learning"
    summary: ClassVar[str] = (
        "A neuron learns by trial and error to spike for some input patterns and to be silent for "
        "others."
    )
    signature: ClassVar[RuleSignature] = RuleSignature(
        inputs=(
            RuleInput("R", "", "reward: +1 if the answer was right, -1 if it was wrong"),
            RuleInput("E", "", "eligibility trace of the synapse at the end of the training trial"),
        ),
        branches=("delta_w",),
    )
    aggregate: ClassVar[Aggregate] = Aggregate.MEAN
    fitness_label: ClassVar[str] = "summed reward"
    parameters_type: ClassVar[type[TaskParameters]] = RewardDrivenParameters
    presets: ClassVar[dict[str, Preset]] = {
        "demo": Preset(
            name="demo",
            label="Demo",
            description=(
                "Fewer patterns with a coarse time step: evolution finds a rule that learns within "
                "a minute or two."
            ),
            # Traces grow with the time step: the learning rate is as much smaller.
            task_parameters=RewardDrivenParameters(
                n_trials=6,
                n_training_trials=200,
                n_patterns=10,
                pattern_duration_ms=250.0,
                learning_rate=1.0,
                divergence="invalid",
                dt_ms=0.1,
            ),
            seed=11231,
            validation_seed=817818273,
            n_runs=2,
            evolution={
                "n_generations": 1000,
                "stop_at_baseline": True,
                "n_offspring": 16,
                "mutation_rate": 0.15,
                "n_columns": 5,
                "primitives": ("Add", "Sub", "Mul", "Div", "One", "Tenth", "Ten"),
            },
        ),
        "paper": Preset(
            name="paper",
            label="Paper",
            description="The authors' parameters, with frozen escape noise as they had it.",
            task_parameters=RewardDrivenParameters(),
            seed=11231,
            validation_seed=817818273,
            n_runs=8,
            evolution={
                "n_generations": 500,
                "n_parents": 4,
                "n_offspring": 4,
                "tournament_size": 1,
                "mutation_rate": 0.045,
                "mutation_count": "fixed",
                "n_columns": 5,
                "n_rows": 1,
                "primitives": ("Add", "Sub", "Mul", "Div", "One", "Tenth", "Ten"),
            },
        ),
    }
    baselines: ClassVar[tuple[BaselineRule, ...]] = (
        BaselineRule(
            "Urbanczik-Senn",
            ("E*(R - 1)",),
            "Urbanczik & Senn (2009), Nature Neuroscience 12:250-252",
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
        """Simulate one trial (a whole training) of every rule; see :class:`LearningTask`."""
        if not isinstance(parameters, RewardDrivenParameters):
            raise TypeError(f"not parameters of this learning task: {type(parameters).__name__}")
        trial_seed = seed + trial
        stimulus = Stimulus.draw(parameters, trial_seed)
        results: list[TrialResult] = []
        for first in range(0, len(rules), _MAX_RULES_PER_SIMULATION):
            batch = rules[first : first + _MAX_RULES_PER_SIMULATION]
            simulation = Simulation(batch, parameters, stimulus, trial_seed, record_traces)
            results += simulation.run()
        return results

    def estimate_seconds(self, parameters: TaskParameters, n_rules: int = 1) -> float:
        """Return a rough cost in seconds of one core for one trial of ``n_rules`` rules."""
        assert isinstance(parameters, RewardDrivenParameters)
        p = parameters
        # Measured on a core at 3 GHz: kernel and inputs, NEST's tables, neurons, spikes.
        n_steps = p.n_training_trials * p.pattern_duration_ms / p.dt_ms
        n_spikes = n_steps * p.dt_ms * 1e-3 * p.input_rate_hz * p.n_inputs
        return 0.02 + n_steps * 9e-9 + n_rules * (n_steps * 2e-9 + n_spikes * 1e-7)
