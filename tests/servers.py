"""Servers of a test's own, which it may kill, and small file systems, which it may fill."""

from __future__ import annotations

import glob
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2l_site import private_valkey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_START_S = 30.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait until ``condition`` holds; return how long it took, in s."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - started


class Broker:
    """A Valkey on a unix socket, or a Redis on a port, whose data survives its death."""

    def __init__(
        self, directory: Path, *, redis_binary: str | None = None, address: str = "127.0.0.1"
    ) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        if redis_binary is None:
            self._socket = directory / "vk" / "v.sock"
            self._data = private_valkey.prepare(self._socket, directory)
            self._command = private_valkey.server_command(self._socket, self._data)
            self.url = f"unix://{self._socket}?db=0"
        else:
            port = free_port()
            self._data = directory / "redis"
            self._data.mkdir()
            self._command = [
                *(redis_binary, "--bind", address, "--port", str(port)),
                *("--protected-mode", "no"),
                *("--dir", str(self._data), "--save", "", "--appendonly", "yes"),
            ]
            self.url = f"redis://{address}:{port}/0"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with (self._directory / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT)
        wait_until(self._answers, _START_S, "the broker answers")

    @property
    def pid(self) -> int | None:
        """Id of the process, None while it does not run."""
        return None if self._process is None else self._process.pid

    def stop(self) -> None:
        """Ask the server to end, as a restart in good order does."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def kill(self) -> None:
        """End the server as ``kill -9`` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def forget(self) -> None:
        """Delete the data of a server that has been killed."""
        for path in self._data.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _answers(self) -> bool:
        import redis

        try:
            with redis.Redis.from_url(self.url, socket_timeout=2) as client:
                return client.ping()
        except redis.RedisError:
            return False


class PostgreSQL:
    """A PostgreSQL cluster of its own, of the user postgres where root may not run one."""

    def __init__(self, directory: Path, *settings: str) -> None:
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not found:
            pytest.skip("no PostgreSQL server is installed: apt install postgresql")
        self._bin = Path(found[-1])
        self._user = "postgres" if os.getuid() == 0 else None
        self._directory = directory
        self.give(directory)
        self.port = free_port()
        self._run("initdb", "-U", "postgres", "-A", "trust", "-D", self._data, "--no-sync")
        options = "".join(
            f"{line}\n"
            for line in (
                "listen_addresses = '127.0.0.1'",
                f"port = {self.port}",
                f"unix_socket_directories = '{directory}'",
                "fsync = off",
                "shared_buffers = 32MB",
                *settings,
            )
        )
        with (directory / "data" / "postgresql.auto.conf").open("a") as file:
            file.write(options)

    @property
    def _data(self) -> str:
        return str(self._directory / "data")

    def give(self, directory: Path) -> None:
        """Make the server's user the owner of a directory."""
        if self._user is not None:
            shutil.chown(directory, self._user)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._bin / program), *arguments],
            user=self._user,
            cwd="/",
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=60,
        )

    def start(self) -> None:
        log = str(self._directory / "server.log")
        self._run("pg_ctl", "start", "-w", "-D", self._data, "-l", log)

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server; ``immediate`` as a crash does."""
        self._run("pg_ctl", "stop", "-w", "-m", mode, "-D", self._data)

    def pid(self) -> int | None:
        """Return the id of the first process, None while it does not run."""
        try:
            text = (self._directory / "data" / "postmaster.pid").read_text(encoding="utf-8")
        except OSError:
            return None
        return int(text.split()[0])

    def kill(self) -> None:
        """End all processes of the server as ``kill -9`` does."""
        first = self.pid()
        assert first is not None
        children = Path(f"/proc/{first}/task/{first}/children").read_text(encoding="ascii")
        pids = [first, *map(int, children.split())]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(map(_is_running, pids)), _START_S, "the server has ended")

    def copy(self, url: str, database: str) -> None:
        """Copy another database into an empty one of this server."""
        dump = [str(self._bin / "pg_dump"), "--no-owner", "--no-privileges", url]
        load = [str(self._bin / "psql"), "-q", "-X", "-v", "ON_ERROR_STOP=1", self.url(database)]
        with subprocess.Popen(dump, stdout=subprocess.PIPE) as source:
            subprocess.run(load, stdin=source.stdout, stdout=subprocess.DEVNULL, check=True)
        assert source.returncode == 0, f"pg_dump ended with {source.returncode}"

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: str, database: str = "postgres") -> None:
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)


def _is_running(pid: int) -> bool:
    """Whether a process has not ended, or been ended without its parent's notice."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@contextmanager
def open_directory(prefix: str) -> Iterator[Path]:
    """Make a directory that other users may enter."""
    with tempfile.TemporaryDirectory(prefix=prefix) as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


class SmallDisk:
    """A file system in memory, or a plain directory where nobody may mount one."""

    def __init__(self, directory: Path, size_mb: int) -> None:
        self.directory = directory
        directory.mkdir()
        self.is_small = False
        if os.getuid() == 0:
            command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(directory)]
            self.is_small = (
                subprocess.run(command, check=False, capture_output=True).returncode == 0
            )

    def fill(self) -> Path:
        """Leave no room; return the file that takes it."""
        ballast = self.directory / "ballast"
        block = bytes(4096)
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(block)
            except OSError:
                pass
        return ballast

    def unmount(self) -> None:
        if self.is_small:
            subprocess.run(["umount", "-l", str(self.directory)], check=True)
