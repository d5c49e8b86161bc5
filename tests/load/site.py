"""An installation as operators run it: the commands of ``docker-compose.yml`` without containers.

A PostgreSQL and a Redis of its own (Valkey where no Redis is installed), the web server and the
workers behind the launcher, and the sweeper. Simulations are replaced by a stand-in, which takes as
long as it is told.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2l_site.locations import PROJECT_ROOT
from tests.load.memory import Memory, descendants, memory_of
from tests.servers import Broker, PostgreSQL, free_port, open_directory, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: As the image of PostgreSQL has them; that of the tests gives durability away for speed.
_SETTINGS = ("fsync = on", "shared_buffers = 128MB", "max_connections = 100")
_START_S = 90.0


@dataclass(frozen=True)
class Sample:
    """A process at a moment."""

    role: str
    pid: int
    memory: Memory


class Site:
    """The processes of an installation.

    Parameters
    ----------
    directory : Path
        Where its data and logs are.
    """

    def __init__(
        self, directory: Path, server: PostgreSQL, broker: Broker, *, n_workers: int
    ) -> None:
        self.directory, self.server, self.broker = directory, server, broker
        self.port = free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("E2L_")}
        self.environment = {
            **kept,
            "DJANGO_SETTINGS_MODULE": "e2l_site.settings",
            "E2L_DATA_DIR": str(directory),
            "DATABASE_URL": server.url("site"),
            "REDIS_URL": broker.url,
            "E2L_LEARNING_TASKS": "tests.evolution.regression_task:RegressionTask",
            "E2L_WORKERS": str(n_workers),
            "E2L_WEB_PROCESSES": os.environ.get("E2L_WEB_PROCESSES", "2"),
            "E2L_LOG_FORMAT": "json",
        }

    @property
    def url(self) -> str:
        """Address without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def python(self, *arguments: str, given: str = "") -> str:
        """Run Python in the site's environment and return what it writes."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=PROJECT_ROOT,
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stderr}")
        return done.stdout

    def start(self) -> None:
        """Start web server, workers and sweeper, and wait until they are there."""
        launcher = ("-m", "e2l_site.launcher")
        self._start("web", *launcher, "--web-only", "--port", str(self.port))
        wait_until(self.answers, _START_S, f"the web server answers: {self.log('web')}")
        self._start("worker", *launcher, "--worker-only")
        self._start("sweeper", "manage.py", "sweeper")
        log = self.directory / "worker.log"
        wait_until(lambda: b"ready." in log.read_bytes(), _START_S, "the workers listen")

    def _start(self, name: str, *arguments: str) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=PROJECT_ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def answers(self) -> bool:
        """Whether the web server, database and broker are there."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def log(self, name: str) -> str:
        """Return the end of what a process has written."""
        path = self.directory / f"{name}.log"
        return path.read_text(encoding="utf-8")[-4000:] if path.exists() else ""

    def errors(self) -> list[str]:
        """Return the lines of the logs with the level ERROR or CRITICAL."""
        found = []
        for path in sorted(self.directory.glob("*.log")):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    entry = json.loads(line)
                    is_error = entry["level"] in {"ERROR", "CRITICAL"}
                except (ValueError, TypeError, KeyError):
                    continue
                if is_error:
                    found.append(f"{path.stem}: {entry['logger']}: {entry['message']}")
        return found

    def stop(self) -> None:
        """Ask all processes to end, and kill what is left."""
        pids = [pid for process in self._processes.values() for pid in descendants(process.pid)]
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.wait()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # --- processes and their memory ---

    def processes(self) -> dict[int, str]:
        """Return the role of each process by its id."""
        found = {}
        for name, process in self._processes.items():
            parts = descendants(process.pid)
            if name == "web":
                found[process.pid] = "launcher"
                found.update(dict.fromkeys(parts, "web"))
            elif name == "worker":
                found[process.pid] = "worker"
                found.update(dict.fromkeys(parts, "child of the worker"))
            else:
                found[process.pid] = name
        if (pid := self.server.pid()) is not None:
            found[pid] = "PostgreSQL"
            for part in descendants(pid):
                is_backend = b"postgres: postgres" in _command(part)
                role = "connection of PostgreSQL" if is_backend else "PostgreSQL"
                found[part] = role
        if self.broker.pid is not None:
            found[self.broker.pid] = "Redis"
        return found

    def samples(self) -> list[Sample]:
        """Return the memory of each process now."""
        found = ((pid, role, memory_of(pid)) for pid, role in self.processes().items())
        return [Sample(role, pid, memory) for pid, role, memory in found if memory is not None]

    def processor_seconds(self) -> dict[str, float]:
        """Return the processor time that the processes of each role have taken, in s."""
        seconds: dict[str, float] = {}
        for pid, role in self.processes().items():
            try:
                stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
            except OSError:
                continue
            ticks = sum(map(int, stat.rpartition(")")[2].split()[11:13]))
            seconds[role] = seconds.get(role, 0.0) + ticks / os.sysconf("SC_CLK_TCK")
        return seconds


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@contextmanager
def site(*, n_workers: int, large: Mapping[str, int]) -> Iterator[Site]:
    """Set up and start an installation with a large experiment; nothing of it is left afterwards.

    The database is a copy of the one in ``DATABASE_URL``, which
    :mod:`tests.large_database` has filled; without one it is filled here.

    Parameters
    ----------
    n_workers : int
        Children of the worker.
    large : mapping of str to int
        Runs and generations of the experiment, where it is made here.
    """
    with ExitStack() as stack:
        directory = stack.enter_context(open_directory("e2l-load-"))
        (directory / "cluster").mkdir()
        server = PostgreSQL(directory / "cluster", *_SETTINGS)
        server.start()
        stack.callback(server.stop)
        server.execute("CREATE DATABASE site")
        broker = Broker(directory, redis_binary=shutil.which("redis-server"))
        broker.start()
        stack.callback(broker.kill)
        running = Site(directory, server, broker, n_workers=n_workers)
        source = os.environ.get("DATABASE_URL", "")
        if source:
            server.copy(source, "site")
            running.python("manage.py", "migrate", "-v0")
        else:
            options = [f"--{name}={value}" for name, value in large.items()]
            running.python("-m", "tests.large_database", *options)
        running.python("manage.py", "collectstatic", "--noinput", "-v0")
        server.execute("VACUUM ANALYZE", database="site")
        stack.callback(running.stop)
        running.start()
        yield running


class Crowd:
    """The process of :mod:`tests.load.crowd`."""

    def __init__(self, site: Site, plan: Mapping[str, Any]) -> None:
        self.n_viewers = len(plan["sessions"])
        path = site.directory / "plan.json"
        path.write_text(json.dumps({**plan, "url": site.url}), encoding="utf-8")
        self._log = (site.directory / "crowd.errors").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.load.crowd", str(path)],
            cwd=PROJECT_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._errors = site.directory / "crowd.errors"

    def phase(self, **changes: Any) -> dict[str, Any]:
        """End a phase, with changes to the plan of the next one; return what has happened in it."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(changes) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the crowd has gone:\n{self._errors.read_text()[-4000:]}")
        return json.loads(line)

    def close(self) -> None:
        """Send everybody away."""
        assert self.process.stdin
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()
