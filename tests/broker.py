"""A message broker of a test's own."""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from e2l_site import private_valkey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def private_broker(directory: Path) -> Iterator[str]:
    """Start a private Valkey with its data in ``directory``; its URL is as ``REDIS_URL``."""
    socket_path = directory / "vk" / "v.sock"
    data = private_valkey.prepare(socket_path, directory)
    log_path = directory / "valkey.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            private_valkey.server_command(socket_path, data), stdout=log, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 20
        while not private_valkey.answers(socket_path):
            assert process.poll() is None, log_path.read_text()
            assert time.monotonic() < deadline, "the private Valkey did not answer in 20 s"
            time.sleep(0.02)
        yield f"unix://{socket_path}?db=0"
    finally:
        process.terminate()
        process.wait(10)
