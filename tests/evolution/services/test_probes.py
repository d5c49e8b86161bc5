"""Simulations on demand: asked once, done once, and never left running."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db.models.functions import Now

from evolution.enums import ProbeKind, ProbeState
from evolution.errors import ProbeRefused
from evolution.models import Evaluation, EvaluationContext, Probe
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


def ask(rule: Rule, kind: str = ProbeKind.VALIDATION, owner=None, name: str = NAME) -> Probe:
    return probes.request_probe(
        rule, get_learning_task(name), preset="demo", kind=kind, owner=owner
    )


def test_same_question_is_one_record() -> None:
    rule = rule_of("(v - u)*s")
    assert ask(rule).pk == ask(rule).pk
    assert ask(rule, ProbeKind.BEHAVIOUR).pk != ask(rule).pk


def test_waiting_questions_of_a_person_are_bounded(django_user_model) -> None:
    ann, bob = (django_user_model.objects.create_user(name) for name in ("ann", "bob"))
    for index in range(probes.MAX_OPEN):
        ask(rule_of(f"v + {index + 2}"), owner=ann)
    with pytest.raises(ProbeRefused, match="not finished"):
        ask(rule_of("v"), owner=ann)
    ask(rule_of("v"), owner=bob)


@pytest.mark.parametrize("offset", [0, 4, -7])
def test_validation_has_the_values_of_trials_that_nobody_has_used(offset: int) -> None:
    """Trial k has the seed of its context plus k: seeds that differ a little share trials."""
    task = get_learning_task(NAME)
    preset = task.presets["demo"]
    EvaluationContext.objects.create(
        digest="x",
        learning_task_name=NAME,
        task_parameters={},
        seed=preset.validation_seed + offset,
        engine_version="1",
    )
    rule = rule_of("v*s")
    probe = ask(rule)
    assert abs(probe.seed - preset.validation_seed - offset) >= 1000
    assert probes.run_probe(probe.pk, worker="a")
    probe.refresh_from_db()
    assert (probe.state, probe.n_steps_done) == (ProbeState.FINISHED, probes.N_HELD_OUT)
    own, product = probe.result["rows"]
    parameters = preset.task_parameters
    expected = [
        task.simulate_trial(
            [rule.parsed(task.signature)], parameters, seed=probe.seed, trial=trial
        )[0].value
        for trial in range(probes.N_HELD_OUT)
    ]
    assert own["trials"] == expected
    assert (product["name"], product["reason"]) == ("product", "")
    assert product["fitness"] == pytest.approx(0.0, abs=1e-12)
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
    probe = ask(rule_of("v/(s - s)"), ProbeKind.BEHAVIOUR)
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

    probe = ask(rule_of(text, name), ProbeKind.BEHAVIOUR, name=name)
    probes.run_probe(probe.pk, worker="a")
    probe.refresh_from_db()
    assert probe.state == ProbeState.FINISHED, probe.detail
    panels = probe.panels
    assert wanted <= {panel["title"] for panel in panels}
    for panel in panels:
        size = len(json.dumps(json_item(panel_figure(panel))))
        assert size <= 300_000, panel["title"]
        assert panel["summary"]
