"""Error-driven learning: a student neuron learns to follow the potential of a teacher.

Teacher and student receive the same spike trains. The weights of the teacher are fixed; those of
the student follow the plasticity rule, which sees the teacher's potential every few milliseconds.

References
----------
Jordan, Schmidt, Senn & Petrovici (2021), eLife 10:e66273, figure 4.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import model_validator

from nest_build.rules import RuleInput, RuleSignature
from simulations.learning_tasks._error_driven_simulation import DELAY_MS, Simulation, Stimulus
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


class ErrorDrivenParameters(TaskParameters):
    """Parameters of the error-driven learning task; the defaults are the authors' numbers."""

    n_trials: int = quantity(
        15,
        "Number of trials (independent repetitions) that one fitness value is made of.",
        ge=1,
        le=1000,
        group="Trials",
    )
    t_sim_ms: float = quantity(
        10_000.0, "Duration of a trial.", unit="ms", ge=20, le=1_000_000, group="Trials"
    )
    skipped_fraction: float = quantity(
        0.1,
        "Fraction of a trial at its beginning that does not count for the error.",
        ge=0,
        le=0.9,
        group="Trials",
    )
    n_inputs: int = quantity(5, "Number of input neurons.", ge=1, le=200, group="Inputs")
    input_rate_min_hz: float = quantity(
        150.0, "Smallest rate of an input.", unit="Hz", ge=0, le=5000, group="Inputs"
    )
    input_rate_max_hz: float = quantity(
        850.0, "Largest rate of an input.", unit="Hz", ge=0, le=5000, group="Inputs"
    )
    learning_rate: float = quantity(
        1.7, "Learning rate, in pA per ms and unit of the rule.", ge=0, le=1e6, group="Learning"
    )
    learning_time_constant_ms: float = quantity(
        100.0,
        "Time constant of the low-pass filter of the rule.",
        unit="ms",
        gt=0,
        le=1e6,
        group="Learning",
    )
    target_interval_ms: float = quantity(
        5.0,
        "Interval at which the student is shown the teacher's potential.",
        unit="ms",
        ge=DELAY_MS,
        le=10_000,
        group="Learning",
    )
    initial_weight_pa: float = quantity(
        5.0, "Initial weights of the student.", unit="pA", ge=-1e6, le=1e6, group="Weights"
    )
    teacher_weight_min_pa: float = quantity(
        -5.0, "Smallest weight of the teacher.", unit="pA", ge=-1e6, le=1e6, group="Weights"
    )
    teacher_weight_max_pa: float = quantity(
        35.0, "Largest weight of the teacher.", unit="pA", ge=-1e6, le=1e6, group="Weights"
    )
    teacher_weight_sign: Literal["fixed", "drawn"] = quantity(
        "fixed",
        "Whether the mean of the teacher's weights is the same in all trials, or of either sign: "
        "in about half of them it is minus the mean of the range. With a fixed sign, weights that "
        "only grow lower the error.",
        group="Weights",
        advanced=True,
    )
    rho_hz: float = quantity(
        0.2,
        "Rate of spikes at threshold; spikes are shown, they influence nothing.",
        unit="Hz",
        ge=0,
        le=1e6,
        group="Neurons",
        advanced=True,
    )
    delta_mv: float = quantity(
        1.0,
        "Width of the threshold region.",
        unit="mV",
        gt=0,
        le=1000,
        group="Neurons",
        advanced=True,
    )
    dt_ms: float = quantity(
        0.01,
        "Length of a simulation step; has to divide 1 ms.",
        unit="ms",
        ge=0.01,
        le=1,
        group="Simulation",
        advanced=True,
    )
    split_slices: bool = quantity(
        True,
        "Reproduce the interrupted time slices of the original simulations: at most one spike of "
        "an input in a step, and neither spikes nor potentials in the steps in which the target "
        "is taken.",
        group="Simulation",
        advanced=True,
    )

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        if self.input_rate_min_hz > self.input_rate_max_hz:
            raise ValueError("The smallest input rate must not be above the largest one.")
        if self.teacher_weight_min_pa > self.teacher_weight_max_pa:
            raise ValueError("The smallest teacher weight must not be above the largest one.")
        # NEST's time has a resolution of 1 us.
        if not _is_multiple(DELAY_MS, self.dt_ms) or not _is_multiple(self.dt_ms, 0.001):
            raise ValueError("The simulation step must divide 1 ms and be a multiple of 0.001 ms.")
        for name, value in (("duration", self.t_sim_ms), ("interval", self.target_interval_ms)):
            if not _is_multiple(value, DELAY_MS):
                raise ValueError(f"The {name} must be a multiple of {DELAY_MS:g} ms.")
        if self.target_interval_ms > self.t_sim_ms:
            raise ValueError("The target interval must not be longer than a trial.")
        if self.n_inputs * self.input_rate_max_hz * 1e-3 * self.t_sim_ms > _MAX_INPUT_SPIKES:
            raise ValueError(
                f"These can be more than {_MAX_INPUT_SPIKES:,} input spikes in a trial: take fewer "
                "inputs, a shorter trial or a smaller rate."
            )
        return self


def _is_multiple(value: float, unit: float) -> bool:
    return math.isclose(value / unit, round(value / unit), rel_tol=1e-9, abs_tol=1e-9)


class ErrorDrivenTask(LearningTask):
    """See the module's description."""

    name: ClassVar[str] = "error-driven"
    title: ClassVar[str] = "Error-driven learning"
    summary: ClassVar[str] = (
        "A student neuron learns to follow the membrane potential of a teacher that receives the "
        "same inputs."
    )
    signature: ClassVar[RuleSignature] = RuleSignature(
        inputs=(
            RuleInput("v", "mV", "membrane potential of the teacher"),
            RuleInput("u", "mV", "membrane potential of the student"),
            RuleInput("s", "mV", "filtered spike train of the input (postsynaptic potential)"),
        ),
        branches=("delta_w",),
    )
    aggregate: ClassVar[Aggregate] = Aggregate.MEAN
    fitness_label: ClassVar[str] = "minus the error (mV)"
    parameters_type: ClassVar[type[TaskParameters]] = ErrorDrivenParameters
    presets: ClassVar[dict[str, Preset]] = {
        "demo": Preset(
            name="demo",
            label="Demo",
            description=(
                "Short trials with a coarse time step: evolution finds the delta rule within a "
                "minute or two."
            ),
            task_parameters=ErrorDrivenParameters(
                n_trials=3, t_sim_ms=5000.0, dt_ms=0.1, split_slices=False
            ),
            seed=8,
            validation_seed=817818273,
            n_runs=2,
            evolution={
                "n_generations": 800,
                "stop_at_baseline": True,
                "n_offspring": 16,
                "mutation_rate": 0.15,
                "n_columns": 12,
            },
        ),
        "paper": Preset(
            name="paper",
            label="Paper",
            description="The authors' parameters, with the details of their simulations.",
            task_parameters=ErrorDrivenParameters(teacher_weight_sign="drawn"),
            seed=1235,
            validation_seed=817818273,
            validation_changes={"teacher_weight_sign": "fixed"},
            n_runs=6,
            evolution={
                "n_generations": 1000,
                "n_parents": 4,
                "n_offspring": 4,
                "tournament_size": 1,
                "mutation_rate": 0.045,
                "mutation_count": "fixed",
                "n_columns": 12,
                "n_rows": 1,
                "primitives": ("Add", "Sub", "Mul", "Div", "One"),
            },
        ),
    }
    baselines: ClassVar[tuple[BaselineRule, ...]] = (
        BaselineRule(
            "Urbanczik-Senn", ("(v - u)*s",), "Urbanczik & Senn (2014), Neuron 81:521-528"
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
        if not isinstance(parameters, ErrorDrivenParameters):
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
        assert isinstance(parameters, ErrorDrivenParameters)
        p = parameters
        # Measured on a core at 3 GHz: kernel and inputs, slices, neurons and synapses.
        n_slices = p.t_sim_ms / DELAY_MS
        n_synapse_steps = p.n_inputs * p.t_sim_ms / p.dt_ms
        per_rule = n_slices * 0.35e-6 + n_synapse_steps * 1e-9
        return 4e-3 + n_slices * 3.2e-6 + n_rules * per_rule
