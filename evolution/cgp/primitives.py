"""Primitives of a genome: what its nodes may compute, by name, without hal-cgp.

The function gene of a node counts the primitives in the order of :func:`primitives_of`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from nest_build.rules.tree import number_text

if TYPE_CHECKING:
    from evolution.cgp.parameters import EvolutionParameters

#: Operators of the rule language by the primitive that computes them.
OPERATORS: dict[str, str] = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/", "Pow": "**"}
#: Values of the constants that have a name.
CONSTANTS: dict[str, float] = {"One": 1.0, "Tenth": 0.1, "Ten": 10.0}
#: The primitive whose value belongs to the genome, and which local search tunes.
PARAMETER = "Parameter"


@dataclass(frozen=True)
class Primitive:
    """What a node may compute.

    Attributes
    ----------
    name : str
        Name among the evolution's parameters; of a constant of one's own, its text.
    arity : int
        Number of inputs.
    text : str
        The operator, or the value of a constant, in the rule language; empty for a parameter node.
    value : float or None
        The value of a constant.
    """

    name: str
    arity: int
    text: str
    value: float | None = None

    @property
    def is_parameter(self) -> bool:
        """Whether the value is one of the genome's parameters."""
        return self.name == PARAMETER


def primitives_of(parameters: EvolutionParameters) -> tuple[Primitive, ...]:
    """Return the primitives in the order in which function genes count them."""
    return _primitives(parameters.primitives, parameters.constants)


@lru_cache(maxsize=64)
def _primitives(names: tuple[str, ...], constants: tuple[float, ...]) -> tuple[Primitive, ...]:
    return tuple(map(_named, names)) + tuple(
        Primitive(constant_text(value), 0, constant_text(value), value) for value in constants
    )


def _named(name: str) -> Primitive:
    if name in OPERATORS:
        return Primitive(name, 2, OPERATORS[name])
    if name in CONSTANTS:
        return Primitive(name, 0, constant_text(CONSTANTS[name]), CONSTANTS[name])
    return Primitive(name, 0, "")


def constant_text(value: float) -> str:
    """Return a constant as people write it: 10, 0.1, (-2)."""
    return f"(-{number_text(-value)})" if value < 0 else number_text(value)


def parameter_text(value: float) -> str:
    """Return the value of a parameter node as text that reads back as the very same double."""
    value = float(value)
    return f"({value!r})" if repr(value).startswith("-") else repr(value)


def parameter_name(index: int) -> str:
    """Return hal-cgp's name of the parameter of the node at an address."""
    return f"<p{index}>"


def max_arity(primitives: tuple[Primitive, ...]) -> int:
    """Return the number of addresses that each node has in a genome; outputs need one."""
    return max(1, *(primitive.arity for primitive in primitives))
