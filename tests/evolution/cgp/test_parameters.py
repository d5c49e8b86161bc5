from __future__ import annotations

import pytest

from evolution.cgp.parameters import EvolutionParameters
from evolution.cgp.primitives import PRIMITIVES
from simulations.parameters import ParameterError


def test_defaults_survive_json() -> None:
    parameters = EvolutionParameters()
    assert EvolutionParameters.from_mapping(parameters.to_mapping()) == parameters


def test_every_primitive_that_may_be_chosen_exists() -> None:
    parameters = EvolutionParameters(primitives=tuple(PRIMITIVES))
    assert parameters.primitives == tuple(PRIMITIVES)


@pytest.mark.parametrize(
    ("changes", "name", "message"),
    [
        ({"n_parents": 0}, "n_parents", "greater than or equal to 1"),
        ({"mutation_rate": 0.0}, "mutation_rate", "greater than 0"),
        ({"mutation_rate": 1.5}, "mutation_rate", "less than or equal to 1"),
        ({"n_columns": "many"}, "n_columns", "valid integer"),
        ({"target_fitness": float("inf")}, "target_fitness", "finite"),
        ({"primitives": []}, "primitives", "at least one primitive"),
        ({"primitives": ["One"]}, "primitives", "that takes inputs"),
        ({"primitives": ["Add", "Add"]}, "primitives", "named twice"),
        ({"primitives": ["Eval"]}, "primitives", "Must be"),
        ({"tournament_size": 5}, "", "larger than the number of parents"),
        ({"levels_back": 13}, "", "larger than the number of columns"),
        ({"n_generation": 5}, "n_generation", "no such parameter"),
    ],
)
def test_what_does_not_fit_is_told(changes: dict, name: str, message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        EvolutionParameters.from_mapping(changes)
    assert list(caught.value.messages) == [name]
    assert message in " ".join(caught.value.messages[name])
