"""Announcements to open pages through the channel layer.

A message is only a hint: pages read the database from the last generation they have. So nothing
here may slow down or break the evolution: errors are logged, never raised.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evolution.serializers import ExperimentMessage, GenerationMessage

logger = logging.getLogger(__name__)

#: Longest time that a sender waits until its message is on its way.
PATIENCE_S = 0.05
#: Failures are logged once in this time.
LOG_INTERVAL_S = 60.0


def group_name(experiment_id: int) -> str:
    """Return the channel-layer group of an experiment's pages."""
    return f"experiment.{experiment_id}"


def probe_group_name(probe_id: int) -> str:
    """Return the channel-layer group of the pages that follow a simulation on demand."""
    return f"probe.{probe_id}"


def announce_generations(experiment_id: int, messages: Sequence[GenerationMessage]) -> None:
    """Tell open pages that runs have completed generations, those of each run ascending."""
    _post(group_name(experiment_id), {"type": "experiment.generations", "data": messages})


def announce_state(experiment_id: int, message: ExperimentMessage) -> None:
    """Tell open pages that an experiment or one of its runs has changed its state."""
    _post(group_name(experiment_id), {"type": "experiment.state", "data": message})


def announce_probe(probe_id: int) -> None:
    """Tell open pages that a simulation on demand has come further."""
    _post(probe_group_name(probe_id), {"type": "probe.changed"})


class _Sender:
    """A thread with an event loop, so that one connection serves the life of the process.

    ``async_to_sync`` would open a loop and a connection for every message: 10 ms instead of
    less than 1 ms.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="announcements", daemon=True
        )
        self._thread.start()
        self._healthy = True
        self._logged_at = -LOG_INTERVAL_S

    def post(self, group: str, message: dict[str, Any]) -> None:
        future = asyncio.run_coroutine_threadsafe(self._send(group, message), self._loop)
        if self._healthy:
            # Waiting hands the interpreter to the thread: the message leaves before a simulation
            # holds it for a second. A server that does not answer is waited for only once.
            try:
                future.result(PATIENCE_S)
            except concurrent.futures.TimeoutError:
                self._healthy = False

    async def _send(self, group: str, message: dict[str, Any]) -> None:
        from channels.layers import get_channel_layer

        try:
            await get_channel_layer().group_send(group, message)
            self._healthy = True
        except Exception as error:
            self._healthy = False
            now = time.monotonic()
            if now - self._logged_at >= LOG_INTERVAL_S:
                self._logged_at = now
                logger.warning("Open pages are not told about progress: %s", error)


@lru_cache(maxsize=1)
def _sender(process_id: int) -> _Sender:
    # A thread does not survive a fork: each process starts its own when it has something to say.
    return _Sender()


def _post(group: str, message: dict[str, Any]) -> None:
    try:
        _sender(os.getpid()).post(group, message)
    except Exception:
        logger.exception("An announcement failed")
