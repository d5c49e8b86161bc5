"""Rules as genomes: read back, they mean the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evolution.cgp.encoding import EncodedGenome, EncodingError, encode, encode_rule
from evolution.cgp.hal import cgp
from evolution.cgp.parameters import EvolutionParameters
from evolution.cgp.phenotype import expression_text
from evolution.cgp.primitives import CONSTANTS, OPERATORS
from nest_build.rules import Expression, parse
from nest_build.rules.language import make_expression
from nest_build.rules.tree import Binary, Input, Neg, Number
from tests.evolution.cgp.objectives import genome_params

NAMES = ("v", "u", "s")
ALL = (*OPERATORS, *CONSTANTS)

_thorough = settings(max_examples=80, deadline=None)


def trees(numbers: st.SearchStrategy[float], *, powers: bool = True) -> st.SearchStrategy:
    """Trees of the rule language over three inputs."""
    leaves = st.builds(Input, st.integers(0, 2)) | st.builds(Number, numbers)

    def grown(inner: st.SearchStrategy) -> st.SearchStrategy:
        compound = st.builds(Binary, st.sampled_from("+-*/"), inner, inner) | st.builds(Neg, inner)
        if powers:
            exponents = st.builds(Number, st.sampled_from([0.0, 1.0, 2.0, 3.0, 5.0, 0.5]))
            signed = exponents | st.builds(Neg, exponents)
            compound |= st.builds(Binary, st.just("**"), inner, signed)
        return compound

    return st.recursive(leaves, grown, max_leaves=8)


def planted(encoded: EncodedGenome, parameters: EvolutionParameters, seed: int) -> cgp.Genome:
    """A random genome with the encoded genes, which hal-cgp has found valid."""
    genome = cgp.Genome(**genome_params(parameters, len(NAMES)))
    genome.randomize(np.random.RandomState(seed))
    genome.dna = encoded.onto(genome.dna)
    genome._parameter_names_to_values.update(encoded.parameters)
    return genome


def decoded(genome: cgp.Genome, parameters: EvolutionParameters) -> Expression:
    """The rule of a genome."""
    return parse(
        expression_text(genome.dna, parameters, NAMES, genome._parameter_names_to_values), NAMES
    )


GRIDS = {
    "columns": {"n_columns": 40},
    "rows": {"n_columns": 12, "n_rows": 4},
    "levels back": {"n_columns": 40, "levels_back": 6},
    "rows and levels back": {"n_columns": 14, "n_rows": 4, "levels_back": 3},
}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("primitives", [ALL, ("Add", "Sub", "Mul", "Div", "One")])
@_thorough
@given(
    tree=trees(st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.0, 10.0, 0.25])),
    seed=st.integers(0, 2**32 - 1),
)
def test_an_encoded_rule_means_the_same(
    grid: str, primitives: tuple[str, ...], tree: object, seed: int
) -> None:
    parameters = EvolutionParameters.from_mapping({**GRIDS[grid], "primitives": primitives})
    expression = make_expression(tree, NAMES)
    try:
        encoded = encode(expression, parameters)
    except EncodingError as error:
        # Seldom: two in a hundred of these rules.
        is_known = "Pow, which is not chosen" in str(error) or "does not fit" in str(error)
        # What cannot be simplified, such as (0**-1)**-0.5, is only known to mean itself.
        is_opaque = expression.canonical() is expression
        assume(not is_known and not is_opaque)
        raise
    genome = planted(encoded, parameters, seed)
    assert decoded(genome, parameters).fingerprint() == expression.fingerprint()


@_thorough
@given(
    tree=trees(st.floats(0.0, 1e6).map(lambda value: float(f"{value:.6g}")), powers=False),
    seed=st.integers(0, 2**32 - 1),
)
def test_with_parameter_nodes_every_number_can_be_written(tree: object, seed: int) -> None:
    parameters = EvolutionParameters.from_mapping(
        {"primitives": ("Add", "Sub", "Mul", "Div", "Parameter"), "n_columns": 40}
    )
    expression = make_expression(tree, NAMES)
    genome = planted(encode(expression, parameters), parameters, seed)
    assert decoded(genome, parameters).fingerprint() == expression.fingerprint()


@pytest.mark.parametrize(
    "changes",
    [
        {"primitives": ALL},
        {"primitives": ("Sub", "Mul", "Tenth"), "n_columns": 20},
        {"constants": (-0.25, 3.0), "n_columns": 6},
        {"primitives": ("Add", "Div", "Parameter"), "parameter_initial_value": -1.5},
    ],
)
def test_the_rule_of_every_genome_fits_the_grid_it_came_from(changes: dict) -> None:
    parameters = EvolutionParameters.from_mapping(changes)
    for seed in range(150):
        genome = cgp.Genome(**genome_params(parameters, len(NAMES)))
        genome.randomize(np.random.RandomState(seed))
        rule = decoded(genome, parameters)
        copy = planted(encode(rule, parameters), parameters, seed + 1)
        assert decoded(copy, parameters).fingerprint() == rule.fingerprint()


@pytest.mark.parametrize(
    ("text", "changes", "n_nodes"),
    [
        ("v", {}, 0),
        ("(v - u)*s", {}, 2),
        # Half of the product is computed once.
        ("(v - u)*(v - u)", {}, 2),
        ("v*u + u*v", {}, 2),
        # Twice is a sum.
        ("2*(v - u)*s", {}, 3),
        ("v**8", {}, 3),
        ("1/v**2", {}, 3),
        ("v**2", {"primitives": ["Pow", "Add", "One"]}, 3),
        ("-v", {}, 2),
        ("-(v - u)", {}, 1),
        ("v + (-u)", {}, 1),
        ("v*10", {"primitives": ["Div", "Tenth"]}, 2),
        ("v - 0.5", {"primitives": ["Add"], "constants": [-0.5]}, 2),
        ("-2.5*v", {"primitives": ["Mul", "Parameter"]}, 2),
        ("0", {}, 1),
    ],
)
def test_few_nodes_are_used(text: str, changes: dict, n_nodes: int) -> None:
    parameters = EvolutionParameters.from_mapping(changes)
    assert len(encode(parse(text, NAMES), parameters).nodes) == n_nodes


def test_what_fits_in_its_canonical_form_only_is_written_so() -> None:
    parameters = EvolutionParameters.from_mapping({"n_columns": 2})
    encoded = encode(parse("(v + u - u - u)*s/1", NAMES), parameters)
    assert len(encoded.nodes) == 2


def test_each_branch_has_a_genome() -> None:
    parameters = EvolutionParameters()
    first, second = encode_rule("v ; u*s", parameters, NAMES, 2)
    assert (first.nodes, first.output) == ({}, 0)
    assert second.output == 3


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        ("v +", {}, "The rule 'v +' cannot be read: A number or an input is missing"),
        ("v*q", {}, "Unknown name 'q'"),
        ("__import__('os')", {}, "cannot be read"),
        ("v; u", {}, "must have 1 expression; it has 2"),
        ("v**0.5", {}, "The rule 'v**0.5' needs the primitive Pow, which is not chosen."),
        ("-v", {"primitives": ["Add", "Mul"]}, "needs the primitive Sub, which is not chosen"),
        ("v/u", {"primitives": ["Add", "Mul"]}, "needs the primitive Div"),
        ("0.37*v", {}, "needs the number 0.37, which cannot be made of the chosen constants"),
        ("1e300*v", {}, "needs the number 1e+300"),
        (
            "(v - u)*(v + s)",
            {"n_columns": 2},
            "does not fit the grid: it needs 3 nodes, and the genome has 2 columns of 1",
        ),
        ("v*u*s + v", {"n_rows": 4, "n_columns": 2}, "does not fit the grid"),
        ("(v + u)*(v - s) + v*u", {"levels_back": 1}, "and 1 levels back"),
    ],
)
def test_what_does_not_fit_is_told(text: str, changes: dict, message: str) -> None:
    with pytest.raises(EncodingError) as caught:
        encode_rule(text, EvolutionParameters.from_mapping(changes), NAMES, 1)
    assert message in str(caught.value)
