"""Hal-cgp's (mu + lambda) evolution behind ask and tell, with its whole state as JSON.

Hal-cgp's own loop holds a Python process for the time of a run. Here the loop is turned inside
out: :meth:`Engine.ask` hands out the individuals of the pending generation, :meth:`Engine.tell`
takes their fitness and selects, and between any two calls the engine can be written down and
read back without a trace in the history.
"""

from __future__ import annotations

import base64
import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from evolution.cgp.hal import cgp
from evolution.cgp.primitives import PRIMITIVES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cgp.individual import IndividualBase

    from evolution.cgp.parameters import EvolutionParameters

STATE_VERSION = 1


@dataclass(frozen=True)
class Candidate:
    """An individual of the pending generation.

    Attributes
    ----------
    index : int
        Number within the run.
    parent_index : int or None
        Number of its parent; None in the initial population.
    genomes : tuple of tuple of int
        Alleles of each genome; one genome per branch of the rule.
    fitness : float or None
        Fitness if it is known: only inactive genes differ from the parent's. Else None.
    """

    index: int
    parent_index: int | None
    genomes: tuple[tuple[int, ...], ...]
    fitness: float | None


@dataclass(frozen=True)
class Selection:
    """What became of a generation: its number, and the champion of its survivors."""

    generation: int
    champion_index: int
    champion_fitness: float


class _Population(cgp.Population):
    """A population that does not have to begin at random."""

    def __init__(
        self,
        parents: list[IndividualBase] | None,
        n_parents: int,
        seed: int,
        genome_params: list[dict[str, Any]] | dict[str, Any],
    ) -> None:
        self._given_parents = parents
        super().__init__(n_parents, seed, genome_params)

    def _generate_random_parent_population(self, individual_init: Any = None) -> None:
        if self._given_parents is None:
            super()._generate_random_parent_population(individual_init)
        else:
            self._parents = self._given_parents


class _Genome(cgp.Genome):
    """A genome whose clones share what is the same for all genomes of a run.

    Hal-cgp works out the permissible values of every gene anew for each clone, which takes
    longer than everything else in breeding.
    """

    def clone(self) -> Self:
        new = copy.copy(self)
        new._dna = list(self._dna)
        new._parameter_names_to_values = dict(self._parameter_names_to_values)
        return new


class Engine:
    """One run of Cartesian genetic programming.

    Create it with :meth:`start` or :meth:`from_state`.
    """

    def __init__(
        self,
        parameters: EvolutionParameters,
        population: cgp.Population,
        pending: list[IndividualBase] | None,
        generation: int,
    ) -> None:
        self.parameters = parameters
        #: Number of the pending generation; 0 is the initial population.
        self.generation = generation
        self._population = population
        self._pending = pending
        self._strategy = cgp.ea.MuPlusLambda(
            parameters.n_offspring,
            parameters.mutation_rate,
            tournament_size=parameters.tournament_size,
        )

    @classmethod
    def start(
        cls, parameters: EvolutionParameters, *, n_inputs: int, n_branches: int, seed: int
    ) -> Self:
        """Begin a run with a random initial population.

        Parameters
        ----------
        parameters : EvolutionParameters
        n_inputs : int
            Number of inputs of the rule.
        n_branches : int
            Number of expressions of the rule; each has a genome of its own.
        seed : int
            Seed of the initial population, of selection and of mutation, below 2**32.
        """
        population = _Population(
            None, parameters.n_parents, seed, _genome_params(parameters, n_inputs, n_branches)
        )
        return cls(parameters, population, list(population.parents), generation=0)

    def ask(self) -> list[Candidate]:
        """Return the individuals of the pending generation, breeding them if need be."""
        if self._pending is None:
            # Hal-cgp has no public method between breeding and evaluation.
            self._pending = self._strategy._create_new_offspring_generation(self._population)
        return [_candidate(individual) for individual in self._pending]

    def tell(self, fitness: Mapping[int, float]) -> Selection:
        """Complete the pending generation: select the parents of the next one.

        Parameters
        ----------
        fitness : mapping of int to float
            Fitness by individual of each candidate whose fitness was None; minus infinity for
            a rule that failed.
        """
        if self._pending is None:
            raise ValueError("No generation is pending: call ask() first.")
        for individual in self._pending:
            if individual.fitness_is_None():
                value = float(fitness[individual.idx])
                if math.isnan(value):
                    raise ValueError(f"The fitness of individual {individual.idx} is not a number.")
                individual.fitness = value
        population, strategy = self._population, self._strategy
        if self.generation > 0:
            # Offspring come before parents: the sort is stable, so that of two equals the
            # offspring survives and silent mutations accumulate.
            combined = strategy._sort(self._pending + population.parents)
            population.parents = strategy._create_new_parent_population(
                population.n_parents, combined
            )
        champion = population.champion
        selection = Selection(self.generation, champion.idx, champion.fitness)
        self._pending = None
        self.generation += 1
        return selection

    def to_state(self) -> dict[str, Any]:
        """Return the whole state as plain JSON types."""
        population = self._population
        return {
            "version": STATE_VERSION,
            "generation": self.generation,
            "next_index": population._max_idx,
            "n_inputs": _genomes(population.parents[0])[0]._n_inputs,
            "n_branches": len(_genomes(population.parents[0])),
            "parents": [_to_mapping(individual) for individual in population.parents],
            "pending": None
            if self._pending is None
            else [_to_mapping(individual) for individual in self._pending],
            "rng": _rng_to_mapping(population.rng),
        }

    @classmethod
    def from_state(cls, parameters: EvolutionParameters, state: Mapping[str, Any]) -> Self:
        """Return the engine that wrote ``state`` with :meth:`to_state`."""
        if state["version"] != STATE_VERSION:
            raise ValueError(f"The state has version {state['version']}, not {STATE_VERSION}.")
        genome_params = _genome_params(parameters, state["n_inputs"], state["n_branches"])
        prototypes = [
            _Genome(**params)
            for params in (genome_params if isinstance(genome_params, list) else [genome_params])
        ]
        parents = [_from_mapping(prototypes, item) for item in state["parents"]]
        if state["pending"] is None:
            pending = None
        elif state["generation"] == 0:
            pending = list(parents)
        else:
            pending = [_from_mapping(prototypes, item) for item in state["pending"]]
        population = _Population(parents, parameters.n_parents, 0, genome_params)
        population.rng.set_state(_rng_from_mapping(state["rng"]))
        population.generation = max(0, state["generation"] - 1)
        population._max_idx = state["next_index"]
        return cls(parameters, population, pending, state["generation"])


def _genome_params(
    parameters: EvolutionParameters, n_inputs: int, n_branches: int
) -> dict[str, Any] | list[dict[str, Any]]:
    params = {
        "n_inputs": n_inputs,
        "n_outputs": 1,
        "n_columns": parameters.n_columns,
        "n_rows": parameters.n_rows,
        "levels_back": parameters.levels_back,
        "primitives": tuple(PRIMITIVES[name] for name in parameters.primitives),
    }
    # Hal-cgp makes individuals with several genomes from a list, even from a list of one.
    return params if n_branches == 1 else [params] * n_branches


def _genomes(individual: IndividualBase) -> list[cgp.Genome]:
    genome = individual.genome
    return genome if isinstance(genome, list) else [genome]


def _candidate(individual: IndividualBase) -> Candidate:
    return Candidate(
        index=individual.idx,
        parent_index=None if individual.parent_idx == -1 else individual.parent_idx,
        genomes=tuple(tuple(map(int, genome.dna)) for genome in _genomes(individual)),
        fitness=None if individual.fitness_is_None() else individual.fitness,
    )


def _to_mapping(individual: IndividualBase) -> dict[str, Any]:
    return {
        "index": individual.idx,
        "parent_index": individual.parent_idx,
        "fitness": _fitness_to_json(individual.fitness_current_objective),
        "genomes": [list(map(int, genome.dna)) for genome in _genomes(individual)],
    }


def _fitness_to_json(fitness: float | None) -> float | str | None:
    # JSON has no infinity, and minus infinity is what a rule that fails is worth.
    return fitness if fitness is None or math.isfinite(fitness) else str(fitness)


def _from_mapping(prototypes: list[_Genome], item: Mapping[str, Any]) -> IndividualBase:
    genomes = []
    for prototype, alleles in zip(prototypes, item["genomes"], strict=True):
        genome = prototype.clone()
        genome.dna = list(alleles)
        genomes.append(genome)
    individual: IndividualBase = (
        cgp.IndividualSingleGenome(genomes[0])
        if len(genomes) == 1
        else cgp.IndividualMultiGenome(genomes)
    )
    individual.idx = item["index"]
    individual.parent_idx = item["parent_index"]
    if item["fitness"] is not None:
        individual.fitness = float(item["fitness"])
    return individual


def _rng_to_mapping(rng: np.random.RandomState) -> dict[str, Any]:
    _, keys, position, has_gauss, cached_gaussian = rng.get_state()
    return {
        "keys": base64.b64encode(keys.astype("<u4").tobytes()).decode("ascii"),
        "position": int(position),
        "has_gauss": int(has_gauss),
        "cached_gaussian": float(cached_gaussian),
    }


def _rng_from_mapping(item: Mapping[str, Any]) -> tuple[str, np.ndarray, int, int, float]:
    keys = np.frombuffer(base64.b64decode(item["keys"]), dtype="<u4").astype(np.uint32)
    return "MT19937", keys, item["position"], item["has_gauss"], item["cached_gaussian"]
