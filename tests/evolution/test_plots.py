"""Plots hold exactly what the history says, in few points."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from evolution.plots import (
    MAX_LEGEND_ENTRIES,
    ChampionCurve,
    champion_figure,
    largest_steps,
    step_columns,
)
from tests.evolution.bokeh_json import figure_of

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
    text = champion_figure([CURVE], y_label=label, scale=scale)
    figure = figure_of(text)
    assert figure.yaxis.axis_label == label
    assert figure.xaxis.axis_label == "generation"
    assert figure.legend[0].items[0].label.value == "Run 1, seed 5"
    assert '"curves-0"' in text
    # Content-Security-Policy without unsafe-eval: nothing that BokehJS would have to evaluate.
    assert "CustomJS" not in text


def _runs(count: int, n_improvements: int = 1) -> list[ChampionCurve]:
    improvements = tuple((5 * i, -1000.0 / 2**i, f"{i}*u") for i in range(n_improvements))
    return [
        ChampionCurve(run, f"Run {run}", run % 8, improvements, 5 * n_improvements)
        for run in range(count)
    ]


def _corners(figure, run: int) -> list[tuple[float, float]]:
    """Return what is drawn of a run: its points, which no gap may part."""
    found = []
    for source in {renderer.data_source for renderer in figure.renderers}:
        rows = [row for row, name in enumerate(source.data["run"]) if name == run]
        assert rows == list(range(rows[0], rows[-1] + 1)) if rows else True
        columns = source.data["generation"], source.data["value"]
        found += [tuple(column[row] for column in columns) for row in rows]
    return found


@pytest.mark.parametrize("count", [1, MAX_LEGEND_ENTRIES, MAX_LEGEND_ENTRIES + 1, 100])
def test_every_run_is_drawn_with_legend_or_without(count: int) -> None:
    curves = _runs(count, n_improvements=3)
    figure = figure_of(champion_figure(curves, y_label="error", scale="log"))
    for curve in curves:
        columns = step_columns(curve, is_log=True)
        expected = list(zip(columns["generation"], columns["value"], strict=True))
        assert _corners(figure, curve.run) == expected
    names = [item.label.value for legend in figure.legend for item in legend.items]
    assert names == ([curve.label for curve in curves] if count <= MAX_LEGEND_ENTRIES else [])
    told = [tuple(tag) for item in figure.renderers for tag in item.data_source.tags]
    assert set(told) == {(curve.run, curve.label) for curve in curves}


def test_a_gap_parts_the_curves_of_one_colour() -> None:
    figure = figure_of(champion_figure(_runs(20), y_label="error", scale="log"))
    for renderer in figure.renderers:
        runs = renderer.data_source.data["run"]
        parts = [(a, b) for a, b in pairwise(runs) if a != b]
        assert all(math.isnan(a) or math.isnan(b) for a, b in parts)
        assert sum(map(math.isnan, runs)) == len(renderer.data_source.tags) - 1


def test_many_improvements_are_thinned_to_the_largest_steps() -> None:
    """Small steps go; the ends and the steps that an eye sees stay exact."""
    improvements = [(i, -100.0 + 0.001 * i, "u") for i in range(5000)]
    improvements[3000:] = [(i, -1.0 + 0.0001 * (i - 3000), "v") for i in range(3000, 5000)]
    curve = ChampionCurve(1, "Run 1", 0, improvements, 6000)
    thin = largest_steps(curve, 10, is_log=True)
    assert len(thin.improvements) == 10
    assert thin.improvements[0] == improvements[0]
    assert thin.improvements[-1] == improvements[-1]
    assert improvements[3000] in thin.improvements
    assert set(thin.improvements) <= set(improvements)
    assert largest_steps(curve, 5000, is_log=True) == curve


def test_a_figure_of_a_hundred_long_runs_is_small() -> None:
    rule = "(v - u)*s*(v + u)/(v**2 + u*s)"
    improvements = [(i, -1000.0 / 1.01**i, rule) for i in range(500)]
    curves = [ChampionCurve(run, f"Run {run}", run % 8, improvements, 2000) for run in range(100)]
    assert len(champion_figure(curves, y_label="error", scale="log")) < 300_000
