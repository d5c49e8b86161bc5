"""The network of the reward-driven learning task in NEST, and what is random in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from simulations import kernel
from simulations.learning_tasks.base import Reason, Traces, TrialResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nest_build.rules import PlasticityRule
    from simulations.learning_tasks.reward_driven import RewardDrivenParameters

#: Delay from an input to the output neuron in ms; patterns reach the input as much later.
DELAY_MS = 1.0

# NEST's time slices are at most so long. The weights do not change within a training trial, so
# spikes can be sent as early as slices are long; long slices cost less.
_MAX_SLICE_MS = 25
# A simulation is run in this many parts; it ends early when no rule is finite any more.
_N_PARTS = 10
# Weights are sampled at most so often for traces.
_MAX_WEIGHT_SAMPLES = 250
# Training trials at the beginning and at the end whose potentials are in the traces.
_N_POTENTIAL_TRIALS = 5
_POTENTIAL_INTERVAL_MS = 1.0

# Streams of random numbers that the original drew inside of its simulator.
_CONNECTION_STREAM = 1


@dataclass(frozen=True)
class Stimulus:
    """What is random in a trial, apart from spikes of the output.

    Attributes
    ----------
    pattern_ids : ndarray of shape (n_spikes,), int
        For each spike of the patterns, in the order of patterns and inputs, the pattern.
    input_ids : ndarray of the same shape, int
        Its input.
    steps : ndarray of the same shape, int
        Its time within the pattern, in steps.
    target_classes : ndarray of shape (n_patterns,)
        The right answer to each pattern, +1 or -1.
    connected : ndarray of shape (n_connections,), int
        Inputs that are connected with the output.
    initial_weights_pa : ndarray of shape (n_connections,)
    presented : ndarray of shape (n_training_trials,), int
        The pattern of each training trial.
    """

    pattern_ids: np.ndarray
    input_ids: np.ndarray
    steps: np.ndarray
    target_classes: np.ndarray
    connected: np.ndarray
    initial_weights_pa: np.ndarray
    presented: np.ndarray

    @classmethod
    def draw(
        cls,
        parameters: RewardDrivenParameters,
        seed: int,
        connected: np.ndarray | None = None,
    ) -> Self:
        """Draw patterns, connections and the order of presentation.

        Parameters
        ----------
        connected : ndarray of int, optional
            The inputs that are connected, instead of drawing them. The original drew them by its
            simulator's generator; how many there are shifts all random numbers that follow.
        """
        p = parameters
        seed %= 2**32
        rng = np.random.RandomState(seed)
        duration_ms = p.pattern_duration_ms
        spikes: list[np.ndarray] = []
        counts = np.empty((p.n_patterns, p.n_inputs), dtype=np.int64)
        classes = np.empty(p.n_patterns)
        for pattern in range(p.n_patterns):
            counts[pattern] = rng.poisson(duration_ms * 1e-3 * p.input_rate_hz, p.n_inputs)
            spikes += [
                np.sort(rng.uniform(p.dt_ms, duration_ms, count)) for count in counts[pattern]
            ]
            classes[pattern] = rng.choice([-1.0, 1.0])
        times_ms = np.concatenate(spikes)
        if connected is None:
            draws = np.random.RandomState([seed, _CONNECTION_STREAM]).uniform(size=p.n_inputs)
            connected = np.flatnonzero(draws < p.connection_probability)
        weights = rng.normal(0.0, p.initial_weight_sd_pa, len(connected))
        presented = rng.randint(0, p.n_patterns, p.n_training_trials)
        return cls(
            pattern_ids=np.repeat(np.arange(p.n_patterns), counts.sum(axis=1)),
            input_ids=np.repeat(np.tile(np.arange(p.n_inputs), p.n_patterns), counts.ravel()),
            steps=np.round((times_ms - times_ms % p.dt_ms) / p.dt_ms).astype(np.int64),
            target_classes=classes,
            connected=connected,
            initial_weights_pa=weights,
            presented=presented,
        )


def slice_ms(duration_ms: float) -> int:
    """Return the longest slice in ms that divides the duration of a pattern."""
    duration = round(duration_ms)
    return max(length for length in range(1, _MAX_SLICE_MS + 1) if duration % length == 0)


def _failure(kind: str, failed_trial: int) -> str:
    if kind == "rule":
        return f"The rule was not finite in training trial {failed_trial + 1}."
    return f"Weights grew beyond all bounds in training trial {failed_trial + 1}."


class Simulation:
    """One network: inputs, and an output neuron for each rule, through all training trials.

    Nothing is built anew between training trials: the neurons themselves start each at rest, judge
    their answer and let their synapses learn. The first training trial begins after the time of
    one, so that spikes can be sent before it and trials end at multiples of their duration.
    """

    def __init__(
        self,
        rules: Sequence[PlasticityRule],
        parameters: RewardDrivenParameters,
        stimulus: Stimulus,
        trial_seed: int,
        record_traces: bool,
    ) -> None:
        self._parameters = parameters
        self._stimulus = stimulus
        self._record_traces = record_traces
        self._weight_trials: list[int] = []
        self._weights_pa: list[np.ndarray] = []
        self._eligibilities: list[np.ndarray] = []
        self._slice_ms = slice_ms(parameters.pattern_duration_ms)
        self._nest = kernel.prepare(parameters.dt_ms, ["usrl_synapse_module"])
        self._build(rules, trial_seed)

    def _build(self, rules: Sequence[PlasticityRule], trial_seed: int) -> None:
        nest, p = self._nest, self._parameters
        duration_ms = p.pattern_duration_ms
        self._inputs = nest.Create(
            "spike_train_injector",
            p.n_inputs,
            [{"spike_times": times_ms} for times_ms in self._sending_times_ms()],
        )
        self._outputs = nest.Create(
            "usrl_trial_neuron",
            len(rules),
            {
                "rho": p.rho_hz,
                "delta": p.delta_mv,
                "t_ref": p.refractory_time_ms,
                "tau_E": p.eligibility_time_constant_ms,
                "rho_E": p.eligibility_rho_hz,
                "delta_E": p.eligibility_delta_mv,
                # All outputs have the same role: a rule does not know which others there are.
                "noise_seed": trial_seed % 2**32,
                "frozen_noise": p.noise == "frozen",
                "trial_duration": duration_ms,
                "first_trial": duration_ms,
                "target_class": self._stimulus.target_classes[self._stimulus.presented],
            },
        )
        clock = nest.Create(
            "volume_transmitter", 1, {"deliver_interval": round(duration_ms) // self._slice_ms}
        )
        for index, rule in enumerate(rules):
            model = f"usrl_trial_synapse_{index}"
            nest.CopyModel(
                "usrl_trial_synapse",
                model,
                {"expr": rule.texts[0], "eta": p.learning_rate, "volume_transmitter": clock},
            )
            if len(self._stimulus.connected):
                nest.Connect(
                    self._inputs[self._stimulus.connected],
                    self._outputs[index],
                    syn_spec={
                        "synapse_model": model,
                        "weight": self._stimulus.initial_weights_pa[np.newaxis, :],
                        "delay": self._slice_ms,
                    },
                )
        if self._record_traces:
            self._spike_recorder = nest.Create("spike_recorder")
            self._multimeters = [
                nest.Create(
                    "multimeter",
                    1,
                    {
                        "record_from": ["V_m"],
                        "interval": _POTENTIAL_INTERVAL_MS,
                        "start": (first + 1) * duration_ms,
                        "stop": (end + 1) * duration_ms,
                    },
                )
                for first, end in self._potential_windows()
            ]
            recording = {"delay": self._slice_ms}
            nest.Connect(self._outputs, self._spike_recorder, syn_spec=recording)
            for multimeter in self._multimeters:
                nest.Connect(multimeter, self._outputs, syn_spec=recording)

    def _potential_windows(self) -> list[tuple[int, int]]:
        """Return the first training trial, and the first one that is too late, of recordings."""
        n_trials = self._parameters.n_training_trials
        if n_trials <= 2 * _N_POTENTIAL_TRIALS:
            return [(0, n_trials)]
        return [(0, _N_POTENTIAL_TRIALS), (n_trials - _N_POTENTIAL_TRIALS, n_trials)]

    @cached_property
    def _spike_steps(self) -> tuple[np.ndarray, np.ndarray]:
        """Input and step of arrival of each spike of all training trials."""
        p, stimulus = self._parameters, self._stimulus
        n_steps = round(p.pattern_duration_ms / p.dt_ms)
        # A spike at time t is sent in the step that ends there, by the pattern to the input and by
        # the input to the output; what arrives after the end of a training trial does not count.
        arrivals = stimulus.steps + 2 * round(DELAY_MS / p.dt_ms) - 1
        counts = np.bincount(stimulus.pattern_ids, minlength=p.n_patterns)
        ends = np.cumsum(counts)
        chosen = np.concatenate(
            [np.arange(ends[k] - counts[k], ends[k]) for k in stimulus.presented]
        )
        trials = np.repeat(np.arange(p.n_training_trials), counts[stimulus.presented])
        kept = arrivals[chosen] < n_steps
        chosen, trials = chosen[kept], trials[kept]
        return stimulus.input_ids[chosen], (trials + 1) * n_steps + arrivals[chosen]

    def _sending_times_ms(self) -> list[np.ndarray]:
        """Return for each input the times at which it sends its spikes, one slice early."""
        p = self._parameters
        inputs, arrivals = self._spike_steps
        sent = arrivals + 1 - round(self._slice_ms / p.dt_ms)
        order = np.lexsort((sent, inputs))
        ends = np.cumsum(np.bincount(inputs, minlength=p.n_inputs))
        return np.split(sent[order] * p.dt_ms, ends[:-1])

    def run(self) -> list[TrialResult]:
        """Simulate; return the result of each rule, in order."""
        nest, p = self._nest, self._parameters
        n_parts = _N_PARTS
        if self._record_traces:
            interval = -(-p.n_training_trials // _MAX_WEIGHT_SAMPLES)
            n_parts = -(-p.n_training_trials // interval)
        nest.Prepare()
        nest.Run(p.pattern_duration_ms)
        self._sample_weights(0)
        trials = np.arange(p.n_training_trials)
        for part in np.array_split(trials, min(n_parts, p.n_training_trials)):
            kernel.run(len(part), p.pattern_duration_ms)
            self._sample_weights(part[-1] + 1)
            if (np.atleast_1d(self._outputs.get("failed_trial")) >= 0).all():
                break
        if self._record_traces:
            # Multimeters get what is recorded one slice later.
            nest.Run(self._slice_ms)
        nest.Cleanup()
        return [self._result(index) for index in range(len(self._outputs))]

    def _sample_weights(self, n_trials: int) -> None:
        if self._record_traces:
            self._weight_trials.append(n_trials)
            weights_pa, eligibilities = self._states()
            self._weights_pa.append(weights_pa)
            self._eligibilities.append(eligibilities)

    def _states(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the present weights (n_rules, n_connections), in pA, and the eligibility traces
        (of the same shape) at the end of the last training trial."""
        n_rules = len(self._outputs)
        if not len(self._stimulus.connected):
            return np.empty((n_rules, 0)), np.empty((n_rules, 0))
        synapses = self._nest.GetConnections(self._inputs, self._outputs)
        status = synapses.get(["source", "target", "weight", "E"])
        source, target, *states = (np.atleast_1d(values) for values in status.values())
        order = np.lexsort((source, target))
        weights_pa, eligibilities = (state[order].reshape(n_rules, -1) for state in states)
        return weights_pa, eligibilities

    def _result(self, index: int) -> TrialResult:
        status = self._outputs[index].get(["reward", "failed_trial", "failure"])
        rewards = np.array(status["reward"])
        n_simulated = len(rewards)
        is_valid = not status["failure"]
        if status["failure"] == "overflow" and self._parameters.divergence == "silent":
            is_valid = True
            classes = self._stimulus.target_classes[self._stimulus.presented]
            rewards = np.concatenate([rewards, -classes[len(rewards) :]])
        return TrialResult(
            value=float(rewards.sum()) if is_valid else None,
            reason=None if is_valid else Reason.NOT_FINITE,
            detail="" if is_valid else _failure(status["failure"], status["failed_trial"]),
            traces=self._traces(index, rewards, n_simulated) if self._record_traces else None,
        )

    def _traces(self, index: int, rewards: np.ndarray, n_simulated: int) -> Traces:
        p, stimulus = self._parameters, self._stimulus
        spike_trials, spike_times_ms = self._by_trial(self._spike_recorder.events, index)
        samples = [
            (*self._by_trial(events, index), self._events_of(events, index)["V_m"])
            for events in (multimeter.events for multimeter in self._multimeters)
        ]
        sampled_trials, sampled_times_ms, potentials_mv = map(
            np.concatenate, zip(*samples, strict=True)
        )
        shown = sampled_trials < n_simulated
        # What follows the failure of a rule depends on how long others were simulated.
        weight_trials = np.array(self._weight_trials)
        is_learning = weight_trials <= n_simulated
        return Traces(
            {
                "rewards": rewards,
                "presented_patterns": stimulus.presented,
                "target_classes": stimulus.target_classes,
                "weight_trials": weight_trials[is_learning],
                "weights_pa": np.array([weights[index] for weights in self._weights_pa])[
                    is_learning
                ],
                "eligibility": np.array([traces[index] for traces in self._eligibilities])[
                    is_learning
                ],
                "connected_inputs": stimulus.connected,
                "pattern_ids": stimulus.pattern_ids,
                "pattern_input_ids": stimulus.input_ids,
                "pattern_spike_times_ms": stimulus.steps * p.dt_ms,
                "output_spike_trials": spike_trials,
                "output_spike_times_ms": spike_times_ms,
                "potential_trials": sampled_trials[shown],
                "potential_times_ms": sampled_times_ms[shown],
                "potential_mv": potentials_mv[shown],
            }
        )

    def _events_of(self, events: dict[str, Any], index: int) -> dict[str, np.ndarray]:
        chosen = events["senders"] == self._outputs[index].global_id
        return {name: np.asarray(values)[chosen] for name, values in events.items()}

    def _by_trial(self, events: dict[str, Any], index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return training trial and time in it (in ms) of the events of an output."""
        p = self._parameters
        n_steps = round(p.pattern_duration_ms / p.dt_ms)
        steps = np.round(self._events_of(events, index)["times"] / p.dt_ms).astype(np.int64)
        # What happens in step k has the time of its end.
        trials = (steps - 1) // n_steps - 1
        return trials, (steps - (trials + 1) * n_steps) * p.dt_ms
