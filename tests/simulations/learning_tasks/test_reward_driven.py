"""The reward-driven learning task: published inputs and values, an independent model, contract."""

from __future__ import annotations

import math
import resource
from pathlib import Path

import numpy as np
import pytest

from nest_build.rules import PlasticityRule
from simulations.evaluation import evaluate_rules
from simulations.learning_tasks import Reason, get_learning_task
from simulations.learning_tasks._reward_driven_simulation import Stimulus, slice_ms
from simulations.parameters import ParameterError
from tests.simulations.learning_tasks.contract import LearningTaskContract

pytestmark = pytest.mark.nest

TASK = get_learning_task("reward-driven")
PAPER = TASK.presets["paper"]
DEMO = TASK.presets["demo"]
SHORT = DEMO.task_parameters.with_changes(
    {"n_training_trials": 20, "pattern_duration_ms": 100.0, "n_inputs": 40, "n_trials": 2}
)
PUBLISHED = (
    Path(__file__).resolve().parents[4]
    / "shared/published/raw/reward-driven/9db4731418d083fcd3d0d9528f805aaa"
)
BASELINE = "E*(R - 1)"


def rules(*texts):
    return [PlasticityRule.parse(TASK.signature, [text]) for text in texts]


# ------------------------------------------------------------------ fidelity


@pytest.mark.skipif(not PUBLISHED.exists(), reason=f"no published data at {PUBLISHED}")
def test_published_inputs_and_classes_are_drawn_in_the_published_order():
    """In the published repetition 46 inputs were connected, which only shifts the order."""
    stimulus = Stimulus.draw(PAPER.task_parameters, PAPER.seed, connected=np.arange(46))
    trials = sorted(int(path.stem.split("-")[-1]) for path in PUBLISHED.glob("input-*.npy"))
    assert len(trials) >= 16
    for trial in trials:
        published = np.load(PUBLISHED / f"input-0-{trial}.npy", allow_pickle=True)
        pattern = stimulus.presented[trial]
        chosen = stimulus.pattern_ids == pattern
        for index, times_ms in enumerate(published):
            ours = stimulus.steps[chosen & (stimulus.input_ids == index)] * 0.01
            np.testing.assert_allclose(ours, times_ms, rtol=0, atol=1e-9)
        target_class, _ = np.load(PUBLISHED / f"output-0-{trial}.npy", allow_pickle=True)
        assert stimulus.target_classes[pattern] == target_class


#: Champions of the published runs that are different rules, and their published fitness.
CHAMPIONS = {
    BASELINE: 210.2,
    "R - 1/2 + E/(2*R)": 88.6,
    "-(R*E + (R - E)**2)/(R*(R - E))": 84.0,
    "R - 1 + E/R": 78.8,
    "R*(-R + 2*E)": 70.6,
}


def test_fitness_of_the_published_champions_is_met():
    """The random numbers of the escape noise and of the connections are others: in distribution.

    Within two standard errors of the mean of ten repetitions, and ranked as published.
    """
    published = np.array([236, 178, 254, 198, 246, 154, 150, 134, 398, 154])
    assert published.mean() == pytest.approx(CHAMPIONS[BASELINE])
    standard_error = published.std(ddof=1) / math.sqrt(len(published))
    evaluations = evaluate_rules(TASK, rules(*CHAMPIONS), PAPER.task_parameters, seed=PAPER.seed)
    fitness = [evaluation.fitness(TASK.aggregate) for evaluation in evaluations]
    assert fitness == pytest.approx(list(CHAMPIONS.values()), abs=2 * standard_error)
    assert min(fitness[0] - other for other in fitness[1:]) > 100.0


def simulated_step_by_step(rule, parameters, seed):
    """The whole training in Python, one step at a time, with a sharp threshold.

    Returns the rewards, and weights and eligibility traces at the end of each training trial.
    """
    p = parameters
    h = p.dt_ms
    stimulus = Stimulus.draw(p, seed)
    n_steps = round(p.pattern_duration_ms / h)
    arrivals = np.zeros((p.n_patterns, n_steps + round(2.0 / h), len(stimulus.connected)))
    for pattern, source, step in zip(
        stimulus.pattern_ids, stimulus.input_ids, stimulus.steps, strict=True
    ):
        # Generator to input to neuron: two delays. A spike at time k h is emitted in step k - 1.
        target = np.flatnonzero(stimulus.connected == source)
        arrivals[pattern, step + round(2.0 / h) - 1, target] += 1.0
    P11, P22 = math.exp(-h / 2.0), math.exp(-h / 10.0)
    P21 = 10.0 * 2.0 / (250.0 * 8.0) * (P22 - P11)
    PE = math.exp(-h / 500.0)
    weights = stimulus.initial_weights_pa.copy()
    rewards, history, eligibilities = [], [], []
    for pattern in stimulus.presented:
        V = current = 0.0
        psp, psc, E = (np.zeros(len(weights)) for _ in range(3))
        refractory = n_spikes = 0
        for step in range(n_steps):
            spike = False
            if refractory > 0:
                refractory -= 1
                u = -70.0
            else:
                V = V * P22 + current * P21
                u = -70.0 + V
                spike = u >= -55.0
            current = current * P11 + weights @ arrivals[pattern, step]
            if spike:
                V, refractory, n_spikes = 0.0, round(p.refractory_time_ms / h), n_spikes + 1
            psp, psc = psp * P22 + psc * P21, psc * P11 + arrivals[pattern, step]
            surprise = spike - 0.01 * math.exp((u + 55.0) / 5.0) * h
            E = E * PE + (1 - PE) / 5.0 * psp * surprise * 1e9
        answer = 1.0 if n_spikes else -1.0
        rewards.append(1.0 if answer == stimulus.target_classes[pattern] else -1.0)
        weights = weights + p.learning_rate * rule(rewards[-1], E)
        history.append(weights)
        eligibilities.append(E)
    return rewards, np.array(history), np.array(eligibilities)


@pytest.mark.parametrize(
    ("text", "function"),
    [
        (BASELINE, lambda R, E: E * (R - 1)),
        ("R*E/3 + 0.1*R", lambda R, E: R * E / 3 + 0.1 * R),
    ],
)
def test_a_trial_is_what_an_independent_model_computes(text, function):
    parameters = SHORT.with_changes({"delta_mv": 0.0, "initial_weight_sd_pa": 3000.0})
    (result,) = TASK.simulate_trial(rules(text), parameters, seed=6, record_traces=True)
    rewards, weights, eligibilities = simulated_step_by_step(function, parameters, 6)
    traces = result.traces.arrays
    assert traces["rewards"].tolist() == rewards
    assert {-1.0, 1.0} == set(rewards)
    assert result.value == sum(rewards)
    assert traces["weight_trials"].tolist() == list(range(21))
    assert np.abs(weights[-1] - traces["weights_pa"][0]).max() > 10.0
    np.testing.assert_allclose(traces["weights_pa"][1:], weights, rtol=1e-10, atol=1e-8)
    assert np.abs(eligibilities).max() > 0.1
    np.testing.assert_allclose(traces["eligibility"][1:], eligibilities, rtol=1e-10, atol=1e-10)


# ------------------------------------------------------------------ contract


class TestContract(LearningTaskContract):
    task = TASK
    parameters = SHORT
    longer = {"n_training_trials": 40}
    tame = ((BASELINE,), ("R*E",), ("E",), ("0.1",), ("-E + R*E",), ("R - E/R",))
    wild = (("E/(R - R)",), ("(E*1e200)**3",))


class TestContractWithFreshNoise(TestContract):
    parameters = SHORT.with_changes({"noise": "fresh"})


def test_fresh_noise_is_other_noise():
    noisy = SHORT.with_changes({"rho_hz": 2000.0, "delta_mv": 5.0})
    values = [
        TASK.simulate_trial(
            rules("0"), noisy.with_changes({"noise": noise}), seed=3, record_traces=True
        )[0].traces.arrays["output_spike_times_ms"]
        for noise in ("frozen", "fresh")
    ]
    assert min(map(len, values)) > 10
    assert not np.array_equal(*values)


PAPER_SHORT = SHORT.with_changes({"divergence": "silent"})


@pytest.mark.parametrize("text", ["E/(R - R)", "1e30 + 0*E"])
def test_a_simulation_ends_when_no_rule_is_finite_any_more(text):
    import nest

    whole_ms = (SHORT.n_training_trials + 1) * SHORT.pattern_duration_ms
    (dead,) = TASK.simulate_trial(rules(text), SHORT, seed=2)
    assert nest.biological_time < 0.3 * whole_ms
    assert dead.reason is Reason.NOT_FINITE
    tame, again = TASK.simulate_trial(rules(BASELINE, text), SHORT, seed=2)
    assert nest.biological_time == pytest.approx(whole_ms)
    assert (tame.reason, again) == (None, dead)


def test_a_rule_that_is_not_finite_is_never_silent():
    results = TASK.simulate_trial(rules("E/(R - R)", "(E*1e200)**3"), PAPER_SHORT, seed=1)
    for result in results:
        assert result.reason is Reason.NOT_FINITE
        assert "rule was not finite in training trial 1" in result.detail


def test_weights_beyond_all_bounds_are_invalid_or_silence_the_output():
    """The rule is finite, but the potentials that follow overflow the expected rate."""
    text = "1e30 + 0*E"
    (invalid,) = TASK.simulate_trial(rules(text), SHORT, seed=2)
    assert invalid.value is None
    assert invalid.reason is Reason.NOT_FINITE
    assert "grew beyond all bounds in training trial 2" in invalid.detail
    (silent,) = TASK.simulate_trial(rules(text), PAPER_SHORT, seed=2, record_traces=True)
    traces = silent.traces.arrays
    answers = -traces["target_classes"][traces["presented_patterns"]]
    assert traces["rewards"][2:].tolist() == answers[2:].tolist()
    assert silent.value == traces["rewards"].sum()


def test_traces_show_what_happened():
    parameters = SHORT.with_changes({"rho_hz": 1.0, "delta_mv": 2.0})
    (result,) = TASK.simulate_trial(rules(BASELINE), parameters, seed=3, record_traces=True)
    arrays = result.traces.arrays
    assert arrays["rewards"].sum() == result.value
    assert arrays["presented_patterns"].shape == (20,)
    assert arrays["target_classes"].shape == (10,)
    assert arrays["weights_pa"].shape == (21, len(arrays["connected_inputs"]))
    answered = np.isin(np.arange(20), arrays["output_spike_trials"])
    right = np.where(answered, 1.0, -1.0) == arrays["target_classes"][arrays["presented_patterns"]]
    assert np.where(right, 1.0, -1.0).tolist() == arrays["rewards"].tolist()
    for name in ("output_spike_times_ms", "pattern_spike_times_ms"):
        assert 0 < arrays[name].min() <= arrays[name].max() <= 100.0
    assert set(arrays["potential_trials"]) == {0, 1, 2, 3, 4, 15, 16, 17, 18, 19}
    assert arrays["potential_times_ms"][:100].tolist() == pytest.approx(list(range(1, 101)))
    assert arrays["potential_mv"].shape == (1000,)
    assert arrays["potential_mv"][0] == pytest.approx(-70.0, abs=5.0)


def test_the_baseline_learns_in_the_demo():
    evaluations = evaluate_rules(TASK, rules(BASELINE, "0"), DEMO.task_parameters, seed=DEMO.seed)
    learned, untrained = (np.mean(evaluation.trials) for evaluation in evaluations)
    assert learned > 60.0
    assert learned > untrained + 40.0


def test_extremes_are_simulated():
    for changes in (
        {"n_inputs": 1},
        {"input_rate_hz": 0.0},
        {"connection_probability": 0.0},
        {"connection_probability": 1.0},
        {"input_rate_hz": 1000.0, "dt_ms": 1.0},
        {"pattern_duration_ms": 97.0},
        {"refractory_time_ms": 0.0, "initial_weight_sd_pa": 1e5},
        {"n_training_trials": 1, "n_patterns": 1},
    ):
        parameters = SHORT.with_changes(changes)
        (result,) = TASK.simulate_trial(rules("R"), parameters, seed=5)
        assert abs(result.value) <= parameters.n_training_trials
        (traced,) = TASK.simulate_trial(rules("R"), parameters, seed=5, record_traces=True)
        assert traced.value == result.value


def test_slices_divide_the_duration():
    assert [slice_ms(duration) for duration in (500.0, 250.0, 97.0, 26.0)] == [25, 25, 1, 13]


@pytest.mark.parametrize(
    ("changes", "name", "message"),
    [
        ({"dt_ms": 0.03}, "", "divide 1 ms"),
        ({"pattern_duration_ms": 100.5}, "", "duration"),
        ({"refractory_time_ms": 0.25}, "", "refractory"),
        ({"n_inputs": 10_000, "input_rate_hz": 1000.0}, "", "input spikes"),
        ({"noise": "pink"}, "noise", "frozen"),
        ({"n_inputs": 0}, "n_inputs", "greater"),
        ({"connection_probability": 1.1}, "connection_probability", "less"),
        ({"learning_rate": float("nan")}, "learning_rate", "finite"),
        ({"no_such_parameter": 1}, "no_such_parameter", "no such parameter"),
    ],
)
def test_impossible_parameters_have_messages(changes, name, message):
    with pytest.raises(ParameterError) as error:
        SHORT.with_changes(changes)
    assert message in " ".join(error.value.messages[name])


def test_memory_is_flat_over_many_evaluations():
    batch = rules(*(f"{1 + 0.1 * index:g}*E*(R - 1)" for index in range(8)))
    for seed in range(5):
        TASK.simulate_trial(batch, SHORT, seed=seed)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(200):
        TASK.simulate_trial(batch, SHORT, seed=seed)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 10_000
