"""The rule as a synapse model in NESTML, the modelling language of NEST.

NESTML has real numbers only, and NEST brings its synapses up to date at events: presynaptic
spikes, postsynaptic ones, and those of a volume transmitter. What a rule needs beyond that cannot
be said, and is refused with the reason.
"""

from __future__ import annotations

from decimal import Decimal
from string import Template
from typing import TYPE_CHECKING

from evolution.exports.reading import (
    CONTINUOUS,
    PAIRS,
    REWARD,
    Inexpressible,
    expressions,
    may_leave_reals,
    require_synapse_model,
)
from nest_build.rules.tree import render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evolution.models import Rule
    from nest_build.rules.tree import Node

_PAIRS = """\
# plasticity_rule_synapse - spike-timing dependent plasticity of all pairs of spikes
# ##################################################################################
#
# The normalized weight w = w_syn / Wmax and the spike trace E of the other neuron change w
#
#   at a postsynaptic spike to   min(1, w + lambda * facilitate),
#   at a presynaptic spike to    max(0, w - alpha * lambda * depress)
#
# with facilitate = $facilitate_text
# and depress = $depress_text
#
# There are no other bounds. A value that is not a number makes w 1 at a postsynaptic spike and 0 at
# a presynaptic one. The variable of the weight is w_syn; the delay is dendritic.
#
model plasticity_rule_synapse:
    state:
        w_syn real = 1.0      # weight
        K_plus real = 0.0     # trace of presynaptic spikes
        K_minus real = 0.0    # trace of postsynaptic spikes

    parameters:
        lambda real = 0.01       # step size
        alpha real = 1.0         # step size of depression relative to that of facilitation
        Wmax real = 100.0        # weight at which w is 1
        tau_plus ms = 20 ms      # time constant of K_plus
        tau_minus ms = 20 ms     # time constant of K_minus

    equations:
        K_plus' = -K_plus / tau_plus
        K_minus' = -K_minus / tau_minus

    input:
        pre_spikes <- spike
        post_spikes <- spike

    output:
        spike

    onReceive(post_spikes):
        w real = w_syn / Wmax
        E real = K_plus
        facilitate real = $facilitate
        w = w + lambda * facilitate
        if w < 1.0:
            w_syn = w * Wmax
        else:
            w_syn = Wmax
        K_minus += 1.0

    onReceive(pre_spikes):
        w real = w_syn / Wmax
        E real = K_minus
        depress real = $depress
        w = w - alpha * lambda * depress
        if w > 0.0:
            w_syn = w * Wmax
        else:
            w_syn = 0.0
        K_plus += 1.0
        emit_spike(w_syn)

    update:
        integrate_odes()
"""

_CONTINUOUS = """\
# plasticity_rule_synapse - plasticity that is integrated in every time step
# ##########################################################################
#
#   I <- I * exp(-h / tau_I) + (1 - exp(-h / tau_I)) * delta_w,    w_syn <- w_syn + eta * I * h
#
#   delta_w = $delta_w_text
#
# with the target potential v (v_target) and the membrane potential u (u_post) of the postsynaptic
# neuron in mV, and the presynaptic spike train s, filtered as by a neuron with currents that decay
# exponentially, in mV. The variable of the weight is w_syn.
#
# A synapse in NEST follows the potentials of a neuron only where an event makes it look at them.
# So clock_spikes is a volume transmitter (deliver_interval 1, created after the neurons) that
# receives one spike in each time step, from before the first presynaptic spike on; and all delays
# of the network are one time step, as is assumed for s. Spikes are sent with the weight of the
# beginning of their time step. tau_m and tau_syn must differ.
#
model plasticity_rule_synapse:
    state:
        w_syn real = 1.0           # weight
        w_sent real = 1.0          # weight at the beginning of the time step
        psc pA = 0 pA              # synaptic current of the filter
        psp mV = 0 mV              # filtered spike train, one delay early
        psp_arrived mV = 0 mV      # filtered spike train
        I real = 0.0               # low-pass filtered rule

    parameters:
        eta real = 0.001           # learning rate
        tau_I ms = 500 ms          # time constant of the low-pass filter of the rule
        tau_syn ms = 2 ms          # time constant of the synaptic current in the filter of spikes
        tau_m ms = 10 ms           # membrane time constant in the filter of spikes
        C_m pF = 250 pF            # capacitance in the filter of spikes

    equations:
        psc' = -psc / tau_syn
        psp' = -psp / tau_m + psc / C_m

    input:
        pre_spikes <- spike
        clock_spikes <- spike
        v_target mV <- continuous
        u_post mV <- continuous

    output:
        spike

    onReceive(clock_spikes):
        v_ real = v_target / (1 mV)
        u_ real = u_post / (1 mV)
        s_ real = psp_arrived / (1 mV)
        delta_w real = $delta_w
        decay real = exp(-resolution() / tau_I)
        I = I * decay + (1.0 - decay) * delta_w
        w_sent = w_syn
        w_syn = w_syn + eta * I * (resolution() / (1 ms))
        psp_arrived = psp

    onReceive(pre_spikes):
        psc += 1 pA
        emit_spike(w_sent)

    update:
        integrate_odes()
"""

_NO_REWARD = (
    "The reward comes at the end of a trial from whoever judges the trial, and the next trial "
    "begins at rest. A NESTML synapse learns of spikes and of its postsynaptic neuron only."
)
#: NESTML writes constants with nine digits into C++, and drops zeros at the end of exponents.
_N_DIGITS = 9
_SMALLEST, _LARGEST = 1e-290, 1e290
_LARGEST_EXACT_POWER = 22


def nestml_model(rule: Rule) -> str:
    """Return a synapse model for a neuron that NESTML generates together with it.

    Raises
    ------
    Inexpressible
        If NESTML cannot say what the rule means.
    """
    require_synapse_model(rule)
    if rule.signature == REWARD:
        raise Inexpressible(_NO_REWARD)
    template, names, never_negative = {
        # Spike traces begin at zero and grow.
        PAIRS: (_PAIRS, ("w", "E"), (1,)),
        # `s` alone is the unit of time.
        CONTINUOUS: (_CONTINUOUS, ("v_", "u_", "s_"), ()),
    }[rule.signature]
    values = {}
    for branch, expression in expressions(rule).items():
        if may_leave_reals(expression.tree, never_negative):
            raise Inexpressible(
                "A power of this rule can leave the real numbers where its base is negative, and "
                "NESTML has no complex numbers."
            )
        values[branch] = nestml_expression(expression.tree, names)
        values[f"{branch}_text"] = str(expression)
    return Template(template).substitute(values)


def nestml_expression(node: Node, names: Sequence[str]) -> str:
    """Return an expression in NESTML.

    Parameters
    ----------
    node : Node
        An expression that does not leave the real numbers.
    names : sequence of str
        Names of its inputs.
    """
    return render(node, names, _number)


def _number(value: float) -> str:
    if value == 0 or (1e-4 <= value < 1e9 and float(f"{value:.{_N_DIGITS}g}") == value):
        return repr(value)
    if not _SMALLEST < value < _LARGEST:
        raise Inexpressible(f"The constant {value!r} is beyond what NESTML can write.")
    # Whole numbers are written with all their digits.
    _, digits, exponent = Decimal(repr(value)).as_tuple()
    whole = int("".join(map(str, digits)))
    if -_LARGEST_EXACT_POWER <= exponent < 0:
        return f"({whole} / 10.0**{-exponent})"
    return f"({whole} * 10.0**({exponent}))"
