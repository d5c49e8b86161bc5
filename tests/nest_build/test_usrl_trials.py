"""Learning in trials: against the synapse that integrates every step, and as NEST users meet it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nest_build.rules import parse
from simulations import kernel

pytestmark = pytest.mark.nest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how_to" / "learn_from_reward_in_pynest.md"
MODULE = "usrl_synapse_module"
SYNAPSE = "usrl_trial_synapse"
NEURON = "usrl_trial_neuron"
TRIAL_MS = 60.0
N_INPUTS = 12


def prepare(dt_ms=0.1, n_threads=1):
    nest = kernel.prepare(dt_ms)
    nest.local_num_threads = n_threads
    return kernel.install(nest, [MODULE])


class Experiment:
    """Random patterns, target classes, weights and an order of presentation."""

    def __init__(self, dt_ms=0.1, n_trials=12, seed=8, weight_sd=3000.0):
        rng = np.random.default_rng(seed)
        self.dt_ms, self.n_trials = dt_ms, n_trials
        n_steps = round(TRIAL_MS / dt_ms)
        # Spike times in steps, none too late to arrive within the trial. Some inputs spike twice
        # in a step, and two inputs at once.
        last = n_steps - round(2.0 / dt_ms)
        self.patterns = [
            [np.sort(rng.integers(1, last, rng.integers(0, 5))) for _ in range(N_INPUTS)]
            for _ in range(4)
        ]
        self.patterns[0][0] = np.array([50, 50, 120])
        self.patterns[0][1] = np.array([50, 121])
        self.presented = rng.integers(0, 4, n_trials)
        self.classes = rng.choice([-1.0, 1.0], 4)
        self.weights = rng.normal(0.0, weight_sd, N_INPUTS)

    def target_class(self):
        return self.classes[self.presented]


def learn_step_by_step(experiment, expr, eta, neuron, frozen):
    """Every trial in a network of its own; the trace is integrated in every step.

    Returns weights and traces after each trial, rewards, and potentials in each step.
    """
    rule = parse(expr, ("R", "E"))
    weights = experiment.weights.copy()
    history, traces, rewards, potentials, spikes = [], [], [], [], []
    for trial, pattern in enumerate(experiment.presented):
        nest = prepare(experiment.dt_ms)
        inputs = nest.Create("spike_train_injector", N_INPUTS)
        for node, steps in zip(inputs, experiment.patterns[pattern], strict=True):
            node.spike_times = steps * experiment.dt_ms
        output = nest.Create(
            "iaf_psc_exp_escape", 1, {**neuron, "noise_trial": 0 if frozen else trial}
        )
        nest.SetDefaults("usrl_synapse", {"volume_transmitter": nest.Create("volume_transmitter")})
        nest.Connect(
            inputs,
            output,
            syn_spec={"synapse_model": "usrl_synapse", "weight": weights[np.newaxis, :]},
        )
        meter = nest.Create("multimeter", 1, {"record_from": ["V_m"], "interval": experiment.dt_ms})
        recorder = nest.Create("spike_recorder")
        nest.Connect(meter, output)
        nest.Connect(output, recorder)
        nest.Simulate(TRIAL_MS)
        E = np.array(nest.GetConnections(inputs, output).E)
        nest.Simulate(1.0)
        times = recorder.events["times"]
        spikes.append(times[times <= TRIAL_MS])
        answer = 1.0 if len(spikes[-1]) else -1.0
        rewards.append(1.0 if answer == experiment.classes[pattern] else -1.0)
        weights = weights + eta * rule.evaluate(np.full(N_INPUTS, rewards[-1]), E)
        history.append(weights)
        traces.append(E)
        potentials.append(meter.events["V_m"][: round(TRIAL_MS / experiment.dt_ms)])
    return np.array(history), np.array(traces), rewards, np.array(potentials), spikes


def learn_in_trials(
    experiment, expr, eta, neuron, frozen, *, slice_ms=10.0, n_threads=1, n_outputs=1
):
    """The same in one simulation, with slices of any length."""
    dt_ms = experiment.dt_ms
    nest = prepare(dt_ms, n_threads)
    inputs = nest.Create("spike_train_injector", N_INPUTS)
    delay = round(slice_ms / dt_ms)
    n_steps = round(TRIAL_MS / dt_ms)
    for index, node in enumerate(inputs):
        # As through a delay of 1 ms.
        arrivals = [
            (trial + 1) * n_steps + experiment.patterns[pattern][index] + round(1.0 / dt_ms)
            for trial, pattern in enumerate(experiment.presented)
        ]
        node.spike_times = (np.concatenate(arrivals) - delay) * dt_ms
    outputs = nest.Create(
        NEURON,
        n_outputs,
        {
            **neuron,
            "frozen_noise": frozen,
            "trial_duration": TRIAL_MS,
            "first_trial": TRIAL_MS,
            "target_class": experiment.target_class(),
        },
    )
    clock = nest.Create("volume_transmitter", 1, {"deliver_interval": round(TRIAL_MS / slice_ms)})
    nest.SetDefaults(SYNAPSE, {"expr": expr, "eta": eta, "volume_transmitter": clock})
    for output in outputs:
        nest.Connect(
            inputs,
            output,
            syn_spec={
                "synapse_model": SYNAPSE,
                "weight": experiment.weights[np.newaxis, :],
                "delay": slice_ms,
            },
        )
    meter = nest.Create("multimeter", 1, {"record_from": ["V_m"], "interval": dt_ms})
    recorder = nest.Create("spike_recorder")
    nest.Connect(meter, outputs[0], syn_spec={"delay": slice_ms})
    nest.Connect(outputs[0], recorder, syn_spec={"delay": slice_ms})
    synapses = nest.GetConnections(inputs, outputs)
    history, traces = [], []
    nest.Prepare()
    nest.Run(TRIAL_MS)
    for _ in range(experiment.n_trials):
        nest.Run(TRIAL_MS)
        history.append(synapses.get("weight"))
        traces.append(synapses.get("E"))
    nest.Run(slice_ms)
    nest.Cleanup()
    events = meter.events
    order = np.argsort(events["times"], kind="stable")
    potentials = events["V_m"][order][n_steps : (experiment.n_trials + 1) * n_steps]
    times = np.sort(recorder.events["times"])
    spikes = [
        times[(times > (trial + 1) * TRIAL_MS) & (times <= (trial + 2) * TRIAL_MS)]
        - (trial + 1) * TRIAL_MS
        for trial in range(experiment.n_trials)
    ]
    return (
        np.array(history),
        np.array(traces),
        outputs.get("reward"),
        potentials.reshape(experiment.n_trials, n_steps),
        spikes,
    )


NOISY = {"rho": 0.01, "delta": 0.2, "noise_seed": 5}


@pytest.mark.parametrize(
    ("dt_ms", "expr", "neuron", "frozen", "slice_ms"),
    [
        (0.1, "E*(R - 1)", NOISY, True, 10.0),
        (0.1, "E*(R - 1)", NOISY, False, 1.0),
        (0.1, "R*E - 0.5*R", {**NOISY, "rho": 20.0, "delta": 2.0}, False, 60.0),
        (0.1, "E*(R - 1) + R", {"delta": 0.0}, True, 5.0),
        (0.01, "E*(R - 1)", NOISY, True, 20.0),
    ],
)
def test_equals_the_synapse_that_integrates_every_step(dt_ms, expr, neuron, frozen, slice_ms):
    """Spikes and rewards exactly; weights and traces to a relative 1e-11, potentials to 1e-11 mV.

    Both compute the same in another order, so each trial adds roundings of 1e-13, which the
    exponential of the potential amplifies from trial to trial.
    """
    experiment = Experiment(dt_ms)
    # Traces are proportional to the step.
    eta = 1.0 * 0.1 / dt_ms
    slow = learn_step_by_step(experiment, expr, eta, neuron, frozen)
    fast = learn_in_trials(experiment, expr, eta, neuron, frozen, slice_ms=slice_ms)
    assert list(fast[2]) == slow[2]
    assert {-1.0, 1.0} == set(slow[2])
    for ours, theirs in zip(fast[4], slow[4], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
    assert sum(map(len, slow[4])) > 15
    assert np.abs(slow[0] - experiment.weights).max() > 100.0
    for ours, theirs in ((fast[0], slow[0]), (fast[1], slow[1])):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11 * np.abs(theirs).max())
    np.testing.assert_allclose(fast[3], slow[3], rtol=0, atol=1e-11)


def test_slices_and_threads_and_other_outputs_change_nothing():
    experiment = Experiment()
    reference = learn_in_trials(experiment, "E*(R - 1)", 1.0, NOISY, True)
    for changes in ({"n_threads": 2}, {"n_outputs": 3}):
        other = learn_in_trials(experiment, "E*(R - 1)", 1.0, NOISY, True, **changes)
        n_outputs = changes.get("n_outputs", 1)
        weights = other[0].reshape(experiment.n_trials, N_INPUTS, n_outputs)
        for output in range(n_outputs):
            np.testing.assert_array_equal(weights[:, :, output], reference[0])
    # Slices cut sums of floating-point numbers in other places.
    other = learn_in_trials(experiment, "E*(R - 1)", 1.0, NOISY, True, slice_ms=1.0)
    np.testing.assert_allclose(other[0], reference[0], rtol=1e-10)


def test_fresh_noise_differs_between_trials_and_frozen_noise_does_not():
    experiment = Experiment()
    experiment.presented[:] = 0
    neuron = {**NOISY, "rho": 20.0, "delta": 2.0}
    _, _, _, _, frozen = learn_in_trials(experiment, "0.0", 1.0, neuron, True)
    _, _, _, _, fresh = learn_in_trials(experiment, "0.0", 1.0, neuron, False)
    assert all(len(spikes) for spikes in frozen)
    for spikes in frozen:
        np.testing.assert_allclose(spikes, frozen[0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(fresh[0], frozen[0], rtol=0, atol=1e-9)
    assert len({tuple(np.round(spikes, 3)) for spikes in fresh}) > 6


def minimal_network(nest, neuron=None, clock=None, **defaults):
    source = nest.Create("spike_train_injector", 1, {"spike_times": [3.0, 13.0, 23.0]})
    output = nest.Create(
        NEURON, 1, {"trial_duration": 10.0, "target_class": [1.0, -1.0], **(neuron or {})}
    )
    transmitter = nest.Create("volume_transmitter", 1, clock or {})
    nest.SetDefaults(SYNAPSE, {"volume_transmitter": transmitter, **defaults})
    nest.Connect(source, output, syn_spec={"synapse_model": SYNAPSE, "weight": 10.0, "delay": 1.0})
    return source, output


def test_nothing_happens_outside_of_trials():
    nest = prepare()
    source, output = minimal_network(nest, {"first_trial": 10.0}, expr="R")
    nest.Simulate(10.0)
    assert list(output.reward) == []
    nest.Simulate(20.0)
    # It never spikes: wrong first, then right.
    assert list(output.reward) == [-1.0, 1.0]
    weight = nest.GetConnections(source, output).weight
    assert weight == 10.0
    nest.Simulate(50.0)
    assert list(output.reward) == [-1.0, 1.0]
    assert nest.GetConnections(source, output).weight == weight
    assert output.failed_trial == -1
    assert output.failure == ""


@pytest.mark.parametrize(
    ("expr", "failure"),
    [("R/(R - R)", "rule"), ("1e308*R*10", "rule"), ("1e300*E**2", "overflow")],
)
def test_a_weight_that_is_not_finite_stops_the_neuron(expr, failure):
    nest = prepare()
    source, output = minimal_network(nest, expr=expr, eta=1e308 if failure == "overflow" else 1.0)
    nest.Simulate(30.0)
    assert output.failed_trial == 0
    assert output.failure == failure
    assert list(output.reward) == [-1.0]
    assert not np.isfinite(nest.GetConnections(source, output).weight)


def test_an_overflow_of_expected_spikes_makes_all_traces_nan():
    nest = prepare()
    source, output = minimal_network(nest, expr="R*E")
    nest.GetConnections(source, output).weight = 1e7
    nest.Simulate(10.0)
    assert np.isnan(nest.GetConnections(source, output).E)
    assert output.failure == "overflow"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"target_class": [1.0, 0.0]}, "target_class"),
        ({"trial_duration": 0.0}, "trial_duration"),
        ({"trial_duration": 10.05}, "trial_duration"),
        ({"first_trial": -1.0}, "first_trial"),
        ({"tau_E": 0.0}, "tau_E"),
        ({"delta_E": 0.0}, "delta_E"),
        ({"rho_E": -1.0}, "rho_E"),
        ({"V_reset": -50.0}, "V_reset"),
        ({"t_ref": float("nan")}, "t_ref"),
        ({"C_m": 0.0}, "C_m"),
        ({"noise_seed": -1}, "noise_seed"),
        ({"E_L": float("inf")}, "E_L"),
    ],
)
def test_impossible_parameters_raise_and_change_nothing(parameters, message):
    nest = prepare()
    neuron = nest.Create(NEURON)
    before = neuron.get(list(parameters))
    with pytest.raises(nest.NESTError, match=message):
        neuron.set(parameters)
    np.testing.assert_equal(neuron.get(list(parameters)), before)


def test_rules_that_cannot_be_compiled_raise():
    nest = prepare()
    nest.SetDefaults(SYNAPSE, {"expr": "x_1*(x_0 - 1)"})
    with pytest.raises(nest.NESTError, match="u"):
        nest.SetDefaults(SYNAPSE, {"expr": "E*(R - u)"})
    assert nest.GetDefaults(SYNAPSE)["expr"] == "x_1*(x_0 - 1)"


def test_other_neurons_are_refused():
    nest = prepare()
    source = nest.Create("parrot_neuron")
    neuron = nest.Create("iaf_psc_exp_escape")
    nest.SetDefaults(SYNAPSE, {"volume_transmitter": nest.Create("volume_transmitter")})
    with pytest.raises(nest.NESTError, match="must be a usrl_trial_neuron"):
        nest.Connect(source, neuron, syn_spec={"synapse_model": SYNAPSE})


def test_a_clock_that_misses_the_end_of_a_trial_raises():
    nest = prepare()
    minimal_network(nest, clock={"deliver_interval": 3})
    with pytest.raises(nest.NESTError, match="missed the end of a trial"):
        nest.Simulate(30.0)


def test_trials_have_to_consist_of_slices():
    nest = prepare()
    minimal_network(nest, {"trial_duration": 10.5})
    with pytest.raises(nest.NESTError, match="minimal delay"):
        nest.Simulate(30.0)


def test_the_documented_script_learns():
    (script,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    result = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYNEST_QUIET": "1"},
    )
    assert result.returncode == 0, result.stderr
    first, last = result.stdout.splitlines()[-1].split(":")[1].split()
    assert float(last) > 15.0
    assert float(first) < float(last)
