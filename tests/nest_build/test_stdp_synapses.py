"""The STDP synapses: golden traces, independent models, and how NEST users meet them."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nest_build
from nest_build.rules import parse
from simulations import kernel

pytestmark = pytest.mark.nest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how_to" / "use_stdp_rules_in_pynest.md"
GOLDEN = ROOT.parent / "shared" / "golden"
SYMPY, HOMEOSTATIC = "stdp_sympy_synapse", "stdp_homeostatic_synapse"
MODULES = ("stdp_sympy_synapse_module", "HomeostaticSTDPmodule")
# In the recorded implementation products with a factor of zero are zero, also 0*inf. In IEEE
# arithmetic these cases, whose rules become infinite, agree with the recorded ones only until then.
THROUGH_INFINITY = {
    *("forced_champion_4", "free_champion_4", "forced_champion_7", "free_champion_7"),
    "forced_champion_14",
}


def cases(name):
    path = GOLDEN / f"{name}_meta.json"
    meta = json.loads(path.read_text()) if path.exists() else {}
    return [(name, case) for case in meta if not case.startswith("_")]


CASES = [*cases("stdp_sympy"), *cases("stdp_homeostatic")]


@pytest.fixture
def prepare_nest():
    """Return a function that resets the kernel and returns NEST with both modules loaded."""

    def prepare(n_threads=1):
        nest = kernel.prepare(0.1)
        nest.local_num_threads = n_threads
        return kernel.install(nest, MODULES)

    return prepare


# ------------------------------------------------------------------ golden traces


def load_case(name, case):
    meta = json.loads((GOLDEN / f"{name}_meta.json").read_text())[case]["job"]
    with np.load(GOLDEN / f"{name}.npz") as data:
        trace = {key.split("/")[1]: data[key] for key in data.files if key.startswith(f"{case}/")}
    return meta, trace


def simulate_golden(nest, meta, trace, **properties):
    """Simulate a golden case; return its record in the form of the golden one."""
    is_forced = meta["mode"] == "forced"
    inputs = nest.Create("spike_train_injector", 50)
    for index, node in enumerate(inputs):
        # A parrot repeats the spikes of its generator after a delay of 1 ms.
        node.spike_times = np.sort(trace["input_times"][trace["input_ids"] == index]) + 1.0
    if is_forced:
        neuron = nest.Create("parrot_neuron")
        driver = nest.Create("spike_train_injector", 1, {"spike_times": trace["post_input_times"]})
        nest.Connect(driver, neuron)
    else:
        parameters = {"V_reset": 0.0, "E_L": 0.0, "V_th": 20.0, "tau_m": 18.0, "V_m": 3.0}
        neuron = nest.Create("iaf_psc_delta", 1, parameters)
    weight_recorder, spike_recorder = nest.Create("weight_recorder"), nest.Create("spike_recorder")
    nest.Connect(neuron, spike_recorder)
    nest.CopyModel(
        meta["model"], "recorded", {**meta["syn"], **properties, "weight_recorder": weight_recorder}
    )
    nest.Connect(
        inputs,
        neuron,
        syn_spec={
            "synapse_model": "recorded",
            "weight": trace["w0"][np.newaxis, :],
            "delay": trace["delays"][np.newaxis, :],
            "receptor_type": int(is_forced),
        },
    )
    synapses = nest.GetConnections(inputs, neuron)
    weights = [synapses.get("weight")]
    nest.Prepare()
    # Spikes change weights when they are delivered: here, one slice after they were sent.
    nest.Run(1.0)
    for _ in range(20):
        nest.Run(100.0)
        weights.append(synapses.get("weight"))
    nest.Cleanup()
    events = weight_recorder.events
    order = np.lexsort((events["senders"], events["times"]))
    post = spike_recorder.events["times"]
    return {
        "weights": np.array(weights),
        "wr_times": events["times"][order],
        "wr_ids": events["senders"][order] - inputs[0].global_id,
        "wr_weights": events["weights"][order],
        "post_spikes": post[post <= 2000.0],
    }


@pytest.mark.skipif(not CASES, reason=f"no golden data at {GOLDEN}")
@pytest.mark.parametrize(("name", "case"), CASES)
def test_golden_traces_are_met(name, case, prepare_nest):
    """Weights to 1e-12, relative to 1 or to the weight; spikes of all neurons exactly.

    The arithmetic is that of the recorded implementation; only powers and the order of terms are
    rounded differently, by a few 1e-16 at each of up to some thousand changes of a weight.
    """
    meta, trace = load_case(name, case)
    record = simulate_golden(prepare_nest(), meta, trace)
    if case in THROUGH_INFINITY:
        assert_golden_until_infinity(meta, record, trace)
    else:
        assert_golden(record, trace)


@pytest.mark.skipif(not CASES, reason=f"no golden data at {GOLDEN}")
@pytest.mark.parametrize("case", [case for name, case in CASES if name == "stdp_sympy"])
def test_all_golden_traces_are_met_with_zero_products(case, prepare_nest):
    """To the same tolerance as above, and also through infinity."""
    meta, trace = load_case("stdp_sympy", case)
    nest = prepare_nest()
    assert_golden(simulate_golden(nest, meta, trace, arithmetic="zero_products"), trace)


def assert_golden(record, trace):
    np.testing.assert_array_equal(record["wr_ids"], trace["wr_ids"])
    np.testing.assert_allclose(record["wr_times"], trace["wr_times"], atol=1e-9)
    np.testing.assert_allclose(record["post_spikes"], trace["post_spikes"], atol=1e-9)
    for key in ("wr_weights", "weights"):
        np.testing.assert_allclose(record[key], trace[key], rtol=1e-12, atol=1e-12)


def assert_golden_until_infinity(meta, record, trace):
    """Compare up to the first infinite value of a rule, and everything with a model in Python."""
    delays = trace["delays"]
    model, first_ms = replay(meta["syn"], record, trace["w0"], delays)
    np.testing.assert_allclose(record["wr_weights"], model, rtol=1e-12, atol=1e-12)
    is_before = trace["wr_times"] < first_ms
    # Rule 14 is infinite at once: without a postsynaptic spike, E is 0 to a negative power.
    assert (is_before.sum() > 5) == ("x_1**(" not in meta["syn"]["expr_depress"])
    assert not is_before.all()
    np.testing.assert_allclose(
        record["wr_weights"][: is_before.sum()],
        trace["wr_weights"][is_before],
        rtol=1e-12,
        atol=1e-12,
    )


def replay(parameters, record, initial_weights, delays):
    """Recompute all transmitted weights in plain IEEE arithmetic, given all spikes.

    Returns them, in the order of the record, and the time in ms at which a weight or a value of a
    rule was not finite for the first time.
    """
    facilitate = parse(parameters["expr_facilitate"], ("w", "E")).evaluate
    depress = parse(parameters["expr_depress"], ("w", "E")).evaluate
    rate, alpha = parameters.get("lambda", 0.01), parameters.get("alpha", 1.0)
    w_max, tau_ms = parameters["Wmax"], parameters["tau_plus"]
    post = record["post_spikes"]
    weights = np.empty(len(record["wr_times"]))
    first_ms = math.inf
    with np.errstate(all="ignore"):
        for index, delay in enumerate(delays):
            weight, K_plus, last = initial_weights[index], 0.0, 0.0
            for event in np.flatnonzero(record["wr_ids"] == index):
                now = record["wr_times"][event]
                # Spikes are 0.1 ms apart: half of it is no closer than rounding.
                arrived = post + delay
                for time in arrived[(arrived > last + 0.05) & (arrived < now + 0.05)]:
                    value = float(
                        facilitate(weight / w_max, K_plus * np.exp((last - time) / tau_ms))
                    )
                    norm = weight / w_max + rate * value
                    weight = norm * w_max if norm < 1.0 else w_max
                    first_ms = first_ms if math.isfinite(value) else min(first_ms, now)
                K_minus = np.exp((arrived[arrived < now - 0.05] - now) / 20.0).sum()
                value = float(depress(weight / w_max, K_minus))
                norm = weight / w_max - alpha * rate * value
                weight = norm * w_max if norm > 0.0 else 0.0
                first_ms = first_ms if math.isfinite(value) else min(first_ms, now)
                weights[event] = weight
                K_plus, last = K_plus * np.exp((last - now) / tau_ms) + 1.0, now
    return weights, first_ms


# ------------------------------------------------------------------ as NEST users meet them


@pytest.fixture
def network(prepare_nest):
    """Return a function that makes neurons with plastic inputs, and other neurons to compare."""

    def make(model=SYMPY, n_threads=1, n_neurons=3, **properties):
        nest = prepare_nest(n_threads)
        rng = np.random.default_rng(8)
        inputs = nest.Create("spike_train_injector", 20)
        for node in inputs:
            node.spike_times = np.round(np.sort(rng.integers(1, 10_000, 40)) * 0.1, 1)
        neurons = nest.Create("parrot_neuron", n_neurons)
        drivers = nest.Create("spike_train_injector", n_neurons)
        for node in drivers:
            node.spike_times = np.round(np.sort(rng.integers(1, 10_000, 30)) * 0.1, 1)
        nest.Connect(drivers, neurons, "one_to_one")
        nest.SetDefaults(model, {"Wmax": 1.0, **properties})
        # Spikes at receptor 1 do not make parrots spike.
        spec = {"synapse_model": model, "weight": 0.5, "delay": 1.0, "receptor_type": 1}
        nest.Connect(inputs, neurons, syn_spec=spec)
        return nest, inputs, neurons

    return make


def weights_of(nest, inputs, neurons, **selection):
    status = nest.GetConnections(inputs, neurons, **selection).get(["source", "target", "weight"])
    order = np.lexsort((status["source"], status["target"]))
    return np.array(status["weight"])[order].reshape(len(neurons), len(inputs))


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(
    ("expressions", "exponent"),
    [({"expr_facilitate": "E", "expr_depress": "E"}, 0.0),
     ({"expr_facilitate": "(1 - w)*E", "expr_depress": "w*E"}, 1.0)],
)  # fmt: skip
def test_classic_rules_are_those_of_the_stock_synapse(network, expressions, exponent, n_threads):
    nest, inputs, neurons = network(n_threads=n_threads, alpha=1.05, tau_plus=15.0, **expressions)
    nest.CopyModel(
        "stdp_synapse",
        "stock",
        {"Wmax": 1.0, "alpha": 1.05, "tau_plus": 15.0, "mu_plus": exponent, "mu_minus": exponent},
    )
    nest.Connect(
        inputs,
        neurons,
        syn_spec={"synapse_model": "stock", "weight": 0.5, "delay": 1.0, "receptor_type": 1},
    )
    nest.Simulate(300.0)
    ours = weights_of(nest, inputs, neurons, synapse_model=SYMPY)
    np.testing.assert_allclose(
        ours, weights_of(nest, inputs, neurons, synapse_model="stock"), rtol=1e-13
    )
    assert ours.std() > 0.003


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_homeostatic_rule_is_its_own_formula(network, exponent):
    nest, inputs, neurons = network(
        HOMEOSTATIC, **{"lambda": 0.1, "mu_plus": exponent, "Wout": -0.03, "tau_plus": 15.0}
    )
    nest.Simulate(1000.0)
    drivers = nest.NodeCollection([node.global_id + len(neurons) for node in neurons])
    for neuron, driver, actual in zip(
        neurons, drivers, weights_of(nest, inputs, neurons), strict=True
    ):
        assert neuron.global_id < driver.global_id
        # Parrots repeat after 1 ms, and their spikes reach the synapses after another one.
        post = np.array(driver.spike_times) + 2.0
        for source, weight in zip(inputs, actual, strict=True):
            pre = np.array(source.spike_times)
            expected, last = 0.5, 0.0
            for now in pre[pre <= 999.0]:
                for time in post[(post > last + 0.05) & (post < now + 0.05)]:
                    K_plus = np.exp((pre[pre <= last + 0.05] - time) / 15.0).sum()
                    expected += 0.1 * (1.0 - expected) ** exponent * K_plus - 0.03
                    expected = min(max(expected, 0.0), 1.0)
                last = now
            assert weight == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("model", [SYMPY, HOMEOSTATIC])
def test_results_do_not_depend_on_the_number_of_threads(network, model):
    properties = (
        {"expr_facilitate": "(w*E)**w - w", "expr_depress": "E/(w + 0.1)"}
        if model == SYMPY
        else {"Wout": -0.01}
    )
    results = []
    for n_threads in (1, 2, 3):
        nest, inputs, neurons = network(model, n_threads, 5, **properties)
        recorder = nest.Create("weight_recorder")
        nest.CopyModel(model, "recorded", {"weight_recorder": recorder})
        nest.Connect(inputs, neurons[0], syn_spec={"synapse_model": "recorded", "receptor_type": 1})
        nest.Simulate(300.0)
        events = recorder.events
        order = np.lexsort((events["senders"], events["times"]))
        results.append(
            (weights_of(nest, inputs, neurons, synapse_model=model), events["weights"][order])
        )
    assert results[0][0].std() > 0.003
    for weights, recorded in results[1:]:
        np.testing.assert_array_equal(weights, results[0][0])
        np.testing.assert_array_equal(recorded, results[0][1])


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("branch", ["expr_depress", "expr_facilitate"])
@pytest.mark.parametrize(
    ("expr", "message"),
    [("w +* E", "missing"), ("w - u", "Unknown name 'u'"), ("", "empty"), ("x_2", "x_2")],
)
def test_invalid_expressions_are_nest_errors_and_change_nothing(
    prepare_nest, branch, expr, message, n_threads
):
    nest = prepare_nest(n_threads)
    before = {"expr_depress": "w*E", "expr_facilitate": "E", "lambda": 0.5}
    nest.SetDefaults(SYMPY, before)
    with pytest.raises(nest.NESTError, match=message):
        nest.SetDefaults(SYMPY, {"lambda": 0.1, branch: expr})
    with pytest.raises(nest.NESTError, match=message):
        nest.CopyModel(SYMPY, "wrong_rule", {branch: expr})
    assert before.items() <= nest.GetDefaults(SYMPY).items()
    nest.SetDefaults(SYMPY, {branch: "x_0 - x_1"})
    assert nest.GetDefaults(SYMPY)[branch] == "x_0 - x_1"


@pytest.mark.parametrize(
    ("model", "wrong", "message"),
    [
        (SYMPY, {"tau_plus": 0.0}, "tau_plus"),
        (SYMPY, {"Wmax": 0.0}, "Wmax"),
        (SYMPY, {"Wmax": float("nan")}, "Wmax"),
        (SYMPY, {"lambda": float("inf")}, "lambda"),
        (SYMPY, {"alpha": float("nan")}, "alpha"),
        (SYMPY, {"Kplus": -1.0}, "Kplus"),
        (SYMPY, {"nonsense": 1.0}, "nonsense"),
        (HOMEOSTATIC, {"tau_plus": float("nan")}, "tau_plus"),
        (HOMEOSTATIC, {"Wmax": -1.0}, "Wmax"),
        (HOMEOSTATIC, {"mu_plus": -1.0}, "mu_plus"),
        (HOMEOSTATIC, {"Wout": float("inf")}, "Wout"),
        (HOMEOSTATIC, {"expr_depress": "w"}, "expr_depress"),
    ],
)
def test_wrong_parameters_are_refused(prepare_nest, model, wrong, message):
    nest = prepare_nest()
    before = nest.GetDefaults(model)
    with pytest.raises(nest.NESTError, match=message):
        nest.SetDefaults(model, wrong)
    assert nest.GetDefaults(model) == before


def test_parameters_of_the_original_models_are_accepted(prepare_nest):
    nest = prepare_nest()
    sympy = {
        "expr_facilitate": "-x_0 + x_1", "expr_depress": "x_0*x_1 - x_0 - x_1", "Wmax": 1.0,
        "tau_plus": 20.0, "lambda": 0.01, "alpha": 1.0, "weight": 0.5, "delay": 1.0,
        "receptor_type": 0,
    }  # fmt: skip
    homeostatic = {
        "lambda": 0.01, "mu_plus": 0.0, "tau_plus": 20.0, "Wout": -0.0015, "weight": 0.5,
        "Wmax": 1.0, "receptor_type": 0,
    }  # fmt: skip
    for model, values in ((SYMPY, sympy), (HOMEOSTATIC, homeostatic)):
        nest.SetDefaults(model, values)
        assert values.items() <= nest.GetDefaults(model).items()


@pytest.mark.parametrize(
    ("facilitate", "depress", "expected"),
    [
        ("0/0", "0", 1.0),
        ("1/0", "0", 1.0),
        ("-1/0", "0", 0.0),  # minus infinity until the presynaptic spike that comes next
        ("0", "0/0", 0.0),
        ("0", "1/0", 0.0),
        ("0", "-1/0", math.inf),
        ("1000", "0", 1.0),
        ("0", "1000", 0.0),
        ("0", "-100", 0.5 + 40 * 1.0),  # no upper bound at presynaptic spikes
    ],
)
def test_bounds_hold_for_values_that_are_no_numbers(network, facilitate, depress, expected):
    nest, inputs, neurons = network(expr_facilitate=facilitate, expr_depress=depress)
    nest.Simulate(1001.0)
    # Facilitation without effect still has its upper bound, so the last case has no such spikes.
    if expected > 1.0 and math.isfinite(expected):
        nest, inputs, neurons = network(expr_facilitate=facilitate, expr_depress=depress)
        nest.NodeCollection([node.global_id + len(neurons) for node in neurons]).spike_times = []
        nest.Simulate(1001.0)
    np.testing.assert_allclose(weights_of(nest, inputs, neurons), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("facilitate", "depress", "ieee", "zero_products"),
    [
        ("0*(1/0)", "0", 1.0, 0.5),  # NaN ends at the bound
        ("0/0", "0", 1.0, 0.5),
        ("(1/0)/(1/0) + 1/0 - 1/0", "0", 1.0, 1.0),
        ("0", "(E - E)/(E - E)", 0.0, 0.5),
        ("0", "(1/0)*w*0 - 0.01", 0.0, 0.5 + 40 * 1e-4),
    ],
)
def test_arithmetic_says_what_a_product_with_zero_is(
    network, facilitate, depress, ieee, zero_products
):
    """In models of the same rules side by side, and when it is changed afterwards."""
    rules = {"expr_facilitate": facilitate, "expr_depress": depress}
    nest, inputs, neurons = network(**rules)
    nest.CopyModel(SYMPY, "zero_products", {"arithmetic": "zero_products"})
    nest.CopyModel("zero_products", "back", {"arithmetic": "ieee"})
    expected = {SYMPY: ieee, "zero_products": zero_products, "back": ieee}
    target = nest.Create("parrot_neuron")
    nest.Connect(neurons[0], target)
    for model in expected:
        spec = {"synapse_model": model, "weight": 0.5, "receptor_type": 1}
        nest.Connect(inputs, target, syn_spec=spec)
    nest.Simulate(1001.0)
    for model, value in expected.items():
        weights = weights_of(nest, inputs, target, synapse_model=model)
        np.testing.assert_allclose(weights, value, rtol=1e-12)
        assert rules.items() <= nest.GetDefaults(model).items()


def test_arithmetic_is_a_common_property(prepare_nest):
    nest = prepare_nest(2)
    assert nest.GetDefaults(SYMPY)["arithmetic"] == "ieee"
    nest.SetDefaults(SYMPY, {"arithmetic": "zero_products", "expr_depress": "w/E"})
    nest.SetDefaults(SYMPY, {"expr_depress": "w*E"})
    nest.CopyModel(SYMPY, "copied")
    assert nest.GetDefaults("copied")["arithmetic"] == "zero_products"
    before = nest.GetDefaults("copied")
    for wrong in ("IEEE", "", "zero products", 1):
        with pytest.raises(nest.NESTError):
            nest.SetDefaults("copied", {"lambda": 0.5, "arithmetic": wrong})
        assert nest.GetDefaults("copied") == before
    with pytest.raises(nest.NESTError, match='"ieee" or "zero_products", not "exact"'):
        nest.CopyModel(SYMPY, "wrong", {"arithmetic": "exact"})


def test_copied_models_have_rules_of_their_own(network):
    nest, inputs, _ = network()
    nest.CopyModel(SYMPY, "growing", {"expr_depress": "-1"})
    nest.CopyModel("growing", "shrinking", {"expr_depress": "1", "alpha": 0.5})
    target = nest.Create("parrot_neuron")
    for model in ("growing", "shrinking", SYMPY):
        spec = {"synapse_model": model, "weight": 0.5, "receptor_type": 1}
        nest.Connect(inputs, target, syn_spec=spec)
    nest.Simulate(1001.0)
    # 40 spikes of each input, steps of 0.01 and 0.005.
    for model, expected in (("growing", 0.9), ("shrinking", 0.3), (SYMPY, 0.5)):
        weights = weights_of(nest, inputs, target, synapse_model=model)
        np.testing.assert_allclose(weights, expected, rtol=1e-12)


def test_a_rule_can_be_changed_between_simulations(network):
    nest, inputs, neurons = network(expr_depress="-1")
    nest.Simulate(500.0)
    first = weights_of(nest, inputs, neurons)
    nest.SetDefaults(SYMPY, {"expr_depress": "1"})
    nest.Simulate(501.0)
    assert (first > 0.5).all()
    expected = 0.5 + (2 * np.round((first - 0.5) / 0.01) - 40) * 0.01
    np.testing.assert_allclose(weights_of(nest, inputs, neurons), expected, rtol=1e-12)


@pytest.mark.parametrize("model", [SYMPY, HOMEOSTATIC])
def test_weights_can_be_saved_and_restored(network, model):
    keys = ["weight", "Kplus"]
    properties = {"expr_facilitate": "E", "expr_depress": "w"} if model == SYMPY else {}
    nest, inputs, neurons = network(model, **properties)
    nest.Simulate(500.0)
    saved = nest.GetConnections(inputs, neurons).get(keys)
    assert len(set(saved["weight"])) > 10
    nest, inputs, neurons = network(model, **properties)
    synapses = nest.GetConnections(inputs, neurons)
    synapses.set({key: list(saved[key]) for key in keys})
    assert synapses.get(keys) == saved


@pytest.mark.parametrize("model", [SYMPY, HOMEOSTATIC])
def test_targets_without_a_spike_history_are_refused(network, model):
    nest, inputs, _ = network(model)
    for target in ("spike_recorder", "lin_rate_ipn"):
        with pytest.raises(nest.NESTError):
            nest.Connect(inputs, nest.Create(target), syn_spec={"synapse_model": model})


@pytest.mark.parametrize(
    ("model", "name"), [(SYMPY, "expr_depress"), (SYMPY, "arithmetic"), (HOMEOSTATIC, "Wout")]
)
def test_common_properties_are_refused_by_connect(network, model, name):
    nest, inputs, neurons = network(model)
    value = nest.GetDefaults(model)[name]
    with pytest.raises(nest.NESTError, match=name):
        nest.Connect(inputs, neurons, syn_spec={"synapse_model": model, name: value})


def test_modules_load_alone_and_together_in_any_order():
    models = {
        "us_sympy_synapse_module": {"us_sympy_synapse"},
        "usrl_synapse_module": {"usrl_synapse"},
        "stdp_sympy_synapse_module": {SYMPY},
        "HomeostaticSTDPmodule": {HOMEOSTATIC},
    }
    for n_modules in range(1, 5):
        for modules in itertools.permutations(models, n_modules):
            nest = kernel.prepare(0.1, modules)
            expected = set().union(*(models[module] for module in modules))
            assert set(nest.synapse_models) & set().union(*models.values()) == expected
            if SYMPY in expected:
                nest.SetDefaults(SYMPY, {"expr_depress": "w*E"})
            if "us_sympy_synapse" in expected:
                nest.SetDefaults("us_sympy_synapse", {"expr": "(v - u)*s"})


def test_kernel_can_be_reset_and_the_modules_installed_many_times(network):
    def simulate():
        nest, inputs, neurons = network(expr_facilitate="E", expr_depress="w*E")
        nest.Simulate(50.0)
        return weights_of(nest, inputs, neurons)

    first = simulate()
    for _ in range(5):
        simulate()
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(50):
        np.testing.assert_array_equal(simulate(), first)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 5_000


# ------------------------------------------------------------------ the source of spikes

SOURCE = "spike_train_source"


@pytest.mark.parametrize("n_threads", [1, 3])
def test_a_source_emits_what_the_stock_injector_emits(prepare_nest, n_threads):
    times = np.sort(np.random.default_rng(6).integers(1, 3000, 300)) / 10.0
    assert len(np.unique(times)) < len(times)
    nest = prepare_nest(n_threads)
    recorders = nest.Create("spike_recorder", 4)
    for model, first in (("spike_train_injector", 0), (SOURCE, 2)):
        source = nest.Create(model, 1, {"spike_times": times})
        parrot = nest.Create("parrot_neuron")
        nest.Connect(source, parrot, syn_spec={"delay": 1.5})
        nest.Connect(source, recorders[first])
        nest.Connect(parrot, recorders[first + 1])
    # Simulations may end anywhere.
    for duration_ms in (0.1, 33.3, 66.6, 201.0):
        nest.Simulate(duration_ms)
    events = [np.sort(recorder.events["times"]) for recorder in recorders]
    np.testing.assert_allclose(events[0], times, rtol=1e-15)
    assert len(events[1]) > 250
    np.testing.assert_array_equal(events[0], events[2])
    np.testing.assert_array_equal(events[1], events[3])
    np.testing.assert_allclose(source.spike_times, times, rtol=1e-15)


def test_spike_times_can_be_changed_and_the_past_is_left_out(prepare_nest):
    nest = prepare_nest()
    source = nest.Create(SOURCE, 1, {"spike_times": [5.0, 50.0]})
    recorder = nest.Create("spike_recorder")
    nest.Connect(source, recorder)
    nest.Simulate(20.0)
    source.spike_times = [10.0, 20.0, 20.1, 30.0]
    nest.Simulate(100.0)
    assert recorder.events["times"].tolist() == [5.0, 20.1, 30.0]
    source.spike_times = []
    nest.Simulate(100.0)
    assert recorder.n_events == 3


@pytest.mark.parametrize("times", [[0.0], [-1.0], [1.05], [2.0, 1.0], [float("nan")], [1e300]])
def test_impossible_spike_times_are_refused(prepare_nest, times):
    nest = prepare_nest()
    source = nest.Create(SOURCE, 1, {"spike_times": [5.0]})
    with pytest.raises(nest.NESTError, match="Spike times"):
        source.spike_times = times
    assert source.spike_times == 5.0 or list(source.spike_times) == [5.0]


# ------------------------------------------------------------------ the conductor of many sources

CONDUCTOR = "spike_train_conductor"


@pytest.mark.parametrize("n_threads", [1, 3])
def test_frozen_sources_with_a_conductor_are_as_sources_that_are_awake(prepare_nest, n_threads):
    """Bit for bit: weights of plastic synapses, and spikes of the neuron that sums the inputs."""
    rng = np.random.default_rng(8)
    trains = [np.sort(rng.integers(1, 4000, 40)) / 10.0 for _ in range(60)]
    trains[7] = np.array([])

    def simulate(is_conducted):
        nest = prepare_nest(n_threads)
        sources = nest.Create(
            SOURCE, len(trains), [{"spike_times": t, "frozen": is_conducted} for t in trains]
        )
        if is_conducted:
            conductor = nest.Create(CONDUCTOR, 1, {"sources": sources})
            assert conductor.sources == sources
        neurons = nest.Create("iaf_psc_delta", 2, {"V_th": 10.0, "E_L": 0.0, "V_reset": 0.0})
        recorder = nest.Create("spike_recorder")
        nest.Connect(neurons, recorder)
        nest.CopyModel(
            SYMPY, "plastic", {"expr_depress": "w*E", "expr_facilitate": "E", "Wmax": 9.0}
        )
        nest.Connect(
            sources, neurons, syn_spec={"synapse_model": "plastic", "weight": 1.1, "delay": 1.3}
        )
        # Simulations may end within a slice of 13 steps; spikes may be changed between them.
        for duration_ms in (0.1, 33.3, 66.6):
            nest.Simulate(duration_ms)
        sources[3].spike_times = [50.0, 150.0, 160.0]
        nest.Simulate(300.0)
        weights = nest.GetConnections(sources, neurons).get("weight")
        return np.array(weights), np.sort(recorder.events["times"])

    weights, spikes = simulate(is_conducted=False)
    conducted_weights, conducted_spikes = simulate(is_conducted=True)
    assert len(spikes) > 50
    assert len(np.unique(weights)) > 50
    np.testing.assert_array_equal(conducted_spikes, spikes)
    np.testing.assert_array_equal(conducted_weights, weights)


def test_a_conductor_wants_frozen_sources(prepare_nest):
    nest = prepare_nest()
    sources = nest.Create(SOURCE, 2, {"spike_times": [5.0], "frozen": True})
    conductor = nest.Create(CONDUCTOR, 1, {"sources": sources})
    with pytest.raises(nest.NESTError, match="spike_train_source"):
        conductor.sources = nest.Create("parrot_neuron")
    sources[1].frozen = False
    with pytest.raises(nest.NESTError, match="must be frozen"):
        nest.Simulate(10.0)


# ------------------------------------------------------------------ without the rest of the project


def run_script(script):
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYNEST_QUIET": "1"},
    )


def test_documented_script_strengthens_the_inputs_that_spike_together():
    (script,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    result = run_script(script)
    assert result.returncode == 0, result.stderr
    for line in ("rule", "homeostatic"):
        together, alone = map(
            float, re.search(rf"{line}: ([\d.]+) ([\d.]+)", result.stdout).groups()
        )
        assert together > 2 * alone


def test_a_module_without_rule_compiler_says_so():
    result = run_script(
        f"import nest_build; path = nest_build.module_path('{MODULES[0]}')\n"
        "import nest; nest.Install(path)\n"
        f"nest.SetDefaults('{SYMPY}', {{'alpha': 2.0, 'expr_depress': '0.0'}})\n"
        f"nest.SetDefaults('{SYMPY}', {{'expr_depress': 'w*E'}})\n"
    )
    assert result.returncode == 1
    assert "has not been compiled" in result.stderr


def test_module_paths_are_files():
    for module in MODULES:
        assert Path(nest_build.module_path(module)).with_suffix(".so").exists()
