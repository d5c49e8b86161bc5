"""Odd texts for each argument of each command: a message and an exit code, never a traceback.

The arguments are those of the commands' own parsers, so that a new one is tried as well.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from django.core.management import ManagementUtility, get_commands, load_command_class

from e2l_site.locations import PROJECT_ROOT
from tests.evolution.histories import finish
from tests.evolution.regression_task import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.django_db(transaction=True)

#: Nothing, numbers that are too large, not finite, or that int() refuses, digits of another
#: script, bytes that are no UTF-8, names too long for a file, folders, a file that is none.
ODD = (
    "", "0", "nan", "1e999", "9" * 30, "9" * 4400, "٣", "a\udcffb", "x" * 5000, "/nowhere/at/all",
    "/proc/version", "/", "=", "n_trials=", "n_points=1e999", "1-1", "\n", "((",
)  # fmt: skip
_TASK = [NAME, "v - u"]
#: Arguments that each command has to have, and such that keep it short.
COMMANDS = {
    "evaluate": [*_TASK, "--trials", "1"],
    "evolve": [NAME, "--generations", "1", "--runs", "1", "--inline"],
    "export": [*_TASK, "--format", "latex"],
    "validate": [*_TASK, "--trials", "1"],
    "robustness": [*_TASK, "--trials", "1"],
    "figures": ["fig5", "--out", "figures", "--experiment", "4711"],
    "import_published": ["nowhere"],
    "slurm": ["--nodes", "1", "--time", "1:00:00"],
    "backup": ["--out", "nowhere/backup"],
    **{f"account {name}": ["ann"] for name in ("create", "deactivate", "activate", "link")},
    "account list": [],
    "account role": ["ann", "viewer"],
    **{f"workers {name}": ["nowhere"] for name in ("drain", "resume", "restart")},
    "workers list": [],
    "workers alive": [],
    "experiment list": [],
    "experiment import": ["nowhere"],
    **{
        f"experiment {name}": ["{pk}"]
        for name in (
            "show", "pause", "resume", "stop", "extend", "clone", "archive", "unarchive", "retry",
            "export", "reproduce", "difference",
        )
    },
    "experiment delete": ["{pk}", "--yes"],
}  # fmt: skip
_DJANGOS = {"verbosity", "settings", "pythonpath"}


def commands() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield each command of ours, or each of its actions, with its parser."""
    for name, app in get_commands().items():
        if app not in {"evolution", "e2l_site"}:
            continue
        parser = load_command_class(app, name).create_parser("manage.py", name)
        actions = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        if actions:
            yield from ((f"{name} {key}", inner) for key, inner in actions[0].choices.items())
        else:
            yield name, parser


PARSERS = dict(commands())
#: They take no arguments.
WITHOUT = {"sweeper", "doctor"}


def test_each_command_is_tried():
    assert set(PARSERS) - WITHOUT == set(COMMANDS)


def arguments(name: str, known: list[str]) -> Iterator[list[str]]:
    """Yield what a command is called with: each value that it takes replaced by each odd one."""
    positions = 0
    for action in PARSERS[name]._actions:
        takes_value = action.nargs != 0 and action.dest not in _DJANGOS
        if not takes_value:
            continue
        if action.option_strings:
            yield from ([*known, f"{action.option_strings[0]}={odd}"] for odd in ODD)
        elif positions < len(known):
            yield from ([*known[:positions], odd, *known[positions + 1 :]] for odd in ODD)
            positions += 1


@pytest.mark.parametrize("name", COMMANDS)
def test_odd_arguments_have_a_message(
    name: str,
    tmp_path: Path,
    make_experiment,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    experiment = make_experiment(n_generations=1)
    finish(experiment, "finished")
    known = [text.format(pk=experiment.pk) for text in COMMANDS[name]]
    faults = []
    for given in arguments(name, known):
        try:
            ManagementUtility(["manage.py", *name.split(), *given]).execute()
            code = 0
        except SystemExit as ended:
            code = ended.code
        except Exception as error:
            code = type(error).__name__
        told = capfd.readouterr().err
        if code not in {0, 1, 2} or "Traceback" in told or (code and not told):
            # Its odd characters are no text for the reports of tests either.
            faults.append((code, ascii(given)[:200], ascii(told)[-200:]))
    assert faults == []


def test_the_name_of_a_file_may_hold_any_bytes(tmp_path: Path):
    """Standard output is the real one, which does not take what is no text."""
    path = os.fsencode(tmp_path / "a") + b"\xff"
    environment = {**os.environ, "E2L_DATA_DIR": str(tmp_path), "PYTHONUTF8": "1"}
    for arguments in (["migrate", "-v", "0"], ["backup", "--out", path]):
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=PROJECT_ROOT, env=environment,
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert os.path.exists(path)
    assert b"a\\udcff" in done.stdout
