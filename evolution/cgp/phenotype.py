"""From genome to rule: the expression that the active nodes of a genome compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolution.cgp.hal import cgp
from evolution.cgp.primitives import CONSTANTS, PRIMITIVES
from nest_build.rules import MAX_LENGTH, RuleSyntaxError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cgp.node import Node

    from evolution.cgp.parameters import EvolutionParameters

_SYMBOLS: dict[type[Node], str] = {
    cgp.Add: "+",
    cgp.Sub: "-",
    cgp.Mul: "*",
    cgp.Div: "/",
    cgp.Pow: "**",
}


def expression_text(
    alleles: Sequence[int], parameters: EvolutionParameters, input_names: Sequence[str]
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

    Raises
    ------
    RuleSyntaxError
        If the text is longer than the rule language allows: each node may use another one
        twice, so that the length may double with each column.
    """
    primitives = [PRIMITIVES[name] for name in parameters.primitives]
    region_length = 1 + max(1, *(primitive._arity for primitive in primitives))
    n_inputs = len(input_names)

    def node(index: int) -> tuple[type[Node], Sequence[int]]:
        function, *addresses = alleles[index * region_length : (index + 1) * region_length]
        return primitives[function], addresses[: primitives[function]._arity]

    root = alleles[-region_length + 1]
    active = {root}
    # Nodes only refer to nodes before them.
    for index in range(root, n_inputs - 1, -1):
        if index in active:
            active.update(node(index)[1])
    texts = dict(enumerate(input_names))
    for index in sorted(index for index in active if index >= n_inputs):
        primitive, addresses = node(index)
        texts[index] = _node_text(primitive, [texts[address] for address in addresses])
        if len(texts[index]) > MAX_LENGTH:
            raise RuleSyntaxError(f"The rule is longer than {MAX_LENGTH} characters.")
    return texts[root]


def _node_text(primitive: type[Node], operands: Sequence[str]) -> str:
    if not operands:
        return CONSTANTS[primitive]
    left, right = operands
    return f"({left} {_SYMBOLS[primitive]} {right})"
