"""Look at experiments, control, move and reproduce them from the command line."""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import Progress

from evolution.management.base import (
    bad_input,
    check_name,
    check_number_of_runs,
    check_seed,
    parsed_changes,
)
from evolution.management.following import INTERRUPTED, launch_and_follow, no_news_of_pages

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterable

    from evolution.differences import Difference
    from evolution.models import Experiment

_SIMPLE = {
    "pause": "Let an experiment rest where it is.",
    "resume": "Let an experiment that rests, or that failed, go on.",
    "stop": "End an experiment for good; what it has found is kept.",
    "archive": "Put an experiment away: lists do not show it any more.",
    "unarchive": "Show an experiment in lists again.",
    "retry": "Repeat evaluations that failed by an error, a crash or the time limit.",
}


class Command(BaseCommand):
    """List, pause, resume, stop, extend, clone, archive, delete, export, import, reproduce."""

    help = "Look at experiments, control, move and reproduce them, as the pages do."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        listing = actions.add_parser("list", help="Show all experiments.")
        listing.add_argument("--archived", action="store_true", help="Those that were put away.")
        importing = actions.add_parser("import", help="Read an experiment from a file.")
        importing.add_argument("file", type=Path, help="File that an export has written.")
        chosen = [listing, importing]
        for name, text in {
            "show": "Show where an experiment stands.",
            **_SIMPLE,
            "extend": "Give an experiment more generations or more runs.",
            "clone": "Launch an experiment like another one.",
            "delete": "Delete an experiment with its history.",
            "export": "Write an experiment with its whole history to a file.",
            "reproduce": "Launch an experiment once more with the same configuration and seeds.",
            "difference": "Compare a reproduction with its original, generation by generation.",
        }.items():
            action = actions.add_parser(name, help=text, description=text)
            action.add_argument("id", type=int, help="Number of the experiment.")
            chosen.append(action)
            if name == "extend":
                action.add_argument("--generations", type=int, help="Generations in all.")
                action.add_argument("--runs", type=int, help="Runs in all.")
            if name == "clone":
                action.add_argument("--name", help="Name of the copy.")
                action.add_argument("--seed", type=int, help="Seed (default: the same).")
                action.add_argument("--runs", type=int, help="Number of runs.")
                action.add_argument(
                    "--set", action="append", default=[], dest="changes", metavar="NAME=VALUE",
                    help="Change a parameter; may be given several times.",
                )  # fmt: skip
            if name == "delete":
                action.add_argument("--yes", action="store_true", help="Do not ask.")
            if name == "export":
                action.add_argument("--out", type=Path, help="File (default: a name of its own).")
            if name == "reproduce":
                how = action.add_mutually_exclusive_group()
                how.add_argument("--inline", action="store_true", help="Compute here.")
                how.add_argument("--wait", action="store_true", help="Wait for the workers.")
        for action in chosen:
            action.add_argument("--json", action="store_true", help="Print one JSON value.")

    def handle(self, **options: Any) -> None:
        from evolution.errors import InvalidExperiment, StateConflict
        from simulations.parameters import ParameterError

        if options["action"] == "list":
            self._list(options)
            return
        if options["action"] == "import":
            self._import(options)
            return
        experiment = self._experiment(options["id"])
        try:
            experiment = self._act(experiment, options)
        except StateConflict as error:
            raise CommandError(str(error)) from None
        except (InvalidExperiment, ParameterError) as error:
            raise bad_input(str(error)) from None
        if experiment is not None:
            self._print(_described(experiment), options)

    def _act(self, experiment: Experiment, options: dict[str, Any]) -> Experiment | None:
        from evolution.services import control

        action = options["action"]
        if action in _SIMPLE:
            name = "retry_failures" if action == "retry" else f"{action}_experiment"
            getattr(control, name)(experiment)
        elif action == "extend":
            control.extend_experiment(
                experiment, n_generations=options["generations"], n_runs=options["runs"]
            )
        elif action == "clone":
            return self._clone(experiment, options)
        elif action == "delete":
            self._confirm(experiment, options)
            control.delete_experiment(experiment)
            self._print({"deleted": options["id"]}, options)
            return None
        elif action == "export":
            return self._export(experiment, options)
        elif action == "reproduce":
            return self._reproduce(experiment, options)
        elif action == "difference":
            self._print_difference(experiment, options)
            return None
        return experiment

    def _clone(self, experiment: Experiment, options: dict[str, Any]) -> Experiment:
        from evolution.cgp.parameters import EvolutionParameters
        from evolution.services import experiments

        check_number_of_runs(options["runs"])
        check_seed(options["seed"])
        check_name(options["name"])
        types = [experiment.learning_task.parameters_type, EvolutionParameters]
        clone = experiments.clone_experiment(
            experiment,
            by=None,
            changes=parsed_changes(types, options["changes"]),
            name=options["name"],
            seed=options["seed"],
            n_runs=options["runs"],
        )
        experiments.launch_experiment(clone)
        return clone

    # --- moving and reproducing ---

    def _export(self, experiment: Experiment, options: dict[str, Any]) -> None:
        from evolution.experiment_export import export_experiment, file_name
        from evolution.services.experiments import provenance

        path: Path = options["out"] or Path(file_name(experiment))
        if not path.parent.is_dir():
            raise bad_input(f"There is no folder {path.parent}.")
        pieces = export_experiment(experiment, written_by=provenance())
        try:
            n_bytes = _write(path, pieces)
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}.") from None
        row = {"experiment": experiment.pk, "file": str(path), "bytes": n_bytes}
        text = f"experiment {experiment.pk}: exported to {path}, {n_bytes / 1e6:.2f} MB"
        self.stdout.write(_json(row) if options["json"] else text)

    def _import(self, options: dict[str, Any]) -> None:
        from evolution.experiment_file import BrokenExperimentFile
        from evolution.services.imports import import_experiment

        path: Path = options["file"]
        console = Console(file=sys.stderr)
        bar = Progress(console=console, transient=True)
        try:
            with (
                path.open("rb") as file,
                no_news_of_pages(),
                bar if console.is_terminal else nullcontext(),
            ):
                task = bar.add_task("Importing", total=None)
                experiment, is_new = import_experiment(
                    file,
                    owner=None,
                    progress=lambda done, n: bar.update(task, completed=done, total=n),
                )
        except OSError as error:
            raise bad_input(f"{path} cannot be read: {error.strerror}.") from None
        except BrokenExperimentFile as error:
            raise bad_input(f"{path} was not imported. {error}") from None
        if options["json"]:
            self.stdout.write(_json({**_described(experiment), "is_new": is_new}))
        else:
            self.stdout.write("Imported as" if is_new else "Already there as")
            self._print_line(_described(experiment))

    def _reproduce(self, experiment: Experiment, options: dict[str, Any]) -> Experiment | None:
        from evolution.services.experiments import reproduce_experiment

        reproduction, is_interrupted = launch_and_follow(
            lambda courier: reproduce_experiment(experiment, by=None, courier=courier),
            is_inline=options["inline"],
            is_waited_for=options["wait"],
            console=Console(file=sys.stderr),
        )
        if not options["inline"] and not options["wait"]:
            return reproduction
        is_identical = self._print_difference(reproduction, options)
        if is_interrupted:
            sys.exit(INTERRUPTED)
        if not is_identical:
            sys.exit(1)
        return None

    def _print_difference(self, reproduction: Experiment, options: dict[str, Any]) -> bool:
        """Print how a reproduction differs; return whether it is identical."""
        from evolution.differences import differences

        reproduction.refresh_from_db()
        if reproduction.original is None:
            raise bad_input(f"Experiment {reproduction.pk} is no reproduction of another one.")
        found = differences(reproduction)
        if options["json"]:
            self.stdout.write(_json(_difference_row(reproduction, found)))
            return found.is_identical
        self.stdout.write(f"experiment {reproduction.pk} reproduces {reproduction.original_id}")
        self.stdout.write(found.verdict)
        for run in found.runs:
            line = f"run {run.number}, seed {run.seed}: {run.verdict}"
            if run.first is not None:
                largest = f"; fitness by up to {run.largest:.6g}" if run.largest else ""
                line += f" ({', '.join(run.what)}{largest})"
            self.stdout.write(line)
        for name, before, again in found.software:
            self.stdout.write(f"{name}: {before} before, {again} now")
        return found.is_identical

    def _confirm(self, experiment: Experiment, options: dict[str, Any]) -> None:
        if options["yes"]:
            return
        if not sys.stdin.isatty():
            raise bad_input("Say --yes to delete without being asked.")
        answer = input(f"Delete “{experiment.name}” with its whole history? Type its number: ")
        if answer.strip() != str(experiment.pk):
            raise CommandError("Nothing was deleted.")

    def _experiment(self, pk: int) -> Experiment:
        from evolution.models import Experiment

        try:
            return Experiment.objects.get(pk=pk)
        except Experiment.DoesNotExist:
            raise bad_input(f"There is no experiment {pk}.") from None

    def _list(self, options: dict[str, Any]) -> None:
        from evolution.models import Experiment

        experiments = Experiment.objects.newest_first()
        chosen = experiments.archived() if options["archived"] else experiments.not_archived()
        rows = [_described(experiment) for experiment in chosen]
        if options["json"]:
            self.stdout.write(json.dumps(rows, allow_nan=False, ensure_ascii=False))
            return
        for row in rows:
            self._print_line(row)

    def _print(self, row: dict[str, Any], options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(row, allow_nan=False, ensure_ascii=False))
        elif "deleted" in row:
            self.stdout.write(f"experiment {row['deleted']}: deleted")
        else:
            self._print_line(row)

    def _print_line(self, row: dict[str, Any]) -> None:
        best = "" if row["fitness"] is None else f", best {row['fitness']:.6g}"
        self.stdout.write(
            f"experiment {row['experiment']}: {row['state']}, {row['name']}, "
            f"{row['runs']} runs, {row['generations']} generations done{best}"
        )


def _write(path: Path, pieces: Iterable[bytes]) -> int:
    """Write a file so that it is there as a whole or not at all; return its size."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:
            n_bytes = sum(map(file.write, pieces))
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return n_bytes


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def _difference_row(reproduction: Experiment, found: Difference) -> dict[str, Any]:
    return {
        "experiment": reproduction.pk,
        "original": reproduction.original_id,
        "is_identical": found.is_identical,
        "is_over": found.is_over,
        "verdict": found.verdict,
        "runs": [
            {
                "run": run.number,
                "seed": run.seed,
                "is_identical": run.is_identical,
                "n_compared": run.n_compared,
                "n_generations": run.n_generations,
                "first_difference": run.first,
                "what": run.what,
                "n_different": run.n_different,
                "largest_fitness_difference": run.largest
                if math.isfinite(run.largest)
                else "Infinity",
            }
            for run in found.runs
        ],
        "software": [
            {"name": name, "before": before, "again": again}
            for name, before, again in found.software
        ],
    }


def _described(experiment: Experiment) -> dict[str, Any]:
    from evolution.selectors import experiment_message

    message = experiment_message(experiment)
    fitness = [run["fitness"] for run in message["runs"] if run["fitness"] is not None]
    return {
        "experiment": experiment.pk,
        "name": experiment.name,
        "task": experiment.learning_task_name,
        "state": message["state"],
        "is_archived": experiment.archived_at is not None,
        "runs": len(message["runs"]),
        "generations": sum(max(0, run["generation"]) for run in message["runs"]),
        "fitness": max(fitness, default=None),
    }
