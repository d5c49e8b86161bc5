"""Local search on numeric constants: a natural evolution strategy behind ask and tell.

It follows hal-cgp's ``EvolutionStrategies``, which does not run with NumPy 2 and calls the
objective itself. The search distribution is normal with a mean and a step size (standard
deviation) for each constant and without covariances; both follow the natural gradient of the
expected utility, in natural coordinates.

References
----------
Wierstra, D. et al. (2014). Natural evolution strategies. Journal of Machine Learning Research,
15(1), 949-980 (algorithm 6; equations of the default population size and learning rate).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from evolution.cgp.population import fitness_to_json, genomes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cgp.individual import IndividualBase

    from evolution.cgp.parameters import EvolutionParameters
    from evolution.cgp.reader import Reader

#: Initial step size of a constant, relative to its size.
RELATIVE_STEP_SIZE = 0.05


@dataclass
class Search:
    """The search for better constants of one individual.

    Attributes
    ----------
    index : int
        Number of the individual.
    seed : tuple of int
        Seed of the search's own random numbers, 32 bits each.
    means : ndarray of shape (n_constants,)
        Where the search distribution is now.
    step_sizes : ndarray of shape (n_constants,)
        Its standard deviations.
    n_steps_done : int
    fitness : float or None
        Fitness of the individual with the final means as constants, once it is known.
    """

    index: int
    seed: tuple[int, ...]
    means: np.ndarray
    step_sizes: np.ndarray
    n_steps_done: int = 0
    fitness: float | None = None

    @classmethod
    def begin(
        cls,
        index: int,
        seed: tuple[int, ...],
        constants: Sequence[float],
        step_sizes: Sequence[float | None],
    ) -> Self:
        """Begin at some constants; a step size of None is one in twenty of the constant."""
        means = np.array(constants, dtype=np.float64)
        widths = [
            RELATIVE_STEP_SIZE * abs(constant) if step_size is None else step_size
            for constant, step_size in zip(constants, step_sizes, strict=True)
        ]
        return cls(index, seed, means, np.array(widths, dtype=np.float64))

    def probes(self, parameters: EvolutionParameters) -> np.ndarray:
        """Return the constants to try in this step, of shape (n_probes, n_constants)."""
        with np.errstate(over="ignore"):
            return self.means + self.step_sizes * self._sample(parameters)

    def learn(self, fitness: Sequence[float], parameters: EvolutionParameters) -> None:
        """Complete a step with the fitness of each probe; minus infinity for a failure."""
        sample = self._sample(parameters)
        # Stable, so that the order of ties is the same on every machine.
        order = np.argsort(np.asarray(fitness), kind="stable")[::-1]
        sample, utility = sample[order], _utility(len(order))
        rate = parameters.local_search_learning_rate_sigma
        if rate is None:
            n_constants = len(self.means)
            rate = (3 + math.log(n_constants)) / (5 * math.sqrt(n_constants))
        with np.errstate(over="ignore", invalid="ignore"):
            means = self.means + parameters.local_search_learning_rate_mu * self.step_sizes * (
                utility @ sample
            )
            step_sizes = self.step_sizes * np.exp(rate / 2 * (utility @ (sample**2 - 1)))
        # A step out of the finite numbers is not taken.
        if np.isfinite(means).all() and np.isfinite(step_sizes).all():
            self.means = means
            self.step_sizes = np.maximum(step_sizes, parameters.local_search_min_sigma)
        self.n_steps_done += 1

    def _sample(self, parameters: EvolutionParameters) -> np.ndarray:
        """Return standard normal numbers of this step, the same at each call."""
        n_constants = len(self.means)
        n_probes = parameters.local_search_population_size
        if n_probes is None:
            n_probes = 4 + math.floor(3 * math.log(n_constants))
        # Drawing those of the steps before again is cheaper than to keep the generator's state.
        rng = np.random.RandomState(self.seed)
        for _ in range(self.n_steps_done + 1):
            sample = rng.normal(0.0, 1.0, (n_probes, n_constants))
        return np.vstack([sample, -sample]) if parameters.local_search_mirrored else sample

    def to_mapping(self) -> dict[str, Any]:
        """Return the search as plain JSON types."""
        return {
            "index": self.index,
            "seed": list(self.seed),
            "means": self.means.tolist(),
            "step_sizes": self.step_sizes.tolist(),
            "n_steps_done": self.n_steps_done,
            "fitness": fitness_to_json(self.fitness),
        }

    @classmethod
    def from_mapping(cls, item: Mapping[str, Any]) -> Self:
        """Return the search that wrote ``item``."""
        return cls(
            item["index"],
            tuple(item["seed"]),
            np.array(item["means"], dtype=np.float64),
            np.array(item["step_sizes"], dtype=np.float64),
            item["n_steps_done"],
            None if item["fitness"] is None else float(item["fitness"]),
        )


def _utility(n_probes: int) -> np.ndarray:
    """Return the utility of each rank, the best first; they add up to zero.

    Hal-cgp lets the logarithm of the lower half go below zero, where Wierstra et al. cut it off.
    """
    ranks = np.arange(1, n_probes + 1)
    raw = math.log(n_probes / 2 + 1) - np.log(ranks)
    return raw / raw.sum() - 1 / n_probes


def begin_searches(
    individuals: Iterable[IndividualBase], reader: Reader, seed: tuple[int, ...]
) -> list[Search]:
    """Return a search for each individual whose rule depends on parameters.

    Each has random numbers of its own, so that nothing depends on which others there are; hal-cgp
    draws the same ones in all searches.

    Parameters
    ----------
    individuals : iterable of IndividualBase
    reader : Reader
    seed : tuple of int
        What tells these searches from those of other runs and generations.
    """
    searches = []
    for individual in individuals:
        active = reader.active_parameters(individual)
        if not active or reader.texts(individual) is None:
            continue
        genomes = genomes_of(individual)
        values = [genome.parameter_values for genome in genomes]
        searches.append(
            Search.begin(
                individual.idx,
                (*seed, individual.idx),
                [values[branch][name] for branch, name in active],
                [genomes[branch].step_sizes.get(name) for branch, name in active],
            )
        )
    return searches


def refine(
    searches: Iterable[Search],
    individuals: Mapping[int, IndividualBase],
    reader: Reader,
    new_index: Callable[[], int],
) -> list[IndividualBase]:
    """Return new individuals with the constants that have turned out fitter.

    All individuals that were searched keep the step sizes for their offspring, as in hal-cgp.

    Parameters
    ----------
    searches : iterable of Search
        With their fitness.
    individuals : mapping of int to IndividualBase
        The individuals that were searched, by index.
    reader : Reader
    new_index : callable
        Returns the next individual's number.
    """
    refined = []
    for search in searches:
        original = individuals[search.index]
        active = reader.active_parameters(original)
        for genome in genomes_of(original):
            genome.step_sizes = {}
        for (branch, name), step_size in zip(active, search.step_sizes, strict=True):
            genomes_of(original)[branch].step_sizes[name] = float(step_size)
        if search.fitness > original.fitness:
            individual = original.clone()
            for (branch, name), value in zip(active, search.means, strict=True):
                genomes_of(individual)[branch].set_parameters({name: float(value)})
            individual.fitness = search.fitness
            individual.hurdle_fitness = None
            individual.idx = new_index()
            refined.append(individual)
    return refined
