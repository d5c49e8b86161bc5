"""The expression of a genome against hal-cgp's own NumPy function of the same genome."""

from __future__ import annotations

import numpy as np
import pytest

from evolution.cgp import phenotype
from evolution.cgp.hal import cgp
from evolution.cgp.parameters import EvolutionParameters
from evolution.cgp.primitives import PRIMITIVES
from nest_build.rules import RuleSyntaxError, parse

NAMES = ("v", "u", "s")


def random_genome(parameters: EvolutionParameters, seed: int) -> cgp.Genome:
    genome = cgp.Genome(
        n_inputs=3,
        n_outputs=1,
        n_columns=parameters.n_columns,
        n_rows=parameters.n_rows,
        levels_back=parameters.levels_back,
        primitives=tuple(PRIMITIVES[name] for name in parameters.primitives),
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
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_expression_has_the_values_of_the_genome(changes: dict) -> None:
    parameters = EvolutionParameters.from_mapping(changes)
    # Positive points: negative bases of powers are complex here and not a number in NumPy.
    points = np.random.RandomState(0).uniform(0.5, 2.0, (3, 50))
    for seed in range(60):
        genome = random_genome(parameters, seed)
        text = phenotype.expression_text(genome.dna, parameters, NAMES)
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
    with pytest.raises(RuleSyntaxError, match="longer than"):
        phenotype.expression_text(dna, parameters, NAMES)
