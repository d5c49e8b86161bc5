"""From genome to rule: the expression that the active nodes of a genome compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolution.cgp.primitives import (
    Primitive,
    max_arity,
    parameter_name,
    parameter_text,
    primitives_of,
)
from nest_build.rules import MAX_DEPTH, MAX_LENGTH, MAX_NODES, RuleSyntaxError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evolution.cgp.parameters import EvolutionParameters


class Decoder:
    """Reads the genes of a genome.

    Parameters
    ----------
    alleles : sequence of int
        The genome: for each input, node and output a function and its addresses.
    primitives : tuple of Primitive
        What the function genes count.
    n_inputs : int
        Number of inputs of the rule.
    """

    def __init__(
        self, alleles: Sequence[int], primitives: tuple[Primitive, ...], n_inputs: int
    ) -> None:
        self._alleles = alleles
        self._primitives = primitives
        self._n_inputs = n_inputs
        self._region_length = 1 + max_arity(primitives)
        #: Number of inputs and nodes.
        self.n_addresses = len(alleles) // self._region_length - 1
        #: Address that the output reads.
        self.output = int(alleles[1 - self._region_length])

    def node(self, index: int) -> tuple[Primitive, Sequence[int]]:
        """Return what a node computes, and the addresses of its inputs."""
        start = index * self._region_length
        primitive = self._primitives[self._alleles[start]]
        return primitive, self._alleles[start + 1 : start + 1 + primitive.arity]

    def active(self) -> list[int]:
        """Return the addresses of the inputs and nodes that the output depends on, ascending."""
        active = {self.output}
        # Nodes only refer to nodes before them.
        for index in range(self.output, self._n_inputs - 1, -1):
            if index in active:
                active.update(map(int, self.node(index)[1]))
        return sorted(active)

    def active_parameters(self) -> list[str]:
        """Return the names of the parameters that the output depends on, in order of the nodes."""
        return [
            parameter_name(index)
            for index in self.active()
            if index >= self._n_inputs and self.node(index)[0].is_parameter
        ]


def expression_text(
    alleles: Sequence[int],
    parameters: EvolutionParameters,
    input_names: Sequence[str],
    values: Mapping[str, float] | None = None,
) -> str:
    """Return the expression of a genome as text of the rule language.

    Hal-cgp's own ways are not safe for every genome: they execute Python source made of it,
    fail where a constant is divided by zero, and follow every path through the graph, of which
    there are exponentially many.

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

    Raises
    ------
    RuleSyntaxError
        If the text exceeds the limits of the rule language: each node may use another one
        twice, so that the length may double with each column.
    """
    n_inputs = len(input_names)
    decoder = Decoder(alleles, primitives_of(parameters), n_inputs)
    texts = dict(enumerate(input_names))
    depths, sizes = dict.fromkeys(texts, 1), dict.fromkeys(texts, 1)
    for index in decoder.active():
        if index < n_inputs:
            continue
        primitive, addresses = decoder.node(index)
        if primitive.arity == 2:
            left, right = addresses
            texts[index] = f"({texts[left]} {primitive.text} {texts[right]})"
            depths[index] = 1 + max(depths[left], depths[right])
            sizes[index] = 1 + sizes[left] + sizes[right]
            _check_limits(len(texts[index]), depths[index], sizes[index])
        else:
            texts[index] = primitive.text or parameter_text((values or {})[parameter_name(index)])
            # A sign is a node of its own in the tree of a rule.
            depths[index] = sizes[index] = 1 + texts[index].startswith("(-")
    return texts[decoder.output]


def _check_limits(length: int, depth: int, size: int) -> None:
    if length > MAX_LENGTH:
        raise RuleSyntaxError(f"The rule is longer than {MAX_LENGTH} characters.")
    if depth > MAX_DEPTH:
        raise RuleSyntaxError(f"The rule is nested more than {MAX_DEPTH} levels deep.")
    if size > MAX_NODES:
        raise RuleSyntaxError(f"The rule has more than {MAX_NODES} operators and operands.")
