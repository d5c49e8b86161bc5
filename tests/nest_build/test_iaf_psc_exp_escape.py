"""The neuron against an independent model in Python, the stock neuron and statistics."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.nest

MODEL = "iaf_psc_exp_escape"
DT_MS = 0.1


def spike_train(rng, n_spikes, duration_ms):
    """Sorted times on the grid, some of them equal."""
    steps = np.sort(rng.integers(1, round(duration_ms / DT_MS), size=n_spikes))
    return np.round(steps * DT_MS, 1)


def simulated_step_by_step(arrivals, n_steps, *, V_th=None, t_ref_steps=0, I_e=0.0):
    """Potential, current and spikes of a neuron, advanced one step at a time.

    ``arrivals`` maps a step to the sum of the weights that arrive at its end.
    """
    tau_m, tau_syn, C_m, E_L, V_reset = 10.0, 2.0, 250.0, -70.0, -70.0
    P11, P22 = np.exp(-DT_MS / tau_syn), np.exp(-DT_MS / tau_m)
    P21 = tau_m * tau_syn / (C_m * (tau_m - tau_syn)) * (P22 - P11)
    P20 = tau_m / C_m * (1 - P22)
    V, current, refractory = 0.0, 0.0, 0
    potentials, currents, spikes = [], [], []
    for step in range(n_steps):
        if refractory:
            refractory -= 1
        else:
            V = V * P22 + current * P21 + I_e * P20
        current = current * P11 + arrivals.get(step, 0.0)
        if V_th is not None and V_th <= V + E_L:
            spikes.append(step + 1)
            V, refractory = V_reset - E_L, t_ref_steps
        potentials.append(E_L + V)
        currents.append(current)
    return np.array(potentials), np.array(currents), np.array(spikes)


def driven_neuron(
    nest, rng, parameters, *, weights=(300.0, -120.0), duration_ms=400.0, model=MODEL
):
    """A neuron with two inputs, its multimeter and spike recorder, and what arrives when."""
    neuron = nest.Create(model, 1, parameters)
    arrivals = {}
    for weight in weights:
        times = spike_train(rng, 150, duration_ms)
        source = nest.Create("spike_train_injector", 1, {"spike_times": times})
        nest.Connect(source, neuron, syn_spec={"weight": weight, "delay": 1.0})
        for step in np.round(times / DT_MS).astype(int):
            # A spike at time k h is emitted in step k - 1 and arrives ten steps later.
            arrivals[step + 9] = arrivals.get(step + 9, 0.0) + weight
    record_from = ["V_m", "I_syn"] if model == MODEL else ["V_m"]
    multimeter = nest.Create("multimeter", 1, {"record_from": record_from, "interval": DT_MS})
    nest.Connect(multimeter, neuron)
    recorder = nest.Create("spike_recorder")
    nest.Connect(neuron, recorder)
    return neuron, multimeter, recorder, arrivals


@pytest.mark.parametrize("I_e", [0.0, 200.0])
def test_potential_and_current_follow_the_propagators(prepare_nest, I_e):
    nest = prepare_nest(DT_MS)
    parameters = {"rho": 0.0, "reset_after_spike": False, "I_e": I_e}
    _, multimeter, recorder, arrivals = driven_neuron(nest, np.random.default_rng(1), parameters)
    nest.Simulate(400.0)
    events = multimeter.events
    V_m, I_syn, _ = simulated_step_by_step(arrivals, 4000, I_e=I_e)
    n = len(events["times"])
    assert n >= 3980
    np.testing.assert_allclose(events["times"], np.arange(1, n + 1) * DT_MS, rtol=1e-12)
    np.testing.assert_allclose(events["V_m"], V_m[:n], rtol=0, atol=1e-11)
    np.testing.assert_allclose(events["I_syn"], I_syn[:n], rtol=0, atol=1e-10)
    assert recorder.n_events == 0


@pytest.mark.parametrize("t_ref_ms", [0.0, 2.0, 3.7])
def test_threshold_reset_and_refractory_time_without_noise(prepare_nest, t_ref_ms):
    nest = prepare_nest(DT_MS)
    parameters = {"delta": 0.0, "V_th": -67.0, "t_ref": t_ref_ms}
    _, multimeter, recorder, arrivals = driven_neuron(nest, np.random.default_rng(2), parameters)
    nest.Simulate(400.0)
    V_m, _, spikes = simulated_step_by_step(
        arrivals, 4000, V_th=-67.0, t_ref_steps=round(t_ref_ms / DT_MS)
    )
    n = len(multimeter.events["V_m"])
    assert len(spikes) > 10
    np.testing.assert_allclose(multimeter.events["V_m"], V_m[:n], rtol=0, atol=1e-11)
    np.testing.assert_array_equal(np.round(recorder.events["times"] / DT_MS), spikes)


def test_spikes_are_those_of_the_stock_neuron_without_noise(prepare_nest):
    recorded = []
    for model, parameters in (
        (MODEL, {"delta": 0.0, "V_th": -67.0}),
        ("iaf_psc_exp", {"delta": 0.0, "V_th": -67.0}),
    ):
        nest = prepare_nest(DT_MS)
        _, _, recorder, _ = driven_neuron(nest, np.random.default_rng(3), parameters, model=model)
        nest.Simulate(400.0)
        recorded.append(recorder.events["times"])
    assert len(recorded[0]) > 10
    np.testing.assert_array_equal(*recorded)


def test_simulating_in_parts_that_end_within_slices_changes_nothing(prepare_nest):
    results = []
    for parts in ([400.0], [0.3, 0.9, 5.0, 393.8]):
        nest = prepare_nest(DT_MS)
        neuron, _, recorder, _ = driven_neuron(
            nest, np.random.default_rng(4), {"rho": 50.0, "delta": 2.0, "V_th": -66.0}
        )
        for part in parts:
            nest.Simulate(part)
        results.append((recorder.events["times"], neuron.get(["V_m", "I_syn"])))
    assert len(results[0][0]) > 10
    np.testing.assert_array_equal(results[0][0], results[1][0])
    # Rounding depends on where steps are put together.
    assert results[0][1] == pytest.approx(results[1][1], rel=1e-12)


@pytest.mark.parametrize("interval_ms", [0.1, 0.7, 1.0])
def test_the_trace_is_what_a_multimeter_records(prepare_nest, interval_ms):
    nest = prepare_nest(DT_MS)
    neuron, _, recorder, _ = driven_neuron(
        nest,
        np.random.default_rng(4),
        {"rho": 50.0, "delta": 2.0, "V_th": -66.0, "trace_interval": interval_ms},
    )
    meter = nest.Create("multimeter", 1, {"record_from": ["V_m"], "interval": interval_ms})
    nest.Connect(meter, neuron)
    trace = []
    for part_ms in (0.3, 0.9, 100.0, 248.8, 50.0):
        nest.Simulate(part_ms)
        assert neuron.n_trace == len(neuron.V_m_trace)
        trace += list(neuron.V_m_trace)
        neuron.n_trace = 0
        assert len(neuron.V_m_trace) == 0
    assert recorder.n_events > 10
    # What the meter has of the last slice comes with the next one.
    recorded = meter.events["V_m"]
    assert len(trace) == int(400.0 / interval_ms + 1e-9) >= len(recorded) > 0.98 * len(trace)
    np.testing.assert_array_equal(trace[: len(recorded)], recorded)


def test_rate_of_escape_noise_is_that_of_a_poisson_process(prepare_nest):
    nest = prepare_nest(DT_MS)
    rho_hz, delta_mv, above_mv, n_neurons, duration_ms = 20.0, 2.0, 1.5, 200, 5000.0
    neurons = nest.Create(
        MODEL,
        n_neurons,
        [
            {
                "rho": rho_hz,
                "delta": delta_mv,
                "V_th": -70.0 - above_mv,
                "reset_after_spike": False,
                "noise_seed": 12345,
                "noise_role": index,
            }
            for index in range(n_neurons)
        ],
    )
    recorder = nest.Create("spike_recorder")
    nest.Connect(neurons, recorder)
    nest.Simulate(duration_ms)
    probability = rho_hz * np.exp(above_mv / delta_mv) * DT_MS * 1e-3
    n_steps = n_neurons * duration_ms / DT_MS
    sd = np.sqrt(n_steps * probability * (1 - probability))
    assert abs(recorder.n_events - n_steps * probability) < 4 * sd
    first, last = neurons[0].global_id, neurons[-1].global_id
    counts = np.bincount(recorder.events["senders"], minlength=last + 1)[first:]
    # Independent neurons: the counts spread as those of a Bernoulli process (Fano factor 1 - p).
    assert counts.var() / counts.mean() == pytest.approx(1 - probability, abs=0.4)


def noisy_spikes(nest, keys, n_others=0):
    """Spike times of a neuron whose noise has these keys, after ``n_others`` other neurons."""
    if n_others:
        nest.Create(MODEL, n_others, {"rho": 500.0})
    neuron = nest.Create(
        MODEL,
        1,
        {
            "rho": 100.0,
            "V_th": -69.0,
            **dict(zip(("noise_seed", "noise_trial", "noise_role"), keys, strict=True)),
        },
    )
    recorder = nest.Create("spike_recorder")
    nest.Connect(neuron, recorder)
    nest.Simulate(500.0)
    return list(recorder.events["times"])


def test_noise_depends_on_its_three_keys_and_nothing_else(prepare_nest):
    keys = (2**62, 3, 7)
    expected = noisy_spikes(prepare_nest(DT_MS), keys)
    assert len(expected) > 20
    nest = prepare_nest(DT_MS, n_threads=3)
    nest.rng_seed = 4711
    assert noisy_spikes(nest, keys, n_others=10) == expected
    for other in ((2**62 + 1, 3, 7), (2**62, 4, 7), (2**62, 3, 8)):
        assert noisy_spikes(prepare_nest(DT_MS), other) != expected


def test_no_spikes_where_the_rate_is_zero(prepare_nest):
    nest = prepare_nest(DT_MS)
    neuron = nest.Create(MODEL, 1, {"rho": 0.0, "V_th": -80.0, "V_reset": -90.0})
    recorder = nest.Create("spike_recorder")
    nest.Connect(neuron, recorder)
    nest.Simulate(100.0)
    assert recorder.n_events == 0


def test_target_is_taken_at_its_interval_and_held(prepare_nest):
    nest = prepare_nest(DT_MS)
    parameters = {"rho": 0.0, "target_interval": 5.0}
    teacher, teacher_meter, _, _ = driven_neuron(nest, np.random.default_rng(5), parameters)
    student = nest.Create(MODEL, 1, parameters)
    meter = nest.Create("multimeter", 1, {"record_from": ["u_target"], "interval": 1.0})
    nest.Connect(meter, student)
    nest.Connect(
        teacher,
        student,
        syn_spec={"synapse_model": "rate_connection_delayed", "weight": 0.5, "delay": 1.0},
    )
    nest.Simulate(100.0)
    V_m = teacher_meter.events["V_m"]
    # Half the potential after steps 0, 50, 100, ..., one slice later; first the initial value.
    expected = [-70.0] + [0.5 * V_m[50 * ((ms - 1) // 5)] for ms in range(1, 99)]
    np.testing.assert_array_equal(meter.events["u_target"], expected)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"C_m": 0.0}, "C_m"),
        ({"tau_m": -1.0}, "tau_m"),
        ({"tau_syn": float("nan")}, "tau_syn"),
        ({"t_ref": -1.0}, "t_ref"),
        ({"rho": -0.1}, "rho"),
        ({"delta": -1.0}, "delta"),
        ({"V_reset": -50.0}, "V_reset"),
        ({"noise_trial": -1}, "noise_trial"),
        ({"target_interval": 0.0}, "target_interval"),
        ({"target_interval": 0.25}, "target_interval"),
        ({"trace_interval": 0.25}, "trace_interval"),
        ({"trace_interval": float("nan")}, "trace_interval"),
        ({"n_trace": 1}, "n_trace"),
    ],
)
def test_wrong_parameters_are_refused_and_change_nothing(prepare_nest, wrong, message):
    nest = prepare_nest(DT_MS)
    neuron = nest.Create(MODEL)
    before = neuron.get()
    with pytest.raises(nest.NESTError, match=message):
        neuron.set({"E_L": -60.0, **wrong})
    assert neuron.get() == before


def test_parameters_are_kept_by_copies_and_the_potential_by_changes_of_E_L(prepare_nest):
    nest = prepare_nest(DT_MS)
    nest.CopyModel(MODEL, "my_neuron", {"tau_m": 20.0, "noise_role": 3})
    neuron = nest.Create("my_neuron")
    assert neuron.get(["tau_m", "noise_role"]) == {"tau_m": 20.0, "noise_role": 3}
    neuron.E_L = -65.0
    assert neuron.V_m == -70.0
    neuron.V_m = -68.0
    assert neuron.V_m == -68.0
