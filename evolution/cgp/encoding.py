"""From rule to genome: nodes that compute a given expression.

The opposite of :mod:`evolution.cgp.phenotype`. A rule is parsed by the rule language and never
evaluated; what a genome has no node for is written with those it has: powers as products, signs
and numbers as differences, sums and products of constants. The result means the same as the rule,
though its text may differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evolution.cgp.lowering import Builder, EncodingError
from evolution.cgp.phenotype import expression_text
from evolution.cgp.placement import Graph, Placed, place
from evolution.cgp.primitives import max_arity, parameter_name, primitives_of
from nest_build.rules import Expression, RuleSyntaxError, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evolution.cgp.parameters import EvolutionParameters

__all__ = ["BRANCH_SEPARATOR", "EncodedGenome", "EncodingError", "encode", "encode_rule"]

#: What separates the branches of a rule in one text.
BRANCH_SEPARATOR = ";"


@dataclass(frozen=True)
class EncodedGenome:
    """The genes that a rule needs; all others are free.

    Attributes
    ----------
    nodes : dict of int to tuple of int
        Function and addresses of each node in use, by its address.
    output : int
        Address that the output reads.
    parameters : dict of str to float
        Values of the parameter nodes in use, by hal-cgp's name.
    region_length : int
        Number of genes of each input, node and output.
    """

    nodes: dict[int, tuple[int, ...]]
    output: int
    parameters: dict[str, float]
    region_length: int

    def onto(self, alleles: Sequence[int]) -> list[int]:
        """Return a genome with these genes, and the given ones elsewhere."""
        genome = list(alleles)
        for address, genes in self.nodes.items():
            start = address * self.region_length
            genome[start : start + len(genes)] = genes
        genome[1 - self.region_length] = self.output
        return genome


def encode_rule(
    text: str, parameters: EvolutionParameters, input_names: Sequence[str], n_branches: int
) -> tuple[EncodedGenome, ...]:
    """Return a genome for each branch of a rule.

    Parameters
    ----------
    text : str
        One expression, or one for each branch with semicolons between them.
    parameters : EvolutionParameters
        Shape and primitives of the genomes.
    input_names : sequence of str
    n_branches : int

    Raises
    ------
    EncodingError
        If the text is not a rule, needs a primitive that is not chosen, or does not fit the grid.
    """
    branches = text.split(BRANCH_SEPARATOR)
    if len(branches) != n_branches:
        plural = "" if n_branches == 1 else "s, separated by semicolons"
        raise EncodingError(
            f"The rule '{text}' must have {n_branches} expression{plural}; it has {len(branches)}."
        )
    genomes = []
    for branch in branches:
        try:
            expression = parse(branch.strip(), input_names)
        except RuleSyntaxError as error:
            raise EncodingError(f"The rule '{text}' cannot be read: {error.message}") from None
        try:
            genomes.append(encode(expression, parameters))
        except EncodingError as error:
            raise EncodingError(f"The rule '{text}' {error}.") from None
    return tuple(genomes)


def encode(expression: Expression, parameters: EvolutionParameters) -> EncodedGenome:
    """Return a genome that computes an expression, as it is written or in its canonical form.

    Raises
    ------
    EncodingError
        With the predicate of a sentence about the rule.
    """
    try:
        return _encode(expression, parameters)
    except EncodingError:
        canonical = expression.canonical()
        try:
            if canonical != expression:
                return _encode(canonical, parameters)
        except EncodingError:
            pass
        raise


def _encode(expression: Expression, parameters: EvolutionParameters) -> EncodedGenome:
    builder = Builder(parameters, len(expression.inputs))
    output = builder.lower(expression.tree)
    graph = Graph(len(expression.inputs), tuple(builder.nodes), output).needed()
    placed = place(
        graph,
        n_columns=parameters.n_columns,
        n_rows=parameters.n_rows,
        levels_back=parameters.levels_back or parameters.n_columns,
    )
    if placed is None:
        raise EncodingError(
            f"does not fit the grid: it needs {len(graph.nodes)} nodes, and the genome has "
            f"{parameters.n_columns} columns of {parameters.n_rows}"
            + (f" and {parameters.levels_back} levels back" if parameters.levels_back else "")
        )
    genome = _genome(placed, 1 + max_arity(primitives_of(parameters)))
    _check_meaning(genome, expression, parameters)
    return genome


def _genome(placed: Placed, region_length: int) -> EncodedGenome:
    nodes = dict(zip(placed.addresses, placed.graph.nodes, strict=True))
    return EncodedGenome(
        {
            address: (node.allele, *map(placed.address, node.operands))
            for address, node in nodes.items()
        },
        placed.address(placed.graph.output),
        {
            parameter_name(address): node.value
            for address, node in nodes.items()
            if node.value is not None
        },
        region_length,
    )


def _check_meaning(
    genome: EncodedGenome, expression: Expression, parameters: EvolutionParameters
) -> None:
    n_regions = len(expression.inputs) + parameters.n_columns * parameters.n_rows + 1
    alleles = genome.onto([0] * (n_regions * genome.region_length))
    try:
        text = expression_text(alleles, parameters, expression.inputs, genome.parameters)
        is_same = parse(text, expression.inputs).fingerprint() == expression.fingerprint()
    except RuleSyntaxError:
        is_same = False
    if not is_same:
        raise EncodingError("cannot be written with the chosen primitives so that it is the same")
