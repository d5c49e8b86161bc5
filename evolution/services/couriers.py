"""Couriers: how work gets the attention of workers."""

from __future__ import annotations

import logging
import time
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from evolution.models import Worker

logger = logging.getLogger(__name__)

#: Longest time that a page waits for the broker.
PATIENCE_S = 0.5


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
            for _ in range(min(n_workers, max(1, Worker.objects.available().count()) - n_waiting)):
                self._send()
        except Exception as error:
            CeleryCourier._tried_in_vain_at = time.monotonic()
            logger.warning("Workers could not be asked; the sweeper will try again: %s", error)

    def pass_on(self) -> None:
        """Leave a message to another worker, if there is one that takes work."""
        if Worker.objects.available().exists():
            self.wake(1)

    def _send(self) -> None:
        from evolution.tasks import work

        work.apply_async(retry=False)


def send_probe(probe_id: int) -> None:
    """Ask a worker for a simulation on demand; the sweeper does so again where this is lost."""
    from evolution.tasks import probe

    try:
        probe.apply_async([probe_id], retry=False)
    except Exception as error:
        logger.warning("A worker could not be asked for probe %s: %s", probe_id, error)


class SilentCourier:
    """Tells nobody: the work is done in this process."""

    def wake(self, n_workers: int) -> None:
        """Nobody else is here."""


def queue_length() -> int | None:
    """Return how many messages wait, None where the broker does not say so within a moment.

    For pages: Celery's own connections try for many seconds to reach a broker that is down.
    """
    import redis
    from celery import current_app
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    url = urlsplit(current_app.conf.broker_url)
    address = url.geturl()
    if url.scheme == "redis+socket":
        database = parse_qs(url.query).get("virtual_host", ["0"])[0]
        address = f"unix://{url.path}?db={database}"
    try:
        with redis.Redis.from_url(
            address,
            socket_timeout=PATIENCE_S,
            socket_connect_timeout=PATIENCE_S,
            retry=Retry(NoBackoff(), 0),
        ) as broker:
            return broker.llen(current_app.conf.task_default_queue)
    except (redis.RedisError, OSError, ValueError):
        return None


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
