"""The private broker keeps the messages of workers that were killed."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from e2l_site import broker, private_valkey
from tests.broker import private_broker

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.integration
def test_messages_of_a_killed_worker_are_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with private_broker(tmp_path) as valkey:
        monkeypatch.setenv("REDIS_URL", valkey)
        take_and_put_back(broker.broker_url())


def take_and_put_back(url: str) -> None:
    from kombu import Connection

    with Connection(url) as connection:
        connection.SimpleQueue("put-back").put({"run": 1})
    # It takes the message, and dies before it acknowledges it.
    program = (
        "import os, sys, kombu; queue = kombu.Connection(sys.argv[1]).SimpleQueue('put-back'); "
        "queue.get(timeout=10); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", program, url], check=False).returncode == 9
    with Connection(url) as connection:
        assert private_valkey.put_back_unacknowledged(url) == 1
        message = connection.SimpleQueue("put-back").get(timeout=10)
        assert message.payload == {"run": 1}
        message.ack()


def test_directory_of_somebody_else_is_not_trusted(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = tmp_path / "link"
    link.symlink_to(elsewhere)
    with pytest.raises(private_valkey.ValkeyError, match="belongs to another user"):
        private_valkey.prepare(link / "valkey.sock", tmp_path / "data")
