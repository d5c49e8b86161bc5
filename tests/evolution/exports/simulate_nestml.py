"""Simulates exported NESTML synapses beside those of this project.

``python -m tests.evolution.exports.simulate_nestml MODULE RULES`` prints the weights of both as
JSON. RULES is a JSON object of the rules of pairs by the name of their synapse model.
"""

from __future__ import annotations

import json
import sys

import nest
import numpy as np

import nest_build

NEURON = "probe_neuron__with_error_synapse_and_depressing_synapse_and_facilitating_synapse"
STEP_MS = 0.1


def spike_times(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.unique(np.round(rng.integers(20, 10_000, n) * STEP_MS, 1))


def pairs(module: str, name: str, expressions: dict[str, str], delay_ms: float) -> dict:
    """Return weights after the same spikes, some of which meet at the synapses."""
    set_up(module, "stdp_sympy_synapse_module")
    rng = np.random.default_rng(1)
    driven_ms = spike_times(rng, 60)
    # The driven neurons spike 1 ms later, and their spikes need the delay to the synapses.
    meeting_ms = np.round(driven_ms[::5] + 1.0 + delay_ms, 1)
    trains = [np.union1d(spike_times(rng, 60), meeting_ms[k::5]) for k in range(5)]
    inputs = nest.Create("spike_train_injector", 5, [{"spike_times": train} for train in trains])
    driver = nest.Create("spike_train_injector", 1, {"spike_times": driven_ms})
    constants = {"lambda": 0.1, "alpha": 1.2, "Wmax": 2.0, "tau_plus": 15.0}

    ours = nest.Create("parrot_neuron", 1, {"tau_minus": 30.0})
    nest.CopyModel("stdp_sympy_synapse", "ours", {**constants, **expressions})
    nest.Connect(driver, ours, syn_spec={"delay": 1.0})
    synapse = {"weight": 1.0, "delay": delay_ms}
    nest.Connect(inputs, ours, syn_spec={**synapse, "synapse_model": "ours", "receptor_type": 1})

    theirs = nest.Create(NEURON, 1, {f"tau_minus__for_{name}": 30.0})
    ports = theirs.receptor_types
    nest.Connect(driver, theirs, syn_spec={"delay": 1.0, "receptor_type": ports["DRIVE"]})
    synapse |= {"synapse_model": f"{name}__with_{NEURON}", "receptor_type": ports["SPIKES"]}
    nest.Connect(inputs, theirs, syn_spec={**synapse, **constants})
    return weights_of(inputs, ours, theirs)


def errors(module: str, expression: str) -> dict:
    """Return weights of a neuron with a target, all of whose delays are one time step."""
    set_up(module, "us_sympy_synapse_module")
    rng = np.random.default_rng(2)
    trains = [{"spike_times": spike_times(rng, 200)} for _ in range(5)]
    inputs = nest.Create("spike_train_injector", 5, trains)
    constants = {"eta": 1.7, "tau_I": 100.0}

    ours = nest.Create("iaf_psc_exp_escape", 1, {"rho": 0.0, "u_target": -60.0})
    theirs = nest.Create(NEURON, 1, {"V_target": -60.0})
    clock = nest.Create("volume_transmitter", 1, {"deliver_interval": 1})
    nest.CopyModel(
        "us_sympy_synapse", "ours", {**constants, "expr": expression, "volume_transmitter": clock}
    )
    synapse = {"weight": 5.0, "delay": STEP_MS}
    nest.Connect(inputs, ours, syn_spec={**synapse, "synapse_model": "ours"})

    ticks_ms = np.round(np.arange(1, 12_000) * STEP_MS, 1)
    ticks = nest.Create("spike_train_injector", 1, {"spike_times": ticks_ms})
    nest.Connect(ticks, clock, syn_spec={"delay": STEP_MS})
    nest.CopyModel(f"error_synapse__with_{NEURON}", "theirs", {"volume_transmitter": clock})
    synapse |= {"synapse_model": "theirs", "receptor_type": theirs.receptor_types["SPIKES"]}
    nest.Connect(inputs, theirs, syn_spec={**synapse, **constants})
    return weights_of(inputs, ours, theirs)


def set_up(module: str, own_module: str) -> None:
    nest.ResetKernel()
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.Install(module)
    nest.Install(nest_build.module_path(own_module))
    nest.resolution = STEP_MS


def weights_of(inputs: nest.NodeCollection, *neurons: nest.NodeCollection) -> dict:
    nest.Simulate(1100.0)
    ours, theirs = (nest.GetConnections(inputs, neuron).weight for neuron in neurons)
    return {"ours": ours, "theirs": theirs}


if __name__ == "__main__":
    module, rules = sys.argv[1], json.loads(sys.argv[2])
    found = {
        f"{name}, {delay_ms:g} ms": pairs(module, name, rules[name], delay_ms)
        for name in ("depressing_synapse", "facilitating_synapse")
        for delay_ms in (STEP_MS, 1.0, 2.5)
    }
    found["error_synapse"] = errors(module, rules["error_synapse"])
    sys.stdout.write(f"\n{json.dumps(found)}\n")
