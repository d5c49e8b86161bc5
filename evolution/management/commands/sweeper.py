"""Look after the experiments: ask again for workers where a message or a worker was lost."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import Error, connection

from evolution.services import upkeep

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable

logger = logging.getLogger(__name__)

#: A lease, this and the way to a worker are less than the 30 s in which a run goes on.
INTERVAL_S = 5.0


def _note_look() -> None:
    """Have the time of a file tell that this process lives; a disk that is full stops nobody."""
    with suppress(OSError):
        (settings.DATA_DIR / "sweeper").touch()


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
        kept_up_at = -math.inf
        while True:
            _note_look()
            is_due = time.monotonic() - kept_up_at >= upkeep.INTERVAL_S
            if self._safely(self._sweep) and is_due and self._safely(upkeep.keep_up):
                kept_up_at = time.monotonic()
            if options["once"] or is_over.wait(INTERVAL_S):
                return

    def _sweep(self) -> None:
        from evolution.services.couriers import CeleryCourier
        from evolution.services.probes import send_again
        from evolution.services.validations import finish_answered
        from evolution.services.workers import sweep

        finish_answered()
        sweep(CeleryCourier())
        send_again()

    def _safely(self, act: Callable[[], None]) -> bool:
        """Do something with a connection that works; return False if the database does not."""
        try:
            act()
        except Error as error:
            logger.warning("The database does not answer: %s", error)
            return False
        finally:
            with suppress(Error):
                connection.close()
        return True
