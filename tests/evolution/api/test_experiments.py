"""Experiments through the API: the same as through pages and services."""

from __future__ import annotations

import csv
import io

import pytest

from evolution.enums import ExperimentState
from evolution.models import Experiment
from tests.evolution.api.cast import experiment_of
from tests.evolution.conftest import history, launch, work_until_idle
from tests.evolution.histories import TYPICAL

LAUNCH = {"learning_task": "error-driven", "preset": "demo"}
STATES = [str(state) for state in ExperimentState if state != ExperimentState.PUBLISHED]
#: What each state allows, as the documentation says it.
ALLOWED = {
    "start": {"created"},
    "pause": {"running"},
    "resume": {"paused", "failed"},
    "stop": {"running", "paused"},
    "archive": {"created", "paused", "finished", "stopped", "failed", "imported"},
    "unarchive": set(),
}


def test_a_launch_gives_the_history_of_the_services(member, make_experiment):
    direct = make_experiment(seed=21, n_runs=2, n_generations=6)
    launch(direct)
    response = member(
        "POST",
        "experiments/",
        {
            "learning_task": direct.learning_task_name,
            "seed": 21,
            "n_runs": 2,
            "task_parameters": direct.task_parameters,
            "evolution_parameters": direct.evolution_parameters,
        },
    )
    assert response.status_code == 201
    body = response.json()
    assert response.headers["Location"] == f"/api/v1/experiments/{body['id']}/"
    assert (body["state"], body["owner"]) == ("running", "mia")
    assert body["evolution_parameters"] == direct.evolution_parameters
    work_until_idle()
    assert history(Experiment.objects.get(pk=body["id"])) == history(direct)
    now = member("GET", response.headers["Location"]).json()
    best = max(run.champion_fitness for run in direct.runs.all())
    assert (now["state"], now["progress"], now["best_fitness"]) == ("finished", 1.0, best)


def test_what_is_left_out_is_as_in_the_preset(member):
    task = member("GET", "learning-tasks/error-driven/").json()
    preset = next(item for item in task["presets"] if item["name"] == "demo")
    body = member("POST", "experiments/", {**LAUNCH, "launch": False}).json()
    assert body["state"] == "created"
    for name in ("task_parameters", "evolution_parameters", "seed", "n_runs"):
        assert body[name] == preset[name]


def test_all_that_does_not_fit_is_told_at_once(member):
    response = member(
        "POST",
        "experiments/",
        {
            **LAUNCH,
            "task_parameters": {"n_trials": 0, "no_such": 1},
            "evolution_parameters": {"mutation_rate": 2, "n_parents": "many"},
        },
    )
    assert response.status_code == 422
    problem = response.json()
    assert problem["type"] == "urn:e2l:problem:validation"
    assert {error["pointer"] for error in problem["errors"]} == {
        "/task_parameters/n_trials",
        "/task_parameters/no_such",
        "/evolution_parameters/mutation_rate",
        "/evolution_parameters/n_parents",
    }
    assert not Experiment.objects.exists()


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"learning_task": "juggling"}, "/learning_task"),
        ({"preset": "no such"}, "/preset"),
        ({"n_runs": 101}, "/n_runs"),
        ({"seed": -1}, "/seed"),
        ({"visibility": "secret"}, "/visibility"),
        ({"task_parameters": [1]}, "/task_parameters"),
        ({"evolution_parameters": {"seed_rules": ["v +"]}}, "/evolution_parameters/seed_rules"),
        ({"evolution_parameters": {"tournament_size": 9}}, "/evolution_parameters"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_each_mistake_has_its_place(member, change, pointer):
    response = member("POST", "experiments/", {**LAUNCH, **change})
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


@pytest.mark.parametrize("action", ALLOWED)
@pytest.mark.parametrize("state", STATES)
def test_a_state_allows_what_it_allows(member, state, action):
    experiment = experiment_of(member.user, ExperimentState(state), with_history=False)
    response = member("POST", f"experiments/{experiment.pk}/{action}/")
    is_allowed = state in ALLOWED[action]
    assert response.status_code == (200 if is_allowed else 409)
    if not is_allowed:
        assert response.json()["type"] == "urn:e2l:problem:state-conflict"
        experiment.refresh_from_db()
        assert (experiment.state, experiment.archived_at) == (state, None)


def test_only_what_has_ended_is_deleted(member):
    running = experiment_of(member.user, ExperimentState.RUNNING)
    over = experiment_of(member.user, ExperimentState.STOPPED)
    assert member("DELETE", f"experiments/{running.pk}/").status_code == 409
    assert member("DELETE", f"experiments/{over.pk}/").status_code == 204
    assert member("GET", f"experiments/{over.pk}/").status_code == 404
    assert Experiment.objects.get() == running


def test_an_extension_is_longer_or_refused(member):
    experiment = experiment_of(member.user, ExperimentState.FINISHED)
    path = f"experiments/{experiment.pk}/extend/"
    assert member("POST", path, {"n_generations": 99}).status_code == 422
    assert member("POST", path, {}).status_code == 422
    body = member("POST", path, {"n_generations": 200, "n_runs": 3}).json()
    assert (body["n_generations"], body["n_runs"], len(body["runs"])) == (200, 3, 3)


def test_a_copy_differs_in_what_was_said(member, other):
    original = experiment_of(member.user, ExperimentState.FINISHED)
    path = f"experiments/{original.pk}/clone/"
    changes = {"seed": 5, "evolution_parameters": {"n_offspring": 7}, "launch": False}
    copy = other("POST", path, changes).json()
    assert (copy["owner"], copy["seed"], copy["state"]) == ("otto", 5, "created")
    expected = {**original.evolution_parameters, "n_offspring": 7}
    assert copy["evolution_parameters"] == expected
    refused = other("POST", path, {"task_parameters": {"n_offspring": 7}})
    assert refused.json()["errors"][0]["pointer"] == "/task_parameters/n_offspring"


def test_tags_notes_and_visibility_are_changed_one_by_one(member):
    experiment = experiment_of(member.user, ExperimentState.FINISHED)
    path = f"experiments/{experiment.pk}/"
    member("PATCH", path, {"tags": ["Pilot", "fig.5"]})
    member("PATCH", path, {"notes": "A *note*."})
    body = member("PATCH", path, {"visibility": "private"}).json()
    assert (body["tags"], body["notes"]) == (["pilot", "fig.5"], "A *note*.")
    assert body["visibility"] == "private"
    assert member("PATCH", path, {"tags": ["<b>"]}).status_code == 422
    did = [entry["action"] for entry in member("GET", f"{path}log/").json()["results"]]
    assert did == ["hidden", "labelled", "labelled"]


def test_lists_are_filtered_and_paged(member):
    for state in STATES:
        experiment_of(member.user, ExperimentState(state), name=f"Is {state}")
    first = member("GET", "experiments/?limit=4&sort=oldest").json()
    assert (first["count"], first["previous"]) == (len(STATES), None)
    rest = member("GET", first["next"]).json()
    assert (rest["next"], len(rest["results"])) == (None, len(STATES) - 4)
    names = [item["name"] for item in (*first["results"], *rest["results"])]
    assert names == [f"Is {state}" for state in STATES]
    found = member("GET", "experiments/?state=paused").json()["results"]
    assert [item["state"] for item in found] == ["paused"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [("staet=paused", "staet"), ("state=tired", "state"), ("limit=501", "limit"),
     ("offset=-1", "offset"), ("limit=x", "limit")],
    ids=["misspelt", "unknown value", "too many", "negative", "no number"],
)  # fmt: skip
def test_queries_that_do_not_fit_are_refused(member, query, parameter):
    response = member("GET", f"experiments/?{query}")
    assert response.status_code == 400
    assert [error["parameter"] for error in response.json()["errors"]] == [parameter]


def test_the_champion_is_the_fittest_of_all_runs(member):
    experiment = experiment_of(member.user, ExperimentState.FINISHED)
    body = member("GET", f"experiments/{experiment.pk}/").json()
    text, fitness = TYPICAL[-1]
    assert body["champion"]["fitness"] == fitness
    assert body["champion"]["run"] == 1
    (known,) = [item for item in body["known_rules"] if item["is_champion"]]
    assert "Urbanczik" in known["name"] + known["reference"]
    exports = member("GET", f"rules/{body['champion']['rule']['id']}/exports/").json()
    names = {item["name"] for item in exports}
    assert names == {
        "latex", "mathml", "sympy", "numpy", "cpp", "nestml", "pynest", "notebook"
    }  # fmt: skip
    numpy = next(item["text"] for item in exports if item["name"] == "numpy")
    space: dict = {}
    exec(numpy, space)
    expected = eval(text, {"v": 2.0, "u": 5.0, "s": 3.0})
    assert space["plasticity_rule"](2.0, 5.0, 3.0) == pytest.approx(expected)


def test_the_history_is_the_same_as_a_table_and_as_pages(member):
    experiment = experiment_of(member.user, ExperimentState.FINISHED)
    table = member("GET", f"experiments/{experiment.pk}/history.csv")
    assert table.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(table.getvalue().decode())))
    paged = [
        (
            str(number),
            str(item["generation"]),
            item["champion_fitness"],
            item["rule"]["expressions"],
        )
        for number in (1, 2)
        for item in member("GET", f"experiments/{experiment.pk}/runs/{number}/generations/").json()[
            "results"
        ]
    ]
    assert paged == [
        (row["run"], row["generation"], float(row["champion_fitness (mV)"]), [row["rule_delta_w"]])
        for row in rows
    ]
    path = f"experiments/{experiment.pk}/runs/1/generations/"
    better = member("GET", f"{path}?improvements=true").json()["results"]
    assert [item["champion_fitness"] for item in better] == [fitness for _, fitness in TYPICAL]
    newer = member("GET", f"{path}?after=9&limit=1").json()
    assert (newer["count"], newer["results"][0]["generation"]) == (2, 10)


def test_no_fitness_is_null(member):
    experiment = experiment_of(member.user, ExperimentState.FAILED)
    experiment.runs.update(champion_fitness=None)
    response = member("GET", f"experiments/{experiment.pk}/")
    assert "Infinity" not in response.content.decode()
    assert response.json()["best_fitness"] is None
    compared = member("GET", f"comparison/?experiment={experiment.pk}").json()
    assert compared["groups"][0]["final_fitness"] == [None, None]


def test_the_estimate_grows_with_the_work(member):
    short, long = (
        member(
            "POST",
            "experiments/estimate/",
            {**LAUNCH, "evolution_parameters": {"n_generations": number}},
        ).json()["seconds"]
        for number in (9, 99)
    )
    # One generation more than is asked for: the initial population.
    assert long == pytest.approx(10 * short)
