"""Start the launcher as people do, and look at the processes that it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from e2l_site.locations import PROJECT_ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until ``condition`` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def processes_of(data_dir: Path) -> dict[int, str]:
    """Return the running processes that use ``data_dir``, by id, with their command lines.

    Their environment names it, which reaches children and grandchildren alike. Valkey overwrites
    its own with a title; it works in a directory below.
    """
    wanted = f"E2L_DATA_DIR={data_dir}".encode()
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (
                wanted not in (process / "environ").read_bytes().split(b"\0")
                and (process / "cwd").readlink() != data_dir / "valkey"
            ):
                continue
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            # A process that has ended and waits for its parent has neither.
            if command:
                found[int(process.name)] = command
        except OSError:
            continue
    return found


@dataclass
class Launched:
    """A running launcher."""

    process: subprocess.Popen[str]
    data_dir: Path
    output_file: Path

    @property
    def output(self) -> str:
        """What it has said so far."""
        return self.output_file.read_text(encoding="utf-8")

    @property
    def closing_line(self) -> str:
        """The line that tells the address, "" before the page answers."""
        return next((x for x in self.output.splitlines() if x.startswith("e2l runs at")), "")

    def processes(self, part_of_command: str = "") -> list[int]:
        """Return the ids of all processes of this launcher whose command holds a text."""
        found = processes_of(self.data_dir)
        return [pid for pid, command in found.items() if part_of_command in command]

    def wait_for_page(self) -> None:
        """Wait until it has said that the page answers."""
        wait_until(
            lambda: bool(self.closing_line) or self.process.poll() is not None, 90, "the page"
        )
        assert self.closing_line, self.output


@contextmanager
def launched(
    data_dir: Path, port: int, environment: Mapping[str, str] | None = None, *options: str
) -> Iterator[Launched]:
    """Run the launcher on ``data_dir``; nothing of it is left afterwards."""
    output_file = data_dir / "launcher-output"
    command = [sys.executable, "-m", "e2l_site.launcher", "--port", str(port), *options]
    with output_file.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command,
            cwd=PROJECT_ROOT,
            env=launcher_environment(data_dir, environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            # The tests may run under nohup, which the launcher respects.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # noqa: PLW1509
        )
    try:
        yield Launched(process, data_dir, output_file)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in processes_of(data_dir):
            os.kill(pid, signal.SIGKILL)


def launcher_environment(
    data_dir: Path, additional: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return an environment that selects the embedded servers and ``data_dir``."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in {"REDIS_URL", "DATABASE_URL", "E2L_VALKEY_SOCKET", "E2L_WORKERS"}
    }
    return {**inherited, "E2L_DATA_DIR": str(data_dir), "E2L_WORKERS": "1", **(additional or {})}
