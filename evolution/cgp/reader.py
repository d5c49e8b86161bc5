"""Reader: what is to be said of individuals, from their genomes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from evolution.cgp.phenotype import Decoder, expression_text
from evolution.cgp.population import genomes_of
from evolution.cgp.primitives import primitives_of
from evolution.cgp.protocol import Candidate, Origin
from nest_build.rules import RuleSyntaxError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cgp.individual import IndividualBase

    from evolution.cgp.parameters import EvolutionParameters
    from evolution.cgp.population import Genome


class Reader:
    """Reads the genomes of a run.

    Parameters
    ----------
    parameters : EvolutionParameters
        Shape and primitives of the genomes.
    input_names : tuple of str
        Names of the rule's inputs.
    """

    def __init__(self, parameters: EvolutionParameters, input_names: tuple[str, ...]) -> None:
        self._parameters = parameters
        self._input_names = input_names

    def texts(
        self, individual: IndividualBase, constants: Iterable[float] | None = None
    ) -> tuple[str, ...] | None:
        """Return the expression of each branch, None if one exceeds the limits of the language.

        Parameters
        ----------
        individual : IndividualBase
        constants : iterable of float, optional
            Other values of its active parameters, in their order.
        """
        genomes = genomes_of(individual)
        values = [genome.parameter_values for genome in genomes]
        if constants is not None:
            for (branch, name), constant in zip(
                self.active_parameters(individual), constants, strict=True
            ):
                if not math.isfinite(constant):
                    return None
                values[branch][name] = float(constant)
        try:
            return tuple(
                expression_text(genome._dna, self._parameters, self._input_names, own_values)
                for genome, own_values in zip(genomes, values, strict=True)
            )
        except RuleSyntaxError:
            return None

    def active_parameters(self, individual: IndividualBase) -> list[tuple[int, str]]:
        """Return branch and name of each parameter that an individual's rule depends on."""
        primitives = primitives_of(self._parameters)
        return [
            (branch, name)
            for branch, genome in enumerate(genomes_of(individual))
            for name in Decoder(genome._dna, primitives, len(self._input_names)).active_parameters()
        ]

    def candidate(
        self, individual: IndividualBase, parent: IndividualBase | None, origin: Origin
    ) -> Candidate:
        """Return what is said of a new individual."""
        genomes = genomes_of(individual)
        return Candidate(
            index=individual.idx,
            parent_index=None if parent is None else parent.idx,
            genomes=tuple(genome.alleles for genome in genomes),
            parameters=tuple(genome.parameter_values for genome in genomes),
            fitness=individual.fitness_current_objective,
            mutated_genes=((),) * len(genomes)
            if parent is None
            else tuple(map(_differences, genomes_of(parent), genomes)),
            origin=origin,
            texts=self.texts(individual),
        )


def _differences(before: Genome, now: Genome) -> tuple[int, ...]:
    return tuple(
        position
        for position, (old, new) in enumerate(zip(before._dna, now._dna, strict=True))
        if old != new
    )
