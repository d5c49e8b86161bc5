"""The expression of a genome against hal-cgp's own NumPy function of the same genome."""

from __future__ import annotations

import numpy as np
import pytest

from evolution.cgp import phenotype
from evolution.cgp.hal import cgp
from evolution.cgp.nodes import node_types
from evolution.cgp.parameters import EvolutionParameters
from nest_build.rules import RuleSyntaxError, parse

NAMES = ("v", "u", "s")


def random_genome(parameters: EvolutionParameters, seed: int) -> cgp.Genome:
    genome = cgp.Genome(
        n_inputs=3,
        n_outputs=1,
        n_columns=parameters.n_columns,
        n_rows=parameters.n_rows,
        levels_back=parameters.levels_back,
        primitives=node_types(parameters),
    )
    genome.randomize(np.random.RandomState(seed))
    return genome


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"primitives": ["Add", "Sub", "Mul", "Div", "One", "Tenth", "Ten"]},
        {"n_rows": 3, "levels_back": 2, "n_columns": 6},
        {"primitives": ["Mul", "Pow", "One", "Tenth"], "n_columns": 4},
        {"constants": [-0.5, 3.0, 1e-7]},
        {"primitives": ["Add", "Mul", "Parameter"], "parameter_initial_value": -0.7},
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_expression_has_the_values_of_the_genome(changes: dict) -> None:
    parameters = EvolutionParameters.from_mapping(changes)
    # Positive points: negative bases of powers are complex here and not a number in NumPy.
    points = np.random.RandomState(0).uniform(0.5, 2.0, (3, 50))
    for seed in range(60):
        genome = random_genome(parameters, seed)
        text = phenotype.expression_text(
            genome.dna, parameters, NAMES, genome._parameter_names_to_values
        )
        expected = cgp.IndividualSingleGenome(genome).to_numpy()(*points)
        values = parse(text, NAMES).evaluate(*points)
        finite = np.isfinite(expected)
        np.testing.assert_allclose(values[finite], expected[finite], rtol=1e-12)
        assert not np.any(np.isfinite(values[~finite]))


def test_constants_are_written_as_people_write_them() -> None:
    parameters = EvolutionParameters.from_mapping(
        {"primitives": ["Add", "One", "Tenth", "Ten"], "n_columns": 1}
    )
    texts = {
        phenotype.expression_text(random_genome(parameters, seed).dna, parameters, NAMES)
        for seed in range(100)
    }
    assert texts >= {"1", "0.1", "10", "v"}


def test_a_constant_divided_by_zero_is_an_expression_like_any_other() -> None:
    parameters = EvolutionParameters.from_mapping(
        {"primitives": ["Sub", "Div", "One"], "n_columns": 3}
    )
    inputs, one, zero, quotient = [-1, -3, -3] * 3, [2, 0, 0], [0, 3, 3], [1, 3, 4]
    dna = [*inputs, *one, *zero, *quotient, -2, 5, -3]
    assert phenotype.expression_text(dna, parameters, NAMES) == "(1 / (1 - 1))"


def test_text_that_doubles_with_every_column_is_refused_in_time() -> None:
    parameters = EvolutionParameters.from_mapping({"primitives": ["Sub"], "n_columns": 200})
    dna = [-1, -3, -3] * 3
    for column in range(200):
        dna += [0, 3 + column - 1 if column else 0, 3 + column - 2 if column > 1 else 1]
    dna += [-2, 202, -3]
    with pytest.raises(RuleSyntaxError, match="more than 2000 operators"):
        phenotype.expression_text(dna, parameters, NAMES)


@pytest.mark.parametrize("value", [0.5, -0.5])
@pytest.mark.parametrize("n_nodes", [97, 98, 99, 100])
def test_the_limits_are_those_of_the_language(
    n_nodes: int, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain of differences that begins with a tuned constant, which may have a sign."""
    parameters = EvolutionParameters.from_mapping(
        {"primitives": ["Sub", "Parameter"], "n_columns": 101}
    )
    dna = [-1, -3, -3] * 3 + [1, 0, 0]
    for column in range(1, 101):
        dna += [0, 3 + column - 1, 0]
    dna += [-2, 3 + n_nodes, -3]

    def text() -> str:
        return phenotype.expression_text(dna, parameters, NAMES, {"<p3>": value})

    with monkeypatch.context() as patch:
        patch.setattr(phenotype, "MAX_DEPTH", 1000)
        whole = text()
    try:
        parse(whole, NAMES)
    except RuleSyntaxError:
        with pytest.raises(RuleSyntaxError, match="levels deep"):
            text()
    else:
        assert text() == whole
