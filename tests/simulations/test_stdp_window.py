"""Windows of spike timing against closed forms, and against a synapse in NEST."""

from __future__ import annotations

import numpy as np
import pytest

from simulations.stdp_window import pair_window, whole_window

INTERVALS_MS = np.array([-200.0, -40.0, -20.0, -0.1, 0.0, 20.0, 40.0, 200.0])
TRACE = np.exp(-np.abs(INTERVALS_MS) / 20.0)


def test_a_pair_rule_depresses_before_and_facilitates_after() -> None:
    window = pair_window(("w*E", "(1 - w)*E"), (0.25, 0.5), INTERVALS_MS)
    for row, w in zip(window, (0.25, 0.5), strict=True):
        expected = np.where(INTERVALS_MS < 0, -w * TRACE, (1 - w) * TRACE)
        np.testing.assert_allclose(row, expected, rtol=1e-14)


def test_negative_bases_have_the_real_part_of_the_complex_power() -> None:
    (row,) = pair_window(("0", "(w - 1)**E"), (0.5,), INTERVALS_MS[4:])
    expected = [(complex(-0.5) ** e).real for e in TRACE[4:]]
    np.testing.assert_allclose(row, expected, rtol=1e-12)


@pytest.mark.parametrize("far_ms", [np.inf, 200.0])
def test_spikes_act_alone_as_well(far_ms: float) -> None:
    (row,) = whole_window(("w - E", "E - w"), (0.3,), INTERVALS_MS, far_ms=far_ms)
    far = np.exp(-far_ms / 20.0)
    # Before: -(w - E) by the pair, and E_far - w by the postsynaptic spike. After: likewise.
    expected = (TRACE - 0.3) + (far - 0.3)
    np.testing.assert_allclose(row, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.nest
@pytest.mark.parametrize("interval_ms", [-30.0, -5.0, 5.0, 30.0])
def test_a_synapse_changes_by_the_whole_window(interval_ms: float) -> None:
    from simulations import kernel

    texts, rate, weight = ("w*E - w - E", "E - w"), 0.01, 0.5
    nest = kernel.prepare(0.1, ["stdp_sympy_synapse_module"])
    post_ms, delay_ms = 300.0, 1.0
    # As in NEST, postsynaptic spikes reach the synapse after the delay.
    pre_ms = post_ms + delay_ms - interval_ms
    pre, post = (
        nest.Create("spike_train_injector", params={"spike_times": times})
        for times in ([pre_ms, 2000.0], [post_ms - delay_ms])
    )
    neuron = nest.Create("parrot_neuron", params={"tau_minus": 20.0})
    nest.Connect(post, neuron, syn_spec={"delay": delay_ms})
    nest.SetDefaults("stdp_sympy_synapse", {
        "expr_depress": texts[0], "expr_facilitate": texts[1], "lambda": rate, "Wmax": 1.0,
        "tau_plus": 20.0,
    })  # fmt: skip
    nest.Connect(pre, neuron, syn_spec={
        "synapse_model": "stdp_sympy_synapse", "weight": weight, "delay": delay_ms,
        "receptor_type": 1,
    })  # fmt: skip
    nest.Simulate(2100.0)
    found = nest.GetConnections(pre, neuron, synapse_model="stdp_sympy_synapse").weight
    (change,) = whole_window(texts, (weight,), np.array([interval_ms]))
    after = weight + rate * change[0]
    # The last presynaptic spike, with which the synapse changes, depresses once more.
    far = np.exp(-(2000.0 - delay_ms - post_ms) / 20.0)
    expected = after - rate * (after * far - after - far)
    # A change is a share of the weight that the one before has left: errors are of second order.
    assert found == pytest.approx(expected, abs=2 * rate**2)
