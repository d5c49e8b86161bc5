"""Run an experiment from the command line."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db import DatabaseError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from evolution.cgp.parameters import EvolutionParameters
from evolution.management.base import (
    LearningTaskCommand,
    bad_input,
    changed_parameters,
    check_number_of_runs,
    chosen_seed,
    chosen_task,
)
from simulations.parameters import ParameterError

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Iterator

_POLL_S = 0.25
_INLINE_SLICE_S = 0.5
#: Without progress for so long, people are told what they may be waiting for.
_HINT_S = 20.0
INTERRUPTED = 130


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
        with _no_news_of_pages() if options["inline"] else nullcontext():
            is_interrupted = self._launch(experiment, options)
        self._report(experiment, as_json=options["json"])
        if is_interrupted:
            sys.exit(INTERRUPTED)

    def _launch(self, experiment: Any, options: dict[str, Any]) -> bool:
        """Launch, compute or wait as the options say; return whether a person cut it short."""
        from evolution.errors import StateConflict
        from evolution.services import experiments
        from evolution.services.control import stop_experiment
        from evolution.services.couriers import SilentCourier

        courier = SilentCourier() if options["inline"] else None
        try:
            experiments.launch_experiment(experiment, courier=courier)
            if courier is not None:
                self._follow(experiment, _inline_work(experiment, courier))
            elif options["wait"]:
                self._follow(experiment, lambda: time.sleep(_POLL_S))
        except KeyboardInterrupt:
            # It may have ended at the same moment.
            with suppress(StateConflict):
                stop_experiment(experiment)
            return True
        return False

    def _follow(self, experiment: Any, work: Callable[[], None]) -> None:
        """Call ``work`` until the experiment has ended, and show its progress on a terminal."""
        from evolution.enums import ExperimentState
        from evolution.selectors import experiment_message

        console = self.console()
        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("best {task.fields[fitness]}"),
            TimeElapsedColumn(),
            console=console,
        )
        with progress if console.is_terminal else nullcontext():
            message = experiment_message(experiment)
            bars = {
                run["run"]: progress.add_task(
                    f"seed {run['seed']}", total=message["n_generations"], fitness="-"
                )
                for run in message["runs"]
            }
            moved_at, done = time.monotonic(), -1
            while not ExperimentState(message["state"]).is_final:
                work()
                message = experiment_message(experiment)
                for run in message["runs"]:
                    if run["run"] not in bars:  # somebody has extended the experiment
                        bars[run["run"]] = progress.add_task(f"seed {run['seed']}", fitness="-")
                    progress.update(
                        bars[run["run"]],
                        completed=max(0, run["generation"]),
                        total=message["n_generations"],
                        fitness="-" if run["fitness"] is None else f"{run['fitness']:.6g}",
                    )
                done_before, done = done, sum(run["generation"] for run in message["runs"])
                if done != done_before:
                    moved_at = time.monotonic()
                elif time.monotonic() - moved_at > _HINT_S:
                    moved_at = time.monotonic()
                    console.print("Nothing has happened for a while: are workers running?")

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


@contextmanager
def _no_news_of_pages() -> Iterator[None]:
    """Keep quiet about pages that cannot be reached: here no broker is needed."""
    logger = logging.getLogger("evolution.events")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _inline_work(experiment: Any, courier: Any) -> Callable[[], None]:
    from evolution.services import work, workers

    worker = workers.claim_name()

    def work_for_a_while() -> None:
        has_worked = work.work(
            worker=worker,
            courier=courier,
            n_workers=1,
            experiment_id=experiment.pk,
            slice_s=_INLINE_SLICE_S,
        )
        if not has_worked:
            # What is missing is in the hands of other processes on this database.
            time.sleep(_POLL_S)

    return work_for_a_while


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
