"""Write a batch script that starts workers on the nodes of a cluster."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.core.management.base import BaseCommand, CommandError

from e2l_site import slurm
from e2l_site.locations import PROJECT_ROOT
from evolution.management.base import bad_input

if TYPE_CHECKING:
    from argparse import ArgumentParser

_ONLY_HERE = frozenset({"", "localhost", "127.0.0.1", "::1"})


class Command(BaseCommand):
    """The script names no password: a file that only its owner may read does."""

    help = "Write a batch script for Slurm; submit it with sbatch."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--nodes", type=int, required=True, help="Number of nodes.")
        parser.add_argument("--time", required=True, help="Time limit, such as 8:00:00.")
        parser.add_argument(
            "--workers-per-node", type=int, default=1, metavar="K", help="Cores (default 1)."
        )
        parser.add_argument("--partition", default="", help="Partition (default: the cluster's).")
        parser.add_argument(
            "--drain",
            type=int,
            default=120,
            metavar="SECONDS",
            help="How long before the limit workers finish their trial and end (default 120).",
        )
        parser.add_argument(
            "--out",
            type=Path,
            default=Path("e2l-workers.sh"),
            metavar="FILE",
            help="The script (default e2l-workers.sh); the environment goes to FILE.env.",
        )

    def handle(self, **options: Any) -> None:
        for name in ("DATABASE_URL", "REDIS_URL"):
            self._check_address(name)
        batch = slurm.Batch(
            nodes=options["nodes"],
            time=options["time"],
            workers_per_node=options["workers_per_node"],
            partition=options["partition"],
            drain_s=options["drain"],
        )
        path: Path = options["out"].resolve()
        if not str(path).isprintable():
            raise bad_input("--out must be a path of printable characters.")
        environment = path.with_name(f"{path.name}.env")
        try:
            text = slurm.script(
                batch,
                name=path.name,
                environment=environment,
                project=PROJECT_ROOT,
                # Not resolved: the link of the environment leads to its packages.
                python=os.path.abspath(sys.executable),
            )
        except slurm.SlurmError as error:
            raise bad_input(str(error)) from None
        try:
            _write(environment, slurm.environment_file(os.environ), 0o600)
            _write(path, text, 0o755)
        except OSError as error:
            raise CommandError(f"{error.filename} cannot be written: {error.strerror}.") from None
        self.stdout.write(
            f"Written: {path} and {environment}, which only you may read.\nSubmit it: sbatch {path}"
        )

    def _check_address(self, name: str) -> None:
        url = os.environ.get(name, "").strip()
        if not url or urlsplit(url).scheme in {"sqlite", "unix"}:
            raise bad_input(
                f"{name} must name a server that the nodes of the cluster reach; the embedded "
                "database and broker serve one machine only."
            )
        if (urlsplit(url).hostname or "") in _ONLY_HERE:
            self.stderr.write(
                f"{name} names this machine as {urlsplit(url).hostname}: other nodes do not reach "
                "it so."
            )


def _write(path: Path, text: str, mode: int) -> None:
    """Write a file as a whole, under a name that it gets at the end."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
