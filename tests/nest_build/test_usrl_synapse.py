"""The synapse with an eligibility trace: golden traces, and how NEST users meet it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from simulations import kernel

pytestmark = pytest.mark.nest

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden"
MODULE = "usrl_synapse_module"
MODEL = "usrl_synapse"
META = json.loads((GOLDEN / "usrl_meta.json").read_text()) if GOLDEN.exists() else {}
# Where slices were interrupted, the recorded implementation lost steps. NEST does not any more.
CASES = [name for name in META if "splitslice" not in name]


def prepare(dt_ms=0.1, n_threads=1, modules=(MODULE,)):
    nest = kernel.prepare(dt_ms)
    nest.local_num_threads = n_threads
    return kernel.install(nest, modules)


# ------------------------------------------------------------------ golden traces


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "usrl.npz") as data:
        return {name: data[name] for name in data.files}


def build(nest, meta, trace):
    """Inputs, neuron and synapses of a golden case; returns neuron and the synapses by input."""
    inputs = nest.Create("spike_train_injector", meta["N"])
    for index, node in enumerate(inputs):
        node.spike_times = np.sort(trace["parrot_times"][trace["parrot_ids"] == index])
    parameters = {key: meta["neuron"][key] for key in ("C_m", "tau_m", "t_ref", "E_L", "V_th")}
    neuron = nest.Create(
        "iaf_psc_exp_escape",
        1,
        {
            **parameters,
            "tau_syn": meta["neuron"]["tau_syn_ex"],
            "V_reset": meta["neuron"]["V_reset"],
            "reset_after_spike": meta["reset"],
            "delta": 0.0,
        },
    )
    nest.SetDefaults(MODEL, {"volume_transmitter": nest.Create("volume_transmitter")})
    for index, node in enumerate(inputs):
        nest.Connect(
            node,
            neuron,
            syn_spec={
                "synapse_model": MODEL,
                "weight": trace["weights"][index],
                "delay": trace["delays"][index],
            },
        )
    return neuron, [nest.GetConnections(node, neuron) for node in inputs]


def run_until(nest, neuron, now_step, end_step, imposed_steps, dt_ms):
    """Simulate; the neuron spikes in the imposed steps (its threshold is passed by hand)."""
    for step in imposed_steps:
        if now_step <= step < end_step:
            if step > now_step:
                nest.Run((step - now_step) * dt_ms)
            neuron.V_th = -69.999
            nest.Run(dt_ms)
            neuron.V_th = 1e9
            now_step = step + 1
    if now_step < end_step:
        nest.Run((end_step - now_step) * dt_ms)


@pytest.mark.parametrize("case", CASES)
def test_golden_traces_are_met(case, golden):
    """E to a relative 1e-12 of its largest value, PSP to 1e-13 mV, V_m to 1e-12 mV.

    The arithmetic is that of the recorded implementation except for rounding: a slice is integrated
    at once by powers of the propagators, and each step of a trace rounds.
    """
    meta = META[case]
    trace = {key.split("/")[1]: golden[key] for key in golden if key.startswith(f"{case}/")}
    dt_ms = meta["dt"]
    nest = prepare(dt_ms)
    nest.SetKernelStatus({"min_delay": meta["min_delay"], "max_delay": meta["max_delay"]})
    neuron, synapses = build(nest, meta, trace)
    meter = nest.Create("multimeter", 1, {"record_from": ["V_m"], "interval": dt_ms})
    recorder = nest.Create("spike_recorder")
    nest.Connect(meter, neuron)
    nest.Connect(neuron, recorder)
    spike_steps = np.round(trace["out_spikes"] / dt_ms).astype(int) - 1
    # The random numbers were those of another NEST: there, spikes are imposed.
    is_imposed = "noise" in case
    if is_imposed:
        neuron.V_th = 1e9

    states = []
    now_step = 0
    nest.Prepare()
    for time_ms in trace["sample_t"]:
        end_step = round(time_ms / dt_ms)
        run_until(nest, neuron, now_step, end_step, spike_steps if is_imposed else (), dt_ms)
        now_step = end_step
        states.append([[s.get(key) for s in synapses] for key in ("E", "PSP")])
    nest.Cleanup()
    E, PSP = np.moveaxis(np.array(states), 1, 0)

    np.testing.assert_array_equal(np.sort(recorder.events["times"]), trace["out_spikes"])
    assert np.abs(trace["E"]).max() > 0
    np.testing.assert_allclose(E, trace["E"], rtol=0, atol=1e-12 * np.abs(trace["E"]).max())
    np.testing.assert_allclose(PSP, trace["PSP"], rtol=0, atol=1e-13)
    recorded = dict(zip(np.round(meter.events["times"], 6), meter.events["V_m"], strict=True))
    times = [time for time in np.round(trace["V_t"], 6) if time in recorded]
    assert len(times) > 0.98 * len(trace["V_t"])
    expected = dict(zip(np.round(trace["V_t"], 6), trace["V_m"], strict=True))
    np.testing.assert_allclose(
        [recorded[time] for time in times], [expected[time] for time in times], rtol=0, atol=1e-12
    )


# ------------------------------------------------------------------ users


def small_network(nest, n_neurons=1, **copies):
    """Eight inputs onto noisy neurons, each synapse model in ``copies`` with its parameters."""
    rng = np.random.default_rng(5)
    inputs = nest.Create("spike_train_injector", 8)
    for node in inputs:
        node.spike_times = np.unique(rng.integers(1, 2000, 40)) * 0.1
    neurons = nest.Create("iaf_psc_exp_escape", n_neurons, {"rho": 50.0, "noise_seed": 3})
    neurons.noise_role = list(range(n_neurons))
    clock = nest.Create("volume_transmitter")
    for model, parameters in copies.items():
        if model != MODEL:
            nest.CopyModel(MODEL, model)
        nest.SetDefaults(model, {"volume_transmitter": clock, **parameters})
        nest.Connect(inputs, neurons, syn_spec={"synapse_model": model, "weight": 300.0})
    return inputs, neurons


def states(nest, model=MODEL):
    """E and PSP of all synapses of a model, ordered by source and target."""
    synapses = nest.GetConnections(synapse_model=model)
    status = synapses.get(["source", "target", "E", "PSP", "weight"])
    order = np.lexsort((status["target"], status["source"]))
    return np.array([status["E"], status["PSP"], status["weight"]])[:, order]


def test_interrupting_a_simulation_within_slices_changes_nothing():
    nest = prepare()
    small_network(nest, **{MODEL: {}})
    nest.Simulate(200.0)
    at_once = states(nest)
    nest = prepare()
    small_network(nest, **{MODEL: {}})
    for duration_ms in (0.3, 5.0, 0.1, 94.6, 99.7, 0.3):
        nest.Simulate(duration_ms)
    assert np.abs(at_once[0]).min() > 0
    np.testing.assert_array_equal(states(nest), at_once)


def test_threads_do_not_change_results():
    results = []
    for n_threads in (1, 2):
        nest = prepare(n_threads=n_threads)
        small_network(nest, 5, **{MODEL: {}})
        nest.Simulate(200.0)
        results.append(states(nest))
    np.testing.assert_array_equal(*results)


def test_results_return_after_a_reset_of_the_kernel():
    results = []
    for _ in range(2):
        nest = prepare()
        small_network(nest, **{MODEL: {}})
        nest.Simulate(100.0)
        results.append(states(nest))
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("order", [1, -1])
def test_works_together_with_the_other_modules(order):
    """Whichever module brings the neuron."""
    nest = prepare()
    small_network(nest, **{MODEL: {}})
    nest.Simulate(100.0)
    alone = states(nest)

    nest = prepare(modules=("us_sympy_synapse_module", MODULE)[::order])
    inputs, neurons = small_network(nest, **{MODEL: {}})
    nest.SetDefaults(
        "us_sympy_synapse", {"volume_transmitter": nest.Create("volume_transmitter"), "expr": "s"}
    )
    nest.Connect(inputs, neurons, syn_spec={"synapse_model": "us_sympy_synapse", "weight": 0.0})
    nest.Simulate(1.0)
    nest.SetDefaults("us_sympy_synapse", {"eta": 0.0})
    nest.Simulate(99.0)
    np.testing.assert_array_equal(states(nest), alone)


def test_copies_have_constants_of_their_own():
    nest = prepare()
    small_network(nest, fast={"tau_M": 5.0}, slow={"tau_M": 500.0}, flat={"rho": 0.0})
    nest.SetDefaults("fast", {"tau_M": 10.0})
    assert nest.GetDefaults("fast")["tau_M"] == 10.0
    assert nest.GetDefaults(MODEL)["tau_M"] == 500.0
    nest.Simulate(200.0)
    fast, slow, flat = (states(nest, model) for model in ("fast", "slow", "flat"))
    np.testing.assert_array_equal(fast[1], slow[1])
    assert (np.abs(fast[0] - slow[0]) > 0).all()
    # Without expected spikes, only spikes count: they coincide with potentials >= 0.
    assert (flat[0] >= 0).all()
    assert flat[0].max() > 0


def test_weights_can_be_saved_and_restored():
    nest = prepare()
    small_network(nest, **{MODEL: {}})
    synapses = nest.GetConnections(synapse_model=MODEL)
    weights = np.linspace(-10.0, 10.0, 8)
    synapses.weight = weights
    nest.Simulate(10.0)
    assert synapses.weight == pytest.approx(list(weights))
    synapses.weight = 7.0
    assert set(synapses.weight) == {7.0}


def test_weight_recorders_see_every_spike():
    nest = prepare()
    recorder = nest.Create("weight_recorder")
    inputs, _ = small_network(nest, recorded={"weight_recorder": recorder})
    nest.Simulate(202.0)
    assert recorder.n_events == sum(len(node.spike_times) for node in inputs)
    assert set(recorder.events["weights"]) == {300.0}


def test_history_of_spikes_is_forgotten_when_it_was_read():
    nest = prepare()
    _, neurons = small_network(nest, **{MODEL: {}})
    neurons.set(delta=0.0, V_th=-71.0, V_reset=-72.0, t_ref=0.1)
    nest.Simulate(500.0)
    assert neurons.archiver_length <= 20


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"tau_M": 0.0}, "Time constants"),
        ({"Tau": float("nan")}, "Time constants"),
        ({"C": -1.0}, "Capacitance"),
        ({"rho": -0.1}, "rho"),
        ({"delta": 0.0}, "delta"),
        ({"Theta": float("inf")}, "Theta"),
    ],
)
def test_impossible_constants_raise_and_change_nothing(parameters, message):
    nest = prepare()
    before = nest.GetDefaults(MODEL)
    with pytest.raises(nest.NESTError, match=message):
        nest.SetDefaults(MODEL, parameters)
    assert nest.GetDefaults(MODEL) == before


def test_state_is_read_only():
    nest = prepare()
    small_network(nest, **{MODEL: {}})
    synapses = nest.GetConnections(synapse_model=MODEL)
    for name in ("E", "PSP"):
        with pytest.raises(nest.NESTError, match=name):
            synapses.set({name: 1.0})


def test_a_clock_is_needed_and_has_to_fit():
    nest = prepare()
    inputs = nest.Create("parrot_neuron")
    early = nest.Create("volume_transmitter")
    neuron = nest.Create("iaf_psc_exp_escape")
    slow = nest.Create("volume_transmitter", 1, {"deliver_interval": 2})
    with pytest.raises(nest.NESTError, match="No volume_transmitter"):
        nest.Connect(inputs, neuron, syn_spec={"synapse_model": MODEL})
    for clock, message in (
        (early, "created after its target"),
        (slow, "deliver_interval 1"),
    ):
        nest.SetDefaults(MODEL, {"volume_transmitter": clock})
        with pytest.raises(nest.NESTError, match=message):
            nest.Connect(inputs, neuron, syn_spec={"synapse_model": MODEL})
    for wrong in (neuron, nest.Create("volume_transmitter", 2)):
        with pytest.raises(nest.NESTError, match="volume_transmitter"):
            nest.SetDefaults(MODEL, {"volume_transmitter": wrong})


def test_other_neurons_are_refused():
    nest = prepare()
    inputs = nest.Create("parrot_neuron")
    neuron = nest.Create("iaf_psc_exp")
    nest.SetDefaults(MODEL, {"volume_transmitter": nest.Create("volume_transmitter")})
    with pytest.raises(nest.NESTError, match="not a iaf_psc_exp"):
        nest.Connect(inputs, neuron, syn_spec={"synapse_model": MODEL})
