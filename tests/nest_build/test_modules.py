"""The four modules side by side: ten documented lines for each, any order, and wrong parameters."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest

import nest_build
from simulations import kernel
from tests.nest_build.test_plain_pynest import ROOT, run_script

pytestmark = pytest.mark.nest

PAGE = ROOT / "docs" / "how_to" / "ten_lines_for_each_module.md"
SCRIPTS = {
    re.search(r"module_path\(\"(.*?)\"\)", script).group(1): script
    for script in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
}

# ------------------------------------------------------------------ what the scripts have to print


def arrivals(n_steps):
    """Spikes at 10, 20 and 30 ms by the steps (of 0.1 ms) in which they arrive, 1 ms later."""
    return np.bincount([109, 209, 309], minlength=n_steps)


def weight_of_us_sympy():
    """w = 5 + the integral of 2*s: the low-pass filter of the rule does not change it."""
    P11, P22 = math.exp(-0.1 / 2), math.exp(-0.1 / 10)
    P21 = 20.0 / (250.0 * 8.0) * (P22 - P11)
    return 5.0 + 2.0 * 3 * 0.1 * P21 / ((1 - P11) * (1 - P22))


def weight_of_usrl():
    """Step by step, with a sharp threshold; the reward was -1."""
    P11, P22, PE = math.exp(-0.1 / 2), math.exp(-0.1 / 10), math.exp(-0.1 / 500)
    P21 = 20.0 / (250.0 * 8.0) * (P22 - P11)
    V = current = psp = psc = E = 0.0
    refractory = n_spikes = 0
    for spike in arrivals(1000):
        V, u = (V * P22 + current * P21,) * 2 if refractory == 0 else (0.0, 0.0)
        refractory = max(refractory - 1, 0)
        current = current * P11 + 3000.0 * spike
        fires = u >= 15.0
        psp, psc = psp * P22 + psc * P21, psc * P11 + spike
        E = E * PE + (1 - PE) / 5 * psp * (fires - 0.01 * math.exp((u - 15) / 5) * 0.1) * 1e9
        if fires:
            V, refractory, n_spikes = 0.0, 20, n_spikes + 1
    assert n_spikes == 3
    return 3000.0 + 0.1 * E * (-1.0 - 1.0)


# The postsynaptic spike, at 16 ms, reaches the synapse at 17 ms: between the two presynaptic ones.
FACILITATING = math.exp(-(17.0 - 10.0) / 20.0)
DEPRESSING = math.exp(-(40.0 - 17.0) / 20.0)


def weight_of_stdp_sympy():
    facilitated = 0.5 + 0.1 * (1 - 0.5) * FACILITATING
    return facilitated - 0.1 * facilitated * DEPRESSING


def weight_of_homeostatic():
    return 0.5 + 0.1 * (1 - 0.5) * FACILITATING - 0.02


EXPECTED = {
    "us_sympy_synapse_module": (weight_of_us_sympy, 1e-4),
    "usrl_synapse_module": (weight_of_usrl, 1e-9),
    "stdp_sympy_synapse_module": (weight_of_stdp_sympy, 1e-12),
    "HomeostaticSTDPmodule": (weight_of_homeostatic, 1e-12),
}


def printed_weights(result):
    assert result.returncode == 0, result.stderr
    return [float(number) for number in re.findall(r"^weight: (\S+)", result.stdout, re.MULTILINE)]


@pytest.mark.parametrize("module", EXPECTED)
def test_the_ten_lines_of_a_module_do_what_the_equations_say(module):
    """Alone, in a console of its own."""
    script = SCRIPTS[module]
    assert len([line for line in script.splitlines() if line]) <= 10
    expected, tolerance = EXPECTED[module]
    assert printed_weights(run_script(script)) == [pytest.approx(expected(), rel=tolerance)]


def test_every_module_has_its_ten_lines():
    assert SCRIPTS.keys() == EXPECTED.keys() == set(nest_build.MODULES)


def test_the_scripts_run_one_after_the_other_in_one_console():
    """Two rounds, with all modules that were loaded before still in the process."""
    order = ["HomeostaticSTDPmodule", "usrl_synapse_module", "stdp_sympy_synapse_module",
             "us_sympy_synapse_module"]  # fmt: skip
    order += sorted(order)
    script = "nest.ResetKernel()\n".join(SCRIPTS[module] for module in order)
    values = printed_weights(run_script(script))
    expected = [pytest.approx(EXPECTED[m][0](), rel=EXPECTED[m][1]) for m in order]
    assert values == expected


# ------------------------------------------------------------------ together

#: For each module: model of the neuron, parameters of the synapse, wrong ones with the message.
USES = {
    "us_sympy_synapse_module": (
        "us_sympy_synapse",
        "iaf_psc_exp_escape",
        {"expr": "s", "eta": 1.0},
        [({"expr": "v +* u"}, "missing"), ({"tau_I": -1.0}, "tau_I"), ({"Wmax": 1.0}, "Wmax")],
    ),
    "usrl_synapse_module": (
        "usrl_synapse",
        "iaf_psc_exp_escape",
        {"tau_M": 100.0},
        [({"tau_M": 0.0}, "Time constants"), ({"expr": "E"}, "expr")],
    ),
    "stdp_sympy_synapse_module": (
        "stdp_sympy_synapse",
        "parrot_neuron",
        {"expr_depress": "w*E - 1", "expr_facilitate": "E", "Wmax": 1.0},
        [({"expr_depress": "u"}, "Unknown name 'u'"), ({"Wmax": 0.0}, "Wmax"), ({"C": 1.0}, "C")],
    ),
    "HomeostaticSTDPmodule": (
        "stdp_homeostatic_synapse",
        "parrot_neuron",
        {"Wmax": 1.0, "Wout": -0.01},
        [({"mu_plus": -1.0}, "mu_plus"), ({"expr_depress": "E"}, "expr_depress")],
    ),
}


def use(nest, module, spike_times_ms=(1.0, 2.5, 7.0)):
    """Simulate two inputs of a synapse of the module from now on; return the synapses' state."""
    now_ms = nest.biological_time
    synapse, target, parameters, wrong = USES[module]
    source = nest.Create(
        "spike_train_injector",
        2,
        {"spike_times": [round(now_ms + time_ms, 1) for time_ms in spike_times_ms]},
    )
    neuron = nest.Create(target)
    has_clock = target != "parrot_neuron"
    if has_clock:
        parameters = {**parameters, "volume_transmitter": nest.Create("volume_transmitter")}
    else:
        nest.Connect(
            nest.Create("spike_train_injector", 1, {"spike_times": [round(now_ms + 3.0, 1)]}),
            neuron,
        )
    for index, (values, message) in enumerate(wrong):
        with pytest.raises(nest.NESTError, match=message):
            nest.SetDefaults(synapse, values)
        with pytest.raises(nest.NESTError, match=message):
            nest.CopyModel(synapse, f"wrong_{synapse}_{index}", values)
    nest.CopyModel(synapse, f"my_{synapse}", parameters)
    spec = {"synapse_model": f"my_{synapse}", "weight": 0.5}
    with pytest.raises(nest.NESTError):
        nest.Connect(source, nest.Create("spike_recorder"), syn_spec=spec)
    nest.Connect(source, neuron, syn_spec={**spec, "receptor_type": 0 if has_clock else 1})
    nest.Simulate(20.0)
    synapses = nest.GetConnections(source, neuron)
    names = ["weight", "E", "PSP"] if synapse == "usrl_synapse" else ["weight"]
    return np.ravel([synapses.get(name) for name in names])


def test_modules_work_alone_and_together_in_any_order():
    """Installed one after the other; wrong parameters are NEST errors whatever else is loaded."""
    alone = {}
    for module in USES:
        alone[module] = use(kernel.prepare(0.1, [module]), module)
    assert alone["us_sympy_synapse_module"][0] > 0.5
    assert alone["usrl_synapse_module"][2] < 0.0
    assert alone["stdp_sympy_synapse_module"][0] > 0.5
    assert alone["HomeostaticSTDPmodule"][0] < 0.5
    orders = [*itertools.permutations(USES, 2), *itertools.permutations(USES, 4)]
    for order in orders:
        nest = kernel.prepare(0.1, order)
        for module in reversed(order):
            # Times are other ones for each, and rounded differently.
            np.testing.assert_allclose(use(nest, module), alone[module], rtol=1e-9)


@pytest.mark.parametrize("module", USES)
def test_spikes_after_the_end_change_nothing_and_no_spikes_are_no_fault(module):
    within = use(kernel.prepare(0.1, [module]), module)
    beyond = use(kernel.prepare(0.1, [module]), module, (1.0, 2.5, 7.0, 20.5, 1e9))
    np.testing.assert_array_equal(beyond, within)
    silent = use(kernel.prepare(0.1, [module]), module, ())
    assert silent[:2].tolist() == [0.5, 0.5]
    assert (silent != within).any()
