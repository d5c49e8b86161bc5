"""Whether a genome of unknown origin is one that evolution could have made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolution.cgp.primitives import max_arity, primitives_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evolution.cgp.parameters import EvolutionParameters

#: What hal-cgp writes in place of a function for inputs and outputs, and where a gene has no use.
_INPUT, _OUTPUT, _UNUSED = -1, -2, -3


def genome_problem(
    alleles: Sequence[int], parameters: EvolutionParameters, n_inputs: int
) -> str | None:
    """Return what is wrong with a genome, None if it can be read.

    Parameters
    ----------
    alleles : sequence of int
        For each input, node and output a function and its addresses.
    parameters : EvolutionParameters
        Shape and primitives of the genome.
    n_inputs : int
        Number of inputs of the rule.
    """
    primitives = primitives_of(parameters)
    n_rows = parameters.n_rows
    size = 1 + max_arity(primitives)
    n_addresses = n_inputs + parameters.n_columns * n_rows
    if len(alleles) != size * (n_addresses + 1):
        return f"has {len(alleles)} genes instead of {size * (n_addresses + 1)}"
    for address in range(n_addresses):
        start = address * size
        function, operands = alleles[start], alleles[start + 1 : start + size]
        if address < n_inputs:
            if function != _INPUT:
                return f"has no input at address {address}"
            continue
        before = n_inputs + (address - n_inputs) // n_rows * n_rows
        if not 0 <= function < len(primitives):
            return f"has no function {function}, which is at address {address}"
        if min(operands) < 0 or max(operands) >= before:
            return f"reads something at address {address} that does not come before it"
    if alleles[-size] != _OUTPUT or not 0 <= alleles[1 - size] < n_addresses:
        return "has no output"
    return None
