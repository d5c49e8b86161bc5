"""The processes of a real site, for browser tests and for the bench."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from e2l_site.locations import PROJECT_ROOT

CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
FIRST_LINK = """
import django; django.setup()
from e2l_site.accounts import first_signin_path
print(first_signin_path())
"""


@dataclass
class Site:
    """The processes of a site and where it answers."""

    environment: dict[str, str]
    port: int
    log_directory: Path
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)

    @classmethod
    def create(cls, data_directory: Path, redis_url: str) -> Site:
        """Set up a fresh site in ``data_directory``: no account, no experiment."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("E2L_") and name != "DATABASE_URL"
        }
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        own = {
            "E2L_DATA_DIR": str(data_directory),
            "REDIS_URL": redis_url,
            "DJANGO_SETTINGS_MODULE": "e2l_site.settings",
            "PYTHONUNBUFFERED": "1",
        }
        site = cls({**inherited, **own}, port, data_directory)
        site.manage("migrate", "--verbosity", "0")
        site._collect_static_once()
        return site

    def _collect_static_once(self) -> None:
        """Collect static files, once for all processes of a test run.

        All share the directory, and what one collects another one's server may be reading.
        """
        run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
        path = Path(tempfile.gettempdir()) / f"e2l-static-{run}"
        with path.open("a+") as stamp:
            fcntl.flock(stamp, fcntl.LOCK_EX)
            stamp.seek(0)
            if not stamp.read():
                self.manage("collectstatic", "--noinput", "--verbosity", "0")
                stamp.write("collected")

    @property
    def url(self) -> str:
        """Address without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def manage(self, *arguments: str) -> str:
        """Run a command of manage.py and return what it writes."""
        return self.python("manage.py", *arguments)

    def python(self, *arguments: str) -> str:
        """Run Python in the site's environment and return what it writes."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=PROJECT_ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, name: str, *arguments: str) -> None:
        """Start ``python -m ...`` in a process group of its own."""
        with (self.log_directory / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=PROJECT_ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start_web(self) -> None:
        """Start the web server and wait until it answers."""
        self.start(
            "web", "uvicorn", "e2l_site.asgi:application", "--port", str(self.port),
            "--log-level", "warning",
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self.processes["web"].poll() is None, self.log("web")
            assert time.monotonic() < deadline, "the web server did not answer in 60 s"
            time.sleep(0.05)

    def first_link(self) -> str:
        """Return the address of the one-time way in."""
        return self.url + self.python("-c", FIRST_LINK).strip()

    def start_workers(self, n_workers: int) -> None:
        """Start prefork workers, which tasks wait for, and what wakes them if a message is lost."""
        self.start(
            "worker", "celery", "-A", "e2l_site", "worker", "--pool", "prefork", "-c",
            str(n_workers), "--without-gossip", "--without-mingle", "--without-heartbeat",
        )  # fmt: skip
        self.start("sweeper", "django", "sweeper")

    def kill(self, name: str) -> None:
        """Kill a process and its children."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)

    def kill_all(self) -> None:
        """Kill all processes and their children."""
        for name in list(self.processes):
            self.kill(name)

    def log(self, name: str) -> str:
        """Return what a process has written."""
        return (self.log_directory / f"{name}.log").read_text(encoding="utf-8")

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}/sign-in/", timeout=5).close()
        except (urllib.error.URLError, OSError):
            return False
        return True
