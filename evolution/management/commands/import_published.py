"""Read the authors' published results into read-only experiments."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from evolution.management.base import bad_input

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """Import each learning task's runs as one experiment."""

    help = (
        "Read the data folder of Jordan et al. (2021), as it is in the authors' repository, into "
        "experiments that can be looked at and compared with but not changed. A second time "
        "changes nothing. Broken files are named and left out."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "directory",
            type=Path,
            help="Folder with reward-driven, error-driven, correlation_based.",
        )

    def handle(self, **options: Any) -> None:
        from evolution.published import UnknownFolder, read_folder
        from evolution.services.publications import import_published

        directory: Path = options["directory"]
        # Unlike pathlib it takes a name that is too long for one that is not there.
        if not os.path.isdir(directory):
            raise bad_input(f"{directory} is no folder.")
        try:
            tasks = read_folder(directory)
        except UnknownFolder as error:
            raise bad_input(str(error)) from None
        for task in tasks:
            for problem in task.problems:
                self.stderr.write(f"Left out: {problem.path}: {problem.message}")
            if not task.runs:
                self.stderr.write(f"{task.learning_task_name}: no run can be read.")
                continue
            experiment, is_new = import_published(task)
            what = "imported as" if is_new else "already there as"
            self.stdout.write(
                f"{task.learning_task_name}: {len(task.runs)} runs {what} experiment "
                f"{experiment.pk}, “{experiment.name}”"
            )
