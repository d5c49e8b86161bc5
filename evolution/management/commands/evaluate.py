"""Evaluate one plasticity rule, without a database."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from rich.progress import Progress

from evolution.management.base import (
    LearningTaskCommand,
    add_rule_argument,
    bad_input,
    changed_parameters,
    chosen_seed,
    chosen_task,
    parsed_rule,
)

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Mapping

    from nest_build.rules import PlasticityRule
    from simulations.learning_tasks import LearningTask
    from simulations.parameters import TaskParameters


class Command(LearningTaskCommand):
    """Simulate the trials of a rule and print its fitness."""

    help = (
        "Evaluate a plasticity rule on a learning task. Write -- before rules that begin with a "
        "minus sign."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_rule_argument(parser)
        parser.add_argument("--trials", type=int, help="Number of trials.")
        parser.add_argument(
            "--nwb", type=Path, help="Record the first trial, and write it to this NWB file."
        )
        parser.add_argument("--csv", type=Path, help="The same as a zip archive of CSV files.")

    def handle(self, **options: Any) -> None:
        learning_task, preset = chosen_task(options)
        changes = list(options["changes"])
        if options["trials"] is not None:
            changes.append(f"n_trials={options['trials']}")
        (parameters,) = changed_parameters([preset.task_parameters], changes)
        seed = chosen_seed(options, preset)
        rule = parsed_rule(learning_task, options["rule"])
        paths = {kind: options[kind] for kind in ("nwb", "csv") if options[kind]}
        for path in paths.values():
            if not path.parent.is_dir():
                raise bad_input(f"There is no folder {path.parent}.")

        from evolution.services.simulator import MachineFault, load_simulator
        from simulations.evaluation import evaluate_rules

        console = self.console()
        progress = Progress(console=console, transient=True)
        with progress if console.is_terminal else nullcontext():
            bar = progress.add_task("Simulating", total=parameters.n_trials)
            try:
                load_simulator()
                start = time.perf_counter()
                (evaluation,) = evaluate_rules(
                    learning_task,
                    [rule],
                    parameters,
                    seed=seed,
                    progress=lambda done, total: progress.update(bar, completed=done),
                )
            except MachineFault as error:
                raise CommandError(str(error)) from error
        if paths:
            _write_recording(paths, learning_task, rule, parameters, seed)
        result = {
            "task": learning_task.name,
            "rule": {
                "canonical": list(rule.texts),
                "latex": list(rule.latex),
                "complexity": rule.complexity,
            },
            "fitness": evaluation.fitness(learning_task.aggregate),
            "trials": list(evaluation.trials),
            "seconds": time.perf_counter() - start,
            "reason": None if evaluation.reason is None else str(evaluation.reason),
        }
        if options["json"]:
            self.print_json(result)
        else:
            self._print(result, evaluation.detail)

    def _print(self, result: dict[str, Any], detail: str) -> None:
        write = self.stdout.write
        write(f"rule       {' ; '.join(result['rule']['canonical'])}")
        write(f"complexity {result['rule']['complexity']}")
        for number, value in enumerate(result["trials"]):
            write(f"trial {number:<4} {value:.6g}")
        if result["reason"]:
            write(f"no fitness: {result['reason']}{f' ({detail})' if detail else ''}")
        else:
            write(f"fitness    {result['fitness']:.6g}")
        write(f"seconds    {result['seconds']:.3g}")


def _write_recording(
    paths: Mapping[str, Path],
    learning_task: LearningTask,
    rule: PlasticityRule,
    parameters: TaskParameters,
    seed: int,
) -> None:
    """Simulate the first trial once more, now with everything recorded, and write it to files."""
    from evolution.services.evaluations import engine_version
    from evolution.services.experiments import provenance
    from simulations.nwb import write_nwb
    from simulations.recordings import csv_archive

    (shown,) = learning_task.simulate_trial([rule], parameters, seed=seed, record_traces=True)
    if shown.traces is None or not shown.traces.arrays:
        raise CommandError(f"The learning task {learning_task.name} has recorded nothing.")
    text = " ; ".join(rule.texts)
    question = [learning_task.name, text, seed, parameters.to_mapping()]
    about = {
        "description": f"One trial of the learning task {learning_task.name} with the plasticity "
        f"rule {text}, seed {seed}",
        "identifier": f"e2l-{hashlib.sha256(json.dumps(question).encode()).hexdigest()}",
        "simulated_at": datetime.now(UTC).isoformat(),
        "learning_task": learning_task.name,
        "rule": text,
        "branches": dict(zip(learning_task.signature.branches, rule.texts, strict=True)),
        "seed": seed,
        "trial": 0,
        "value": shown.value,
        "parameters": parameters.to_mapping(),
        "software": {"simulated with": engine_version(), **provenance()},
    }
    try:
        if "nwb" in paths:
            write_nwb(paths["nwb"], shown.traces.arrays, about)
        if "csv" in paths:
            paths["csv"].write_bytes(csv_archive(shown.traces.arrays, about))
    except OSError as error:
        raise CommandError(f"The recording cannot be written: {error}") from None
