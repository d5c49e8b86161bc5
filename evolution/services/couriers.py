"""Couriers: how work gets the attention of workers."""

from __future__ import annotations

import logging
import time
from typing import Protocol

from evolution.models import Worker

logger = logging.getLogger(__name__)


class Courier(Protocol):
    """Asks workers to look for work."""

    def wake(self, n_workers: int) -> None:
        """Ask up to so many workers to look for work."""


class CeleryCourier:
    """Sends messages to Celery workers.

    A message says only that there is work, which the worker finds in the database. So one that is
    lost, or that cannot be sent, costs time but nothing else: the sweeper sends another one.
    Messages that wait already serve as well as new ones, so there are never many.
    """

    #: While the broker is away nobody waits for it more often than this, in s.
    PAUSE_S = 2.0
    _tried_in_vain_at = -PAUSE_S

    def wake(self, n_workers: int) -> None:
        now = time.monotonic()
        if now - CeleryCourier._tried_in_vain_at < self.PAUSE_S:
            return
        try:
            n_waiting = messages_waiting()
            for _ in range(min(n_workers, max(1, Worker.objects.alive().count()) - n_waiting)):
                self._send()
        except Exception as error:
            CeleryCourier._tried_in_vain_at = time.monotonic()
            logger.warning("Workers could not be asked; the sweeper will try again: %s", error)

    def _send(self) -> None:
        from evolution.tasks import work

        work.apply_async(retry=False)


class SilentCourier:
    """Tells nobody: the work is done in this process."""

    def wake(self, n_workers: int) -> None:
        """Nobody else is here."""


def messages_waiting() -> int:
    """Return how many messages of the queue no worker has taken yet."""
    from celery import current_app

    with current_app.connection_or_acquire() as connection:
        queue = current_app.conf.task_default_queue
        try:
            return connection.default_channel.queue_declare(queue, passive=True).message_count
        except connection.channel_errors:
            # Redis knows no empty queues.
            return 0
