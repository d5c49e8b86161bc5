from __future__ import annotations

import math
from dataclasses import replace

import pytest

from evolution.cgp.parameters import EvolutionParameters
from evolution.cgp.stopping import Progress, criterion_met

PROGRESS = Progress(
    generation=10,
    champion_fitness=1.5,
    improved_generation=7,
    n_evaluations=40,
    wall_time_s=6.0,
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"n_generations": 10}, "generations"),
        ({"n_generations": 11}, None),
        ({"target_fitness": 1.5}, "target"),
        ({"target_fitness": 1.6}, None),
        ({"stagnation_generations": 3}, "stagnation"),
        ({"stagnation_generations": 4}, None),
        ({"max_evaluations": 40}, "evaluations"),
        ({"max_evaluations": 41}, None),
        ({"max_wall_time_s": 6.0}, "wall time"),
        ({"max_wall_time_s": 6.1}, None),
        ({"target_fitness": 1.0, "n_generations": 10, "max_evaluations": 1}, "target"),
    ],
)
def test_a_run_ends_when_a_criterion_is_met(changes: dict, expected: str | None) -> None:
    assert criterion_met(EvolutionParameters.from_mapping(changes), PROGRESS) == expected


def test_a_champion_that_fails_reaches_no_target() -> None:
    parameters = EvolutionParameters(target_fitness=-1e300)
    assert criterion_met(parameters, replace(PROGRESS, champion_fitness=-math.inf)) is None
