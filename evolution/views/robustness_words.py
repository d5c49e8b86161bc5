"""The tornado plot in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from evolution.templatetags.evolution_format import fitness

if TYPE_CHECKING:
    from evolution.robustness import Robustness, Sensitivity

_N_NAMED = 3


def summary(found: Robustness) -> str:
    """Say which parameters matter, how much, and which do not."""
    if found.fitness is None:
        return "The rule has no fitness with the parameters themselves."
    if not found.parameters:
        return "No value is known yet."
    failing = [item.label for item in found.parameters if math.isinf(item.swing)]
    moving = [item for item in found.parameters if 0.0 < item.swing < math.inf]
    idle = [item.label for item in found.parameters if item.swing == 0.0]
    parts = [f"The fitness is {fitness(found.fitness)} with the parameters themselves"]
    if moving:
        named = "; ".join(_range(item) for item in moving[:_N_NAMED])
        parts.append(f". It moves most with {named}")
    text = "".join(parts) + "."
    if failing:
        text += f" The rule fails at some values of: {', '.join(failing)}."
    if idle:
        text += f" Nothing changes with: {', '.join(idle)}."
    return text


def _range(item: Sensitivity) -> str:
    known = [point.fitness for point in item.points if point.fitness is not None]
    return f"{item.label} ({fitness(min(known))} to {fitness(max(known))})"
