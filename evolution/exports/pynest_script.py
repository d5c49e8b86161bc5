"""A stand-alone PyNEST script with the synapse models of this project."""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING

from evolution.exports.reading import CONTINUOUS, PAIRS, REWARD, require_synapse_model, texts

if TYPE_CHECKING:
    from evolution.models import Rule

_CONTINUOUS = """\
import nest
import nest_build

nest.Install(nest_build.module_path("us_sympy_synapse_module"))
source = nest.Create("spike_train_injector", 1, {"spike_times": [10.0, 20.0, 30.0]})
neuron = nest.Create("iaf_psc_exp_escape", 1, {"u_target": -60.0})
clock = nest.Create("volume_transmitter")
rule = {"expr": "$delta_w", "eta": 1.0, "volume_transmitter": clock}
nest.SetDefaults("us_sympy_synapse", rule)
nest.Connect(source, neuron, syn_spec={"synapse_model": "us_sympy_synapse", "weight": 5.0})
nest.Simulate(5000.0)
print("weight:", nest.GetConnections(source, neuron).weight)
"""

_REWARD = """\
import nest
import nest_build

nest.Install(nest_build.module_path("usrl_synapse_module"))
source = nest.Create("spike_train_injector", 1, {"spike_times": [110.0, 120.0, 130.0]})
# One trial, in which the right answer is no spike.
trial = {"first_trial": 100.0, "trial_duration": 100.0, "target_class": [-1.0]}
neuron = nest.Create("usrl_trial_neuron", 1, {**trial, "delta": 0.0})
clock = nest.Create("volume_transmitter", 1, {"deliver_interval": 100})
rule = {"expr": "$delta_w", "eta": 0.1, "volume_transmitter": clock}
nest.SetDefaults("usrl_trial_synapse", rule)
nest.Connect(source, neuron, syn_spec={"synapse_model": "usrl_trial_synapse", "weight": 3000.0})
nest.Simulate(300.0)
print("reward:", neuron.reward)
print("weight:", nest.GetConnections(source, neuron).weight)
"""

_PAIRS = """\
import nest
import nest_build

nest.Install(nest_build.module_path("stdp_sympy_synapse_module"))
source = nest.Create("spike_train_injector", 1, {"spike_times": [10.0, 40.0]})
neuron = nest.Create("parrot_neuron")
nest.Connect(nest.Create("spike_train_injector", 1, {"spike_times": [15.0]}), neuron)
rule = {"expr_facilitate": "$facilitate", "expr_depress": "$depress"}
nest.CopyModel("stdp_sympy_synapse", "rule", {**rule, "lambda": 0.1, "Wmax": 1.0})
synapse = {"synapse_model": "rule", "weight": 0.5, "receptor_type": 1}
nest.Connect(source, neuron, syn_spec=synapse)
nest.Simulate(100.0)
print("weight:", nest.GetConnections(source, neuron).weight)
"""

_SCRIPTS = {CONTINUOUS: _CONTINUOUS, REWARD: _REWARD, PAIRS: _PAIRS}


def pynest_script(rule: Rule) -> str:
    """Return a complete script that shows how a weight changes.

    Raises
    ------
    Inexpressible
        If no synapse model has the inputs of the rule.
    """
    require_synapse_model(rule)
    return Template(_SCRIPTS[rule.signature]).substitute(texts(rule))
