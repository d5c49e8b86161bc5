"""Which Redis server carries tasks and page updates (standard library only).

``REDIS_URL`` selects a real server. Without it the launcher runs a private Valkey that listens on
a unix socket and nowhere else, and every process of the project finds it by the functions here.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from .locations import data_directory

# sockaddr_un holds 107 bytes and a terminator: a socket below a deep data directory would not bind.
MAX_SOCKET_PATH_BYTES = 107


def default_socket_path(data_dir: Path) -> Path:
    """Return the unix socket of the private server that belongs to ``data_dir``.

    The socket lies in the directory for temporary files, under a name derived from the user and
    the data directory. ``$XDG_RUNTIME_DIR`` would be removed when the user logs out, although
    a server started under ``tmux`` or ``nohup`` lives on.
    """
    digest = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"e2l-{os.getuid()}-{digest}" / "valkey.sock"


def socket_record(data_dir: Path) -> Path:
    """Return the file in which the launcher notes the socket in use.

    Another shell may have another ``TMPDIR``; it reads the note instead of computing the path.
    """
    return data_dir / "valkey" / "socket"


def socket_path(data_dir: Path | None = None) -> Path:
    """Return ``E2L_VALKEY_SOCKET``, else the socket noted by a launcher, else the default."""
    configured = os.environ.get("E2L_VALKEY_SOCKET", "").strip()
    if configured:
        return Path(configured)
    data_dir = data_dir or data_directory()
    try:
        noted = socket_record(data_dir).read_text(encoding="utf-8").strip()
    except OSError:
        noted = ""
    return Path(noted) if noted else default_socket_path(data_dir)


def is_private() -> bool:
    """Return whether the launcher's own server is used, that is, ``REDIS_URL`` is not set."""
    return not os.environ.get("REDIS_URL", "").strip()


def redis_url() -> str:
    """Return the server's URL as redis-py and channels-redis read it."""
    if is_private():
        return f"unix://{socket_path()}?db=0"
    return os.environ["REDIS_URL"].strip()


def broker_url() -> str:
    """Return the same server's URL as Celery (kombu) reads it."""
    url = urlsplit(redis_url())
    if url.scheme != "unix":
        return redis_url()
    database = parse_qs(url.query).get("db", ["0"])[0]
    return f"redis+socket://{url.netloc}{url.path}?virtual_host={database}"
