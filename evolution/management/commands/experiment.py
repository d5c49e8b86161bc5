"""Look at experiments and control them from the command line."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from evolution.management.base import bad_input, check_number_of_runs, parsed_changes

if TYPE_CHECKING:
    from argparse import ArgumentParser

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
    """List, pause, resume, stop, extend, clone, archive, delete."""

    help = "Look at experiments and control them, as the pages do."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        listing = actions.add_parser("list", help="Show all experiments.")
        listing.add_argument("--archived", action="store_true", help="Those that were put away.")
        chosen = [listing]
        for name, text in {
            "show": "Show where an experiment stands.",
            **_SIMPLE,
            "extend": "Give an experiment more generations or more runs.",
            "clone": "Launch an experiment like another one.",
            "delete": "Delete an experiment with its history.",
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
        for action in chosen:
            action.add_argument("--json", action="store_true", help="Print one JSON value.")

    def handle(self, **options: Any) -> None:
        from evolution.errors import InvalidExperiment, StateConflict
        from simulations.parameters import ParameterError

        if options["action"] == "list":
            self._list(options)
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
        return experiment

    def _clone(self, experiment: Experiment, options: dict[str, Any]) -> Experiment:
        from evolution.cgp.parameters import EvolutionParameters
        from evolution.services import experiments

        check_number_of_runs(options["runs"])
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
