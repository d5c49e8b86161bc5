from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command

from e2l_site.locations import PROJECT_ROOT
from simulations.evaluation import evaluate_rules
from simulations.learning_tasks import get_learning_task

if TYPE_CHECKING:
    from pathlib import Path


def evaluate(*arguments: str) -> dict[str, Any]:
    """Run the command and read the one JSON object it prints."""
    output = io.StringIO()
    call_command("evaluate", "--json", *arguments, stdout=output)
    return json.loads(output.getvalue())


def test_the_result_is_that_of_the_simulation() -> None:
    learning_task = get_learning_task("regression")
    parameters = learning_task.presets["demo"].task_parameters.with_changes(
        {"n_trials": 4, "n_points": 8}
    )
    from nest_build.rules import PlasticityRule

    rule = PlasticityRule.parse(learning_task.signature, ["v - u"])
    (expected,) = evaluate_rules(learning_task, [rule], parameters, seed=7)
    result = evaluate(
        "regression", "x_0 - x_1 + 0*s", "--seed", "7", "--trials", "4", "--set", "n_points=8"
    )
    seconds = result.pop("seconds")
    assert 0 < seconds < 10
    assert result == {
        "task": "regression",
        "rule": {"canonical": ["v - u"], "latex": ["v - u"], "complexity": 3},
        "fitness": expected.fitness(learning_task.aggregate),
        "trials": list(expected.trials),
        "reason": None,
    }


def test_a_rule_that_fails_has_a_reason_and_no_fitness() -> None:
    result = evaluate("regression", "v/(u - u)")
    assert (result["fitness"], result["trials"], result["reason"]) == (None, [], "not finite")


def test_a_rule_may_begin_with_a_minus_sign() -> None:
    assert evaluate("regression", "--", "-v")["rule"]["canonical"] == ["-v"]


def test_people_read_lines(capsys: pytest.CaptureFixture[str]) -> None:
    value = evaluate("regression", "v*s", "--trials", "1")["fitness"]
    call_command("evaluate", "regression", "v*s", "--trials", "1")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "rule       v*s",
        "complexity 3",
        f"trial 0    {value:.6g}",
        f"fitness    {value:.6g}",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "v"], "There is no learning task 'nowhere'"),
        (["regression", "v +"], "column 4"),
        (["regression", "__import__('os')"], "__import__"),
        (["regression", "v", "u"], "needs 1 expression"),
        (["regression", "v", "--preset", "huge"], "no preset 'huge'"),
        (["regression", "v", "--set", "n_points=0"], "n_points: Must be greater"),
        (["regression", "v", "--set", "n_points"], "NAME=VALUE"),
        (["regression", "v", "--set", "points=3"], "no parameter 'points'"),
        (["regression", "v", "--trials", "0"], "n_trials: Must be greater"),
        (["regression", "v", "--seed", "-1"], "seed must be from 0"),
        (["regression", "v", "--seed", str(2**40)], "seed must be from 0"),
    ],
)
def test_input_that_cannot_be_understood_exits_with_2(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message) as caught:
        evaluate(*arguments)
    assert caught.value.returncode == 2


@pytest.mark.nest
def test_it_works_without_database_and_broker_and_prints_json_only(tmp_path: Path) -> None:
    process = subprocess.run(
        [
            sys.executable,
            "manage.py",
            "evaluate",
            "error-driven",
            "(v - u)*s",
            "--json",
            "--trials",
            "2",
        ],
        cwd=PROJECT_ROOT,
        env={
            **os.environ,
            "E2L_DATA_DIR": str(tmp_path),
            "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
            "REDIS_URL": "redis://127.0.0.1:1/0",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout)
    assert result["rule"]["canonical"] == ["(v - u)*s"]
    assert len(result["trials"]) == 2
    assert result["fitness"] == pytest.approx(sum(result["trials"]) / 2)


def test_a_bad_rule_is_told_without_a_traceback(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "manage.py", "evaluate", "error-driven", "(v - u", "--json"],
        cwd=PROJECT_ROOT,
        env={**os.environ, "E2L_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 2
    assert process.stdout == ""
    assert process.stderr == "CommandError: This bracket is never closed. (column 1)\n"
