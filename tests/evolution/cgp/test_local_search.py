"""Local search against hal-cgp's own strategy, and its place in a generation."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from evolution.cgp.engine import Question
from evolution.cgp.hal import cgp
from evolution.cgp.local_search import Search
from evolution.cgp.parameters import EvolutionParameters
from evolution.cgp.phenotype import expression_text
from evolution.cgp.primitives import parameter_text
from nest_build.rules import parse
from tests.evolution.cgp.objectives import NAMES, engine_history, genome_params, run, start

if TYPE_CHECKING:
    from evolution.cgp.engine import Candidate

X, Y = np.random.RandomState(0).uniform(0.5, 2.0, (2, 12))


def parameters_with(**changes: Any) -> EvolutionParameters:
    return EvolutionParameters.from_mapping(
        {
            "primitives": ["Add", "Mul", "Parameter"],
            "n_columns": 6,
            "n_offspring": 8,
            "mutation_rate": 0.2,
            "local_search_steps": 3,
            "n_local_search": 2,
            **changes,
        }
    )


def fitness_of(texts: tuple[str, ...], n_trials: int | None = None) -> float:
    """Squared distance from 3*x - 1.7*y, which needs constants."""
    fitness = 0.0
    for text in texts:
        distances = parse(text, NAMES).evaluate(X, Y) - (3 * X - 1.7 * Y)
        fitness -= float(np.sum(distances[:n_trials] ** 2))
    return fitness if math.isfinite(fitness) else -math.inf


def answer(question: Question) -> float:
    return fitness_of(question.texts, question.n_trials)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"local_search_steps": 12, "local_search_population_size": 3},
        {"local_search_mirrored": False, "local_search_learning_rate_mu": 0.3},
        {"local_search_learning_rate_sigma": 0.7, "local_search_min_sigma": 0.04},
    ],
)
def test_a_search_is_that_of_hal_cgp(changes: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    # Hal-cgp's code is of the time of NumPy 1.18.
    monkeypatch.setattr(np, "float", float, raising=False)
    parameters = parameters_with(**changes)
    seed = (5, 6, 7)
    n_searched = 0
    for genome_seed in range(30):
        genome = cgp.Genome(**genome_params(parameters))
        genome.randomize(np.random.RandomState(genome_seed))
        individual = cgp.IndividualSingleGenome(genome)
        individual.idx, individual.parent_idx, individual.fitness = 0, -1, 0.0
        _, names = individual.parameters_to_numpy_array(only_active_nodes=True)

        def value(values: dict[str, float], alleles: list[int] = genome.dna) -> float:
            return fitness_of((expression_text(alleles, parameters, NAMES, values),))

        strategy = cgp.local_search.EvolutionStrategies(
            lambda each: value(each.genome._parameter_names_to_values),
            seed,
            learning_rate_mu=parameters.local_search_learning_rate_mu,
            learning_rate_sigma=parameters.local_search_learning_rate_sigma,
            population_size=parameters.local_search_population_size,
            max_steps=parameters.local_search_steps,
            min_sigma=parameters.local_search_min_sigma,
            mirrored_sampling=parameters.local_search_mirrored,
        )
        search = None
        if names:
            search = Search.begin(0, seed, [1.0] * len(names), [None] * len(names))
            for _ in range(parameters.local_search_steps):
                search = Search.from_mapping(json.loads(json.dumps(search.to_mapping())))
                search.learn(
                    [
                        value(dict(zip(names, probe, strict=True)))
                        for probe in search.probes(parameters)
                    ],
                    parameters,
                )
        strategy(individual)
        if search is not None:
            n_searched += 1
            means, _ = individual.parameters_to_numpy_array(only_active_nodes=True)
            np.testing.assert_allclose(search.means, means, rtol=1e-9)
            sigma = [strategy.sigma[0][name] for name in names]
            np.testing.assert_allclose(search.step_sizes, sigma, rtol=1e-9)
    assert n_searched > 8


def test_a_search_finds_constants() -> None:
    parameters = parameters_with(local_search_steps=200)
    search = Search.begin(0, (1,), [1.0, 1.0], [None, None])
    for _ in range(200):
        probes = search.probes(parameters)
        search.learn([-float(np.sum((p - [3.0, -0.5]) ** 2)) for p in probes], parameters)
    np.testing.assert_allclose(search.means, [3.0, -0.5], atol=1e-3)


def test_a_step_out_of_the_finite_numbers_is_not_taken() -> None:
    parameters = parameters_with(local_search_learning_rate_mu=100.0)
    search = Search.begin(0, (1,), [1e308], [1e308])
    search.learn([float(i) for i in range(len(search.probes(parameters)))], parameters)
    assert np.isfinite(search.means).all()
    assert search.n_steps_done == 1


@pytest.mark.parametrize("n_branches", [1, 2])
@pytest.mark.parametrize("hurdle", [{}, {"hurdle_trials": 4, "hurdle_percentile": 0.4}])
def test_refined_individuals_are_new_and_take_the_place_of_the_original(
    n_branches: int, hurdle: dict
) -> None:
    parameters = parameters_with(**hurdle, reorder_genome=True)
    known: dict[int, Candidate] = {}
    fitness: dict[int, float] = {}
    parents: tuple[int, ...] = ()
    champion = -math.inf
    n_refined = 0
    for _, requests, selection in run(start(parameters, n_branches=n_branches), 30, answer=answer):
        born = [candidate for request in requests for candidate in request.born]
        assert [candidate.index for candidate in born] == list(
            range(len(known), len(known) + len(born))
        )
        known |= {candidate.index: candidate for candidate in born}
        assert selection.fitness.keys() == {candidate.index for candidate in born}
        fitness |= selection.fitness
        refined = {c.parent_index: c for c in born if c.origin == "local search"}
        n_refined += len(refined)
        for candidate in refined.values():
            assert candidate.texts is not None
            assert candidate.fitness == fitness[candidate.index] == fitness_of(candidate.texts)
            original = known[candidate.parent_index]
            assert candidate.fitness > fitness[original.index]
            assert candidate.mutated_genes == ((),) * n_branches
            assert candidate.texts == tuple(
                expression_text(alleles, parameters, NAMES, values)
                for alleles, values in zip(candidate.genomes, candidate.parameters, strict=True)
            )
        if selection.generation > 0:
            offspring = [
                c.index
                for c in born
                if c.origin == "mutation" and c.index not in selection.below_hurdle
            ]
            combined = sorted([*offspring, *parents], key=fitness.__getitem__, reverse=True)
            # Only the fittest are searched.
            assert refined.keys() <= set(combined[: parameters.n_local_search])
            replaced = [refined[i].index if i in refined else i for i in combined]
            survivors = sorted(replaced, key=fitness.__getitem__, reverse=True)[:4]
            assert selection.parent_indices == tuple(survivors)
        probes = [q for request in requests[1:] for q in request.questions if q.index is None]
        assert all(question.n_trials is None for question in probes)
        parents = selection.parent_indices
        assert selection.champion_fitness >= champion
        champion = selection.champion_fitness
    assert n_refined > 5


def test_local_search_finds_what_evolution_alone_cannot() -> None:
    with_search = engine_history(parameters_with(n_local_search=4), 40, answer=answer)
    without = engine_history(parameters_with(local_search_steps=0), 40, answer=answer)
    assert with_search[-1][1] > without[-1][1]


def test_step_sizes_are_handed_on_to_offspring() -> None:
    engine = start(parameters_with(reorder_genome=True))
    for now, _, _ in run(engine, 10, answer=answer):
        now.ask()
    state = now.to_state()
    by_index = {parent["index"]: parent for parent in state["parents"]}
    n_handed_on = 0
    for offspring in state["pending"]["offspring"]:
        parent = by_index[offspring["parent_index"]]
        assert offspring["step_sizes"] == parent["step_sizes"]
        assert set(parent["step_sizes"][0]) <= set(parent["parameters"][0])
        n_handed_on += bool(offspring["step_sizes"][0])
    assert n_handed_on


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1.0"), (-0.5, "(-0.5)"), (1e-07, "1e-07"), (-1.5e300, "(-1.5e+300)"), (0.1, "0.1")],
)
def test_parameters_are_written_exactly(value: float, text: str) -> None:
    assert parameter_text(value) == text
    assert parse(text, NAMES).evaluate(0.0, 0.0) == value
