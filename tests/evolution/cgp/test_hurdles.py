"""Hurdles: the height as hal-cgp has it, and who is asked for what."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evolution.cgp.hurdles import hurdle_height
from evolution.cgp.parameters import EvolutionParameters
from tests.evolution.cgp.objectives import fitness_of_texts, run, start

HURDLE_TRIALS = 3
PERCENTILE = 0.6


def parameters_with(**changes: object) -> EvolutionParameters:
    return EvolutionParameters.from_mapping(
        {
            "hurdle_trials": HURDLE_TRIALS,
            "hurdle_percentile": PERCENTILE,
            "n_offspring": 8,
            "mutation_rate": 0.2,
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("fitness", "percentile", "expected"),
    [
        ([1.0, 2.0, 3.0], 0.5, 2.0),
        ([1.0, 1.0, 1.0, 1.0, 2.0], 0.5, 1.5),
        ([1.0, 4.0], 0.0, 1.0),
        ([1.0, 4.0], 1.0, 4.0),
        ([-math.inf, 1.0, 2.0], 0.5, 1.0),
        ([-math.inf, 1.0, 2.0], 0.75, 1.5),
        ([-math.inf, 1.0, 2.0], 0.25, -math.inf),
        ([-math.inf, 1.0], 0.0, -math.inf),
        ([-math.inf, -math.inf], 0.5, -math.inf),
    ],
)
def test_height_is_a_percentile_of_the_distinct_values(
    fitness: list[float], percentile: float, expected: float
) -> None:
    assert hurdle_height(fitness, percentile) == expected


@pytest.mark.parametrize("n_branches", [1, 2])
def test_offspring_below_the_hurdle_get_no_further_trials_and_do_not_survive(
    n_branches: int,
) -> None:
    parameters = parameters_with(reorder_genome=True)
    in_first_trials: dict[int, float] = {}
    fitness: dict[int, float] = {}
    parents: tuple[int, ...] = ()
    n_below = 0
    for _, requests, selection in run(start(parameters, n_branches=n_branches), 50):
        born = {candidate.index: candidate for candidate in requests[0].born}
        for candidate in born.values():
            texts = candidate.texts
            assert texts is not None
            in_first_trials[candidate.index] = fitness_of_texts(texts, HURDLE_TRIALS)
            fitness[candidate.index] = fitness_of_texts(texts)
        if selection.generation == 0:
            (request,) = requests
            asked = [(question.index, question.n_trials) for question in request.questions]
            assert asked == [(i, n) for i in born for n in (None, HURDLE_TRIALS)]
            parents = selection.parent_indices
            continue
        unknown = [index for index, candidate in born.items() if candidate.fitness is None]
        assert all(question.bound is None for question in requests[0].questions)
        assert [(q.index, q.n_trials) for q in requests[0].questions] == [
            (index, HURDLE_TRIALS) for index in unknown
        ]
        values = np.unique([in_first_trials[index] for index in (*born, *parents)])
        height = hurdle_height(values, PERCENTILE)
        below = tuple(index for index in unknown if in_first_trials[index] < height)
        assert selection.below_hurdle == below
        passed = [
            index for index in unknown if index not in below and in_first_trials[index] != -math.inf
        ]
        asked = [(q.index, q.n_trials) for request in requests[1:] for q in request.questions]
        assert asked == [(index, None) for index in passed]
        assert selection.fitness == {
            index: -math.inf if index in below else fitness[index] for index in born
        }
        # Parents keep their place whatever their first trials are worth.
        combined = [*(index for index in born if index not in below), *parents]
        expected = sorted(combined, key=fitness.__getitem__, reverse=True)[:4]
        assert selection.parent_indices == tuple(expected)
        parents = selection.parent_indices
        n_below += len(below)
    assert n_below > 50


def test_the_champion_survives_a_hurdle_that_it_would_fail() -> None:
    engine = start(parameters_with(hurdle_percentile=1.0))
    for number in range(4):
        selection = None
        while selection is None:
            # Later individuals are fitter in the first trials, earlier ones in all.
            selection = engine.tell(
                {
                    q.key: float(-q.index if q.n_trials is None else q.index)
                    for q in engine.ask().questions
                }
            )
        assert selection.generation == number
        assert selection.champion_fitness == 0.0


@pytest.mark.parametrize("n_branches", [1, 2])
def test_a_hurdle_that_everybody_passes_changes_nothing(n_branches: int) -> None:
    parameters = parameters_with(hurdle_percentile=0.0, mutation_rate=0.1)
    plain = parameters.with_changes({"hurdle_trials": None})
    with_hurdle = run(start(parameters, n_branches=n_branches), 30)
    without = run(start(plain, n_branches=n_branches), 30)
    for (_, _, one), (_, _, other) in zip(with_hurdle, without, strict=True):
        assert one.parent_indices == other.parent_indices
