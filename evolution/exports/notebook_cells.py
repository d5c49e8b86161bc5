"""The code of notebooks, by the inputs of the rule; ``$branch`` stands for its expression."""

from __future__ import annotations

from evolution.exports.reading import CONTINUOUS, PAIRS, REWARD

_PLOT_CONTINUOUS = """\
import matplotlib.pyplot as plt

v = np.linspace(-75.0, -45.0, 200)
for u in (-70.0, -60.0, -50.0):
    with np.errstate(all="ignore"):
        plt.plot(v, np.broadcast_to(plasticity_rule(v, u, 1.0), v.shape), label=f"u = {u:g} mV")
plt.xlabel("target potential v in mV")
plt.ylabel("delta_w where s = 1 mV")
plt.legend()
plt.show()"""

_PLOT_REWARD = """\
import matplotlib.pyplot as plt

E = np.linspace(-2.0, 2.0, 200)
for R in (-1.0, 1.0):
    with np.errstate(all="ignore"):
        plt.plot(E, np.broadcast_to(plasticity_rule(R, E), E.shape), label=f"reward R = {R:+g}")
plt.xlabel("eligibility trace E")
plt.ylabel("delta_w")
plt.legend()
plt.show()"""

_PLOT_PAIRS = """\
import matplotlib.pyplot as plt

E = np.linspace(0.0, 2.0, 200)
figure, axes = plt.subplots(1, 2, sharey=True, layout="constrained", figsize=(9, 4))
for w in (0.1, 0.5, 0.9):
    with np.errstate(all="ignore"):
        values = plasticity_rule(w, E)
    for axis, value in zip(axes, values):
        axis.plot(E, np.broadcast_to(value, E.shape), label=f"w = {w:g}")
for axis, name in zip(axes, ("depress", "facilitate")):
    axis.set(xlabel="spike trace E", title=name)
axes[0].legend()
plt.show()"""

_ABOUT_CONTINUOUS = """\
A student learns the membrane potential of a teacher. Both get the same three spike trains; the
student sees the teacher's potential every 5 ms. Dashed lines are the weights of the teacher."""

_CONTINUOUS = """\
import nest
import nest_build

nest.ResetKernel()
nest.verbosity = nest.VerbosityLevel.ERROR
nest.Install(nest_build.module_path("us_sympy_synapse_module"))
nest.resolution = 0.1

generators = nest.Create("poisson_generator", 3, [{"rate": rate} for rate in (200.0, 400.0, 800.0)])
spike_trains = nest.Create("parrot_neuron", 3)
nest.Connect(generators, spike_trains, "one_to_one")

# Spikes do not reset the neurons.
neuron = {"rho": 0.2, "delta": 1.0, "reset_after_spike": False, "target_interval": 5.0}
teacher = nest.Create("iaf_psc_exp_escape", 1, neuron)
student = nest.Create("iaf_psc_exp_escape", 1, neuron)
recorders = nest.Create("multimeter", 2, {"record_from": ["V_m"], "interval": 1.0})
nest.Connect(recorders[0], teacher)
nest.Connect(recorders[1], student)

# The clock of the synapses has to be newer than the neurons.
clock = nest.Create("volume_transmitter")
rule = {"expr": "$delta_w", "eta": 1.7, "tau_I": 100.0, "volume_transmitter": clock}
nest.SetDefaults("us_sympy_synapse", rule)

teacher_weights = np.array([10.0, 25.0, 15.0])
nest.Connect(spike_trains, teacher, syn_spec={"weight": teacher_weights[np.newaxis], "delay": 1.0})
synapse = {"synapse_model": "us_sympy_synapse", "weight": 5.0}
nest.Connect(spike_trains, student, syn_spec=synapse)
nest.Connect(teacher, student, syn_spec={"synapse_model": "rate_connection_delayed"})
synapses = nest.GetConnections(spike_trains, student)

times = np.arange(0.0, 30.1, 0.5)
weights = [synapses.weight]
for _ in times[1:]:
    nest.Simulate(500.0)
    weights.append(synapses.weight)
potentials = np.array([recorder.events["V_m"] for recorder in recorders])

figure, (left, right) = plt.subplots(1, 2, layout="constrained", figsize=(9, 4))
for index, weight in enumerate(np.transpose(weights)):
    left.plot(times, weight, color=f"C{index}")
    left.axhline(teacher_weights[index], color=f"C{index}", linestyle="--")
left.set(xlabel="time in s", ylabel="weight in pA", title="Weights of the student")
right.plot(np.arange(200), potentials[0, -200:], label="teacher")
right.plot(np.arange(200), potentials[1, -200:], label="student")
right.set(xlabel="time in ms", ylabel="potential in mV", title="The last 200 ms")
right.legend()
plt.show()
with np.errstate(all="ignore"):
    error = np.sqrt(np.mean((potentials[0, -1000:] - potentials[1, -1000:]) ** 2))
print("weights:", *(f"{weight:.6g}" for weight in weights[-1]))
print(f"error in the last second: {error:.4g} mV")"""

_ABOUT_REWARD = """\
A neuron with 30 inputs sees one of two patterns of input spikes in each trial. The answer is right
if it spikes for the first pattern and is silent for the second one; then the reward is +1, else it
is -1."""

_REWARD = """\
import nest
import nest_build

nest.ResetKernel()
nest.verbosity = nest.VerbosityLevel.ERROR
nest.Install(nest_build.module_path("usrl_synapse_module"))
nest.resolution = 0.1
trial_ms, n_trials, n_inputs = 200.0, 60, 30

rng = np.random.default_rng(1)
patterns = [np.sort(rng.integers(1, 1950, (n_inputs, 2))) * 0.1 for _ in range(2)]
presented = rng.integers(0, 2, n_trials)
inputs = nest.Create("spike_train_injector", n_inputs)
for index, node in enumerate(inputs):
    trains = [(k + 1) * trial_ms + patterns[p][index] for k, p in enumerate(presented)]
    # Sent 20 ms early over a delay of 20 ms: long slices are fast.
    node.spike_times = np.unique(np.round(np.concatenate(trains) - 20.0, 1))

trials = {"trial_duration": trial_ms, "first_trial": trial_ms}
target_class = np.where(presented == 0, 1.0, -1.0)
neuron = nest.Create("usrl_trial_neuron", 1, {**trials, "target_class": target_class})
clock = nest.Create("volume_transmitter", 1, {"deliver_interval": 10})
rule = {"expr": "$delta_w", "eta": 1.0, "volume_transmitter": clock}
nest.SetDefaults("usrl_trial_synapse", rule)
weights = rng.normal(0.0, 1000.0, (1, n_inputs))
synapse = {"synapse_model": "usrl_trial_synapse", "weight": weights, "delay": 20.0}
nest.Connect(inputs, neuron, syn_spec=synapse)

nest.Simulate((n_trials + 1) * trial_ms)
# A neuron whose weights are no longer finite has stopped.
reward = np.array(neuron.reward)

plt.step(np.arange(1, len(reward) + 1), np.cumsum(reward), where="mid")
plt.xlabel("trial")
plt.ylabel("sum of the rewards so far")
plt.show()
print("reward of the first and the last 20 trials:", sum(reward[:20]), sum(reward[-20:]))"""

_ABOUT_PAIRS = """\
Pairs of one presynaptic and one postsynaptic spike change a weight that starts at 0.5. A second
presynaptic spike half a second later makes NEST bring the synapse up to date. The same is computed
by hand with the function above."""

_PAIRS = """\
import nest
import nest_build

w_before, step, tau_ms, first_ms, second_ms = 0.5, 0.1, 20.0, 100.0, 600.0
lags_ms = np.arange(-57.5, 60.0, 5.0)  # from the presynaptic to the postsynaptic spike

nest.ResetKernel()
nest.verbosity = nest.VerbosityLevel.ERROR
nest.Install(nest_build.module_path("stdp_sympy_synapse_module"))
nest.resolution = 0.1
constants = {"lambda": step, "Wmax": 1.0, "tau_plus": tau_ms}
expressions = {"expr_depress": "$depress", "expr_facilitate": "$facilitate"}
nest.CopyModel("stdp_sympy_synapse", "rule", {**constants, **expressions})
synapse = {"synapse_model": "rule", "weight": w_before, "delay": 1.0, "receptor_type": 1}
synapses = []
for lag_ms in lags_ms:
    before = nest.Create("spike_train_injector", 1, {"spike_times": [first_ms, second_ms]})
    # The spike needs 1 ms to the neuron, which repeats it, and 1 ms back to the synapse.
    source = nest.Create("spike_train_injector", 1, {"spike_times": [first_ms + lag_ms - 2.0]})
    after = nest.Create("parrot_neuron", 1, {"tau_minus": tau_ms})
    nest.Connect(source, after, syn_spec={"delay": 1.0})
    nest.Connect(before, after, syn_spec=synapse)
    synapses.append(nest.GetConnections(before, after))
nest.Simulate(second_ms + 10.0)
simulated = np.array([connection.weight for connection in synapses])


def by_hand(lag_ms):
    spikes = [(first_ms, "pre"), (first_ms + lag_ms, "post"), (second_ms, "pre")]
    w, K_plus, K_minus, now_ms = w_before, 0.0, 0.0, 0.0
    for time_ms, kind in sorted(spikes):
        decay = np.exp(-(time_ms - now_ms) / tau_ms)
        K_plus, K_minus, now_ms = K_plus * decay, K_minus * decay, time_ms
        if kind == "pre":
            w = w - step * plasticity_rule(w, K_minus)[0]
            w, K_plus = w if w > 0.0 else 0.0, K_plus + 1.0
        else:
            w = w + step * plasticity_rule(w, K_plus)[1]
            w, K_minus = w if w < 1.0 else 1.0, K_minus + 1.0
    return float(w)


with np.errstate(all="ignore"):
    computed = np.array([by_hand(lag_ms) for lag_ms in lags_ms])

plt.axhline(0.0, color="0.7")
plt.plot(lags_ms, computed - w_before, label="by hand")
plt.plot(lags_ms, simulated - w_before, "o", label="NEST")
plt.xlabel("time from the presynaptic to the postsynaptic spike in ms")
plt.ylabel("change of the weight")
plt.legend()
plt.show()
with np.errstate(all="ignore"):
    print(f"largest difference: {np.max(np.abs(simulated - computed)):.2g}")"""

PLOTS = {CONTINUOUS: _PLOT_CONTINUOUS, REWARD: _PLOT_REWARD, PAIRS: _PLOT_PAIRS}

#: What the simulation shows, and its code.
SIMULATIONS = {
    CONTINUOUS: (_ABOUT_CONTINUOUS, _CONTINUOUS),
    REWARD: (_ABOUT_REWARD, _REWARD),
    PAIRS: (_ABOUT_PAIRS, _PAIRS),
}
