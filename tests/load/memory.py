"""Memory of processes, and whether it grows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MIN_SAMPLES = 4


@dataclass(frozen=True)
class Memory:
    """Memory of one process or of several, in MB.

    Attributes
    ----------
    own : float
        What no other process shares (USS).
    fair : float
        With its part of what is shared (PSS).
    """

    own: float
    fair: float

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.own + other.own, self.fair + other.fair)


def memory_of(pid: int) -> Memory | None:
    """Return the memory of a process, None if it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return None
    values = {}
    for line in text.splitlines()[1:]:
        name, _, value = line.partition(":")
        values[name] = int(value.split()[0]) / 1024
    if not values:
        return None
    return Memory(values["Private_Clean"] + values["Private_Dirty"], values["Pss"])


def descendants(pid: int) -> list[int]:
    """Return the ids of the children of a process, of their children, and so on."""
    try:
        found = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text(encoding="ascii").split()
        ]
    except OSError:
        return []
    return [*found, *(below for child in found for below in descendants(child))]


@dataclass(frozen=True)
class Growth:
    """The slope of a straight line, with its standard error.

    Attributes
    ----------
    slope, error : float
        In MB for each unit of the abscissa.
    """

    slope: float
    error: float

    @property
    def is_none(self) -> bool:
        """Whether the slope cannot be told from zero (two standard errors), or memory shrinks."""
        return self.slope <= 2.0 * self.error


def growth(xs: Sequence[float], ys: Sequence[float]) -> Growth:
    """Return the slope of ``ys`` over ``xs``.

    Neighbouring samples of memory are alike, so that the error of an ordinary fit would be far too
    small. The error here takes the residuals' correlation with the next one into account, as that
    of a process of first order.
    """
    if len(xs) < _MIN_SAMPLES:
        return Growth(float("nan"), float("nan"))
    x, y = np.asarray(xs, dtype=float), np.asarray(ys, dtype=float)
    slope, offset = np.polyfit(x, y, 1)
    residuals = y - (slope * x + offset)
    variance = float(residuals @ residuals) / (len(x) - 2)
    error = np.sqrt(variance / float(((x - x.mean()) ** 2).sum()))
    if variance > 0.0:
        correlation = float(residuals[1:] @ residuals[:-1]) / float(residuals @ residuals)
        correlation = min(0.99, max(0.0, correlation))
        error *= np.sqrt((1.0 + correlation) / (1.0 - correlation))
    return Growth(float(slope), float(error))


def pooled(growths: Iterable[Growth]) -> Growth:
    """Return the mean of several slopes, weighted by their errors."""
    known = [item for item in growths if np.isfinite(item.slope)]
    if not known:
        return Growth(float("nan"), float("nan"))
    # A line through samples that do not vary at all has no error.
    weights = np.array([1.0 / max(item.error, 1e-9) ** 2 for item in known])
    slope = float(weights @ np.array([item.slope for item in known]) / weights.sum())
    return Growth(slope, float(1.0 / np.sqrt(weights.sum())))
