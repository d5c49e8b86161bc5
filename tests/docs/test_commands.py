"""Commands on the pages: they parse, and the cheap ones run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from django.core.management import get_commands, load_command_class

from tests.docs.pages import PAGES, ROOT, manage_commands, shell_lines

COMMANDS = sorted({(page, *arguments) for page, arguments in manage_commands()})
#: What makes an experiment short enough to be run here.
SHORT = ["--runs", "1", "--generations", "1", "--set", "t_sim_ms=100", "--set", "n_trials=1"]

# Runs commands one after the other in one process, so that NEST is loaded once.
RUNNER = """
import json, os, sys
from django.core.management import execute_from_command_line
os.environ["DJANGO_SETTINGS_MODULE"] = "e2l_site.settings"
execute_from_command_line(["manage.py", "migrate", "--verbosity", "0"])
failed = []
for arguments in json.loads(sys.argv[1]):
    try:
        execute_from_command_line(["manage.py", *arguments])
    except SystemExit as end:
        if end.code:
            failed.append([arguments, end.code])
print(json.dumps(failed))
"""


def parser_of(command):
    app = get_commands()[command]
    return load_command_class(app, command).create_parser("manage.py", command)


def test_there_are_commands_to_check():
    assert {command for _, command, *_ in COMMANDS} >= {"evaluate", "evolve", "experiment"}


@pytest.mark.parametrize("call", COMMANDS, ids=" ".join)
def test_a_command_of_a_page_parses(call):
    _, command, *arguments = call
    assert command in get_commands()
    parser_of(command).parse_args(arguments)


@pytest.mark.parametrize("page", PAGES)
def test_commands_within_sentences_exist(page):
    for text in re.findall(r"`(?:\S*python )?manage\.py ([^`]+)`", PAGES[page]):
        command, *arguments = text.split()
        if command.isupper():  # a placeholder
            continue
        assert command in get_commands(), text
        parser = parser_of(command)
        known = parser.format_help()
        for argument in arguments:
            name = argument.partition("=")[0]
            if command == "experiment" or name.startswith("--"):
                assert name.isdecimal() or name in known, text


def test_targets_of_make_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = [
        (page, target)
        for page, text in PAGES.items()
        for target in re.findall(r"`make ((?:[A-Z]\S+ )*[a-z-]+)", text)
    ]
    named += [
        (page, found[1])
        for page, line in shell_lines()
        if (found := re.match(r"make ((?:[A-Z]\S+ )*[a-z-]+)", line.strip()))
    ]
    assert len(named) > 20
    assert [item for item in named if item[1].split()[-1] not in targets] == []


@pytest.mark.nest
def test_cheap_commands_run(tmp_path):
    calls = []
    for _, command, *arguments in COMMANDS:
        # The learning task of one's own is tested where it is defined.
        if {"paper", "hidden-weight"} & set(arguments):
            continue
        if command == "evaluate":
            calls.append([command, *arguments])
        elif command == "evolve" and "--inline" in arguments:
            calls.append([command, *arguments, *SHORT])
    calls = [list(call) for call in dict.fromkeys(map(tuple, calls))]
    calls += [["experiment", "list"], ["experiment", "show", "1"], ["experiment", "list", "--json"]]
    assert len(calls) > 10
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, json.dumps(calls)],
        # Commands write files where they are called.
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "E2L_DATA_DIR": str(tmp_path),
            "DATABASE_URL": "",
            "REDIS_URL": "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [], done.stderr
