"""Parameters of the evolution: Cartesian genetic programming with a (mu + lambda) strategy."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import field_validator, model_validator

from simulations.parameters import Parameters, quantity

#: Primitives that a genome may be built from: function nodes and constants.
PrimitiveName = Literal["Add", "Sub", "Mul", "Div", "Pow", "One", "Tenth", "Ten"]


class EvolutionParameters(Parameters):
    """What hal-cgp needs to know, and when a run ends.

    References
    ----------
    Miller, J. F. (2011). Cartesian Genetic Programming. Springer.
    """

    n_generations: int = quantity(
        1000, "Generations after which a run ends.", ge=1, le=1_000_000, group="Length of a run"
    )
    target_fitness: float | None = quantity(
        None,
        "Fitness at which a run ends early; empty for none.",
        group="Length of a run",
    )
    stop_at_baseline: bool = quantity(
        False,
        "End a run as soon as its champion is at least as fit as the best rule of the literature "
        "in the same trials.",
        group="Length of a run",
    )
    n_parents: int = quantity(
        4, "Parents that survive a generation (mu).", ge=1, le=1000, group="Selection"
    )
    n_offspring: int = quantity(
        4, "Offspring that a generation breeds (lambda).", ge=1, le=1000, group="Selection"
    )
    tournament_size: int = quantity(
        1,
        "Parents drawn at random of which the best has an offspring.",
        ge=1,
        le=1000,
        group="Selection",
        advanced=True,
    )
    mutation_rate: float = quantity(
        0.045, "Probability that a gene mutates.", gt=0.0, le=1.0, group="Selection"
    )
    n_columns: int = quantity(
        12, "Columns of the grid of nodes in a genome.", ge=1, le=200, group="Genome"
    )
    n_rows: int = quantity(
        1, "Rows of the grid of nodes.", ge=1, le=20, group="Genome", advanced=True
    )
    levels_back: int | None = quantity(
        None,
        "Columns to the left that a node may take its inputs from; empty for all.",
        ge=1,
        le=200,
        group="Genome",
        advanced=True,
    )
    primitives: tuple[PrimitiveName, ...] = quantity(
        ("Add", "Sub", "Mul", "Div", "One"),
        "Functions and constants that rules are built from.",
        group="Genome",
    )

    @field_validator("target_fitness")
    @classmethod
    def _target_is_finite(cls, value: float | None) -> float | None:
        if value is not None and not math.isfinite(value):
            raise ValueError("Must be a finite number, or empty.")
        return value

    @field_validator("primitives")
    @classmethod
    def _primitives_are_a_set(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("Choose at least one primitive.")
        if len(set(value)) != len(value):
            raise ValueError("A primitive is named twice.")
        if not {"Add", "Sub", "Mul", "Div", "Pow"} & set(value):
            raise ValueError("Choose at least one primitive that takes inputs, such as Add.")
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.tournament_size > self.n_parents:
            raise ValueError(
                f"The tournament size ({self.tournament_size}) is larger than the number of "
                f"parents ({self.n_parents})."
            )
        if self.levels_back is not None and self.levels_back > self.n_columns:
            raise ValueError(
                f"Levels back ({self.levels_back}) is larger than the number of columns "
                f"({self.n_columns})."
            )
        return self
