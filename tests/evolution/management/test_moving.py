"""Experiments on another installation: written to a file here, read and reproduced there."""

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
from evolution.models import Experiment
from tests.evolution.experiment_files import small_members, written

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.django_db(transaction=True)

_SEVERAL_COMMANDS = """
import json, sys
import django
from django.core.management import call_command
django.setup()
for arguments in json.loads(sys.argv[1]):
    call_command(*arguments)
"""


def command(*arguments: str) -> dict[str, Any]:
    """Run a command and read the one JSON object that it prints."""
    output = io.StringIO()
    call_command(*arguments, "--json", stdout=output)
    return json.loads(output.getvalue())


@pytest.mark.nest
def test_the_demo_comes_out_the_same_on_another_installation(tmp_path: Path) -> None:
    made = command(
        *("evolve", "error-driven", "--preset", "demo", "--inline"),
        *("--runs", "2", "--generations", "4", "--seed", "21"),
    )
    path = tmp_path / "demo.e2l.zip"
    exported = command("experiment", "export", str(made["experiment"]), "--out", str(path))
    assert exported["bytes"] == path.stat().st_size
    # The other installation: a database of its own, which knows nothing.
    environment = {
        **os.environ,
        "E2L_DATA_DIR": str(tmp_path / "there"),
        "DATABASE_URL": "",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "DJANGO_SETTINGS_MODULE": "e2l_site.settings",
    }
    (tmp_path / "there").mkdir()

    commands = [
        ["migrate", "-v0"],
        ["experiment", "import", str(path)],
        ["experiment", "reproduce", "1", "--inline", "--json"],
    ]
    process = subprocess.run(
        [sys.executable, "-c", _SEVERAL_COMMANDS, json.dumps(commands)],
        cwd=PROJECT_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    *lines, last = process.stdout.splitlines()
    assert lines[0] == "Imported as"
    assert lines[1].startswith("experiment 1: imported, ")
    found = json.loads(last)
    assert found["is_identical"]
    assert found["original"] == 1
    assert [run["n_compared"] for run in found["runs"]] == [
        run["generations"] + 1 for run in made["runs"]
    ]


def test_people_read_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.e2l.zip"
    path.write_bytes(written(small_members()))
    call_command("experiment", "import", str(path))
    lines = capsys.readouterr().out.splitlines()
    pk = Experiment.objects.get().pk
    assert lines == [
        "Imported as",
        f"experiment {pk}: imported, =cmd|' /C calc'!A0, 1 runs, 2 generations done, best -0.1",
    ]
    call_command("experiment", "import", str(path))
    assert capsys.readouterr().out.startswith("Already there as\n")
    # What was written by hand was never evolved.
    with pytest.raises(SystemExit) as caught:
        call_command("experiment", "reproduce", str(pk), "--inline")
    assert caught.value.code == 1
    first, verdict, run, *_ = capsys.readouterr().out.splitlines()
    assert first == f"experiment {pk + 1} reproduces {pk}"
    assert verdict == "1 of 1 runs differ."
    assert run.startswith("run 1, seed 10: differs from generation 0 on (")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "nowhere.zip"], "nowhere.zip cannot be read: No such file"),
        (["import", "pyproject.toml"], "pyproject.toml was not imported. This is no experiment"),
        (["export", "1"], "There is no experiment 1."),
        (["difference", "1"], "There is no experiment 1."),
    ],
)
def test_input_that_cannot_be_used_exits_with_2(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message) as caught:
        call_command("experiment", *arguments)
    assert caught.value.returncode == 2


def test_an_export_is_there_whole_or_not_at_all(tmp_path: Path, make_experiment: Any) -> None:
    experiment = make_experiment()
    with pytest.raises(CommandError, match="There is no folder") as caught:
        call_command("experiment", "export", str(experiment.pk), "--out", str(tmp_path / "a" / "b"))
    assert caught.value.returncode == 2
    Experiment.objects.update(learning_task_name="gone")
    with pytest.raises(Exception, match="gone"):
        call_command("experiment", "export", str(experiment.pk), "--out", str(tmp_path / "b"))
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_reproduction_has_no_difference(make_experiment: Any) -> None:
    experiment = make_experiment()
    with pytest.raises(CommandError, match="is no reproduction") as caught:
        call_command("experiment", "difference", str(experiment.pk))
    assert caught.value.returncode == 2
