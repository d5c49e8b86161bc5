"""Primitives of a genome: hal-cgp's functions and constants, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolution.cgp.hal import cgp

if TYPE_CHECKING:
    from cgp.node import Node


class One(cgp.OperatorNode):
    """A node whose output is the constant 1."""

    _arity = 0
    _def_output = "1.0"
    _def_numpy_output = "np.ones(len(x[0])) * 1.0"


class Tenth(cgp.OperatorNode):
    """A node whose output is the constant 0.1."""

    _arity = 0
    _def_output = "0.1"
    _def_numpy_output = "np.ones(len(x[0])) * 0.1"


class Ten(cgp.OperatorNode):
    """A node whose output is the constant 10."""

    _arity = 0
    _def_output = "10.0"
    _def_numpy_output = "np.ones(len(x[0])) * 10.0"


PRIMITIVES: dict[str, type[Node]] = {
    node.__name__: node for node in (cgp.Add, cgp.Sub, cgp.Mul, cgp.Div, cgp.Pow, One, Tenth, Ten)
}

#: Output of the nodes that take no inputs, as text of the rule language.
CONSTANTS: dict[type[Node], str] = {One: "1", Tenth: "0.1", Ten: "10"}
