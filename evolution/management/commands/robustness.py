"""See how the fitness of a rule depends on the parameters of its learning task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evolution.management.base import (
    LearningTaskCommand,
    changed_parameters,
    check_seed,
    chosen_task,
    parsed_rule,
)
from evolution.management.validating import refusals, rule_record, simulate

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from evolution.robustness import Robustness


class Command(LearningTaskCommand):
    """Simulate held-out trials of a rule while one parameter at a time has another value."""

    help = (
        "Vary the parameters of a learning task one at a time, by -50, -20, +20 and +50 %, and "
        "simulate a rule, beside those of the literature, in held-out trials. Write -- before "
        "rules that begin with a minus sign."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(preset="paper")
        parser.add_argument(
            "rule",
            nargs="+",
            metavar="RULE",
            help="Expression; two (depress, facilitate) where the task has two branches.",
        )
        parser.add_argument("--trials", type=int, help="Trials at each value (default: 5).")

    def handle(self, **options: Any) -> None:
        from evolution.robustness import robustness
        from evolution.services import validations
        from evolution.services.couriers import SilentCourier
        from evolution.services.notes import add_to_catalogue

        check_seed(options["seed"])
        learning_task, preset = chosen_task(options)
        (parameters,) = changed_parameters([preset.task_parameters], options["changes"])
        parsed = parsed_rule(learning_task, options["rule"])
        n_trials = options["trials"]
        with refusals():
            rule = add_to_catalogue(parsed)
            validation = validations.request_robustness(
                rule,
                learning_task,
                preset=preset,
                parameters=parameters,
                n_trials=validations.N_ROBUSTNESS_TRIALS if n_trials is None else n_trials,
                owner=None,
                seed=options["seed"],
                courier=SilentCourier(),
            )
            simulate(validation, self.console())
            found = robustness(rule, validation, learning_task)
        if options["json"]:
            self.print_json(
                {
                    "task": learning_task.name,
                    "rule": rule_record(rule),
                    "seed": validation.context.seed,
                    **_record(found),
                }
            )
        else:
            self._print(found)

    def _print(self, found: Robustness) -> None:
        write = self.stdout.write
        write(f"fitness {_number(found.fitness)}, {found.baseline_name} {_number(found.baseline)}")
        for item in found.parameters:
            write(f"{item.label}, {item.value:g} {item.unit}".rstrip())
            for point in item.points:
                write(
                    f"  {point.value:<10g} {_number(point.fitness):>12}  "
                    f"{found.baseline_name} {_number(point.baseline)}"
                )


def _record(found: Robustness) -> dict[str, Any]:
    return {
        "trials": found.n_trials,
        "fitness": found.fitness,
        "baseline": {"name": found.baseline_name, "fitness": found.baseline},
        "parameters": [
            {
                "name": item.name,
                "unit": item.unit,
                "value": item.value,
                "points": [
                    {
                        "factor": point.factor,
                        "value": point.value,
                        "fitness": point.fitness,
                        "baseline": point.baseline,
                    }
                    for point in item.points
                ],
            }
            for item in found.parameters
        ],
    }


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"
