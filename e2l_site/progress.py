"""Run the commands of the set-up with visible progress (standard library only)."""

from __future__ import annotations

import os
import re
import selectors
import shutil
import subprocess
import sys
import time
from collections import deque
from typing import IO, TYPE_CHECKING

from .locations import PROJECT_ROOT, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_REFRESH_S = 0.1
# Where there is no terminal (a log, a CI page), a long step says at times that it is alive.
_HEARTBEAT_S = 20.0

_NO_SPACE = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_READ_ONLY = re.compile(r"read-only file system|permission denied", re.IGNORECASE)
_NETWORK = re.compile(
    r"name resolution|dns error|name or service not known|connection (refused|reset|error)"
    r"|network is unreachable|timed out|failed to (download|fetch)|newconnectionerror"
    r"|could not connect|error sending request|incompleteread|max retries exceeded"
    # pip's words for an index that it cannot read at all
    r"|from versions: none",
    re.IGNORECASE,
)
# In the words of uv (rustls) and of pip (OpenSSL).
_CERTIFICATE = re.compile(
    r"invalid peer certificate|certificate[ _]verify[ _]failed|unknown ?issuer", re.IGNORECASE
)
_HASH = re.compile(r"hash mismatch|hashes are required|do not match the hashes", re.IGNORECASE)


class SetupError(RuntimeError):
    """The set-up cannot go on; the message is one sentence for the user."""


class StepError(SetupError):
    """A command of the set-up failed."""

    def __init__(self, label: str, output: Sequence[str], log: Path) -> None:
        self.output = "\n".join(output)
        super().__init__(_failure_sentence(label, output, log))

    @property
    def is_certificate_failure(self) -> bool:
        """Whether the command did not trust the server that it was to download from."""
        return _CERTIFICATE.search(self.output) is not None

    @property
    def is_network_failure(self) -> bool:
        """Whether the command failed because it could not download something."""
        return not self.is_certificate_failure and _NETWORK.search(self.output) is not None


def _failure_sentence(label: str, output: Sequence[str], log: Path) -> str:
    text = "\n".join(output)
    details = f"Details: {shown(log)}"
    if _NO_SPACE.search(text):
        return f"{label} failed: no space is left on the disk. {details}"
    if _HASH.search(text):
        return f"{label} failed: a download is not the file that the lock file names. {details}"
    if _CERTIFICATE.search(text):
        return (
            f"{label} failed: the certificate of the package server is not trusted here; if your "
            "network puts its own in between, name the file of its authority by SSL_CERT_FILE "
            f"and PIP_CERT. {details}"
        )
    if _NETWORK.search(text):
        return (
            f"{label} failed: a download broke off or its server cannot be reached; "
            f"check the network connection and start again. {details}"
        )
    if _READ_ONLY.search(text):
        return f"{label} failed: a file or directory may not be written. {details}"
    last = next((line.strip() for line in reversed(output) if line.strip()), "no message")
    return f"{label} failed: {last.rstrip('.')}. {details}"


class Steps:
    """Runs one command after the other, tells what it does, and keeps their output in a log.

    Parameters
    ----------
    log : Path
        File for the whole output of the commands; started anew.
    stream : text stream
        Where the progress goes.
    """

    def __init__(self, log: Path, stream: IO[str] = sys.stdout) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self.log = log
        self._log_file: IO[str] | None = None
        self.started = time.monotonic()

    def run(
        self, label: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        """Run ``command`` in the project directory.

        Raises
        ------
        StepError
            If it does not end with exit code 0.
        """
        started = time.monotonic()
        if not self._is_terminal:
            self._stream.write(f"{label} ...\n")
            self._stream.flush()
        log = self._open_log()
        log.write(f"$ {' '.join(command)}\n")
        log.flush()
        process = subprocess.Popen(  # noqa: S603  (commands of the set-up, no user text)
            command,
            cwd=PROJECT_ROOT,
            env=dict(os.environ if environment is None else environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        try:
            tail = self._follow(process, label, started, log)
            code = process.wait()
        except BaseException:
            # Ctrl-C reaches the command, too; it must not go on in the background.
            process.terminate()
            process.wait()
            self._end_line("")
            raise
        seconds = time.monotonic() - started
        if code != 0:
            self._end_line(f"{label}: failed after {seconds:.1f} s")
            raise StepError(label, tail, self.log)
        self._end_line(f"{label}: {seconds:.1f} s")

    def say(self, text: str) -> None:
        """Write one line."""
        self._end_line(text)

    def _open_log(self) -> IO[str]:
        if self._log_file is None:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            self._log_file = self.log.open("w", encoding="utf-8")
        return self._log_file

    def _follow(
        self, process: subprocess.Popen[str], label: str, started: float, log: IO[str]
    ) -> list[str]:
        """Copy the output into the log while showing its last line; return its last lines."""
        assert process.stdout is not None
        tail: deque[str] = deque(maxlen=60)
        os.set_blocking(process.stdout.fileno(), False)
        unfinished = ""
        last_heartbeat = started
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if selector.select(_REFRESH_S):
                    data = os.read(process.stdout.fileno(), 65536)
                    if not data:
                        break
                    text = data.decode("utf-8", "replace")
                    log.write(text)
                    log.flush()
                    *lines, unfinished = re.split(r"[\r\n]+", unfinished + text)
                    tail.extend(line for line in lines if line.strip())
                now = time.monotonic()
                if self._is_terminal:
                    self._redraw(label, now - started, tail[-1] if tail else "")
                elif now - last_heartbeat > _HEARTBEAT_S:
                    last_heartbeat = now
                    self._stream.write(f"{label} ... {now - started:.0f} s\n")
                    self._stream.flush()
        if unfinished.strip():
            tail.append(unfinished)
        return list(tail)

    def _redraw(self, label: str, seconds: float, detail: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        detail = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", detail).strip()
        self._stream.write(f"\r\x1b[K{f'{label} ... {seconds:.0f} s  {detail}'[:width]}")
        self._stream.flush()

    def _end_line(self, text: str) -> None:
        if self._is_terminal:
            self._stream.write("\r\x1b[K")
        if text:
            self._stream.write(f"{text}\n")
        self._stream.flush()
