"""The watchdog of a worker process: a simulation that hangs ends with the process.

A simulation holds the interpreter, so that no Python code can interrupt it. ``faulthandler`` has a
thread in C, which writes where the process was and ends it. It does so as well where the simulator
crashes. The process that takes its place reads these last words.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)

#: Shortest time limit of one trial, in s; longer ones follow from the estimate.
DEFAULT_LIMIT_S = 120.0
#: A trial that takes so many times its estimate hangs.
_PATIENCE = 20.0

#: How the last words of a process begin that the watchdog has ended.
_TIMEOUT = "Timeout"

_last_words: IO[str] | None = None


def arm(process: str) -> None:
    """Let the watchdog end this process; for workers, which are replaced.

    Parameters
    ----------
    process : str
        Name of the process, under which its successor looks for its last words.
    """
    global _last_words  # noqa: PLW0603  (a fact about the process)
    try:
        path = _path(process)
        path.parent.mkdir(exist_ok=True)
        _last_words = path.open("w", encoding="utf-8")
    except OSError as error:
        logger.warning("Last words will be in the log only: %s", error)
        _last_words = sys.__stderr__
    faulthandler.enable(file=_last_words)


def disarm(process: str) -> None:
    """Leave without last words."""
    _path(process).unlink(missing_ok=True)


def last_words(process: str) -> str | None:
    """Return what a process wrote when it was ended, empty if it was killed; None if unknown."""
    try:
        return _path(process).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def is_timeout(words: str) -> bool:
    """Return whether the last words of a process say that the watchdog has ended it."""
    return words.startswith(_TIMEOUT)


def _path(process: str) -> Path:
    return settings.DATA_DIR / "last-words" / process.replace(":", "-")


def time_limit_s(estimated_s: float) -> float:
    """Return when to give up a trial that was estimated to take ``estimated_s``."""
    configured = os.environ.get("E2L_TIME_LIMIT_S", "")
    shortest = float(configured) if configured.replace(".", "", 1).isdecimal() else DEFAULT_LIMIT_S
    return max(shortest, _PATIENCE * estimated_s)


@contextmanager
def watch(limit_s: float) -> Iterator[None]:
    """End the process if what is done here takes longer than ``limit_s``."""
    if _last_words is None:
        yield
        return
    faulthandler.dump_traceback_later(limit_s, exit=True, file=_last_words)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
