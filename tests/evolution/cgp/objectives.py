"""A toy objective for engines, and hal-cgp's own loop with the same objective."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from evolution.cgp.engine import Engine, Request, Selection
from evolution.cgp.hal import cgp
from evolution.cgp.nodes import node_types
from evolution.cgp.phenotype import expression_text
from nest_build.rules import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from evolution.cgp.engine import Question
    from evolution.cgp.parameters import EvolutionParameters

NAMES = ("x", "y")
N_TRIALS = 20
POINTS = np.random.RandomState(0).uniform(-2.0, 2.0, (2, N_TRIALS))


@cache
def fitness_of_texts(texts: tuple[str, ...], n_trials: int | None = None) -> float:
    """Distance from x * (x - y), coarse so that ties occur, minus infinity where invalid."""
    x, y = POINTS
    fitness = 0.0
    for text in texts:
        values = parse(text, NAMES).evaluate(x, y)[:n_trials]
        # Not equal to itself: not a number.
        if not np.all(np.abs(values) < 3.0):
            return -math.inf
        fitness -= float(np.sum(np.abs(values - (x * (x - y))[:n_trials])))
    return round(fitness, 1)


def fitness_of_genomes(genomes: Sequence[Any], parameters: EvolutionParameters) -> float:
    """Fitness of an individual of hal-cgp; the expressions have the values of its own function."""
    texts = []
    for genome in genomes:
        texts.append(
            expression_text(genome.dna, parameters, NAMES, genome._parameter_names_to_values)
        )
        with np.errstate(all="ignore"):
            expected = cgp.CartesianGraph(genome).to_numpy()(*POINTS)
            values = parse(texts[-1], NAMES).evaluate(*POINTS)
        # Powers may leave the real numbers, which hal-cgp's functions cannot.
        finite = np.isfinite(expected)
        np.testing.assert_allclose(values[finite], expected[finite], rtol=1e-12)
    return fitness_of_texts(tuple(texts))


def answer(question: Question) -> float:
    """Fitness that a question asks for."""
    return fitness_of_texts(question.texts, question.n_trials)


def saved(engine: Engine) -> Engine:
    """The engine written down and read back, as a database with its own order of keys does."""
    state = json.dumps(engine.to_state(), sort_keys=True, allow_nan=False)
    return Engine.from_state(engine.parameters, json.loads(state))


def start(parameters: EvolutionParameters, *, n_branches: int = 1, seed: int = 3) -> Engine:
    """An engine for the toy objective."""
    return Engine.start(parameters, input_names=NAMES, n_branches=n_branches, seed=seed)


def run(
    engine: Engine,
    n_generations: int,
    *,
    save: bool = False,
    answer: Callable[[Question], float] = answer,
) -> Iterator[tuple[Engine, list[Request], Selection]]:
    """Engine, requests and selection of each generation, the initial population included."""
    for number in range(n_generations + 1):
        requests: list[Request] = []
        selection = None
        while selection is None:
            request = engine.ask()
            if save:
                engine = saved(engine)
                assert engine.ask() == request
            assert engine.generation == request.generation == number
            requests.append(request)
            selection = engine.tell({q.key: answer(q) for q in request.questions})
            if save:
                engine = saved(engine)
        assert selection.generation == number
        yield engine, requests, selection


def engine_history(
    parameters: EvolutionParameters,
    n_generations: int,
    *,
    n_branches: int = 1,
    seed: int = 3,
    save: bool = False,
    answer: Callable[[Question], float] = answer,
) -> list[Any]:
    """Per generation: the champion, and the surviving parents with their genomes as they are."""
    engine = start(parameters, n_branches=n_branches, seed=seed)
    history = []
    for now, _, selection in run(engine, n_generations, save=save, answer=answer):
        parents = [
            (
                item["index"],
                item["parent_index"],
                float(item["fitness"]),
                tuple(map(tuple, item["genomes"])),
            )
            for item in now.to_state()["parents"]
        ]
        assert selection.parent_indices == tuple(parent[0] for parent in parents)
        history.append((selection.champion_index, selection.champion_fitness, parents))
    return history


def hal_cgp_history(
    parameters: EvolutionParameters, n_generations: int, *, n_branches: int = 1, seed: int = 3
) -> list[Any]:
    """The same of hal-cgp's own strategy."""

    def objective(individual: Any) -> Any:
        if individual.fitness_is_None():
            individual.fitness = fitness_of_genomes(_genomes(individual), parameters)
        return individual

    params = genome_params(parameters)
    population = cgp.Population(
        parameters.n_parents, seed, params if n_branches == 1 else [params] * n_branches
    )
    strategy = cgp.ea.MuPlusLambda(
        parameters.n_offspring,
        parameters.mutation_rate,
        tournament_size=parameters.tournament_size,
        reorder_genome=parameters.reorder_genome,
    )
    strategy.initialize_fitness_parents(population, objective)
    history = [_snapshot(population)]
    for _ in range(n_generations):
        strategy.step(population, objective)
        history.append(_snapshot(population))
    return history


def genome_params(parameters: EvolutionParameters, n_inputs: int = len(NAMES)) -> dict[str, Any]:
    """Arguments of hal-cgp's Genome."""
    return {
        "n_inputs": n_inputs,
        "n_outputs": 1,
        "n_columns": parameters.n_columns,
        "n_rows": parameters.n_rows,
        "levels_back": parameters.levels_back,
        "primitives": node_types(parameters),
    }


def _genomes(individual: Any) -> list[Any]:
    genome = individual.genome
    return genome if isinstance(genome, list) else [genome]


def _snapshot(population: Any) -> Any:
    return (
        population.champion.idx,
        population.champion.fitness,
        [
            (
                parent.idx,
                parent.parent_idx,
                parent.fitness,
                tuple(tuple(map(int, genome.dna)) for genome in _genomes(parent)),
            )
            for parent in population.parents
        ],
    )
