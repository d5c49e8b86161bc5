"""A rule as the text of programs: a NumPy function, and a short PyNEST script."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evolution.models import Rule

_SPIKES = 'source = nest.Create("spike_train_injector", 1, {"spike_times": [10.0, 20.0, 30.0]})'

_CONTINUOUS = """import nest, nest_build

nest.Install(nest_build.module_path("us_sympy_synapse_module"))
{spikes}
neuron = nest.Create("iaf_psc_exp_escape", 1, {{"u_target": -60.0}})
clock = nest.Create("volume_transmitter")
rule = {{"expr": "{delta_w}", "eta": 1.0, "volume_transmitter": clock}}
nest.SetDefaults("us_sympy_synapse", rule)
nest.Connect(source, neuron, syn_spec={{"synapse_model": "us_sympy_synapse", "weight": 5.0}})
nest.Simulate(5000.0)
print("weight:", nest.GetConnections(source, neuron).weight)
"""

_REWARD = """import nest, nest_build

nest.Install(nest_build.module_path("usrl_synapse_module"))
{spikes}
neuron = nest.Create("iaf_psc_exp_escape", 1, {{"delta": 0.0}})
nest.SetDefaults("usrl_synapse", {{"volume_transmitter": nest.Create("volume_transmitter")}})
nest.Connect(source, neuron, syn_spec={{"synapse_model": "usrl_synapse", "weight": 3000.0}})
nest.Simulate(100.0)
synapse = nest.GetConnections(source, neuron)
E, R = synapse.E, -1.0
synapse.weight += 0.1 * ({delta_w})
print("weight:", synapse.weight)
"""

_PAIRS = """import nest, nest_build

nest.Install(nest_build.module_path("stdp_sympy_synapse_module"))
source = nest.Create("spike_train_injector", 1, {{"spike_times": [10.0, 40.0]}})
neuron = nest.Create("parrot_neuron")
nest.Connect(nest.Create("spike_train_injector", 1, {{"spike_times": [15.0]}}), neuron)
rule = {{"expr_facilitate": "{facilitate}", "expr_depress": "{depress}"}}
nest.CopyModel("stdp_sympy_synapse", "rule", {{**rule, "lambda": 0.1, "Wmax": 1.0}})
synapse = {{"synapse_model": "rule", "weight": 0.5, "receptor_type": 1}}
nest.Connect(source, neuron, syn_spec=synapse)
nest.Simulate(100.0)
print("weight:", nest.GetConnections(source, neuron).weight)
"""

_SCRIPTS = {
    "v,u,s -> delta_w": _CONTINUOUS,
    "R,E -> delta_w": _REWARD,
    "w,E -> depress,facilitate": _PAIRS,
}


def numpy_function(rule: Rule) -> str:
    """Return the text of a Python function over NumPy arrays, one value per branch."""
    arguments = ", ".join(rule.input_names)
    lines = ["import numpy as np", "", "", f"def plasticity_rule({arguments}):"]
    # Numbers of arrays: the language divides by zero as IEEE says, integers of Python do not.
    names = ", ".join(rule.input_names)
    values = ", ".join(f"np.asarray({name}, float)" for name in rule.input_names)
    lines.append(f"    {names} = {values}")
    lines += [
        f"    {branch} = {text}"
        for branch, text in zip(rule.branch_names, rule.expressions, strict=True)
    ]
    lines.append(f"    return {', '.join(rule.branch_names)}")
    return "\n".join(lines) + "\n"


def pynest_script(rule: Rule) -> str | None:
    """Return a complete PyNEST script; None where no synapse model has the rule's inputs."""
    template = _SCRIPTS.get(rule.signature)
    if template is None:
        return None
    texts = dict(zip(rule.branch_names, rule.expressions, strict=True))
    return template.format(spikes=_SPIKES, **texts)
