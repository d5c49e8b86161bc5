"""What can be wrong before anything starts: the port, another launcher (standard library only)."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from pathlib import Path
from typing import IO

LOCK_NAME = "launcher.lock"


class PreflightError(RuntimeError):
    """Nothing can start; the message is one sentence for the user."""


def parse_port(text: str) -> int:
    """Return the port number in ``text``.

    Raises
    ------
    PreflightError
        If it is not a whole number from 1 to 65535.
    """
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 65535:
        return int(text)
    raise PreflightError(f"PORT must be a whole number from 1 to 65535, not {text!r}.")


def bind(port: int, host: str = "127.0.0.1") -> socket.socket:
    """Return a socket that listens on a port of an IPv4 address of this machine.

    Raises
    ------
    PreflightError
        If the port is taken or may not be used.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # A port whose last connections are still fading out is free.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PreflightError(
                f"Port {port} is taken{_by_whom(port)}: choose another one, as in "
                f"`make up PORT={port + 1 if port < 65535 else 8000}`."
            ) from error
        raise PreflightError(
            f"Port {port} cannot be used ({error.strerror}): choose another one, as in "
            "`make up PORT=8000`."
        ) from error
    return listener


def _by_whom(port: int) -> str:
    """Return " by NAME (process PID)" for the listener on ``port`` if /proc tells it."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, rows):
            # State 0A is "listening"; the local address is hexadecimal, ADDRESS:PORT.
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        try:
            if any(os.readlink(link) in inodes for link in (process / "fd").iterdir()):
                name = (process / "comm").read_text(encoding="utf-8").strip()
                return f" by {name} (process {process.name})"
        except OSError:
            continue
    return ""


def take_launcher_lock(data_dir: Path, address: str) -> IO[str]:
    """Return the held lock of ``data_dir``; it is released when the process ends, however it ends.

    Raises
    ------
    PreflightError
        If another launcher holds it.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = (data_dir / LOCK_NAME).open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise PreflightError(_already_running(data_dir)) from None
    lock.truncate(0)
    json.dump({"pid": os.getpid(), "address": address}, lock)
    lock.flush()
    return lock


def check_no_launcher(data_dir: Path) -> None:
    """Raise PreflightError if a launcher runs on ``data_dir``."""
    try:
        with (data_dir / LOCK_NAME).open(encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return
    except BlockingIOError:
        raise PreflightError(_already_running(data_dir)) from None


def _already_running(data_dir: Path) -> str:
    try:
        holder = json.loads((data_dir / LOCK_NAME).read_text(encoding="utf-8"))
        where = f" at {holder['address']} (process {holder['pid']})"
    except (OSError, ValueError, KeyError, TypeError):
        where = ""
    return (
        f"e2l already runs on this data directory{where}: "
        "stop it with Ctrl-C in its terminal, or set E2L_DATA_DIR to another directory."
    )
