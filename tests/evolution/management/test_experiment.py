"""The command ``experiment``: the same services as the pages, exit codes and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from evolution.enums import ExperimentState
from evolution.models import Experiment
from tests.evolution.conftest import launch, work_until_idle

pytestmark = pytest.mark.django_db(transaction=True)

MakeExperiment = Callable[..., Experiment]


def run(*arguments: str) -> Any:
    output = StringIO()
    call_command("experiment", *arguments, "--json", stdout=output)
    return json.loads(output.getvalue())


def failure(*arguments: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    return caught.value


def test_an_experiment_is_paused_resumed_extended_and_stopped(
    make_experiment: MakeExperiment,
) -> None:
    experiment = make_experiment(n_generations=5)
    launch(experiment)
    pk = str(experiment.pk)
    assert run("pause", pk)["state"] == "paused"
    assert failure("pause", pk).returncode == 1
    assert run("resume", pk)["state"] == "running"
    work_until_idle()
    assert run("show", pk) == {
        "experiment": experiment.pk,
        "name": "Rediscovery",
        "task": "regression",
        "state": "finished",
        "is_archived": False,
        "runs": 1,
        "generations": 5,
        "fitness": experiment.runs.get().champion_fitness,
    }
    assert run("extend", pk, "--generations", "7", "--runs", "2")["runs"] == 2
    work_until_idle()
    assert run("show", pk)["generations"] == 14
    assert failure("extend", pk, "--generations", "7").returncode == 2
    assert "cannot be stopped: it is finished" in str(failure("stop", pk))


def test_a_clone_is_launched_with_its_changes(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment(n_generations=5)
    row = run(
        "clone", str(experiment.pk), "--name", "Other", "--seed", "3", "--runs", "2",
        "--set", "mutation_rate=0.3", "--set", "n_points=7", "--set", "constants=0.5",
    )  # fmt: skip
    clone = Experiment.objects.get(pk=row["experiment"])
    assert (clone.name, clone.seed, clone.n_runs) == ("Other", 3, 2)
    assert clone.state == ExperimentState.RUNNING
    assert clone.evolution_parameters["mutation_rate"] == 0.3
    assert clone.evolution_parameters["constants"] == [0.5]
    assert clone.task_parameters["n_points"] == 7
    assert failure("clone", str(experiment.pk), "--set", "mutation_rate=2").returncode == 2
    assert failure("clone", str(experiment.pk), "--set", "tea=2").returncode == 2
    no_runs = failure("clone", str(experiment.pk), "--runs", "0")
    assert (no_runs.returncode, str(no_runs)) == (2, "--runs must be from 1 to 100.")
    assert Experiment.objects.count() == 2


def test_archive_and_delete(
    make_experiment: MakeExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = make_experiment()
    pk = str(experiment.pk)
    assert run("archive", pk)["is_archived"]
    assert run("list") == []
    assert [row["experiment"] for row in run("list", "--archived")] == [experiment.pk]
    assert not run("unarchive", pk)["is_archived"]
    assert [row["experiment"] for row in run("list")] == [experiment.pk]
    monkeypatch.setattr("sys.stdin", StringIO())
    assert failure("delete", pk).returncode == 2
    assert Experiment.objects.exists()
    assert run("delete", pk, "--yes") == {"deleted": experiment.pk}
    assert not Experiment.objects.exists()
    assert failure("delete", pk, "--yes").returncode == 2
    assert "There is no experiment" in str(failure("show", pk))


def test_lines_for_people(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment(n_generations=2)
    launch(experiment)
    work_until_idle()
    output = StringIO()
    call_command("experiment", "list", stdout=output)
    best = experiment.runs.get().champion_fitness
    assert output.getvalue() == (
        f"experiment {experiment.pk}: finished, Rediscovery, 1 runs, 2 generations done, "
        f"best {best:.6g}\n"
    )
