"""Parameters of a learning task varied one at a time, as their declarations permit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulations.parameters import ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulations.parameters import ParameterDescription, TaskParameters

#: What a parameter is multiplied by.
FACTORS = (0.5, 0.8, 1.2, 1.5)
#: Parameters of these groups say how long and how finely a model is simulated and how its fitness
#: is measured; those of the others say what is modelled.
MEASUREMENT_GROUPS = ("Trials", "Simulation")


@dataclass(frozen=True)
class Variation:
    """Parameters of which one, ``name``, has another value.

    Attributes
    ----------
    factor : float
        What its value was to be multiplied by; ``value`` is the nearest one that is permitted.
    """

    name: str
    factor: float
    value: float
    parameters: TaskParameters


def variations(parameters: TaskParameters) -> list[Variation]:
    """Return each number among the parameters changed by each of `FACTORS`, where this is possible.

    A value beyond a bound becomes the bound. One that does not fit the other parameters becomes
    the nearest integer, as durations are multiples of a millisecond; if that does not fit either,
    it is left out, and so is one that changes nothing, as that of a parameter that is zero.
    """
    return [
        variation
        for description in parameters.descriptions().values()
        if description.annotation in (int, float)
        and description.name != "n_trials"
        and description.group not in MEASUREMENT_GROUPS
        for variation in _of_one(parameters, description)
    ]


def _of_one(parameters: TaskParameters, description: ParameterDescription) -> Iterator[Variation]:
    name = description.name
    before = getattr(parameters, name)
    seen = {before}
    for factor in FACTORS:
        wanted = _bounded(float(f"{before * factor:.12g}"), description)
        candidates = [wanted, float(round(wanted))] if description.annotation is float else [wanted]
        for value in candidates:
            exact = round(value) if description.annotation is int else value
            try:
                changed = parameters.with_changes({name: exact})
            except ParameterError:
                continue
            if exact not in seen:
                seen.add(exact)
                yield Variation(name, factor, exact, changed)
            break


def _bounded(value: float, description: ParameterDescription) -> float:
    if description.minimum is not None:
        value = max(value, description.minimum)
    if description.maximum is not None:
        value = min(value, description.maximum)
    return float(value)
