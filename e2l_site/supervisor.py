"""Keep a few processes running: start, restart with back-off, stop without orphans."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from .locations import PROJECT_ROOT, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
# A process that lived for so long has recovered: the next failure is a first one again.
_RECOVERED_S = 60.0
_LOG_LIMIT_BYTES = 20_000_000
_PR_SET_PDEATHSIG = 1

if sys.platform == "linux":
    _prctl = ctypes.CDLL(None, use_errno=True).prctl
else:
    _prctl = None


@dataclass
class Service:
    """One process to keep running.

    Attributes
    ----------
    name : str
        What people call it; sentences begin with it.
    command : sequence of str
        What to run, in the project directory.
    log : Path or None
        File to which its output is appended; None for the launcher's own output.
    environment : mapping of str to str
        Added to the launcher's own environment.
    inherited : sequence of int
        File descriptors that it takes over.
    """

    name: str
    command: Sequence[str]
    log: Path | None
    environment: Mapping[str, str] = field(default_factory=dict)
    inherited: Sequence[int] = ()
    process: subprocess.Popen[bytes] | None = None
    failures: int = 0
    started_at: float = 0.0
    restart_at: float | None = None

    @property
    def is_running(self) -> bool:
        """Whether the process has been started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start the process in a session of its own, so that Ctrl-C reaches the launcher alone."""
        launcher = os.getpid()
        with contextlib.ExitStack() as stack:
            log = None
            if self.log is not None:
                self.log.parent.mkdir(parents=True, exist_ok=True)
                log = stack.enter_context(self.log.open("ab"))
            self.process = subprocess.Popen(  # noqa: S603  (commands of the launcher, no user text)
                self.command,
                cwd=PROJECT_ROOT,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=tuple(self.inherited),
                # The launcher has one thread, so that code between fork and exec is safe.
                preexec_fn=lambda: _die_with(launcher),  # noqa: PLW1509
            )
        self.started_at = time.monotonic()
        self.restart_at = None

    @property
    def details(self) -> str:
        """Where to read what it has written."""
        return "its output" if self.log is None else shown(self.log)

    def last_log_line(self) -> str:
        """Return the last line that the process wrote, for a message."""
        if self.log is None:
            return ""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - 4096))
                lines = log.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _die_with(launcher: int) -> None:
    """Have the kernel stop this process when the launcher dies, even by ``kill -9``."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != launcher:  # it died before the call
            os._exit(1)


def rotate(log: Path | None) -> None:
    """Keep the log of the last start beside the new one."""
    if log is not None and log.exists():
        log.replace(log.with_name(f"{log.name}.1"))


#: A successor that is not ready after this time will not be, in s.
_SUCCESSION_S = 60.0
#: A process whose successor serves ends within this time, or is ended, in s.
_FAREWELL_S = 30.0


class Succession:
    """A service's process makes way for a new one, which serves before the old one ends.

    Parameters
    ----------
    service : Service
        Its process is the old one until the new one is ready.
    make : callable
        Given the descriptor that the new process writes to when it is ready, its command.
    """

    def __init__(self, service: Service, make: Callable[[int], Sequence[str]]) -> None:
        self.service = service
        self._ready, ready_fd = os.pipe()
        os.set_blocking(self._ready, False)
        inherited = (*service.inherited, ready_fd)
        self._other = replace(
            service, command=make(ready_fd), inherited=inherited, process=None, failures=0
        )
        self._other.start()
        os.close(ready_fd)
        self._deadline = time.monotonic() + _SUCCESSION_S
        self._is_done = False

    def others(self, services: Sequence[Service]) -> list[Service]:
        """Return the process beside the one of the service, if that is among ``services``."""
        return [self._other] if self.service in services else []

    def is_over(self, now: float, say: Callable[[str], None]) -> bool:
        """Look after it once; return whether there is one process again."""
        assert self._other.process is not None
        if not self._is_done:
            return self._is_failed(now, say)
        if self._other.is_running and now < self._deadline:
            return False
        _signal_group(self._other.process, signal.SIGKILL)
        self._other.process.wait()
        return True

    def _is_failed(self, now: float, say: Callable[[str], None]) -> bool:
        try:
            is_ready = bool(os.read(self._ready, 1))
        except BlockingIOError:
            if now < self._deadline:
                return False
            is_ready = False
        os.close(self._ready)
        name = self.service.name
        if not is_ready:
            assert self._other.process is not None
            _signal_group(self._other.process, signal.SIGKILL)
            self._other.process.wait()
            say(f"{name} could not be replaced (see {self.service.details}); the old one goes on.")
            return True
        old = self.service.process
        self.service.process, self._other.process = self._other.process, old
        self.service.started_at, self.service.restart_at = now, None
        assert old is not None
        old.terminate()
        say(f"{name} was replaced: process {self.service.process.pid} serves.")
        self._deadline = now + _FAREWELL_S
        self._is_done = True
        return False


class Supervisor:
    """Restarts services that end unexpectedly and stops all of them at the end.

    Parameters
    ----------
    services : iterable of Service
        Those that have been started.
    say : callable
        Takes one line for the user.
    """

    def __init__(self, services: Iterable[Service], say: Callable[[str], None]) -> None:
        self.services = list(services)
        self._say = say
        self._logs_checked_at = time.monotonic()
        self._successions: list[Succession] = []

    def check(self) -> None:
        """Look after the services once; called a few times a second."""
        now = time.monotonic()
        for service in self.services:
            if service.process is None or service.is_running:
                continue
            if service.restart_at is None:
                self._plan_restart(service, now)
            elif now >= service.restart_at:
                service.start()
        self._successions = [each for each in self._successions if not each.is_over(now, self._say)]
        if now - self._logs_checked_at > 60:
            self._logs_checked_at = now
            for service in self.services:
                _shorten(service.log)

    def replace(self, service: Service, make: Callable[[int], Sequence[str]]) -> None:
        """Start a service anew and end the old process as soon as the new one is ready.

        Parameters
        ----------
        service : Service
        make : callable
            Given a file descriptor that the process writes to when it is ready, its command.
        """
        if any(each.service is service for each in self._successions):
            self._say(f"{service.name} is being replaced already.")
        elif service.is_running:
            self._successions.append(Succession(service, make))

    def _plan_restart(self, service: Service, now: float) -> None:
        assert service.process is not None
        lived_s = now - service.started_at
        service.failures = 1 if lived_s > _RECOVERED_S else service.failures + 1
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (service.failures - 1))
        service.restart_at = now + pause_s
        # What the dead process left running would work beside its successor.
        _signal_group(service.process, signal.SIGKILL)
        self._say(
            f"{service.name} stopped unexpectedly ({_how_it_ended(service.process)}; see "
            f"{service.details}) and starts again in {pause_s:g} s."
        )

    def stop(
        self, services: Sequence[Service], deadline_s: float, hurry: Callable[[], bool]
    ) -> None:
        """Ask the services to end, all at once; kill what is left at the deadline.

        Parameters
        ----------
        services : sequence of Service
            Those to stop.
        deadline_s : float
            How long they may take to finish what they do, in s.
        hurry : callable
            Asked again and again; True ends the waiting.
        """
        deadline = time.monotonic() + deadline_s
        self.services = [service for service in self.services if service not in services]
        ending = [
            *services,
            *(other for each in self._successions for other in each.others(services)),
        ]
        started = [(service, service.process) for service in ending if service.process]
        for _, process in started:
            process.terminate()
        while any(service.is_running for service, _ in started):
            if time.monotonic() > deadline or hurry():
                break
            time.sleep(0.02)
        for _, process in started:
            _signal_group(process, signal.SIGKILL)
            process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal all processes of the service's session, whether or not its first one still lives."""
    # Neither error means a failure: all of them have ended.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _how_it_ended(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return f"exit code {code}" if code >= 0 else f"killed by signal {-code}"


def _shorten(log: Path | None) -> None:
    """Move a log that has grown long aside; its writer appends, so it goes on at the start."""
    if log is None:
        return
    try:
        if log.stat().st_size > _LOG_LIMIT_BYTES:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)
    except OSError:
        return
