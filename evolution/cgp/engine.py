"""Hal-cgp's (mu + lambda) evolution behind ask and tell, with its whole state as JSON.

Hal-cgp's own loop holds a Python process for the time of a run. Here the loop is turned inside
out: :meth:`Engine.ask` hands out the questions of the pending generation, :meth:`Engine.tell`
takes the answers, and between any two calls the engine can be written down and read back without
a trace in the history.

A generation takes one request, or several:

1. the offspring are born; their fitness is asked for, or first their fitness in the trials of the
   hurdle, and then that of those who pass it;
2. each step of the local search asks for the fitness of what it tries, then of what it found;
3. individuals whose constants the local search has improved are born.

Unlike in hal-cgp a hurdle is for offspring only. Hal-cgp judges the parents by it as well, so that
the fittest of all may be lost because it is not the best in the first trials; here the champion's
fitness never falls. Offspring whose fitness is known need no trials and meet no hurdle either.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

from evolution.cgp.encoding import encode_rule
from evolution.cgp.generation import PendingGeneration
from evolution.cgp.population import (
    Population,
    breed,
    genomes_of,
    individual_from_mapping,
    individual_to_mapping,
    prototype,
    rng_from_mapping,
    rng_to_mapping,
)
from evolution.cgp.protocol import Candidate, Question, Request, Selection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evolution.cgp.parameters import EvolutionParameters

__all__ = ["STATE_VERSION", "Candidate", "Engine", "Question", "Request", "Selection"]

STATE_VERSION = 2


class Engine:
    """One run of Cartesian genetic programming.

    Create it with :meth:`start` or :meth:`from_state`.
    """

    def __init__(
        self,
        parameters: EvolutionParameters,
        population: Population,
        pending: PendingGeneration | None,
        generation: int,
        *,
        input_names: tuple[str, ...],
        n_branches: int,
        seed: int,
    ) -> None:
        self.parameters = parameters
        self._population = population
        self._pending = pending
        self._generation = generation
        self._input_names = input_names
        self._n_branches = n_branches
        self._seed = seed

    @property
    def generation(self) -> int:
        """Number of the pending generation; 0 is the initial population."""
        return self._generation

    @classmethod
    def start(
        cls,
        parameters: EvolutionParameters,
        *,
        input_names: Sequence[str],
        n_branches: int,
        seed: int,
    ) -> Self:
        """Begin a run with its initial population.

        Parameters
        ----------
        parameters : EvolutionParameters
        input_names : sequence of str
            Names of the rule's inputs.
        n_branches : int
            Number of expressions of the rule; each has a genome of its own.
        seed : int
            Seed of the initial population, of selection, of mutation and of local search, below
            2**32.

        Raises
        ------
        EncodingError
            If one of the given rules does not fit; ``EvolutionParameters.check_against`` tells
            beforehand.
        """
        names = tuple(input_names)
        population = Population(parameters, n_inputs=len(names), n_branches=n_branches, seed=seed)
        for individual, text in zip(population.parents, parameters.seed_rules, strict=False):
            encoded = encode_rule(text, parameters, names, n_branches)
            for genome, genes in zip(genomes_of(individual), encoded, strict=True):
                genome.plant(genes)
        pending = PendingGeneration(0, parameters, population, names, seed, population.parents)
        return cls(
            parameters,
            population,
            pending,
            generation=0,
            input_names=names,
            n_branches=n_branches,
            seed=seed,
        )

    def ask(self) -> Request:
        """Return what the engine needs to know, after breeding if need be.

        The request is the same until it is told.
        """
        if self._pending is None:
            self._pending = PendingGeneration(
                self._generation,
                self.parameters,
                self._population,
                self._input_names,
                self._seed,
                breed(self._population, self.parameters),
            )
        return self._pending.request()

    def tell(self, answers: Mapping[int, float]) -> Selection | None:
        """Take the answers to a request.

        Parameters
        ----------
        answers : mapping of int to float
            Fitness by the key of each question; minus infinity for a rule that failed.

        Returns
        -------
        Selection or None
            What became of the generation, None if there is another request to it.
        """
        if self._pending is None:
            raise ValueError("No generation is pending: call ask() first.")
        asked = {question.key for question in self._pending.request().questions}
        if answers.keys() != asked:
            raise ValueError(
                f"The answers {sorted(answers)} are not those to the questions {sorted(asked)}."
            )
        values = {key: float(value) for key, value in answers.items()}
        for key, value in values.items():
            if math.isnan(value):
                raise ValueError(f"The answer to question {key} is not a number.")
        selection = self._pending.tell(values)
        if selection is not None:
            self._pending = None
            self._generation += 1
        return selection

    def to_state(self) -> dict[str, Any]:
        """Return the whole state as plain JSON types."""
        return {
            "version": STATE_VERSION,
            "generation": self._generation,
            "input_names": list(self._input_names),
            "n_branches": self._n_branches,
            "seed": self._seed,
            "next_index": self._population._max_idx,
            "parents": [individual_to_mapping(parent) for parent in self._population.parents],
            "pending": None if self._pending is None else self._pending.to_mapping(),
            "rng": rng_to_mapping(self._population.rng),
        }

    @classmethod
    def from_state(cls, parameters: EvolutionParameters, state: Mapping[str, Any]) -> Self:
        """Return the engine that wrote ``state`` with :meth:`to_state`."""
        if state["version"] != STATE_VERSION:
            raise ValueError(f"The state has version {state['version']}, not {STATE_VERSION}.")
        names, n_branches = tuple(state["input_names"]), state["n_branches"]
        model = prototype(parameters, len(names))
        population = Population(
            parameters,
            n_inputs=len(names),
            n_branches=n_branches,
            seed=0,
            parents=[individual_from_mapping(model, item) for item in state["parents"]],
        )
        population.rng.set_state(rng_from_mapping(state["rng"]))
        population._max_idx = state["next_index"]
        pending = None
        if state["pending"] is not None:
            pending = PendingGeneration.from_mapping(
                state["pending"], state["generation"], parameters, population, names, state["seed"]
            )
        return cls(
            parameters,
            population,
            pending,
            state["generation"],
            input_names=names,
            n_branches=n_branches,
            seed=state["seed"],
        )
