"""Compute a figure of the paper and write it, without broker and workers."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from evolution.management.base import bad_input, parsed_rule, print_json, stderr_console
from simulations.figures import FIGURE_NAMES, UnknownFigure, get_figure

INTERRUPTED = 130

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from evolution.figure_choice import FigureChoice
    from simulations.figures.panel import Panel


class Command(BaseCommand):
    """Simulate what a figure shows, read what evolution has found, and write all of it."""

    help = (
        "Compute a figure of the paper and write it as PDF, SVG and PNG, and the data of each "
        "panel as CSV. Panels of evolution show an experiment of this installation, and the "
        "published runs where they have been imported (manage.py import_published)."
    )
    requires_system_checks: ClassVar[list[str]] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("figure", metavar="FIGURE", help=f"One of {', '.join(FIGURE_NAMES)}.")
        parser.add_argument(
            "--out", type=Path, required=True, metavar="DIR", help="Folder for the files."
        )
        parser.add_argument(
            "--quick", action="store_true", help="Smaller settings; figure and tables name them."
        )
        parser.add_argument(
            "--experiment",
            type=int,
            metavar="PK",
            help="Experiment for the panels of evolution (default: the latest of preset paper).",
        )
        parser.add_argument(
            "--run", type=int, metavar="N", help="Run whose path is shown (default: the fittest)."
        )
        parser.add_argument(
            "--rule",
            nargs="+",
            metavar="RULE",
            help="Rule to show in place of the paper's; two expressions (depress, facilitate) for "
            "fig5.",
        )
        parser.add_argument(
            "--json", action="store_true", help="Print one JSON object and nothing else."
        )

    def handle(self, **options: Any) -> None:
        start = time.perf_counter()
        choice = self._choice(options)
        directory = _folder(options["out"])
        simulated, held_out = self._simulate(choice, is_quick=options["quick"])

        from evolution import panel_print
        from evolution.panel_table import panel_csv
        from evolution.paper_figures import all_panels
        from simulations.figures.panel import with_note

        figure = choice.figure
        panels = all_panels(choice, simulated, held_out)
        note = figure.quick_words() if options["quick"] else ""
        if note:
            quick = {*figure.simulated, figure.validation_key}
            for key in quick:
                (panels[key],) = with_note([panels[key]], note)
        title = f"Figure {figure.number}: {figure.title}"
        files = {
            f"{figure.name}.{name}": content
            for name, content in panel_print.print_figure(title, panels, figure.layout).items()
        }
        files |= {
            f"{figure.name}-{key}.csv": panel_csv(panel).encode() for key, panel in panels.items()
        }
        _write(directory, files)
        self._report(choice, directory, sorted(files), panels, note, time.perf_counter() - start,
                     as_json=options["json"])  # fmt: skip

    def _choice(self, options: dict[str, Any]) -> FigureChoice:
        from evolution import figure_choice
        from evolution.models import Experiment

        try:
            figure = get_figure(options["figure"])
        except UnknownFigure as error:
            raise bad_input(str(error)) from None
        rule = parsed_rule(figure.learning_task, options["rule"]) if options["rule"] else None
        pk, number = options["experiment"], options["run"]
        try:
            if pk is None:
                experiment = figure_choice.default_experiment(figure)
            else:
                experiment = Experiment.objects.filter(pk=pk).first()
                if experiment is None:
                    raise bad_input(f"There is no experiment {pk}.")
                if experiment.learning_task_name != figure.learning_task_name:
                    raise bad_input(
                        f"Experiment {pk} is of the learning task {experiment.learning_task_name}, "
                        f"{figure.name} of {figure.learning_task_name}."
                    )
            published = figure_choice.published_experiment(figure)
            if number is not None:
                if figure.path_key is None:
                    raise bad_input(f"--run: {figure.name} shows no single run.")
                if experiment is None:
                    raise bad_input("--run needs an experiment, and there is none.")
                if not 1 <= number <= experiment.n_runs:
                    raise bad_input(f"--run must be from 1 to {experiment.n_runs}.")
        except OverflowError:
            raise bad_input(f"There is no experiment {pk}.") from None
        except DatabaseError as error:
            if pk is not None:
                raise CommandError(
                    f"The database cannot be used ({error}). Is it set up (manage.py migrate)?"
                ) from error
            self.stderr.write(
                "The database cannot be used: panels of evolution stay empty (manage.py migrate "
                "sets it up)."
            )
            experiment = published = None
        return figure_choice.FigureChoice(figure, experiment, published, rule, number)

    def _simulate(
        self, choice: FigureChoice, *, is_quick: bool
    ) -> tuple[list[Panel], list[dict[str, Any]]]:
        """Return the panels of the simulation, and the held-out trials of each rule."""
        from evolution.figure_choice import held_out_rules
        from evolution.services.simulator import MachineFault, load_simulator
        from simulations.evaluation import evaluate_rules

        figure = choice.figure
        parameters = figure.held_out_parameters(is_quick=is_quick)
        tried = held_out_rules(choice)
        console = stderr_console()
        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        with progress if console.is_terminal else nullcontext():
            shown_bar = progress.add_task("Trial that is shown", total=1)
            trials_bar = progress.add_task("Held-out trials", total=parameters.n_trials)
            try:
                load_simulator()
                panels = figure.simulate(choice.shown_rule, is_quick=is_quick)
                progress.update(shown_bar, completed=1)
                evaluations = evaluate_rules(
                    figure.learning_task,
                    [figure.rule(tuple(row["expressions"])) for row in tried],
                    parameters,
                    seed=figure.preset.validation_seed,
                    progress=lambda done, total: progress.update(trials_bar, completed=done),
                )
            except MachineFault as error:
                raise CommandError(str(error)) from error
            except ValueError as error:
                raise CommandError(f"The rule cannot be shown. {error}") from error
            except KeyboardInterrupt:
                raise CommandError(
                    "Interrupted: nothing was written.", returncode=INTERRUPTED
                ) from None
        held_out = [
            {**row, "trials": list(found.trials), "reason": str(found.reason or "")}
            for row, found in zip(tried, evaluations, strict=True)
        ]
        return panels, held_out

    def _report(
        self,
        choice: FigureChoice,
        directory: Path,
        names: list[str],
        panels: dict[str, Panel],
        note: str,
        seconds: float,
        *,
        as_json: bool,
    ) -> None:
        missing = {key: panel["missing"] for key, panel in panels.items() if "missing" in panel}
        if as_json:
            print_json(self.stdout, {
                "figure": choice.figure.name,
                "experiment": choice.experiment and choice.experiment.pk,
                "published": choice.published and choice.published.pk,
                "rule": list(choice.shown_rule.texts),
                "files": [str(directory / name) for name in names],
                "quick": note,
                "missing": missing,
                "seconds": seconds,
            })  # fmt: skip
            return
        for name in names:
            self.stdout.write(str(directory / name))
        for key, message in missing.items():
            self.stderr.write(f"{key}: {message}")
        if note:
            self.stderr.write(note)


def _folder(directory: Path) -> Path:
    """Make the folder for the files, before anything is computed in vain."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise bad_input(f"--out: {directory} is no folder ({error.strerror}).") from None
    if not os.access(directory, os.W_OK):
        raise bad_input(f"--out: nothing can be written to {directory}.")
    return directory


def _write(directory: Path, files: dict[str, bytes]) -> None:
    """Write all files; each is there as a whole or not at all."""
    try:
        with tempfile.TemporaryDirectory(dir=directory, prefix=".figures-") as place:
            for name, content in files.items():
                Path(place, name).write_bytes(content)
            for name in files:
                Path(place, name).replace(directory / name)
    except OSError as error:
        raise CommandError(f"The files could not be written: {error}.") from error
