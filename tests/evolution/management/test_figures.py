"""The command ``figures``: real simulations, and files that are whole or not there."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from evolution.management.commands import figures as command
from simulations.figures import FIGURE_NAMES, get_figure
from simulations.learning_tasks import get_learning_task

pytestmark = pytest.mark.django_db


def read_csv(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line for line in lines if line.startswith("#")]
    return comments, list(csv.DictReader(lines[len(comments) :]))


@pytest.mark.nest
@pytest.mark.parametrize("name", FIGURE_NAMES)
def test_a_quick_figure_is_written_in_every_form(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "folder"
    call_command("figures", name, "--out", str(out), "--quick", "--json")
    answer = json.loads(capsys.readouterr().out)
    figure = get_figure(name)
    keys = [key for row in figure.layout for key in row]
    expected = {f"{name}.{kind}" for kind in ("pdf", "svg", "png")} | {
        f"{name}-{key}.csv" for key in keys
    }
    assert {path.name for path in out.iterdir()} == expected
    assert {Path(path) for path in answer["files"]} == set(out.iterdir())
    pdf = (out / f"{name}.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")
    svg = ET.fromstring((out / f"{name}.svg").read_bytes())
    words = " ".join(item.text or "" for item in svg.iter() if item.tag.endswith("}text"))
    assert "Quick settings" in words
    for key in keys:
        assert key[:2] in words
    _check_png(out / f"{name}.png")
    assert answer["missing"].keys() == {figure.runs_key, figure.path_key} - {None}
    for key in (*figure.simulated, figure.validation_key):
        comments, rows = read_csv(out / f"{name}-{key}.csv")
        assert any(figure.quick_words() in line for line in comments)
        assert rows
    _, rows = read_csv(out / f"{name}-{figure.runs_key}.csv")
    assert rows == []
    # The held-out trials are those that the learning task itself gives.
    _, rows = read_csv(out / f"{name}-{figure.validation_key}.csv")
    task = get_learning_task(figure.learning_task_name)
    parameters = figure.held_out_parameters(is_quick=True)
    rule = figure.rules[0]
    (result,) = task.simulate_trial(
        [figure.rule(rule.expressions)], parameters, seed=figure.preset.validation_seed, trial=1
    )
    label = [column for column in rows[0] if "trials" not in column][2]
    trials = [
        float(row[label])
        for row in rows
        if row["series"] == "simulated here: trials" and row["label"] == rule.name
    ]
    assert len(trials) == figure.n_held_out_quick
    assert trials[1] == pytest.approx(result.value * (-1 if name == "fig4" else 1), rel=1e-12)


def _check_png(path: Path) -> None:
    from PIL import Image

    with Image.open(path) as image:
        image.load()
        assert min(image.size) > 600
        # It is not empty.
        assert len(image.convert("L").getcolors(256) or []) > 50


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fig6"], "There is no figure 'fig6'"),
        (["fig3", "--experiment", "7"], "no experiment 7"),
        (["fig3", "--experiment", str(10**30)], "no experiment"),
        (["fig3", "--run", "2"], "--run needs an experiment"),
        (["fig4", "--run", "2"], "fig4 shows no single run"),
        (["fig3", "--rule", "E*("], "column"),
        (["fig5", "--rule", "w"], "expression"),
    ],
)
def test_bad_arguments_have_a_message_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(CommandError, match=message.replace("(", r"\(")) as refused:
        call_command("figures", *arguments, "--out", str(tmp_path / "out"))
    assert refused.value.returncode == 2
    assert not (tmp_path / "out").exists()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CommandError, match="is no folder") as refused:
        call_command("figures", "fig3", "--out", str(tmp_path / "file"))
    assert refused.value.returncode == 2


def test_an_experiment_of_another_learning_task_is_refused(make_experiment, tmp_path: Path) -> None:
    experiment = make_experiment()
    with pytest.raises(CommandError, match="learning task") as refused:
        call_command("figures", "fig3", "--out", str(tmp_path), "--experiment", str(experiment.pk))
    assert refused.value.returncode == 2


def test_what_cannot_be_written_as_a_whole_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "b.csv").mkdir()
    (tmp_path / "old.csv").write_text("old")
    with pytest.raises(CommandError, match="could not be written"):
        command._write(tmp_path, {"b.csv": b"new", "c/d.csv": b"never"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.csv", "old.csv"]
    command._write(tmp_path, {"old.csv": b"new"})
    assert (tmp_path / "old.csv").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 2
