"""Panels of evolution against the published data, and the forms that panels take."""

from __future__ import annotations

import csv
import io
import json
import math
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from bokeh.embed import json_item

from evolution import figure_choice, panel_print
from evolution.figure_choice import FigureChoice
from evolution.models import Experiment, Generation, Individual, Run
from evolution.panel_plot import panel_figure, panel_json
from evolution.panel_table import panel_csv
from evolution.paper_figures import all_panels, evolution_panels
from evolution.published import read_folder
from evolution.services import notes
from evolution.services.publications import import_published
from simulations.figures import FIGURE_NAMES, get_figure
from simulations.figures.panel import missing_panel, panel, series
from tests import published
from tests.evolution.bokeh_json import content, figure_of

if TYPE_CHECKING:
    from bokeh.plotting import figure

    from simulations.figures.base import PaperFigure

pytestmark = pytest.mark.django_db


def experiment_of(figure: PaperFigure, champions: list[list[tuple[int, float, str]]]) -> Experiment:
    """Return an experiment of the paper's preset whose runs have these improvements."""
    preset = figure.preset
    experiment = Experiment.objects.create(
        name="Mine", learning_task_name=figure.learning_task_name, preset="paper",
        task_parameters=preset.task_parameters.to_mapping(), seed=preset.seed,
        evolution_parameters={"n_generations": 10}, n_runs=len(champions), state="finished",
    )  # fmt: skip
    for number, steps in enumerate(champions):
        run = Run.objects.create(
            experiment=experiment, index=number, seed=number, state="finished",
            n_generations_done=10,
        )  # fmt: skip
        for place, (index, fitness, text) in enumerate(steps):
            rule = notes.add_to_catalogue(figure.rule(tuple(text.split(";"))))
            run.champion = Individual.objects.create(
                run=run, index=place, birth_generation=index, genome=[[]], rule=rule,
                fitness=fitness,
            )  # fmt: skip
            run.champion_fitness = fitness
            Generation.objects.create(
                run=run, index=index, champion=run.champion, champion_fitness=fitness,
                is_improvement=True, created_at=experiment.created_at,
            )  # fmt: skip
        run.save()
    return experiment


def panels_by_key(choice: FigureChoice, held_out: Any = None) -> dict[str, Any]:
    return {own["key"]: own for own in evolution_panels(choice, held_out, not_yet="Not yet.")}


def heights(panel: dict[str, Any], name: str, n_generations: int) -> list[float]:
    """Return the height of a stepped curve in each generation."""
    (own,) = (own for own in panel["series"] if own["name"] == name)
    return [
        own["y"][max(place for place, x in enumerate(own["x"]) if x <= generation)]
        for generation in range(n_generations)
    ]


@published.needs_published
@pytest.mark.parametrize("name", FIGURE_NAMES)
def test_published_curves_are_the_published_ones(name: str) -> None:
    figure = get_figure(name)
    for task in read_folder(published.DIRECTORY / "raw"):
        if task.learning_task_name == figure.learning_task_name:
            import_published(task)
    choice = FigureChoice(figure, published=figure_choice.published_experiment(figure))
    panels = panels_by_key(choice)
    runs = panels[figure.runs_key]
    sign = -1.0 if name == "fig4" else 1.0
    for run in published.runs(figure.learning_task_name):
        curve = np.array(run["fitness_champion"])
        shown = heights(runs, f"published run {run['run'] + 1}", len(curve))
        # The records of some correlation-driven runs end in zeros.
        is_known = np.isfinite(curve) & ((curve != 0.0) | (name != "fig5"))
        assert shown == [
            sign * value if known else None for value, known in zip(curve, is_known, strict=True)
        ]
    assert runs["y_scale"] == ("log" if name == "fig4" else "linear")
    assert figure.learning_task_name in runs["note"]
    if name == "fig4":
        (means,) = (s for s in panels["4D-validation"]["series"] if s["name"] == "published")
        assert means["y"] == pytest.approx([11.46, 14.59], abs=0.005)
    if name == "fig5":
        trials = np.load(published.raw("correlation_based/*/Fig5D_fitness_validation_run_18.npy"))
        (means,) = (s for s in panels["5D-validation"]["series"] if s["name"] == "published")
        assert means["y"] == pytest.approx([trials.mean()])
        assert means["error"] == pytest.approx([trials.std()])
    if name == "fig3":
        (labels,) = (s for s in panels["3D"]["series"] if s["kind"] == "labels")
        assert labels["labels"][-1] == "(R - 1)*E"
        assert labels["y"][-1] == pytest.approx(210.2)


def test_an_own_experiment_is_shown_with_the_path_of_its_fittest_run() -> None:
    figure = get_figure("fig3")
    experiment = experiment_of(
        figure,
        [[(0, -7.0, "R"), (4, 43.4, "R*E")], [(0, 23.8, "E"), (9, 210.2, "E*(R - 1)")]],
    )
    choice = FigureChoice(figure, experiment=experiment)
    panels = panels_by_key(choice)
    runs = panels["3C"]
    assert heights(runs, "run 1", 11) == [-7.0] * 4 + [43.4] * 7
    assert heights(runs, "run 2", 11) == [23.8] * 9 + [210.2] * 2
    assert "note" not in runs
    (labels,) = (own for own in panels["3D"]["series"] if own["kind"] == "labels")
    assert labels["labels"] == ["E", "(R - 1)*E"]
    assert labels["x"] == [0, 9]
    path = panels_by_key(FigureChoice(figure, experiment, run_number=1))["3D"]
    (labels,) = (own for own in path["series"] if own["kind"] == "labels")
    assert labels["labels"] == ["R", "R*E"]
    assert panels["3C-validation"]["missing"] == "Not yet."
    # A rule that several know is tried once, by all of its names.
    assert [row["name"] for row in figure_choice.held_out_rules(choice)] == [
        "E*(R - 1) · run 2",
        "run 1",
    ]


def test_an_experiment_with_other_parameters_is_not_the_papers() -> None:
    figure = get_figure("fig4")
    experiment = experiment_of(figure, [[(0, -300.0, "0")]])
    assert figure_choice.default_experiment(figure) == experiment
    experiment.task_parameters["t_sim_ms"] = 1000.0
    experiment.save()
    assert figure_choice.default_experiment(figure) is None
    runs = panels_by_key(FigureChoice(figure, experiment))["4D"]
    assert "cannot be compared" in runs["note"]


@pytest.mark.parametrize("name", FIGURE_NAMES)
def test_without_experiments_panels_tell_the_command(name: str) -> None:
    figure = get_figure(name)
    panels = all_panels(FigureChoice(figure), None, None)
    assert list(panels) == [key for row in figure.layout for key in row]
    command = f"manage.py evolve {figure.learning_task_name} --preset paper --wait"
    assert command in panels[figure.runs_key]["missing"]


def test_held_out_trials_are_means_with_deviations_beside_a_baseline() -> None:
    figure = get_figure("fig5")
    rows = [
        {"name": "LR1 (run 10) · run 3", "trials": [10.0, 14.0]},
        {"name": "Homeostatic STDP", "trials": [3.0, 5.0]},
        {"name": "run 1", "trials": [], "reason": "not finite"},
    ]
    experiment = experiment_of(figure, [[(0, 4.0, "w;E")]])
    panels = panels_by_key(FigureChoice(figure, experiment), rows)
    (means,) = (s for s in panels["5D-validation"]["series"] if s["name"] == "simulated here")
    assert (means["x"], means["y"], means["error"]) == ([0, 1], [12.0, 4.0], [2.0, 1.0])
    assert "Without a value: run 1" in panels["5D-validation"]["summary"]
    (line,) = (s for s in panels["5D"]["series"] if s["name"].startswith("Homeostatic"))
    assert line["y"] == [4.0, 4.0]


ODD = panel(
    "9Z-odd",
    "=SUM(A1)",
    x_label="time (s)",
    y_label="value (mV)",
    series=[
        series("line $x$", [0.0, 1.0, None, 2.0], [1.0, 2.5, None, math.nan]),
        series("=cmd()", [0.5], [2.0], "points", error=[0.25], labels=['a "word", two']),
        series("spikes", [0.1, 0.2], [3, 4], "raster", color="muted"),
        series("words", [0.3], [1.5], "labels", labels=["$E$ <b>"]),
    ],
    bands=[{"start": 0.2, "end": 0.4}],
    band_label="window",
    summary="A summary\nin two lines.",
    note="A note.",
)


def test_tables_have_every_point() -> None:
    text = panel_csv(ODD)
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert comments[1:] == ["# A summary in two lines.", "# A note."]
    rows = list(csv.reader(io.StringIO("\n".join(text.splitlines()[len(comments) :]))))
    assert rows[0] == ["series", "time (s)", "value (mV)", "standard deviation", "label"]
    assert rows[1:3] == [["line $x$", "0.0", "1.0", "", ""], ["line $x$", "1.0", "2.5", "", ""]]
    assert rows[3] == ["'=cmd()", "0.5", "2.0", "0.25", 'a "word", two']
    assert rows[-2:] == [["window", "0.2", "", "", "from"], ["window", "0.4", "", "", "to"]]
    assert len(rows) == 9


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_a_panel_in_json_is_what_bokeh_writes(scale: str) -> None:
    for other in (ODD, {**ODD, "series": ODD["series"][:1], "bands": []}):
        drawn = {**other, "y_scale": scale, "x_ticks": [[0.0, "here"], [1.0, "there"]]}
        for shift in (0.0, 1.5):
            # The second one fills the figure that the first one has drawn.
            moved = [{**own, "x": [_moved(x, shift) for x in own["x"]]} for own in drawn["series"]]
            shown = {**drawn, "series": moved}
            written = json.dumps(json_item(panel_figure(shown, "odd")))
            filled, drawn_anew = figure_of(panel_json(shown, "odd")), figure_of(written)
            assert _content(filled) == _content(drawn_anew)


def _content(plot: figure) -> object:
    return content(json.dumps(json_item(plot)))


def _moved(x: float | None, shift: float) -> float | None:
    return None if x is None else x + shift


def test_both_drawings_have_the_points_of_the_panel() -> None:
    plot = panel_figure(ODD)
    sources = [renderer.data_source.data for renderer in plot.renderers]
    drawn = {
        (x, y) for data in sources if "y" in data for x, y in zip(data["x"], data["y"], strict=True)
    }
    expected = {
        (x, y)
        for own in ODD["series"]
        for x, y in zip(own["x"], own["y"], strict=True)
        if None not in (x, y)
    }
    assert expected <= drawn
    empty = missing_panel("9Y", "Nothing", "There is nothing.")
    panels = {"9Z-odd": ODD, "9Y": empty}
    files = panel_print.print_figure("Odd $", panels, [["9Z-odd"], ["9Y"]])
    assert files == panel_print.print_figure("Odd $", panels, [["9Z-odd"], ["9Y"]])
    words = " ".join(
        text.text or "" for text in ET.fromstring(files["svg"]).iter() if text.tag.endswith("text")
    )
    for expected_words in ("$E$ <b>", "A note.", "There is nothing.", "window", "line $x$"):
        assert expected_words in words
    assert json.dumps(ODD, allow_nan=False)
