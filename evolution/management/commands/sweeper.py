"""Look after the experiments: ask again for workers where a message or a worker was lost."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand
from django.db import Error, connection

if TYPE_CHECKING:
    from argparse import ArgumentParser

logger = logging.getLogger(__name__)

#: A lease, this and the way to a worker are less than the 30 s in which a run goes on.
INTERVAL_S = 5.0


class Command(BaseCommand):
    """Sweep at regular intervals.

    A process of its own with a clock that nobody can set: a scheduler that sends messages at times
    of day falls silent for an hour where the clock is put back by an hour, and cannot send any
    while the broker is away.
    """

    help = "Ask workers again for what was lost, every few seconds, until it is told to end."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="Sweep once and end.")

    def handle(self, **options: Any) -> None:
        is_over = threading.Event()
        if not options["once"]:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: is_over.set())
        while True:
            self._sweep()
            if options["once"] or is_over.wait(INTERVAL_S):
                return

    def _sweep(self) -> None:
        from evolution.services.couriers import CeleryCourier
        from evolution.services.probes import send_again
        from evolution.services.workers import sweep

        try:
            sweep(CeleryCourier())
            send_again()
        except Error as error:
            logger.warning("The database does not answer: %s", error)
        finally:
            # Each sweep begins with a connection that works.
            with suppress(Error):
                connection.close()
