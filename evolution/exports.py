"""A rule as the text of programs: functions in NumPy and C++, and a short PyNEST script.

The functions follow the language of rules in double precision, also where a power of a negative
number leaves the reals, of which the language takes the real part. At singular points (0/0,
infinity times zero) each has the rules of its own library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nest_build.rules import parse
from nest_build.rules.tree import (
    POWER,
    PRODUCT,
    SIGN,
    Binary,
    Input,
    Neg,
    Number,
    integer_exponent,
    number_text,
    precedence,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evolution.models import Rule
    from nest_build.rules.tree import Node

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
    names = ", ".join(rule.input_names)
    is_complex = any(map(_may_leave_reals, _trees(rule)))
    # Numbers of arrays: the language divides by zero as IEEE says, integers of Python do not.
    kind = "complex" if is_complex else "float"
    values = ", ".join(f"np.asarray({name}, {kind})" for name in rule.input_names)
    lines = [
        "import numpy as np",
        "",
        "",
        f"def plasticity_rule({names}):",
        f"    {names} = {values}",
    ]
    for branch, text in zip(rule.branch_names, rule.expressions, strict=True):
        lines.append(f"    {branch} = {f'np.real({text})' if is_complex else text}")
    lines.append(f"    return {', '.join(rule.branch_names)}")
    return "\n".join(lines) + "\n"


def cpp_function(rule: Rule) -> str:
    """Return a C++ function for each branch, without other headers than those of the standard."""
    trees = _trees(rule)
    is_complex = any(map(_may_leave_reals, trees))
    parts = ["#include <cmath>\n" + ("#include <complex>\n" if is_complex else "")]
    for branch, tree in zip(rule.branch_names, trees, strict=True):
        parameters = ", ".join(f"double {name}" for name in rule.input_names)
        lines = [f"double {branch}( {parameters} )", "{"]
        if not _may_leave_reals(tree):
            value = _cpp(tree, rule.input_names, _cpp_number)
        else:
            names = {f"{name}_": name for name in rule.input_names}
            value = f"std::real( {_cpp(tree, list(names), _cpp_complex_number)} )"
            lines += [
                f"  const std::complex< double > {own}( {name} );" for own, name in names.items()
            ]
        parts.append("\n".join([*lines, f"  return {value};", "}", ""]))
    return "\n".join(parts)


def _trees(rule: Rule) -> list[Node]:
    return [parse(text, rule.input_names).tree for text in rule.expressions]


def _may_leave_reals(tree: Node) -> bool:
    return any(
        isinstance(node, Binary) and node.operator == "**" and integer_exponent(node.right) is None
        for node in walk(tree)
    )


def _cpp(node: Node, names: Sequence[str], number: Callable[[float], str]) -> str:
    """Return an expression in C++, with constants as ``number`` writes them."""

    def inner(child: Node, least: int) -> str:
        text = _cpp(child, names, number)
        return f"( {text} )" if precedence(child) < least else text

    if isinstance(node, Number):
        return number(node.value)
    if isinstance(node, Input):
        return names[node.index]
    if isinstance(node, Neg):
        return f"-{inner(node.operand, POWER)}"
    if node.operator == "**":
        return f"std::pow( {inner(node.left, 0)}, {inner(node.right, 0)} )"
    own = precedence(node)
    right = inner(node.right, SIGN + 1 if own == PRODUCT else PRODUCT)
    right = f"( {right} )" if right.startswith("-") else right
    return f"{inner(node.left, own)} {node.operator} {right}"


def _cpp_number(value: float) -> str:
    text = number_text(value)
    return text if "." in text or "e" in text else f"{text}.0"


def _cpp_complex_number(value: float) -> str:
    return f"std::complex< double >( {_cpp_number(value)} )"


def pynest_script(rule: Rule) -> str | None:
    """Return a complete PyNEST script; None where no synapse model has the rule's inputs."""
    template = _SCRIPTS.get(rule.signature)
    if template is None:
        return None
    texts = dict(zip(rule.branch_names, rule.expressions, strict=True))
    return template.format(spikes=_SPIKES, **texts)
