"""Couriers: how a run gets the next worker's attention."""

from __future__ import annotations

import logging
from collections import deque
from typing import Protocol

from django.utils import timezone

from evolution.models import Run

logger = logging.getLogger(__name__)


class Courier(Protocol):
    """Asks workers to work on runs."""

    def queue(self, run_id: int) -> None:
        """Ask for a worker to go on with a run."""

    def offer(self, run_id: int, n_batches: int) -> None:
        """Offer batches of a run that is being worked on to other workers."""


class CeleryCourier:
    """Sends messages to Celery workers.

    A message that is lost, or that cannot be sent, costs time but never a run: the sweeper
    sends another one.
    """

    def queue(self, run_id: int) -> None:
        runs = Run.objects.running().filter(pk=run_id)
        ticket = runs.values_list("ticket", flat=True).first()
        if ticket is not None:
            runs.update(queued_at=timezone.now())
            self._send(run_id, ticket)

    def offer(self, run_id: int, n_batches: int) -> None:
        for _ in range(n_batches):
            self._send(run_id, None)

    def _send(self, run_id: int, ticket: int | None) -> None:
        from evolution.tasks import work_on_run

        try:
            work_on_run.delay(run_id, ticket)
        except Exception:
            logger.exception("Run %s could not be queued; the sweeper will try again", run_id)


class InlineCourier:
    """Keeps the runs that want attention in a list of this process."""

    def __init__(self) -> None:
        self._waiting: deque[int] = deque()

    def queue(self, run_id: int) -> None:
        if run_id not in self._waiting:
            self._waiting.append(run_id)

    def offer(self, run_id: int, n_batches: int) -> None:
        """Nobody else is here to take an offer."""

    def next(self) -> int | None:
        """Return the run that has waited longest, None if none waits."""
        return self._waiting.popleft() if self._waiting else None
