"""Exported notebooks run from top to bottom where there is nothing but `nest_build`."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from evolution.exports import FORMS
from nest_build.rules import parse
from tests.evolution.exports.rules import CONTINUOUS, LEARNERS, PAIRS, REWARD, rule_of

ROOT = Path(__file__).parents[3]
PNG = b"\x89PNG\r\n"

#: Asks the function that the notebook has defined, and for the packages that it has loaded.
QUESTION = """\
import json, sys
points = np.random.default_rng(7).uniform(-1.0, 1.0, (len({names!r}), 20))
values = np.atleast_2d(plasticity_rule(*points)).tolist()
print(json.dumps([values, sorted({{name.partition(".")[0] for name in sys.modules}})]))"""


def executed(signature: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a notebook with one more cell, which compares the function with the language."""
    (folder / "nest_build").symlink_to(ROOT / "nest_build")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    rule = rule_of(*LEARNERS[signature], signature=signature)
    content = nbformat.reads(FORMS["notebook"].write(rule), as_version=4)
    question = QUESTION.format(names=rule.input_names)
    content.cells.append(nbformat.v4.new_code_cell(question))
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(content, timeout=100, kernel_name="python3", resources=resources).execute()

    values, modules = json.loads(content.cells[-1].outputs[0].text)
    points = np.random.default_rng(7).uniform(-1.0, 1.0, (len(rule.input_names), 20))
    for text, found in zip(rule.expressions, values, strict=True):
        np.testing.assert_allclose(found, parse(text, rule.input_names).evaluate(*points))
    assert {"nest", "nest_build"} <= set(modules)
    # Not Django, for which the debugger of kernels looks.
    assert {"evolution", "simulations", "e2l_site"} & set(modules) == set()
    return content


def outputs(content: Any) -> tuple[str, int]:
    """Return what a notebook has printed, and how many figures it has drawn."""
    found = [output for cell in content.cells[:-1] for output in cell.get("outputs", ())]
    printed = "".join(output.text for output in found if output.output_type == "stream")
    figures = [base64.b64decode(item.data["image/png"]) for item in found if "data" in item]
    assert all(figure.startswith(PNG) for figure in figures)
    return printed, len(figures)


def numbers(pattern: str, printed: str) -> list[float]:
    (match,) = re.findall(pattern, printed)
    return [float(text) for text in match.split()]


@pytest.mark.nest
def test_pairs_move_the_weight_as_the_function_says(tmp_path: Path, monkeypatch) -> None:
    printed, n_figures = outputs(executed(PAIRS, tmp_path, monkeypatch))
    assert n_figures == 2
    assert numbers("largest difference: (.+)", printed)[0] < 1e-12


@pytest.mark.nest
def test_a_student_learns_the_weights_of_its_teacher(tmp_path: Path, monkeypatch) -> None:
    printed, n_figures = outputs(executed(CONTINUOUS, tmp_path, monkeypatch))
    assert n_figures == 2
    np.testing.assert_allclose(numbers("weights: (.+)", printed), [10.0, 25.0, 15.0], atol=2.0)
    assert numbers(r"last second: (\S+) mV", printed)[0] < 0.1


@pytest.mark.nest
def test_a_neuron_learns_from_reward(tmp_path: Path, monkeypatch) -> None:
    printed, n_figures = outputs(executed(REWARD, tmp_path, monkeypatch))
    assert n_figures == 2
    first, last = numbers("20 trials: (.+)", printed)
    assert first < last
    assert last >= 18


@pytest.mark.parametrize("signature", LEARNERS)
def test_a_notebook_is_valid_without_outputs_and_always_the_same(signature: str) -> None:
    rule = rule_of(*LEARNERS[signature], signature=signature)
    text = FORMS["notebook"].write(rule)
    content = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    nbformat.validate(content)
    assert [cell.outputs for cell in content.cells if cell.cell_type == "code"] == [[], [], []]
    assert FORMS["notebook"].write(rule) == text


def test_inputs_are_explained_with_their_units() -> None:
    rule = rule_of(*LEARNERS[CONTINUOUS], signature=CONTINUOUS)
    content = nbformat.reads(FORMS["notebook"].write(rule), as_version=4)
    mathematics = content.cells[1].source
    assert FORMS["latex"].write(rule) in mathematics
    assert "| $u$ | mV | membrane potential of the student |" in mathematics
