"""The reference tells the truth: compared with NEST, the services and the declarations."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from django.db import transaction

from evolution.cgp.parameters import EvolutionParameters
from evolution.enums import ExperimentState
from evolution.errors import StateConflict
from evolution.models import Experiment
from evolution.services import control, endings
from evolution.services.couriers import SilentCourier
from evolution.services.experiments import create_experiment, launch_experiment
from simulations.learning_tasks import get_learning_task, learning_task_names
from tests.docs.pages import DOCS, PAGES, ROOT

# Properties that NEST or a whole family of models has.
DEFAULTS = """
import json, sys
import nest, nest_build
common = {"static_synapse", "parrot_neuron", "spike_generator"}
common = set().union(*(nest.GetDefaults(name) for name in common)) | {"recordables"}
for module in nest_build.MODULES:
    nest.Install(nest_build.module_path(module))
found = {}
for name in json.loads(sys.argv[1]):
    values = nest.GetDefaults(name)
    own = {key: str(value) if "Collection" in type(value).__name__ else value
           for key, value in values.items()}
    found[name] = {
        "all": {k: v.tolist() if hasattr(v, "tolist") else v for k, v in own.items()},
        "own": sorted(set(values) - common),
        "recordables": sorted(map(str, values.get("recordables", ()))),
    }
print("\\n" + json.dumps(found, default=str))
"""


class _Text(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.feed(text)

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def text_of(path) -> str:
    text = "".join(_Text(path.read_text(encoding="utf-8")).parts)
    return text.replace("\N{NO-BREAK SPACE}", " ")


def headers() -> dict[str, str]:
    blocks = {}
    for header in (ROOT / "nest_build" / "src").glob("*.h"):
        _, found, rest = header.read_text(encoding="utf-8").partition("BeginUserDocs")
        if found:
            blocks[header.stem] = rest.partition("EndUserDocs")[0]
    return blocks


@pytest.mark.nest
def test_documented_defaults_are_those_of_nest():
    documented = {
        name: dict(re.findall(r"^``(\w+)`` +(\S+)", text.partition("Parameters\n+")[2], re.M))
        for name, text in headers().items()
    }
    assert len(documented) == 9
    done = subprocess.run(
        [sys.executable, "-c", DEFAULTS, json.dumps(sorted(documented))],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYNEST_QUIET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    n_compared = 0
    for name, found in json.loads(done.stdout.splitlines()[-1]).items():
        assert set(found["own"]) - set(documented[name]) == set(), name
        for key, text in documented[name].items():
            if key not in found["all"]:
                assert key == "V_m_trace", (name, key)  # there only with an interval
                continue
            try:
                expected = json.loads(text)
            except ValueError:  # a word: none, empty, or the beginning of a sentence
                continue
            assert found["all"][key] == expected, (name, key)
            n_compared += 1
        if recordables := found["recordables"]:
            assert set(recordables) <= set(documented[name]), name
    assert n_compared > 60


def test_every_model_has_a_page_with_its_equations(built):
    for name, text in headers().items():
        page = built / "reference" / "models" / f"{name}.html"
        shown = text_of(page)
        assert name in shown
        for key in re.findall(r"^``(\w+)`` ", text, re.M):
            assert key in shown, (name, key)
        n_formulas = text.count(".. math::")
        assert page.read_text(encoding="utf-8").count('<div class="math">') == n_formulas


def test_every_parameter_is_described_with_its_values(built):
    shown = text_of(built / "reference" / "parameters.html")
    kinds = [EvolutionParameters]
    for name in learning_task_names():
        task = get_learning_task(name)
        kinds.append(task.parameters_type)
        assert f"\n{task.summary}" in shown
        for baseline in task.baselines:
            assert baseline.reference in shown
    for kind in kinds:
        for field, info in kind.model_fields.items():
            assert field in shown
            assert info.description in shown, field


def test_a_row_has_unit_bounds_and_the_values_of_both_presets(built):
    shown = text_of(built / "reference" / "parameters.html")
    row = re.search(r"\nt_sim_ms\n(.*?)\n\n", shown, re.DOTALL)[1].split("\n")
    assert row == ["Duration of a trial.", "ms", "≥ 20, ≤ 1e+06", "5000", "10000"]


def test_every_command_is_described_with_its_options(built):
    shown = text_of(built / "reference" / "commands.html")
    for command in (ROOT / "evolution" / "management" / "commands").glob("[a-z]*.py"):
        assert f"manage.py {command.stem}" in shown
        for option in re.findall(r"\"(--[a-z-]+)\"", command.read_text(encoding="utf-8")):
            assert option in shown, (command.stem, option)


# --- the state machine --------------------------------------------------------------------------


@pytest.fixture
def in_state(db):
    """Return a function that brings an experiment into a state, by what people and workers do."""

    def make(state: ExperimentState) -> Experiment:
        task = get_learning_task("error-driven")
        experiment, _ = create_experiment(
            owner=None,
            name="states",
            learning_task=task,
            preset="demo",
            task_parameters=task.presets["demo"].task_parameters,
            evolution_parameters=EvolutionParameters(n_generations=1),
            seed=1,
            n_runs=1,
        )
        if state == ExperimentState.PUBLISHED:
            Experiment.objects.filter(pk=experiment.pk).update(state=state)
        elif state != ExperimentState.CREATED:
            launch_experiment(experiment, courier=SilentCourier())
        if state == ExperimentState.PAUSED:
            control.pause_experiment(experiment)
        elif state == ExperimentState.STOPPED:
            control.stop_experiment(experiment)
        elif state == ExperimentState.FAILED:
            endings.fail_experiment(experiment.pk, "NEST is not there")
        elif state == ExperimentState.FINISHED:
            run = experiment.runs.get()
            run.n_generations_done = 1
            with transaction.atomic():
                assert endings.end_run(run, ExperimentState.FINISHED, "generations")
        experiment.refresh_from_db()
        assert experiment.state == state
        return experiment

    return make


ACTIONS = {
    "launch": lambda e: launch_experiment(e, courier=SilentCourier()),
    "pause": control.pause_experiment,
    "resume": lambda e: control.resume_experiment(e, courier=SilentCourier()),
    "stop": control.stop_experiment,
    "extend": lambda e: control.extend_experiment(e, n_generations=9, courier=SilentCourier()),
}


def drawn_transitions() -> set[tuple[str, str, str]]:
    """Return from, action and to of the arrows of the diagram."""
    drawing = (DOCS / "images" / "states.svg").read_text(encoding="utf-8")
    return set(re.findall(r"<title>(\w+) → (\w+): ([\w ]+)</title>", drawing))


def test_the_arrows_of_people_in_the_diagram_are_what_the_services_do(in_state):
    done = set()
    for state in ExperimentState:
        for action, act in ACTIONS.items():
            experiment = in_state(state)
            try:
                act(experiment)
            except StateConflict:
                continue
            experiment.refresh_from_db()
            if experiment.state != state:
                done.add((str(state), experiment.state, action))
    drawn = drawn_transitions()
    by_workers = {item for item in drawn if item[2] not in ACTIONS}
    assert done == drawn - by_workers
    # The fixture has brought experiments there in the way that workers do.
    assert by_workers == {
        ("running", "finished", "last run ends"),
        ("running", "failed", "cannot go on"),
    }


def test_the_table_of_states_has_the_arrows_of_the_diagram():
    rows = re.findall(
        r"^\| ([a-z, ]+) \| ([\w ]+) \| (\w+) \| (?:a|the) ",
        PAGES["docs/explanation/states.md"].partition("## Evaluations")[0],
        re.MULTILINE,
    )
    listed = {(start, end, how) for starts, how, end in rows for start in starts.split(", ")}
    words = {"the last run has ended": "last run ends", "it or a run cannot go on": "cannot go on"}
    assert {(a, b, words.get(how, how)) for a, b, how in listed} == drawn_transitions()
