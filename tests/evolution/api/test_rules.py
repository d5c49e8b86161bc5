"""Rules and simulations through the API."""

from __future__ import annotations

import pytest

from evolution.enums import ExperimentState, ProbeState
from evolution.models import Probe, Rule
from evolution.services import probes
from tests.evolution.api.cast import experiment_of
from tests.evolution.conftest import launch, work_until_idle
from tests.evolution.histories import make_rule

RULE = {"learning_task": "error-driven", "expressions": ["(v - u)*s"]}


def test_a_rule_is_found_by_any_equivalent_form(member):
    experiment_of(member.user, ExperimentState.FINISHED)
    (found,) = member("GET", "rules/?task=error-driven&q=s*v-u*s").json()["results"]
    assert found["rule"]["expressions"] == make_rule("(v - u)*s").expressions
    assert (found["n_runs"], found["n_experiments"]) == (2, 1)
    family = member("GET", "rules/?task=error-driven&match=family&q=3*(v-u)*s").json()["results"]
    assert [item["rule"] for item in family] == [found["rule"]]
    assert member("GET", "rules/?task=error-driven&q=3*(v-u)*s").json()["results"] == []
    where = member("GET", f"rules/{found['rule']['id']}/occurrences/").json()["results"]
    assert {(item["run"], item["generation"], item["fitness"]) for item in where} == {
        (1, 9, -11.5), (2, 9, -11.5)
    }  # fmt: skip


def test_fitness_is_compared_within_a_context(member, make_experiment):
    experiment = make_experiment(n_generations=6)
    launch(experiment)
    work_until_idle()
    task = experiment.learning_task_name
    (context,) = member("GET", f"contexts/?task={task}").json()["results"]
    assert context["experiments"] == [experiment.pk]
    query = f"task={task}&context={context['id']}"
    found = member("GET", f"rules/?{query}&sort=fitness&limit=500").json()["results"]
    fitness = [item["fitness"] for item in found]
    assert fitness == sorted(fitness, reverse=True)
    # The rule of the literature was simulated beside the evolved ones.
    assert experiment.runs.get().champion_fitness in fitness
    middle = fitness[len(fitness) // 2]
    above = member("GET", f"rules/?{query}&fitness_min={middle}&limit=500").json()["results"]
    assert len(above) == sum(value >= middle for value in fitness)
    points = member("GET", f"rules/front/?{query}").json()
    front = [(p["complexity"], p["fitness"]) for p in points if p["layer"] == 0]
    all_points = {(item["rule"]["complexity"], item["fitness"]) for item in found}
    expected = {
        (c, f)
        for c, f in all_points
        if not any((a <= c and b >= f) and (a, b) != (c, f) for a, b in all_points)
    }
    assert set(front) == expected


def test_a_rule_is_checked_and_kept(member, other):
    checked = member("POST", "rules/check/", {**RULE, "expressions": ["s*v - s*u"]}).json()
    assert checked["expressions"] == ["v*s - u*s"]
    assert checked["known"] == []
    assert any("Urbanczik" in name for name in checked["literature"])
    kept = member("POST", "rules/", {**RULE, "name": "Delta rule", "text": "Known."})
    assert kept.status_code == 201
    shown = other("GET", kept.headers["Location"]).json()
    assert shown["expressions"] == ["(v - u)*s"]
    found = member("POST", "rules/check/", {**RULE, "expressions": ["s*v - s*u"]}).json()["known"]
    assert [item["id"] for item in found] == [shown["id"]]
    assert shown["notes"] == [{"author": "mia", "name": "Delta rule", "text": "Known."}]
    other("PUT", f"rules/{shown['id']}/note/", {"name": "Mine"})
    notes = member("GET", f"rules/{shown['id']}/").json()["notes"]
    assert [note["name"] for note in notes] == ["Delta rule", "Mine"]


@pytest.mark.parametrize("texts", [["v +"], ["import os"], ["v", "u"], ["v**"], ["9" * 9000]])
def test_what_is_no_rule_is_refused_with_its_place(member, texts):
    for path in ("rules/", "rules/check/", "simulations/"):
        response = member("POST", path, {**RULE, "expressions": texts})
        assert response.status_code == 422, path
        assert response.json()["errors"][0]["pointer"].startswith("/expressions")
    assert not Rule.objects.exists()


def test_a_simulation_is_asked_for_followed_and_answered_once(member, other):
    body = {**RULE, "preset": "demo"}
    asked = member("POST", "simulations/", body)
    assert asked.status_code == 202
    assert asked.json()["state"] == "waiting"
    place = asked.headers["Location"]
    same = other("POST", "simulations/", {**body, "expressions": [" ( v-u )*s"]})
    assert (same.status_code, same.headers["Location"]) == (202, place)
    Probe.objects.update(
        state=ProbeState.FINISHED,
        result={"value": -2.5, "panels": [{"title": "Weights", "summary": "Grow."}]},
        panels=[{"title": "Weights", "series": [{"x": [0.0], "y": [1.0]}]}],
    )
    done = member("GET", place).json()
    assert (done["state"], done["value"]) == ("finished", -2.5)
    panel = member("GET", f"{place}panels/0/").json()
    assert panel["series"] == [{"x": [0.0], "y": [1.0]}]
    assert member("GET", f"{place}panels/1/").status_code == 404
    assert other("POST", "simulations/", body).status_code == 200


def test_the_number_of_open_simulations_is_limited(member):
    for number in range(probes.MAX_OPEN):
        body = {**RULE, "expressions": [f"{number + 2}*u"]}
        assert member("POST", "simulations/", body).status_code == 202
    refused = member("POST", "simulations/", {**RULE, "expressions": ["9*u"]})
    assert refused.status_code == 409
    assert member("GET", "simulations/").json()["count"] == probes.MAX_OPEN


def test_a_rule_of_another_learning_task_is_refused(member):
    rule = make_rule("(v - u)*s")
    body = {"learning_task": "correlation-driven", "rule": rule.pk}
    response = member("POST", "simulations/", body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/rule"
    both = member("POST", "simulations/", {**RULE, "rule": rule.pk})
    assert both.status_code == 422


def test_descriptions_are_those_of_the_declarations(member):
    (learning_rate,) = [
        item
        for item in member("GET", "evolution-parameters/").json()
        if item["name"] == "mutation_rate"
    ]
    assert learning_rate["value_schema"] == {
        "type": "number", "exclusiveMinimum": 0.0, "maximum": 1.0
    }  # fmt: skip
    task = member("GET", "learning-tasks/reward-driven/").json()
    units = {item["name"]: item["unit"] for item in task["parameters"]}
    assert all(unit == "ms" for name, unit in units.items() if name.endswith("_ms"))
    names = {item["name"] for item in member("GET", "primitives/").json()}
    assert {"Add", "Ten", "Parameter"} <= names
