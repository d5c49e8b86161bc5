"""Evaluate one plasticity rule, without a database."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from rich.progress import Progress

from evolution.management.base import (
    LearningTaskCommand,
    add_rule_argument,
    changed_parameters,
    chosen_seed,
    chosen_task,
    parsed_rule,
)

if TYPE_CHECKING:
    from argparse import ArgumentParser


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

    def handle(self, **options: Any) -> None:
        learning_task, preset = chosen_task(options)
        changes = list(options["changes"])
        if options["trials"] is not None:
            changes.append(f"n_trials={options['trials']}")
        (parameters,) = changed_parameters([preset.task_parameters], changes)
        seed = chosen_seed(options, preset)
        rule = parsed_rule(learning_task, options["rule"])

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
