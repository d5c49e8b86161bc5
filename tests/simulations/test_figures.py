"""Panels of the paper's figures against the authors' published data and closed forms."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter

from evolution.published.files import read_pickle
from simulations.figures import FIGURE_NAMES, UnknownFigure, get_figure
from simulations.learning_tasks._correlation_driven_inputs import draw_inputs
from simulations.learning_tasks._reward_driven_simulation import Stimulus
from tests import published

GOLDEN = published.DIRECTORY.parent / "golden"


def series_of(panel: dict[str, Any], name: str) -> tuple[np.ndarray, np.ndarray]:
    (found,) = (own for own in panel["series"] if own["name"] == name)
    return np.array(found["x"], float), np.array(found["y"], float)


def simulated(name: str, *, is_quick: bool = False) -> dict[str, Any]:
    figure = get_figure(name)
    panels = figure.simulate(figure.rule(figure.shown_rule.expressions), is_quick=is_quick)
    return {panel["key"]: panel for panel in panels}


def test_an_unknown_figure_is_refused() -> None:
    with pytest.raises(UnknownFigure, match="fig3, fig4, fig5"):
        get_figure("fig6")


@pytest.mark.parametrize("name", FIGURE_NAMES)
def test_a_quick_figure_names_what_is_smaller(name: str) -> None:
    figure = get_figure(name)
    usual, quick = figure.parameters(), figure.parameters(is_quick=True)
    for key, value in quick.to_mapping().items():
        if value != usual.to_mapping()[key]:
            assert f"{value:g} instead of {usual.to_mapping()[key]:g}" in figure.quick_words()
    assert quick != usual
    assert (
        f"trials {figure.n_held_out_quick} instead of {figure.n_held_out}" in figure.quick_words()
    )


@pytest.mark.nest
@published.needs_published
def test_error_and_weights_are_the_published_ones() -> None:
    panels = simulated("fig4")
    traces = read_pickle(published.raw("error-driven/*/traces.pkl"))
    student, teacher = traces["data_u"]["V_m"], traces["data_u_teacher"]["V_m"]
    # Smoothed by another implementation, from its first value on.
    kept = np.exp(-1.0 / 10.0)
    distance = np.abs(student - teacher)
    smooth, _ = lfilter([1 - kept], [1, -kept], distance, zi=[kept * distance[0]])
    times_s, error = series_of(panels["4B"], "error")
    np.testing.assert_allclose(times_s, traces["data_u"]["times"][10:] * 1e-3)
    np.testing.assert_allclose(error, smooth[10:], rtol=1e-6, atol=1e-10)
    weights = np.array(traces["data_syn"])
    for index in range(5):
        # The authors sampled every 5 ms.
        times_s, own = series_of(panels["4C"], f"input {index}")
        places = np.round(times_s / 5e-3).astype(int)
        np.testing.assert_allclose(own, weights[places, index], rtol=1e-10)
        _, goal = series_of(panels["4C"], f"teacher, input {index}")
        np.testing.assert_allclose(goal, traces["data_syn_teacher"][index], rtol=1e-12)


@published.needs_published
def test_published_inputs_of_the_reward_driven_task_are_our_patterns() -> None:
    """Which pattern comes when depends on the number of connections, which NEST drew."""
    parameters = get_figure("fig3").parameters()
    trials = [*range(8), *range(492, 500)]
    shown = [
        published.object_array(published.raw(f"reward-driven/*/input-0-{trial}.npy"))
        for trial in trials
    ]
    for n_connections in range(parameters.n_inputs + 1):
        stimulus = Stimulus.draw(parameters, 11231, connected=np.arange(n_connections))
        if all(
            _is_pattern(stimulus, stimulus.presented[trial], inputs, parameters.dt_ms)
            for trial, inputs in zip(trials, shown, strict=True)
        ):
            break
    else:
        pytest.fail("no number of connections gives the published order of patterns")
    targets = [
        published.object_array(published.raw(f"reward-driven/*/output-0-{trial}.npy"))[0]
        for trial in trials
    ]
    assert targets == stimulus.target_classes[stimulus.presented[trials]].tolist()


def _is_pattern(stimulus: Stimulus, pattern: int, inputs: np.ndarray, dt_ms: float) -> bool:
    own = stimulus.pattern_ids == pattern
    times_ms = stimulus.steps[own] * dt_ms
    ids = np.repeat(np.arange(len(inputs)), [len(train) for train in inputs])
    expected = np.concatenate(list(inputs))
    return (
        len(times_ms) == len(expected)
        and bool((stimulus.input_ids[own] == ids).all())
        and bool(np.allclose(times_ms, expected, atol=1e-9))
    )


@pytest.mark.nest
def test_rasters_show_spikes_and_rewards_of_the_trials() -> None:
    figure = get_figure("fig3")
    parameters = figure.parameters(is_quick=True)
    stimulus = Stimulus.draw(parameters, figure.preset.seed)
    panels = simulated("fig3", is_quick=True)
    n = parameters.n_training_trials
    for key, first in (("3B-early", 0), ("3B-late", n - 8)):
        panel = panels[key]
        inputs_s, rows = series_of(panel, "input")
        outputs_s, _ = series_of(panel, "output")
        right_s, _ = series_of(panel, "right: R = +1")
        wrong_s, _ = series_of(panel, "wrong: R = −1")
        assert len(right_s) + len(wrong_s) == 8
        for trial in range(first, first + 8):
            start, end = trial * 0.5, (trial + 1) * 0.5
            own = stimulus.pattern_ids == stimulus.presented[trial]
            shown = (inputs_s > start) & (inputs_s <= end)
            assert sorted(rows[shown]) == sorted(stimulus.input_ids[own])
            # The reward follows from spikes and target, as the task defines it.
            has_spiked = bool(((outputs_s > start) & (outputs_s <= end)).any())
            should_spike = stimulus.target_classes[stimulus.presented[trial]] > 0
            is_right = bool(((right_s > start) & (right_s < end)).any())
            assert is_right == (has_spiked == should_spike)
            bands = [band for band in panel["bands"] if np.isclose(band["start"], start)]
            assert bool(bands) == should_spike


@published.needs_published
def test_inputs_with_the_pattern_are_the_published_ones() -> None:
    panel = next(p for p in get_figure("fig5").panels_of_rule(None) if p["key"] == "5B")
    theirs = published.object_array(published.raw("correlation_based/*/Fig5B_spikes.npy"))
    parameters = json.loads(published.raw("correlation_based/*/Fig5B_params.json").read_text())
    times_s, ids = series_of(panel, "input")
    ours = [np.round(times_s[ids == index] * 1e3, 1) for index in range(len(theirs))]
    onsets = [0.1 + parameters["T_inter"]]
    while onsets[-1] + 500.0 < parameters["T"]:
        onsets.append(onsets[-1] + parameters["T_stim"] + parameters["T_inter"])
    assert [band["start"] * 1e3 for band in panel["bands"]] == pytest.approx(onsets)
    assert [band["end"] * 1e3 for band in panel["bands"]] == pytest.approx(
        [onset + parameters["T_stim"] for onset in onsets]
    )
    assert sum(map(len, ours)) == sum(map(len, theirs)) == 2293
    for own, published_train in zip(ours, theirs, strict=True):
        # The authors thinned the rest with another seed for this panel: as many spikes remain.
        assert len(own) == len(published_train)
        for onset in onsets:
            in_window = [
                np.sort(train[(train > onset) & (train <= onset + 100.0)])
                for train in (own, np.round(published_train, 1))
            ]
            np.testing.assert_allclose(*in_window, atol=0.05)


@pytest.mark.nest
@pytest.mark.skipif(not GOLDEN.exists(), reason=f"the reference results ({GOLDEN}) are not here")
def test_the_simulation_with_homeostatic_stdp_is_that_of_the_authors_code() -> None:
    """Number of spikes, and the signal-to-noise ratio in the replay that the authors made."""
    figure = get_figure("fig5")
    (shown,) = figure.learning_task.simulate_trial(
        [figure.rule(figure.shown_rule.expressions)],
        figure.parameters().with_changes({"replay_protocol": "validation"}),
        seed=figure.preset.seed,
        record_traces=True,
    )
    expected = json.loads((GOLDEN / "correlation_as_run.json").read_text())["homeostatic"]
    assert len(shown.traces.arrays["spike_times_ms"]) == expected["n_post_spikes"][0]
    assert shown.value == pytest.approx(expected["snr"][0], rel=1e-3)


@pytest.mark.nest
def test_potentials_are_those_of_three_seconds() -> None:
    figure = get_figure("fig5")
    panels = simulated("fig5", is_quick=True)
    starts = {"5C-early": 0.0, "5C-middle": 4.0, "5C-late": 19.0}
    statistics = figure.parameters(is_quick=True).input_statistics()
    assert draw_inputs(statistics, figure.preset.seed, 0).is_in_pattern.any()
    for key, start in starts.items():
        times_s, potential = series_of(panels[key], "potential")
        spikes_s, _ = series_of(panels[key], "spikes")
        assert times_s.min() >= start
        assert times_s.max() < start + 1.0
        assert potential.max() < 20.0
        # After each spike the potential rests at the reset for the refractory period of 2 ms.
        for spike_s in spikes_s:
            rests = (times_s > spike_s) & (times_s < spike_s + 1.9e-3)
            assert (potential[rests] == 0.0).all()
        assert [band["start"] - start for band in panels[key]["bands"]] == pytest.approx(
            [0.4001, 0.9001]
        )


def test_windows_are_the_rules_of_the_paper() -> None:
    panels = {panel["key"]: panel for panel in get_figure("fig5").panels_of_rule(None)}

    def trace(t: np.ndarray) -> np.ndarray:
        return np.exp(-np.abs(t) / 20.0)

    rate = 0.01
    for key, depress, facilitate in (
        ("5E", lambda w, e: w * e - w - e, lambda w, e: e - w),
        ("5F", lambda w, e: e / w - w, lambda w, e: (w * e) ** w - 1.0),
    ):
        effective = panels[{"5E": "5H", "5F": "5I"}[key]]
        for w in (0.25, 0.5, 0.75):
            t, y = series_of(panels[key], f"w = {w:g}")
            before, after = t < 0, t >= 0
            np.testing.assert_allclose(y[before], -rate * depress(w, trace(t[before])), rtol=1e-9)
            np.testing.assert_allclose(y[after], rate * facilitate(w, trace(t[after])), rtol=1e-9)
            far = np.exp(-10.0)
            _, half = series_of(effective, f"w = {w:g}")
            np.testing.assert_allclose(
                half[before], (y[before] + rate * facilitate(w, far)) / 2, rtol=1e-9, atol=1e-15
            )
            np.testing.assert_allclose(
                half[after], (y[after] - rate * depress(w, far)) / 2, rtol=1e-9, atol=1e-15
            )
    t, y = series_of(panels["5G"], "w = 0.5")
    # Masquelier (2018): lambda * exp(-t / tau) + w_out at the postsynaptic spike, else w_out.
    np.testing.assert_allclose(y[t >= 0], 0.01 * trace(t[t >= 0]) - 0.0015, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(y[t < 0], -0.0015, rtol=1e-9)


def test_a_chosen_rule_takes_the_place_of_the_first_one() -> None:
    figure = get_figure("fig5")
    panels = {own["key"]: own for own in figure.panels_of_rule(figure.rule(("w", "E")))}
    assert panels["5E"]["title"] == "w ; E"
    t, y = series_of(panels["5E"], "w = 0.25")
    np.testing.assert_allclose(y[t < 0], -0.0025)
    assert panels["5F"]["title"] == "LR2 (run 19)"


def test_a_rule_that_fails_at_once_says_so() -> None:
    figure = get_figure("fig3")
    with pytest.raises(ValueError, match="not finite"):
        figure.panels({"rewards": np.empty(0)}, figure.parameters(), "E")


@pytest.mark.nest
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("fig3", ("E/(R - R)",)),
        ("fig4", ("(v*u)**9*s",)),
        ("fig5", ("-1/w", "10**9*E")),
        ("fig5", ("w/(E - E)", "w/(E - E)")),
    ],
)
def test_rules_that_diverge_have_panels_of_what_is_finite(name: str, texts: tuple) -> None:
    figure = get_figure(name)
    rule = figure.rule(texts)
    panels = [*figure.simulate(rule, is_quick=True), *figure.panels_of_rule(rule)]
    assert {panel["key"] for panel in panels} >= set(figure.simulated)
    assert json.dumps(panels, allow_nan=False)
