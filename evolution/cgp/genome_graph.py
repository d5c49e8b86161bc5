"""Genomes as graphs, for display and lineage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evolution.cgp.phenotype import Decoder
from evolution.cgp.primitives import max_arity, parameter_name, parameter_text, primitives_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evolution.cgp.parameters import EvolutionParameters


@dataclass(frozen=True)
class GenomeNode:
    """An input or a node of the grid.

    Attributes
    ----------
    index : int
        Address by which others refer to it; inputs come first.
    column, row : int
        Place for display: inputs are in column 0, one below the other, and the grid begins with
        column 1.
    primitive : str or None
        Name of the primitive; None for an input.
    label : str
        Name of the input, operator, or value of the constant in the rule language.
    inputs : tuple of int
        Addresses that it reads.
    is_active : bool
        Whether the output depends on it.
    """

    index: int
    column: int
    row: int
    primitive: str | None
    label: str
    inputs: tuple[int, ...]
    is_active: bool


@dataclass(frozen=True)
class GenomeGraph:
    """Inputs and nodes of a genome by address, and the address that its output reads."""

    nodes: tuple[GenomeNode, ...]
    output: int

    @property
    def active_nodes(self) -> tuple[GenomeNode, ...]:
        """Inputs and nodes that the output depends on."""
        return tuple(node for node in self.nodes if node.is_active)


def genome_graph(
    alleles: Sequence[int],
    parameters: EvolutionParameters,
    input_names: Sequence[str],
    values: Mapping[str, float] | None = None,
) -> GenomeGraph:
    """Return the graph that a genome describes.

    Parameters
    ----------
    alleles : sequence of int
        The genome: for each input, node and output a function and its addresses.
    parameters : EvolutionParameters
        Shape and primitives of the genome.
    input_names : sequence of str
        Names of the rule's inputs.
    values : mapping of str to float, optional
        Values of the parameter nodes by hal-cgp's name, such as ``<p7>``.
    """
    n_inputs = len(input_names)
    decoder = Decoder(alleles, primitives_of(parameters), n_inputs)
    active = set(decoder.active())
    nodes = [
        GenomeNode(index, 0, index, None, name, (), index in active)
        for index, name in enumerate(input_names)
    ]
    for index in range(n_inputs, decoder.n_addresses):
        primitive, addresses = decoder.node(index)
        column, row = divmod(index - n_inputs, parameters.n_rows)
        label = primitive.text
        if primitive.is_parameter:
            value = (values or {}).get(parameter_name(index))
            label = primitive.name if value is None else parameter_text(value)
        inputs = tuple(map(int, addresses))
        nodes.append(
            GenomeNode(index, column + 1, row, primitive.name, label, inputs, index in active)
        )
    return GenomeGraph(tuple(nodes), decoder.output)


def node_of_gene(
    position: int, parameters: EvolutionParameters, input_names: Sequence[str]
) -> int | None:
    """Return the address of the input or node that a gene belongs to, None for the output.

    With :attr:`~evolution.cgp.protocol.Candidate.mutated_genes` it tells which nodes a mutation
    has changed.
    """
    index = position // (1 + max_arity(primitives_of(parameters)))
    n_addresses = len(input_names) + parameters.n_columns * parameters.n_rows
    return index if index < n_addresses else None
