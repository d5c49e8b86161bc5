"""Hal-cgp's population, individuals and genomes, and their form in JSON."""

from __future__ import annotations

import base64
import copy
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from evolution.cgp.hal import cgp
from evolution.cgp.nodes import node_types
from evolution.cgp.primitives import parameter_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cgp.individual import IndividualBase

    from evolution.cgp.encoding import EncodedGenome
    from evolution.cgp.parameters import EvolutionParameters


class Genome(cgp.Genome):
    """A genome whose clones share what is the same for all genomes of a run.

    Hal-cgp works out the permissible values of every gene anew for each clone, checks every gene
    after each mutation, makes an object of each node and has NumPy choose among a few integers,
    which takes longer than everything else in breeding. Here the same random numbers make the same
    genomes.
    """

    def __init__(self, *, mutation_count: str, **shape: Any) -> None:
        super().__init__(**shape)
        self._n_mutations_are_fixed = mutation_count == "fixed"
        self._has_parameters = any(node._parameter_names for node in self._primitives)
        self._choices = [np.atleast_1d(values).tolist() for values in self._permissible_values]
        #: Step sizes of the last local search by the name of the parameter.
        self.step_sizes: dict[str, float] = {}

    def clone(self) -> Self:
        new = copy.copy(self)
        new._dna = list(self._dna)
        new._parameter_names_to_values = dict(self._parameter_names_to_values)
        new.step_sizes = dict(self.step_sizes)
        return new

    def mutate(self, mutation_rate: float, rng: np.random.RandomState) -> bool:
        if self._n_mutations_are_fixed:
            return self._mutate_so_many(max(1, int(mutation_rate * self._n_genes)), rng)
        active = self._active_regions()
        is_silent = True
        for gene in np.flatnonzero(rng.rand(self._n_genes) < mutation_rate).tolist():
            others = [value for value in self._choices[gene] if value != self._dna[gene]]
            if others:
                self._dna[gene] = others[rng.randint(len(others))]
                region, place = divmod(gene, self._length_per_region)
                is_silent &= region not in active
                if place == 0:
                    is_silent &= not self._initialize_parameters(region)
        return is_silent

    def _mutate_so_many(self, n_left: int, rng: np.random.RandomState) -> bool:
        """Mutate as hal-cgp did when the paper was written, until June 2020."""
        active = self._active_regions()
        is_silent = True
        while n_left > 0:
            gene = rng.randint(self._n_genes)
            node, place = divmod(gene, self._length_per_region)
            if self._is_hidden_region(node):
                arity = self._arity(node)
            elif self._is_output_region(node) and place > 0:
                arity = 1
            else:
                continue
            if place > arity:
                continue
            self._redraw(gene, rng)
            if place == 0:
                for address in range(gene + 1, gene + 1 + self._arity(node)):
                    self._redraw(address, rng)
                is_silent &= not self._initialize_parameters(node)
            is_silent &= node not in active
            n_left -= 1
        return is_silent

    def _active_regions(self) -> set[int]:
        """Return the nodes that the output depends on, and the output."""
        first_output = self._n_inputs + self._n_hidden
        active = {first_output}
        for region in range(first_output, self._n_inputs - 1, -1):
            if region in active:
                start = region * self._length_per_region + 1
                arity = 1 if region == first_output else self._arity(region)
                active.update(self._dna[start : start + arity])
        return active

    def _initialize_parameters(self, node: int) -> bool:
        if not self._has_parameters:
            return False
        start = node * self._length_per_region
        region = self._dna[start : start + self._length_per_region]
        return self._initialize_parameter_values(node, region, reinitialize=True)

    def _arity(self, node: int) -> int:
        return self._primitives[self._dna[node * self._length_per_region]]._arity

    def _redraw(self, gene: int, rng: np.random.RandomState) -> None:
        choices = self._choices[gene]
        self._dna[gene] = choices[rng.randint(len(choices))]

    def _validate_dna(self, dna: list[int]) -> None:
        """Genes come from hal-cgp's own operators or from a state, which has them from there."""

    def _initialize_unknown_parameters(self) -> None:
        if self._has_parameters:
            super()._initialize_unknown_parameters()

    def _update_parameters_names_to_values(self, renamed: dict[tuple[str, str], float]) -> None:
        # Reordering moves nodes, whose addresses are part of the names.
        super()._update_parameters_names_to_values(renamed)
        self.step_sizes = {
            new: self.step_sizes[old] for old, new in renamed if old in self.step_sizes
        }

    @property
    def alleles(self) -> tuple[int, ...]:
        """The genes as plain integers."""
        return tuple(map(int, self._dna))

    @property
    def parameter_values(self) -> dict[str, float]:
        """Values of the nodes that are parameters now, in order of the nodes.

        Hal-cgp keeps the values of nodes that were parameters once, but never reads them.
        """
        if not self._has_parameters:
            return {}
        return {
            name: float(self._parameter_names_to_values[name])
            for index, region in self.iter_hidden_regions()
            if self._primitives[region[0]]._parameter_names
            for name in [parameter_name(index)]
        }

    def plant(self, encoded: EncodedGenome) -> None:
        """Replace the genes that a given rule needs; the others stay as they are."""
        self.dna = encoded.onto(self._dna)
        self.set_parameters(encoded.parameters)

    def set_parameters(self, values: Mapping[str, float]) -> None:
        """Replace the values of some parameter nodes."""
        self._parameter_names_to_values.update(values)


class Population(cgp.Population):
    """A population that does not have to begin at random."""

    def __init__(
        self,
        parameters: EvolutionParameters,
        *,
        n_inputs: int,
        n_branches: int,
        seed: int,
        parents: list[IndividualBase] | None = None,
    ) -> None:
        self._given_parents = parents
        self._prototype = prototype(parameters, n_inputs)
        self._n_branches = n_branches
        super().__init__(parameters.n_parents, seed, {})

    def _generate_random_parent_population(self, individual_init: Any = None) -> None:
        if self._given_parents is None:
            super()._generate_random_parent_population(individual_init)
        else:
            self._parents = self._given_parents

    def generate_random_individual(self) -> IndividualBase:
        individual = _individual([self._prototype.clone() for _ in range(self._n_branches)])
        individual.randomize_genome(self.rng)
        individual.idx = self.get_idx_for_new_individual()
        individual.parent_idx = -1
        return individual


def breed(population: Population, parameters: EvolutionParameters) -> list[IndividualBase]:
    """Return the offspring of the next generation, as hal-cgp breeds them."""
    if parameters.reorder_genome:
        population.reorder_genome()
    strategy = cgp.ea.MuPlusLambda(
        parameters.n_offspring,
        parameters.mutation_rate,
        tournament_size=parameters.tournament_size,
    )
    # Hal-cgp has no public method between breeding and evaluation.
    offspring = strategy._create_new_offspring_generation(population)
    for individual in offspring:
        if individual.fitness_is_None():
            individual.hurdle_fitness = None
    return offspring


def prototype(parameters: EvolutionParameters, n_inputs: int) -> Genome:
    """Return a genome without genes, of which all genomes of a run are clones."""
    return _prototype(
        n_inputs,
        parameters.n_columns,
        parameters.n_rows,
        parameters.levels_back,
        node_types(parameters),
        parameters.mutation_count,
    )


@lru_cache(maxsize=64)
def _prototype(
    n_inputs: int,
    n_columns: int,
    n_rows: int,
    levels_back: int | None,
    primitives: tuple[type, ...],
    mutation_count: str,
) -> Genome:
    return Genome(
        mutation_count=mutation_count,
        n_inputs=n_inputs,
        n_outputs=1,
        n_columns=n_columns,
        n_rows=n_rows,
        levels_back=levels_back,
        primitives=primitives,
    )


def genomes_of(individual: IndividualBase) -> list[Genome]:
    """Return the genomes of an individual, one per branch of its rule."""
    genome = individual.genome
    return genome if isinstance(genome, list) else [genome]


def _individual(genomes: list[Genome]) -> IndividualBase:
    individual: IndividualBase = (
        cgp.IndividualSingleGenome(genomes[0])
        if len(genomes) == 1
        else cgp.IndividualMultiGenome(genomes)
    )
    # Hal-cgp hands attributes of one's own on to clones.
    individual.hurdle_fitness = None
    return individual


def individual_to_mapping(individual: IndividualBase) -> dict[str, Any]:
    """Return an individual as plain JSON types."""
    genomes = genomes_of(individual)
    return {
        "index": individual.idx,
        "parent_index": individual.parent_idx,
        "fitness": fitness_to_json(individual.fitness_current_objective),
        "hurdle_fitness": fitness_to_json(individual.hurdle_fitness),
        "genomes": [list(genome.alleles) for genome in genomes],
        "parameters": [genome.parameter_values for genome in genomes],
        "step_sizes": [genome.step_sizes for genome in genomes],
    }


def individual_from_mapping(model: Genome, item: Mapping[str, Any]) -> IndividualBase:
    """Return the individual that was written as ``item``; ``model`` is its prototype."""
    genomes = []
    for alleles, values, step_sizes in zip(
        item["genomes"], item["parameters"], item["step_sizes"], strict=True
    ):
        genome = model.clone()
        genome.set_parameters(values)
        genome.step_sizes = dict(step_sizes)
        genome._dna = list(alleles)
        genomes.append(genome)
    individual = _individual(genomes)
    individual.idx = item["index"]
    individual.parent_idx = item["parent_index"]
    if item["fitness"] is not None:
        individual.fitness = float(item["fitness"])
    if item["hurdle_fitness"] is not None:
        individual.hurdle_fitness = float(item["hurdle_fitness"])
    return individual


def fitness_to_json(fitness: float | None) -> float | str | None:
    """Return a fitness as JSON, which has no infinity; ``float`` reads it."""
    return fitness if fitness is None or math.isfinite(fitness) else str(fitness)


def rng_to_mapping(rng: np.random.RandomState) -> dict[str, Any]:
    """Return the state of a random number generator as plain JSON types."""
    _, keys, position, has_gauss, cached_gaussian = rng.get_state()
    return {
        "keys": base64.b64encode(keys.astype("<u4").tobytes()).decode("ascii"),
        "position": int(position),
        "has_gauss": int(has_gauss),
        "cached_gaussian": float(cached_gaussian),
    }


def rng_from_mapping(item: Mapping[str, Any]) -> tuple[str, np.ndarray, int, int, float]:
    """Return what ``RandomState.set_state`` takes."""
    keys = np.frombuffer(base64.b64decode(item["keys"]), dtype="<u4").astype(np.uint32)
    return "MT19937", keys, item["position"], item["has_gauss"], item["cached_gaussian"]
