"""Plots hold exactly what the history says, in few points."""

from __future__ import annotations

import json
import math

import pytest

from evolution.plots import MAX_LEGEND_ENTRIES, ChampionCurve, champion_figure, step_columns

CURVE = ChampionCurve(
    run=7,
    label="Run 1, seed 5",
    color=3,
    improvements=((0, -800.0, "u"), (4, -40.0, "v - u"), (9, -2.0, "(v - u)*s")),
    last_generation=2000,
)


def _value_at(columns: dict[str, list], generation: float) -> float:
    """Read a stepped curve as an eye does: the last corner to the left."""
    index = max(i for i, corner in enumerate(columns["generation"]) if corner <= generation)
    return columns["value"][index]


def test_a_stepped_curve_is_exact_at_every_generation_in_two_points_per_improvement():
    columns = step_columns(CURVE, is_log=False)
    history = [-800.0] * 4 + [-40.0] * 5 + [-2.0] * 1992
    assert [_value_at(columns, generation) for generation in range(2001)] == history
    assert len(columns["generation"]) == 6
    assert columns["generation"][-1] == 2000
    assert columns["rule"] == ["u", "u", "v - u", "v - u", "(v - u)*s", "(v - u)*s"]


def test_the_logarithmic_scale_draws_the_error():
    columns = step_columns(CURVE, is_log=True)
    assert columns["value"] == [800.0, 800.0, 40.0, 40.0, 2.0, 2.0]
    assert columns["fitness"][0] == -800.0


def test_a_fitness_that_is_no_error_is_left_out_of_the_logarithmic_scale():
    curve = ChampionCurve(1, "Run 1", 0, ((0, -3.0, "u"), (1, 0.0, "v"), (2, 5.0, "s")), 3)
    values = step_columns(curve, is_log=True)["value"]
    assert values[:2] == [3.0, 3.0]
    assert all(math.isnan(value) for value in values[2:])


def test_a_run_without_fitness_has_an_empty_curve():
    curve = ChampionCurve(1, "Run 1", 0, (), -1)
    assert step_columns(curve, is_log=True)["generation"] == []


@pytest.mark.parametrize(("scale", "label"), [("log", "error (mV)"), ("linear", "minus the error")])
def test_the_figure_is_json_for_bokehjs_with_a_curve_per_run(scale, label):
    from bokeh.embed import json_item

    figure = champion_figure([CURVE], y_label=label, scale=scale)
    assert figure.yaxis.axis_label == label
    assert figure.xaxis.axis_label == "generation"
    assert figure.legend[0].items[0].label.value == "Run 1, seed 5"
    text = json.dumps(json_item(figure))
    assert '"run-7"' in text
    assert '"improvements-7"' in text
    # Content-Security-Policy without unsafe-eval: nothing that BokehJS would have to evaluate.
    assert "CustomJS" not in text


def test_many_runs_have_no_legend():
    curves = [
        ChampionCurve(run, f"Run {run}", 0, ((0, -1.0, "u"),), 5)
        for run in range(MAX_LEGEND_ENTRIES + 1)
    ]
    assert champion_figure(curves, y_label="error", scale="log").legend == []
    few = curves[:MAX_LEGEND_ENTRIES]
    assert len(champion_figure(few, y_label="error", scale="log").legend[0].items) == len(few)
