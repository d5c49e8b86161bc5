"""When a run ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from evolution.cgp.parameters import EvolutionParameters

Criterion = Literal["target", "generations", "stagnation", "evaluations", "wall time"]


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes
    ----------
    generation : int
        Generation that is complete; 0 is the initial population.
    champion_fitness : float
        Fitness of its champion.
    improved_generation : int
        Generation in which the champion became as fit as it is.
    n_evaluations : int
        Rules whose fitness had to be known so far, whether or not it was known from elsewhere.
    wall_time_s : float
        Time since the run began, in s.
    """

    generation: int
    champion_fitness: float
    improved_generation: int
    n_evaluations: int
    wall_time_s: float


def criterion_met(parameters: EvolutionParameters, progress: Progress) -> Criterion | None:
    """Return why a run ends after a generation, None if it goes on.

    Of several criteria the one is named that says most about the result.
    """
    if _reaches(progress.champion_fitness, parameters.target_fitness):
        return "target"
    if progress.generation >= parameters.n_generations:
        return "generations"
    n_stagnant = progress.generation - progress.improved_generation
    if _reaches(n_stagnant, parameters.stagnation_generations):
        return "stagnation"
    if _reaches(progress.n_evaluations, parameters.max_evaluations):
        return "evaluations"
    if _reaches(progress.wall_time_s, parameters.max_wall_time_s):
        return "wall time"
    return None


def _reaches(value: float, limit: float | None) -> bool:
    return limit is not None and value >= limit
