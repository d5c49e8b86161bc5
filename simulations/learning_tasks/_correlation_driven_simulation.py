"""The network of the correlation-driven learning task in NEST, and the replay of its inputs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from simulations import fitness, kernel
from simulations.learning_tasks._correlation_driven_inputs import DT_MS
from simulations.learning_tasks.base import Reason, Traces, TrialResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nest_build.rules import PlasticityRule
    from simulations.learning_tasks._correlation_driven_inputs import Inputs
    from simulations.learning_tasks.correlation_driven import CorrelationDrivenParameters

#: Delay of all connections, in ms, which is also the length of NEST's time slices.
DELAY_MS = 1.0
#: Refractory period and, while the weights are replayed, threshold of the neuron.
T_REF_MS = 2.0
REPLAY_V_TH_MV = 20_000.0

# Weights are sampled so often for traces, potentials at this interval.
_N_WEIGHT_SAMPLES = 50
_TRACE_INTERVAL_MS = 1.0

# Steps of a block in the replay. Python iterates over the steps of a block and over the blocks: the
# sum is least where there are as many of these as of those.
_BLOCK = 400


class Simulation:
    """One network: inputs, and for each rule a neuron with a synapse from every input."""

    def __init__(
        self,
        rules: Sequence[PlasticityRule],
        parameters: CorrelationDrivenParameters,
        inputs: Inputs,
        *,
        initial_weight: float,
        initial_potential_mv: float,
        record_traces: bool,
    ) -> None:
        self._parameters = parameters
        self._inputs = inputs
        self._replay = Replay(inputs, parameters)
        self._record_traces = record_traces
        self._weight_times_ms: list[float] = []
        self._weights: list[np.ndarray] = []
        self._nest = kernel.prepare(DT_MS, ["stdp_sympy_synapse_module"])
        self._build(rules, initial_weight, initial_potential_mv)

    def _build(
        self, rules: Sequence[PlasticityRule], initial_weight: float, initial_potential_mv: float
    ) -> None:
        nest, p = self._nest, self._parameters
        self._sources = nest.Create(
            "spike_train_source",
            p.n_inputs,
            [
                {"spike_times": steps * DT_MS, "frozen": True}
                for steps in emission_steps(self._inputs)
            ],
        )
        nest.Create("spike_train_conductor", 1, {"sources": self._sources})
        self._neurons = nest.Create(
            "iaf_psc_delta",
            len(rules),
            {
                "E_L": 0.0,
                "V_reset": 0.0,
                "V_th": p.v_th_mv,
                "V_m": initial_potential_mv,
                "tau_m": p.tau_m_ms,
                "tau_minus": p.tau_minus_ms,
                "t_ref": T_REF_MS,
            },
        )
        for index, rule in enumerate(rules):
            model = _model_name(index)
            depress, facilitate = rule.texts
            nest.CopyModel(
                "stdp_sympy_synapse",
                model,
                {
                    "expr_depress": depress,
                    "expr_facilitate": facilitate,
                    "arithmetic": p.arithmetic.value,
                    "lambda": p.learning_rate,
                    "tau_plus": p.tau_plus_ms,
                    "Wmax": p.w_max_mv,
                },
            )
            nest.Connect(
                self._sources,
                self._neurons[index],
                syn_spec={"synapse_model": model, "weight": initial_weight, "delay": DELAY_MS},
            )
        if self._record_traces:
            self._spike_recorder = nest.Create("spike_recorder")
            nest.Connect(self._neurons, self._spike_recorder)
            self._multimeter = nest.Create(
                "multimeter", 1, {"record_from": ["V_m"], "interval": _TRACE_INTERVAL_MS}
            )
            nest.Connect(self._multimeter, self._neurons)

    def run(self, replay_potential_mv: float) -> list[TrialResult]:
        """Simulate and replay, from ``replay_potential_mv``; return the result of each rule."""
        nest = self._nest
        n_slices = round(self._parameters.t_sim_ms / DELAY_MS)
        n_parts = min(_N_WEIGHT_SAMPLES, n_slices) if self._record_traces else 1
        nest.Prepare()
        self._synapses = [
            nest.GetConnections(self._sources, neuron, synapse_model=_model_name(index))
            for index, neuron in enumerate(self._neurons)
        ]
        # No simulation ends early: an infinite weight, which some published champions have for a
        # while, is put to a bound by the next spike of the other kind. Only the weights at the end
        # tell whether a rule is finite.
        # Spikes change weights when they are delivered, one slice after they were sent.
        nest.Run(DELAY_MS)
        done = 0
        for part in np.array_split(np.arange(n_slices), n_parts):
            self._sample_weights(done)
            kernel.run(len(part), DELAY_MS)
            done += len(part)
        nest.Cleanup()
        self._sample_weights(n_slices, is_end=True)
        return [
            self._result(index, weights, replay_potential_mv)
            for index, weights in enumerate(self._weights[-1])
        ]

    def _sample_weights(self, n_slices: int, is_end: bool = False) -> None:
        if not (is_end or self._record_traces):
            return
        weights = []
        # One rule at a time: NEST makes a large dictionary of every synapse.
        for synapses in self._synapses:
            status = synapses.get(["source", "weight"])
            weights.append(np.array(status["weight"])[np.argsort(status["source"])])
        self._weight_times_ms.append(n_slices * DELAY_MS)
        self._weights.append(np.array(weights))

    def _result(self, index: int, weights: np.ndarray, replay_potential_mv: float) -> TrialResult:
        p = self._parameters
        if not np.isfinite(weights).all():
            return TrialResult(None, Reason.NOT_FINITE, "Weights grew beyond all bounds.")
        potential_mv = self._replay.potential_mv(weights, replay_potential_mv)
        onsets_ms = np.arange(
            p.interval_ms, len(potential_mv) * DT_MS, p.interval_ms + p.pattern_ms
        )
        # The first sample is the potential at the end of the first step.
        onsets = np.round(onsets_ms / DT_MS).astype(np.int64) - 1
        is_evolution = p.replay_protocol == "evolution"
        value = fitness.signal_to_noise(
            potential_mv,
            onsets + 1 if is_evolution else onsets,
            round(p.pattern_ms / DT_MS),
            ddof=1 if is_evolution else 0,
        )
        traces = self._traces(index, potential_mv, onsets_ms) if self._record_traces else None
        return TrialResult(value, traces=traces)

    def _traces(self, index: int, replay_mv: np.ndarray, onsets_ms: np.ndarray) -> Traces:
        p = self._parameters
        neuron = self._neurons[index].global_id
        events, spikes = self._multimeter.events, self._spike_recorder.events
        is_neuron = events["senders"] == neuron
        steps = emission_steps(self._inputs)
        every = round(_TRACE_INTERVAL_MS / DT_MS)
        return Traces(
            {
                "times_ms": events["times"][is_neuron],
                "potential_mv": events["V_m"][is_neuron],
                "spike_times_ms": spikes["times"][
                    (spikes["senders"] == neuron) & (spikes["times"] <= p.t_sim_ms)
                ],
                "weight_times_ms": np.array(self._weight_times_ms),
                "weights_mv": np.array([weights[index] for weights in self._weights]),
                "is_pattern_input": self._inputs.is_in_pattern,
                "input_spike_times_ms": np.concatenate(steps) * DT_MS,
                "input_spike_ids": np.repeat(np.arange(p.n_inputs), [len(s) for s in steps]),
                "replay_times_ms": np.arange(every, len(replay_mv) + 1, every) * DT_MS,
                "replay_potential_mv": replay_mv[every - 1 :: every],
                "replay_pattern_onsets_ms": onsets_ms,
                "replay_pattern_ends_ms": onsets_ms + p.pattern_ms,
            }
        )


def _model_name(index: int) -> str:
    """Return the name of the synapse model that follows the rule ``index``."""
    return f"stdp_sympy_synapse_{index}"


def emission_steps(inputs: Inputs) -> list[np.ndarray]:
    """Return for each input the steps at whose end it spikes in the network.

    Spikes were drawn for generators, from which the inputs got them after one delay.
    """
    delay = round(DELAY_MS / DT_MS)
    return [steps + delay for steps in inputs.spike_steps]


class Replay:
    """The replay of the inputs, in which weights are frozen.

    The neuron has such a high threshold that its potential is a linear filter of the inputs: no
    simulation is needed, unless weights have become so large that it spikes nevertheless.
    """

    def __init__(self, inputs: Inputs, parameters: CorrelationDrivenParameters) -> None:
        # A voltmeter gets what is recorded one slice later: the last slice is missing.
        self._n_steps = round((parameters.replay_ms - DELAY_MS) / DT_MS)
        # What is sent with the time stamp k arrives in the step at whose end it is k + delay.
        delay = round(DELAY_MS / DT_MS)
        arrivals = [steps + delay - 1 for steps in emission_steps(inputs)]
        arrivals = [steps[: np.searchsorted(steps, self._n_steps)] for steps in arrivals]
        self._arrival_steps = np.concatenate(arrivals)
        self._senders = np.repeat(np.arange(len(arrivals)), [len(steps) for steps in arrivals])
        self._decay = math.exp(-DT_MS / parameters.tau_m_ms)

    def potential_mv(self, weights_mv: np.ndarray, initial_mv: float) -> np.ndarray:
        """Return the potential in mV after each step.

        Parameters
        ----------
        weights_mv : ndarray of shape (n_inputs,), in mV
        initial_mv : float
            Potential at the beginning, in mV.
        """
        jumps_mv = np.bincount(
            self._arrival_steps, weights=weights_mv[self._senders], minlength=self._n_steps
        )
        with np.errstate(over="ignore", invalid="ignore"):
            potential_mv = leaky_sum(jumps_mv, initial_mv, self._decay)
        if (potential_mv < REPLAY_V_TH_MV).all():
            return potential_mv
        return _potential_with_spikes(jumps_mv, initial_mv, self._decay)


def leaky_sum(jumps_mv: np.ndarray, initial_mv: float, decay: float) -> np.ndarray:
    """Return V of ``V <- V * decay + jump`` after each jump.

    Blocks of steps are integrated side by side, as if each began at rest; what the previous
    blocks leave behind is added.
    """
    n_steps = len(jumps_mv)
    n_blocks = -(-n_steps // _BLOCK)
    padded = np.zeros(n_blocks * _BLOCK)
    padded[:n_steps] = jumps_mv
    blocks = padded.reshape(n_blocks, _BLOCK).T.copy()
    for step in range(1, _BLOCK):
        blocks[step] += blocks[step - 1] * decay
    carried = np.empty(n_blocks)
    potential = initial_mv
    for block in range(n_blocks):
        carried[block] = potential
        potential = potential * decay**_BLOCK + blocks[-1, block]
    blocks += decay ** np.arange(1, _BLOCK + 1)[:, np.newaxis] * carried
    return blocks.T.reshape(-1)[:n_steps]


def _potential_with_spikes(jumps_mv: np.ndarray, initial_mv: float, decay: float) -> np.ndarray:
    """Return the potential of a neuron that is reset at the threshold, step by step."""
    potential_mv = np.empty(len(jumps_mv))
    n_refractory = round(T_REF_MS / DT_MS)
    potential, refractory = initial_mv, 0
    for step, jump in enumerate(jumps_mv.tolist()):
        if refractory:
            refractory -= 1
        else:
            potential = potential * decay + jump
        if potential >= REPLAY_V_TH_MV:
            potential, refractory = 0.0, n_refractory
        potential_mv[step] = potential
    return potential_mv
