"""The processes of one site: commands and Celery workers with a database and a broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2l_site.locations import PROJECT_ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator


class Site:
    """A database, a broker and the processes of one test."""

    def __init__(self, directory: Path, redis_url: str, database_url: str | None) -> None:
        self.directory = directory
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
            "E2L_DATA_DIR": str(directory),
            "REDIS_URL": redis_url,
            "DJANGO_SETTINGS_MODULE": "e2l_site.settings",
            "E2L_WORKERS": "2",
            "OMP_NUM_THREADS": "1",
        }
        if database_url is not None:
            self.environment["DATABASE_URL"] = database_url

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.evolution.command", *arguments],
            cwd=PROJECT_ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def check(self, *arguments: str, timeout_s: float = 120.0) -> str:
        """Run a command that must succeed and return what it prints."""
        process = self.command(*arguments)
        output, errors = process.communicate(timeout=timeout_s)
        assert process.returncode == 0, errors + self.log()
        return output

    def result(self, process: subprocess.Popen[str], timeout_s: float = 90.0) -> dict[str, Any]:
        output, errors = process.communicate(timeout=timeout_s)
        assert process.returncode == 0, errors + self.log()
        return json.loads(output)

    def log(self) -> str:
        path = self.directory / "worker.log"
        return path.read_text()[-4000:] if path.exists() else ""

    @contextmanager
    def worker(self, n_processes: int, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a Celery worker with so many children."""
        command = [
            *("celery", "-A", "tests.evolution.worker_app"),
            *("worker", "--pool", "prefork", "--concurrency", str(n_processes)),
            *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO"),
        ]
        with self._service(command, environment) as process:
            yield process

    @contextmanager
    def sweeper(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the sweeper."""
        with self._service(["tests.evolution.command", "sweeper"], {}) as process:
            yield process

    @contextmanager
    def _service(
        self, arguments: list[str], environment: dict[str, str]
    ) -> Iterator[subprocess.Popen[bytes]]:
        with (self.directory / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=PROJECT_ROOT,
                env={**self.environment, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def children(process: subprocess.Popen[Any]) -> list[int]:
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in path.read_text().split()]
