"""Hal-cgp's node types of the primitives."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from evolution.cgp.hal import cgp
from evolution.cgp.primitives import OPERATORS, PARAMETER, Primitive, primitives_of

if TYPE_CHECKING:
    from cgp.node import Node

    from evolution.cgp.parameters import EvolutionParameters


def node_types(parameters: EvolutionParameters) -> tuple[type[Node], ...]:
    """Return a node type for each primitive, in the order of the function genes."""
    return tuple(
        _node_type(primitive, parameters.parameter_initial_value)
        for primitive in primitives_of(parameters)
    )


@lru_cache(maxsize=256)
def _node_type(primitive: Primitive, initial_value: float) -> type[Node]:
    if primitive.name in OPERATORS:
        return getattr(cgp, primitive.name)
    # Hal-cgp keeps the first class of each name for ever, so all constants have the same name.
    if primitive.name == PARAMETER:
        return type(
            "TunedConstant",
            (cgp.OperatorNode,),
            {
                "_arity": 0,
                "_initial_values": {"<p>": lambda: initial_value},
                "_def_output": "<p>",
                "_def_numpy_output": "np.ones(len(x[0])) * <p>",
            },
        )
    return type(
        "Constant",
        (cgp.OperatorNode,),
        {
            "_arity": 0,
            "_def_output": repr(primitive.value),
            "_def_numpy_output": f"np.ones(len(x[0])) * {primitive.value!r}",
        },
    )
