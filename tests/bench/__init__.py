"""Benchmarks: ``python -m tests.bench`` measures here and writes ``docs/benchmarks.md``.

A topic is a module of this package with a ``TITLE``, a docstring that says what is measured and
how, and a function ``rows()``; ``IS_LONG = True`` says that it takes hours. It runs in a process of
its own. Nothing here is a test: times
depend on the machine, so bounds are reported and never asserted.
"""

from __future__ import annotations

import importlib
import pkgutil
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    #: A way to measure an action that is repeated so many times.
    Clock = Callable[[Callable[[], object], int], float]

#: Champions of the error-driven learning task, x_0 = v, x_1 = u, x_2 = s (Jordan et al. 2021, eLife
#: 10:e66273, Fig. 4), from the simplest to the most complex.
ERROR_DRIVEN_CHAMPIONS = (
    "x_2*(x_0 - x_1)",
    "2*x_2*(x_0 - x_1)",
    "x_1*(-x_0 + x_1)/(2*(x_0*x_2 + x_1**2))",
    "x_2*(x_0 - x_1)*(2*x_1 - 1)/x_0",
    "x_2*(x_0 + x_1)*(x_0*(x_0 - x_1) - x_2)/x_0**2",
    "x_0*x_2*(x_0 - x_1)*(x_1 - 1)/(x_0**2 - x_1*x_2*(x_1 - 1))",
)


@dataclass(frozen=True)
class Row:
    """One measured quantity.

    Attributes
    ----------
    what : str
        What was measured.
    value : float
        The measured value, in ``unit``.
    bound : float, optional
        What it is meant to stay below, in ``unit``.
    reference : float, optional
        What it is compared with, in ``unit``.
    reference_name : str
        What the reference is.
    """

    what: str
    value: float
    unit: str
    bound: float | None = None
    reference: float | None = None
    reference_name: str = ""


def topics() -> list[str]:
    """Return the names of all topics."""
    return sorted(
        module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")
    )


def is_long(name: str) -> bool:
    """Return whether a topic takes hours."""
    return getattr(importlib.import_module(f"{__name__}.{name}"), "IS_LONG", False)


def title_of(name: str) -> str:
    """Return the title of a topic."""
    return importlib.import_module(f"{__name__}.{name}").TITLE


def seconds_of(action: Callable[[], object], repetitions: int) -> float:
    """Return the median wall-clock time of ``action`` in s, after one call that warms it up."""
    action()
    measured = []
    for _ in range(repetitions):
        started = time.perf_counter()
        action()
        measured.append(time.perf_counter() - started)
    return statistics.median(measured)


def processor_seconds_of(action: Callable[[], object], repetitions: int) -> float:
    """Return the least processor time of ``action`` in s, after one call that warms it up.

    What else the machine does disturbs it less than the time on the clock: for ratios.
    """
    action()
    measured = []
    for _ in range(repetitions):
        started = time.process_time()
        action()
        measured.append(time.process_time() - started)
    return min(measured)
