"""Experiment files for tests: written by hand, taken apart and put together again."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import UTC, datetime
from typing import Any

from evolution.cgp.parameters import EvolutionParameters
from evolution.experiment_file import ExperimentFileWriter, layout
from tests.evolution.regression_task import NAME, RegressionTask

NOW = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)

#: What each member holds: an object, or a list of rows.
Members = dict[str, Any]


def written(members: Members) -> bytes:
    """Return a file with these members, whose digests are right."""
    writer = ExperimentFileWriter()
    pieces = [*writer.readme(), *writer.text(layout.CONFIGURATION, members[layout.CONFIGURATION])]
    for name in layout.DATA[1:]:
        pieces += writer.rows(name, members[name])
    pieces += writer.finish(created_at=NOW, written_by={"e2l": "0.1.0"})
    return b"".join(pieces)


def members_of(content: bytes) -> Members:
    """Take a file apart."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members: Members = {layout.CONFIGURATION: json.loads(archive.read(layout.CONFIGURATION))}
        for name in layout.DATA[1:]:
            members[name] = [json.loads(line) for line in archive.read(name).splitlines()]
    return members


def raw_zip(texts: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip archive with these members, as they are."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, text in texts.items():
            archive.writestr(name, text)
    return content.getvalue()


def raw_texts(content: bytes) -> dict[str, bytes]:
    """Return all members of a file as they are."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def small_members() -> Members:
    """Return a small history by hand: one run, three generations, four individuals."""
    task = RegressionTask()
    preset = task.presets["demo"]
    moment = NOW.isoformat()
    counts = {"n_evaluations": 2, "n_cached": 1, "n_pruned": 0}
    run = {
        "run": 1, "seed": 10, "state": "finished", "stop_reason": "generations",
        "n_generations": 2, "champion": 3, "champion_fitness": -0.1, "improved_at_generation": 2,
        **counts, "simulated_s": 0.25, "saved_s": 0.0, "paused_s": 0.0,
        "started_at": moment, "finished_at": moment,
    }  # fmt: skip
    individual = {
        "run": 1, "origin": "mutation", "genomes": [[]], "constants": None, "mutated_genes": [[]],
        "outcome": "evaluated", "is_neutral": False, "is_cached": False,
    }  # fmt: skip
    return {
        layout.CONFIGURATION: {
            "name": "=cmd|' /C calc'!A0",
            "learning_task": NAME,
            "learning_task_title": task.title,
            "signature": "v,u,s -> delta_w",
            "fitness": task.fitness_label,
            "preset": "demo",
            "task_parameters": preset.task_parameters.to_mapping(),
            "evolution_parameters": EvolutionParameters(n_generations=2).to_mapping(),
            "units": {"delay_ms": "ms"},
            "seed": 10,
            "n_runs": 1,
            "state": "finished",
            "owner": "ann",
            "tags": ["pilot"],
            "notes": "by hand",
            "provenance": {"e2l": "0.1.0", "host": "elsewhere"},
            "engine_version": "e2l 0",
            "published": None,
            "created_at": moment,
            "started_at": moment,
            "finished_at": moment,
            "rested_s": 0.0,
        },
        layout.RUNS: [run],
        layout.RULES: [
            {"rule": 0, "key": "a", "expressions": ["u*s"], "complexity": 3},
            {"rule": 1, "key": "b", "expressions": ["(v - u)*s"], "complexity": 5},
        ],
        layout.EVALUATIONS: [
            {"rule": 1, "trials": [-0.1, -0.1, -0.1], "reason": "", "detail": "",
             "simulated_s": 0.125},
        ],
        layout.GENERATIONS: [
            {"run": 1, "generation": index, "champion": champion, "champion_fitness": fitness,
             "is_improvement": index > 0, "parents": [champion], **counts, "created_at": moment}
            for index, champion, fitness in ((0, 0, "-Infinity"), (1, 1, -0.5), (2, 3, -0.1))
        ],
        layout.INDIVIDUALS: [
            {**individual, "individual": 0, "parent": None, "generation": 0, "origin": "random",
             "rule": None, "fitness": "-Infinity", "outcome": "invalid"},
            {**individual, "individual": 1, "parent": 0, "generation": 1, "rule": 0,
             "fitness": -0.5},
            {**individual, "individual": 2, "parent": 1, "generation": 2, "rule": 0,
             "fitness": -0.5, "outcome": "inherited"},
            {**individual, "individual": 3, "parent": 1, "generation": 2, "rule": 1,
             "fitness": -0.1},
        ],
    }  # fmt: skip
