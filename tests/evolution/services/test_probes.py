"""Simulations on demand: asked once, done once, and never left running."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db.models.functions import Now

from evolution.enums import ProbeKind, ProbeState
from evolution.errors import ProbeRefused
from evolution.models import Evaluation, Probe
from evolution.services import notes, probes
from nest_build.rules import PlasticityRule
from simulations.learning_tasks import get_learning_task
from tests.evolution.regression_task import NAME

if TYPE_CHECKING:
    from evolution.models import Rule

pytestmark = pytest.mark.django_db


def rule_of(text: str, name: str = NAME) -> Rule:
    task = get_learning_task(name)
    return notes.add_to_catalogue(PlasticityRule.parse(task.signature, text.split(";")).canonical())


def ask(rule: Rule, owner=None, name: str = NAME) -> Probe:
    return probes.request_probe(rule, get_learning_task(name), preset="demo", owner=owner)


def test_same_question_is_one_record() -> None:
    rule = rule_of("(v - u)*s")
    assert ask(rule).pk == ask(rule).pk
    assert ask(rule_of("v")).pk != ask(rule).pk


def test_waiting_questions_of_a_person_are_bounded(django_user_model) -> None:
    ann, bob = (django_user_model.objects.create_user(name) for name in ("ann", "bob"))
    for index in range(probes.MAX_OPEN):
        ask(rule_of(f"v + {index + 2}"), owner=ann)
    with pytest.raises(ProbeRefused, match="not finished"):
        ask(rule_of("v"), owner=ann)
    ask(rule_of("v"), owner=bob)


def test_held_out_trials_of_a_figure_have_the_values_of_each_rule() -> None:
    task = get_learning_task(NAME)
    preset = task.presets["demo"]
    texts = {"own": "v*s", "run 1": "v + u"}
    parameters = preset.task_parameters.with_changes({"n_trials": 5})
    question = probes.Question(
        digest="held out",
        kind=ProbeKind.HELD_OUT,
        learning_task_name=NAME,
        preset=preset.name,
        task_parameters=parameters.to_mapping(),
        seed=preset.validation_seed,
        n_steps=5,
        estimated_s=1.0,
        figure={"rules": [{"name": name, "expressions": [texts[name]]} for name in texts]},
    )
    probe = probes.ask(question, rule_of("v*s"), owner=None)
    assert probes.run_probe(probe.pk, worker="a")
    probe.refresh_from_db()
    assert (probe.state, probe.n_steps_done) == (ProbeState.FINISHED, 5)
    assert [row["name"] for row in probe.result["rows"]] == list(texts)
    for row in probe.result["rows"]:
        rule = PlasticityRule.parse(task.signature, [texts[row["name"]]])
        assert row["trials"] == [
            task.simulate_trial([rule], parameters, seed=probe.seed, trial=trial)[0].value
            for trial in range(5)
        ]
        assert row["fitness"] == pytest.approx(sum(row["trials"]) / 5)
        assert row["reason"] == ""
    assert not Evaluation.objects.exists()


def test_a_probe_is_done_by_one_worker_only() -> None:
    probe = ask(rule_of("v"))
    assert probes._claim(probe.pk, "a")
    assert not probes.run_probe(probe.pk, worker="b")


def test_a_lost_worker_leaves_nothing_running() -> None:
    probe = ask(rule_of("v"))
    own = Probe.objects.filter(pk=probe.pk)
    for worker in ("a", "b", "c"):
        assert probes._claim(probe.pk, worker)
        own.update(lease_expires_at=Now() - timedelta(seconds=1))
    probes.send_again()
    probe.refresh_from_db()
    assert (probe.state, probe.reason) == (ProbeState.FAILED, "crash")
    assert ask(probe.rule).state == ProbeState.WAITING


def test_a_rule_without_finite_values_has_a_reason() -> None:
    probe = ask(rule_of("v/(s - s)"))
    probes.run_probe(probe.pk, worker="a")
    probe.refresh_from_db()
    assert (probe.state, probe.reason) == (ProbeState.FAILED, "not finite")
    assert "Traceback" not in probe.detail


def test_a_rule_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ProbeRefused, match="does not fit"):
        ask(rule_of("v*s"), name="reward-driven")


@pytest.mark.nest
@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("error-driven", "(v - u)*s", {"Membrane potential", "Weights", "Error", "Input spikes"}),
        ("reward-driven", "E*(R - 1)", {"Membrane potential", "Weights", "Reward"}),
        ("correlation-driven", "0;E - 0.15", {"Weights", "Input spikes", "Output rate"}),
    ],
)
def test_behaviour_of_each_learning_task_fits_into_small_plots(name, text, wanted) -> None:
    from bokeh.embed import json_item

    from evolution.panel_plot import panel_figure

    probe = ask(rule_of(text, name), name=name)
    probes.run_probe(probe.pk, worker="a")
    probe.refresh_from_db()
    assert probe.state == ProbeState.FINISHED, probe.detail
    panels = probe.panels
    assert wanted <= {panel["title"] for panel in panels}
    for panel in panels:
        size = len(json.dumps(json_item(panel_figure(panel))))
        assert size <= 300_000, panel["title"]
        assert panel["summary"]
