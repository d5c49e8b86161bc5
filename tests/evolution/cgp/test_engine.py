"""The engine against hal-cgp's own loop, driven in memory with the same objective."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from evolution.cgp.engine import Engine
from evolution.cgp.hal import cgp
from evolution.cgp.parameters import EvolutionParameters
from evolution.cgp.primitives import PRIMITIVES

N_GENERATIONS = 60
POINTS = np.random.RandomState(0).uniform(-2.0, 2.0, (2, 20))


def fitness_of(genomes: tuple[tuple[int, ...], ...], parameters: EvolutionParameters) -> float:
    """Distance from x0 * (x0 - x1), coarse so that ties occur, minus infinity where invalid."""
    total = 0.0
    for alleles in genomes:
        genome = cgp.Genome(**genome_params(parameters))
        genome.dna = list(alleles)
        with np.errstate(all="ignore"):
            values = cgp.CartesianGraph(genome).to_numpy()(*POINTS)
        if not np.all(np.abs(values) < 3.0):
            return -math.inf
        total -= float(np.sum(np.abs(values - POINTS[0] * (POINTS[0] - POINTS[1]))))
    return round(total, 1)


def genome_params(parameters: EvolutionParameters) -> dict[str, Any]:
    return {
        "n_inputs": 2,
        "n_outputs": 1,
        "n_columns": parameters.n_columns,
        "n_rows": parameters.n_rows,
        "levels_back": parameters.levels_back,
        "primitives": tuple(PRIMITIVES[name] for name in parameters.primitives),
    }


def genomes_of(individual: Any) -> tuple[tuple[int, ...], ...]:
    genome = individual.genome
    genomes = genome if isinstance(genome, list) else [genome]
    return tuple(tuple(map(int, item.dna)) for item in genomes)


def hal_cgp_history(parameters: EvolutionParameters, n_branches: int, seed: int) -> list[Any]:
    """Run hal-cgp's own strategy; per generation: surviving parents and the champion."""

    def objective(individual: Any) -> Any:
        if individual.fitness_is_None():
            individual.fitness = fitness_of(genomes_of(individual), parameters)
        return individual

    params = genome_params(parameters)
    population = cgp.Population(
        parameters.n_parents, seed, params if n_branches == 1 else [params] * n_branches
    )
    strategy = cgp.ea.MuPlusLambda(
        parameters.n_offspring,
        parameters.mutation_rate,
        tournament_size=parameters.tournament_size,
    )
    strategy.initialize_fitness_parents(population, objective)
    history = [snapshot(population)]
    for _ in range(N_GENERATIONS):
        strategy.step(population, objective)
        history.append(snapshot(population))
    return history


def snapshot(population: Any) -> Any:
    return (
        population.champion.idx,
        population.champion.fitness,
        [(p.idx, p.parent_idx, p.fitness, genomes_of(p)) for p in population.parents],
    )


def engine_history(
    parameters: EvolutionParameters, n_branches: int, seed: int, *, save: bool
) -> list[Any]:
    engine = Engine.start(parameters, n_inputs=2, n_branches=n_branches, seed=seed)

    def saved(engine: Engine) -> Engine:
        return Engine.from_state(parameters, json.loads(json.dumps(engine.to_state())))

    history = []
    for generation in range(N_GENERATIONS + 1):
        candidates = engine.ask()
        if save:
            engine = saved(engine)
            assert engine.ask() == candidates
        assert engine.generation == generation
        selection = engine.tell(
            {
                candidate.index: fitness_of(candidate.genomes, parameters)
                for candidate in candidates
                if candidate.fitness is None
            }
        )
        if save:
            engine = saved(engine)
        assert selection.generation == generation
        survivors = [
            (
                item["index"],
                item["parent_index"],
                float(item["fitness"]),
                tuple(map(tuple, item["genomes"])),
            )
            for item in engine.to_state()["parents"]
        ]
        history.append((selection.champion_index, selection.champion_fitness, survivors))
    return history


CASES = {
    "one genome": ({}, 1),
    "two genomes": ({"n_columns": 5, "primitives": tuple(PRIMITIVES)}, 2),
    "tournament and rows": (
        {"n_parents": 5, "n_offspring": 7, "tournament_size": 3, "n_rows": 2, "levels_back": 4},
        1,
    ),
    "strong mutation": ({"mutation_rate": 0.4, "n_parents": 2, "n_offspring": 6}, 1),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("seed", [1, 2, 2**32 - 1])
@pytest.mark.parametrize("case", CASES)
def test_history_is_that_of_hal_cgp_also_when_saved_at_every_step(case: str, seed: int) -> None:
    changes, n_branches = CASES[case]
    parameters = EvolutionParameters.from_mapping(changes)
    reference = hal_cgp_history(parameters, n_branches, seed)
    assert engine_history(parameters, n_branches, seed, save=False) == reference
    assert engine_history(parameters, n_branches, seed, save=True) == reference


def test_rules_that_fail_occur_in_these_histories() -> None:
    history = hal_cgp_history(EvolutionParameters(), n_branches=1, seed=2)
    assert any(fitness == -math.inf for _, _, parents in history for _, _, fitness, _ in parents)


def test_offspring_with_only_inactive_mutations_keep_the_fitness_of_their_parent() -> None:
    parameters = EvolutionParameters.from_mapping({"mutation_rate": 0.02})
    engine = Engine.start(parameters, n_inputs=2, n_branches=1, seed=3)
    fitness = {c.index: float(c.index) for c in engine.ask()}
    engine.tell(fitness)
    inherited = [c for c in engine.ask() if c.fitness is not None]
    assert inherited
    for candidate in inherited:
        assert candidate.fitness == fitness[candidate.parent_index]


def test_asking_twice_breeds_once() -> None:
    engine = Engine.start(EvolutionParameters(), n_inputs=2, n_branches=1, seed=3)
    engine.tell({candidate.index: 0.0 for candidate in engine.ask()})
    assert engine.ask() == engine.ask()
    assert [candidate.index for candidate in engine.ask()] == [4, 5, 6, 7]


def test_a_fitness_that_is_not_a_number_is_refused() -> None:
    engine = Engine.start(EvolutionParameters(), n_inputs=2, n_branches=1, seed=3)
    with pytest.raises(ValueError, match="not a number"):
        engine.tell({candidate.index: math.nan for candidate in engine.ask()})


def test_a_state_of_another_version_is_refused() -> None:
    engine = Engine.start(EvolutionParameters(), n_inputs=2, n_branches=1, seed=3)
    state = engine.to_state() | {"version": 99}
    with pytest.raises(ValueError, match="version 99"):
        Engine.from_state(EvolutionParameters(), state)
