"""Run the site on this machine: broker, workers and web server in one command.

``python -m e2l_site.launcher --port 8000`` serves until Ctrl-C. The launcher itself does no work:
it starts processes, tells when the page answers, restarts what dies, and leaves nothing behind.
SIGHUP has it replace the web server by one with new code and settings, without a failed request.
"""

from __future__ import annotations

import signal

if __name__ == "__main__":
    # Ctrl-C while the modules below load: there is nothing to stop yet, and nothing to tell.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import http.client
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from . import broker, preflight, private_valkey
from .display import Display
from .locations import PROJECT_ROOT, data_directory
from .supervisor import Service, Supervisor, rotate

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType

_MAX_PROCESSES = 256
_VALKEY_DEADLINE_S = 30.0
_PAGE_DEADLINE_S = 60.0
_STOP_DEADLINE_S = 8.0
# A web server that ends so often before it has ever answered will not start at all.
_HOPELESS_FAILURES = 3
# One worker process is one core: libraries must not start threads of their own.
_THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_CELERY = (sys.executable, "-m", "celery", "-A", "e2l_site")
_SWEEPER = (sys.executable, "manage.py", "sweeper")
_FIRST_SIGNIN = (
    "import django; django.setup(); from e2l_site.accounts import first_signin_path; "
    "print(first_signin_path() or '')"
)


class LaunchError(RuntimeError):
    """The site cannot run; the message is one sentence for the user."""


def worker_count() -> int:
    """Return ``E2L_WORKERS``, else the number of cores that this process may use.

    Raises
    ------
    LaunchError
        If ``E2L_WORKERS`` is not a whole number from 1 to 256.
    """
    if hasattr(os, "sched_getaffinity"):
        return _count("E2L_WORKERS", len(os.sched_getaffinity(0)))
    return _count("E2L_WORKERS", os.cpu_count() or 1)


def web_count() -> int:
    """Return ``E2L_WEB_PROCESSES``, else 1.

    Raises
    ------
    LaunchError
        If ``E2L_WEB_PROCESSES`` is not a whole number from 1 to 256.
    """
    return _count("E2L_WEB_PROCESSES", 1)


def _count(name: str, default: int) -> int:
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if text.isascii() and text.isdigit() and 1 <= int(text) <= _MAX_PROCESSES:
        return int(text)
    raise LaunchError(f"{name} must be a whole number from 1 to {_MAX_PROCESSES}, not {text!r}.")


def worker_command(count: int) -> list[str]:
    """Return the command of a Celery worker with ``count`` processes."""
    return [
        *(*_CELERY, "worker", "--loglevel", "INFO"),
        *("--hostname", f"e2l-{os.getpid()}@%h", "--pool", "prefork", "--concurrency", str(count)),
        # These talk to other workers, of which the database tells all that we need.
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]


def worker_environment() -> dict[str, str]:
    """Return what a worker's environment holds besides ours."""
    return {name: os.environ.get(name, "1") for name in _THREAD_LIMITS}


class _Terminal:
    """The terminal that the launcher was started in, if it was started in one.

    When its window is closed the kernel tells the first process in it alone. That is `make` where
    nobody opened a shell before (``ssh -t host make up``), and make waits for the launcher.
    """

    def __init__(self) -> None:
        self._is_ours = False
        self._was_there = os.isatty(0)
        self.is_closed()  # notes whether we start in its foreground

    def is_closed(self) -> bool:
        """Return whether the terminal, in whose foreground we have been, has been closed."""
        try:
            # A job in the background, or without a terminal, outlives the window.
            self._is_ours = os.tcgetpgrp(0) == os.getpgrp()
        except OSError:
            return self._is_ours and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
        return False

    def is_gone(self) -> bool:
        """Return whether there was a terminal, and is none any more: a hangup means the end."""
        try:
            os.tcgetpgrp(0)
        except OSError:
            return self._was_there
        return False


class Launcher:
    """Everything between the start of the command and its end.

    Parameters
    ----------
    listener : socket
        Listens already; the web server takes it over, also after a restart, so that a
        connection made in between waits instead of failing.
    display : Display
        Tells the user what goes on.
    is_web_only : bool
        Look after the web server alone, whose log then is the launcher's output.
    """

    def __init__(
        self, listener: socket.socket, display: Display, *, is_web_only: bool = False
    ) -> None:
        self._listener = listener
        self._port = listener.getsockname()[1]
        self._display = display
        self._logs = data_directory() / "log"
        self._workers = worker_count()
        self._n_web = web_count()
        self._supervisor = Supervisor([], display.say)
        self._stop_requests = 0
        self._hangups = 0
        self._is_web_only = is_web_only
        self._web: list[Service] = []
        self._valkey: Service | None = None
        self._terminal = _Terminal()

    @property
    def address(self) -> str:
        """URL of the first page."""
        return f"http://127.0.0.1:{self._port}/"

    def run(self) -> None:
        """Serve until a signal asks to stop.

        Raises
        ------
        LaunchError
            If the site does not come up.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._request_stop)
        # Under nohup the end of the terminal is to be ignored.
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._note_hangup)
        try:
            if broker.is_private() and not self._is_web_only:
                self._start_valkey()
            if not self._stop_requests:
                self._start_site()
            while not self._stop_requests and not self._terminal.is_closed():
                if self._hangups:
                    self._hangups = 0
                    self._replace_web()
                self._supervisor.check()
                time.sleep(0.1)
        finally:
            self._stop()

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        # A second Ctrl-C does not wait for the tasks that are running.
        self._stop_requests += 1

    def _note_hangup(self, number: int, frame: FrameType | None) -> None:
        if self._terminal.is_gone():
            self._stop_requests += 1
        else:
            self._hangups += 1

    def _replace_web(self) -> None:
        for web in self._web:
            self._supervisor.replace(
                web, lambda ready_fd: [*self._web_command(), "--ready-fd", str(ready_fd)]
            )

    def _start_valkey(self) -> None:
        data_dir = data_directory()
        socket_path = broker.default_socket_path(data_dir)
        if os.environ.get("E2L_VALKEY_SOCKET", "").strip():
            socket_path = broker.socket_path(data_dir)
        directory = private_valkey.prepare(socket_path, data_dir)
        self._valkey = self._start(
            "The private Valkey", private_valkey.server_command(socket_path, directory), "valkey"
        )
        assert self._valkey.process is not None
        private_valkey.pid_file(data_dir).write_text(f"{self._valkey.process.pid}\n")
        self._wait_for(
            "Message broker",
            lambda: private_valkey.answers(socket_path),
            self._valkey,
            _VALKEY_DEADLINE_S,
        )
        private_valkey.put_back_unacknowledged(broker.broker_url())

    def _start_site(self) -> None:
        # The page first: people wait for it, and the workers take longer to load.
        descriptor = self._listener.fileno()
        # Whichever is free takes the next connection from the socket that they share.
        for number in range(1, self._n_web + 1):
            name = "The web server" if self._n_web == 1 else f"Web server {number}"
            log = "web" if number == 1 else f"web{number}"
            self._web.append(self._start(name, self._web_command(), log, inherited=[descriptor]))
        web = self._web[0]
        if self._is_web_only:
            self._wait_for("Web server", self._page_answers, web, _PAGE_DEADLINE_S)
            return
        self._start("The worker", worker_command(self._workers), "worker", worker_environment())
        signin = subprocess.Popen(  # noqa: S603  (a fixed command)
            [sys.executable, "-c", _FIRST_SIGNIN],
            cwd=PROJECT_ROOT,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "e2l_site.settings"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        label = f"Web server and {self._workers} worker{'s' if self._workers > 1 else ''}"
        self._wait_for(label, self._page_answers, web, _PAGE_DEADLINE_S)
        self._start("The sweeper", [*_SWEEPER], "sweeper")
        path = signin.communicate()[0].strip()
        if not self._stop_requests:
            way_in = (
                f"first sign-in: {self.address.rstrip('/')}{path}"
                if path
                else "sign in with your user name and password"
            )
            self._display.say(f"e2l runs at {self.address} - {way_in} - stop with Ctrl-C.")

    def _web_command(self) -> list[str]:
        return [sys.executable, "-m", "e2l_site.web", "--fd", str(self._listener.fileno())]

    def _page_answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=0.5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _start(
        self,
        name: str,
        command: Sequence[str],
        log_name: str,
        environment: Mapping[str, str] | None = None,
        inherited: Sequence[int] = (),
    ) -> Service:
        log = None if self._is_web_only else self._logs / f"{log_name}.log"
        rotate(log)
        service = Service(name, command, log, environment or {}, inherited)
        service.start()
        self._supervisor.services.append(service)
        return service

    def _wait_for(
        self, label: str, is_ready: Callable[[], bool], service: Service, deadline_s: float
    ) -> None:
        """Wait until ``service`` is ready, or somebody asks to stop."""
        started = time.monotonic()
        while not self._stop_requests:
            seconds = time.monotonic() - started
            self._display.waiting(label, seconds)
            if is_ready():
                self._display.done(label, time.monotonic() - started)
                return
            self._supervisor.check()
            details = f"{service.last_log_line().rstrip('.')}. Details: {service.details}"
            if service.failures >= _HOPELESS_FAILURES:
                raise LaunchError(f"{service.name} does not start: {details}")
            if seconds > deadline_s:
                raise LaunchError(f"{service.name} is not ready after {seconds:.0f} s: {details}")
            time.sleep(0.05)

    def _stop(self) -> None:
        """Stop the site first and the broker last: what ends may still have something to tell."""
        started = time.monotonic()
        # The first request, or an error, is why we are here; another one does not wait.
        requests = max(1, self._stop_requests)

        def hurry() -> bool:
            self._display.waiting("Stopping", time.monotonic() - started)
            return self._stop_requests > requests

        site = [service for service in self._supervisor.services if service is not self._valkey]
        self._supervisor.stop(site, _STOP_DEADLINE_S, hurry)
        if self._valkey is not None:
            self._supervisor.stop([self._valkey], _STOP_DEADLINE_S, lambda: False)
            private_valkey.forget(data_directory())
        self._listener.close()
        self._display.done("Stopped", time.monotonic() - started)


def run_worker() -> None:
    """Become a Celery worker of the broker that serves this installation.

    Raises
    ------
    LaunchError
        If there is no such broker.
    """
    if broker.is_private() and not private_valkey.answers(broker.socket_path()):
        raise LaunchError(
            "There is no broker to work for: set REDIS_URL (and DATABASE_URL), "
            "or start e2l here with 'make up'."
        )
    os.environ.update(worker_environment())
    command = worker_command(worker_count())
    os.execv(command[0], command)  # noqa: S606  (signals then reach the worker itself)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="e2l_site.launcher", description=__doc__)
    parser.add_argument("--port", default="8000", help="port to serve (default 8000)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="IPv4 address to serve (default 127.0.0.1: this machine)",
    )
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument(
        "--worker-only", action="store_true", help="only a worker, for a broker that runs already"
    )
    parts.add_argument(
        "--web-only", action="store_true", help="only the web server; it logs to standard error"
    )
    options = parser.parse_args(arguments)
    os.chdir(PROJECT_ROOT)
    try:
        if options.worker_only:
            run_worker()
        port = preflight.parse_port(options.port)
        address = f"http://127.0.0.1:{port}/"
        with (
            preflight.take_launcher_lock(data_directory(), address),
            preflight.bind(port, options.host) as listener,
        ):
            Launcher(listener, Display(), is_web_only=options.web_only).run()
    except (LaunchError, preflight.PreflightError, private_valkey.ValkeyError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        sys.stderr.write(f"e2l cannot start: {error.strerror or error}{where}.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
