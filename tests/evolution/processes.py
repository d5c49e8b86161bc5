"""The processes of one site: commands and Celery workers with a database and a broker."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2l_site.locations import PROJECT_ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


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
        """Return the end of what the workers have written."""
        path = self.directory / "worker.log"
        return path.read_text()[-4000:] if path.exists() else ""

    @contextmanager
    def worker(self, n_processes: int, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a Celery worker with so many children."""
        with ended(self.start_worker(n_processes, **environment)) as process:
            yield process

    @contextmanager
    def sweeper(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the sweeper."""
        with ended(self.start_sweeper()) as process:
            yield process

    def start_worker(
        self,
        n_processes: int,
        pool: str = "prefork",
        prefix: Sequence[str] = (),
        **environment: str,
    ) -> subprocess.Popen[bytes]:
        return self.start(
            *("celery", "-A", "tests.evolution.worker_app"),
            *("worker", "--pool", pool, "--concurrency", str(n_processes)),
            *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO"),
            # Several workers of one host need different names.
            *("--hostname", f"{secrets.token_hex(4)}@%h"),
            prefix=prefix,
            **environment,
        )

    def start_sweeper(self, **environment: str) -> subprocess.Popen[bytes]:
        return self.start("tests.evolution.command", "sweeper", **environment)

    def start(
        self, *arguments: str, prefix: Sequence[str] = (), **environment: str
    ) -> subprocess.Popen[bytes]:
        """Start a Python module as a process of the site, in a session of its own.

        ``prefix`` is a command that runs another one, such as one that enters a namespace.
        """
        with (self.directory / "worker.log").open("ab") as log:
            return subprocess.Popen(
                [*prefix, sys.executable, "-m", *arguments],
                cwd=PROJECT_ROOT,
                env={**self.environment, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


class Operator:
    """Talks to :mod:`tests.evolution.remote_operator`, until the database answers."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.evolution.remote_operator"],
            cwd=PROJECT_ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, name: str, **arguments: Any) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        deadline = time.monotonic() + 60
        while True:
            self.process.stdin.write(json.dumps([name, arguments]) + "\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline())
            if "error" not in answer:
                return answer["result"]
            assert time.monotonic() < deadline, answer["error"]
            time.sleep(0.2)


@contextmanager
def ended(process: subprocess.Popen[Any]) -> Iterator[subprocess.Popen[Any]]:
    """Ask a process to end when the block is left, and kill what is left of its session."""
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        kill(process)


def kill(process: subprocess.Popen[Any]) -> None:
    """End a process and its children as ``kill -9`` does."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def children(process: subprocess.Popen[Any]) -> list[int]:
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in path.read_text().split()]
