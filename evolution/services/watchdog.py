"""The watchdog of a worker process: a simulation that hangs ends with the process.

A simulation holds the interpreter, so that no Python code can interrupt it. ``faulthandler`` has a
thread in C, which writes where the process was and ends it. The claims of the process are found
by whoever gets its message next.
"""

from __future__ import annotations

import faulthandler
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Shortest time limit of one trial, in s; longer ones follow from the estimate.
DEFAULT_LIMIT_S = 120.0
#: A trial that takes so many times its estimate hangs.
_PATIENCE = 20.0

_is_armed = False


def arm() -> None:
    """Let the watchdog end this process; for workers, which are replaced."""
    global _is_armed  # noqa: PLW0603  (a fact about the process)
    _is_armed = True


def time_limit_s(estimated_s: float) -> float:
    """Return when to give up a trial that was estimated to take ``estimated_s``."""
    configured = os.environ.get("E2L_TIME_LIMIT_S", "")
    shortest = float(configured) if configured.replace(".", "", 1).isdecimal() else DEFAULT_LIMIT_S
    return max(shortest, _PATIENCE * estimated_s)


@contextmanager
def watch(limit_s: float) -> Iterator[None]:
    """End the process if what is done here takes longer than ``limit_s``."""
    if not _is_armed:
        yield
        return
    faulthandler.dump_traceback_later(limit_s, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
