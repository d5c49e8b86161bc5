"""The network of the error-driven learning task in NEST, and what is random in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from simulations import fitness, kernel
from simulations.learning_tasks._inputs import poisson_spike_steps
from simulations.learning_tasks.base import Reason, Traces, TrialResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nest_build.rules import PlasticityRule
    from simulations.learning_tasks.error_driven import ErrorDrivenParameters

#: Delay of all connections, in ms. It is the length of NEST's time slices: the target potential is
#: constant in a slice, and spikes of a slice are sent with the weight at its beginning.
DELAY_MS = 1.0
#: Interval at which potentials are recorded for the error, in ms.
RECORDING_INTERVAL_MS = 1.0

# A simulation is run in this many parts; it ends early when no rule is finite any more.
_N_PARTS = 10
# Weights are sampled at most so often for traces.
_MAX_WEIGHT_SAMPLES = 500
_ERROR_WINDOW_MS = 50.0

# Roles of the neurons as keys of their noise.
_TEACHER, _STUDENT = 0, 1


@dataclass(frozen=True)
class Stimulus:
    """What is random in a trial, apart from spikes.

    Attributes
    ----------
    spike_steps : tuple of ndarray of int
        For each input the steps at whose end it spikes.
    teacher_weights_pa : ndarray of shape (n_inputs,)
    """

    spike_steps: tuple[np.ndarray, ...]
    teacher_weights_pa: np.ndarray

    @classmethod
    def draw(cls, parameters: ErrorDrivenParameters, seed: int) -> Self:
        p = parameters
        rng = np.random.RandomState(seed % 2**32)
        rates_hz = rng.uniform(p.input_rate_min_hz, p.input_rate_max_hz, size=p.n_inputs)
        # Spikes were drawn for generators, from which inputs get them after one delay.
        delay = round(DELAY_MS / p.dt_ms)
        steps = [
            poisson_spike_steps(rng, rate_hz, p.t_sim_ms, p.dt_ms) + delay for rate_hz in rates_hz
        ]
        if p.split_slices:
            steps = [_lose_spikes(train, round(p.target_interval_ms / p.dt_ms)) for train in steps]
        # The original shifts a symmetric range by an offset, whose sign it drew in evolution but
        # not in validation; the sum is rounded in this order.
        is_negative = rng.rand() < 0.5 and p.teacher_weight_sign == "drawn"
        half_range = (p.teacher_weight_max_pa - p.teacher_weight_min_pa) / 2
        offset = (p.teacher_weight_max_pa + p.teacher_weight_min_pa) / 2
        offset = -offset if is_negative else offset
        weights = [rng.uniform(-half_range, half_range) + offset for _ in range(p.n_inputs)]
        return cls(tuple(steps), np.array(weights))


def _lose_spikes(steps: np.ndarray, interval: int) -> np.ndarray:
    """Keep one spike in a step, and none in the steps in which a target is taken."""
    emitted_in = steps[np.diff(steps, prepend=-1) > 0] - 1
    return emitted_in[(emitted_in % interval != 0) | (emitted_in == 0)] + 1


class Simulation:
    """One network: inputs, a teacher, and a student for each rule.

    The students are simulated one slice behind the teacher, with inputs of their own that are as
    much later. When a student is in its step k, the potential of the teacher after the same step
    has already arrived, over a stock connection with a delay of one slice.
    """

    def __init__(
        self,
        rules: Sequence[PlasticityRule],
        parameters: ErrorDrivenParameters,
        stimulus: Stimulus,
        trial_seed: int,
        record_traces: bool,
    ) -> None:
        self._parameters = parameters
        self._stimulus = stimulus
        self._record_traces = record_traces
        self._weight_times_ms: list[float] = []
        self._weights_pa: list[np.ndarray] = []
        self._potentials_mv: list[np.ndarray] = []
        self._nest = kernel.prepare(parameters.dt_ms, ["us_sympy_synapse_module"])
        self._build(rules, trial_seed)

    def _build(self, rules: Sequence[PlasticityRule], trial_seed: int) -> None:
        nest, p = self._nest, self._parameters
        neuron = {
            # Spikes influence nothing: without traces they are not even drawn.
            "rho": p.rho_hz if self._record_traces else 0.0,
            "delta": p.delta_mv,
            "reset_after_spike": False,
            "noise_seed": trial_seed,
            "target_interval": p.target_interval_ms,
            "hide_sampling_step": p.split_slices,
            "trace_interval": RECORDING_INTERVAL_MS,
        }
        self._teacher_inputs = self._create_inputs(delay_steps=0)
        self._student_inputs = self._create_inputs(delay_steps=round(DELAY_MS / p.dt_ms))
        self._teacher = nest.Create("iaf_psc_exp_escape", 1, {**neuron, "noise_role": _TEACHER})
        self._students = nest.Create(
            "iaf_psc_exp_escape", len(rules), {**neuron, "noise_role": _STUDENT}
        )
        clock = nest.Create("volume_transmitter")

        nest.Connect(
            self._teacher_inputs,
            self._teacher,
            syn_spec={
                "synapse_model": "static_synapse",
                "weight": self._stimulus.teacher_weights_pa[np.newaxis, :],
                "delay": DELAY_MS,
            },
        )
        nest.Connect(
            self._teacher,
            self._students,
            syn_spec={"synapse_model": "rate_connection_delayed", "delay": DELAY_MS},
        )
        for index, rule in enumerate(rules):
            model = f"us_sympy_synapse_{index}"
            nest.CopyModel(
                "us_sympy_synapse",
                model,
                {
                    "expr": rule.texts[0],
                    "eta": p.learning_rate,
                    "tau_I": p.learning_time_constant_ms,
                    "volume_transmitter": clock,
                },
            )
            nest.Connect(
                self._student_inputs,
                self._students[index],
                syn_spec={
                    "synapse_model": model,
                    "weight": p.initial_weight_pa,
                    "delay": DELAY_MS,
                },
            )
        if self._record_traces:
            self._spike_recorder = nest.Create("spike_recorder")
            nest.Connect(self._teacher + self._students, self._spike_recorder)

    def _create_inputs(self, delay_steps: int) -> Any:
        dt_ms = self._parameters.dt_ms
        return self._nest.Create(
            "spike_train_injector",
            len(self._stimulus.spike_steps),
            [
                {"spike_times": (steps + delay_steps) * dt_ms}
                for steps in self._stimulus.spike_steps
            ],
        )

    def run(self) -> list[TrialResult]:
        """Simulate; return the result of each rule, in order."""
        nest = self._nest
        n_slices = round(self._parameters.t_sim_ms / DELAY_MS)
        n_parts = -(-n_slices // self._weight_interval()) if self._record_traces else _N_PARTS
        nest.Prepare()
        # The students are one slice late. What a rule does in the slice before is undone.
        nest.Run(DELAY_MS)
        self._synapses = nest.GetConnections(self._student_inputs, self._students)
        self._synapses.set({"weight": self._parameters.initial_weight_pa, "I": 0.0})
        self._sample_weights(0)
        for part in np.array_split(np.arange(n_slices), min(n_parts, n_slices)):
            kernel.run(len(part), DELAY_MS)
            self._sample_weights(part[-1] + 1)
            self._read_potentials()
            if not np.isfinite(self._potentials_mv[-1][1:, -1]).any():
                break
        # The last spikes reach recorders one slice later.
        nest.Run(DELAY_MS)
        nest.Cleanup()
        return self._results()

    def _read_potentials(self) -> None:
        """Keep the potentials (teacher and students, samples) since the last call."""
        neurons = self._teacher + self._students
        self._potentials_mv.append(np.array(neurons.get("V_m_trace")))
        # Every reading of any property copies the trace: it must not become long.
        neurons.n_trace = 0

    def _weight_interval(self) -> int:
        """Return the interval between samples of the weights, in slices."""
        return math.ceil(self._parameters.t_sim_ms / DELAY_MS / _MAX_WEIGHT_SAMPLES)

    def _sample_weights(self, n_slices: int) -> None:
        if self._record_traces:
            self._weight_times_ms.append(n_slices * DELAY_MS)
            self._weights_pa.append(self._weights())

    def _weights(self) -> np.ndarray:
        """Return the present weights (n_rules, n_inputs), in pA."""
        keys = ("source", "target", "weight")
        status = self._synapses.get(list(keys))
        # NEST gives a single number where there is a single synapse.
        source, target, weight = (np.atleast_1d(status[key]) for key in keys)
        return weight[np.lexsort((source, target))].reshape(len(self._students), -1)

    def _results(self) -> list[TrialResult]:
        p = self._parameters
        teacher_mv, students_mv = self._potentials()
        weights_pa = self._weights()
        results = []
        for index, student_mv in enumerate(students_mv):
            value = fitness.negative_error(student_mv, teacher_mv, p.skipped_fraction)
            is_finite = math.isfinite(value) and bool(np.isfinite(weights_pa[index]).all())
            results.append(
                TrialResult(
                    value=value if is_finite else None,
                    reason=None if is_finite else Reason.NOT_FINITE,
                    detail="" if is_finite else "Weights grew beyond all bounds.",
                    traces=self._traces(index, student_mv, teacher_mv)
                    if self._record_traces
                    else None,
                )
            )
        return results

    def _potentials(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the recorded potentials of the teacher (n,) and the students (n_rules, n), in mV.

        Times are 1, 2, ... recording intervals of the teacher's time.
        """
        potentials = np.concatenate(self._potentials_mv, axis=1)
        late = round(DELAY_MS / RECORDING_INTERVAL_MS)
        return potentials[0, : potentials.shape[1] - late], potentials[1:, late:]

    def _traces(self, index: int, student_mv: np.ndarray, teacher_mv: np.ndarray) -> Traces:
        times_ms = np.arange(1, len(student_mv) + 1) * RECORDING_INTERVAL_MS
        window = round(_ERROR_WINDOW_MS / RECORDING_INTERVAL_MS)
        spikes = self._spike_recorder.events
        student = self._students[index].global_id
        stimulus = self._stimulus
        return Traces(
            {
                "times_ms": times_ms,
                "teacher_potential_mv": teacher_mv,
                "student_potential_mv": student_mv,
                "error_times_ms": times_ms[window - 1 :: window],
                "error_mv": fitness.windowed_error(student_mv, teacher_mv, window),
                "weight_times_ms": np.array(self._weight_times_ms),
                "weights_pa": np.array([weights[index] for weights in self._weights_pa]),
                "teacher_weights_pa": stimulus.teacher_weights_pa,
                "input_spike_times_ms": np.concatenate(stimulus.spike_steps)
                * self._parameters.dt_ms,
                "input_spike_ids": np.repeat(
                    np.arange(len(stimulus.spike_steps)),
                    [len(steps) for steps in stimulus.spike_steps],
                ),
                "teacher_spike_times_ms": spikes["times"][
                    spikes["senders"] == self._teacher.global_id
                ],
                "student_spike_times_ms": spikes["times"][spikes["senders"] == student] - DELAY_MS,
            }
        )
