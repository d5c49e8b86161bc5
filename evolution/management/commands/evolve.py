"""Run an experiment from the command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db import DatabaseError

from evolution.cgp.parameters import EvolutionParameters
from evolution.management.base import (
    LearningTaskCommand,
    bad_input,
    changed_parameters,
    check_name,
    check_number_of_runs,
    chosen_seed,
    chosen_task,
)
from evolution.management.following import INTERRUPTED, launch_and_follow
from simulations.parameters import ParameterError

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(LearningTaskCommand):
    """Create and launch an experiment; compute it here, wait for it or leave it to workers."""

    help = "Evolve plasticity rules for a learning task. Ctrl-C stops the experiment."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--runs", type=int, help="Number of runs (default: the preset's).")
        parser.add_argument("--generations", type=int, help="Generations of each run.")
        parser.add_argument("--name", help="Name of the experiment.")
        how = parser.add_mutually_exclusive_group()
        how.add_argument(
            "--inline", action="store_true", help="Compute here, without broker and workers."
        )
        how.add_argument(
            "--wait", action="store_true", help="Wait until the workers have finished."
        )

    def handle(self, **options: Any) -> None:
        from evolution.errors import InvalidExperiment
        from evolution.services import experiments

        learning_task, preset = chosen_task(options)
        check_number_of_runs(options["runs"])
        check_name(options["name"])
        changes = list(options["changes"])
        if options["generations"] is not None:
            changes.append(f"n_generations={options['generations']}")
        task_parameters, evolution_parameters = changed_parameters(
            [preset.task_parameters, EvolutionParameters.from_mapping(preset.evolution)], changes
        )
        try:
            experiment, _ = experiments.create_experiment(
                owner=None,
                name=options["name"] or f"{learning_task.title}, {preset.label}",
                learning_task=learning_task,
                preset=preset.name,
                task_parameters=task_parameters,
                evolution_parameters=evolution_parameters,
                seed=chosen_seed(options, preset),
                n_runs=preset.n_runs if options["runs"] is None else options["runs"],
            )
        except (InvalidExperiment, ParameterError) as error:
            raise bad_input(str(error)) from None
        except DatabaseError as error:
            raise CommandError(
                f"The database cannot be used ({error}). Is it set up (manage.py migrate)?"
            ) from error

        def launch(courier: Any) -> Any:
            experiments.launch_experiment(experiment, courier=courier)
            return experiment

        _, is_interrupted = launch_and_follow(
            launch,
            is_inline=options["inline"],
            is_waited_for=options["wait"],
            console=self.console(),
        )
        self._report(experiment, as_json=options["json"])
        if is_interrupted:
            sys.exit(INTERRUPTED)

    def _report(self, experiment: Any, *, as_json: bool) -> None:
        from evolution.enums import ExperimentState

        runs = [
            _run_result(run)
            for run in experiment.runs.select_related("champion__rule").order_by("index")
        ]
        experiment.refresh_from_db()
        if as_json:
            self.print_json({"experiment": experiment.pk, "runs": runs})
        else:
            self.stdout.write(f"experiment {experiment.pk}: {experiment.get_state_display()}")
            for run in runs:
                champion = run["champion"]
                best = (
                    "no rule with a fitness yet"
                    if champion is None
                    else f"{champion['fitness']:.6g}  {' ; '.join(champion['rule'])}"
                )
                self.stdout.write(f"seed {run['seed']}, {run['generations']} generations: {best}")
        for detail in experiment.runs.exclude(detail="").values_list("detail", flat=True):
            self.stderr.write(detail)
        if experiment.state == ExperimentState.FAILED:
            sys.exit(1)


def _run_result(run: Any) -> dict[str, Any]:
    champion = run.champion
    return {
        "seed": run.seed,
        "generations": run.n_generations_done,
        "champion": None
        if champion is None or run.champion_fitness is None
        else {"rule": list(champion.rule.expressions), "fitness": run.champion_fitness},
        "history": list(
            run.generations.order_by("index").values_list("champion_fitness", flat=True)
        ),
    }
