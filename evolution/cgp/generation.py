"""A generation from the birth of its individuals to selection, in stages."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from evolution.cgp.hurdles import hurdle_height
from evolution.cgp.inquiry import Inquiry
from evolution.cgp.local_search import Search, begin_searches, refine
from evolution.cgp.population import (
    Population,
    individual_from_mapping,
    individual_to_mapping,
    prototype,
)
from evolution.cgp.protocol import Candidate, Origin, Request, Selection
from evolution.cgp.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cgp.individual import IndividualBase

    from evolution.cgp.parameters import EvolutionParameters


class Stage(StrEnum):
    """What the pending request of a generation is about."""

    BORN = "born"  # new individuals, or what they are worth at the hurdle
    PASSED = "passed"  # the individuals that have passed the hurdle
    SEARCH = "search"  # constants that a step of the local search tries
    FOUND = "found"  # constants that the local search has found
    REFINED = "refined"  # new individuals with better constants


class PendingGeneration:
    """A generation whose individuals are born, but not all known or not yet selected."""

    def __init__(
        self,
        number: int,
        parameters: EvolutionParameters,
        population: Population,
        input_names: tuple[str, ...],
        seed: int,
        offspring: list[IndividualBase],
    ) -> None:
        self._number = number
        self._parameters = parameters
        self._population = population
        self._input_names = input_names
        self._seed = seed
        self._offspring = offspring
        self._stage = Stage.BORN
        self._below_hurdle: list[int] = []
        self._searches: list[Search] = []
        self._refined: list[IndividualBase] = []
        self._reader = Reader(parameters, input_names)
        self._inquiry = Inquiry()
        self._request: Request | None = None
        #: Fitness of the probes of each search.
        self._tried: list[list[float]] = []

    def request(self) -> Request:
        """Return what must be known before the generation can go on."""
        if self._request is None:
            self._inquiry = Inquiry()
            born = self._ask_by_stage()
            self._request = Request(self._number, born, tuple(self._inquiry.questions))
        return self._request

    def tell(self, answers: Mapping[int, float]) -> Selection | None:
        """Take the answers by the key of their questions; None if there is another request."""
        self._inquiry.answer(answers)
        while self._enter_next_stage():
            self._request = None
            request = self.request()
            if request.born or request.questions:
                return None
            self._inquiry.answer({})
        return self._select()

    def _ask_by_stage(self) -> tuple[Candidate, ...]:
        match self._stage:
            case Stage.BORN:
                return self._ask_for_born()
            case Stage.PASSED:
                for individual in self._offspring:
                    if individual.fitness_is_None():
                        self._ask_for_fitness(individual)
            case Stage.SEARCH:
                self._ask_for_probes()
            case Stage.FOUND:
                self._ask_for_found()
            case Stage.REFINED:
                for individual in self._refined:
                    if self._parameters.hurdle_trials is not None:
                        self._ask_for_hurdle_fitness(individual)
                return tuple(map(self._candidate, self._refined))
        return ()

    def _enter_next_stage(self) -> bool:
        """Use what is known now; return whether there is another stage before selection."""
        match self._stage:
            case Stage.BORN | Stage.PASSED:
                if self._number == 0:
                    return False
                if self._stage is Stage.BORN and self._parameters.hurdle_trials is not None:
                    self._judge_at_hurdle()
                    self._stage = Stage.PASSED
                    return True
                if self._parameters.local_search_steps:
                    fittest = self._combined()[: self._parameters.n_local_search]
                    self._searches = begin_searches(
                        fittest, self._reader, (self._seed, self._number)
                    )
                self._stage = Stage.SEARCH
                return bool(self._searches)
            case Stage.SEARCH:
                for search, fitness in zip(self._searches, self._tried, strict=True):
                    search.learn(fitness, self._parameters)
                if self._searches[0].n_steps_done == self._parameters.local_search_steps:
                    self._stage = Stage.FOUND
                return True
            case Stage.FOUND:
                self._refined = refine(
                    self._searches,
                    self._by_index(),
                    self._reader,
                    self._population.get_idx_for_new_individual,
                )
                self._stage = Stage.REFINED
                return bool(self._refined)
            case _:
                return False

    # Questions

    def _ask_for_born(self) -> tuple[Candidate, ...]:
        has_hurdle = self._parameters.hurdle_trials is not None
        for individual in self._offspring:
            if not individual.fitness_is_None():
                continue
            if self._number == 0 or not has_hurdle:
                self._ask_for_fitness(individual)
            if has_hurdle:
                self._ask_for_hurdle_fitness(individual)
        return tuple(map(self._candidate, self._offspring))

    def _ask_for_fitness(self, individual: IndividualBase) -> None:
        def receive(value: float) -> None:
            individual.fitness = value

        self._inquiry.ask(
            receive, self._reader.texts(individual), index=individual.idx, bound=self._bound()
        )

    def _ask_for_hurdle_fitness(self, individual: IndividualBase) -> None:
        def receive(value: float) -> None:
            individual.hurdle_fitness = value

        self._inquiry.ask(
            receive,
            self._reader.texts(individual),
            index=individual.idx,
            n_trials=self._parameters.hurdle_trials,
        )

    def _bound(self) -> float | None:
        """Return the fitness strictly below which nobody survives, None if everybody may matter."""
        parameters = self._parameters
        if self._number == 0 or (
            parameters.local_search_steps and parameters.n_local_search > parameters.n_parents
        ):
            return None
        lowest = min(parent.fitness for parent in self._population.parents)
        return None if lowest == -math.inf else lowest

    def _ask_for_probes(self) -> None:
        individuals = self._by_index()
        self._tried = []
        for search in self._searches:
            probes = search.probes(self._parameters)
            fitness = [-math.inf] * len(probes)
            self._tried.append(fitness)
            for position, constants in enumerate(probes):
                self._inquiry.ask(
                    # Bound now: the loop goes on before the answer comes.
                    lambda value, fitness=fitness, position=position: fitness.__setitem__(
                        position, value
                    ),
                    self._reader.texts(individuals[search.index], constants),
                    index=None,
                )

    def _ask_for_found(self) -> None:
        individuals = self._by_index()
        for search in self._searches:
            individual = individuals[search.index]

            def receive(value: float, search: Search = search) -> None:
                search.fitness = value

            bound = None if individual.fitness == -math.inf else individual.fitness
            self._inquiry.ask(
                receive, self._reader.texts(individual, search.means), index=None, bound=bound
            )

    # Stages

    def _judge_at_hurdle(self) -> None:
        everybody = [*self._offspring, *self._population.parents]
        height = hurdle_height(
            [individual.hurdle_fitness for individual in everybody],
            self._parameters.hurdle_percentile,
        )
        for individual in self._offspring:
            if not individual.fitness_is_None():
                continue
            if individual.hurdle_fitness < height:
                self._below_hurdle.append(individual.idx)
                individual.fitness = -math.inf
            elif individual.hurdle_fitness == -math.inf:
                individual.fitness = -math.inf

    def _combined(self) -> list[IndividualBase]:
        """Return those who may survive, the fittest first.

        Offspring come before parents: the sort is stable, so that of two equals the offspring
        survives and silent mutations accumulate.
        """
        offspring = [i for i in self._offspring if i.idx not in self._below_hurdle]
        return sorted(offspring + self._population.parents, reverse=True)

    def _select(self) -> Selection:
        population = self._population
        if self._number > 0:
            refined = {individual.parent_idx: individual for individual in self._refined}
            combined = [refined.get(i.idx, i) for i in self._combined()]
            population.parents = sorted(combined, reverse=True)[: population.n_parents]
        champion = population.champion
        return Selection(
            self._number,
            champion.idx,
            champion.fitness,
            parent_indices=tuple(parent.idx for parent in population.parents),
            fitness={i.idx: i.fitness for i in [*self._offspring, *self._refined]},
            below_hurdle=tuple(self._below_hurdle),
        )

    # Individuals

    def _by_index(self) -> dict[int, IndividualBase]:
        return {i.idx: i for i in [*self._offspring, *self._population.parents]}

    def _candidate(self, individual: IndividualBase) -> Candidate:
        parent = None if self._number == 0 else self._by_index()[individual.parent_idx]
        return self._reader.candidate(individual, parent, self._origin(individual))

    def _origin(self, individual: IndividualBase) -> Origin:
        if self._number == 0:
            return "given" if individual.idx < len(self._parameters.seed_rules) else "random"
        return "local search" if self._stage is Stage.REFINED else "mutation"

    # State

    def to_mapping(self) -> dict[str, Any]:
        """Return the generation as plain JSON types."""
        return {
            "stage": str(self._stage),
            # The initial population is its own parents.
            "offspring": None
            if self._number == 0
            else [individual_to_mapping(individual) for individual in self._offspring],
            "below_hurdle": self._below_hurdle,
            "searches": [search.to_mapping() for search in self._searches],
            "refined": [individual_to_mapping(individual) for individual in self._refined],
        }

    @classmethod
    def from_mapping(
        cls,
        item: Mapping[str, Any],
        number: int,
        parameters: EvolutionParameters,
        population: Population,
        input_names: tuple[str, ...],
        seed: int,
    ) -> Self:
        """Return the generation that wrote ``item``."""
        model = prototype(parameters, len(input_names))
        offspring = (
            population.parents
            if item["offspring"] is None
            else [individual_from_mapping(model, each) for each in item["offspring"]]
        )
        self = cls(number, parameters, population, input_names, seed, offspring)
        self._stage = Stage(item["stage"])
        self._below_hurdle = list(item["below_hurdle"])
        self._searches = [Search.from_mapping(each) for each in item["searches"]]
        self._refined = [individual_from_mapping(model, each) for each in item["refined"]]
        return self
