from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command

from e2l_site.locations import PROJECT_ROOT
from evolution.enums import ExperimentState
from evolution.models import Experiment
from tests.servers import wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.django_db(transaction=True)


def evolve(*arguments: str) -> dict[str, Any]:
    """Run the command and read the one JSON object it prints."""
    output = io.StringIO()
    call_command("evolve", *arguments, "--json", stdout=output)
    return json.loads(output.getvalue())


def test_inline_computes_the_experiment_here() -> None:
    result = evolve(
        *("regression", "--inline", "--runs", "2", "--seed", "3", "--generations", "9"),
        *("--name", "By hand", "--set", "mutation_rate=0.2", "--set", "n_points=5"),
    )
    experiment = Experiment.objects.get(pk=result["experiment"])
    assert experiment.name == "By hand"
    assert experiment.state == ExperimentState.FINISHED
    assert experiment.evolution_parameters["mutation_rate"] == 0.2
    assert experiment.task_parameters["n_points"] == 5
    assert [run["seed"] for run in result["runs"]] == [3, 4]
    for run, record in zip(result["runs"], experiment.runs.order_by("index"), strict=True):
        assert run["generations"] == 9
        assert run["history"] == list(
            record.generations.order_by("index").values_list("champion_fitness", flat=True)
        )
        assert run["champion"] == {
            "rule": record.champion.rule.expressions,
            "fitness": run["history"][-1],
        }


def test_the_same_seed_gives_the_same_result() -> None:
    arguments = ["regression", "--inline", "--runs", "1", "--generations", "8"]
    assert evolve(*arguments)["runs"] == evolve(*arguments)["runs"]
    assert evolve(*arguments)["runs"] != evolve(*arguments, "--seed", "11")["runs"]


def test_people_read_lines(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("evolve", "regression", "--inline", "--generations", "2", "--runs", "1")
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(": finished")
    assert second.startswith("seed 10, 2 generations: -")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "There is no learning task 'nowhere'"),
        (["regression", "--generations", "0"], "n_generations: Must be greater"),
        (["regression", "--runs", "0"], "--runs must be from 1 to 100."),
        (["regression", "--set", "tournament_size=9"], "tournament size"),
        (["regression", "--set", "primitives=Add,Cosine"], "primitives"),
        (["regression", "--seed", "-4"], "seed must be from 0"),
    ],
)
def test_input_that_cannot_be_understood_exits_with_2(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message) as caught:
        evolve(*arguments, "--inline")
    assert caught.value.returncode == 2
    assert not Experiment.objects.exists()


def test_lists_may_be_written_with_commas() -> None:
    result = evolve(
        *("regression", "--inline", "--runs", "1", "--generations", "1"),
        *("--set", "primitives=Add,Mul,One"),
    )
    experiment = Experiment.objects.get(pk=result["experiment"])
    assert experiment.evolution_parameters["primitives"] == ["Add", "Mul", "One"]


def test_a_database_without_tables_is_told_without_a_traceback(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "manage.py", "evolve", "error-driven", "--inline"],
        cwd=PROJECT_ROOT,
        env={**os.environ, "E2L_DATA_DIR": str(tmp_path), "DATABASE_URL": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr.startswith("CommandError: The database cannot be used")


def n_generations(directory: Path) -> int:
    """Return how many generations the database in a directory holds."""
    with closing(sqlite3.connect(directory / "db.sqlite3", timeout=20)) as database:
        return database.execute("SELECT COUNT(*) FROM evolution_generation").fetchone()[0]


def test_ctrl_c_stops_the_experiment(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "E2L_DATA_DIR": str(tmp_path),
        "DATABASE_URL": "",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "DJANGO_SETTINGS_MODULE": "e2l_site.settings",
    }
    command = [sys.executable, "-m", "tests.evolution.command"]
    subprocess.run(
        [*command, "migrate", "-v0"], cwd=PROJECT_ROOT, env=environment, check=True, timeout=60
    )
    process = subprocess.Popen(
        [*command, "evolve", "regression", "--inline", "--generations", "100000", "--json",
         "--set", "target_fitness=null"],
        cwd=PROJECT_ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        wait_until(lambda: n_generations(tmp_path) > 0, 60, "a generation is done")
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert all(run["generations"] < 100_000 for run in json.loads(output)["runs"])
