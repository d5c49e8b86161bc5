from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from evolution.cgp.parameters import EvolutionParameters, PrimitiveName
from evolution.cgp.primitives import CONSTANTS, OPERATORS, PARAMETER, primitives_of
from nest_build.rules import RuleInput, RuleSignature
from simulations.parameters import ParameterError


def test_defaults_survive_json() -> None:
    parameters = EvolutionParameters()
    assert EvolutionParameters.from_mapping(parameters.to_mapping()) == parameters


def test_every_primitive_that_may_be_chosen_exists() -> None:
    names = (*OPERATORS, *CONSTANTS, PARAMETER)
    assert set(names) == set(get_args(PrimitiveName))
    parameters = EvolutionParameters(primitives=names)
    assert tuple(primitive.name for primitive in primitives_of(parameters)) == names


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
        ({"max_evaluations": 0}, "max_evaluations", "greater than or equal to 1"),
        ({"max_wall_time_s": 0.0}, "max_wall_time_s", "greater than 0"),
        ({"stagnation_generations": 0}, "stagnation_generations", "greater than or equal to 1"),
        ({"constants": [2.0, 2.0]}, "constants", "named twice"),
        ({"constants": [float("nan")]}, "constants", "finite"),
        ({"constants": list(range(17))}, "constants", "at most 16"),
        ({"constants": [1.0]}, "", "1 is chosen already: it is the primitive One"),
        ({"parameter_initial_value": float("inf")}, "parameter_initial_value", "finite"),
        ({"reorder_genome": True, "n_rows": 2}, "", "can be reordered only with one row"),
        ({"reorder_genome": True, "levels_back": 3}, "", "can be reordered only with one row"),
        ({"hurdle_percentile": 0.5}, "", "needs a number of hurdle trials"),
        ({"hurdle_trials": 2, "hurdle_percentile": 1.5}, "hurdle_percentile", "less than or"),
        ({"local_search_steps": 3}, "", "needs the primitive Parameter"),
        (
            {"primitives": ["Add", "Parameter"], "local_search_steps": 3, "n_local_search": 9},
            "",
            "asked for 9 individuals, and there are 8",
        ),
        ({"seed_rules": ["v", " "]}, "seed_rules", "A rule is empty"),
        ({"seed_rules": ["v"] * 5}, "", "more given rules (5) than parents (4)"),
    ],
)
def test_what_does_not_fit_is_told(changes: dict, name: str, message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        EvolutionParameters.from_mapping(changes)
    assert list(caught.value.messages) == [name]
    assert message in " ".join(caught.value.messages[name])


def test_everything_that_does_not_fit_together_is_told_at_once() -> None:
    changes = {"tournament_size": 9, "hurdle_percentile": 0.5, "local_search_steps": 1}
    with pytest.raises(ParameterError) as caught:
        EvolutionParameters.from_mapping(changes)
    (text,) = caught.value.messages[""]
    assert "tournament size" in text
    assert "hurdle trials" in text
    assert "Local search" in text


def test_options_that_fit_together_are_accepted() -> None:
    parameters = EvolutionParameters.from_mapping(
        {
            "primitives": ["Add", "Mul", "Parameter"],
            "constants": [2.0, -0.5],
            "reorder_genome": True,
            "levels_back": 12,
            "hurdle_trials": 2,
            "hurdle_percentile": 0.5,
            "local_search_steps": 2,
            "n_local_search": 8,
            "seed_rules": [" v*u "],
            "max_evaluations": 100,
            "max_wall_time_s": 3.5,
            "stagnation_generations": 10,
        }
    )
    assert parameters.seed_rules == ("v*u",)
    assert EvolutionParameters.from_mapping(parameters.to_mapping()) == parameters


ONE_BRANCH = RuleSignature((RuleInput("v", "", ""), RuleInput("u", "", "")), ("delta_w",))
TWO_BRANCHES = RuleSignature(ONE_BRANCH.inputs, ("depress", "facilitate"))


def test_what_fits_the_learning_task_is_accepted() -> None:
    EvolutionParameters().check_against(ONE_BRANCH, 1)
    parameters = EvolutionParameters.from_mapping(
        {"hurdle_trials": 2, "seed_rules": ["v; u", "v*u ; 1"]}
    )
    parameters.check_against(TWO_BRANCHES, 3)


def test_what_does_not_fit_the_learning_task_is_told_by_field() -> None:
    parameters = EvolutionParameters.from_mapping(
        {"hurdle_trials": 3, "seed_rules": ["v", "v; u", "q", "v**u"]}
    )
    with pytest.raises(ParameterError) as caught:
        parameters.check_against(ONE_BRANCH, 3)
    messages = caught.value.messages
    assert list(messages) == ["hurdle_trials", "seed_rules"]
    assert messages["hurdle_trials"] == [
        "A hurdle of 3 trials saves nothing where there are 3 in all."
    ]
    two, unknown, power = messages["seed_rules"]
    assert two == "The rule 'v; u' must have 1 expression; it has 2."
    assert "Unknown name 'q'" in unknown
    assert power == "The rule 'v**u' needs the primitive Pow, which is not chosen."


def test_help_is_there_for_every_parameter() -> None:
    for description in EvolutionParameters.descriptions().values():
        assert description.help.endswith(".")
        assert description.group


def test_pages_that_show_parameters_and_genomes_load_nothing_slow() -> None:
    code = (
        "import sys, evolution.cgp.parameters, evolution.cgp.genome_graph, evolution.cgp.stopping;"
        "print(sorted({'numpy', 'cgp', 'symengine', 'llvmlite'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert result.stdout.strip() == b"[]"
